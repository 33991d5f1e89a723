//! Odd lives of orders: what analytics make of each is stated in `docs/analytics.md`, and held here.

use weir::folds::analytics::{Finding, Moment, Score, Scorecard, Settings};
use weir::words::command::{Cancel, Command, Deliver, Pay, Place, Review};
use weir::words::outcome::{Decision, Reason, State};
use weir::words::timestamp::Timestamp;

use crate::analytics::{DAY_MS, Observed, check_figures, deliver, pay, place, ship, time, world};
use crate::support::{START_MS, receive};

/// The day on which they begin, long after a month of a known world.
const BASE: i64 = 20_000 * DAY_MS;

/// Analytics that have seen the known world.
fn seasoned() -> Observed {
    let mut observed = Observed::new(Settings::default());
    for (at, command) in world(1_500, 50.0, 6) {
        observed.send(BASE - 100 * DAY_MS + at, &command);
    }
    // By then all of it is known.
    observed.send(BASE - 1, &receive("R-2", "A", 1));
    observed
}

fn card(observed: &Observed, carrier: &str) -> Scorecard {
    let [carriers, _] = observed.analytics.scorecards();
    carriers.into_iter().find(|(name, _)| *name == carrier).map(|(_, card)| card).unwrap_or_default()
}

fn learned(observed: &Observed) -> [(u64, u64); 2] {
    [Moment::Paid, Moment::Shipped].map(|moment| observed.analytics.delay().learned(moment))
}

/// What was said last at payment.
fn said(observed: &Observed) -> Score {
    let mut scores = observed.findings.iter().filter_map(|finding| match finding {
        Finding::Scored { moment: Moment::Paid, score, .. } => Some(*score),
        _ => None,
    });
    scores.next_back().unwrap()
}

fn promised(number: u64, at: i64, promised_ms: i64, carrier: &str) -> Command<'static> {
    let Command::Place(placed) = place(number, at, 0.0, "north", carrier) else { unreachable!() };
    Command::Place(Place { promised_by: Some(Timestamp::from_millis(promised_ms)), ..placed })
}

/// The start of a day by UTC, a week after the known world.
fn midnight() -> i64 {
    (START_MS + BASE + 7 * DAY_MS).div_euclid(DAY_MS) * DAY_MS
}

#[test]
fn a_promise_is_an_instant_and_no_day() {
    let mut observed = seasoned();
    // A shop three hours west of UTC: its day ends at three in the morning.
    let (midnight, hour) = (midnight(), 3_600_000);
    let at = midnight - START_MS - 2 * DAY_MS;
    for (number, carrier, until) in [
        (50_001, "by utc", midnight - 1),
        (50_002, "by day", midnight + 3 * hour - 1),
        (50_003, "exact", midnight + 2 * hour),
    ] {
        observed.send(at, &promised(number, at, until, carrier));
    }
    let delivered_at = midnight - START_MS + 2 * hour;
    for number in 50_001..=50_003 {
        observed.send(delivered_at, &deliver(number));
    }
    let on_time = |carrier| card(&observed, carrier).on_time;
    assert_eq!((on_time("by utc"), on_time("by day"), on_time("exact")), (Some(0.0), Some(1.0), Some(1.0)));
}

#[test]
fn delivered_before_it_was_shipped_and_paid_arrives_and_nothing_else_counts() {
    let mut observed = seasoned();
    // Before it was placed nothing is known of it.
    observed.send(BASE, &deliver(50_001));
    let outcomes = observed.shard.outcomes();
    assert!(
        matches!(outcomes[0].decision, Decision::Refused { reason: Reason::UnknownOrder, .. }),
        "{outcomes:?}"
    );
    let (before, odd) = (learned(&observed), observed.analytics.odd_times());
    observed.send(BASE, &place(50_001, BASE, 3.0, "north", "new"));
    observed.send(BASE + 1, &deliver(50_001));
    observed.send(BASE + 2, &ship(50_001));
    observed.send(BASE + 3, &pay(50_001));
    let told = card(&observed, "new");
    assert_eq!((told.delivered, told.on_time, told.transit_days), (1, Some(1.0), None));
    // How long it took from payment or from hand-over is not known.
    assert_eq!((learned(&observed), observed.analytics.odd_times()), (before, odd));
    check_figures(&observed);
}

