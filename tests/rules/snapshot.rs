//! Snapshots: whoever folds on from one decides, to the byte, what a fold that was never interrupted decides.

use std::collections::VecDeque;

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;
use weir::folds::inventory::{Due, Frozen, Inventory, Restoring, SnapshotError};
use weir::words::command::{
    Cancel, Command, Count, Deliver, Line, OnShortage, Receive, Return, ReturnLine, Ship, Tick,
};
use weir::words::policy::PolicyChange;

use crate::random::{self, Step};
use crate::support::{Shard, line, place, policy, receive, restore, snapshot};

/// Restores a state and holds it against the one that was stored.
fn restored(inventory: &Inventory) -> Inventory {
    let mut bytes = Vec::new();
    let written = inventory.write_snapshot(|piece| {
        bytes.extend_from_slice(&piece);
        Ok::<_, ()>(())
    });
    let restored = restore(&bytes).unwrap();
    assert_eq!(written, Ok(inventory.digests()));
    same(inventory, &restored);
    assert_eq!(snapshot(&restored), bytes, "it is not written again as it was");
    restored
}

/// Whatever can be seen of two states is the same.
fn same(one: &Inventory, other: &Inventory) {
    assert_eq!(one.chain(), other.chain());
    assert_eq!(one.last_message_hash(), other.last_message_hash());
    assert_eq!(one.now(), other.now());
    assert_eq!(one.policy(), other.policy());
    assert!(one.sites().eq(other.sites()));
    assert!(one.stock().eq(other.stock()));
    assert!(one.own_safety_stock().eq(other.own_safety_stock()));
    assert_eq!(one.totals(), other.totals());
    assert_eq!(one.due(), other.due());
    assert_eq!(one.check_books(), Ok(()));
    assert_eq!(other.check_books(), Ok(()));
    assert_eq!(one.digests(), other.digests());
}

/// How many messages behind its moment a frozen state is written.
const WRITTEN_BEHIND: usize = 3;

/// Two folds of one log, of which one is interrupted before every message, and the other is frozen then.
#[derive(Default)]
pub(crate) struct Pair {
    pub(crate) whole: Shard,
    interrupted: Shard,
    /// States of the whole one, and what each would have been as a snapshot.
    frozen: VecDeque<(Frozen, Vec<u8>)>,
}

impl Pair {
    pub(crate) fn feed(&mut self, step: &Step) {
        self.freeze();
        random::feed(&mut self.whole, step);
        random::feed(&mut self.interrupted, step);
        self.check();
    }

    fn send(&mut self, commands: &[Command<'_>]) {
        self.freeze();
        self.whole.send(commands);
        self.interrupted.send(commands);
        self.check();
    }

    /// Goes on from a snapshot in one fold, and freezes the state of the other. What was frozen a few messages ago is still what it
    /// was then.
    fn freeze(&mut self) {
        self.interrupted.inventory = restored(&self.interrupted.inventory);
        let whole = &mut self.whole.inventory;
        self.frozen.push_back((whole.freeze(), snapshot(whole)));
        if self.frozen.len() > WRITTEN_BEHIND {
            let (mut frozen, expected) = self.frozen.pop_front().unwrap();
            let mut bytes = Vec::new();
            let head = frozen.head();
            let written = frozen.write_snapshot(|piece| {
                bytes.extend_from_slice(&piece);
                Ok::<_, ()>(())
            });
            assert_eq!(bytes, expected, "a frozen state has changed");
            let restored = restore(&bytes).unwrap();
            assert_eq!((written, head), (Ok(restored.digests()), restored.snapshot_head()));
        }
    }

    fn wait(&mut self, ms: i64) {
        self.whole.clock_ms += ms;
        self.interrupted.clock_ms += ms;
    }

    fn check(&self) {
        assert_eq!(self.whole.output.bytes(), self.interrupted.output.bytes());
        assert_eq!(self.whole.inventory.chain(), self.interrupted.inventory.chain());
        assert_eq!(self.whole.inventory.totals(), self.interrupted.inventory.totals());
        assert_eq!(self.whole.inventory.digests(), self.interrupted.inventory.digests());
    }

    fn tick(&mut self) {
        self.send(&[Command::Tick(Tick {})]);
    }

    /// Ticks until nothing is due at once, and a few times more.
    fn tick_until_done(&mut self) {
        let mut more = 4;
        while more > 0 {
            self.tick();
            more -= u32::from(self.whole.inventory.due() != Due::Now);
        }
        same(&self.whole.inventory, &self.interrupted.inventory);
    }
}

/// Folds a log with one cut in it, the snapshot's bytes coming in pieces.
fn cut(steps: &[Step], at: usize, pieces: &[usize]) -> TestCaseResult {
    let mut whole = Shard::new();
    steps[..at].iter().for_each(|step| random::feed(&mut whole, step));
    let bytes = snapshot(&whole.inventory);
    let mut restoring = Restoring::new();
    let (mut rest, mut pieces) = (&bytes[..], pieces.iter().cycle());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((*pieces.next().unwrap()).min(rest.len()));
        restoring.feed(piece).unwrap();
        rest = behind;
    }
    prop_assert_eq!(restoring.head(), Some(&whole.inventory.snapshot_head()));
    let inventory = restoring.finish().unwrap();
    let mut other =
        Shard { inventory, sequence: whole.sequence, clock_ms: whole.clock_ms, ..Shard::default() };
    for step in &steps[at..] {
        random::feed(&mut whole, step);
        random::feed(&mut other, step);
        prop_assert_eq!(whole.output.bytes(), other.output.bytes());
        prop_assert_eq!(whole.inventory.chain(), other.inventory.chain());
    }
    same(&whole.inventory, &other.inventory);
    Ok(())
}

