//! Telemetry: what Prometheus scrapes. One registry a process, one set of cached handles a shard.
//!
//! Counters and gauges go through the `metrics` exporter and are touched once a batch. Distributions are HDR
//! histograms, recorded once a message with its number of outcomes, and rendered here as classic buckets: the
//! exporter's own histograms would keep every sample until a scrape.

mod audits;

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use audits::Audits;

use super::streams::{AppendError, StreamState};
use crate::folds::inventory::{Counts, Totals};
use crate::words::command::CommandKind;
use crate::words::fault::Fault;
use crate::words::outcome::{OutcomeKind, Reason};
use crate::words::policy::RULES_NEWEST;

/// The bound that the service level objective is about, in seconds: one bucket ends exactly there.
pub const SLO_SECONDS: f64 = 0.25;

/// Upper bounds of the buckets of durations, in seconds.
const DURATION_BOUNDS: [f64; 15] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, SLO_SECONDS, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];
/// Upper bounds of the buckets of sizes.
const SIZE_BOUNDS: [f64; 12] =
    [1.0, 4.0, 16.0, 64.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 65536.0];

/// What a worker can be to a shard.
pub const ROLES: [&str; 3] = ["leader", "standby", "away"];

static METADATA: Metadata<'static> = Metadata::new("weir", Level::INFO, None);

/// The process's registry.
pub struct Telemetry {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    shards: Mutex<Vec<Arc<ShardTelemetry>>>,
    decisions: bool,
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
        let telemetry = Self { recorder, handle, shards: Mutex::default(), decisions };
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