#[test]
#[expect(clippy::cast_precision_loss, reason = "some thousands of labels")]
fn before_a_distant_promise_no_order_is_late_however_old_it_is() {
    let mut observed = seasoned();
    let late = |observed: &Observed| {
        [Moment::Paid, Moment::Shipped].map(|moment| {
            let honesty = observed.analytics.delay().honesty(moment);
            (honesty.count() as f64 * honesty.share()).round()
        })
    };
    let before = late(&observed);
    let old = 400 * DAY_MS;
    assert!(45.0 * observed.analytics.delay().typical_days(Moment::Paid) < 400.0);
    observed.send(BASE, &promised(50_001, BASE, START_MS + BASE + 2 * old, "distant"));
    observed.send(BASE, &pay(50_001));
    observed.send(BASE + DAY_MS, &ship(50_001));
    // Time passes day by day, and it grows older than any order that teaches.
    for day in 2..old / DAY_MS {
        observed.send(BASE + day * DAY_MS, &receive(format!("R-{day}"), "A", 1));
    }
    let risk = observed.analytics.risk_of("O-50001");
    assert!(risk.is_none_or(|risk| risk < 0.5), "{risk:?}");
    observed.send(BASE + old, &deliver(50_001));
    observed.send(BASE + 3 * old, &receive("R-last", "A", 1));
    assert_eq!((card(&observed, "distant").on_time, late(&observed)), (Some(1.0), before));
    check_figures(&observed);
}

#[test]
fn promises_of_a_second_and_of_a_century_are_what_they_are() {
    let mut observed = seasoned();
    let typical = observed.analytics.delay().typical_days(Moment::Paid);
    observed.send(BASE, &promised(50_001, BASE, START_MS + BASE + 1_000, "second"));
    observed.send(BASE, &pay(50_001));
    assert!(said(&observed).late_by_lead_time.unwrap() > 0.9, "{:?}", said(&observed));
    observed.send(BASE + 1, &promised(50_002, BASE, START_MS + BASE + 36_500 * DAY_MS, "century"));
    observed.send(BASE + 1, &pay(50_002));
    assert!(said(&observed).late_by_lead_time.unwrap() < 1e-3, "{:?}", said(&observed));
    // One that was over before the order was placed is late as a matter of fact.
    observed.send(BASE + 2, &promised(50_003, BASE, 1_000, "past"));
    observed.send(BASE + 2, &pay(50_003));
    for number in 50_001..=50_003 {
        observed.send(BASE + 2 * DAY_MS, &ship(number));
        observed.send(BASE + 4 * DAY_MS, &deliver(number));
    }
    let on_time = |carrier| card(&observed, carrier).on_time;
    assert_eq!((on_time("second"), on_time("century"), on_time("past")), (Some(0.0), Some(1.0), Some(0.0)));
    let now = observed.analytics.delay().typical_days(Moment::Paid);
    assert!((now - typical).abs() < 1e-9, "{typical} {now}");
    check_figures(&observed);
}

#[test]
fn times_of_1970_of_2099_and_before_the_order_are_left_out_and_counted() {
    let mut observed = seasoned();
    let (before, odd) = (learned(&observed), observed.analytics.odd_times());
    let at = BASE + 3 * DAY_MS;
    let occurred = [Timestamp::ZERO, time(100_000 * DAY_MS), time(at - 5_000)];
    for (number, occurred) in (50_001..).zip(occurred) {
        observed.send(at, &place(number, at, 3.0, "north", "odd"));
        observed.send(at + 1, &pay(number));
        observed.send(at + 2, &ship(number));
        let (order_id, occurred_at) = (format!("O-{number}").into(), Some(occurred));
        observed.send(at + 3, &Command::Deliver(Deliver { order_id, occurred_at, ..Deliver::default() }));
    }
    assert_eq!(observed.analytics.odd_times(), odd + 3);
    assert_eq!((learned(&observed), card(&observed, "odd").delivered), (before, 0));
    // The year 2099, after a long silence.
    let late = BASE + 27_000 * DAY_MS;
    for (at, command) in world(200, 50.0, 7) {
        let Command::Place(mut placed) = command else { continue };
        placed.order_id = format!("late-{}", placed.order_id).into();
        observed.send(late + at, &Command::Place(placed.clone()));
        observed.send(late + at, &Command::Pay(Pay { order_id: placed.order_id, ..Pay::default() }));
    }
    check_figures(&observed);
}

