//! Analytics as a scrape shows them: the model of each shard, what of it this worker announced itself, and what became of signals.
//!
//! A model counts what any worker announced. Counters must not: summed over workers they would count twice. So each counter shows
//! what the model's figure grew by while this worker announced, and [`Watching::settle`] is told whenever that changes. Gauges are shown
//! by the leader alone. The model is read under its lock when somebody scrapes: that holds up the one who feeds it, never the fold.

mod samples;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::families::{FAMILIES, Family, Kind};
use crate::folds::analytics::{Analytics, Risks, Settings, SignalKind};
use samples::{Sample, sample};

/// Why a signal was not told: too many stood, too many waited to be published, or the stream did not take it.
pub const DROPS: [&str; 3] = ["open", "queue", "failed"];

/// What is known of a shard's analytics beside the model.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether what is announced is announced by this worker.
    pub own: bool,
    /// The open orders, as they were last looked at.
    pub risks: Risks,
    /// Announced records measured.
    pub records: u64,
    /// Log messages that were skipped.
    pub skipped: u64,
    /// Open orders taken up again.
    pub rebuilt: u64,
    /// What could not be read.
    pub undecoded: u64,
    /// The last log message measured or skipped.
    pub sequence: u64,
    /// Announced log messages still to be looked at.
    pub lag_messages: u64,
    /// Whether open orders are being taken up again.
    pub rebuilding: bool,
    /// When the state was last saved, in nanoseconds since 1970, and its size in bytes.
    pub saved: Option<(i64, u64)>,
    /// Signals published, by kind.
    pub published: [u64; SignalKind::ALL.len()],
    /// Signals not told, by [`DROPS`]; those of the model are counted there.
    pub dropped: [u64; DROPS.len()],
}

/// One series: its name and its labels, as they stand in the text.
type Series = (&'static str, String);

#[derive(Debug)]
struct Inner {
    model: Analytics,
    facts: Facts,
    /// What each counter of the model was when it was last looked at.
    seen: BTreeMap<Series, f64>,
    /// What of it this worker announced.
    own: BTreeMap<Series, f64>,
}

/// The analytics of one shard at this worker; shared.
#[derive(Debug)]
pub struct Watched {
    inner: Mutex<Inner>,
}

/// The model and what is known beside it, as long as nobody else looks.
pub struct Watching<'w>(MutexGuard<'w, Inner>);

impl Watching<'_> {
    /// The model.
    #[must_use]
    pub fn model(&self) -> &Analytics {
        &self.0.model
    }

    /// The model, to be fed.
    pub fn model_mut(&mut self) -> &mut Analytics {
        &mut self.0.model
    }

    /// What is known beside it.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// What is known beside it, to be changed.
    pub fn facts_mut(&mut self) -> &mut Facts {
        &mut self.0.facts
    }

    /// Puts another model in this one's place: what it has counted, others announced, or this worker in a life before.
    pub fn replace(&mut self, model: Analytics) {
        self.0.model = model;
        self.0.seen.clear();
        self.0.look(false);
    }

    /// What is announced from now on is announced by this worker, or is not.
    pub fn settle(&mut self, own: bool) {
        let before = self.0.facts.own;
        if before != own {
            self.0.look(before);
            self.0.facts.own = own;
        }
    }
}

impl Inner {
    /// Looks at the model's counters; what they grew by counts for this worker where it is its `own`.
    fn look(&mut self, own: bool) {
        for Sample { family, series, value } in sample(&self.model) {
            if FAMILIES[family].kind == Kind::Gauge {
                continue;
            }
            let before = self.seen.insert(series.clone(), value).unwrap_or(0.0);
            let of_own = self.own.entry(series).or_default();
            if own {
                *of_own += (value - before).max(0.0);
            }
        }
    }
}

impl Watched {
    /// A model that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let inner = Inner {
            model: Analytics::new(settings),
            facts: Facts::default(),
            seen: BTreeMap::new(),
            own: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner) }
    }

    /// Looks at the model, or feeds it. Whoever holds this for long holds up whoever feeds, and makes it skip; nobody else.
    #[must_use]
    pub fn watch(&self) -> Watching<'_> {
        Watching(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Every series that is to be shown: the family's place, name and labels, and value.
    fn shown(&self) -> Vec<Sample> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let own = inner.facts.own;
        inner.look(own);
        let mut shown = Vec::new();
        for sample in sample(&inner.model) {
            match FAMILIES[sample.family].kind {
                Kind::Gauge if own => shown.push(sample),
                Kind::Gauge => {}
                Kind::Counter | Kind::Histogram => {
                    let value = inner.own.get(&sample.series).copied().unwrap_or(0.0);
                    shown.push(Sample { value, ..sample });
                }
            }
        }
        shown.extend(samples::of_facts(&inner.facts, inner.model.signals().dropped()));
        shown
    }
}

