//! Signals: what other systems are told, once each.
//!
//! A signal is raised where its value reaches a threshold, updated where it has moved by a step that matters, and closed where it is
//! below a lower threshold, or its subject is gone: hysteresis, so that what hovers at a threshold is told once. Its identity is
//! (kind, subject, when it was raised, revision), all from the log: a worker that takes over tells the same as the one before,
//! and a repeat is known by it.

use std::collections::BTreeMap;

use wincode::{SchemaRead, SchemaWrite};

use crate::words::hash::{hash, mix};
use crate::words::text::ID_BYTES_MAX;

/// What is signalled; each has a subject of `weir.signals.<shard>.<kind>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, SchemaRead, SchemaWrite)]
pub enum SignalKind {
    /// An order will probably arrive late: its subject is the order, its value the probability.
    DelayRisk,
    /// Cancellations surge: the series, and how many times the base rate they are.
    CancellationSurge,
    /// An hour brought fewer orders than it should have: the shard, and the share that is missing.
    VolumeLow,
    /// An hour brought more orders than it should have: how many times as many.
    VolumeHigh,
    /// A SKU will run out: the site and SKU, and in how many days, negated so that sooner is higher.
    StockoutAhead,
    /// A SKU has run out, which closes as it is back: the site and SKU.
    StockOut,
    /// An order cannot be shipped as it stands: the order and SKU, and how many units are missing.
    Shortfall,
}

impl SignalKind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::DelayRisk,
        Self::CancellationSurge,
        Self::VolumeLow,
        Self::VolumeHigh,
        Self::StockoutAhead,
        Self::StockOut,
        Self::Shortfall,
    ];

    /// The name as it stands in subjects and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DelayRisk => "delay_risk",
            Self::CancellationSurge => "cancellation_surge",
            Self::VolumeLow => "volume_low",
            Self::VolumeHigh => "volume_high",
            Self::StockoutAhead => "stockout_ahead",
            Self::StockOut => "stock_out",
            Self::Shortfall => "shortfall",
        }
    }

    /// From where it is raised, below where it is closed, and by how much its value must move to be told again.
    const fn thresholds(self) -> (f64, f64, f64) {
        match self {
            Self::DelayRisk => (0.4, 0.2, 0.2),
            Self::CancellationSurge => (1.0, 1.0, 2.0),
            Self::VolumeLow => (0.01, 0.01, 0.25),
            Self::VolumeHigh => (1.0, 1.0, 1.0),
            Self::StockoutAhead => (-7.0, -10.0, 3.0),
            Self::StockOut | Self::Shortfall => (0.5, 0.5, 1.0),
        }
    }
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is new.
    Raised,
    /// Its value has moved.
    Updated,
    /// It is over.
    Closed,
}

/// One thing that is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// What it is about.
    pub kind: SignalKind,
    /// Whose: an order, a series, a site and SKU.
    pub subject: String,
    /// What became of it.
    pub told: Told,
    /// Its value; what that is, the kind says.
    pub value: f64,
    /// When it was raised, in milliseconds since 1970: with kind, subject and revision its identity.
    pub raised_ms: i64,
    /// 0 where it is raised, and one more each time that it is told.
    pub revision: u32,
    /// When it is told, in milliseconds since 1970.
    pub at_ms: i64,
    /// Of a SKU that will run out: how many units to order now, by [`super::Supply`].
    pub restock: Option<i64>,
}

#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Open {
    kind: SignalKind,
    subject: String,
    raised_ms: i64,
    revision: u32,
    value: f64,
}

/// The signals that are open.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Signals {
    max: usize,
    warn_at: f64,
    open: BTreeMap<u64, Open>,
    /// By kind: how many are open.
    counts: [usize; SignalKind::ALL.len()],
    dropped: u64,
}

impl Signals {
    /// At most `max` open at a time, about 200 bytes each; orders are warned of from the probability `warn_at` on.
    #[must_use]
    pub fn new(max: usize, warn_at: f64) -> Self {
        Self {
            max: max.clamp(1, 1 << 20),
            warn_at,
            open: BTreeMap::new(),
            counts: [0; SignalKind::ALL.len()],
            dropped: 0,
        }
    }

    fn named(kind: SignalKind, subject: &str) -> u64 {
        mix(kind as u64, hash(subject.as_bytes()))
    }

