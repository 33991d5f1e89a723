//! The bounds of one message, each at its edge: by events and counts, never by a clock. What they are stands at the top of
//! `folds::inventory`.

use weir::folds::inventory::{Due, LINES_PER_MESSAGE_MAX, LOOKS_PER_MESSAGE_MAX, OUTCOMES_BEYOND_OWN_MAX};
use weir::words::codec::{self, Format, PAYLOAD_BYTES_MAX};
use weir::words::command::{
    Adjust, Amend, Attributes, COMMANDS_MAX, Cancel, Command, Count, CountLine, Deliver, Line,
    ORDER_SITES_MAX, OnShortage, Pay, Place, Receive, Return, Review, Ship, Tick, Transfer,
};
use weir::words::outcome::{Decision, Outcome, OutcomeKind, Reason};
use weir::words::policy::{PolicyChange, QUANTITY_LIMIT_MAX, SITES_MAX};

use crate::support::{Shard, line, place, policy, receive};

const BOTH: [Format; 2] = [Format::Json, Format::Bincode];
/// The lines that an order may have by the policy of old.
const LINES: usize = 2_000;
/// What a message may do for its own commands.
const WORK: usize = LINES_PER_MESSAGE_MAX as usize;

fn skus(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("S-{number}")).collect()
}

fn lines(skus: &[String], quantity: i64) -> Vec<Line<'_>> {
    skus.iter().map(|sku| line(sku, quantity)).collect()
}

fn receive_all<'a>(receipt_id: &'a str, skus: &'a [String], quantity: i64) -> Command<'a> {
    Command::Receive(Receive {
        receipt_id: receipt_id.into(),
        lines: lines(skus, quantity),
        ..Receive::default()
    })
}

/// A shard that has so many of each of 2,000 SKUs.
fn stocked(skus: &[String], quantity: i64) -> Shard {
    let mut shard = Shard::new();
    shard.send(&[receive_all("R-1", skus, quantity)]);
    shard
}

/// Sends commands in a format, and gives the reasons of their answers, in order.
fn reasons(shard: &mut Shard, format: Format, commands: &[Command<'_>]) -> Vec<Option<Reason>> {
    shard.feed(Some(format), codec::encode_commands(format, commands)).unwrap();
    shard.outcomes();
    shard.inventory.check_books().unwrap();
    shard.output.entries(0, shard.output.len()).iter().map(|entry| entry.reason).collect()
}

fn reason(shard: &mut Shard, command: Command<'_>) -> Option<Reason> {
    let reasons = reasons(shard, Format::Bincode, &[command]);
    assert_eq!(reasons.len(), 1);
    reasons[0]
}

fn count(reasons: &[Option<Reason>], reason: Option<Reason>) -> usize {
    reasons.iter().filter(|one| **one == reason).count()
}

const TOO_LARGE: Option<Reason> = Some(Reason::MessageTooLarge);

fn id(prefix: &str, number: usize) -> String {
    format!("{prefix}-{number}")
}

fn ship(order_id: &str) -> Command<'_> {
    Command::Ship(Ship { order_id: order_id.into(), ..Ship::default() })
}

fn cancel<'a>(order_id: &'a str, lines: Option<Vec<Line<'a>>>) -> Command<'a> {
    Command::Cancel(Cancel { order_id: order_id.into(), lines, ..Cancel::default() })
}

