//! The inventory: one shard's state, and the fold that decides.
//!
//! [`Inventory::apply`] takes the next message of the log and says what became of each of its records. It is pure,
//! synchronous, total and deterministic: integers only; time is the log's; no clock, no randomness, and no iteration
//! over a hash table can reach an outcome.
//!
//! # Where things are
//!
//! A command is a ladder of checks (`commands`) and then a short list of movements: so many units of an order's line, or of a SKU, from one
//! bucket to another. One function posts them (`posting`), and nothing else changes who has what. What follows for others is noted there and
//! worked off in steps (`after`). The `tables` hold who is where, and decide nothing.
//!
//! For one record, in this order:
//!
//! 1. Holds and waits that log time has ended expire; windows that it ended are forgotten.
//! 2. The command is decided.
//! 3. What follows for others is worked off: orders that lose by what is missing are told, waiting orders get their stock.
//!
//! # What one message may cost
//!
//! Whatever a message holds and whatever the state, its work, outcomes and memory are bounded by constants:
//!
//! | what | at most |
//! |---|---|
//! | payload | [`PAYLOAD_BYTES_MAX`](crate::words::codec::PAYLOAD_BYTES_MAX), [`COMMANDS_MAX`](crate::words::command::COMMANDS_MAX) elements |
//! | lines that its commands act on, those included that they mean without naming them | [`LINES_PER_MESSAGE_MAX`]; a command beyond is refused `message_too_large` |
//! | outcomes for others | [`OUTCOMES_BEYOND_OWN_MAX`]; the rest stays queued |
//! | lines looked at for others | [`LOOKS_PER_MESSAGE_MAX`], and those of one order more; the rest stays queued |
//! | entries forgotten | [`FORGOTTEN_PER_MESSAGE_MAX`], and two for each record |
//!
//! A change of the shard's own safety stock is the one that walks a table: over all SKUs, of which there are at most
//! [`SKUS_LIMIT_MAX`](crate::words::policy::SKUS_LIMIT_MAX).
//!
//! What is queued is worked off by ticks ([`Inventory::due`] tells the leader to send one), and by other records only while nothing
//! is left of earlier messages: so what is left never comes faster than the shard can take it, and a new order does not bring hundreds of
//! outcomes along. A tick counts only as the one command of its message.

mod after;
mod commands;
mod digest;
mod output;
mod posting;
pub mod query;
mod snapshot;
mod tables;
mod view;

use crate::words::append::Chain;
use crate::words::codec;
use crate::words::codes::Family;
use crate::words::command::{Command, CommandKind};
use crate::words::fault::Fault;
use crate::words::hash::{hash, mix};
use crate::words::message::{LogMessage, Way};
use crate::words::outcome::{Decision, Reason};
use crate::words::policy::{Policy, RULES_NEWEST};
use crate::words::text::is_id;
use crate::words::timestamp::Timestamp;

use after::shortfalls::Shortfalls;
use after::waiting::Waiting;
use commands::content::Content;
use commands::plain::{self, Group, Usual};
use commands::refusal::Refusal;
use output::{Budget, Turn};
use tables::deadlines::Deadlines;
use tables::facts::Facts;
use tables::orders::Orders;
use tables::sites::Sites;
use tables::stock::StockTable;

pub use digest::Digests;
pub use output::{Counts, Entry, Output};
pub use snapshot::{Frozen, Restoring, SnapshotError, SnapshotHead};
pub use tables::stock::StockTotals;
pub use view::{Broken, OrderView, StockView, Totals};

/// The most outcomes that one message may cause beyond its records' own.
pub const OUTCOMES_BEYOND_OWN_MAX: u32 = 256;
/// The most lines that the commands of one message may act on: twice as many as it may hold commands.
pub const LINES_PER_MESSAGE_MAX: u32 = 32_768;
/// The most lines that one message looks at for others.
pub const LOOKS_PER_MESSAGE_MAX: u32 = 4_096;
/// The most entries that one message forgets, beyond two for each of its records.
pub const FORGOTTEN_PER_MESSAGE_MAX: u32 = 1_024;

/// When the fold has something to do that no command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Never,
    /// Work is queued: tick at once.
    Now,
    /// A hold or a wait ends then, in log time.
    At(Timestamp),
}

/// One shard's state: a fold of its log.
#[derive(Debug)]
pub struct Inventory {
    chain: Chain,
    /// The hash of the last message applied; 0 before the first.
    last_message_hash: u64,
    /// Log time: the largest timestamp so far.
    now: Timestamp,
    policy: Policy,
    sites: Sites,
    stock: StockTable,
    orders: Orders,
    waiting: Waiting,
    deadlines: Deadlines,
    shortfalls: Shortfalls,
    facts: Facts,
    /// What there was when last there was nothing more to forget: the time, and how much had been added to remember.
    forgotten_at: Option<(Timestamp, u64)>,
    /// How the hash of a plain order's deciding fields begins: the same for all of them.
    plain_content: Content,
}

impl Default for Inventory {
    fn default() -> Self {
        Self::new()
    }
}

impl Inventory {
    /// The state before the first message.
    #[must_use]
    pub fn new() -> Self {
        Self {
            chain: Chain::default(),
            last_message_hash: 0,
            now: Timestamp::ZERO,
            policy: Policy::default(),
            sites: Sites::new(),
            stock: StockTable::default(),
            orders: Orders::default(),
            waiting: Waiting::default(),
            deadlines: Deadlines::default(),
            shortfalls: Shortfalls::default(),
            facts: Facts::default(),
            forgotten_at: None,
            plain_content: plain::plain_start(),
        }
    }