proptest! {
    #![proptest_config(random::config())]

    /// With the state restored before every message.
    #[test]
    fn a_fold_interrupted_at_every_message_is_as_one_that_never_was(
        steps in prop::collection::vec(random::step(), 1..120),
    ) {
        let mut pair = Pair::default();
        for step in &steps {
            pair.feed(step);
        }
        same(&pair.whole.inventory, &pair.interrupted.inventory);
    }

    /// With the state restored once, from bytes that come cut anyhow.
    #[test]
    fn a_fold_goes_on_from_any_cut(
        steps in prop::collection::vec(random::step(), 1..160),
        at in any::<prop::sample::Index>(),
        pieces in prop::collection::vec(1..700usize, 1..20),
    ) {
        cut(&steps, at.index(steps.len() + 1), &pieces)?;
    }
}

fn numbered(numbers: std::ops::Range<u32>, on_shortage: OnShortage, quantity: i64) -> Vec<Command<'static>> {
    numbers.map(|number| place(format!("O-{number}"), vec![line("A", quantity)], on_shortage)).collect()
}

fn cancel(number: u32) -> Command<'static> {
    Command::Cancel(Cancel { order_id: format!("O-{number}").into(), ..Cancel::default() })
}

fn ship(number: u32) -> Command<'static> {
    Command::Ship(Ship { order_id: format!("O-{number}").into(), ..Ship::default() })
}

fn deliver(number: u32) -> Command<'static> {
    Command::Deliver(Deliver { order_id: format!("O-{number}").into(), ..Deliver::default() })
}

/// One unit comes back, once more.
fn give_back(number: u32) -> Command<'static> {
    let lines = Some(vec![ReturnLine { sku: "A".into(), quantity: 1, restock: false }]);
    let order_id = format!("O-{number}").into();
    Command::Return(Return { order_id, return_id: "X".into(), lines, ..Return::default() })
}

