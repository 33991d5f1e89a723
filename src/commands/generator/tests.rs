//! That the load has the shape it is said to have.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Commands up to and with the `orders`-th order, its own retry perhaps not.
fn commands(seed: u64, orders: u64) -> Vec<Command<'static>> {
    let mut generator = Generator::new(seed, Shape::default());
    let mut commands = generator.initial_stock();
    while generator.orders_placed() < orders {
        commands.push(generator.next_command());
    }
    commands
}

/// The orders among `commands`, each once.
fn places<'c>(commands: &'c [Command<'static>]) -> Vec<&'c Place<'static>> {
    let mut seen = BTreeSet::new();
    commands
        .iter()
        .filter_map(|command| if let Command::Place(place) = command { Some(place) } else { None })
        .filter(|place| seen.insert(place.order_id.clone()))
        .collect()
}

/// `values[share]` is within `tolerance` percent of what is `stated`.
#[track_caller]
fn assert_quantile(values: &mut [i64], share: usize, stated: i64, tolerance: i64) {
    values.sort_unstable();
    let found = values[(values.len() - 1) * share / 1_000];
    assert!((found - stated).abs() * 100 <= stated * tolerance, "{share} in 1,000: {found}, stated {stated}");
}

#[test]
fn the_same_seed_gives_the_same_commands() {
    let commands_1 = commands(1, 2_000);
    assert_eq!(commands_1, commands(1, 2_000));
    let ids = |commands: &[Command<'static>]| -> BTreeSet<_> {
        places(commands).iter().map(|place| place.order_id.clone()).collect()
    };
    assert!(ids(&commands_1).is_disjoint(&ids(&commands(2, 2_000))));
}

#[test]
fn orders_have_the_stated_shape() {
    let commands = commands(7, 20_000);
    let places = places(&commands);
    assert_eq!(places.len(), 20_000);
    let mut lines: Vec<i64> = places.iter().map(|place| i64::try_from(place.lines.len()).unwrap()).collect();
    for (share, stated, tolerance) in [(500, 13, 8), (900, 51, 6), (990, 211, 12), (1_000, 1_114, 20)] {
        assert_quantile(&mut lines, share, stated, tolerance);
    }
    let all = || places.iter().flat_map(|place| &place.lines);
    let mut quantities: Vec<i64> = all().map(|line| line.quantity).collect();
    for (share, stated, tolerance) in [(500, 3, 0), (900, 24, 5), (990, 100, 6)] {
        assert_quantile(&mut quantities, share, stated, tolerance);
    }
    let mut of_sku: BTreeMap<&str, usize> = BTreeMap::new();
    for line in all() {
        *of_sku.entry(&line.sku).or_default() += 1;
    }
    let mut counts: Vec<usize> = of_sku.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let head = |skus: usize| counts[..skus].iter().sum::<usize>() * 100 / quantities.len();
    // Zipf with 0.64: the top 1% have some 18%, the top 10% some 43%, the top 20% some 55% of the lines.
    assert!((15..=21).contains(&head(38)), "{}", head(38));
    assert!((40..=46).contains(&head(380)), "{}", head(380));
    assert!((52..=58).contains(&head(760)), "{}", head(760));
}

#[test]
fn a_few_orders_in_a_hundred_meet_a_shortage() {
    for seed in [1, 2, 3] {
        let mut generator = Generator::new(seed, Shape::default());
        let _ = generator.initial_stock();
        let mut short = 0;
        for orders in [5_000, 10_000, 15_000, 20_000] {
            while generator.orders_placed() < orders {
                let _ = generator.next_command();
            }
            let share = (generator.orders_short() - short) * 1_000 / 5_000;
            short = generator.orders_short();
            assert!(
                orders == 5_000 || (30..=80).contains(&share),
                "seed {seed}, up to {orders}: {share} in 1,000"
            );
        }
    }
}

#[test]
fn orders_go_through_their_lives_in_order() {
    let mut state: BTreeMap<Text<'static>, &str> = BTreeMap::new();
    let (mut undone, mut kinds) = (0, BTreeMap::<&str, u64>::new());
    let mut seen = BTreeSet::new();
    for command in commands(3, 20_000) {
        *kinds.entry(command.kind().name()).or_default() += 1;
        let mut go = |order_id: &Text<'static>, from: &[&str], to| {
            let before = state.insert(order_id.clone(), to);
            assert!(from.contains(&before.unwrap_or("")), "{order_id} {before:?} to {to}");
        };
        // A retry changes nothing.
        if !seen.insert(serde_json::to_string(&command).unwrap()) {
            continue;
        }
        match &command {
            Command::Place(it) => go(&it.order_id, &[""], "placed"),
            Command::PayFailed(it) => go(&it.order_id, &["placed"], "placed"),
            Command::Pay(it) => go(&it.order_id, &["placed"], "paid"),
            Command::Ship(it) => go(&it.order_id, &["paid"], "shipped"),
            Command::Deliver(it) => go(&it.order_id, &["shipped"], "delivered"),
            Command::Review(it) => go(&it.order_id, &["delivered"], "closed"),
            Command::Cancel(it) => go(&it.order_id, &["paid"], "closed"),
            Command::Return(it) => go(&it.order_id, &["delivered"], "closed"),
            Command::Receive(it) => {
                assert!(it.lines.len() <= RECEIPT_LINES_MAX && it.lines.iter().all(|line| line.quantity > 0));
            }
            other => panic!("{other:?}"),
        }
        undone += u64::from(matches!(command, Command::Cancel(_) | Command::Return(_)));
    }
    assert!((2_500..=3_300).contains(&undone), "{undone} of 20,000 cancelled or returned");
    for kind in ["place", "pay", "pay_failed", "ship", "deliver", "cancel", "return", "review", "receive"] {
        assert!(kinds.contains_key(kind), "no {kind}");
    }
    let duplicates = kinds.values().sum::<u64>() - seen.len() as u64;
    assert!((100..=400).contains(&duplicates), "{duplicates} retries");
}

#[test]
fn memory_is_bounded() {
    let mut generator = Generator::new(5, Shape { journeys_max: 100, ..Shape::default() });
    let _ = generator.initial_stock();
    for _ in 0..50_000 {
        let _ = generator.next_command();
        // What waited since the shelves were last filled is released at once.
        assert!(generator.journeys() <= 150, "{}", generator.journeys());
        assert!(generator.books.waiting() <= 50, "{}", generator.books.waiting());
        assert!(generator.ready.len() <= 4 && generator.retries.len() <= RETRIES_MAX);
    }
}

#[test]
fn any_shape_gives_commands() {
    let one = Quantiles::exactly(1);
    let shape = Shape { skus: 0, lines: one, quantity: Quantiles::new([]), customers: 0, ..Shape::default() };
    let mut generator = Generator::new(0, Shape { journeys_max: 0, restock_every: 0, ..shape });
    for _ in 0..1_000 {
        let _ = generator.next_command();
    }
}
