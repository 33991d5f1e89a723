//! The inventory: one shard's state, and the fold that decides.
//!
//! [`Inventory::apply`] takes the next message of the log and says what became of each of its records. It is pure,
//! synchronous, total and deterministic: integers only; time is the log's; no clock, no randomness, and no iteration
//! over a hash table can reach an outcome. Each command has a file, written as a ladder: every check comes before the
//! first change, and after the last check the command cannot fail.
//!
//! For one record, in this order:
//!
//! 1. Log time moves on; holds that it ended expire; windows that it ended are forgotten.
//! 2. The command is decided.
//! 3. What follows for others is worked off: orders hit by a shortfall are named, waiting orders released.
//!
//! The outcomes for others are at most [`OUTCOMES_BEYOND_OWN_MAX`]; the rest stays queued ([`Inventory::due`] tells the leader to
//! tick). While something is left of earlier records only ticks work it off, and other records are merely decided: the leader
//! sends a tick once the one before was applied, so that what is left never comes faster than the shard can take it. Worked off by
//! all records, a new order would bring hundreds of outcomes along, and thousands of new orders a second more than that.

mod ahead;
mod cancel;
mod content;
mod count;
mod deliver;
mod digest;
mod facts;
mod holds;
mod index;
mod lines;
mod order;
mod orders;
mod output;
mod pay;
mod place;
mod policy;
mod queue;
mod receive;
mod refusal;
mod return_;
mod review;
mod ship;
mod shortfalls;
mod slots;
mod snapshot;
mod stock;
mod validate;
mod view;
mod waiting;

use crate::words::append::Chain;
use crate::words::codec::{self, Decoded};
use crate::words::command::{Command, CommandKind};
use crate::words::fault::Fault;
use crate::words::hash::{hash, mix};
use crate::words::message::LogMessage;
use crate::words::outcome::{Decision, Reason, Subject};
use crate::words::policy::{Policy, RULES_NEWEST};
use crate::words::text::is_id;
use crate::words::timestamp::Timestamp;

use ahead::{AHEAD, Ahead, Seen, read_ahead};
use facts::Facts;
use holds::Holds;
use orders::{ForgetLimits, Orders};
use output::Turn;
use refusal::Refusal;
use shortfalls::Searches;
use stock::{Sites, StockTable};
use waiting::Waiting;

pub use digest::Digests;
pub use output::{Counts, Entry, Output};
pub use snapshot::{Restoring, SnapshotError, SnapshotHead};
pub use stock::StockTotals;
pub use view::{Broken, OrderView, StockView, Totals};

/// The most outcomes that one record may cause beyond its own.
pub const OUTCOMES_BEYOND_OWN_MAX: u32 = 256;

