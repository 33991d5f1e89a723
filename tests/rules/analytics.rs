//! Analytics over whole streams: what is promised of them together, whatever the orders look like.

use weir::folds::analytics::{
    Analytics, DelaySettings, Finding, Findings, Moment, Record, Settings, SignalKind, StateError, Told,
};
use weir::words::codec::{self, Format};
use weir::words::command::{Attributes, Cancel, Command, Deliver, Line, Pay, Place, Ship};
use weir::words::timestamp::Timestamp;

use crate::support::{Shard, policy, receive};

pub(crate) const DAY_MS: i64 = 86_400_000;

/// Days in milliseconds.
#[expect(clippy::cast_possible_truncation, reason = "at most a century")]
fn ms(days: f64) -> i64 {
    (days * 86_400_000.0) as i64
}

/// A shard with analytics beside it.
pub(crate) struct Observed {
    pub(crate) shard: Shard,
    pub(crate) analytics: Analytics,
    pub(crate) findings: Findings,
}

impl Observed {
    pub(crate) fn new(settings: Settings) -> Self {
        let mut observed =
            Self { shard: Shard::new(), analytics: Analytics::new(settings), findings: Vec::new() };
        let change = weir::words::policy::PolicyChange {
            settled_window_ms: Some(3_650 * DAY_MS),
            closed_window_ms: Some(3_650 * DAY_MS),
            ..Default::default()
        };
        observed.send(0, &policy(change));
        observed.send(0, &receive("R", "A", 1_000_000_000));
        observed
    }

    pub(crate) fn send(&mut self, at_ms: i64, command: &Command<'_>) {
        self.shard.clock_ms = at_ms;
        let payload = codec::encode_commands(Format::Bincode, std::slice::from_ref(command));
        self.shard.feed(Some(Format::Bincode), payload).unwrap();
        let outcomes = self.shard.outcomes();
        let at = self.shard.inventory.now();
        self.analytics
            .observe(&Record { at, command: Some(command), outcomes: &outcomes }, &mut self.findings);
    }
}

/// A time of day in the world of `day`, as log time gives it to a shard.
pub(crate) fn time(at_ms: i64) -> Timestamp {
    Timestamp::from_millis(crate::support::START_MS + at_ms)
}

pub(crate) fn place(
    number: u64,
    at_ms: i64,
    promised_days: f64,
    region: &str,
    carrier: &str,
) -> Command<'static> {
    let promised_ms = ms(promised_days);
    Command::Place(Place {
        order_id: format!("O-{number}").into(),
        lines: vec![Line { sku: "A".into(), quantity: 1 }.into()],
        promised_by: Some(time(at_ms + promised_ms)),
        carrier: (!carrier.is_empty()).then(|| carrier.to_owned().into()),
        attributes: Attributes(vec![("destination_region".into(), region.to_owned().into())]),
        ..Place::default()
    })
}

pub(crate) fn pay(number: u64) -> Command<'static> {
    Command::Pay(Pay { order_id: format!("O-{number}").into(), ..Pay::default() })
}

pub(crate) fn ship(number: u64) -> Command<'static> {
    Command::Ship(Ship { order_id: format!("O-{number}").into(), ..Ship::default() })
}

pub(crate) fn deliver(number: u64) -> Command<'static> {
    Command::Deliver(Deliver { order_id: format!("O-{number}").into(), ..Deliver::default() })
}

/// A world with known lead times: log-logistic, twice as long into one region of three; promised ten days. The commands by time.
pub(crate) fn world(orders: u64, per_day: f64, seed: u64) -> Vec<(i64, Command<'static>)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut commands = Vec::new();
    let lead = |days: f64, random: &mut fastrand::Rng| {
        let uniform = random.f64().clamp(0.001, 0.999);
        days * (0.3 * (uniform / (1.0 - uniform)).ln()).exp()
    };
    for number in 0..orders {
        #[expect(clippy::cast_precision_loss, reason = "an order's number")]
        let at = ms(number as f64 / per_day);
        let region = ["north", "south", "far"][usize::try_from(random.u64(0..3)).unwrap()];
        let carrier = ["quick", "slow"][usize::try_from(random.u64(0..2)).unwrap()];
        let shipped = at + ms(lead(1.0, &mut random));
        let days = if region == "far" { 7.0 } else { 3.5 };
        let delivered = shipped + ms(lead(days, &mut random));
        commands.push((at, place(number, at, 10.0, region, carrier)));
        commands.push((at, pay(number)));
        commands.push((shipped, ship(number)));
        commands.push((delivered, deliver(number)));
    }
    commands.sort_by_key(|(at, _)| *at);
    commands
}