    /// The last message applied, and the chain after it.
    #[must_use]
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// [`LogMessage::hash`] of the last message applied; 0 before the first. Whoever recovers reads the message at this
    /// sequence again, and compares.
    #[must_use]
    pub const fn last_message_hash(&self) -> u64 {
        self.last_message_hash
    }

    /// Goes on in another log, whose first message has the sequence behind `sequence`: what was decided stays, and no sequence is
    /// given twice.
    ///
    /// # Panics
    /// If `sequence` is before the last message applied.
    pub fn begin_epoch(&mut self, sequence: u64) {
        assert!(sequence >= self.chain.sequence, "a new epoch begins behind what was applied");
        self.chain = Chain { sequence, hash: mix(self.chain.hash, sequence) };
        self.last_message_hash = 0;
    }

    /// Log time.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Applies the next message of the log and adds its outcomes to `output`.
    ///
    /// # Errors
    /// [`Fault::Gap`] if it is not the next one, [`Fault::UnknownRules`] if it is a policy for rules that this binary
    /// does not know. Nothing has changed then.
    pub fn apply(&mut self, message: &LogMessage, output: &mut Output) -> Result<(), Fault> {
        let expected = self.chain.sequence + 1;
        if message.sequence != expected {
            return Err(Fault::Gap { expected, found: message.sequence });
        }
        let mut commands = codec::commands(message.format, &message.payload, self.policy.rules);
        let alone = commands.is_single();
        let mut group = Group::default();
        group.read(&mut commands);
        let first = group.all().first().and_then(|ahead| ahead.other.as_deref());
        if let Some(Ok(Command::Policy(policy))) = first
            && let Some(rules) = policy.rules.filter(|rules| alone && *rules > RULES_NEWEST)
            && matches!(message.way, Way::Any | Way::Family(Family::Policy))
        {
            return Err(Fault::UnknownRules { sequence: message.sequence, rules, newest: RULES_NEWEST });
        }
        let head = message.hash();
        if self.chain.sequence == 0 {
            self.stock.set_seed(mix(head, 0));
            self.orders.set_seed(mix(head, 1));
        }
        let left = self.due() == Due::Now;
        self.now = self.now.max(message.stored_at());
        let outcomes_start = output.bytes().len();
        let letters_start = output.dead_letters.len();
        let budget = Budget {
            lines: LINES_PER_MESSAGE_MAX,
            outcomes: OUTCOMES_BEYOND_OWN_MAX,
            looks: LOOKS_PER_MESSAGE_MAX,
            forgotten: FORGOTTEN_PER_MESSAGE_MAX,
        };
        let mut turn = Turn::new(message.sequence, self.now, budget, output);
        let is_tick = alone && matches!(first, Some(Ok(Command::Tick(_))));
        let works = !left || is_tick && message.way.takes(CommandKind::Tick);
        if works {
            self.work_off_deadlines(&mut turn);
        }
        let mut usual = Usual::default();
        while !group.all().is_empty() {
            self.look_ahead(group.all_mut());
            for ahead in group.all() {
                turn.budget.forgotten += 2;
                if !usual.is_idle {
                    self.forget(&mut turn);
                    usual = self.usual(message.way, works, turn.at);
                }
                if !self.place_plain(ahead, &mut usual, &mut turn) {
                    self.record(ahead, (message.way, alone), &mut turn);
                    usual.is_idle = false;
                }
                if works && !usual.is_idle {
                    self.work_off_shortfalls(&mut turn);
                    self.work_off_releases(&mut turn);
                }
                turn.next();
            }
            group.read(&mut commands);
        }
        output.dead_letters[letters_start..].iter_mut().for_each(|letter| letter.format = message.format);
        let outcomes = hash(&output.bytes()[outcomes_start..]);
        self.last_message_hash = head;
        self.chain = Chain { sequence: message.sequence, hash: mix(mix(self.chain.hash, head), outcomes) };
        Ok(())
    }

    /// Decides one record in full.
    fn record(&mut self, ahead: &plain::Ahead<'_>, (way, alone): (Way, bool), turn: &mut Turn<'_>) {
        match ahead.other.as_deref() {
            None => self.command(&ahead.plain.command(), (way, alone), turn),
            Some(Ok(command)) => self.command(command, (way, alone), turn),
            Some(Err(undecodable)) => turn.dead_letter(undecodable),
        }
    }

    fn command(&mut self, command: &Command<'_>, (way, alone): (Way, bool), turn: &mut Turn<'_>) {
        let kind = command.kind();
        turn.count(kind);
        let decided = if way.takes(kind) {
            self.decide(command, alone, turn)
        } else {
            Err(Refusal::new(Reason::WrongFamily))
        };
        if let Err(refusal) = decided {
            turn.emit(&refuse(command, refusal));
        }
    }

    /// Drops the state, of which some thousand orders at a time, and calls `between` after each step: what the allocator gives back to
    /// the system all at once may keep other threads from allocating meanwhile.
    pub fn drop_in_steps(self, between: impl FnMut()) {
        self.orders.drop_in_steps(between);
    }

    /// When the leader must append a tick.
    #[must_use]
    pub fn due(&self) -> Due {
        match self.deadlines.first() {
            _ if self.waiting.has_releases() || !self.shortfalls.is_idle() => Due::Now,
            Some((at, _)) if at <= self.now => Due::Now,
            Some((at, _)) => Due::At(at),
            None => Due::Never,
        }
    }
}

fn refuse<'a>(command: &'a Command<'_>, refusal: Refusal<'a>) -> Decision<'a> {
    // An id that is none is not echoed: it may be of any length.
    let subject = command.content().subject().filter(|subject| is_id(subject.id()));
    refusal.into_decision(command.kind(), subject)
}
