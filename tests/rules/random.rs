//! Random commands: the inventory against the naive model, two folds of one log against each other, and the same
//! commands under other times and in other messages.
//!
//! Few ids, few SKUs, small limits and short windows, so that everything happens often. `WEIR_TEST_CASES` sets how many
//! cases run; a failure prints its smallest case.

use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use weir::folds::inventory::Due;
use weir::words::codec::{self, Format};
use weir::words::command::{
    Cancel, Command, Count, Deliver, Line, OnShortage, Pay, PayFailed, Place, Receive, Return, ReturnLine,
    Review, Ship, Tick,
};
use weir::words::outcome::{Decision, Outcome};
use weir::words::policy::{PolicyChange, SafetyStock};
use weir::words::text::Text;
use weir::words::timestamp::Timestamp;

use crate::model::Model;
use crate::support::{START_MS, Shard};

type Owned = Command<'static>;

/// One message: how the broker's clock moves before it, and its commands.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    moved_ms: i64,
    format: Format,
    pub(crate) commands: Vec<Owned>,
}

pub(crate) fn config() -> ProptestConfig {
    let cases = std::env::var("WEIR_TEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(300);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

fn id(prefix: &'static str, most: u8) -> impl Strategy<Value = Text<'static>> {
    (0..most).prop_map(move |number| format!("{prefix}-{number}").into())
}

fn order_id() -> impl Strategy<Value = Text<'static>> {
    id("O", 24)
}

fn sku() -> impl Strategy<Value = Text<'static>> {
    prop_oneof![
        12 => Just("A"), 8 => Just("B"), 6 => Just("C"), 2 => Just("D"), 1 => Just("Z"),
    ]
    .prop_map(Into::into)
}

fn site() -> impl Strategy<Value = Option<Text<'static>>> {
    prop_oneof![
        12 => Just(None),
        4 => Just(Some("west".into())),
        1 => Just(Some("main".into())),
        1 => Just(Some("nowhere".into())),
    ]
}

fn quantity() -> impl Strategy<Value = i64> {
    prop_oneof![20 => 1..5i64, 5 => 5..12i64, 1 => Just(0), 1 => Just(-1)]
}

fn lines(most: usize) -> impl Strategy<Value = Vec<Line<'static>>> {
    prop::collection::vec((sku(), quantity()).prop_map(|(sku, quantity)| Line { sku, quantity }), 0..=most)
        .prop_filter("mostly with lines", |lines| lines.len() != 7)
}

fn some_lines() -> impl Strategy<Value = Option<Vec<Line<'static>>>> {
    prop_oneof![1 => Just(None), 1 => lines(2).prop_map(Some)]
}

fn place() -> impl Strategy<Value = Owned> {
    let mode = prop_oneof![
        2 => Just(OnShortage::Refuse), 1 => Just(OnShortage::Partial), 3 => Just(OnShortage::Backorder)
    ];
    let submitted =
        prop::option::weighted(0.1, (START_MS..START_MS + 2_000).prop_map(Timestamp::from_millis));
    (order_id(), site(), lines(4), mode, submitted).prop_map(
        |(order_id, site, lines, on_shortage, submitted_at)| {
            Command::Place(Place { order_id, site, lines, on_shortage, submitted_at, ..Place::default() })
        },
    )
}

fn of_orders() -> impl Strategy<Value = Owned> {
    let attempt = || prop::option::of(id("T", 6));
    prop_oneof![
        4 => (order_id(), some_lines())
            .prop_map(|(order_id, lines)| Command::Cancel(Cancel { order_id, lines, by: None, reason: None })),
        1 => (order_id(), 0..7i64)
            .prop_map(|(order_id, score)| Command::Review(Review { order_id, score, ..Review::default() })),
        3 => (order_id(), attempt())
            .prop_map(|(order_id, attempt_id)| Command::Pay(Pay { order_id, attempt_id, ..Pay::default() })),
        1 => (order_id(), id("T", 6)).prop_map(|(order_id, attempt_id)| {
            Command::PayFailed(PayFailed { order_id, attempt_id, ..PayFailed::default() })
        }),
    ]
}

fn of_fulfilment() -> impl Strategy<Value = Owned> {
    let shipment = || prop::option::of(id("S", 8));
    let line = (sku(), 1..4i64, any::<bool>()).prop_map(|(sku, quantity, restock)| ReturnLine {
        sku,
        quantity,
        restock,
    });
    let return_lines = prop::option::of(prop::collection::vec(line, 0..3));
    prop_oneof![
        4 => (order_id(), shipment(), some_lines()).prop_map(|(order_id, shipment_id, lines)| {
            Command::Ship(Ship { order_id, shipment_id, lines, ..Ship::default() })
        }),
        2 => (order_id(), shipment(), some_lines()).prop_map(|(order_id, shipment_id, lines)| {
            Command::Deliver(Deliver { order_id, shipment_id, lines, ..Deliver::default() })
        }),
        2 => (order_id(), id("X", 8), return_lines, any::<bool>()).prop_map(
            |(order_id, return_id, lines, restock)| {
                Command::Return(Return { order_id, return_id, lines, restock, ..Return::default() })
            }
        ),
    ]
}