#[test]
fn delay_is_learned_from_the_stream_and_honest() {
    let mut observed = Observed::new(Settings::default());
    let commands = world(12_000, 100.0, 1);
    for (at, command) in &commands {
        observed.send(*at, command);
    }
    let delay = observed.analytics.delay();
    for moment in [Moment::Paid, Moment::Shipped] {
        let honesty = delay.honesty(moment);
        assert!(honesty.count() > 10_000);
        let rate = honesty.share();
        let constant = -(rate * rate.ln() + (1.0 - rate) * (1.0 - rate).ln());
        assert!(honesty.log_loss() < 0.9 * constant, "{moment:?}: {} {constant}", honesty.log_loss());
        assert!(honesty.calibration_error() < 0.03, "{moment:?}: {}", honesty.calibration_error());
    }
    assert!((3.0..8.0).contains(&delay.typical_days(Moment::Paid)), "{}", delay.typical_days(Moment::Paid));
    let warnings = delay.warnings();
    assert!(warnings.recall() > 0.5 && warnings.precision() > 0.3, "{warnings:?}");
    assert!(warnings.mean_days_ahead() > 0.0);
    // Far orders say why.
    let at = 300 * DAY_MS;
    observed.send(at, &place(1_000_000, at, 10.0, "far", "slow"));
    observed.send(at, &pay(1_000_000));
    let causes = observed.analytics.causes_of("O-1000000", 3);
    assert!(
        causes.iter().any(|cause| cause.name.contains("destination_region") && cause.days > 0.5),
        "{causes:?}"
    );
    let risk = observed.analytics.risk_of("O-1000000").unwrap();
    assert!((0.05..0.9).contains(&risk), "{risk}");
    assert_eq!(observed.analytics.risk_of("unheard of"), None);
}

/// Where promises are short, most late orders arrive long after them. They count as late: who is on time alone would teach that all are.
#[test]
fn orders_that_arrive_long_after_their_promise_count_as_late() {
    let mut observed = Observed::new(Settings::default());
    let mut random = fastrand::Rng::with_seed(11);
    let mut commands = Vec::new();
    for number in 0..6_000_u64 {
        let at = ms(f64::from(u32::try_from(number).unwrap()) / 60.0);
        // Promised a day, and mostly two days under way; or promised four, and two to six.
        let is_quick = random.u32(0..4) == 0;
        let (promised, carrier) = if is_quick { (1.0, "quick") } else { (4.0, "slow") };
        let days =
            if is_quick { 2.0 - f64::from(random.u32(0..10) / 9) } else { f64::from(random.u32(2..=6)) };
        commands.push((at, place(number, at, promised, "north", carrier)));
        commands.push((at, pay(number)));
        commands.push((at + 60_000, ship(number)));
        commands.push((at + ms(days) - 60_000, deliver(number)));
    }
    commands.sort_by_key(|(at, _)| *at);
    for (at, command) in &commands {
        observed.send(*at, command);
    }
    let honesty = observed.analytics.delay().honesty(Moment::Paid);
    assert!(honesty.count() > 5_700, "{}", honesty.count());
    // 0.9 of a quarter, and two fifths of the rest: exactly so with four days or less on time.
    assert!((0.48..0.57).contains(&honesty.share()), "{}", honesty.share());
    // What a rate by carrier reaches is 0.59.
    assert!(honesty.log_loss() < 0.66, "{}", honesty.log_loss());
}

