//! Signals as other systems read them: one JSON object each, with an identity that a repeat shares.

use serde::Serialize;

use super::{Analytics, Cause, Driver, Finding, Signal, SignalKind, Told};
use crate::words::hash::hash;
use crate::words::signal::SignalLetter;
use crate::words::timestamp::Timestamp;

/// How many causes of a delay are told.
const CAUSES: usize = 3;

#[derive(Serialize)]
struct Message<'a> {
    id: &'a str,
    shard: &'a str,
    kind: &'static str,
    /// What became of it: `raised`, `updated` or `closed`.
    told: &'static str,
    subject: &'a str,
    value: f64,
    raised_at: Timestamp,
    revision: u32,
    at: Timestamp,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    causes: Vec<Part<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drivers: Vec<DriverPart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restock_quantity: Option<i64>,
}

#[derive(Serialize)]
struct Part<'a> {
    name: &'a str,
    days: f64,
}

#[derive(Serialize)]
struct DriverPart<'a> {
    kind: &'static str,
    name: &'a str,
    excess: f64,
}

/// The identity of a signal: its shard, kind, subject (as XXH3-64), when it was raised, and its revision.
#[must_use]
pub fn identity(shard: &str, signal: &Signal) -> String {
    let Signal { kind, subject, raised_ms, revision, .. } = signal;
    format!("{shard}.{}.{:016x}.{raised_ms}.{revision}", kind.name(), hash(subject.as_bytes()))
}

fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

impl Analytics {
    /// The signals among findings, in their order, as they are told: a delay's with its causes, a surge's with what drives it.
    ///
    /// # Panics
    /// Never: what is told has a form in JSON.
    #[must_use]
    pub fn letters(&self, shard: &str, findings: &[Finding]) -> Vec<SignalLetter> {
        let signals = findings.iter().enumerate().filter_map(|(place, finding)| match finding {
            Finding::Signal(signal) => Some((signal, findings.get(place + 1))),
            _ => None,
        });
        let letter = |(signal, next): (&Signal, Option<&Finding>)| {
            let causes = if signal.kind == SignalKind::DelayRisk && signal.told != Told::Closed {
                self.causes_of(&signal.subject, CAUSES)
            } else {
                Vec::new()
            };
            let drivers: &[Driver] = match next {
                Some(Finding::Surge(surge)) if signal.kind == SignalKind::CancellationSurge => &surge.drivers,
                _ => &[],
            };
            let id = identity(shard, signal);
            let payload = serde_json::to_vec(&message(&id, shard, signal, &causes, drivers));
            let payload = payload.expect("plain texts and numbers").into();
            SignalLetter { id, kind: signal.kind.name(), payload }
        };
        signals.map(letter).collect()
    }
}

fn message<'a>(
    id: &'a str,
    shard: &'a str,
    signal: &'a Signal,
    causes: &'a [Cause],
    drivers: &'a [Driver],
) -> Message<'a> {
    // Days until a SKU runs out are negated where they are compared.
    let value = if signal.kind == SignalKind::StockoutAhead { -signal.value } else { signal.value };
    Message {
        id,
        shard,
        kind: signal.kind.name(),
        told: match signal.told {
            Told::Raised => "raised",
            Told::Updated => "updated",
            Told::Closed => "closed",
        },
        subject: &signal.subject,
        value: rounded(value),
        raised_at: Timestamp::from_millis(signal.raised_ms),
        revision: signal.revision,
        at: Timestamp::from_millis(signal.at_ms),
        causes: causes.iter().map(|it| Part { name: &it.name, days: rounded(it.days) }).collect(),
        drivers: drivers
            .iter()
            .map(|it| DriverPart { kind: it.kind, name: &it.name, excess: rounded(it.excess) })
            .collect(),
        restock_quantity: signal.restock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::analytics::{SeriesChange, Settings};

    #[test]
    fn a_signal_is_one_object_with_an_identity_from_the_log_alone() {
        let signal = Signal {
            kind: SignalKind::CancellationSurge,
            subject: "carrier \"x\"\n".to_owned(),
            told: Told::Raised,
            value: 3.0,
            raised_ms: 1_000,
            revision: 0,
            at_ms: 2_000,
            restock: None,
        };
        let driver = Driver { kind: "reason", name: "late".to_owned(), excess: 4.5 };
        let surge =
            SeriesChange { series: "all", label: "none".to_owned(), surge: None, drivers: vec![driver] };
        let findings = [Finding::Signal(signal.clone()), Finding::Surge(surge)];
        let model = Analytics::new(Settings::default());
        let letters = model.letters("main", &findings);
        let told: serde_json::Value = serde_json::from_slice(&letters[0].payload).unwrap();
        assert_eq!(
            (letters.len(), &told["subject"], &told["value"]),
            (1, &"carrier \"x\"\n".into(), &3.0.into())
        );
        assert_eq!(told["drivers"][0]["name"], "late");
        assert_eq!((&told["raised_at"], told.get("causes")), (&"1970-01-01T00:00:01.000Z".into(), None));
        let ahead = Signal { kind: SignalKind::StockoutAhead, value: -2.5, restock: Some(7), ..signal };
        let letters = model.letters("main", &[Finding::Signal(ahead)]);
        let told: serde_json::Value = serde_json::from_slice(&letters[0].payload).unwrap();
        assert_eq!((&told["value"], &told["restock_quantity"]), (&2.5.into(), &7.into()));
        assert!(letters[0].id.starts_with("main.stockout_ahead.") && letters[0].id.ends_with(".1000.0"));
    }
}
