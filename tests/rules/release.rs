//! Long work in steps: one record never brings about more than its bound, and what is left is worked off in order.

use weir::folds::inventory::{Due, OUTCOMES_BEYOND_OWN_MAX};
use weir::words::codec::{self, Format};
use weir::words::command::{Adjust, Cancel, Command, Count, CountLine, Line, OnShortage, Receive, Transfer};
use weir::words::outcome::{Decision, Outcome, OutcomeKind, Reason, State};
use weir::words::policy::{PolicyChange, STOCK_MAX};

use crate::support::{Shard, frozen, line, place, policy, receive, restore, snapshot};

const BEYOND_MAX: usize = OUTCOMES_BEYOND_OWN_MAX as usize;

fn place_many(shard: &mut Shard, count: u32, lines: &[(&str, i64)], on_shortage: OnShortage) {
    let ids: Vec<_> = (0..count).map(|number| format!("O-{number}")).collect();
    for ids in ids.chunks(500) {
        let lines = || lines.iter().map(|(sku, quantity)| line(sku, *quantity)).collect();
        let batch: Vec<_> = ids.iter().map(|id| place(id.as_str(), lines(), on_shortage)).collect();
        assert_eq!(shard.send(&batch).len(), batch.len());
    }
}

fn order_ids(outcomes: &[Outcome<'_>]) -> Vec<String> {
    let ids = outcomes.iter().filter_map(|outcome| match &outcome.decision {
        Decision::Confirmed { order_id, released: true, .. }
        | Decision::Expired { order_id, .. }
        | Decision::Shortfall { order_id, .. } => Some(order_id.to_string()),
        _ => None,
    });
    ids.collect()
}

/// Ticks until nothing is due, and gives the orders announced on the way.
fn tick_until_done(shard: &mut Shard) -> Vec<String> {
    let mut announced = Vec::new();
    let mut ticks = 0;
    while shard.inventory.due() == Due::Now {
        let ids = order_ids(&shard.tick());
        assert!(ids.len() <= BEYOND_MAX);
        announced.extend(ids);
        ticks += 1;
        assert!(ticks < 10_000, "never done");
    }
    announced
}

fn numbered(numbers: impl Iterator<Item = u32>) -> Vec<String> {
    numbers.map(|number| format!("O-{number}")).collect()
}

/// One receipt that releases 10,000 waiting orders: all announced, once each, in the order of placing.
#[test]
fn one_receipt_releases_10_000_waiting_orders_in_order() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 1), receive("R-2", "B", 1)]);
    place_many(&mut shard, 10_000, &[("A", 2)], OnShortage::Backorder);
    assert_eq!(shard.inventory.totals().waiting_orders, 10_000);

    let outcomes = shard.send(&[receive("R-3", "A", 19_999)]);
    assert!(matches!(outcomes[0].decision, Decision::Received { .. }), "the answer comes first");
    assert_eq!(outcomes.len(), 1 + BEYOND_MAX);
    let mut announced = order_ids(&outcomes);

    // Other records are answered meanwhile, and bring nothing of it along; a newcomer cannot jump the queue.
    let newcomer = shard.send(&[place("N-1", vec![line("A", 1)], OnShortage::Refuse)]);
    let [Outcome { decision: Decision::Refused { reason, .. }, .. }] = &newcomer[..] else {
        panic!("{newcomer:?}")
    };
    assert_eq!(*reason, Reason::InsufficientStock);
    let other = shard.send(&[place("N-2", vec![line("B", 1)], OnShortage::Refuse)]);
    let [Outcome { decision: Decision::Confirmed { released: false, .. }, .. }] = &other[..] else {
        panic!("{other:?}")
    };

    announced.extend(tick_until_done(&mut shard));
    assert_eq!(announced, numbered(0..10_000));
    assert_eq!(shard.inventory.stock_of("main", "A").unwrap().reserved, 20_000);
    assert_eq!(shard.inventory.due(), Due::Never);
    shard.inventory.check_books().unwrap();
}

