//! Random commands: the inventory against the naive model, two folds of one log against each other, and the same
//! commands under other times and in other messages.
//!
//! Few ids, few SKUs, small limits and short windows, so that everything happens often. `WEIR_TEST_CASES` sets how many
//! cases run; a failure prints its smallest case.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseResult, TestRunner};

use weir::folds::inventory::{Due, StockView};
use weir::words::codec::{self, Format};
use weir::words::codes::Family;
use weir::words::command::{
    Adjust, Amend, Cancel, Command, CommandKind, Count, CountLine, Deliver, Extend, Line, Money, OnShortage,
    Pay, PayFailed, Place, Receive, Return, ReturnLine, Review, Ship, Tick, Transfer,
};
use weir::words::message::Way;
use weir::words::outcome::{Decision, Outcome};
use weir::words::policy::{OwnFigure, PolicyChange, RULES_NEWEST};
use weir::words::text::Text;
use weir::words::timestamp::Timestamp;

use crate::model::{Model, ModelOrder, ModelStock};
use crate::snapshot::Pair;
use crate::support::{START_MS, Shard};

type Owned = Command<'static>;

/// One message: how the broker's clock moves before it, and its commands.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    moved_ms: i64,
    way: Way,
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

fn value() -> impl Strategy<Value = Option<Money<'static>>> {
    let minor = prop_oneof![8 => 1..20i64, 1 => Just(0), 1 => Just(-1)];
    let currency = prop_oneof![9 => Just("EUR"), 2 => Just("USD"), 1 => Just("eur")];
    let money = (minor, currency).prop_map(|(minor, currency)| Money { minor, currency: currency.into() });
    prop::option::weighted(0.4, money)
}

fn sites() -> impl Strategy<Value = Option<Vec<Text<'static>>>> {
    let some = prop_oneof![
        4 => Just(vec!["main", "west"]), 4 => Just(vec!["west", "main"]), 1 => Just(vec!["west"]),
        1 => Just(vec![]), 1 => Just(vec!["main", "main"]), 1 => Just(vec!["nowhere", "main"]),
    ];
    prop::option::weighted(0.2, some.prop_map(|sites| sites.into_iter().map(Into::into).collect()))
}

fn at() -> impl Strategy<Value = Option<Timestamp>> {
    prop::option::weighted(0.2, (START_MS..START_MS + 2_000).prop_map(Timestamp::from_millis))
}

fn place() -> impl Strategy<Value = Owned> {
    let mode = prop_oneof![
        2 => Just(OnShortage::Refuse), 1 => Just(OnShortage::Partial), 3 => Just(OnShortage::Backorder)
    ];
    let where_from = prop_oneof![
        5 => (site(), Just(None)), 3 => (Just(None), sites()), 1 => (site(), sites()),
    ];
    let within = prop::option::weighted(0.2, -1..300i64);
    (order_id(), where_from, lines(4), mode, at(), (value(), within, at())).prop_map(
        |(order_id, (site, sites), lines, on_shortage, submitted_at, (value, pay_within_ms, wait_until))| {
            let lines = lines.into_iter().map(Into::into).collect();
            Command::Place(Place {
                order_id,
                site,
                sites,
                lines,
                on_shortage,
                submitted_at,
                value,
                pay_within_ms,
                wait_until,
                ..Place::default()
            })
        },
    )
}