fn of_stock() -> impl Strategy<Value = Owned> {
    prop_oneof![
        4 => (id("R", 40), site(), lines(3)).prop_map(|(receipt_id, site, lines)| {
            Command::Receive(Receive { receipt_id, site, lines, occurred_at: None })
        }),
        2 => (id("C", 40), site(), lines(2)).prop_map(|(count_id, site, lines)| {
            Command::Count(Count { count_id, site, lines, occurred_at: None })
        }),
    ]
}

fn policy() -> impl Strategy<Value = Owned> {
    let some = |most: i64| prop::option::weighted(0.15, 0..most);
    let sites = prop::option::weighted(
        0.6,
        prop_oneof![
            6 => Just(vec!["main".into(), "west".into()]),
            1 => Just(vec!["main".into()]),
            1 => Just(vec!["west".into()]),
            1 => Just(vec![]),
        ],
    );
    let own = (site(), sku(), prop::option::of(0..4i64)).prop_map(|(site, sku, quantity)| SafetyStock {
        site,
        sku,
        quantity,
    });
    let own = prop::option::weighted(0.3, prop::collection::vec(own, 0..3));
    let orders = (some(200), some(12), some(10), some(300), some(10), some(300));
    let rest = (some(12), some(300), some(3), prop::option::weighted(0.1, 1..6i64));
    (sites, own, orders, rest).prop_map(|(sites, safety_stock_of, orders, rest)| {
        Command::Policy(PolicyChange {
            sites,
            safety_stock_of,
            pay_within_ms: orders.0,
            open_orders_max: orders.1.map(|most| most + 2),
            settled_orders_max: orders.2,
            settled_window_ms: orders.3,
            closed_orders_max: orders.4,
            closed_window_ms: orders.5,
            facts_max: rest.0,
            facts_window_ms: rest.1,
            safety_stock: rest.2,
            lines_max: rest.3,
            quantity_max: rest.3.map(|most| most * 4),
            skus_max: rest.3.map(|most| most + 2),
            ..PolicyChange::default()
        })
    })
}