#[test]
fn a_carrier_or_a_route_never_seen_is_scored_by_all_else() {
    let mut observed = seasoned();
    observed.send(BASE, &place(50_001, BASE, 10.0, "north", ""));
    observed.send(BASE, &pay(50_001));
    let without = said(&observed).late.unwrap();
    observed.send(BASE, &place(50_002, BASE, 10.0, "north", "never seen"));
    observed.send(BASE, &pay(50_002));
    let unseen = said(&observed).late.unwrap();
    assert!((unseen - without).abs() < 0.03, "{unseen} {without}");
    observed.send(BASE, &place(50_003, BASE, 10.0, "nowhere", "quick"));
    observed.send(BASE, &pay(50_003));
    let route = said(&observed).late.unwrap();
    assert!((route - without).abs() < 0.1, "{route} {without}");
    // Where there is no carrier at all, it counts as `none`.
    observed.send(BASE + DAY_MS, &deliver(50_001));
    assert_eq!((card(&observed, "none").delivered, card(&observed, "").delivered), (1, 0));
}

#[test]
fn of_a_hundred_thousand_carriers_most_are_other() {
    const CARRIERS: u64 = 100_000;
    let mut observed = Observed::new(Settings { orders_max: 4_096, ..Settings::default() });
    for number in 0..CARRIERS {
        let at = i64::try_from(number).unwrap() * 1_000;
        observed.send(at, &place(number, at, 5.0, "north", &format!("carrier \"{number}\"\\")));
        if number % 10 == 0 {
            observed.send(at, &pay(number));
        }
        observed.send(at, &deliver(number));
        observed.findings.clear();
    }
    let [carriers, _] = observed.analytics.scorecards();
    let delivered: u64 = carriers.iter().map(|(_, card)| card.delivered).sum();
    // 200 names, and `other`.
    assert_eq!((carriers.len(), delivered), (201, CARRIERS));
    assert_eq!(card(&observed, "other").delivered, CARRIERS - 200);
    assert_eq!(card(&observed, "carrier \"7\"\\").delivered, 1);
    assert!(observed.analytics.save().len() < 16 << 20, "{}", observed.analytics.save().len());
    check_figures(&observed);
}

#[test]
fn a_name_with_a_line_feed_is_refused_before_anything_counts_it() {
    let mut observed = seasoned();
    for (number, carrier) in [(50_001, "a\nb"), (50_002, "a\"b\\c")] {
        observed.send(BASE, &place(number, BASE, 3.0, "north", carrier));
        observed.send(BASE + 1, &deliver(number));
    }
    assert_eq!((card(&observed, "a\nb").delivered, card(&observed, "a\"b\\c").delivered), (0, 1));
}

#[test]
fn a_review_of_several_orders_counts_for_each_that_it_is_sent_for() {
    let mut observed = seasoned();
    for number in 50_001..=50_003 {
        observed.send(BASE, &place(number, BASE, 3.0, "north", "reviewed"));
        observed.send(BASE + 1, &deliver(number));
    }
    let review = |number: u64| {
        Command::Review(Review {
            order_id: format!("O-{number}").into(),
            score: 1,
            topic: Some("late".into()),
            review_id: Some("V-1".into()),
            ..Review::default()
        })
    };
    // The first of them twice: a retry.
    for number in [50_001, 50_002, 50_001, 50_003] {
        observed.send(BASE + 2, &review(number));
    }
    let told = card(&observed, "reviewed");
    assert_eq!((told.delivered, told.reviews, told.complaints), (3, 3, 3));
    let topics: Vec<_> = observed.analytics.service().topics().collect();
    assert_eq!((topics.len(), topics[0].1.reviews), (1, 3));
}

#[test]
fn delivered_though_cancelled_stays_cancelled() {
    let mut observed = seasoned();
    let before = learned(&observed);
    observed.send(BASE, &place(50_001, BASE, 3.0, "north", "lost"));
    observed.send(BASE, &pay(50_001));
    let cancel = Cancel { order_id: "O-50001".into(), reason: Some("lost".into()), ..Cancel::default() };
    observed.send(BASE + 1, &Command::Cancel(cancel));
    let cancelled = observed.analytics.cancellation().all();
    observed.send(BASE + DAY_MS, &deliver(50_001));
    // The fold takes the fact, against the books.
    let outcomes = observed.shard.outcomes();
    assert!(
        matches!(outcomes[0].decision, Decision::Delivered { state: State::Delivered, .. }),
        "{outcomes:?}"
    );
    assert_eq!(observed.analytics.cancellation().all(), cancelled);
    assert_eq!((card(&observed, "lost").delivered, learned(&observed)), (0, before));
    assert_eq!(observed.analytics.risk_of("O-50001"), None);
    check_figures(&observed);
}
