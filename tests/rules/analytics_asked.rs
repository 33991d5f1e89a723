//! What is asked of open orders: whether the dates that are told come true as often as is said, and the order of those at risk.

use std::collections::{BTreeMap, BTreeSet};

use weir::folds::analytics::{Ranked, Settings};
use weir::words::command::{Cancel, Command};

use crate::analytics::{DAY_MS, Observed, deliver, pay, place, ship, time, world};

/// Every tenth day, from the fortieth on, all open orders are asked about: of each ten that are said to have arrived by then with
/// a probability of one half, about five have.
#[test]
fn the_dates_that_are_told_come_true_as_often_as_is_said() {
    let commands = world(12_000, 100.0, 7);
    let delivered: BTreeMap<String, i64> = commands
        .iter()
        .filter_map(|(at, command)| match command {
            Command::Deliver(deliver) => Some((deliver.order_id.to_string(), *at)),
            _ => None,
        })
        .collect();
    let mut observed = Observed::new(Settings::default());
    let (mut open, mut next): (BTreeSet<String>, _) = (BTreeSet::new(), 40 * DAY_MS);
    let (mut asked, mut arrived, mut late, mut expected_late) = (0_u32, [0_u32; 5], 0_u32, 0.0);
    for (at, command) in &commands {
        if *at >= next {
            next += 10 * DAY_MS;
            for id in &open {
                let risk = observed.analytics.delay_risk_of(id, 7).unwrap();
                // One that is later than any before it is followed no longer.
                let Some(by) = risk.arrives_by else { continue };
                let by = [by.p5, by.p25, by.p50, by.p75, by.p95];
                assert!(by.is_sorted() && by[0].millis() >= observed.analytics.now_ms(), "{risk:?}");
                let at = time(delivered[id]);
                asked += 1;
                for (count, by) in arrived.iter_mut().zip(by) {
                    *count += u32::from(at <= by);
                }
                late += u32::from(at > risk.promised_by.unwrap());
                expected_late += risk.arrives_late.unwrap();
                assert_eq!(risk.measured, 7);
            }
        }
        match command {
            Command::Pay(pay) => drop(open.insert(pay.order_id.to_string())),
            Command::Deliver(deliver) => drop(open.remove(&*deliver.order_id)),
            _ => {}
        }
        observed.send(*at, command);
    }
    assert!(asked > 2_000, "{asked}");
    let share = |count: u32| f64::from(count) / f64::from(asked);
    for (count, said) in arrived.into_iter().zip([0.05, 0.25, 0.5, 0.75, 0.95]) {
        assert!((share(count) - said).abs() < 0.08, "{arrived:?} of {asked}");
    }
    assert!(
        (share(late) - expected_late / f64::from(asked)).abs() < 0.05,
        "{late} {expected_late} of {asked}"
    );
}

