//! The audit is shown streams that are right, and streams that are wrong in one way each.

use bytes::Bytes;

use super::*;
use crate::orders::Writer;
use crate::shop::{Lines, Load};
use weir::folds::inventory::{Inventory, Output};
use weir::words::append::{Append, AppendHeader, Chain};
use weir::words::codec::{Format, FrameWriter, decode_outcome, encode_commands, encode_outcome};
use weir::words::message::Way;
use weir::words::outcome::{Decision, Outcome, State, Subject};
use weir::words::policy::PolicyChange;
use weir::words::text::Text;
use weir::words::timestamp::Timestamp;

const BATCH: u32 = 50;

/// A log and its outcomes, each outcome by itself.
struct World {
    orders: Orders,
    sent: u64,
    log: Vec<LogMessage>,
    outcomes: Vec<(Identity, Vec<u8>)>,
    /// How many outcomes an append has.
    cut: usize,
}

fn log_message(sequence: usize, payload: impl Into<Bytes>) -> LogMessage {
    LogMessage {
        sequence: sequence as u64,
        stored_at_ns: 1_795_000_000_000_000_000,
        way: Way::Any,
        format: Some(Format::Bincode),
        payload: payload.into(),
    }
}

impl World {
    fn new(stock: i64, batches: u64, mix: &str) -> Self {
        let load = Load {
            seed: 3,
            format: Format::Bincode,
            batch: BATCH,
            lines: Lines::Between(1, 3),
            skus: 40,
            skew: 0.0,
            shards: 1,
            mix: mix.parse().unwrap(),
            stock,
        };
        let orders = Orders::new(&load);
        let policy = Command::Policy(PolicyChange { rules: Some(1), ..PolicyChange::default() });
        let mut payloads = vec![Bytes::from(encode_commands(Format::Bincode, &[policy]))];
        payloads.extend(orders.stock(0).into_iter().map(|it| encode_commands(Format::Bincode, &[it]).into()));
        let mut writer = Writer::new(&orders);
        payloads.extend((0..batches).map(|number| writer.batch(number, Timestamp::ZERO).payload));
        drop(writer);
        let log = payloads.into_iter().zip(1..).map(|(payload, sequence)| log_message(sequence, payload));
        let mut world = Self {
            orders,
            sent: batches * u64::from(BATCH),
            log: log.collect(),
            outcomes: Vec::new(),
            cut: 33,
        };
        world.fold();
        world
    }

    /// What the log decides.
    fn fold(&mut self) {
        let (mut inventory, mut output) = (Inventory::new(), Output::default());
        for message in &self.log {
            inventory.apply(message, &mut output).unwrap();
        }
        let outcomes = output.outcomes();
        self.outcomes = outcomes.map(|(entry, bytes)| (entry.identity(), bytes.to_vec())).collect();
    }

    fn appends(&self) -> Vec<StoredAppend> {
        let mut from = Identity::START;
        let mut appends = Vec::new();
        for (outcomes, sequence) in self.outcomes.chunks(self.cut).zip(1..) {
            let mut frame = FrameWriter::new();
            for (_, bytes) in outcomes {
                frame.push(bytes);
            }
            let through = outcomes.last().unwrap().0;
            let chain = Chain::default();
            let header = AppendHeader { from, through, rules: 1, writer: "test".to_owned(), chain };
            let append = Append { header, format: Format::Bincode, payload: frame.finish().into() };
            appends.push(StoredAppend { sequence, append });
            from = through;
        }
        appends
    }

    fn audit(&self) -> Findings {
        self.audit_of(&self.appends())
    }

    fn audit_of(&self, appends: &[StoredAppend]) -> Findings {
        let mut audit = Audit::new(&self.orders, self.sent);
        let mut log = self.log.iter();
        for append in appends {
            while audit.log_last < append.append.header.through.sequence
                && let Some(message) = log.next()
            {
                audit.message(message.clone());
            }
            audit.append(append).unwrap();
        }
        log.for_each(|message| audit.message(message.clone()));
        audit.end_shard();
        audit.end()
    }

