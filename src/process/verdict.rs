//! The verdict: whether orders are confirmed, how fast, and what to do, in one sentence and one step.
//!
//! A pure function of a worker's own figures, so that every place says the same: `/status`, `weir status`, the gauge
//! `weir_verdict`, the console and the first panel of the dashboards. The worst trouble is told first; what is only noteworthy
//! waits until nothing is broken. Each next step is something that the reader can do now, with the names filled in.

mod numbers;
mod ways_out;

use std::fmt::Write as _;

use crate::edges::streams::StreamState;
use crate::edges::telemetry::SLO_SECONDS;
use crate::motion::status::Unready;
use crate::words::outcome::Reason;

use numbers::{bytes, rate, ratio, since};
pub(super) use numbers::{count, percent};
use ways_out::{refused_for, way_out, what_happened};

/// The share of outcomes that should be announced within [`SLO_SECONDS`]; below it the verdict warns.
pub const WITHIN_MIN: f64 = 0.999;
/// A log this full, in percent, is filling: it should be trimmed from a half on.
pub const LOG_FILLING_PERCENT: u64 = 80;
/// A log this full, in thousandths, takes nothing more: a message may be larger than what is left.
pub const LOG_FULL_PER_MILLE: u64 = 995;
/// A share of refused orders that is worth a warning.
pub const REFUSED_MAX: f64 = 0.5;
/// Fewer orders than this say nothing of a share.
pub const ORDERS_MIN: u64 = 20;

/// How a worker is, from good to bad. The gauge `weir_verdict` has a series for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// All is well.
    Ok,
    /// On its way to being well, by itself.
    Recovering,
    /// Told to end.
    Draining,
    /// Orders are decided; somebody should look.
    Warning,
    /// Orders are not decided, or soon are not.
    Critical,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Ok, Self::Recovering, Self::Draining, Self::Warning, Self::Critical];

    /// The name as it stands in metrics and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Recovering => "recovering",
            Self::Draining => "draining",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// What there is to say of a worker. Each has its line in the operators' docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Orders come and are decided in time.
    Well,
    /// Nothing comes.
    Idle,
    /// Others lead; this worker stands by.
    StandingBy,
    /// The worker ends.
    Draining,
    /// A shard restores, or folds what it missed.
    Recovering,
    /// A shard is behind its log.
    Behind,
    /// Too few outcomes come in time.
    Slow,
    /// Most orders are refused.
    Refusing,
    /// A log is filling.
    LogFilling,
    /// A log takes nothing more.
    LogFull,
    /// A shard stands still here, and another worker leads it.
    FaultBeside,
    /// A shard stands still.
    Fault,
    /// A shard moves no further.
    Stuck,
    /// Outcomes cannot be announced.
    HeldUp,
    /// Nobody leads a shard.
    NoLeader,
    /// The broker does not answer.
    Unreachable,
    /// The worker itself is of no use any more.
    Unwell,
}

impl Condition {
    /// Every condition.
    pub const ALL: [Self; 17] = [
        Self::Well,
        Self::Idle,
        Self::StandingBy,
        Self::Draining,
        Self::Recovering,
        Self::Behind,
        Self::Slow,
        Self::Refusing,
        Self::LogFilling,
        Self::LogFull,
        Self::FaultBeside,
        Self::Fault,
        Self::Stuck,
        Self::HeldUp,
        Self::NoLeader,
        Self::Unreachable,
        Self::Unwell,
    ];

    /// The name as it stands in JSON and in the docs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Idle => "idle",
            Self::StandingBy => "standing_by",
            Self::Draining => "draining",
            Self::Recovering => "recovering",
            Self::Behind => "behind",
            Self::Slow => "slow",
            Self::Refusing => "refusing",
            Self::LogFilling => "log_filling",
            Self::LogFull => "log_full",
            Self::FaultBeside => "fault_beside",
            Self::Fault => "fault",
            Self::Stuck => "stuck",
            Self::HeldUp => "held_up",
            Self::NoLeader => "no_leader",
            Self::Unreachable => "unreachable",
            Self::Unwell => "unwell",
        }
    }

    /// How bad it is.
    #[must_use]
    pub const fn state(self) -> State {
        match self {
            Self::Well | Self::Idle | Self::StandingBy => State::Ok,
            Self::Recovering => State::Recovering,
            Self::Draining => State::Draining,
            Self::Behind | Self::Slow | Self::Refusing | Self::LogFilling | Self::FaultBeside => {
                State::Warning
            }
            Self::LogFull
            | Self::Fault
            | Self::Stuck
            | Self::HeldUp
            | Self::NoLeader
            | Self::Unreachable
            | Self::Unwell => State::Critical,
        }
    }
}

