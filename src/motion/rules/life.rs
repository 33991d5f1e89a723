//! The life of a shard at a worker. Sans-IO: it is told what happens, and is asked what the shard is, what it says to others, and
//! what follows from the end of a stage.
//!
//! ```text
//!            named in the leases           caught up
//!   Away ─────────────────────► Recovering ─────────► Following ◄──► Leading
//!    ▲  ◄── named no more ──┐      ▲  │ a fault           │             │
//!    └──────────────────────┴──────┼──┴──► Halted ◄───────┴─────────────┤
//!                                  └── a stage ended: error, panic ─────┘
//! ```
//!
//! It is the only source of readiness, of the role that is shown, and of what [`sharing`](crate::motion::sharing) tells other
//! workers. A lease speaks for a shard that moves, not for a process that lives: who leads and gets no further while its log does
//! is *stuck*, and gives the lease to a standby that is ready.

use std::any::Any;
use std::time::Duration;

use super::leases::Role;
use super::unready::Unready;
use crate::words::fault::Fault;

/// A shard counts as caught up while its lag is below this many seconds.
pub const LAG_SECONDS_MAX: f64 = 5.0;
/// A leader that applies nothing for so long while its log goes on is stuck. A slow message takes milliseconds, and a reader that
/// falls silent is opened anew within this time.
pub const APPLIES_WITHIN: Duration = Duration::from_secs(5);
/// A leader that announces nothing for so long of what it has applied is stuck: longer than the election of a stream's leader, 4 to
/// 9 seconds, which another worker would have to wait for as well.
pub const ANNOUNCES_WITHIN: Duration = Duration::from_secs(15);
/// The same for a leader that has announced nothing since it leads. Where none of the workers can, the lease goes round no faster.
pub const ANNOUNCES_FIRST_WITHIN: Duration = Duration::from_mins(1);
/// The pause before the second recovery in a row; it doubles for each further one.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// A shard that was well for so long has recovered: the next recovery is a first one.
const WELL_AFTER: Duration = Duration::from_mins(1);
/// A stage that panics so often in a row, whatever is restored, has a defect that no recovery mends.
const PANICS_MAX: u32 = 8;

/// What a recovery is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Waiting before it is tried again.
    Pausing,
    /// Asking the streams how far they are, and restoring a snapshot.
    Restoring,
    /// Folding the log up to its end.
    Replaying,
}

/// What a shard is at a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Another worker's.
    #[default]
    Away,
    /// On the way to a state that belongs to what the log holds.
    Recovering {
        /// How far on it.
        phase: Phase,
    },
    /// Folding what comes, publishing nothing.
    Following,
    /// Folding what comes, and publishing.
    Leading,
    /// Standing still.
    Halted {
        /// Why.
        fault: Fault,
    },
}

impl Life {
    /// Its name, as it stands in metrics (one of [`LIVES`](crate::edges::telemetry::LIVES)) and in `/status`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Recovering { phase: Phase::Pausing } => "pausing",
            Self::Recovering { phase: Phase::Restoring } => "restoring",
            Self::Recovering { phase: Phase::Replaying } => "replaying",
            Self::Following => "following",
            Self::Leading => "leading",
            Self::Halted { .. } => "halted",
        }
    }
}

/// What a shard is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finds out where to go on.
    Recovery,
    /// Reads the log.
    Reader,
    /// Applies.
    Fold,
    /// Announces, or follows what is announced.
    Publisher,
    /// Appends ticks.
    Ticker,
    /// Takes snapshots.
    Scribe,
    /// Audits.
    Auditor,
    /// Asks the streams how far they are, and shows it.
    Poller,
    /// Feeds analytics.
    Observer,
    /// Carries all the others.
    Supervisor,
}

impl Stage {
    /// Its name, one of [`STAGES`](crate::edges::telemetry::STAGES).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recovery => "recovery",
            Self::Reader => "reader",
            Self::Fold => "fold",
            Self::Publisher => "publisher",
            Self::Ticker => "ticker",
            Self::Scribe => "scribe",
            Self::Auditor => "auditor",
            Self::Poller => "poller",
            Self::Observer => "observer",
            Self::Supervisor => "supervisor",
        }
    }
}

/// How a shard's work ended before it was told to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// By a fault.
    Fault(Fault),
    /// What it stood on is not there any more: it goes on from what the streams hold now, and a snapshot.
    Lost(&'static str),
    /// A stage panicked, and said this.
    Panic(Stage, String),
}

