//! Telemetry: what Prometheus scrapes. One registry a process, one set of cached handles a shard.
//!
//! Counters and gauges go through the `metrics` exporter and are touched once a batch. Distributions are HDR
//! histograms, recorded once a message with its number of outcomes, and rendered here as classic buckets: the
//! exporter's own histograms would keep every sample until a scrape.

pub mod analytics;
mod answering;
mod audits;
mod described;
mod distributions;
mod door;
pub mod families;
mod verdicts;

use std::fmt::Write;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{Counter, Gauge, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use metrics_process::Collector;

pub use audits::Audits;

use analytics::Watched;
pub use answering::{Answering, Answers, Unsaved};
use distributions::{Distribution, Distributions};
pub use door::DoorTelemetry;
pub use verdicts::VERDICTS;

use super::streams::{AppendError, StreamState};
use crate::folds::inventory::{Counts, Totals};
use crate::words::command::CommandKind;
use crate::words::fault::Fault;
use crate::words::outcome::{OutcomeKind, Reason};
use crate::words::policy::RULES_NEWEST;

/// The bound that the service level objective is about, in seconds: one bucket ends exactly there.
pub const SLO_SECONDS: f64 = 0.25;

/// What a worker can be to a shard.
pub const ROLES: [&str; 3] = ["leader", "standby", "away"];

/// What a shard can be at a worker.
pub const LIVES: [&str; 7] = ["away", "pausing", "restoring", "replaying", "following", "leading", "halted"];

/// What a shard is made of.
pub const STAGES: [&str; 10] = [
    "recovery",
    "reader",
    "fold",
    "publisher",
    "ticker",
    "scribe",
    "auditor",
    "poller",
    "observer",
    "supervisor",
];

/// Why a shard's work ends before it is told to.
pub const RECOVERIES: [&str; 3] = ["fault", "lost", "panic"];

/// A gauge that is not there before it is set for the first time: a time of 0 would be taken for one.
struct Once {
    recorder: Arc<PrometheusRecorder>,
    key: Key,
    gauge: OnceLock<Gauge>,
}

impl Once {
    fn new(telemetry: &Telemetry, name: &'static str, labels: &[(&'static str, String)]) -> Self {
        let key = Telemetry::key(name, labels);
        Self { recorder: telemetry.recorder.clone(), key, gauge: OnceLock::new() }
    }

    fn set(&self, value: f64) {
        self.gauge.get_or_init(|| self.recorder.register_gauge(&self.key, &METADATA)).set(value);
    }
}

static METADATA: Metadata<'static> = Metadata::new("weir", Level::INFO, None);

/// The process's registry.
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    shards: Mutex<Vec<Arc<ShardTelemetry>>>,
    decisions: bool,
    process: Collector,
    door: OnceLock<Arc<DoorTelemetry>>,
    answers: Answers,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self::new()
    }
}

impl Telemetry {
    /// An empty registry.
    #[must_use]
    pub fn new() -> Self {
        Self::with_decisions(true)
    }

    /// An empty registry whose shards count and time decisions, or only show how far they are.
    #[must_use]
    pub fn with_decisions(decisions: bool) -> Self {
        let recorder = Arc::new(PrometheusBuilder::new().build_recorder());
        let handle = recorder.handle();
        let process = Collector::default();
        metrics::with_local_recorder(&*recorder, || process.describe());
        let (shards, door, answers) = (Mutex::default(), OnceLock::new(), Answers::default());
        let telemetry = Self { recorder, handle, shards, decisions, process, door, answers };
        telemetry.describe();
        let labels = [("version", env!("CARGO_PKG_VERSION").to_owned()), ("rules", RULES_NEWEST.to_string())];
        telemetry.gauge("weir_build_info", &labels).set(1.0);
        telemetry
    }

    /// Makes this the registry of whatever counts without holding a handle, such as the connections. The first one of a
    /// process stays.
    pub fn install(&self) {
        // A second registry in one process (tests) is no fault.
        let _ = metrics::set_global_recorder(Arc::clone(&self.recorder));
    }