/// Exactly as many lines as a message may work on are decided, and one more is refused: that command alone, and as it is too large for
/// what is left, not for a message.
#[test]
fn a_message_works_on_so_many_lines() {
    let skus = skus(LINES);
    for format in BOTH {
        let mut shard = stocked(&skus, 1_000_000);
        let whole = WORK / LINES;
        let ids: Vec<_> = (0..=whole).map(|number| id("O", number)).collect();
        let order = |number: usize, count: usize| {
            place(ids[number].as_str(), lines(&skus[..count], 1), OnShortage::Refuse)
        };
        let mut commands: Vec<_> = (0..whole).map(|number| order(number, LINES)).collect();
        commands.push(order(whole, WORK % LINES));
        commands.push(place("N-1", lines(&skus[..1], 1), OnShortage::Refuse));
        commands.push(cancel("O-0", Some(lines(&skus[..1], 1))));
        // A refusal that costs no look at lines is answered as ever.
        commands.push(cancel("N-9", None));
        let answers = reasons(&mut shard, format, &commands);
        assert_eq!(count(&answers, None), whole + 1, "{format:?}");
        assert_eq!(answers[whole + 1..], [TOO_LARGE, TOO_LARGE, Some(Reason::UnknownOrder)], "{format:?}");
        assert!(shard.inventory.order("N-1").is_none(), "it is not remembered");
        // In a message of its own each is decided.
        assert_eq!(reasons(&mut shard, format, &commands[whole + 1..=whole + 2]), [None, None]);
    }
}

/// A command that is alone is decided, as large as policy allows: also the costliest of each kind.
#[test]
fn a_command_alone_is_never_too_large() {
    let skus = skus(4_000);
    let mut shard = Shard::new();
    let sites: Vec<_> = (0..ORDER_SITES_MAX).map(|number| id("site", number)).collect();
    let all = || sites.iter().map(|site| site.as_str().into());
    let limits = PolicyChange {
        lines_max: Some(4_000),
        sites: Some(all().chain(["main".into()]).collect()),
        ..PolicyChange::default()
    };
    assert_eq!(reason(&mut shard, policy(limits)), None);
    assert_eq!(reason(&mut shard, receive_all("R-1", &skus, 100)), None);
    let place_all = |order_id: &'static str| place(order_id, lines(&skus, 9), OnShortage::Refuse);
    assert_eq!(reason(&mut shard, place_all("O-1")), None);
    let amend = |amendment_id: &'static str, quantity| {
        let lines = lines(&skus, quantity).into_iter().map(Into::into).collect();
        let order_id = "O-1".into();
        Command::Amend(Amend { order_id, amendment_id: amendment_id.into(), lines, ..Amend::default() })
    };
    assert_eq!(reason(&mut shard, amend("M-1", 8)), None);
    assert_eq!(reason(&mut shard, cancel("O-1", Some(lines(&skus, 1)))), None);
    assert_eq!(reason(&mut shard, ship("O-1")), None);
    assert_eq!(
        reason(&mut shard, Command::Deliver(Deliver { order_id: "O-1".into(), ..Deliver::default() })),
        None
    );
    let back = Return { order_id: "O-1".into(), return_id: "X-1".into(), restock: true, ..Return::default() };
    assert_eq!(reason(&mut shard, Command::Return(back)), None);
    let moved = Transfer {
        transfer_id: "X-1".into(),
        from: "main".into(),
        to: "site-7".into(),
        lines: lines(&skus, 5),
        ..Transfer::default()
    };
    assert_eq!(reason(&mut shard, Command::Transfer(moved)), None);
    let adjusted = Adjust { adjustment_id: "J-1".into(), lines: lines(&skus, -1), ..Adjust::default() };
    assert_eq!(reason(&mut shard, Command::Adjust(adjusted)), None);
    // An order that lists all the sites that it may, and has as many lines as go with them: all of it is at the last.
    let from_sites = |order_id: &'static str, count: usize| {
        let lines = lines(&skus[..count], 1).into_iter().map(Into::into).collect();
        Command::Place(Place {
            order_id: order_id.into(),
            lines,
            sites: Some(all().collect()),
            ..Place::default()
        })
    };
    assert_eq!(reason(&mut shard, from_sites("O-2", LINES)), None);
    let outcomes = shard.outcomes();
    let Decision::Confirmed { lines: told, .. } = &outcomes[0].decision else { panic!("{:?}", outcomes[0]) };
    assert!(told.len() == LINES && told.iter().all(|line| line.site == "site-7"));
    assert_eq!(reason(&mut shard, from_sites("O-3", LINES + 1)), Some(Reason::TooManyLines));
    shard.inventory.check_books().unwrap();
}