/// No order takes less than ten days or more than fifteen, and twenty are promised: no lead-time model knows such an edge.
#[test]
fn a_shop_that_is_never_late_is_hardly_warned() {
    let mut observed = Observed::new(Settings::default());
    let mut random = fastrand::Rng::with_seed(12);
    let mut commands = Vec::new();
    for number in 0..4_000_u64 {
        let at = ms(f64::from(u32::try_from(number).unwrap()) / 80.0);
        commands.push((at, place(number, at, 20.0, "north", "quick")));
        commands.push((at, pay(number)));
        commands.push((at + 2 * DAY_MS, ship(number)));
        commands.push((at + ms(10.0 + 5.0 * random.f64()), deliver(number)));
    }
    commands.sort_by_key(|(at, _)| *at);
    for (at, command) in &commands {
        observed.send(*at, command);
    }
    let warnings =
        observed.findings.iter().filter(|finding| matches!(finding, Finding::Warned { .. })).count();
    assert!(warnings < 200, "{warnings} of 4,000 orders");
}

#[test]
fn a_restored_state_goes_on_to_the_bit() {
    let commands = world(1_500, 50.0, 2);
    let settings = Settings { orders_max: 700, ..Settings::default() };
    let mut whole = Observed::new(settings.clone());
    let mut cut = Observed::new(settings);
    for (place, (at, command)) in commands.iter().enumerate() {
        whole.send(*at, command);
        cut.send(*at, command);
        if place % 700 == 350 {
            cut.analytics = Analytics::restore(&cut.analytics.save()).unwrap();
        }
    }
    assert_eq!(whole.findings.len(), cut.findings.len());
    assert!(whole.findings == cut.findings);
    assert!(whole.analytics.save() == cut.analytics.save());
}

#[test]
fn bytes_that_are_no_state_are_refused() {
    let mut observed = Observed::new(Settings { orders_max: 100, ..Settings::default() });
    for (at, command) in world(300, 30.0, 3) {
        observed.send(at, &command);
    }
    let bytes = observed.analytics.save();
    assert!(matches!(Analytics::restore(&[]), Err(StateError::Version)));
    assert!(matches!(Analytics::restore(&bytes[..bytes.len() - 1]), Err(StateError::Damaged)));
    let mut other = bytes.clone();
    other[0] = 99;
    assert!(matches!(Analytics::restore(&other), Err(StateError::Version)));
    let mut random = fastrand::Rng::with_seed(4);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..400 {
        let mut bent = bytes.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(17..bent.len());
            bent[at] = random.u8(..);
        }
        // With a sum that fits: then only what it says can be wrong.
        let sum = weir::words::hash::hash(&bent[17..]);
        bent[9..17].copy_from_slice(&sum.to_le_bytes());
        match Analytics::restore(&bent) {
            Err(_) => refused += 1,
            Ok(analytics) => {
                taken += 1;
                let mut bent = Observed { shard: Shard::new(), analytics, findings: Vec::new() };
                bent.send(0, &receive("R", "A", 1_000_000_000));
                for (at, command) in world(20, 1.0, 5) {
                    bent.send(40 * DAY_MS + at, &command);
                }
            }
        }
    }
    assert!(refused > 0 && taken > 0, "{refused} {taken}");
}

/// Every figure that analytics give is finite, and none is negative.
pub(crate) fn check_figures(observed: &Observed) {
    let delay = observed.analytics.delay();
    for moment in [Moment::Paid, Moment::Shipped] {
        let honesty = delay.honesty(moment);
        let figures = [
            honesty.share(),
            honesty.log_loss(),
            honesty.brier(),
            honesty.calibration_error(),
            delay.typical_days(moment),
            delay.lead_time_weight(moment),
            delay.warnings().precision(),
            delay.warnings().recall(),
            delay.warnings().mean_days_ahead(),
        ];
        assert!(figures.iter().all(|figure| figure.is_finite() && *figure >= 0.0), "{figures:?}");
    }
    for finding in &observed.findings {
        if let Finding::Scored { score, .. } = finding {
            assert!(score.late.is_none_or(|late| (0.0..=1.0).contains(&late)), "{score:?}");
            assert!(score.days.iter().all(|days| days.is_finite() && *days >= 0.0), "{score:?}");
            assert!(score.days.is_sorted(), "{score:?}");
        }
    }
}

