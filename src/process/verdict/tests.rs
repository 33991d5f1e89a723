//! Every fault and every condition has its sentence and its next step.

use super::*;
use crate::edges::telemetry::VERDICTS;
use crate::words::fault::Fault;
use crate::words::identity::Identity;

/// 2026-11-24 at 14:10 UTC; a shard that last moved at 14:02.
const NOW_MS: i64 = 1_795_529_400_000;
const MOVED_MS: i64 = NOW_MS - 8 * 60_000;

fn shard() -> ShardFigures {
    ShardFigures {
        shard: "main".to_owned(),
        log_stream: "WEIR_LOG_main".to_owned(),
        leads: true,
        held: true,
        moved_ms: Some(MOVED_MS),
        log: StreamState { bytes: 10, bytes_max: 1 << 20, ..StreamState::default() },
        ..ShardFigures::default()
    }
}

const FLOW: Flow = Flow {
    confirmed_per_second: 411.6,
    within: Some(0.999_7),
    answered: Some(0.999_7),
    answers: 100_000,
    decided: 100_000,
    refused: 100,
    reason: None,
};

fn figures(shards: Vec<ShardFigures>) -> Figures {
    Figures { now_ms: NOW_MS, shards, flow: Some(FLOW), ..Figures::default() }
}

fn with(change: impl FnOnce(&mut ShardFigures)) -> Figures {
    let mut shard = shard();
    change(&mut shard);
    figures(vec![shard])
}