    fn key(name: &'static str, labels: &[(&'static str, String)]) -> Key {
        let labels: Vec<_> = labels.iter().map(|(name, value)| Label::new(*name, value.clone())).collect();
        Key::from_parts(name, labels)
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, String)]) -> Counter {
        self.recorder.register_counter(&Self::key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, String)]) -> Gauge {
        self.recorder.register_gauge(&Self::key(name, labels), &METADATA)
    }

    /// The handles of one shard.
    ///
    /// # Panics
    /// Never: the bounds of the histograms are constants.
    #[must_use]
    pub fn shard(&self, shard: &str) -> Arc<ShardTelemetry> {
        let label = |name: &'static str, value: &str| (name, value.to_owned());
        let own = label("shard", shard);
        let gauge = |name: &'static str| self.gauge(name, std::slice::from_ref(&own));
        let gauge_of = |name: &'static str, key: &'static str, value: &str| {
            self.gauge(name, &[own.clone(), label(key, value)])
        };
        let outcome = |outcome: &str, reason: &str| {
            self.counter(
                "weir_outcomes_total",
                &[own.clone(), label("outcome", outcome), label("reason", reason)],
            )
        };
        let refused = |name: &'static str| {
            Reason::ALL.map(|reason| self.counter(name, &[own.clone(), label("reason", reason.code())]))
        };
        let telemetry = Arc::new(ShardTelemetry {
            commands: CommandKind::ALL.map(|kind| {
                self.counter("weir_commands_total", &[own.clone(), label("command", kind.name())])
            }),
            outcomes: OutcomeKind::ALL.map(|kind| outcome(kind.name(), "")),
            refusals: Reason::ALL.map(|reason| outcome(OutcomeKind::Refused.name(), reason.code())),
            refused_payments: refused("weir_payments_refused_total"),
            refused_facts: refused("weir_facts_refused_total"),
            repeats: OutcomeKind::ALL.map(|kind| {
                self.counter("weir_repeats_total", &[own.clone(), label("outcome", kind.name())])
            }),
            replayed: self.counter("weir_replayed_messages_total", std::slice::from_ref(&own)),
            followed: self.counter("weir_followed_messages_total", std::slice::from_ref(&own)),
            observers_lost: self.counter("weir_observer_lost_batches_total", std::slice::from_ref(&own)),
            stalls: self.counter("weir_reader_stalls_total", std::slice::from_ref(&own)),
            snapshots: ["taken", "failed", "passed_over"]
                .map(|end| self.counter("weir_snapshots_total", &[own.clone(), label("end", end)])),
            snapshot_sequence: gauge("weir_snapshot_sequence"),
            snapshot_bytes: gauge("weir_snapshot_bytes"),
            audits: Audits::new(self, shard),
            roles: ROLES.map(|role| gauge_of("weir_role", "role", role)),
            append_failures: ["conflict", "full", "too_large", "timed_out", "unavailable", "missing"]
                .map(|why| self.counter("weir_append_failures_total", &[own.clone(), label("why", why)])),
            recoveries: RECOVERIES
                .map(|why| self.counter("weir_recoveries_total", &[own.clone(), label("why", why)])),
            panics: STAGES
                .map(|stage| self.counter("weir_stage_panics_total", &[own.clone(), label("stage", stage)])),
            lives: LIVES.map(|life| gauge_of("weir_life", "life", life)),
            log_sequences: [gauge("weir_log_first_sequence"), gauge("weir_log_last_sequence")],
            clock_skew: gauge("weir_clock_skew_seconds"),
            unsafe_settings: gauge("weir_stream_unsafe_settings"),
            moved_at: Once::new(self, "weir_last_progress_timestamp_seconds", std::slice::from_ref(&own)),
            outcomes_since: Once::new(
                self,
                "weir_outcomes_oldest_timestamp_seconds",
                std::slice::from_ref(&own),
            ),
            snapshot_at: Once::new(
                self,
                "weir_snapshot_last_success_timestamp_seconds",
                std::slice::from_ref(&own),
            ),
            lag_messages: gauge("weir_lag_messages"),
            lag_seconds: gauge("weir_lag_seconds"),
            applied_sequence: gauge("weir_applied_sequence"),
            announced_sequence: gauge("weir_announced_sequence"),
            decided_sequence: gauge("weir_decided_sequence"),
            shown_at: Once::new(self, "weir_shown_timestamp_seconds", std::slice::from_ref(&own)),
            ready: gauge("weir_ready"),
            faults: Fault::NAMES.map(|fault| gauge_of("weir_fault", "fault", fault)),
            orders: ["open", "waiting", "timed", "settled", "closed", "refused"]
                .map(|stage| gauge_of("weir_orders", "stage", stage)),
            units: ["on_hand", "reserved"].map(|kind| gauge_of("weir_stock_units", "kind", kind)),
            skus: gauge("weir_skus"),
            out_of_stock: gauge("weir_skus_out_of_stock"),
            bytes: ["log", "outcomes"].map(|stream| gauge_of("weir_stream_bytes", "stream", stream)),
            bytes_max: ["log", "outcomes"]
                .map(|stream| gauge_of("weir_stream_limit_bytes", "stream", stream)),
            distributions: Mutex::new(Distributions::new()),
            answering: self.answers.of(shard),
            watched: OnceLock::new(),
            shard: shard.to_owned(),
            decisions: self.decisions,
        });
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(telemetry.clone());
        telemetry
    }

    /// How this process answers, shard by shard.
    #[must_use]
    pub const fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The handles of a shard that were made before.
    #[must_use]
    pub fn find(&self, shard: &str) -> Option<Arc<ShardTelemetry>> {
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        shards.iter().find(|telemetry| telemetry.shard == shard).cloned()
    }

    /// All metrics, in Prometheus's text format.
    #[must_use]
    pub fn render(&self) -> String {
        metrics::with_local_recorder(&*self.recorder, || self.process.collect());
        self.handle.run_upkeep();
        let mut text = self.handle.render();
        let shards = self.shards.lock().unwrap_or_else(PoisonError::into_inner);
        let mut family =
            |name: &str, help: &str, of: &dyn Fn(&Distributions) -> Vec<(&'static str, &Distribution)>| {
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
                for shard in shards.iter() {
                    let distributions = shard.distributions.lock().unwrap_or_else(PoisonError::into_inner);
                    for (labels, distribution) in of(&distributions) {
                        distribution.render(&mut text, name, &format!("shard=\"{}\"{labels}", shard.shard));
                    }
                }
                text.push('\n');
            };
        family(
            "weir_stage_duration_seconds",
            "From being stored in the log to being applied (apply), one append's round trip (publish), from being \
             stored to its outcome being announced (end_to_end).",
            &|distributions| {
                vec![
                    (",stage=\"apply\"", &distributions.apply),
                    (",stage=\"publish\"", &distributions.publish),
                    (",stage=\"end_to_end\"", &distributions.end_to_end),
                ]
            },
        );
        family("weir_batch_messages", "Log messages applied at once.", &|distributions| {
            vec![("", &distributions.batch_messages)]
        });
        family("weir_append_outcomes", "Outcomes announced by one append.", &|distributions| {
            vec![("", &distributions.append_outcomes)]
        });
        if let Some(door) = self.door.get() {
            door.render(&mut text);
        }
        let watched = |shard: &Arc<ShardTelemetry>| shard.watched.get().cloned();
        let mut models: Vec<_> = shards.iter().map(|shard| (shard.shard.clone(), watched(shard))).collect();
        // A model under look holds up nobody who looks for a shard's handles.
        drop(shards);
        let mut more = Vec::new();
        for (name, answering) in self.answers.all() {
            // A door may answer for shards that are no other business of this process.
            let place = models.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                models.push((name, None));
                models.len() - 1
            });
            more.extend(answering.series().into_iter().map(|series| (place, series)));
        }
        let models: Vec<_> = models.iter().map(|(shard, model)| (shard.as_str(), model.as_deref())).collect();
        analytics::render(&mut text, &models, &more);
        text
    }
}

