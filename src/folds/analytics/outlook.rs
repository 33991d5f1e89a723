//! What is about to go wrong, as one small snapshot: for whoever shows it to people. Where a figure is none, nobody measures it, or too
//! little is known yet.

use serde::Serialize;

use super::{Analytics, Risks, SignalKind};

/// Lists longer than this are cut, the worst first.
pub const ROWS_MAX: usize = 100;
/// A SKU that is expected to run out within so many days is about to.
const SOON_DAYS: f64 = 1.0;

/// A snapshot of one shard's analytics, or of several together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outlook {
    /// Orders that are usual in this hour of the week, as the weeks before had them.
    pub orders_in_hour: Option<f64>,
    /// Open orders that are past their promise.
    pub late: Option<u64>,
    /// Open orders that will probably miss it.
    pub at_risk: Option<u64>,
    /// The share of orders that is normally cancelled.
    pub cancelled_share: Option<f64>,
    /// The orders at risk, the most probable first.
    pub risks: Vec<Risk>,
    /// SKUs that are gone within a day, the soonest first.
    pub gone_soon: Vec<GoneSoon>,
    /// Cancellations that surge.
    pub surges: Vec<Surging>,
}

/// An order that will probably be late.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Risk {
    /// Which order.
    pub order_id: String,
    /// When it is promised, in milliseconds since 1970.
    pub promised_ms: Option<i64>,
    /// Its probability to be late, 0 to 1.
    pub late: f64,
    /// What speaks most for it.
    pub reason: Option<String>,
}

/// A SKU that is soon gone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GoneSoon {
    /// The site, a blank, and the SKU.
    pub place: String,
    /// In how many days; 0 where it is gone.
    pub days: f64,
}

/// A surge of cancellations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Surging {
    /// Which series, and whose.
    pub series: String,
    /// How many times as many as is normal.
    pub times: f64,
    /// What drives it most, where that is known.
    pub cause: Option<String>,
}

fn sum<T: std::ops::Add<Output = T>>(left: Option<T>, right: Option<T>) -> Option<T> {
    match (left, right) {
        (Some(left), Some(right)) => Some(left + right),
        (left, right) => left.or(right),
    }
}

impl Outlook {
    /// Adds another shard's.
    pub fn add(&mut self, other: Self) {
        self.orders_in_hour = sum(self.orders_in_hour, other.orders_in_hour);
        self.late = sum(self.late, other.late);
        self.at_risk = sum(self.at_risk, other.at_risk);
        // Of several shards the largest: what is more is worth a look at the least.
        self.cancelled_share = match (self.cancelled_share, other.cancelled_share) {
            (Some(left), Some(right)) => Some(left.max(right)),
            (left, right) => left.or(right),
        };
        self.risks.extend(other.risks);
        self.gone_soon.extend(other.gone_soon);
        self.surges.extend(other.surges);
        self.order();
    }

    fn order(&mut self) {
        self.risks.sort_by(|left, right| {
            right.late.total_cmp(&left.late).then_with(|| left.order_id.cmp(&right.order_id))
        });
        self.gone_soon.sort_by(|left, right| {
            left.days.total_cmp(&right.days).then_with(|| left.place.cmp(&right.place))
        });
        self.surges.sort_by(|left, right| right.times.total_cmp(&left.times));
        self.risks.truncate(ROWS_MAX);
        self.gone_soon.truncate(ROWS_MAX);
        self.surges.truncate(ROWS_MAX);
    }
}

impl Analytics {
    /// What is about to go wrong; `risks` are the open orders as they were last looked at. Costs a walk over the signals that stand.
    #[must_use]
    pub fn outlook(&self, risks: &Risks) -> Outlook {
        let mut outlook = Outlook {
            orders_in_hour: self.volume.usual(self.now_ms),
            late: Some(risks.late),
            at_risk: Some(self.signals.open(SignalKind::DelayRisk) as u64),
            cancelled_share: self.cancellation.normal_share(),
            risks: Vec::new(),
            gone_soon: Vec::new(),
            surges: Vec::new(),
        };
        let mut late: Vec<_> = self.signals.standing(SignalKind::DelayRisk).collect();
        late.sort_by(|left, right| right.1.total_cmp(&left.1).then_with(|| left.0.cmp(right.0)));
        outlook.risks =
            late.into_iter().take(ROWS_MAX).map(|(order_id, late)| self.risk(order_id, late)).collect();
        let gone = self.signals.standing(SignalKind::StockOut).map(|(place, _)| (place, 0.0));
        let soon = self.signals.standing(SignalKind::StockoutAhead).map(|(place, value)| (place, -value));
        let soon = soon.filter(|(_, days)| *days <= SOON_DAYS);
        outlook.gone_soon = gone
            .chain(soon)
            .map(|(place, days)| GoneSoon { place: place.to_owned(), days: days.max(0.0) })
            .collect();
        let cause = self.cancellation.first_driver().map(|driver| format!("{} {}", driver.kind, driver.name));
        outlook.surges = self
            .surges()
            .into_iter()
            .map(|(series, label, times)| Surging {
                series: if series == "all" { "all orders".to_owned() } else { format!("{series} {label}") },
                times,
                cause: cause.clone(),
            })
            .collect();
        outlook.order();
        outlook
    }

    fn risk(&self, order_id: &str, late: f64) -> Risk {
        let order = self.find(order_id).and_then(|place| self.orders.get(place));
        let cause = self.causes_of(order_id, 1).into_iter().next();
        Risk {
            order_id: order_id.to_owned(),
            promised_ms: order.and_then(|order| order.promised_by_ms),
            // As it is now, where that is known; else as it was told last.
            late: self.risk_of(order_id).unwrap_or(late),
            reason: cause.map(|cause| format!("{}: {:+.1} days", cause.name, cause.days)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    #[test]
    fn what_stands_is_listed_the_worst_first_and_bounded() {
        let mut model = Analytics::new(Settings::default());
        assert_eq!(model.outlook(&Risks::default()).risks, []);
        for order in 0..150 {
            model.signals.value(
                SignalKind::DelayRisk,
                &format!("O-{order}"),
                0.5 + f64::from(order) / 1_000.0,
                1,
            );
        }
        model.signals.value(SignalKind::StockoutAhead, "main A", -0.5, 1);
        model.signals.value(SignalKind::StockoutAhead, "main B", -3.0, 1);
        model.signals.value(SignalKind::StockOut, "main C", 1.0, 1);
        let outlook = model.outlook(&Risks { late: 7, ..Risks::default() });
        assert_eq!((outlook.late, outlook.at_risk, outlook.risks.len()), (Some(7), Some(150), ROWS_MAX));
        assert_eq!(outlook.risks[0].order_id, "O-149");
        let gone: Vec<_> = outlook.gone_soon.iter().map(|it| (it.place.as_str(), it.days)).collect();
        assert_eq!(gone, [("main C", 0.0), ("main A", 0.5)]);
        let mut both = outlook.clone();
        both.add(outlook);
        assert_eq!((both.late, both.at_risk, both.risks.len()), (Some(14), Some(300), ROWS_MAX));
        assert_eq!((both.gone_soon.len(), both.orders_in_hour), (4, None));
    }
}