pub(crate) fn command() -> impl Strategy<Value = Owned> {
    prop_oneof![
        8 => place(), 5 => of_orders(), 5 => of_fulfilment(), 5 => of_stock(), 1 => Just(Command::Tick(Tick {})),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let moved = prop_oneof![8 => Just(0), 6 => 1..20i64, 1 => 20..400i64, 1 => -30..0i64];
    let commands = prop_oneof![
        10 => command().prop_map(|one| vec![one]),
        2 => policy().prop_map(|one| vec![one]),
        4 => prop::collection::vec(prop_oneof![20 => command().boxed(), 1 => policy().boxed()], 2..6),
    ];
    let format = prop_oneof![Just(Format::Json), Just(Format::Bincode)];
    (moved, format, commands).prop_map(|(moved_ms, format, commands)| Step { moved_ms, format, commands })
}

/// Outcomes without the words that are meant for a person.
fn plain(outcomes: Vec<Outcome<'_>>) -> Vec<Outcome<'_>> {
    let mut outcomes = outcomes;
    for outcome in &mut outcomes {
        if let Decision::Refused { detail, .. } = &mut outcome.decision {
            *detail = None;
        }
    }
    outcomes
}

pub(crate) fn feed(shard: &mut Shard, step: &Step) {
    shard.clock_ms += step.moved_ms;
    shard.feed(Some(step.format), codec::encode_commands(step.format, &step.commands)).unwrap();
}

fn same_state(shard: &Shard, model: &Model) -> TestCaseResult {
    let inventory = &shard.inventory;
    let views: Vec<_> = inventory.stock().collect();
    prop_assert_eq!(views.len(), model.stock.len());
    for (view, item) in views.iter().zip(&model.stock) {
        prop_assert_eq!((&view.site, &view.sku), (&item.key.0, &item.key.1));
        prop_assert_eq!(view.on_hand, item.on_hand);
        prop_assert_eq!(view.reserved, model.reserved(&view.site, &view.sku));
        prop_assert_eq!(view.available, model.available(&view.site, &view.sku));
        prop_assert_eq!(
            [view.received, view.adjusted, view.restocked, view.shipped],
            [item.received, item.adjusted, item.restocked, item.shipped]
        );
    }
    for order in &model.orders {
        let expected = model.find(&order.id).map(|index| &model.orders[index]);
        let actual = inventory.order(&order.id);
        prop_assert_eq!(
            actual.map(|it| it.state),
            expected.map(crate::model::Order::state),
            "state of {}",
            &order.id
        );
        prop_assert_eq!(actual.map(|it| it.first_sequence), expected.map(|it| it.first_sequence));
        prop_assert_eq!(
            actual.and_then(|it| it.pay_by),
            expected.and_then(|it| it.pay_by).map(Timestamp::from_millis)
        );
    }
    let totals = inventory.totals();
    let counts = [totals.open_orders, totals.settled_orders, totals.closed_orders]
        .map(|count| i64::try_from(count).unwrap());
    prop_assert_eq!(counts, [model.open_count(), model.settled_count(), model.closed_count()]);
    prop_assert_eq!(inventory.check_books(), Ok(()));
    let skus = inventory.stock().filter(|view| view.available <= 0).count();
    prop_assert_eq!(totals.stock.out_of_stock, skus as u64);
    Ok(())
}

fn judge(steps: &[Step]) -> TestCaseResult {
    let (mut shard, mut model) = (Shard::new(), Model::new());
    for step in steps {
        feed(&mut shard, step);
        let expected = model.apply(START_MS + shard.clock_ms, &step.commands);
        prop_assert_eq!(plain(shard.outcomes()), expected, "at sequence {}: {:?}", shard.sequence, step);
        same_state(&shard, &model)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// Every outcome and every state are the model's.
    #[test]
    fn the_inventory_agrees_with_the_naive_model(steps in prop::collection::vec(step(), 120..200)) {
        judge(&steps)?;
    }

    /// Two folds of one log agree at every message, whatever of it was folded into one output.
    #[test]
    fn two_folds_of_one_log_are_equal(steps in prop::collection::vec(step(), 1..120)) {
        let (mut one, mut other) = (Shard::new(), Shard::new());
        for step in &steps {
            feed(&mut one, step);
            feed(&mut other, step);
            prop_assert_eq!(one.output.bytes(), other.output.bytes());
            prop_assert_eq!(one.inventory.chain(), other.inventory.chain());
            prop_assert_eq!(one.inventory.due(), other.inventory.due());
        }
        prop_assert_eq!(one.inventory.digests(), other.inventory.digests());
    }

    /// The ledger does not know times or messages: other timestamps, other formats, other batches, the same ledger.
    #[test]
    fn the_ledger_is_the_same_under_other_times_and_batches(
        commands in prop::collection::vec(command(), 1..150),
        sizes in prop::collection::vec(1..9usize, 150),
    ) {
        let (mut one, mut other) = (Shard::new(), Shard::new());
        let mut first = Vec::new();
        for command in &commands {
            one.clock_ms += 1;
            let outcomes = one.send(std::slice::from_ref(command));
            first.extend(outcomes.into_iter().map(|it| without_times(it.decision)).map(|it| format!("{it:?}")));
        }
        let (mut rest, mut second) = (&commands[..], Vec::new());
        for size in sizes {
            let (batch, later) = rest.split_at(size.min(rest.len()));
            rest = later;
            if batch.is_empty() {
                break;
            }
            other.clock_ms += 7;
            feed(&mut other, &Step { moved_ms: 7, format: Format::Json, commands: batch.to_vec() });
            second.extend(other.outcomes().into_iter().map(|it| without_times(it.decision)).map(|it| format!("{it:?}")));
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(first, second);
        prop_assert_eq!(one.inventory.digests().ledger, other.inventory.digests().ledger);
    }

    /// Where something is due, ticks alone get it done, and nothing is due for ever.
    #[test]
    fn ticks_work_off_whatever_is_due(steps in prop::collection::vec(step(), 1..80)) {
        let mut shard = Shard::new();
        for step in &steps {
            feed(&mut shard, step);
        }
        for _ in 0..200 {
            match shard.inventory.due() {
                Due::Never => return Ok(()),
                Due::Now => {}
                Due::At(at) => {
                    prop_assert!(at > shard.inventory.now());
                    shard.clock_ms = at.millis() - START_MS;
                }
            }
            shard.tick();
        }
        prop_assert!(false, "still due: {:?}", shard.inventory.due());
    }
}

/// A decision without the sequences and times in it.
fn without_times(mut decision: Decision<'_>) -> Decision<'_> {
    match &mut decision {
        Decision::Confirmed { repeat, .. }
        | Decision::Waiting { repeat, .. }
        | Decision::Refused { repeat, .. }
        | Decision::Paid { repeat, .. }
        | Decision::PaymentFailed { repeat, .. }
        | Decision::Shipped { repeat, .. }
        | Decision::Delivered { repeat, .. }
        | Decision::Returned { repeat, .. }
        | Decision::Received { repeat, .. }
        | Decision::Counted { repeat, .. } => {
            if let Some(repeat) = repeat {
                repeat.first_sequence = 0;
            }
        }
        _ => {}
    }
    decision
}