    /// A subject's value is now so: what there is to tell, if anything.
    pub fn value(&mut self, kind: SignalKind, subject: &str, value: f64, at_ms: i64) -> Option<Signal> {
        let (mut on, mut off, step) = kind.thresholds();
        if kind == SignalKind::DelayRisk {
            (on, off) = (self.warn_at, 0.5 * self.warn_at);
        }
        let named = Self::named(kind, subject);
        if !value.is_finite() {
            return None;
        }
        let Some(open) = self.open.get_mut(&named) else {
            if value < on {
                return None;
            }
            if self.open.len() >= self.max {
                self.dropped += 1;
                return None;
            }
            let mut end = subject.len().min(2 * ID_BYTES_MAX + 1);
            while !subject.is_char_boundary(end) {
                end -= 1;
            }
            let open =
                Open { kind, subject: subject[..end].to_owned(), raised_ms: at_ms, revision: 0, value };
            let signal = open.told(Told::Raised, at_ms);
            self.open.insert(named, open);
            self.counts[kind as usize] += 1;
            return Some(signal);
        };
        if value < off {
            return self.close_named(named, value, at_ms);
        }
        if (value - open.value).abs() < step {
            return None;
        }
        open.value = value;
        open.revision += 1;
        Some(open.told(Told::Updated, at_ms))
    }

    /// Its subject is gone, or it is over.
    pub fn close(&mut self, kind: SignalKind, subject: &str, at_ms: i64) -> Option<Signal> {
        let named = Self::named(kind, subject);
        let value = self.open.get(&named)?.value;
        self.close_named(named, value, at_ms)
    }

    fn close_named(&mut self, named: u64, value: f64, at_ms: i64) -> Option<Signal> {
        let mut open = self.open.remove(&named)?;
        self.counts[open.kind as usize] -= 1;
        open.value = value;
        open.revision += 1;
        Some(open.told(Told::Closed, at_ms))
    }

    /// Those of a kind that are open: subjects and values, in no order that means anything.
    pub(super) fn standing(&self, kind: SignalKind) -> impl Iterator<Item = (&str, f64)> {
        self.open
            .values()
            .filter(move |open| open.kind == kind)
            .map(|open| (open.subject.as_str(), open.value))
    }

    /// How many are open of a kind.
    #[must_use]
    pub const fn open(&self, kind: SignalKind) -> usize {
        self.counts[kind as usize]
    }

    /// How many were not raised since too many were open.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether what was read back holds together.
    pub(super) fn is_sound(&self) -> bool {
        let mut counts = [0; SignalKind::ALL.len()];
        for open in self.open.values() {
            counts[open.kind as usize] += 1;
        }
        counts == self.counts
            && self.open.len() <= self.max
            && self.max <= 1 << 20
            && self.warn_at.is_finite()
    }
}

impl Open {
    fn told(&self, told: Told, at_ms: i64) -> Signal {
        Signal {
            kind: self.kind,
            subject: self.subject.clone(),
            told,
            value: self.value,
            raised_ms: self.raised_ms,
            revision: self.revision,
            at_ms,
            restock: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hovers_is_told_once() {
        let mut signals = Signals::new(2, 0.4);
        let mut told = Vec::new();
        for (at, value) in
            [0.1, 0.41, 0.39, 0.42, 0.38, 0.65, 0.5, f64::NAN, 0.1, 0.1].into_iter().enumerate()
        {
            let at = i64::try_from(at).unwrap();
            told.extend(
                signals.value(SignalKind::DelayRisk, "O-1", value, at).map(|it| (it.told, it.revision, at)),
            );
        }
        assert_eq!(told, [(Told::Raised, 0, 1), (Told::Updated, 1, 5), (Told::Closed, 2, 8)]);
        for order in 0..5 {
            signals.value(SignalKind::DelayRisk, &format!("O-{order}"), 0.9, 10);
        }
        assert_eq!((signals.open(SignalKind::DelayRisk), signals.dropped()), (2, 3));
        assert!(signals.close(SignalKind::DelayRisk, "O-0", 11).is_some_and(|it| it.told == Told::Closed));
        assert!(signals.close(SignalKind::DelayRisk, "O-0", 12).is_none() && signals.is_sound());
    }
}