/// Whole commands mean all lines of their order, and cost so many; those that would tell of lines without naming them too.
#[test]
fn whole_commands_cost_the_lines_of_their_order() {
    let skus = skus(LINES);
    let ids: Vec<_> = (0..17).map(|number| id("O", number)).collect();
    let whole = WORK / LINES;
    let mut shard = stocked(&skus, 1_000_000);
    for order in &ids {
        assert_eq!(reason(&mut shard, place(order.as_str(), lines(&skus, 2), OnShortage::Refuse)), None);
        // So that what follows moves less than the whole of it, and names every line.
        assert_eq!(reason(&mut shard, cancel(order, Some(lines(&skus, 1)))), None);
    }
    let deliver =
        |order: &String| Command::Deliver(Deliver { order_id: order.clone().into(), ..Deliver::default() });
    let back = |order: &String| {
        let (order_id, return_id) = (order.clone().into(), "X-1".into());
        Command::Return(Return { order_id, return_id, ..Return::default() })
    };
    let stages: [Vec<Command<'_>>; 3] = [
        ids.iter().map(|order| ship(order)).collect(),
        ids.iter().map(deliver).collect(),
        ids.iter().map(back).collect(),
    ];
    for stage in stages {
        let answers = reasons(&mut shard, Format::Bincode, &stage);
        assert_eq!((count(&answers, None), count(&answers, TOO_LARGE)), (whole, 17 - whole));
        // Each told its lines, and the message no more than it may work on.
        let told: usize = shard
            .outcomes()
            .iter()
            .map(|outcome| match &outcome.decision {
                Decision::Shipped { lines, .. }
                | Decision::Delivered { lines, .. }
                | Decision::Returned { lines, .. } => lines.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(told, whole * LINES);
        assert_eq!(reasons(&mut shard, Format::Bincode, &stage[16..]), [None]);
    }
    let cancels: Vec<_> = (0..17).map(|number| id("C", number)).collect();
    for order in &cancels {
        assert_eq!(reason(&mut shard, place(order.as_str(), lines(&skus, 2), OnShortage::Refuse)), None);
    }
    let commands: Vec<_> = cancels.iter().map(|order| cancel(order, None)).collect();
    let answers = reasons(&mut shard, Format::Json, &commands);
    assert_eq!((count(&answers, None), count(&answers, TOO_LARGE)), (whole, 17 - whole));
}

/// A fact about some lines of an order whose lines have moved together until now costs those and all of them once, and later ones
/// theirs alone; one that names all costs each once. An amendment costs the lines before and after.
#[test]
fn what_parts_an_order_costs_its_lines_once() {
    let skus = skus(LINES);
    let ids: Vec<_> = (0..17).map(|number| id("O", number)).collect();
    let mut shard = stocked(&skus, 1_000_000);
    for order in &ids {
        assert_eq!(reason(&mut shard, place(order.as_str(), lines(&skus, 1_100), OnShortage::Refuse)), None);
    }
    let ship = |order: &String, count: usize| {
        let lines = Some(lines(&skus[..count], 1));
        Command::Ship(Ship { order_id: order.clone().into(), lines, ..Ship::default() })
    };
    let amend = |order: &String| {
        let (order_id, amendment_id) = (order.clone().into(), "M-1".into());
        let lines = lines(&skus, 1_099).into_iter().map(Into::into).collect();
        Command::Amend(Amend { order_id, amendment_id, lines, ..Amend::default() })
    };
    let decided = |answers: &[Option<Reason>]| (count(answers, None), count(answers, TOO_LARGE));
    let firsts: Vec<_> = ids.iter().map(|order| ship(order, 100)).collect();
    let fit = WORK / (LINES + 100);
    assert_eq!(decided(&reasons(&mut shard, Format::Bincode, &firsts)), (fit, 17 - fit));
    // What has its parts is parted no more.
    let again: Vec<_> = (0..COMMANDS_MAX).map(|number| ship(&ids[number % fit], 3)).collect();
    let answers = reasons(&mut shard, Format::Bincode, &again);
    assert_eq!(decided(&answers), (WORK / 3, COMMANDS_MAX - WORK / 3));
    let amends: Vec<_> = ids.iter().map(amend).collect();
    let fit = WORK / (2 * LINES);
    assert_eq!(decided(&reasons(&mut shard, Format::Bincode, &amends)), (fit, 17 - fit));
    let mut shard = stocked(&skus, 1_000_000);
    for order in &ids {
        assert_eq!(reason(&mut shard, place(order.as_str(), lines(&skus, 1_100), OnShortage::Refuse)), None);
    }
    let all: Vec<_> = ids.iter().map(|order| ship(order, LINES)).collect();
    let fit = WORK / LINES;
    assert_eq!(decided(&reasons(&mut shard, Format::Bincode, &all)), (fit, 17 - fit));
}

/// An order costs its lines once for each site that it lists.
#[test]
fn sites_of_an_order_multiply_what_it_costs() {
    let skus = skus(LINES);
    let mut shard = stocked(&skus, 1_000_000);
    let sites: Vec<_> = (1..ORDER_SITES_MAX).map(|number| id("site", number)).collect();
    let all: Vec<_> =
        ["main".into()].into_iter().chain(sites.iter().map(|site| site.as_str().into())).collect();
    shard.send(&[policy(PolicyChange { sites: Some(all.clone()), ..PolicyChange::default() })]);
    let order = |order_id: &'static str| {
        let lines = lines(&skus, 1).into_iter().map(Into::into).collect();
        Command::Place(Place {
            order_id: order_id.into(),
            lines,
            sites: Some(all.clone()),
            ..Place::default()
        })
    };
    // Two cost 32,000 of 32,768.
    let orders = [order("O-1"), order("O-2"), order("O-3")];
    assert_eq!(reasons(&mut shard, Format::Bincode, &orders), [None, None, TOO_LARGE]);
}

/// A transfer costs its lines twice: where they leave, and where they come to.
#[test]
fn transfers_cost_both_ends() {
    let skus = skus(LINES);
    let mut shard = stocked(&skus, 1_000_000);
    let sites = Some(vec!["main".into(), "west".into()]);
    shard.send(&[policy(PolicyChange { sites, ..PolicyChange::default() })]);
    let ids: Vec<_> = (0..17).map(|number| id("X", number)).collect();
    let moved = |id: &String| {
        let (transfer_id, from, to) = (id.clone().into(), "main".into(), "west".into());
        Command::Transfer(Transfer { transfer_id, from, to, lines: lines(&skus, 1), ..Transfer::default() })
    };
    let answers = reasons(&mut shard, Format::Bincode, &ids.iter().map(moved).collect::<Vec<_>>());
    let fit = WORK / (2 * LINES);
    assert_eq!((count(&answers, None), count(&answers, TOO_LARGE)), (fit, 17 - fit));
}

/// The caps on open orders and their lines hold within one message, too.
#[test]
fn orders_of_one_message_meet_the_caps() {
    let order = |order_id: &'static str, skus: &[&'static str]| {
        place(order_id, skus.iter().map(|sku| line(sku, 1)).collect(), OnShortage::Refuse)
    };
    for format in BOTH {
        let busy = Some(Reason::Busy);
        let mut shard = Shard::new();
        shard.send(&[policy(PolicyChange { open_orders_max: Some(2), ..PolicyChange::default() })]);
        shard.send(&[receive("R-1", "A", 9), receive("R-2", "B", 9)]);
        let orders = [order("O-1", &["A"]), order("O-2", &["A"]), order("O-3", &["A"]), order("O-4", &["A"])];
        assert_eq!(reasons(&mut shard, format, &orders), [None, None, busy, busy], "{format:?}");
        let mut shard = Shard::new();
        shard.send(&[policy(PolicyChange { open_lines_max: Some(4), ..PolicyChange::default() })]);
        shard.send(&[receive("R-1", "A", 9), receive("R-2", "B", 9)]);
        let orders = [
            order("O-1", &["A"]),
            order("O-2", &["A", "B"]),
            order("O-3", &["A", "B"]),
            order("O-4", &["A"]),
        ];
        assert_eq!(reasons(&mut shard, format, &orders), [None, None, busy, None], "{format:?}");
    }
}