#[test]
fn a_flood_of_names_and_orders_stays_within_its_bounds() {
    let delay = DelaySettings { rows_max: 1_000, ..DelaySettings::default() };
    let settings = Settings { orders_max: 2_000, labels_max: 50, delay, ..Settings::default() };
    let mut observed = Observed::new(settings);
    for number in 0..30_000 {
        let at = i64::try_from(number).unwrap() * 1_000;
        let name = format!("c{}", number % 10_000);
        observed.send(at, &place(number, at, 5.0, &name, &name));
        observed.send(at, &pay(number));
        observed.findings.clear();
    }
    let (followed, share) = observed.analytics.followed();
    assert!(followed <= 2_000 && share < 0.2, "{followed} {share}");
    assert!(observed.analytics.delay().rows(Moment::Paid) <= 1_000);
    assert!(observed.analytics.save().len() < 16 << 20, "{}", observed.analytics.save().len());
    check_figures(&observed);
}

#[test]
fn where_no_payment_is_seen_orders_count_from_their_confirmation() {
    let mut observed = Observed::new(Settings::default());
    for (at, command) in world(3_000, 100.0, 8) {
        if !matches!(command, Command::Pay(_)) {
            observed.send(at, &command);
        }
    }
    let honesty = observed.analytics.delay().honesty(Moment::Paid);
    assert!(honesty.count() > 1_000 && honesty.calibration_error() < 0.1, "{}", honesty.count());
}

fn cancel(number: u64, reason: &str) -> Command<'static> {
    let (order_id, reason) = (format!("O-{number}").into(), Some(reason.to_owned().into()));
    Command::Cancel(Cancel { order_id, by: Some("customer".into()), reason, ..Cancel::default() })
}

/// Three weeks of 60 orders an hour, of which a tenth is cancelled within the hour; then four times as many, for one reason.
fn surge(observed: &mut Observed, seed: u64) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut number = 0;
    for hour in 0..21 * 24 + 4_u32 {
        let surges = hour >= 21 * 24;
        for minute in 0..60 {
            let at = i64::from(hour) * 3_600_000 + minute * 60_000;
            number += 1;
            observed
                .send(at, &place(number, at, 5.0, "north", if number % 2 == 0 { "quick" } else { "slow" }));
            if random.f64() < if surges { 0.4 } else { 0.1 } {
                let usual = ["too_slow", "changed_mind", "found_cheaper"][random.usize(0..3)];
                observed.send(
                    at + 1,
                    &cancel(number, if surges && random.f64() < 0.8 { "coupon" } else { usual }),
                );
            }
        }
    }
    number
}

#[test]
fn a_surge_of_cancels_is_told_once_and_names_what_drives_it() {
    let mut observed = Observed::new(Settings::default());
    let placed = surge(&mut observed, 11);
    let start = crate::support::START_MS + 21 * DAY_MS;
    let raised: Vec<_> = observed
        .findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Surge(change) if change.surge.is_some() && change.series == "all" => Some(change),
            _ => None,
        })
        .collect();
    let told = raised.last().unwrap();
    let surge = told.surge.unwrap();
    assert!(surge.now > 2.0 * surge.base && (0.08..0.12).contains(&surge.base), "{surge:?}");
    assert!((surge.since_ms - start).abs() < 3_600_000, "{}", surge.since_ms - start);
    assert_eq!((told.drivers[0].kind, told.drivers[0].name.as_str()), ("reason", "coupon"));
    let signals: Vec<_> = observed
        .findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Signal(it) if it.kind == SignalKind::CancellationSurge && it.subject == "all" => {
                Some(it)
            }
            _ => None,
        })
        .filter(|signal| signal.at_ms >= start && signal.told == Told::Raised)
        .collect();
    assert_eq!(signals.len(), 1);
    assert!(signals[0].at_ms < start + 3_600_000, "{}", signals[0].at_ms - start);
    let cancellation = observed.analytics.cancellation();
    assert_eq!(cancellation.orders_placed(), placed);
    let by_reason: u64 = cancellation.by_reason().map(|(_, _, count)| count.orders).sum();
    assert_eq!(cancellation.all().orders, by_reason);
    assert_eq!(cancellation.all().units, cancellation.all().orders);
    let by_carrier: u64 = observed.analytics.cancels_by_name()[1].iter().map(|(_, count)| count.orders).sum();
    assert_eq!(by_carrier, by_reason);
    assert_eq!(cancellation.by_hours().iter().sum::<u64>(), by_reason);
    check_figures(&observed);
}