/// What a scrape shows of these shards, in Prometheus's text format: each family once, by the list of [`FAMILIES`]. `more` are series
/// that are kept elsewhere.
pub(super) fn render(text: &mut String, shards: &[(&str, Option<&Watched>)], more: &[(usize, More)]) {
    let mut shown: Vec<Vec<(usize, &'static str, String, f64)>> = vec![Vec::new(); FAMILIES.len()];
    for (place, (_, watched)) in shards.iter().enumerate() {
        for Sample { family, series: (name, labels), value } in
            watched.map(Watched::shown).unwrap_or_default()
        {
            shown[family].push((place, name, labels, value));
        }
    }
    for (place, More { name, labels, value }) in more {
        if let Some(family) = FAMILIES.iter().position(|family| family.name == *name) {
            shown[family].push((*place, name, labels.clone(), *value));
        }
    }
    for (family @ Family { name, help, .. }, series) in FAMILIES.iter().zip(shown) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {}", family.type_name());
        for (place, name, labels, value) in series {
            let shard = shards[place].0;
            let comma = if labels.is_empty() { "" } else { "," };
            let _ = writeln!(text, "{name}{{shard=\"{shard}\"{comma}{labels}}} {value}");
        }
        text.push('\n');
    }
}

/// A series that is kept elsewhere: its name, its labels as they stand in the text, and its value.
#[derive(Clone, Debug)]
pub(super) struct More {
    pub(super) name: &'static str,
    pub(super) labels: String,
    pub(super) value: f64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folds::analytics::Record;
    use crate::words::command::{Command, PayFailed};
    use crate::words::outcome::{Decision, Outcome};
    use crate::words::timestamp::Timestamp;

    fn fail(watched: &Watched, reason: &str) {
        let at = Timestamp::from_millis(1_000);
        let command = Command::PayFailed(PayFailed {
            order_id: "O-1".into(),
            attempt_id: "P-1".into(),
            reason: Some(reason.to_owned().into()),
            occurred_at: None,
        });
        let outcome = Outcome {
            sequence: 1,
            index: 0,
            place: 0,
            at,
            decision: Decision::PaymentFailed {
                order_id: "O-1".into(),
                attempt_id: "P-1".into(),
                repeat: None,
            },
        };
        let record = Record { at, command: Some(&command), outcomes: &[outcome] };
        watched.watch().model_mut().observe(&record, &mut Vec::new());
    }

    fn value(watched: &Watched, series: &str) -> Option<f64> {
        let mut text = String::new();
        render(&mut text, &[("main", Some(watched))], &[]);
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Two workers see the same announcements; each counts its own, and a takeover back and forth is no jump.
    #[test]
    fn a_sum_over_workers_counts_once() {
        let workers: Vec<_> = (0..2).map(|_| Watched::new(Settings::default())).collect();
        let series = "weir_payment_failures_total{shard=\"main\",reason=\"card \\\"x\\\"\"}";
        let mut sums = Vec::new();
        for (leader, times) in [(0, 3), (1, 2), (0, 4), (0, 0)] {
            for (number, worker) in workers.iter().enumerate() {
                worker.watch().settle(number == leader);
                for _ in 0..times {
                    fail(worker, "card \"x\"");
                }
            }
            sums.push(workers.iter().filter_map(|worker| value(worker, series)).sum::<f64>());
        }
        assert_eq!(sums, [3.0, 5.0, 9.0, 9.0]);
        assert_eq!(workers.iter().map(|it| value(it, series)).collect::<Vec<_>>(), [Some(7.0), Some(2.0)]);
        // A restored model does not count again what it brings.
        let restored = Watched::new(Settings::default());
        let model = workers[0].watch().model().clone();
        restored.watch().replace(model);
        restored.watch().settle(true);
        fail(&restored, "card \"x\"");
        assert_eq!(value(&restored, series), Some(1.0));
        // Gauges are the leader's.
        let gauge = "weir_delay_warning_threshold_ratio{shard=\"main\"}";
        assert_eq!((value(&workers[0], gauge), value(&workers[1], gauge)), (Some(0.4), None));
    }

    /// Every sample belongs to a family, under that family's labels.
    #[test]
    fn a_scrape_has_what_is_listed_and_nothing_else() {
        let watched = Watched::new(Settings::default());
        fail(&watched, "x");
        watched.watch().settle(true);
        for Sample { family, series: (name, labels), value } in watched.shown() {
            let Family { name: listed, labels: known, kind, .. } = FAMILIES[family];
            assert!(name == listed || (kind == Kind::Histogram && name.starts_with(listed)), "{name}");
            assert!(value.is_finite(), "{name}");
            let mut names: Vec<&str> =
                labels.split(',').filter_map(|it| Some(it.split_once('=')?.0)).collect();
            names.retain(|name| *name != "le");
            assert_eq!(names, known, "{name}");
        }
    }
}