/// What is known of a shard.
#[derive(Clone, Debug, Default)]
pub struct ShardFigures {
    /// Its name.
    pub shard: String,
    /// What its log's stream is called.
    pub log_stream: String,
    /// Whether whoever judges leads it.
    pub leads: bool,
    /// Whether it is folded here, to lead or to stand by.
    pub held: bool,
    /// The other worker that leads it, where one does.
    pub leader: Option<String>,
    /// Why it is not ready; none where it is.
    pub unready: Option<Unready>,
    /// The fault for which it stands still, in its own words.
    pub fault: Option<String>,
    /// The worker at which it does; none where that is the one that is judged.
    pub fault_at: Option<String>,
    /// When it last moved, in milliseconds since 1970; none where it has not yet.
    pub moved_ms: Option<i64>,
    /// Its log.
    pub log: StreamState,
}

/// What came of orders of late.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Flow {
    /// Orders confirmed a second.
    pub confirmed_per_second: f64,
    /// The share of outcomes announced within [`SLO_SECONDS`]; none where there were none.
    pub within: Option<f64>,
    /// The share of this worker's own answers that were decisions and came within [`SLO_SECONDS`], as the objective counts them: those
    /// of its door, too. None where there were none.
    pub answered: Option<f64>,
    /// How many answers those were, in the minutes that are judged.
    pub answers: u64,
    /// Orders decided, in the minutes that are judged.
    pub decided: u64,
    /// Of those, refused.
    pub refused: u64,
    /// What most of them were refused for.
    pub reason: Option<Reason>,
}

/// What is judged.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
    /// Whether streams and leases are all that is known, without a worker's own figures.
    pub from_outside: bool,
    /// Whether the worker drains.
    pub draining: bool,
    /// What the worker lacks.
    pub unwell: Option<String>,
    /// The shards.
    pub shards: Vec<ShardFigures>,
    /// What came of orders; none where that is not measured.
    pub flow: Option<Flow>,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is about.
    pub condition: Condition,
    /// The shard that it is about; none where it is about the worker.
    pub shard: Option<String>,
    /// What is so.
    pub sentence: String,
    /// What to do.
    pub next_step: String,
    /// How many other shards are in trouble as well.
    pub others: usize,
}

const NOTHING_TO_DO: &str = "Nothing to do.";

impl Verdict {
    fn new(condition: Condition, sentence: impl Into<String>, next_step: impl Into<String>) -> Self {
        let (sentence, next_step) = (sentence.into(), next_step.into());
        Self { condition, shard: None, sentence, next_step, others: 0 }
    }

    /// How bad it is.
    #[must_use]
    pub const fn state(&self) -> State {
        self.condition.state()
    }

    /// Sentence and next step, as one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.sentence, self.next_step)
    }

    /// As JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "state": self.state().name(),
            "condition": self.condition.name(),
            "shard": self.shard,
            "sentence": self.sentence,
            "next_step": self.next_step,
        })
    }
}

/// Judges.
#[must_use]
pub fn judge(figures: &Figures) -> Verdict {
    if let Some(why) = &figures.unwell {
        return Verdict::new(
            Condition::Unwell,
            format!("This worker is of no use any more: {why}."),
            "Restart it; the others lead its shards meanwhile.",
        );
    }
    if figures.draining {
        return Verdict::new(
            Condition::Draining,
            "This worker ends: it announces what it has read and gives its shards away.",
            NOTHING_TO_DO,
        );
    }
    if figures.shards.is_empty() {
        return Verdict::new(
            Condition::Unreachable,
            "NATS cannot be reached, or the streams are not there yet.",
            "See that nats-server runs at the URL of `weir check`; then run `weir setup` once.",
        );
    }
    let troubles = figures.shards.iter().filter_map(|shard| Some((shard, trouble(shard, figures.now_ms)?)));
    let mut troubles: Vec<_> = troubles.collect();
    // The first of those that are equally bad.
    troubles.sort_by_key(|(_, verdict)| std::cmp::Reverse(verdict.state()));
    let others = troubles.len().saturating_sub(1);
    let worst = troubles.into_iter().next().map(|(shard, mut verdict)| {
        verdict.shard = Some(shard.shard.clone());
        verdict.others = others;
        match others {
            0 => {}
            1 => verdict.sentence.push_str(" Another shard is in trouble too."),
            others => {
                let _ = write!(verdict.sentence, " {others} other shards are in trouble too.");
            }
        }
        verdict
    });
    let flow = of_flow(figures);
    match worst {
        Some(worst) if worst.state() >= flow.state() => worst,
        _ => flow,
    }
}