/// What a panic says.
#[must_use]
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "without a message".to_owned())
}

/// What follows from an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Recover, after a pause.
    Recover(Duration),
    /// Stand still, and say why: see [`Living::halted`].
    Halt(Fault),
}

/// What a worker says to others of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands by, and could lead from memory.
    Ready,
    /// It is on its way, or leads and gets on.
    Busy,
    /// It leads and gets no further: a standby that is ready should.
    Stuck,
    /// It cannot lead.
    Unfit,
}

/// What is known of a shard's moves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// The last message of the log.
    pub log_last: u64,
    /// The last message applied.
    pub applied: u64,
    /// The last message wholly announced.
    pub announced: u64,
}

/// A shard's life, as it goes on.
#[derive(Clone, Debug, Default)]
pub struct Living {
    life: Life,
    role: Role,
    /// Since when the life is what it is, but for its phases.
    since: Duration,
    connected: bool,
    /// Whether it is behind its log, as far as is known.
    behind: bool,
    moves: Moves,
    /// When it was last seen to apply, or to have nothing to apply.
    applied_at: Duration,
    /// When it was last seen to announce, or to have nothing to announce.
    announced_at: Duration,
    /// Whether it has announced something since it leads.
    has_announced: bool,
    /// How often in a row it had to recover, and by panics.
    recoveries: u32,
    panics: u32,
    /// What keeps outcomes from being announced, in words.
    held_up: Option<String>,
}

impl Living {
    /// What the shard is.
    #[must_use]
    pub const fn life(&self) -> &Life {
        &self.life
    }

    /// What the table of leases says that this worker is to it.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Why it stands still, if it does.
    #[must_use]
    pub const fn fault(&self) -> Option<&Fault> {
        match &self.life {
            Life::Halted { fault } => Some(fault),
            _ => None,
        }
    }

    fn enter(&mut self, life: Life, now: Duration) {
        let both_recover = matches!((&self.life, &life), (Life::Recovering { .. }, Life::Recovering { .. }));
        if self.life != life && !both_recover {
            self.since = now;
        }
        self.life = life;
    }

    /// What it is, where nothing keeps it from being what it is told to be.
    fn told(&self, now: Duration) -> Life {
        if self.role.leads(now) { Life::Leading } else { Life::Following }
    }

    /// The role has changed, or may have run out.
    pub fn assigned(&mut self, role: Role, now: Duration) {
        if !self.role.leads(now) && role.leads(now) {
            self.has_announced = false;
            (self.applied_at, self.announced_at) = (now, now);
        }
        self.role = role;
        if matches!(self.life, Life::Following | Life::Leading) {
            self.enter(self.told(now), now);
        }
    }

    /// The shard is another worker's: what was known of it says nothing any more.
    pub fn left(&mut self) {
        *self = Self { role: self.role, ..Self::default() };
    }

    /// It recovers.
    pub fn recovering(&mut self, phase: Phase, now: Duration) {
        self.behind = true;
        self.held_up = None;
        self.enter(Life::Recovering { phase }, now);
    }

    /// It has folded so far, and announced so far.
    pub fn moved(&mut self, applied: u64, announced: u64, now: Duration) {
        if applied != self.moves.applied {
            self.applied_at = now;
        }
        if announced != self.moves.announced {
            self.announced_at = now;
            self.has_announced = true;
            self.held_up = None;
        }
        (self.moves.applied, self.moves.announced) = (applied, announced);
        self.idle(now);
    }

    /// Who has nothing to do is not late with it.
    fn idle(&mut self, now: Duration) {
        if self.moves.applied >= self.moves.log_last {
            self.applied_at = now;
        }
        if self.moves.announced >= self.moves.applied {
            self.announced_at = now;
        }
    }

    /// The streams answered: the log's end, and the age of the oldest message that is not applied, in seconds.
    pub fn polled(&mut self, log_last: u64, lag_seconds: f64, now: Duration) {
        self.connected = true;
        // What was known before may have been read of a newer one.
        self.moves.log_last = log_last;
        self.idle(now);
        self.behind = lag_seconds >= LAG_SECONDS_MAX;
        if !self.behind && self.life == (Life::Recovering { phase: Phase::Replaying }) {
            self.enter(self.told(now), now);
        } else if matches!(self.life, Life::Following | Life::Leading) {
            self.enter(self.told(now), now);
            if now.saturating_sub(self.since) >= WELL_AFTER {
                (self.recoveries, self.panics) = (0, 0);
            }
        }
    }