/// The metrics of one shard.
pub struct ShardTelemetry {
    shard: String,
    decisions: bool,
    commands: [Counter; CommandKind::ALL.len()],
    outcomes: [Counter; OutcomeKind::ALL.len()],
    refusals: [Counter; Reason::ALL.len()],
    refused_payments: [Counter; Reason::ALL.len()],
    refused_facts: [Counter; Reason::ALL.len()],
    repeats: [Counter; OutcomeKind::ALL.len()],
    replayed: Counter,
    followed: Counter,
    stalls: Counter,
    observers_lost: Counter,
    snapshots: [Counter; 3],
    snapshot_sequence: Gauge,
    snapshot_bytes: Gauge,
    /// What its audits came to.
    pub audits: Audits,
    roles: [Gauge; ROLES.len()],
    append_failures: [Counter; 6],
    recoveries: [Counter; RECOVERIES.len()],
    panics: [Counter; STAGES.len()],
    lives: [Gauge; LIVES.len()],
    log_sequences: [Gauge; 2],
    unsafe_settings: Gauge,
    clock_skew: Gauge,
    moved_at: Once,
    snapshot_at: Once,
    outcomes_since: Once,
    lag_messages: Gauge,
    lag_seconds: Gauge,
    applied_sequence: Gauge,
    announced_sequence: Gauge,
    decided_sequence: Gauge,
    shown_at: Once,
    ready: Gauge,
    faults: [Gauge; Fault::NAMES.len()],
    orders: [Gauge; 6],
    units: [Gauge; 2],
    skus: Gauge,
    out_of_stock: Gauge,
    bytes: [Gauge; 2],
    bytes_max: [Gauge; 2],
    distributions: Mutex<Distributions>,
    answering: Arc<Answering>,
    watched: OnceLock<Arc<Watched>>,
}