fn count(count_id: &'static str, quantity: i64) -> Command<'static> {
    let lines = vec![line("A", quantity).into()];
    Command::Count(Count { count_id: count_id.into(), lines, ..Count::default() })
}

/// Cuts in the middle of a release that takes many records.
#[test]
fn a_long_release_goes_on() {
    let mut pair = Pair::default();
    pair.send(&[receive("R-1", "A", 1), receive("R-2", "B", 1)]);
    pair.send(&numbered(0..1_500, OnShortage::Backorder, 2));
    pair.send(&[receive("R-3", "A", 2_000)]);
    assert_eq!(pair.interrupted.inventory.due(), Due::Now);
    // More comes of what is being released.
    pair.send(&[receive("R-4", "A", 20)]);
    pair.send(&[place("N-1", vec![line("A", 1)], OnShortage::Refuse), cancel(1_009)]);
    pair.tick_until_done();
    assert_eq!(pair.interrupted.inventory.totals().waiting_orders, 489);
    pair.send(&[receive("R-5", "A", 10_000)]);
    pair.tick_until_done();
}

/// Cuts while holds that all ended together expire.
#[test]
fn long_expiry_goes_on() {
    let mut pair = Pair::default();
    pair.send(&[policy(PolicyChange { pay_within_ms: Some(1_000), ..PolicyChange::default() })]);
    pair.send(&[receive("R-1", "A", 10_000)]);
    pair.send(&numbered(0..1_000, OnShortage::Refuse, 1));
    pair.wait(10);
    pair.send(&numbered(1_000..1_500, OnShortage::Refuse, 1));
    assert_eq!(pair.interrupted.inventory.totals().timed_orders, 1_500);
    pair.wait(995);
    pair.tick_until_done();
    assert_eq!(pair.interrupted.inventory.totals().timed_orders, 500);
    assert!(matches!(pair.interrupted.inventory.due(), Due::At(_)));
    pair.wait(10);
    pair.tick_until_done();
    assert_eq!(pair.interrupted.inventory.totals().timed_orders, 0);
}

/// Cuts during searches for orders hit by a shortfall: while they walk the slots, and while they name what they found. The
/// walk goes by slots, and new orders take the slots that became free last: both must be as they were.
#[test]
fn searches_go_on() {
    let mut pair = Pair::default();
    pair.send(&[policy(PolicyChange { settled_orders_max: Some(0), ..PolicyChange::default() })]);
    pair.send(&[receive("R-1", "A", 50_000)]);
    pair.send(&numbered(0..10_000, OnShortage::Refuse, 3));
    // Slots become free out of their order.
    pair.send(&[7, 4_500, 3, 9_999, 5_000, 4_501, 42].map(cancel));
    pair.send(&numbered(20_000..20_003, OnShortage::Refuse, 3));
    pair.send(&[count("C-1", 20_000)]);
    assert_eq!(pair.interrupted.inventory.due(), Due::Now);
    // Some that were found are cancelled, some that were passed come anew.
    pair.send(&[cancel(20_001), cancel(100), ship(200)]);
    pair.send(&[receive("R-2", "A", 100)]);
    pair.tick();
    // Some that were found leave before they are named: nobody takes their turn, as the older ones were dropped.
    pair.send(&(8_000..8_100).map(ship).collect::<Vec<_>>());
    pair.tick_until_done();
    // A second search begins while the first goes on, and new slots come while the first names orders.
    pair.send(&[receive("R-3", "B", 100), place("B-1", vec![line("B", 50)], OnShortage::Refuse)]);
    let lines = vec![line("A", 20_000).into(), line("B", 10).into()];
    pair.send(&[Command::Count(Count { count_id: "C-2".into(), lines, ..Count::default() })]);
    pair.tick_until_done();
    pair.send(&[receive("R-4", "A", 90_000)]);
    pair.send(&[count("C-3", 10_000)]);
    pair.tick();
    pair.send(&[receive("R-5", "A", 90_000)]);
    pair.send(&numbered(30_000..31_000, OnShortage::Refuse, 1));
    pair.tick_until_done();
}

/// A shrunken window is worked off in steps that are counted in entries, those out of date among them: what is closed when
/// depends on them, and what is too old on that.
#[test]
fn entries_out_of_date_keep_their_turn() {
    let mut pair = Pair::default();
    pair.send(&[receive("R-1", "A", 50_000)]);
    pair.send(&numbered(0..4_000, OnShortage::Refuse, 2));
    for numbers in [0..1_500, 500..2_000, 1_000..4_000] {
        pair.wait(5);
        let part = |number| {
            let lines = Some(vec![line("A", 1)]);
            Command::Cancel(Cancel { order_id: format!("O-{number}").into(), lines, ..Cancel::default() })
        };
        pair.send(&numbers.clone().map(part).collect::<Vec<_>>());
        pair.wait(5);
        pair.send(&numbers.map(ship).collect::<Vec<_>>());
    }
    pair.wait(5);
    pair.send(&(0..1_200).map(deliver).collect::<Vec<_>>());
    pair.send(&[policy(PolicyChange { settled_window_ms: Some(0), ..PolicyChange::default() })]);
    pair.wait(5);
    for _ in 0..8 {
        pair.tick();
        pair.wait(1);
    }
    pair.send(&[policy(PolicyChange { closed_window_ms: Some(1), ..PolicyChange::default() })]);
    pair.tick_until_done();
    assert!(pair.interrupted.inventory.totals().forgotten_orders > 1_024);
}

/// Entries out of date are sifted out a few at a time while they are too many: a cut must not begin that anew.
#[test]
fn sifting_goes_on() {
    let mut pair = Pair::default();
    // Facts are forgotten at once, so that an order can give back under one id again and again.
    pair.send(&[policy(PolicyChange { facts_max: Some(0), ..PolicyChange::default() })]);
    pair.send(&[receive("R-1", "A", 50_000)]);
    pair.send(&numbered(0..2_000, OnShortage::Refuse, 6));
    pair.send(&(0..2_000).map(ship).collect::<Vec<_>>());
    // The first ones stay as they are: what is out of date behind them is not simply forgotten.
    for _ in 0..5 {
        for first in (1_000..2_000).step_by(100) {
            pair.wait(5);
            pair.send(&(first..first + 100).map(give_back).collect::<Vec<_>>());
        }
    }
    pair.wait(5);
    pair.send(&[policy(PolicyChange { settled_window_ms: Some(0), ..PolicyChange::default() })]);
    for _ in 0..8 {
        pair.tick();
    }
    pair.tick_until_done();
}

/// A state of several chunks of one kind, given in pieces, and stopped when whoever takes them says so.
#[test]
fn pieces_are_bounded_and_end_when_told() {
    let mut shard = Shard::new();
    let skus: Vec<_> = (0..4_000).map(|number| format!("{number:064}")).collect();
    let lines = || skus.iter().map(|sku| line(sku, 1_000_000)).collect::<Vec<_>>();
    let limits = PolicyChange { lines_max: Some(4_000), ..PolicyChange::default() };
    shard.send(&[policy(limits)]);
    shard.send(&[Command::Receive(Receive { receipt_id: "R".into(), lines: lines(), ..Receive::default() })]);
    // The longest records that there can be.
    for number in 0..12 {
        let id = format!("{number:064}");
        let lines = lines().into_iter().map(|line| Line { quantity: 70_000, ..line });
        shard.send(&[place(id.clone(), lines.collect(), OnShortage::Refuse)]);
        let lines = lines_of(&skus[..1]);
        shard.send(&[Command::Ship(Ship { order_id: id.into(), lines: Some(lines), ..Ship::default() })]);
    }
    let orders: Vec<_> = (0..15_000).map(|number| format!("{number:060}")).collect();
    for orders in orders.chunks(5_000) {
        let order = |id: &String| place(id.clone(), lines_of(&skus[..3]), OnShortage::Refuse);
        shard.send(&orders.iter().map(order).collect::<Vec<_>>());
    }

    let mut pieces = Vec::new();
    let written = shard.inventory.write_snapshot(|piece| {
        pieces.push(piece.len());
        Ok::<_, ()>(())
    });
    assert!(pieces.len() > 6, "{pieces:?}");
    assert!(pieces.iter().all(|piece| *piece < 1_300_000), "{pieces:?}");
    restored(&shard.inventory);
    for stop in 0..pieces.len() {
        let mut seen = 0;
        let stopped = shard.inventory.write_snapshot(|_| {
            seen += 1;
            if seen > stop { Err(stop) } else { Ok(()) }
        });
        assert_eq!((stopped, seen), (Err(stop), stop + 1));
    }
    assert_eq!(written, Ok(shard.inventory.digests()));
}

fn lines_of(skus: &[String]) -> Vec<Line<'_>> {
    skus.iter().map(|sku| line(sku, 1)).collect()
}