    /// The streams did not answer.
    pub const fn unanswered(&mut self) {
        self.connected = false;
    }

    /// The streams answer again.
    pub const fn answered(&mut self) {
        self.connected = true;
    }

    /// Outcomes cannot be announced, for this reason; none once they can.
    pub fn held_up(&mut self, why: Option<String>) {
        self.held_up = why;
    }

    /// A shard's work has ended before it was told to: what follows.
    pub fn ended(&mut self, end: End, now: Duration) -> Answer {
        let fault = match end {
            End::Fault(fault) => Some(fault),
            End::Lost(_) => None,
            End::Panic(stage, text) => {
                self.panics += 1;
                let sequence = self.moves.applied + 1;
                let message = format!("the {}, {} times in a row: {text}", stage.name(), self.panics);
                (self.panics >= PANICS_MAX).then_some(Fault::Panic { sequence, message })
            }
        };
        if let Some(fault) = fault {
            return Answer::Halt(fault);
        }
        let pause = match self.recoveries {
            0 => Duration::ZERO,
            before => PAUSE.saturating_mul(1 << (before - 1).min(16)).min(PAUSE_MAX),
        };
        self.recoveries += 1;
        self.recovering(Phase::Pausing, now);
        Answer::Recover(pause)
    }

    /// It stands still; says whether it did not before. The first fault stays: others follow from it.
    pub fn halted(&mut self, fault: Fault, now: Duration) -> bool {
        let is_new = self.fault().is_none();
        if is_new {
            self.enter(Life::Halted { fault }, now);
        }
        is_new
    }

    /// Whether it is done with all but the newest of its log, can reach its streams, and gets on. A shard that is not this worker's
    /// keeps nobody waiting.
    #[must_use]
    pub fn is_ready(&self, now: Duration) -> bool {
        self.unready(now).is_none()
    }

    /// Why it is not ready.
    #[must_use]
    pub fn unready(&self, now: Duration) -> Option<Unready> {
        let messages = self.moves.log_last.saturating_sub(self.moves.applied);
        match &self.life {
            Life::Halted { fault } => Some(Unready::Halted(fault.clone())),
            Life::Away if self.role == Role::Away => None,
            Life::Away => Some(Unready::Coming),
            _ if !self.connected => Some(Unready::Unreachable),
            Life::Recovering { phase: Phase::Replaying } => Some(Unready::Replaying(messages)),
            Life::Recovering { phase: Phase::Pausing } => Some(Unready::Pausing),
            Life::Recovering { phase: Phase::Restoring } => Some(Unready::Restoring),
            _ if self.held_up.is_some() => self.held_up.clone().map(Unready::HeldUp),
            _ if self.is_stuck(now) => Some(Unready::Stuck(messages)),
            _ if self.behind => Some(Unready::Behind(messages)),
            Life::Following | Life::Leading => None,
        }
    }

    /// Whether it leads, or should, and gets no further.
    fn is_stuck(&self, now: Duration) -> bool {
        if !self.role.leads(now) {
            return false;
        }
        let over = |since: Duration, most: Duration| now.saturating_sub(since) >= most;
        if matches!(self.life, Life::Recovering { .. }) {
            return over(self.since, APPLIES_WITHIN);
        }
        let announces_within = if self.has_announced { ANNOUNCES_WITHIN } else { ANNOUNCES_FIRST_WITHIN };
        let Moves { log_last, applied, announced } = self.moves;
        (applied < log_last && over(self.applied_at, APPLIES_WITHIN))
            || (announced < applied && over(self.announced_at, announces_within))
    }

    /// What others are told.
    #[must_use]
    pub fn standing(&self, now: Duration) -> Standing {
        match &self.life {
            Life::Halted { .. } => Standing::Unfit,
            Life::Following if self.is_ready(now) && self.role == Role::Standby => Standing::Ready,
            _ if self.is_stuck(now) => Standing::Stuck,
            _ => Standing::Busy,
        }
    }

    /// Whether this worker leads the shard now. With a lease that has run out it does not.
    #[must_use]
    pub fn leads(&self, now: Duration) -> bool {
        self.role.leads(now)
    }