fn flowing(flow: Flow) -> Figures {
    Figures { flow: Some(flow), ..figures(vec![shard()]) }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
fn every_condition_has_its_sentence_and_its_next_step() {
    use Condition as C;
    let unready = |why: Unready| with(|shard| shard.unready = Some(why));
    let nothing = "Nothing to do.";
    let cases: Vec<(Figures, C, &str, &str)> = vec![
        (figures(vec![shard()]), C::Well, "Confirming 412 orders/s; 99.97% within 250 ms.", nothing),
        (
            Figures { flow: None, ..figures(vec![shard()]) },
            C::Well,
            "1 of 1 shard led here, up to date; orders are not measured (worker.metrics is false).",
            nothing,
        ),
        (
            flowing(Flow::default()),
            C::Idle,
            "No orders in the last minutes; 1 shard led here and ready.",
            "Nothing to do, unless orders should be coming.",
        ),
        (
            with(|shard| (shard.leads, shard.leader) = (false, Some("w2".to_owned()))),
            C::StandingBy,
            "This worker stands by: others lead 1 shard.",
            nothing,
        ),
        (
            Figures { draining: true, ..figures(vec![shard()]) },
            C::Draining,
            "This worker ends: it announces what it has read and gives its shards away.",
            nothing,
        ),
        (
            unready(Unready::Replaying(1_204)),
            C::Recovering,
            "Shard main folds what it missed, 1,204 messages; orders are stored meanwhile.",
            nothing,
        ),
        (
            unready(Unready::Restoring),
            C::Recovering,
            "Shard main restores its state; orders are stored meanwhile.",
            nothing,
        ),
        (
            unready(Unready::Behind(1_204)),
            C::Behind,
            "Shard main is behind by 1,204 messages.",
            "Wait; if it does not shrink, give the worker more of its processor, or split the shard.",
        ),
        (
            flowing(Flow { within: Some(0.998_999), ..FLOW }),
            C::Slow,
            "Confirming 412 orders/s; only 99.89% within 250 ms.",
            "See which stage of `weir_stage_duration_seconds` is slow: `apply` wants processor time, `publish` a faster broker or disk.",
        ),
        (
            flowing(Flow { answered: Some(0.95), ..FLOW }),
            C::Slow,
            "Confirming 412 orders/s; only 95.00% of this worker's answers were decisions within 250 ms.",
            "See `weir_door_replies_total` for what its door answers: `busy` wants less traffic or more workers. All decided: its machine or its way to NATS is slow.",
        ),
        (
            flowing(Flow { refused: 60_000, reason: Some(Reason::UnknownSku), ..FLOW }),
            C::Refusing,
            "60% of orders are refused, most for unknown_sku.",
            "Load stock: `weir stock load FILE.csv --receive --id DELIVERY`.",
        ),
        (
            with(|shard| shard.log.bytes = 900 << 10),
            C::LogFilling,
            "The log of shard main is 87% full (900.0 KiB of 1.0 MiB): it is not trimmed.",
            "See why no snapshot is taken: `weir_snapshots_total{end=\"failed\"}` and the worker's log. Raise the limit: \
             `nats stream edit WEIR_LOG_main --max-bytes 2097152`.",
        ),
        (
            with(|shard| shard.log.bytes = 1 << 20),
            C::LogFull,
            "Shard main takes no new orders: its log is full (1.0 MiB of 1.0 MiB).",
            "Raise the limit: `nats stream edit WEIR_LOG_main --max-bytes 2097152`. Then see why it is not trimmed: \
             `weir_snapshots_total{end=\"failed\"}` and the worker's log.",
        ),
        (
            with(|shard| {
                shard.fault = Some(Fault::Gap { expected: 5, found: 9 }.to_string());
                shard.leader = Some("w2".to_owned());
            }),
            C::FaultBeside,
            "Shard main stands still at this worker (gap: the log continues at sequence 9 where 5 was due); w2 leads it.",
            "Restore WEIR_LOG_main from a backup, then restart the worker.",
        ),
        (
            with(|shard| shard.fault = Some(Fault::Gap { expected: 5, found: 9 }.to_string())),
            C::Fault,
            "Shard main decides nothing since 14:02 UTC: gap: the log continues at sequence 9 where 5 was due.",
            "Restore WEIR_LOG_main from a backup, then restart the worker.",
        ),
        (
            unready(Unready::Stuck(7)),
            C::Stuck,
            "Shard main gets no further since 14:02 UTC: 7 messages wait.",
            "See that the broker answers (`nats stream report`); if it does, restart the worker that leads: a standby takes over at once.",
        ),
        (
            unready(Unready::HeldUp("nothing can be announced: the stream is full".to_owned())),
            C::HeldUp,
            "Shard main announces nothing since 14:02 UTC: nothing can be announced: the stream is full.",
            "Mend what is named; the worker tries on by itself, and announces what waits.",
        ),
        (
            with(|shard| shard.leads = false),
            C::NoLeader,
            "Nobody leads shard main: its orders are stored, and decided once somebody does.",
            "Start a worker with `weir run`; one that runs takes over within a lease (3 s by default).",
        ),
        (
            unready(Unready::Unreachable),
            C::Unreachable,
            "Nothing is known of shard main since 14:02 UTC: NATS cannot be reached.",
            "See that nats-server runs and has a JetStream leader (`nats stream report`); the worker tries on by itself.",
        ),
        (
            figures(Vec::new()),
            C::Unreachable,
            "NATS cannot be reached, or the streams are not there yet.",
            "See that nats-server runs at the URL of `weir check`; then run `weir setup` once.",
        ),
        (
            Figures { unwell: Some("sharing has panicked".to_owned()), ..figures(vec![shard()]) },
            C::Unwell,
            "This worker is of no use any more: sharing has panicked.",
            "Restart it; the others lead its shards meanwhile.",
        ),
    ];
    for condition in C::ALL {
        assert!(cases.iter().any(|case| case.1 == condition), "{condition:?} is not tested");
    }
    for (figures, condition, sentence, next_step) in cases {
        let verdict = judge(&figures);
        assert_eq!(
            (verdict.condition, verdict.sentence.as_str(), verdict.next_step.as_str()),
            (condition, sentence, next_step)
        );
    }
}

#[test]
fn from_outside_it_is_said_at_which_worker() {
    let led = |shard: &mut ShardFigures| (shard.leads, shard.leader) = (false, Some("w2".to_owned()));
    let outside = |figures: Figures| judge(&Figures { from_outside: true, flow: None, ..figures });
    let well = outside(with(led));
    assert_eq!((well.condition, well.sentence.as_str()), (Condition::Well, "The shard is led."));
    let halted = outside(with(|shard| {
        led(shard);
        (shard.fault, shard.fault_at) = (Some("a fault".to_owned()), Some("w1".to_owned()));
    }));
    assert_eq!(halted.sentence, "Shard main stands still at w1 (a fault); w2 leads it.");
    assert_eq!(halted.next_step, "See the worker's log, and Faults in docs/operations.md.");
    assert_eq!(outside(with(|shard| shard.leads = false)).condition, Condition::NoLeader);
}

#[test]
fn every_fault_has_a_way_out_of_its_own() {
    let at = Identity { sequence: 7, index: 0, place: 0 };
    let faults = [
        Fault::Gap { expected: 5, found: 9 },
        Fault::LogBehind { last: 4, applied: 7 },
        Fault::LogRewritten { sequence: 7 },
        Fault::DigestMismatch { at, announced: "a".to_owned(), own: "b".to_owned() },
        Fault::OutcomesAhead { through: at, last: 4 },
        Fault::Clock { sequence: 7, ahead_ms: 400_000 },
        Fault::UnknownRules { sequence: 7, rules: 9, newest: 2 },
        Fault::Panic { sequence: 7, message: "index. out of bounds. This is odd".to_owned() },
    ];
    let expected = [
        ("gap: the log continues at sequence 9 where 5 was due", "Restore WEIR_LOG_main"),
        (
            "log behind: the log ends at sequence 4, but 7 was already applied: the broker lost what it had acknowledged",
            "Restore WEIR_LOG_main from a backup; or stop all workers, see `weir epoch --shard main`",
        ),
        (
            "log rewritten: the message at sequence 7 is not the one that was applied: the log was rolled back and refilled",
            "Restore WEIR_LOG_main from a backup; or stop all workers, see `weir epoch --shard main`",
        ),
        (
            "digest mismatch: at 7.0.0 the announced outcomes differ from this worker's (chain a against b)",
            "Run the binary that announced these outcomes, and `weir audit --shard main`. If the log was rewritten: restore",
        ),
        (
            "outcomes ahead: outcomes were announced through 7.0.0, but the log ends at sequence 4: the broker lost part of the log",
            "Restore WEIR_LOG_main from a backup; or stop all workers, see `weir epoch --shard main`",
        ),
        (
            "clock: the record at sequence 7 is stamped 400000 ms ahead of this worker's clock and the broker's own",
            "Set the broker's clock right; the shard goes on by itself",
        ),
        (
            "unknown rules: the policy at sequence 7 asks for rules version 9, this binary knows up to 2",
            "Run a newer binary",
        ),
        ("panic at sequence 7: index. out of bounds. This is odd", "Run a mended binary, and report this"),
    ];
    let names: Vec<_> = faults.iter().map(Fault::name).collect();
    assert_eq!(names, Fault::NAMES, "a fault is left out");
    for (fault, (what, next_step)) in faults.iter().zip(expected) {
        let verdict = judge(&with(|shard| shard.fault = Some(fault.to_string())));
        assert_eq!(verdict.state(), State::Critical);
        assert_eq!(verdict.sentence, format!("Shard main decides nothing since 14:02 UTC: {what}."));
        assert!(verdict.next_step.starts_with(next_step), "{fault:?}: {}", verdict.next_step);
    }
}

#[test]
fn the_worst_comes_first_and_the_others_are_counted() {
    let filling = ShardFigures { shard: "a".to_owned(), ..shard() };
    let filling =
        ShardFigures { log: StreamState { bytes: 900, bytes_max: 1_000, ..filling.log }, ..filling };
    let still = ShardFigures { shard: "b".to_owned(), unready: Some(Unready::Stuck(1)), ..shard() };
    let verdict = judge(&figures(vec![filling.clone(), still, shard()]));
    assert_eq!(
        (verdict.condition, verdict.shard.as_deref(), verdict.others),
        (Condition::Stuck, Some("b"), 1)
    );
    assert!(verdict.sentence.ends_with("Another shard is in trouble too."), "{}", verdict.sentence);
    // What is worse than a shard's trouble is told in its place.
    let recovering = ShardFigures { unready: Some(Unready::Restoring), ..shard() };
    let slow = Figures { flow: Some(Flow { within: Some(0.5), ..FLOW }), ..figures(vec![recovering]) };
    assert_eq!(judge(&slow).condition, Condition::Slow);
}

#[test]
fn bounds_hold_at_their_edges() {
    let full = |bytes| {
        judge(&with(|shard| shard.log = StreamState { bytes, bytes_max: 10_000, ..shard.log })).condition
    };
    assert_eq!(full(7_999), Condition::Well);
    assert_eq!(full(8_000), Condition::LogFilling);
    assert_eq!(full(9_949), Condition::LogFilling);
    assert_eq!(full(9_950), Condition::LogFull);
    assert_eq!(full(u64::MAX), Condition::LogFull);
    let unlimited = with(|shard| shard.log = StreamState { bytes: 1 << 40, bytes_max: 0, ..shard.log });
    assert_eq!(judge(&unlimited).condition, Condition::Well, "no limit");
    let within = |within| judge(&flowing(Flow { within: Some(within), ..FLOW })).condition;
    assert_eq!((within(0.999), within(0.998_999)), (Condition::Well, Condition::Slow));
    let refusing = |decided, refused| {
        judge(&flowing(Flow { decided, refused, reason: Some(Reason::Busy), ..FLOW })).condition
    };
    assert_eq!((refusing(20, 11), refusing(20, 10)), (Condition::Refusing, Condition::Well));
    assert_eq!(refusing(19, 19), Condition::Well, "too few to say");
    // A single slow order at night is no trouble.
    assert_eq!(judge(&flowing(Flow { decided: 1, within: Some(0.0), ..FLOW })).condition, Condition::Well);
    assert_eq!(judge(&flowing(Flow { answers: 1, answered: Some(0.0), ..FLOW })).condition, Condition::Well);
}

#[test]
fn figures_read_well() {
    assert_eq!(
        [percent(0.999_999), percent(1.0), percent(0.0), percent(0.97)],
        ["99.99%", "100%", "0.00%", "97.00%"]
    );
    assert_eq!([count(0), count(999), count(1_000), count(1_234_567)], ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([rate(0.0), rate(0.25), rate(9.96), rate(1_234.4)], ["0", "0.2", "10.0", "1,234"]);
    assert_eq!([bytes(5), bytes(8 << 30)], ["5 bytes", "8.0 GiB"]);
    assert_eq!(since(Some(NOW_MS - 86_400_000), NOW_MS), " since 2026-11-23 14:10 UTC");
    assert_eq!(since(None, NOW_MS), "");
}

#[test]
fn states_are_the_ones_of_the_gauge() {
    assert_eq!(State::ALL.map(State::name), VERDICTS);
}