    fn describe(&self) {
        let counter = |name: &'static str, help: &'static str| {
            self.recorder.describe_counter(KeyName::from(name), None, help.into());
        };
        counter("weir_commands_total", "Commands applied live, by command.");
        counter(
            "weir_outcomes_total",
            "Outcomes announced, by outcome and, for refusals, reason. Repeats are not in it.",
        );
        counter("weir_repeats_total", "Outcomes announced that repeat an earlier one, by outcome.");
        counter("weir_replayed_messages_total", "Log messages applied while recovering.");
        counter("weir_followed_messages_total", "Log messages applied as a standby.");
        counter(
            "weir_reader_stalls_total",
            "Times that a reader fell silent while its stream went on, and was opened anew.",
        );
        counter(
            "weir_snapshots_total",
            "Snapshots, by how they ended: taken, failed, or passed over when restoring.",
        );
        counter("weir_nats_disconnects_total", "Times that a connection to NATS was lost, by connection.");
        counter("weir_nats_slow_consumers_total", "Times that the client dropped deliveries, by connection.");
        counter("weir_append_failures_total", "Appends of outcomes that were not acknowledged, by why.");
        let gauge = |name: &'static str, help: &'static str| {
            self.recorder.describe_gauge(KeyName::from(name), None::<Unit>, help.into());
        };
        gauge("weir_build_info", "Always 1; labels tell the version and the newest rules known.");
        gauge("weir_lag_messages", "Log messages that are not applied.");
        gauge("weir_lag_seconds", "Age of the oldest log message that is not applied.");
        gauge("weir_applied_sequence", "The last log message applied.");
        gauge("weir_announced_sequence", "The log message of the last outcome announced.");
        gauge("weir_ready", "1 while the shard is connected and caught up.");
        gauge("weir_role", "1 for what this worker does for the shard: leader, standby or away.");
        gauge("weir_snapshot_sequence", "The last log message of the newest snapshot that this worker took.");
        gauge("weir_snapshot_bytes", "The size of that snapshot.");
        gauge("weir_fault", "1 while the shard stands still for this fault.");
        gauge("weir_orders", "Orders in the state, by stage; waiting and held ones are open ones.");
        gauge("weir_stock_units", "Units of stock over all SKUs.");
        gauge("weir_skus", "SKUs known, site by site.");
        gauge("weir_skus_out_of_stock", "SKUs with nothing available.");
        gauge("weir_stream_bytes", "Bytes that the stream holds.");
        gauge("weir_stream_limit_bytes", "Bytes that the stream may hold; 0 where there is no limit.");
        Audits::describe(counter, gauge);
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
        let telemetry = Arc::new(ShardTelemetry {
            commands: CommandKind::ALL.map(|kind| {
                self.counter("weir_commands_total", &[own.clone(), label("command", kind.name())])
            }),
            outcomes: OutcomeKind::ALL.map(|kind| outcome(kind.name(), "")),
            refusals: Reason::ALL.map(|reason| outcome(OutcomeKind::Refused.name(), reason.code())),
            repeats: OutcomeKind::ALL.map(|kind| {
                self.counter("weir_repeats_total", &[own.clone(), label("outcome", kind.name())])
            }),
            replayed: self.counter("weir_replayed_messages_total", std::slice::from_ref(&own)),
            followed: self.counter("weir_followed_messages_total", std::slice::from_ref(&own)),
            stalls: self.counter("weir_reader_stalls_total", std::slice::from_ref(&own)),
            snapshots: ["taken", "failed", "passed_over"]
                .map(|end| self.counter("weir_snapshots_total", &[own.clone(), label("end", end)])),
            snapshot_sequence: gauge("weir_snapshot_sequence"),
            snapshot_bytes: gauge("weir_snapshot_bytes"),
            audits: Audits::new(self, shard),
            roles: ROLES.map(|role| gauge_of("weir_role", "role", role)),
            append_failures: ["conflict", "full", "too_large", "timed_out", "unavailable"]
                .map(|why| self.counter("weir_append_failures_total", &[own.clone(), label("why", why)])),
            lag_messages: gauge("weir_lag_messages"),
            lag_seconds: gauge("weir_lag_seconds"),
            applied_sequence: gauge("weir_applied_sequence"),
            announced_sequence: gauge("weir_announced_sequence"),
            ready: gauge("weir_ready"),
            faults: Fault::NAMES.map(|fault| gauge_of("weir_fault", "fault", fault)),
            orders: ["open", "waiting", "held", "settled", "closed"]
                .map(|stage| gauge_of("weir_orders", "stage", stage)),
            units: ["on_hand", "reserved"].map(|kind| gauge_of("weir_stock_units", "kind", kind)),
            skus: gauge("weir_skus"),
            out_of_stock: gauge("weir_skus_out_of_stock"),
            bytes: ["log", "outcomes"].map(|stream| gauge_of("weir_stream_bytes", "stream", stream)),
            bytes_max: ["log", "outcomes"]
                .map(|stream| gauge_of("weir_stream_limit_bytes", "stream", stream)),
            distributions: Mutex::new(Distributions::new()),
            shard: shard.to_owned(),
            decisions: self.decisions,
        });
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).push(telemetry.clone());
        telemetry
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
    repeats: [Counter; OutcomeKind::ALL.len()],
    replayed: Counter,
    followed: Counter,
    stalls: Counter,
    snapshots: [Counter; 3],
    snapshot_sequence: Gauge,
    snapshot_bytes: Gauge,
    /// What its audits came to.
    pub audits: Audits,
    roles: [Gauge; ROLES.len()],
    append_failures: [Counter; 5],
    lag_messages: Gauge,
    lag_seconds: Gauge,
    applied_sequence: Gauge,
    announced_sequence: Gauge,
    ready: Gauge,
    faults: [Gauge; Fault::NAMES.len()],
    orders: [Gauge; 5],
    units: [Gauge; 2],
    skus: Gauge,
    out_of_stock: Gauge,
    bytes: [Gauge; 2],
    bytes_max: [Gauge; 2],
    distributions: Mutex<Distributions>,
}

/// What the gauges of a shard show.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauges {
    /// The last message applied.
    pub applied: u64,
    /// The message of the last outcome announced.
    pub announced: u64,
    /// Age of the oldest message that is not applied, in seconds, as it was last known.
    pub lag_seconds: f64,
    /// Whether the shard is connected, caught up, and does not stand still.
    pub ready: bool,
    /// What this worker does for the shard: one of [`ROLES`].
    pub role: &'static str,
    /// The log.
    pub log: StreamState,
    /// The outcome stream.
    pub outcomes: StreamState,
    /// Sums over the state.
    pub totals: Totals,
}

/// A message, for the distributions: when it was stored and how many outcomes it has.
pub type Weight = (i64, u64);

impl ShardTelemetry {
    /// Messages were applied while recovering.
    pub fn replayed(&self, messages: usize) {
        self.replayed.increment(messages as u64);
    }

    /// Messages were applied live, at `wall_ns`.
    pub fn applied(
        &self,
        commands: &[u32; CommandKind::ALL.len()],
        messages: impl ExactSizeIterator<Item = Weight>,
        wall_ns: i64,
    ) {
        if !self.decisions {
            return;
        }
        for (counter, count) in self.commands.iter().zip(commands) {
            if *count > 0 {
                counter.increment(u64::from(*count));
            }
        }
        let mut distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        distributions.batch_messages.record(messages.len() as u64, 1);
        for (stored_at_ns, outcomes) in messages {
            distributions.apply.record_since(stored_at_ns, wall_ns, outcomes);
        }
    }