    /// What this worker does for the shard now: one of `leader`, `standby`, `away`. A lease that has run out is none.
    #[must_use]
    pub fn role_name(&self, now: Duration) -> &'static str {
        match self.role {
            Role::Leader { .. } if !self.role.leads(now) => Role::Standby.name(),
            role => role.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn leading(now: Duration) -> Living {
        let mut living = Living::default();
        living.assigned(Role::ALONE, now);
        living.recovering(Phase::Replaying, now);
        living.polled(0, 0.0, now);
        assert_eq!(living.life(), &Life::Leading);
        living
    }

    #[test]
    fn only_what_has_caught_up_is_ready() {
        let mut living = Living::default();
        living.assigned(Role::Standby, SECOND);
        assert!(!living.is_ready(SECOND));
        for phase in [Phase::Restoring, Phase::Replaying] {
            living.recovering(phase, SECOND);
            living.answered();
            assert_eq!((living.is_ready(SECOND), living.standing(SECOND)), (false, Standing::Busy));
        }
        living.polled(100, 0.0, SECOND);
        assert_eq!((living.life(), living.standing(SECOND)), (&Life::Following, Standing::Ready));
        // What it was before says nothing once it recovers again.
        living.ended(End::Lost("a test"), SECOND);
        assert_eq!((living.is_ready(SECOND), living.standing(SECOND)), (false, Standing::Busy));
    }

    #[test]
    fn a_leader_that_gets_no_further_while_its_log_does_is_stuck() {
        let mut living = leading(SECOND);
        living.moved(10, 10, SECOND);
        living.polled(10, 0.0, SECOND * 20);
        assert_eq!(living.standing(SECOND * 20), Standing::Busy, "nothing came");
        living.polled(11, 1.0, SECOND * 21);
        assert_eq!(living.standing(SECOND * 24), Standing::Busy);
        assert_eq!(living.standing(SECOND * 25), Standing::Stuck);
        living.moved(11, 10, SECOND * 26);
        assert_eq!(living.standing(SECOND * 30), Standing::Busy, "an election takes as long");
        assert_eq!(living.standing(SECOND * 41), Standing::Stuck);
        living.moved(11, 11, SECOND * 42);
        assert_eq!(living.standing(SECOND * 90), Standing::Busy);
    }

    #[test]
    fn who_cannot_announce_at_all_does_not_send_the_lease_round() {
        let mut living = leading(SECOND);
        living.polled(5, 0.0, SECOND);
        living.moved(5, 0, SECOND);
        assert_eq!(living.standing(SECOND * 40), Standing::Busy);
        assert_eq!(living.standing(SECOND * 62), Standing::Stuck);
    }

    #[test]
    fn recoveries_in_a_row_wait_longer_and_longer_until_it_was_well_for_a_while() {
        let mut living = leading(SECOND);
        let pauses: Vec<_> = (0..10)
            .map(|_| match living.ended(End::Lost("a test"), SECOND) {
                Answer::Recover(pause) => pause.as_millis(),
                Answer::Halt(fault) => panic!("{fault}"),
            })
            .collect();
        assert_eq!(pauses, [0, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        living.recovering(Phase::Replaying, SECOND);
        living.polled(0, 0.0, SECOND * 2);
        living.polled(0, 0.0, SECOND * 62);
        assert_eq!(living.ended(End::Lost("a test"), SECOND * 63), Answer::Recover(Duration::ZERO));
    }

    #[test]
    fn panics_that_nothing_mends_halt() {
        let mut living = leading(SECOND);
        for panics in 1.. {
            let answer = living.ended(End::Panic(Stage::Reader, "as the test says".to_owned()), SECOND);
            assert_eq!(matches!(answer, Answer::Halt(Fault::Panic { .. })), panics == PANICS_MAX);
            if let Answer::Halt(fault) = answer {
                assert!(living.halted(fault.clone(), SECOND) && !living.halted(fault, SECOND));
                break;
            }
        }
        assert_eq!(living.standing(SECOND), Standing::Unfit);
    }

    #[test]
    fn a_lease_that_ran_out_is_shown_as_none() {
        let mut living = leading(SECOND);
        living.assigned(Role::Leader { until: SECOND * 5 }, SECOND);
        assert_eq!((living.role_name(SECOND), living.role_name(SECOND * 6)), ("leader", "standby"));
    }
}