    /// The place of the `nth` outcome of a kind.
    fn place_of(&self, kind: OutcomeKind, nth: usize) -> usize {
        let kinds = self.outcomes.iter().map(|(_, bytes)| decode_outcome(bytes).unwrap().decision.kind());
        kinds.enumerate().filter(|(_, found)| *found == kind).nth(nth).unwrap().0
    }

    /// Changes an outcome.
    fn change(&mut self, place: usize, change: impl FnOnce(&mut Outcome<'_>)) {
        let before = self.outcomes[place].1.clone();
        let mut outcome = decode_outcome(&before).unwrap();
        change(&mut outcome);
        let mut bytes = Vec::new();
        let start = encode_outcome(&mut bytes, &outcome.decision, outcome.identity(), outcome.at);
        // Without its length, which the frame writes again.
        bytes.drain(..start);
        self.outcomes[place] = (outcome.identity(), bytes);
    }
}

/// Lost, duplicated, oversold, unexplained.
#[track_caller]
fn found(findings: &Findings, expected: [u64; 4], instance: &str) {
    let is = [findings.lost, findings.duplicated, findings.oversold, findings.unexplained];
    assert_eq!(is, expected, "{:#?}", findings.instances);
    assert_eq!(findings.are_good(), expected == [0; 4]);
    let instances = findings.instances.join("\n");
    assert!(instances.contains(instance), "{instance:?} is not in {instances}");
}

#[test]
fn what_is_right_is_found_right_however_it_is_cut() {
    let mut world = World::new(1_000, 10, "");
    for cut in [1, 7, BATCH as usize, 10_000] {
        world.cut = cut;
        let findings = world.audit();
        found(&findings, [0; 4], "");
        assert_eq!((findings.confirmed, findings.records), (500, 502));
    }
    let refusing = World::new(10, 10, "").audit();
    found(&refusing, [0; 4], "");
    assert!(refusing.confirmed > 100, "{refusing:?}");
    assert_eq!(refusing.refused["insufficient_stock"], 500 - refusing.confirmed);
}

#[test]
fn steps_give_stock_back() {
    let mut world = World::new(60, 200, "cancel=30,ship=60,pay=50,deliver=50,return=40,review=20");
    let findings = world.audit();
    found(&findings, [0; 4], "");
    for kind in ["cancelled", "shipped", "paid", "delivered", "returned", "reviewed"] {
        assert!(
            findings.others.get(kind).is_some_and(|count| *count > 0),
            "no {kind}: {:?}",
            findings.others
        );
    }
    // What was given back was sold again: without that, this is more than there was.
    let cancelled = world.place_of(OutcomeKind::Cancelled, 0);
    let id = Text::from("O00000009999");
    world.change(cancelled, |outcome| {
        if let Decision::Cancelled { order_id, .. } = &mut outcome.decision {
            *order_id = id.clone();
        }
    });
    let findings = world.audit();
    assert_eq!(findings.unexplained, 1, "{:?}", findings.instances);
}

#[test]
fn a_missing_outcome_is_lost() {
    let mut world = World::new(1_000, 10, "");
    world.outcomes.remove(100);
    found(&world.audit(), [1, 0, 0, 0], "lost: record 4.48.0 (place) has no answer");
    // And those at the very end, which no append follows.
    world.outcomes.truncate(world.outcomes.len() - 3);
    found(&world.audit(), [4, 0, 0, 0], "(place) has no answer");
    world.outcomes.clear();
    found(&world.audit(), [502, 0, 0, 0], "lost: record 1.0.0 (policy) has no answer");
}

#[test]
fn an_order_that_is_not_in_the_log_is_lost() {
    let mut world = World::new(1_000, 10, "");
    world.sent += 2;
    found(&world.audit(), [2, 0, 0, 0], "order 500 was acknowledged, and is not in the log");
    world.sent -= 3;
    found(&world.audit(), [0, 0, 0, 1], "record 12.49.0: O00000000499");
}

#[test]
fn an_outcome_that_comes_twice_is_duplicated() {
    let mut world = World::new(1_000, 10, "");
    world.outcomes.insert(100, world.outcomes[100].clone());
    found(&world.audit(), [0, 1, 0, 0], "duplicated: outcome 4.48.0 comes after 4.48.0");
    // Under another identity it is a second answer.
    world.change(101, |outcome| outcome.place += 1);
    found(&world.audit(), [0, 2, 0, 0], "record 4.48.0 (place) has 2 answers");
}

#[test]
fn an_append_that_comes_twice_is_duplicated() {
    let world = World::new(1_000, 10, "");
    let mut appends = world.appends();
    appends.insert(5, StoredAppend { sequence: 99, ..appends[4].clone() });
    found(&world.audit_of(&appends), [0, 33, 0, 0], "append 99 goes on from");
    appends.remove(5);
    appends.remove(4);
    found(&world.audit_of(&appends), [33, 0, 0, 1], "but the one before ends with");
}

#[test]
fn an_order_that_is_confirmed_twice_is_duplicated_unless_marked() {
    let mut world = World::new(1_000, 3, "");
    // The first batch again, as if it had been sent twice: the fold marks its answers.
    world.log.push(log_message(world.log.len() + 1, world.log[2].payload.clone()));
    world.fold();
    let findings = world.audit();
    found(&findings, [0, 0, 0, 50], "is in the log twice, and was sent once");
    assert_eq!(findings.others["repeated"], 50);
    world.change(world.outcomes.len() - 1, |outcome| {
        if let Decision::Confirmed { repeat, .. } = &mut outcome.decision {
            *repeat = None;
        }
    });
    found(&world.audit(), [0, 1, 0, 50], "");
}

#[test]
fn more_than_was_received_is_oversold() {
    let mut world = World::new(1_000, 10, "");
    let less = World::new(20, 10, "");
    // The outcomes of plenty, on the log of scarcity.
    world.log[1] = less.log[1].clone();
    let findings = world.audit();
    assert!(findings.oversold > 100, "{findings:?}");
    assert_eq!((findings.lost, findings.duplicated, findings.unexplained), (0, 0, 0));
    let instance = &findings.instances[0];
    assert!(
        instance.starts_with("oversold: outcome ") && instance.ends_with("confirmed, 20 received"),
        "{instance}"
    );
    // One unit is enough.
    let mut one = World::new(10, 10, "");
    let refused = one.place_of(OutcomeKind::Refused, 0);
    one.change(refused, |outcome| {
        if let Decision::Refused { subject: Some(Subject::OrderId(id)), .. } = &outcome.decision {
            let order_id = id.clone();
            outcome.decision = Decision::Confirmed {
                order_id,
                pay_by: None,
                lines: vec![],
                shortages: vec![],
                released: false,
                repeat: None,
            };
        }
    });
    assert!(one.audit().oversold >= 1);
}

#[test]
fn what_makes_no_sense_is_unexplained() {
    let mut world = World::new(1_000, 10, "");
    let last = world.outcomes.len() - 1;
    world.change(last, |outcome| outcome.sequence += 1);
    found(&world.audit(), [1, 0, 0, 1], "outcome 13.49.0 answers no record");
    let mut world = World::new(1_000, 10, "");
    world.change(100, |outcome| {
        outcome.decision =
            Decision::Expired { order_id: "O00000000000".into(), lines: vec![], state: State::Cancelled };
    });
    found(&world.audit(), [1, 0, 0, 1], "outcome 4.48.0 (expired) has no cause");
    let mut world = World::new(1_000, 10, "");
    world.change(100, |outcome| {
        if let Decision::Confirmed { order_id, .. } = &mut outcome.decision {
            *order_id = "O00000000000".into();
        }
    });
    found(&world.audit(), [0, 0, 0, 1], "record 4.48.0 (place) is answered with confirmed");
    let mut world = World::new(1_000, 10, "");
    world.log[5].payload = world.log[4].payload.clone();
    assert!(world.audit().unexplained >= 50);
    let mut world = World::new(1_000, 10, "");
    world.log.remove(5);
    assert!(world.audit().instances[0].contains("the log goes on with message 7, not with 6"));
}