#[test]
fn each_unit_is_cancelled_once() {
    let mut observed = Observed::new(Settings::default());
    let order = |units| {
        let Command::Place(mut it) = place(1, 0, 5.0, "north", "quick") else { unreachable!() };
        it.lines = vec![Line { sku: "A".into(), quantity: units }.into()];
        it.value = Some(weir::words::command::Money { minor: 1_000, currency: "EUR".into() });
        Command::Place(it)
    };
    observed.send(0, &order(10));
    let part = |units| {
        let lines = Some(vec![Line { sku: "A".into(), quantity: units }]);
        Command::Cancel(Cancel { order_id: "O-1".into(), lines, ..Cancel::default() })
    };
    observed.send(1, &part(3));
    observed.send(2, &part(20));
    observed.send(3, &cancel(1, "rest"));
    observed.send(4, &cancel(1, "again"));
    let all = observed.analytics.cancellation().all();
    assert_eq!((all.orders, all.units), (1, 10));
    assert_eq!(observed.analytics.cancelled_value_minor(), [("EUR", 1_000)]);
}

#[test]
fn service_is_told_by_carrier_and_site_and_fulfilment_by_its_backlog() {
    let mut observed = Observed::new(Settings::default());
    // By then all of them are shipped, and few are still on their way.
    let at = 32 * DAY_MS;
    for (at, command) in world(2_000, 100.0, 9).into_iter().filter(|(when, _)| *when < at) {
        observed.send(at, &command);
    }
    for (number, score) in [(1_999, 1), (1_998, 5), (7, 2)] {
        let order_id = format!("O-{number}").into();
        let topic = Some("late".into());
        observed.send(
            at,
            &Command::Review(weir::words::command::Review { order_id, score, topic, ..Default::default() }),
        );
    }
    let [carriers, sites] = observed.analytics.scorecards();
    assert_eq!((carriers.len(), sites.len()), (2, 1));
    let (_, main) = &sites[0];
    let (median, most) = main.transit_days.unwrap();
    assert!((2.5..7.0).contains(&median) && most > median, "{main:?}");
    assert!((0.6..1.0).contains(&main.on_time.unwrap()), "{main:?}");
    let topics: Vec<_> = observed.analytics.service().topics().collect();
    assert_eq!((topics.len(), topics[0].1.reviews, topics[0].1.complaints), (1, 3, 2));
    for number in 5_000..5_040 {
        observed.send(at + 1, &place(number, at, 5.0, "north", "quick"));
        observed.send(at + 1, &pay(number));
    }
    let [by_site, by_carrier] = observed.analytics.fulfilment();
    assert_eq!(by_site[0].1.open, 40);
    assert_eq!(by_carrier.iter().map(|(_, forecast)| forecast.open).sum::<u64>(), 40);
}

#[test]
fn a_shortage_is_a_signal_until_it_is_over() {
    let mut observed = Observed::new(Settings::default());
    observed.send(0, &receive("R2", "B", 1));
    let of_b = |number: u64| {
        let Command::Place(mut it) = place(number, 0, 5.0, "north", "quick") else { unreachable!() };
        it.lines = vec![Line { sku: "B".into(), quantity: 1 }.into()];
        Command::Place(it)
    };
    for number in 1..=4 {
        observed.send(1, &of_b(number));
    }
    observed.send(2, &receive("R3", "B", 5));
    observed.send(3, &of_b(10));
    let told: Vec<_> = observed
        .findings
        .iter()
        .filter_map(|finding| match finding {
            Finding::Signal(it) if it.kind == SignalKind::StockOut => Some((it.told, it.subject.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(told, [(Told::Raised, "main B"), (Told::Closed, "main B")]);
    assert_eq!(observed.analytics.stock().most_refused(5), [("main", "B", 3, 0)]);
    assert_eq!(observed.analytics.stock().refused_and_not_followed().0, 3);
}