/// What is wrong with a shard, if anything is.
fn trouble(figures: &ShardFigures, now_ms: i64) -> Option<Verdict> {
    let ShardFigures { shard, log_stream, log, .. } = figures;
    if let Some(fault) = &figures.fault {
        let next_step = way_out(fault, shard, log_stream);
        let what = what_happened(fault);
        let at = figures.fault_at.as_deref().unwrap_or("this worker");
        return Some(match &figures.leader {
            Some(leader) => Verdict::new(
                Condition::FaultBeside,
                format!("Shard {shard} stands still at {at} ({what}); {leader} leads it."),
                next_step,
            ),
            None => Verdict::new(
                Condition::Fault,
                format!("Shard {shard} decides nothing{}: {what}.", since(figures.moved_ms, now_ms)),
                next_step,
            ),
        });
    }
    if let Some(verdict) = figures.unready.as_ref().and_then(|why| unready(figures, why, now_ms)) {
        return Some(verdict);
    }
    if !figures.leads && figures.leader.is_none() {
        return Some(Verdict::new(
            Condition::NoLeader,
            format!("Nobody leads shard {shard}: its orders are stored, and decided once somebody does."),
            "Start a worker with `weir run`; one that runs takes over within a lease (3 s by default).",
        ));
    }
    if log.bytes_max == 0 || !(figures.leads || figures.held) {
        return None;
    }
    let (held, limit) = (bytes(log.bytes), bytes(log.bytes_max));
    let raise = format!(
        "Raise the limit: `nats stream edit {log_stream} --max-bytes {}`",
        log.bytes_max.saturating_mul(2)
    );
    let (filled, full) = (u128::from(log.bytes), u128::from(log.bytes_max));
    if filled * 1_000 >= full * u128::from(LOG_FULL_PER_MILLE) {
        return Some(Verdict::new(
            Condition::LogFull,
            format!("Shard {shard} takes no new orders: its log is full ({held} of {limit})."),
            format!(
                "{raise}. Then see why it is not trimmed: `weir_snapshots_total{{end=\"failed\"}}` and the worker's log."
            ),
        ));
    }
    if filled * 100 >= full * u128::from(LOG_FILLING_PERCENT) {
        return Some(Verdict::new(
            Condition::LogFilling,
            format!(
                "The log of shard {shard} is {}% full ({held} of {limit}): it is not trimmed.",
                filled * 100 / full
            ),
            format!(
                "See why no snapshot is taken: `weir_snapshots_total{{end=\"failed\"}}` and the worker's log. {raise}."
            ),
        ));
    }
    None
}