/// A shard holds a thousand sites over its life, those that are not listed any more among them.
#[test]
fn sites_have_a_most() {
    let sites: Vec<_> = (0..=SITES_MAX).map(|number| id("site", number)).collect();
    let listed = |sites: &[String]| {
        let sites = sites.iter().map(|site| site.clone().into()).collect();
        policy(PolicyChange { sites: Some(sites), ..PolicyChange::default() })
    };
    let mut shard = Shard::new();
    let invalid = Some(Reason::InvalidValue);
    assert_eq!(reason(&mut shard, listed(&sites)), invalid);
    // `main` is one of those there ever were.
    assert_eq!(reason(&mut shard, listed(&sites[..SITES_MAX])), invalid);
    assert_eq!(reason(&mut shard, listed(&sites[..SITES_MAX - 1])), None);
    assert_eq!(reason(&mut shard, listed(&sites[1..SITES_MAX])), invalid);
    let mut all = sites[..SITES_MAX - 1].to_vec();
    all.push("main".to_owned());
    assert_eq!(reason(&mut shard, listed(&all)), None);
}

/// An amended order keeps the lines and the units that it gave up: with those, it may have so many, and no more.
#[test]
fn amended_orders_have_a_largest() {
    let skus = skus(4_002);
    let mut shard = Shard::new();
    let limits = PolicyChange {
        lines_max: Some(4_000),
        quantity_max: Some(QUANTITY_LIMIT_MAX),
        ..PolicyChange::default()
    };
    shard.send(&[policy(limits)]);
    shard.send(&[receive_all("R-1", &skus[..4_000], 9)]);
    shard.send(&[receive_all("R-2", &skus[4_000..], 9)]);
    shard.send(&[receive("R-3", "A", QUANTITY_LIMIT_MAX), receive("R-4", "A", QUANTITY_LIMIT_MAX)]);
    let amend = |order_id: &'static str, lines: Vec<Line<'static>>| {
        let lines = lines.into_iter().map(Into::into).collect();
        Command::Amend(Amend {
            order_id: order_id.into(),
            amendment_id: "M".into(),
            lines,
            ..Amend::default()
        })
    };
    for (order_id, more, answer) in [
        ("O-1", QUANTITY_LIMIT_MAX - 2, None),
        ("O-2", QUANTITY_LIMIT_MAX - 1, Some(Reason::InvalidQuantity)),
    ] {
        assert_eq!(reason(&mut shard, place(order_id, vec![line("A", 5)], OnShortage::Refuse)), None);
        // Of five, two are given up, and stay on its line.
        let less = Amend {
            order_id: order_id.into(),
            amendment_id: "M-0".into(),
            lines: vec![line("A", 3).into()],
            ..Amend::default()
        };
        assert_eq!(reason(&mut shard, Command::Amend(less)), None);
        assert_eq!(reason(&mut shard, amend(order_id, vec![line("A", more)])), answer, "{order_id}");
        assert_eq!(reason(&mut shard, cancel(order_id, None)), None);
    }
    for (order_id, more, answer) in [("O-3", 3_998, None), ("O-4", 3_999, Some(Reason::TooManyLines))] {
        let placed = place(order_id, lines(&skus[4_000..], 1), OnShortage::Refuse);
        assert_eq!(reason(&mut shard, placed), None);
        let lines = lines(&skus[..more], 1).into_iter().map(Into::into).collect();
        let amended =
            Amend { order_id: order_id.into(), amendment_id: "M".into(), lines, ..Amend::default() };
        assert_eq!(reason(&mut shard, Command::Amend(amended)), answer, "{order_id}");
    }
}