fn of_orders() -> impl Strategy<Value = Owned> {
    let attempt = || prop::option::of(id("T", 6));
    let own = |prefix| prop::option::weighted(0.3, id(prefix, 4));
    prop_oneof![
        4 => (order_id(), some_lines(), own("N"), value()).prop_map(|(order_id, lines, cancel_id, value)| {
            Command::Cancel(Cancel { order_id, lines, cancel_id, value, ..Cancel::default() })
        }),
        1 => (order_id(), 0..7i64, own("V")).prop_map(|(order_id, score, review_id)| {
            Command::Review(Review { order_id, score, review_id, ..Review::default() })
        }),
        3 => (order_id(), attempt(), value()).prop_map(|(order_id, attempt_id, amount)| {
            Command::Pay(Pay { order_id, attempt_id, amount, ..Pay::default() })
        }),
        1 => (order_id(), id("T", 6)).prop_map(|(order_id, attempt_id)| {
            Command::PayFailed(PayFailed { order_id, attempt_id, ..PayFailed::default() })
        }),
        2 => (order_id(), id("X", 4), 0..100_000i64).prop_map(|(order_id, extension_id, pay_within_ms)| {
            Command::Extend(Extend { order_id, extension_id, pay_within_ms })
        }),
        3 => (order_id(), id("M", 8), lines(4), value()).prop_map(|(order_id, amendment_id, lines, value)| {
            let lines = lines.into_iter().map(Into::into).collect();
            Command::Amend(Amend { order_id, amendment_id, lines, value, ..Amend::default() })
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
        2 => (id("C", 40), site(), prop::collection::vec(count_line(), 0..3), at()).prop_map(
            |(count_id, site, lines, occurred_at)| Command::Count(Count { count_id, site, lines, occurred_at })
        ),
        2 => (id("J", 40), site(), prop::collection::vec(signed_line(), 0..3)).prop_map(
            |(adjustment_id, site, lines)| {
                Command::Adjust(Adjust { adjustment_id, site, lines, ..Adjust::default() })
            }
        ),
        2 => (id("X", 40), any::<bool>(), lines(2)).prop_map(|(transfer_id, east, lines)| {
            let (from, to) = if east { ("west", "main") } else { ("main", "west") };
            let (from, to) = (from.into(), to.into());
            Command::Transfer(Transfer { transfer_id, from, to, lines, ..Transfer::default() })
        }),
    ]
}

fn count_line() -> impl Strategy<Value = CountLine<'static>> {
    (sku(), quantity(), prop::option::weighted(0.3, 0..6i64))
        .prop_map(|(sku, quantity, expected)| CountLine { sku, quantity, expected })
}

fn signed_line() -> impl Strategy<Value = Line<'static>> {
    (sku(), -6..6i64).prop_map(|(sku, quantity)| Line { sku, quantity })
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
    let own =
        || {
            let figure = (site(), sku(), prop::option::of(0..4i64))
                .prop_map(|(site, sku, quantity)| OwnFigure { site, sku, quantity });
            prop::option::weighted(0.3, prop::collection::vec(figure, 0..3))
        };
    let orders = (some(200), some(12), some(10), some(300), some(10), some(300), some(10), some(300));
    let waiting = (some(200), some(8), some(6), some(30), some(400), some(400));
    let rest = (some(12), some(300), some(3), prop::option::weighted(0.1, 1..6i64), some(300));
    let rules = prop::option::weighted(0.3, 1..=RULES_NEWEST);
    ((rules, sites), own(), own(), orders, waiting, rest).prop_map(
        |((rules, sites), safety, allowance, orders, waiting, rest)| {
            Command::Policy(PolicyChange {
                rules,
                sites,
                safety_stock_of: safety,
                allowance_of: allowance,
                pay_within_ms: orders.0,
                open_orders_max: orders.1.map(|most| most + 2),
                open_lines_max: orders.1.map(|most| most + 6),
                settled_orders_max: orders.2,
                settled_window_ms: orders.3,
                closed_orders_max: orders.4,
                closed_window_ms: orders.5,
                refused_orders_max: orders.6,
                refused_window_ms: orders.7,
                wait_within_ms: waiting.0,
                claim_units_max: waiting.1,
                waiting_orders_max: waiting.2,
                waiting_units_max: waiting.3,
                hold_ms_max: waiting.4.map(|most| most + 1),
                wait_ms_max: waiting.5.map(|most| most + 1),
                facts_max: rest.0,
                facts_window_ms: rest.1,
                safety_stock: rest.2,
                lines_max: rest.3,
                quantity_max: rest.3.map(|most| most * 4),
                skus_max: rest.3.map(|most| most + 2),
                skus_window_ms: rest.4,
                order_facts_max: rest.0.map(|most| most + 4),
            })
        },
    )
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
    let families = prop::sample::select(&Family::ALL[..]).prop_map(Way::Family);
    let way = prop_oneof![30 => Just(Way::Any), 2 => families, 1 => Just(Way::Other)];
    (moved, way, format, commands).prop_map(|(moved_ms, way, format, commands)| Step {
        moved_ms,
        way,
        format,
        commands,
    })
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
    shard.way = step.way;
    shard.feed(Some(step.format), codec::encode_commands(step.format, &step.commands)).unwrap();
}