/// What the gauges of a shard show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// The last message applied.
    pub applied: u64,
    /// The message of the last outcome announced.
    pub announced: u64,
    /// The message through which all is decided and announced, also what has no outcome.
    pub decided: u64,
    /// When this was shown, in nanoseconds since 1970; 0 where it is not known.
    pub shown_at_ns: i64,
    /// Age of the oldest message that is not applied, in seconds, as it was last known.
    pub lag_seconds: f64,
    /// Whether the shard is connected, caught up, and does not stand still.
    pub ready: bool,
    /// What this worker does for the shard: one of [`ROLES`].
    pub role: &'static str,
    /// What the shard is: one of [`LIVES`].
    pub life: &'static str,
    /// When something was last applied or announced, in nanoseconds since 1970; 0 before.
    pub moved_at_ns: i64,
    /// How far the broker's clock is ahead, in nanoseconds.
    pub clock_skew_ns: i64,
    /// How many settings of the shard's streams there are under which they would lose data.
    pub unsafe_settings: usize,
    /// The log.
    pub log: StreamState,
    /// The outcome stream.
    pub outcomes: StreamState,
    /// Sums over the state.
    pub totals: Totals,
    /// When that is, in milliseconds since 1970.
    pub at_ms: i64,
}

/// A message, for the distributions.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// When it was stored, in nanoseconds since 1970.
    pub stored_at_ns: i64,
    /// How many outcomes it has.
    pub outcomes: u64,
    /// Whether a door appended it, which counts for the objective by itself.
    pub by_door: bool,
}

impl ShardTelemetry {
    /// Messages were applied while recovering.
    pub fn replayed(&self, messages: usize) {
        self.replayed.increment(messages as u64);
    }

    /// Messages were applied live by who leads, at `wall_ns`.
    pub fn applied(&self, messages: impl ExactSizeIterator<Item = Weight>, wall_ns: i64) {
        if !self.decisions {
            return;
        }
        let mut distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        let messages: Vec<_> = messages.collect();
        distributions.batch_messages.record(messages.len() as u64, 1);
        for message in &messages {
            distributions.apply.record_since(message.stored_at_ns, wall_ns, message.outcomes);
        }
        drop(distributions);
        self.answering.applied(messages.into_iter(), wall_ns);
    }