    /// An append of this worker is known to be stored, at `wall_ns`; `took` is its round trip, unless its acknowledgement
    /// was lost.
    pub fn announced(
        &self,
        outcomes: &Counts,
        messages: impl Iterator<Item = Weight>,
        took: Option<Duration>,
        wall_ns: i64,
    ) {
        if !self.decisions {
            return;
        }
        let counters = self.outcomes.iter().chain(&self.refusals).chain(&self.repeats);
        let counts = outcomes.plain.iter().chain(&outcomes.refused).chain(&outcomes.repeats);
        for (counter, count) in counters.zip(counts) {
            if *count > 0 {
                counter.increment(*count);
            }
        }
        let mut distributions = self.distributions.lock().unwrap_or_else(PoisonError::into_inner);
        distributions.append_outcomes.record(outcomes.all, 1);
        if let Some(took) = took {
            distributions.publish.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), 1);
        }
        for (stored_at_ns, outcomes) in messages {
            distributions.end_to_end.record_since(stored_at_ns, wall_ns, outcomes);
        }
    }

    /// An append was not acknowledged.
    pub fn append_failed(&self, error: &AppendError) {
        let why = match error {
            AppendError::Conflict => 0,
            AppendError::Full => 1,
            AppendError::TooLarge => 2,
            AppendError::TimedOut => 3,
            AppendError::Unavailable(_) => 4,
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

    /// Messages were applied as a standby.
    pub fn followed(&self, messages: usize) {
        self.followed.increment(messages as u64);
    }

    /// A reader fell silent while its stream went on.
    pub fn stalled(&self) {
        self.stalls.increment(1);
    }

    /// A snapshot was taken and read back.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; figures beyond 2^53 are out of reach")]
    pub fn snapshot_taken(&self, sequence: u64, bytes: u64) {
        self.snapshots[0].increment(1);
        self.snapshot_sequence.set(sequence as f64);
        self.snapshot_bytes.set(bytes as f64);
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
        self.progress(&Gauges { role: "away", ..Gauges::default() });
    }

    /// How far the shard is.
    #[expect(clippy::cast_precision_loss, reason = "gauges are floats; figures beyond 2^53 are out of reach")]
    pub fn progress(&self, gauges: &Gauges) {
        let Gauges { applied, announced, lag_seconds, ready, role, log, outcomes, totals } = gauges;
        self.role(role);
        self.lag_messages.set(log.last_sequence.saturating_sub(*applied) as f64);
        self.lag_seconds.set(*lag_seconds);
        self.applied_sequence.set(*applied as f64);
        self.announced_sequence.set(*announced as f64);
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

struct Distributions {
    apply: Distribution,
    publish: Distribution,
    end_to_end: Distribution,
    batch_messages: Distribution,
    append_outcomes: Distribution,
}

impl Distributions {
    fn new() -> Self {
        let duration = || Distribution::new(&DURATION_BOUNDS, 1e6);
        let size = || Distribution::new(&SIZE_BOUNDS, 1.0);
        Self {
            apply: duration(),
            publish: duration(),
            end_to_end: duration(),
            batch_messages: size(),
            append_outcomes: size(),
        }
    }
}

/// A histogram since the start of the process. Three significant digits, up to 100 seconds in microseconds, or 100 million.
struct Distribution {
    histogram: Histogram<u64>,
    sum: u128,
    bounds: &'static [f64],
    /// How many of the histogram's units make one of the metric's.
    scale: f64,
}

const VALUE_MAX: u64 = 100_000_000;

impl Distribution {
    fn new(bounds: &'static [f64], scale: f64) -> Self {
        let histogram = Histogram::new_with_bounds(1, VALUE_MAX, 3).expect("constant bounds");
        Self { histogram, sum: 0, bounds, scale }
    }

    fn record(&mut self, value: u64, count: u64) {
        self.sum += u128::from(value) * u128::from(count);
        self.histogram.saturating_record_n(value, count);
    }

    /// Records a duration. Clocks of two machines may differ: below zero counts as zero.
    fn record_since(&mut self, start_ns: i64, end_ns: i64, count: u64) {
        let nanos = end_ns.saturating_sub(start_ns).max(0).unsigned_abs();
        self.record(nanos / 1000, count);
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum in Prometheus is a float")]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounds are small and positive"
    )]
    fn render(&self, text: &mut String, name: &str, labels: &str) {
        for bound in self.bounds {
            let count = self.histogram.count_between(0, (bound * self.scale) as u64);
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
        }
        let count = self.histogram.len();
        let sum = self.sum as f64 / self.scale;
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }
}