/// What a counter expected may be as large as any quantity, on either side of nothing.
#[test]
fn what_a_counter_expected_has_a_largest() {
    let mut shard = Shard::new();
    let counted = |count_id: &'static str, expected: i64| {
        let lines = vec![CountLine { sku: "A".into(), quantity: 0, expected: Some(expected) }];
        Command::Count(Count { count_id: count_id.into(), lines, ..Count::default() })
    };
    for (count_id, expected) in [("C-1", QUANTITY_LIMIT_MAX), ("C-2", -QUANTITY_LIMIT_MAX)] {
        assert_eq!(reason(&mut shard, counted(count_id, expected)), None);
    }
    for (count_id, expected) in [("C-3", QUANTITY_LIMIT_MAX + 1), ("C-4", -QUANTITY_LIMIT_MAX - 1)] {
        assert_eq!(reason(&mut shard, counted(count_id, expected)), Some(Reason::InvalidQuantity));
    }
    assert_eq!(reason(&mut shard, counted("C-5", i64::MIN)), Some(Reason::InvalidQuantity));
}

/// As many commands as a message may hold, each about one line of one waiting order of 2,000: each costs its own line, and nothing is
/// released or parked more often than the message may look at lines.
#[test]
fn many_small_cancels_of_one_large_waiting_order() {
    let skus = skus(LINES);
    for format in BOTH {
        let mut shard = stocked(&skus, 1);
        let wanted = place("O-1", lines(&skus, 10), OnShortage::Backorder);
        assert_eq!(reason(&mut shard, wanted), None);
        let commands: Vec<_> = (0..COMMANDS_MAX)
            .map(|number| cancel("O-1", Some(lines(&skus[number % LINES..][..1], 1))))
            .collect();
        let payload = codec::encode_commands(format, &commands);
        assert!(payload.len() <= PAYLOAD_BYTES_MAX, "{}", payload.len());
        shard.feed(Some(format), payload).unwrap();
        let kinds = shard.output.entries(0, shard.output.len());
        let cancelled = kinds.iter().filter(|entry| entry.kind == OutcomeKind::Cancelled).count();
        assert_eq!(cancelled, COMMANDS_MAX, "{format:?}: all of them are decided");
        shard.inventory.check_books().unwrap();
        // What is left of it: 1 or 2 of each line, so it waits for what it has not.
        while shard.inventory.due() == Due::Now {
            shard.tick();
        }
        shard.send(&[receive_all("R-2", &skus, 9)]);
        while shard.inventory.due() == Due::Now {
            shard.tick();
        }
        assert_eq!(shard.inventory.order("O-1").unwrap().state.name(), "confirmed");
        shard.inventory.check_books().unwrap();
    }
}

