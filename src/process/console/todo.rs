//! The shop's list of things to do: orders at risk, SKUs that are gone soon, surges.

use serde::Serialize;

use crate::folds::analytics::Outlook;
use crate::words::timestamp::Timestamp;

/// A thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Row {
    /// `order`, `sku` or `surge`.
    pub(super) kind: &'static str,
    /// Which.
    pub(super) subject: String,
    /// Until when, as RFC 3339, or in which time.
    pub(super) due: Option<String>,
    /// How bad it is, in words.
    pub(super) what: String,
    /// Why.
    pub(super) reason: Option<String>,
}

/// The rows: surges, as they have one cause for many orders; then SKUs, then orders.
pub(super) fn rows(outlook: &Outlook) -> Vec<Row> {
    let surges = outlook.surges.iter().map(|surge| Row {
        kind: "surge",
        subject: surge.series.clone(),
        due: None,
        what: format!("{:.1} times as many cancellations as is normal", surge.times),
        reason: surge.cause.clone(),
    });
    let gone = outlook.gone_soon.iter().map(|sku| Row {
        kind: "sku",
        subject: sku.place.clone(),
        due: Some(if sku.days > 0.0 {
            format!("in {:.0} h", (sku.days * 24.0).ceil())
        } else {
            "now".to_owned()
        }),
        what: if sku.days > 0.0 { "will run out".to_owned() } else { "has run out".to_owned() },
        reason: None,
    });
    let risks = outlook.risks.iter().map(|risk| Row {
        kind: "order",
        subject: risk.order_id.clone(),
        due: risk.promised_ms.map(|promised| Timestamp::from_millis(promised).to_string()),
        what: format!("{:.0}% likely to be late", risk.late * 100.0),
        reason: risk.reason.clone(),
    });
    surges.chain(gone).chain(risks).collect()
}

/// The rows as CSV (RFC 4180). A cell that a spreadsheet would take for a formula is told as text.
pub(super) fn csv(rows: &[Row]) -> String {
    let mut text = "kind,subject,due,what,reason\r\n".to_owned();
    for row in rows {
        let cells = [
            row.kind,
            &row.subject,
            row.due.as_deref().unwrap_or(""),
            &row.what,
            row.reason.as_deref().unwrap_or(""),
        ];
        let cells: Vec<_> = cells.into_iter().map(cell).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::analytics::{GoneSoon, Risk, Surging};

    #[test]
    fn what_is_to_be_done_is_listed_with_its_reason() {
        let outlook = Outlook {
            surges: vec![Surging {
                series: "site main".into(),
                times: 3.25,
                cause: Some("carrier dhl".into()),
            }],
            gone_soon: vec![
                GoneSoon { place: "main A, \"1\"".into(), days: 5.2 / 24.0 },
                GoneSoon { place: "=main B".into(), days: 0.0 },
            ],
            risks: vec![Risk {
                order_id: "O-1".into(),
                promised_ms: Some(1_795_529_400_000),
                late: 0.824,
                reason: Some("route: +1.5 days".into()),
            }],
            ..Outlook::default()
        };
        assert_eq!(
            csv(&rows(&outlook)),
            "kind,subject,due,what,reason\r\n\
             surge,site main,,3.2 times as many cancellations as is normal,carrier dhl\r\n\
             sku,\"main A, \"\"1\"\"\",in 6 h,will run out,\r\n\
             sku,'=main B,now,has run out,\r\n\
             order,O-1,2026-11-24T14:10:00.000Z,82% likely to be late,route: +1.5 days\r\n"
        );
    }
}