/// What being unready comes to; none where a fault says it.
fn unready(figures: &ShardFigures, why: &Unready, now_ms: i64) -> Option<Verdict> {
    let (shard, since) = (&figures.shard, since(figures.moved_ms, now_ms));
    let elsewhere = |rest: &str| match &figures.leader {
        Some(leader) if !figures.leads => format!("{leader} leads shard {shard}; this worker {rest}"),
        _ => format!("Shard {shard} {rest}"),
    };
    let recovering = |rest: &str| Verdict::new(Condition::Recovering, elsewhere(rest), NOTHING_TO_DO);
    Some(match why {
        Unready::Halted(_) => return None,
        Unready::Coming | Unready::Restoring => {
            recovering("restores its state; orders are stored meanwhile.")
        }
        Unready::Pausing => recovering("is about to recover; orders are stored meanwhile."),
        Unready::Replaying(messages) => recovering(&format!(
            "folds what it missed, {} messages; orders are stored meanwhile.",
            count(*messages)
        )),
        Unready::Unreachable => Verdict::new(
            Condition::Unreachable,
            format!("Nothing is known of shard {shard}{since}: NATS cannot be reached."),
            "See that nats-server runs and has a JetStream leader (`nats stream report`); the worker tries on by itself.",
        ),
        Unready::HeldUp(why) => Verdict::new(
            Condition::HeldUp,
            format!("Shard {shard} announces nothing{since}: {why}."),
            "Mend what is named; the worker tries on by itself, and announces what waits.",
        ),
        Unready::Stuck(messages) => Verdict::new(
            Condition::Stuck,
            format!("Shard {shard} gets no further{since}: {} messages wait.", count(*messages)),
            "See that the broker answers (`nats stream report`); if it does, restart the worker that leads: a standby takes over at once.",
        ),
        Unready::Behind(messages) => Verdict::new(
            Condition::Behind,
            elsewhere(&format!("is behind by {} messages.", count(*messages))),
            "Wait; if it does not shrink, give the worker more of its processor, or split the shard.",
        ),
    })
}

/// What the flow comes to.
fn of_flow(figures: &Figures) -> Verdict {
    let led = figures.shards.iter().filter(|shard| shard.leads).count();
    let all = figures.shards.len();
    let shards = |count: usize| if count == 1 { "1 shard".to_owned() } else { format!("{count} shards") };
    if figures.from_outside {
        let sentence =
            if all == 1 { "The shard is led.".to_owned() } else { format!("All {all} shards are led.") };
        return Verdict::new(
            Condition::Well,
            sentence,
            "How fast orders are confirmed, a worker's console says.",
        );
    }
    let bound_ms = SLO_SECONDS * 1_000.0;
    // What a door turns away, or answers late, no shard knows.
    if let Some(flow) = figures.flow
        && let Some(answered) = flow.answered.filter(|answered| *answered < flow.within.unwrap_or(1.0))
        && answered < WITHIN_MIN
        && flow.answers >= ORDERS_MIN
    {
        return Verdict::new(
            Condition::Slow,
            format!(
                "Confirming {} orders/s; only {} of this worker's answers were decisions within {bound_ms} ms.",
                rate(flow.confirmed_per_second),
                percent(answered)
            ),
            "See `weir_door_replies_total` for what its door answers: `busy` wants less traffic or more workers. All decided: its machine or its way to NATS is slow.",
        );
    }
    if led == 0 {
        return Verdict::new(
            Condition::StandingBy,
            format!("This worker stands by: others lead {}.", shards(all)),
            NOTHING_TO_DO,
        );
    }
    let Some(flow) = figures.flow else {
        return Verdict::new(
            Condition::Well,
            format!(
                "{} of {} led here, up to date; orders are not measured (worker.metrics is false).",
                led,
                shards(all)
            ),
            NOTHING_TO_DO,
        );
    };
    let share_refused = ratio(flow.refused, flow.decided);
    if let (true, Some(reason)) = (flow.decided >= ORDERS_MIN && share_refused > REFUSED_MAX, flow.reason) {
        return Verdict::new(
            Condition::Refusing,
            format!("{:.0}% of orders are refused, most for {}.", share_refused * 100.0, reason.code()),
            refused_for(reason),
        );
    }
    let rate = rate(flow.confirmed_per_second);
    match flow.within {
        Some(within) if within < WITHIN_MIN && flow.decided >= ORDERS_MIN => Verdict::new(
            Condition::Slow,
            format!("Confirming {rate} orders/s; only {} within {bound_ms} ms.", percent(within)),
            "See which stage of `weir_stage_duration_seconds` is slow: `apply` wants processor time, `publish` a faster broker or disk.",
        ),
        Some(within) => Verdict::new(
            Condition::Well,
            format!("Confirming {rate} orders/s; {} within {bound_ms} ms.", percent(within)),
            NOTHING_TO_DO,
        ),
        None => Verdict::new(
            Condition::Idle,
            format!("No orders in the last minutes; {} led here and ready.", shards(led)),
            "Nothing to do, unless orders should be coming.",
        ),
    }
}

#[cfg(test)]
mod tests;