/// Outcomes for others come in steps of 256 messages, whatever the kind, and only ticks that are alone bring what is left.
#[test]
fn outcomes_for_others_come_in_steps() {
    let most = OUTCOMES_BEYOND_OWN_MAX as usize;
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 1)]);
    let ids: Vec<_> = (0..3 * most).map(|number| id("O", number)).collect();
    let orders: Vec<_> =
        ids.iter().map(|id| place(id.as_str(), vec![line("A", 2)], OnShortage::Backorder)).collect();
    shard.send(&orders);
    let units = 6 * i64::from(OUTCOMES_BEYOND_OWN_MAX);
    assert_eq!(shard.send(&[receive("R-2", "A", units)]).len(), 1 + most);
    // A frame of ticks does nothing, nor does one among others, nor any other record.
    let tick = || Command::Tick(Tick {});
    assert_eq!(shard.send(&vec![tick(); COMMANDS_MAX]).len(), 0);
    assert_eq!(shard.send(&[tick(), receive("R-3", "B", 1)]).len(), 1);
    assert_eq!(shard.send(&[receive("R-4", "B", 1)]).len(), 1);
    for format in BOTH {
        assert_eq!(shard.inventory.due(), Due::Now);
        shard.feed(Some(format), codec::encode_commands(format, &[tick()])).unwrap();
        assert_eq!(shard.output.len(), most, "{format:?}");
    }
    assert_eq!(shard.tick().len(), 0);
    assert_eq!(shard.inventory.due(), Due::Never);
    // Shortfalls too: all of them lose.
    let lost = Adjust { adjustment_id: "J-1".into(), lines: vec![line("A", -units)], ..Adjust::default() };
    assert_eq!(shard.send(&[Command::Adjust(lost)]).len(), 1 + most);
    assert_eq!(shard.send(&vec![tick(); 2]).len(), 0);
    assert_eq!((shard.tick().len(), shard.tick().len()), (most, most));
    assert_eq!(shard.tick().len(), 0);
    shard.inventory.check_books().unwrap();
}