/// As far as stock goes, and no further; every order of two SKUs, of which one is short for most of them.
#[test]
fn a_receipt_for_some_releases_the_first_placed() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 1), receive("R-2", "B", 7_000)]);
    place_many(&mut shard, 10_000, &[("A", 2), ("B", 1)], OnShortage::Backorder);
    let mut announced = order_ids(&shard.send(&[receive("R-3", "A", 100_000)]));
    announced.extend(tick_until_done(&mut shard));
    assert_eq!(announced, numbered(0..7_000));
    assert_eq!(shard.inventory.totals().waiting_orders, 3_000);
    // The rest waits for the other SKU by now.
    let mut announced = order_ids(&shard.send(&[receive("R-4", "B", 3_000)]));
    announced.extend(tick_until_done(&mut shard));
    assert_eq!(announced, numbered(7_000..10_000));
    shard.inventory.check_books().unwrap();
}

/// Stock that comes to one SKU, and room that policy makes everywhere, while a release is still being worked off: the order of placing
/// holds all the same, and a snapshot in between goes on alike.
#[test]
fn a_policy_amid_a_release_changes_no_turn() {
    let mut shard = Shard::new();
    shard.send(&[policy(PolicyChange { safety_stock: Some(1), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", 1), receive("R-2", "B", 1)]);
    // Those of B were placed before those of A, and the other way about, in turns.
    for number in 0..2_000 {
        let sku = if number % 2 == 0 { "A" } else { "B" };
        let order = place(format!("O-{number}"), vec![line(sku, 1)], OnShortage::Backorder);
        assert_eq!(shard.send(&[order]).len(), 1);
    }
    let mut announced = order_ids(&shard.send(&[receive("R-3", "B", 900)]));
    assert_eq!(announced.len(), BEYOND_MAX);
    // Now each SKU has one more, beside those of B that are still to be given out.
    let change = PolicyChange { safety_stock: Some(0), ..PolicyChange::default() };
    announced.extend(order_ids(&shard.send(&[policy(change)])));
    // A's first comes before all that is left of B's.
    let expected = |number: usize| match number {
        0..BEYOND_MAX => format!("O-{}", 2 * number + 1),
        BEYOND_MAX => "O-0".to_owned(),
        _ => format!("O-{}", 2 * number - 1),
    };
    let expected: Vec<_> = (0..902).map(expected).collect();
    assert_eq!(frozen(&mut shard.inventory), snapshot(&shard.inventory));
    let inventory = restore(&snapshot(&shard.inventory)).unwrap();
    let (sequence, clock_ms) = (shard.sequence, shard.clock_ms);
    let mut copy = Shard { inventory, sequence, clock_ms, ..Shard::new() };
    let mut others = announced.clone();
    announced.extend(tick_until_done(&mut shard));
    others.extend(tick_until_done(&mut copy));
    assert_eq!(announced, expected);
    assert_eq!(others, expected);
    shard.inventory.check_books().unwrap();
    copy.inventory.check_books().unwrap();
}

/// An order that lacks stock ends, and is forgotten before it is told that it lacks no more: nothing more is said of it, also after a
/// snapshot.
#[test]
fn what_is_forgotten_amid_a_search_lacks_nothing_more() {
    let mut shard = Shard::new();
    shard.send(&[policy(PolicyChange { settled_orders_max: Some(0), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", 1), receive("R-2", "B", 1_000)]);
    shard.send(&[place("O-A", vec![line("A", 1)], OnShortage::Refuse)]);
    place_many(&mut shard, 1_000, &[("B", 1)], OnShortage::Refuse);
    let adjust = |adjustment_id: &'static str, sku: &'static str, quantity| {
        let lines = vec![Line { sku: sku.into(), quantity }];
        Command::Adjust(Adjust { adjustment_id: adjustment_id.into(), lines, ..Adjust::default() })
    };
    let told = order_ids(&shard.send(&[adjust("J-1", "A", -1)]));
    assert_eq!(told, ["O-A"]);
    // Those of B are told in steps; meanwhile the one of A ends, and is forgotten.
    let cancel = Command::Cancel(Cancel { order_id: "O-A".into(), ..Cancel::default() });
    assert_eq!(order_ids(&shard.send(&[adjust("J-2", "B", -1_000), cancel])).len(), BEYOND_MAX);
    shard.tick();
    assert!(shard.inventory.totals().open_orders >= 1_000);
    let restored = restore(&snapshot(&shard.inventory)).unwrap();
    assert_eq!(restored.digests(), shard.inventory.digests());
    let told = tick_until_done(&mut shard);
    assert!(!told.iter().any(|id| id == "O-A"), "it is forgotten");
    assert_eq!(shard.inventory.due(), Due::Never);
    let stock = shard.inventory.stock_of("main", "A").unwrap();
    assert_eq!((stock.on_hand, stock.reserved), (0, 0));
    shard.inventory.check_books().unwrap();
    let restored = restore(&snapshot(&shard.inventory)).unwrap();
    assert_eq!(restored.digests(), shard.inventory.digests());
}

/// Room that policy makes for exactly as many as one message may release: that all were looked at is noted by the next, and what is
/// written in between can be read back.
#[test]
fn a_policy_that_releases_the_last_who_waits() {
    let mut shard = Shard::new();
    let stock = i64::from(OUTCOMES_BEYOND_OWN_MAX);
    shard.send(&[policy(PolicyChange { safety_stock: Some(stock), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", stock)]);
    place_many(&mut shard, OUTCOMES_BEYOND_OWN_MAX, &[("A", 1)], OnShortage::Backorder);
    let change = PolicyChange { safety_stock: Some(0), ..PolicyChange::default() };
    assert_eq!(order_ids(&shard.send(&[policy(change)])).len(), BEYOND_MAX);
    assert_eq!(shard.inventory.totals().waiting_orders, 0);
    shard.interrupt();
    assert_eq!(tick_until_done(&mut shard), Vec::<String>::new());
    assert_eq!(shard.inventory.due(), Due::Never);
}

/// 100,000 unpaid holds that all ended during an outage expire in steps, oldest first, each once.
#[test]
fn an_outage_ends_100_000_holds_in_steps() {
    let mut shard = Shard::new();
    shard.send(&[policy(PolicyChange { pay_within_ms: Some(1_000), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", 100_000)]);
    place_many(&mut shard, 100_000, &[("A", 1)], OnShortage::Refuse);
    assert_eq!(shard.inventory.totals().timed_orders, 100_000);
    shard.clock_ms += 3_600_000;
    // The record that comes first after the outage is answered, behind the first holds.
    let outcomes = shard.send(&[place("N-1", vec![line("A", 300)], OnShortage::Refuse)]);
    assert_eq!(outcomes.len(), BEYOND_MAX + 1);
    let Decision::Refused { reason, .. } = &outcomes[BEYOND_MAX].decision else { panic!("{outcomes:?}") };
    assert_eq!(*reason, Reason::Busy, "what it lacks is about to be free");
    let mut announced = order_ids(&outcomes);
    // The next one finds holds that ended before it came: only ticks expire those.
    let next = shard.send(&[place("N-2", vec![line("A", 1)], OnShortage::Refuse)]);
    assert!(matches!(next[..], [Outcome { decision: Decision::Confirmed { .. }, .. }]));
    shard.send(&[Command::Cancel(Cancel { order_id: "N-2".into(), ..Cancel::default() })]);
    announced.extend(tick_until_done(&mut shard));
    assert_eq!(announced, numbered(0..100_000));
    assert_eq!(shard.inventory.due(), Due::Never);
    assert_eq!(shard.inventory.stock_of("main", "A").unwrap().available, 100_000);
    shard.inventory.check_books().unwrap();
}

/// While ended holds are still to be worked off, whoever would not be short without them is told `busy`, whatever it asks for, and
/// nothing of it is remembered; whoever is short all the same gets a final answer.
#[test]
fn only_what_ended_holds_may_free_is_no_final_answer() {
    let mut shard = Shard::new();
    shard.send(&[policy(PolicyChange { pay_within_ms: Some(1_000), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", 600), receive("R-2", "B", 1)]);
    place_many(&mut shard, 600, &[("A", 1)], OnShortage::Refuse);
    shard.clock_ms += 1_000;
    let order = |id: &'static str, lines: &[(&'static str, i64)], on_shortage| {
        place(id, lines.iter().map(|(sku, quantity)| line(sku, *quantity)).collect(), on_shortage)
    };
    let orders = [
        order("N-1", &[("A", 300)], OnShortage::Refuse),
        order("N-2", &[("A", 300)], OnShortage::Partial),
        order("N-3", &[("A", 300)], OnShortage::Backorder),
        order("N-4", &[("A", 601)], OnShortage::Refuse),
        order("N-5", &[("A", 300), ("B", 2)], OnShortage::Backorder),
        order("N-6", &[("A", 300), ("Z", 1)], OnShortage::Refuse),
        order("N-7", &[("A", 200)], OnShortage::Refuse),
    ];
    let reasons = |shard: &mut Shard| -> Vec<Option<Reason>> {
        shard.send(&orders);
        let answers = shard.output.entries(0, shard.output.len()).iter();
        answers.filter(|entry| entry.kind != OutcomeKind::Expired).map(|entry| entry.reason).collect()
    };
    let (busy, short) = (Some(Reason::Busy), Some(Reason::InsufficientStock));
    assert_eq!(reasons(&mut shard), [busy, busy, busy, short, None, Some(Reason::UnknownSku), None]);
    for number in 1..=3 {
        assert!(shard.inventory.order(&format!("N-{number}")).is_none(), "what is busy is not remembered");
    }
    assert_eq!(shard.inventory.order("N-4").unwrap().state, State::Refused);
    assert_eq!(shard.inventory.order("N-5").unwrap().state, State::Waiting);
    tick_until_done(&mut shard);
    // N-5 claims what it is parked at; 400 of 600 are free without it.
    assert_eq!(reasons(&mut shard)[0], None);
    shard.inventory.check_books().unwrap();
}

/// The bound is one message's, however many commands it holds; and only a tick that is alone goes on with what is left.
#[test]
fn the_bound_is_per_message() {
    let mut shard = Shard::new();
    shard.send(&[policy(PolicyChange { pay_within_ms: Some(1_000), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", 1_000)]);
    place_many(&mut shard, 1_000, &[("A", 1)], OnShortage::Refuse);
    shard.clock_ms += 3_600_000;
    let tick = || Command::Tick(weir::words::command::Tick {});
    let outcomes = shard.send(&[tick(), tick()]);
    assert_eq!(outcomes.len(), BEYOND_MAX);
    assert!(outcomes.iter().all(|outcome| outcome.index == 0));
    assert_eq!(shard.send(&vec![tick(); 1_000]).len(), 0, "none of them is alone");
    assert_eq!(shard.tick().len(), BEYOND_MAX);
    assert_eq!(tick_until_done(&mut shard).len(), 1_000 - 2 * BEYOND_MAX);
}

/// A count that leaves a shortfall names the orders placed last, newest first, in steps, and only as many units as are
/// missing.
#[test]
fn a_shortfall_names_the_newest_orders_in_steps() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 30_000)]);
    place_many(&mut shard, 10_000, &[("A", 3)], OnShortage::Refuse);
    // Places of cancelled orders are used again: the order of placing is not the order of keeping.
    let limits = PolicyChange { settled_orders_max: Some(0), ..PolicyChange::default() };
    shard.send(&[policy(limits)]);
    for number in 0..100 {
        let order_id = format!("O-{number}").into();
        shard.send(&[Command::Cancel(Cancel { order_id, ..Cancel::default() })]);
    }
    for number in 0..100 {
        shard.send(&[place(format!("N-{number}"), vec![line("A", 3)], OnShortage::Refuse)]);
    }
    let lines = vec![line("A", 28_999).into()];
    let count = Command::Count(Count { count_id: "C-1".into(), lines, ..Count::default() });
    let outcomes = shard.send(&[count]);
    assert!(matches!(outcomes[0].decision, Decision::Counted { .. }));
    let mut announced = order_ids(&outcomes);
    // The shard answers while the search goes on.
    let meanwhile = shard.send(&[place("N-X", vec![line("A", 1)], OnShortage::Refuse)]);
    assert!(matches!(meanwhile[..], [Outcome { decision: Decision::Refused { .. }, .. }]));
    announced.extend(tick_until_done(&mut shard));
    let newest = (0..100).rev().map(|number| format!("N-{number}"));
    let then = (0..10_000).rev().map(|number| format!("O-{number}"));
    let expected: Vec<_> = newest.chain(then).take(334).collect();
    assert_eq!(announced, expected);
    assert_eq!(shard.inventory.stock_of("main", "A").unwrap().available, -1_001);
    shard.inventory.check_books().unwrap();
}

/// Sums cannot overflow: nine million receipts of the most units there can be, of which the last is refused.
#[test]
fn stock_never_passes_2_to_the_53() {
    let mut shard = Shard::new();
    // Ids are forgotten at once, so that one payload can come again and again.
    let sites = Some(vec!["main".into(), "west".into()]);
    shard.send(&[policy(PolicyChange { facts_max: Some(0), sites, ..PolicyChange::default() })]);
    let batch = vec![receive("R", "A", 1_000_000_000); 16_000];
    let payload = bytes::Bytes::from(codec::encode_commands(Format::Bincode, &batch));
    let full = STOCK_MAX / 1_000_000_000;
    for _ in 0..full / 16_000 {
        shard.feed(Some(Format::Bincode), payload.clone()).unwrap();
    }
    shard.send(&vec![receive("R", "A", 1_000_000_000); usize::try_from(full % 16_000).unwrap() - 1]);
    // A count may move twice the most that there can be of a quantity, from what was expected.
    let counted = vec![CountLine { sku: "A".into(), quantity: 5, expected: None }];
    let count = Command::Count(Count { count_id: "C".into(), lines: counted, ..Count::default() });
    let refused = shard.send(std::slice::from_ref(&count));
    assert!(matches!(refused[0].decision, Decision::Refused { reason: Reason::StockLimit, .. }));
    shard.send(&[receive("R", "A", 1_000_000_000)]);
    let stock = shard.inventory.stock_of("main", "A").unwrap();
    assert_eq!(stock.received, full * 1_000_000_000);

    let refused = shard.send(&[receive("R-2", "A", 1_000_000_000)]);
    assert!(matches!(refused[0].decision, Decision::Refused { reason: Reason::StockLimit, .. }));
    let rest = STOCK_MAX - stock.received;
    let outcomes = shard.send(&[receive("R-3", "A", rest)]);
    assert!(matches!(outcomes[0].decision, Decision::Received { .. }));
    assert_eq!(shard.inventory.stock_of("main", "A").unwrap().on_hand, STOCK_MAX);
    let refused = shard.send(&[receive("R-4", "A", 1)]);
    assert!(matches!(refused[0].decision, Decision::Refused { reason: Reason::StockLimit, .. }));
    // Whatever else would move it is refused alike, whichever way it goes: the sums of what came and went only grow.
    let lines = |quantity| vec![Line { sku: "A".into(), quantity }];
    let adjust = |quantity| {
        let adjustment_id = format!("J{quantity}").into();
        Command::Adjust(Adjust { adjustment_id, lines: lines(quantity), ..Adjust::default() })
    };
    let moved = |from: &'static str, to: &'static str| {
        let (from, to) = (from.into(), to.into());
        Command::Transfer(Transfer {
            transfer_id: "X".into(),
            from,
            to,
            lines: lines(1),
            ..Transfer::default()
        })
    };
    let west = Receive { site: Some("west".into()), lines: lines(1), ..Receive::default() };
    shard.send(&[Command::Receive(Receive { receipt_id: "R-W".into(), ..west })]);
    for command in [adjust(1), adjust(-1), count, moved("main", "west"), moved("west", "main")] {
        let refused = shard.send(std::slice::from_ref(&command));
        let reason = match &refused[0].decision {
            Decision::Refused { reason, .. } => Some(*reason),
            _ => None,
        };
        assert_eq!(reason, Some(Reason::StockLimit), "{command:?}");
    }
    let refused = shard.send(&[receive("R-5", "B", 1), receive("R-6", "A", 1)]);
    assert!(matches!(refused[0].decision, Decision::Received { .. }));
    shard.inventory.check_books().unwrap();
}