    /// Shows a model from now on; the first one stays.
    pub fn watch(&self, watched: Arc<Watched>) {
        let _ = self.watched.set(watched);
    }

    /// So many orders took so many microseconds each from their `submitted_at` until their outcomes were announced, at `now_ms` (since 1970).
    pub fn submitted(&self, now_ms: i64, took_us: i64, count: u64) {
        self.answering.submitted(now_ms, took_us, count);
    }

    /// An append of this worker is known to be stored, at `wall_ns`; `took` is its round trip, unless its acknowledgement
    /// was lost. Beside the outcomes, how many are refusals for want of room that did not come by a door.
    pub fn announced(
        &self,
        (outcomes, busy): (&Counts, u64),
        commands: &[u64; CommandKind::ALL.len()],
        messages: impl Iterator<Item = Weight>,
        took: Option<Duration>,
        wall_ns: i64,
    ) {
        if !self.decisions {
            return;
        }
        let counters = self.outcomes.iter().chain(&self.refusals).chain(&self.repeats).chain(&self.commands);
        let counts = outcomes.plain.iter().chain(&outcomes.refused).chain(&outcomes.repeats).chain(commands);
        let refused = self.refused_payments.iter().zip(&outcomes.refused_payments);
        let refused = refused.chain(self.refused_facts.iter().zip(&outcomes.refused_facts));
        for (counter, count) in counters.zip(counts).chain(refused) {
            if *count > 0 {
                counter.increment(*count);
            }
        }
        let mut distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        distributions.append_outcomes.record(outcomes.all, 1);
        if let Some(took) = took {
            distributions.publish.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), 1);
        }
        let messages: Vec<_> = messages.collect();
        for message in &messages {
            distributions.end_to_end.record_since(message.stored_at_ns, wall_ns, message.outcomes);
        }
        drop(distributions);
        let took_us = took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
        self.answering.announced(messages.into_iter(), busy, took_us, wall_ns);
    }

    /// An append was not acknowledged.
    pub fn append_failed(&self, error: &AppendError) {
        let why = match error {
            AppendError::Conflict => 0,
            AppendError::Full => 1,
            AppendError::TooLarge => 2,
            AppendError::TimedOut => 3,
            AppendError::Unavailable(_) => 4,
            AppendError::Missing(_) => 5,
        };
        self.append_failures[why].increment(1);
    }

    /// The shard stands still.
    pub fn fault(&self, fault: &Fault) {
        for (gauge, name) in self.faults.iter().zip(Fault::NAMES) {
            gauge.set(f64::from(u8::from(name == fault.name())));
        }
        self.ready.set(0.0);
    }

    /// The oldest append that the outcome stream holds was stored then, in nanoseconds since 1970.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn outcomes_since(&self, wall_ns: i64) {
        self.outcomes_since.set(wall_ns as f64 / 1e9);
    }

    /// A shard's work ended before it was told to, for one of [`RECOVERIES`].
    pub fn recovered(&self, why: &str) {
        count_one(&self.recoveries, &RECOVERIES, why);
    }

    /// A stage of [`STAGES`] panicked.
    pub fn stage_panicked(&self, stage: &str) {
        count_one(&self.panics, &STAGES, stage);
    }

    /// The shard stands still no more.
    pub fn mended(&self) {
        for gauge in &self.faults {
            gauge.set(0.0);
        }
    }

    /// Messages were applied as a standby.
    pub fn followed(&self, messages: usize) {
        self.followed.increment(messages as u64);
    }

    /// Observers lost so many batches.
    pub fn observers_lost(&self, batches: u64) {
        self.observers_lost.increment(batches);
    }

    /// A reader fell silent while its stream went on.
    pub fn stalled(&self) {
        self.stalls.increment(1);
    }

    /// A snapshot was taken and read back, at `wall_ns` (nanoseconds since 1970).
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; figures beyond 2^53 are out of reach")]
    pub fn snapshot_taken(&self, sequence: u64, bytes: u64, wall_ns: i64) {
        self.snapshots[0].increment(1);
        self.snapshot_at.set(wall_ns as f64 / 1e9);
        self.snapshot_sequence.set(sequence as f64);
        self.snapshot_bytes.set(bytes as f64);
    }

    /// The newest snapshot that this worker knows of, whoever took it.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub fn snapshot_known(&self, sequence: u64) {
        self.snapshot_sequence.set(sequence as f64);
    }

    /// No snapshot could be taken.
    pub fn snapshot_failed(&self) {
        self.snapshots[1].increment(1);
    }

    /// A snapshot could not be restored.
    pub fn snapshot_passed_over(&self) {
        self.snapshots[2].increment(1);
    }

    /// What this worker does for the shard now.
    pub fn role(&self, role: &str) {
        for (gauge, name) in self.roles.iter().zip(ROLES) {
            gauge.set(f64::from(u8::from(name == role)));
        }
    }

    /// The shard is another worker's: what was known of it says nothing any more.
    pub fn left(&self) {
        self.progress(&Gauges { role: "away", life: "away", ..Gauges::default() });
    }

    /// How far the shard is.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; figures beyond 2^53 are out of reach")]
    pub fn progress(&self, gauges: &Gauges) {
        let Gauges { applied, announced, lag_seconds, ready, role, life, log, outcomes, .. } = gauges;
        self.role(role);
        let leads = *role == "leader";
        self.answering.asked(log.last_sequence, *applied, *lag_seconds, leads, gauges.at_ms);
        for (gauge, name) in self.lives.iter().zip(LIVES) {
            gauge.set(f64::from(u8::from(name == *life)));
        }
        // Sums over workers count each shard once.
        let totals = if *role == "leader" { gauges.totals } else { Totals::default() };
        self.log_sequences[0].set(log.first_sequence as f64);
        self.log_sequences[1].set(log.last_sequence as f64);
        self.clock_skew.set(gauges.clock_skew_ns as f64 / 1e9);
        self.unsafe_settings.set(gauges.unsafe_settings as f64);
        if gauges.moved_at_ns > 0 {
            self.moved_at.set(gauges.moved_at_ns as f64 / 1e9);
        }
        self.lag_messages.set(log.last_sequence.saturating_sub(*applied) as f64);
        self.lag_seconds.set(*lag_seconds);
        self.applied_sequence.set(*applied as f64);
        self.announced_sequence.set(*announced as f64);
        self.decided_sequence.set(gauges.decided as f64);
        if gauges.shown_at_ns > 0 {
            self.shown_at.set(gauges.shown_at_ns as f64 / 1e9);
        }
        self.ready.set(f64::from(u8::from(*ready)));
        for (place, stream) in [log, outcomes].into_iter().enumerate() {
            self.bytes[place].set(stream.bytes as f64);
            self.bytes_max[place].set(stream.bytes_max as f64);
        }
        let orders = [
            totals.open_orders,
            totals.waiting_orders,
            totals.timed_orders,
            totals.settled_orders,
            totals.closed_orders,
            totals.refused_orders,
        ];
        for (gauge, count) in self.orders.iter().zip(orders) {
            gauge.set(count as f64);
        }
        for (gauge, units) in self.units.iter().zip([totals.stock.on_hand, totals.stock.reserved]) {
            gauge.set(units as f64);
        }
        self.skus.set(totals.stock.skus as f64);
        self.out_of_stock.set(totals.stock.out_of_stock as f64);
    }

    /// The latency from stored to announced that `quantile` (0 to 1) of the outcomes stayed within, in microseconds.
    #[must_use]
    pub fn end_to_end_us(&self, quantile: f64) -> u64 {
        let distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        distributions.end_to_end.histogram.value_at_quantile(quantile)
    }
}

/// Counts what is called `name`.
fn count_one(counters: &[Counter], names: &[&str], name: &str) {
    if let Some(place) = names.iter().position(|known| *known == name) {
        counters[place].increment(1);
    }
}