fn same_state(shard: &Shard, model: &Model) -> TestCaseResult {
    let inventory = &shard.inventory;
    let by_name = |one: &ModelStock| (one.site.clone(), one.sku.clone());
    let mut actual: Vec<_> = inventory.stock().map(as_model).collect();
    let mut expected = model.stock();
    actual.sort_by_key(by_name);
    expected.sort_by_key(by_name);
    prop_assert_eq!(&actual, &expected);
    for id in model.order_ids() {
        let actual = inventory.order(&id).map(|it| ModelOrder {
            state: it.state,
            first_sequence: it.first_sequence,
            pay_by: it.pay_by,
        });
        prop_assert_eq!(actual, model.order(&id), "order {}", &id);
    }
    let (totals, counts) = (inventory.totals(), model.counts());
    let actual = [
        totals.open_orders,
        totals.open_lines,
        totals.waiting_orders,
        totals.settled_orders,
        totals.closed_orders,
        totals.refused_orders,
    ];
    let expected =
        [counts.open, counts.open_lines, counts.waiting, counts.settled, counts.closed, counts.refused];
    prop_assert_eq!(actual.map(|count| usize::try_from(count).unwrap()), expected);
    prop_assert_eq!(inventory.check_books(), Ok(()));
    let skus = inventory.stock().filter(|view| view.available <= 0).count();
    prop_assert_eq!(totals.stock.out_of_stock, skus as u64);
    Ok(())
}

fn as_model(view: StockView) -> ModelStock {
    ModelStock {
        site: view.site,
        sku: view.sku,
        on_hand: view.on_hand,
        reserved: view.reserved,
        available: view.available,
        received: view.received,
        adjusted: view.adjusted,
        restocked: view.restocked,
        shipped: view.shipped,
        moved_in: view.moved_in,
        moved_out: view.moved_out,
    }
}

fn judge(steps: &[Step]) -> TestCaseResult {
    let (mut pair, mut model) = (Pair::default(), Model::new());
    for step in steps {
        pair.feed(step);
        let shard = &pair.whole;
        let expected = model.apply(START_MS + shard.clock_ms, step.way, &step.commands);
        prop_assert_eq!(plain(shard.outcomes()), expected, "at sequence {}: {:?}", shard.sequence, step);
        same_state(shard, &model)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(config())]

    /// Every outcome and every state are the model's; and a fold that was restored from a snapshot before every message has the same
    /// outcomes and digests.
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
        commands in prop::collection::vec(command().prop_map(timeless), 1..150),
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
            feed(&mut other, &Step { moved_ms: 7, way: Way::Any, format: Format::Json, commands: batch.to_vec() });
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

/// A command that does not depend on when it comes.
fn timeless(mut command: Owned) -> Owned {
    match &mut command {
        Command::Place(place) => {
            (place.pay_within_ms, place.wait_until, place.submitted_at) = (None, None, None);
        }
        Command::Count(count) => count.occurred_at = None,
        _ => {}
    }
    command
}

/// A decision without the sequences and times in it.
fn without_times(mut decision: Decision<'_>) -> Decision<'_> {
    if let Some(repeat) = decision.repeat_mut() {
        repeat.first_sequence = 0;
    }
    decision
}

/// A command that never comes is one that the model does not judge.
#[test]
fn every_command_comes_at_random() {
    let mut runner = TestRunner::deterministic();
    let steps = prop::collection::vec(step(), 500).new_tree(&mut runner).unwrap().current();
    let kinds: BTreeSet<_> = steps.iter().flat_map(|step| &step.commands).map(Command::kind).collect();
    assert_eq!(kinds, CommandKind::ALL.into());
}