#[test]
fn those_at_risk_are_ranked_and_paged() {
    let mut observed = Observed::new(Settings::default());
    // Up to where no more are placed: some of them are under way.
    let at = 30 * DAY_MS;
    for (at, command) in world(24_000, 800.0, 8).into_iter().filter(|(of, _)| *of < at) {
        observed.send(at, &command);
    }
    // The first ones are promised so soon that they cannot but be late, and of the last one nobody warns.
    for number in 0..200_u32 {
        let (order, days) = (100_000 + u64::from(number), f64::from(number) / 12.0);
        observed.send(at, &place(order, at, days, "far", "slow"));
        observed.send(at, &pay(order));
    }
    observed.send(at + DAY_MS, &place(200_000, at, 1_000.0, "north", "quick"));
    observed.send(at + DAY_MS, &pay(200_000));
    let model = &observed.analytics;
    let ranking = model.rank();
    let all = model.ranked(&ranking, None, usize::MAX, 1);
    let is_at_risk = |number: u32| all.iter().any(|it| it.order_id == format!("O-{number}"));
    assert_eq!([100_000, 100_199, 200_000].map(is_at_risk), [true, false, false]);
    assert!(all.len() > 50, "{}", all.len());
    let late = |ranked: &Ranked| ranked.risk.arrives_late.unwrap();
    // As fine as the key: a four-thousandth.
    assert!(all.windows(2).all(|pair| late(&pair[0]) > late(&pair[1]) - 0.000_3), "{all:?}");
    assert!((late(&all[0]) - 1.0).abs() < 1e-9 && late(&all[all.len() - 1]) < 0.9);
    for rows in [1, 7, 64] {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = model.ranked(&ranking, after, rows, 1);
            after = page.last().map(|last| last.key);
            paged.extend(page);
            if paged.len() == all.len() || after.is_none() {
                break;
            }
        }
        assert_eq!(paged, all, "{rows}");
    }
    assert_eq!(model.ranked(&ranking, Some(u64::MAX), 64, 1), []);

    // Who is gone since the ranking was made is left out of it, and not in the next one.
    let own = |it: &&Ranked| it.order_id.starts_with("O-100");
    let gone = all.iter().find(own).unwrap().order_id.clone();
    let cancel = Command::Cancel(Cancel { order_id: gone.clone().into(), ..Cancel::default() });
    observed.send(at + DAY_MS, &cancel);
    let arrived = all.iter().rfind(own).unwrap();
    let arrived: u64 = arrived.order_id[2..].parse().unwrap();
    observed.send(at + DAY_MS, &ship(arrived));
    observed.send(at + DAY_MS, &deliver(arrived));
    let model = &observed.analytics;
    assert_eq!(model.ranked(&ranking, None, usize::MAX, 1).len(), all.len() - 2);
    assert_eq!(model.ranked(&model.rank(), None, usize::MAX, 1).len(), all.len() - 2);
    assert_eq!(model.delay_risk_of(&gone, 1), None);
}

/// What is told of an order that left, of one that cannot leave in time, and of one without a promise.
#[test]
fn what_is_not_known_is_not_told() {
    let mut observed = Observed::new(Settings::default());
    for (at, command) in world(3_000, 100.0, 9) {
        observed.send(at, &command);
    }
    let at = 120 * DAY_MS;
    let with = |number: u64, ship_by: Option<i64>, promised: bool| {
        let Command::Place(mut order) = place(number, at, 10.0, "far", "slow") else { panic!() };
        order.ship_by = ship_by.map(time);
        order.promised_by = order.promised_by.filter(|_| promised);
        Command::Place(order)
    };
    observed.send(at, &with(100_001, Some(at + DAY_MS / 2), true));
    observed.send(at, &with(100_002, Some(at + DAY_MS / 2), true));
    observed.send(at, &with(100_003, None, false));
    observed.send(at, &with(100_004, None, true));
    for number in 100_001..=100_003 {
        observed.send(at, &pay(number));
    }
    let risk = |observed: &Observed, number: u64| observed.analytics.delay_risk_of(&format!("O-{number}"), 1);
    let paid = risk(&observed, 100_001).unwrap();
    assert!((0.0..1.0).contains(&paid.ships_late.unwrap()), "{paid:?}");
    assert!(paid.causes.iter().any(|cause| cause.name.contains("destination_region")), "{paid:?}");
    // Where payments are seen, an order counts from its own.
    assert_eq!(risk(&observed, 100_004), None);
    let open = risk(&observed, 100_003).unwrap();
    assert_eq!((open.arrives_late, open.ships_late, open.promised_by), (None, None, None));
    assert!(open.arrives_by.is_some());
    observed.send(at + DAY_MS, &ship(100_001));
    assert_eq!(risk(&observed, 100_001).unwrap().ships_late, None);
    assert_eq!(risk(&observed, 100_002).unwrap().ships_late, Some(1.0));
    // Its promise has passed, and it is still on its way, years later: it is late, and nobody says when it comes.
    observed.send(at + 400 * DAY_MS, &place(100_005, at, 1_000.0, "north", "quick"));
    let forgotten = risk(&observed, 100_001);
    assert!(forgotten.is_none_or(|it| it.arrives_late == Some(1.0) && it.arrives_by.is_none()));
}