/// 4 MiB are read, and a byte more is a dead letter; as many commands as a message may hold are, and one more is not.
#[test]
fn payloads_have_a_longest() {
    for (length, expected) in
        [(PAYLOAD_BYTES_MAX, OutcomeKind::Received), (PAYLOAD_BYTES_MAX + 1, OutcomeKind::DeadLettered)]
    {
        let mut shard = Shard::new();
        let mut payload = codec::encode_commands(Format::Json, &[receive("R-1", "A", 1)]);
        payload.resize(length, b' ');
        shard.feed(Some(Format::Json), payload).unwrap();
        assert_eq!(shard.outcomes()[0].decision.kind(), expected);
        assert_eq!(shard.output.len(), 1);
    }
    for format in BOTH {
        let mut shard = Shard::new();
        let commands = vec![receive("R-1", "A", 1); COMMANDS_MAX + 1];
        shard.feed(Some(format), codec::encode_commands(format, &commands[1..])).unwrap();
        assert_eq!(shard.output.len(), COMMANDS_MAX);
        assert!(shard.output.dead_letters.is_empty());
        shard.feed(Some(format), codec::encode_commands(format, &commands)).unwrap();
        let outcomes: Vec<Outcome<'_>> = shard.outcomes();
        let dead: Vec<_> =
            outcomes.iter().filter(|it| it.decision.kind() == OutcomeKind::DeadLettered).collect();
        assert_eq!(dead.len(), 1, "{format:?}");
        assert_eq!(serde_json::to_value(dead[0]).unwrap()["reason"], "too_many_commands");
    }
}

/// An order keeps a thousand ids; a command that brings one more is refused, and one without an id, or with a known one, is not.
#[test]
fn an_order_keeps_so_many_ids() {
    let mut shard = Shard::new();
    shard.send(&[receive("R-1", "A", 2_000), place("O-1", vec![line("A", 1_500)], OnShortage::Refuse)]);
    let ids: Vec<_> = (0..1_001).map(|number| id("V", number)).collect();
    let review = |review_id: &str| {
        let (order_id, review_id) = ("O-1".into(), Some(review_id.to_owned().into()));
        Command::Review(Review { order_id, score: 5, review_id, ..Review::default() })
    };
    let reviews: Vec<_> = ids.iter().map(|id| review(id)).collect();
    let answers = reasons(&mut shard, Format::Json, &reviews);
    assert_eq!(answers[..1_000], vec![None; 1_000]);
    assert_eq!(answers[1_000], Some(Reason::TooManyFacts));
    let pay = |attempt_id: Option<&'static str>| {
        let attempt_id = attempt_id.map(Into::into);
        Command::Pay(Pay { order_id: "O-1".into(), attempt_id, ..Pay::default() })
    };
    assert_eq!(reason(&mut shard, pay(Some("P-1"))), Some(Reason::TooManyFacts));
    assert_eq!(reason(&mut shard, review("V-999")), None, "a repeat brings nothing");
    assert!(shard.output.entries(0, 1)[0].repeat);
    assert_eq!(reason(&mut shard, pay(None)), None);
    shard.interrupt();
    assert_eq!(reason(&mut shard, review("V-1000")), Some(Reason::TooManyFacts));
    // Another order has its own.
    shard.send(&[place("O-2", vec![line("A", 1)], OnShortage::Refuse)]);
    let other =
        Review { order_id: "O-2".into(), score: 5, review_id: Some("V-0".into()), ..Review::default() };
    assert_eq!(reason(&mut shard, Command::Review(other)), None);
}