/// Before the first message too: it decides the seeds.
#[test]
fn a_state_before_the_first_message_is_restored() {
    let mut pair = Pair::default();
    let empty = restored(&pair.whole.inventory);
    assert_eq!((empty.chain().sequence, empty.last_message_hash()), (0, 0));
    pair.send(&[receive("R-1", "A", 5), place("O-1", vec![line("A", 2)], OnShortage::Refuse)]);
    pair.tick_until_done();
}

/// The hash of the last message is the one that its message gives.
#[test]
fn the_last_message_is_known_again() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 5)]);
    shard.interrupt();
    let payload =
        weir::words::codec::encode_commands(weir::words::codec::Format::Bincode, &[receive("R-1", "A", 5)]);
    let message = weir::words::message::LogMessage {
        sequence: 1,
        stored_at_ns: crate::support::START_MS * 1_000_000,
        way: weir::words::message::Way::Any,
        format: Some(weir::words::codec::Format::Bincode),
        payload: payload.into(),
    };
    assert_eq!(shard.inventory.last_message_hash(), message.hash());
    for other in [
        weir::words::message::LogMessage { sequence: 2, ..message.clone() },
        weir::words::message::LogMessage { stored_at_ns: 0, ..message.clone() },
        weir::words::message::LogMessage { payload: bytes::Bytes::new(), ..message.clone() },
    ] {
        assert_ne!(other.hash(), message.hash());
    }
}

#[test]
fn nothing_and_half_a_snapshot_are_no_state() {
    assert_eq!(Restoring::new().finish().unwrap_err(), SnapshotError::Truncated { chunk: 0 });
    let mut restoring = Restoring::new();
    restoring.feed(&[]).unwrap();
    let bytes = snapshot(&Inventory::new());
    restoring.feed(&bytes[..20]).unwrap();
    assert_eq!(restoring.head(), None);
    assert_eq!(restoring.finish().unwrap_err(), SnapshotError::Truncated { chunk: 0 });
}