/// When the fold has something to do that no command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Never,
    /// Work is queued: tick at once.
    Now,
    /// A hold ends then, in log time.
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
    holds: Holds,
    searches: Searches,
    facts: Facts,
    /// What there was when last there was nothing more to forget: the time, and how much had been added to remember.
    forgotten_at: Option<(Timestamp, u64)>,
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
            holds: Holds::new(),
            searches: Searches::new(),
            facts: Facts::default(),
            forgotten_at: None,
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
        let mut commands = codec::commands(message.format, &message.payload);
        let alone = commands.is_single();
        let mut ahead: [Ahead<'_>; AHEAD] = Default::default();
        let mut count = read_ahead(&mut commands, &mut ahead);
        if let Ok(Command::Policy(policy)) = &ahead[0].decoded
            && let Some(rules) = policy.rules.filter(|rules| alone && *rules > RULES_NEWEST)
        {
            return Err(Fault::UnknownRules { sequence: message.sequence, rules, newest: RULES_NEWEST });
        }
        let head = message.hash();
        if self.chain.sequence == 0 {
            self.stock.set_seed(mix(head, 0));
            self.orders.set_seed(mix(head, 1));
        }
        let mut left = self.due() == Due::Now;
        self.now = self.now.max(message.stored_at());
        let outcomes_start = output.bytes().len();
        let letters_start = output.dead_letters.len();
        let mut index = 0;
        while count > 0 {
            self.look_ahead(&mut ahead, count);
            for Ahead { decoded, seen } in &ahead[..count] {
                let mut turn = Turn::new(message.sequence, index, self.now, output);
                let works = !left || matches!(decoded, Ok(Command::Tick(_)));
                self.record(decoded, seen, alone, works, &mut turn);
                left = self.due() == Due::Now;
                index += 1;
            }
            count = read_ahead(&mut commands, &mut ahead);
        }
        output.dead_letters[letters_start..].iter_mut().for_each(|letter| letter.format = message.format);
        let outcomes = hash(&output.bytes()[outcomes_start..]);
        self.last_message_hash = head;
        self.chain = Chain { sequence: message.sequence, hash: mix(mix(self.chain.hash, head), outcomes) };
        Ok(())
    }

    fn record(&mut self, decoded: &Decoded<'_>, seen: &Seen, alone: bool, works: bool, turn: &mut Turn<'_>) {
        if works {
            self.work_off_holds(turn);
        }
        self.forget();
        match decoded {
            Ok(command) => self.command(command, seen, alone, turn),
            Err(undecodable) => turn.dead_letter(&undecodable.reason, undecodable.bytes),
        }
        if works {
            self.work_off_shortfalls(turn);
            self.work_off_releases(turn);
        }
    }

    fn command(&mut self, command: &Command<'_>, seen: &Seen, alone: bool, turn: &mut Turn<'_>) {
        let kind = command.kind();
        turn.count(kind);
        let decided = match command {
            Command::Place(command) => self.place(command, seen, turn),
            Command::Cancel(command) => self.cancel(command, turn),
            Command::Review(command) => self.review(command, turn),
            Command::Pay(command) => self.pay(command, turn),
            Command::PayFailed(command) => self.pay_failed(command, turn),
            Command::Ship(command) => self.ship(command, turn),
            Command::Deliver(command) => self.deliver(command, turn),
            Command::Return(command) => self.return_(command, turn),
            Command::Receive(command) => self.receive(command, turn),
            Command::Count(command) => self.count(command, turn),
            Command::Policy(_) if !alone => Err(Refusal::new(Reason::NotAlone)),
            Command::Policy(command) => self.apply_policy(command, turn),
            Command::Tick(_) => Ok(()),
        };
        if let Err(refusal) = decided {
            turn.emit(&refuse(kind, command, refusal));
        }
    }

    /// Drops the state, of which some thousand orders at a time, and calls `between` after each step: what the allocator gives back to
    /// the system all at once may keep other threads from allocating meanwhile.
    pub fn drop_in_steps(self, between: impl FnMut()) {
        self.orders.drop_in_steps(between);
    }

    /// Forgets what its windows and caps say. What is done for one record holds for the next ones, until time moves on,
    /// something is added, or the policy changes.
    fn forget(&mut self) {
        let at = Some((self.now, self.orders.additions() + self.facts.additions()));
        if self.forgotten_at == at {
            return;
        }
        let count = |limit: i64| usize::try_from(limit).unwrap_or(usize::MAX);
        let limits = ForgetLimits {
            settled_max: count(self.policy.settled_orders_max),
            settled_window_ms: self.policy.settled_window_ms,
            closed_max: count(self.policy.closed_orders_max),
            closed_window_ms: self.policy.closed_window_ms,
        };
        let orders_done = self.orders.forget(self.now, &limits);
        let facts_done =
            self.facts.forget(self.now, count(self.policy.facts_max), self.policy.facts_window_ms);
        self.forgotten_at = at.filter(|_| orders_done && facts_done);
    }

    /// When the leader must append a tick.
    #[must_use]
    pub fn due(&self) -> Due {
        match self.holds.first_key_value() {
            _ if self.waiting.has_releases() || !self.searches.is_empty() => Due::Now,
            Some(((pay_by, _), _)) if *pay_by <= self.now => Due::Now,
            Some(((pay_by, _), _)) => Due::At(*pay_by),
            None => Due::Never,
        }
    }
}

fn refuse<'a>(kind: CommandKind, command: &'a Command<'_>, refusal: Refusal<'a>) -> Decision<'a> {
    let subject = match command {
        Command::Place(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Cancel(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Review(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Pay(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::PayFailed(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Ship(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Deliver(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Return(command) => Some(Subject::OrderId((&*command.order_id).into())),
        Command::Receive(command) => Some(Subject::ReceiptId((&*command.receipt_id).into())),
        Command::Count(command) => Some(Subject::CountId((&*command.count_id).into())),
        Command::Policy(_) | Command::Tick(_) => None,
    };
    // An id that is none is not echoed: it may be of any length.
    let subject = subject.filter(|subject| {
        let (Subject::OrderId(id) | Subject::ReceiptId(id) | Subject::CountId(id)) = subject;
        is_id(id)
    });
    refusal.into_decision(kind, subject)
}