/// Sites, attributes: as many as may be, and one more.
#[test]
fn lists_of_an_order_have_a_longest() {
    for format in BOTH {
        let mut shard = Shard::new();
        let sites: Vec<_> = (0..=ORDER_SITES_MAX).map(|number| id("site", number)).collect();
        let all = sites.iter().map(|site| site.as_str().into()).collect();
        shard.send(&[policy(PolicyChange { sites: Some(all), ..PolicyChange::default() })]);
        let site = Some("site-7".into());
        let lines = vec![line("A", 9)];
        shard.send(&[Command::Receive(Receive { receipt_id: "R-1".into(), site, lines, occurred_at: None })]);
        let order = |sites_count: usize, attributes_count: usize| {
            let attributes = (0..attributes_count).map(|number| (id("k", number).into(), "v".into()));
            Command::Place(Place {
                order_id: format!("{sites_count}-{attributes_count}").into(),
                lines: vec![line("A", 1).into()],
                sites: Some(sites[..sites_count].iter().map(|site| site.as_str().into()).collect()),
                attributes: Attributes(attributes.collect()),
                ..Place::default()
            })
        };
        let invalid = Some(Reason::InvalidValue);
        let answers = reasons(&mut shard, format, &[order(8, 16), order(9, 0), order(8, 17), order(0, 0)]);
        assert_eq!(answers, [None, invalid, invalid, invalid], "{format:?}");
    }
}

/// Orders of many lines are released, and expire, as many lines at a time as a message looks at for others, and those of one order more.
#[test]
fn large_orders_are_worked_off_by_their_lines() {
    const ORDERS: usize = 30;
    let skus = skus(500);
    let most = LOOKS_PER_MESSAGE_MAX as usize / skus.len() + 1;
    let mut shard = stocked(&skus, 1);
    let ids: Vec<_> = (0..ORDERS).map(|number| id("O", number)).collect();
    shard.send(&[policy(PolicyChange { pay_within_ms: Some(1_000), ..PolicyChange::default() })]);
    for id in &ids {
        shard.send(&[place(id.as_str(), lines(&skus, 2), OnShortage::Backorder)]);
    }
    let told = |outcomes: &[Outcome<'_>], others: &mut Vec<String>| {
        let before = others.len();
        others.extend(outcomes.iter().filter_map(|outcome| match &outcome.decision {
            Decision::Confirmed { order_id, .. } | Decision::Expired { order_id, .. } => {
                Some(order_id.to_string())
            }
            _ => None,
        }));
        let told = others.len() - before;
        assert!((1..=most).contains(&told), "{told} of at most {most}");
    };
    let mut released = Vec::new();
    told(&shard.send(&[receive_all("R-2", &skus, 100)]), &mut released);
    assert!(released.len() < ORDERS);
    while shard.inventory.due() == Due::Now {
        told(&shard.tick(), &mut released);
    }
    assert_eq!(released, ids, "all of them, in the order of placing");
    shard.inventory.check_books().unwrap();
    shard.clock_ms += 1_000;
    let mut expired = Vec::new();
    told(&shard.tick(), &mut expired);
    assert!(expired.len() < ORDERS);
    while shard.inventory.due() == Due::Now {
        told(&shard.tick(), &mut expired);
    }
    assert_eq!(expired, ids);
    shard.inventory.check_books().unwrap();
}
