//! A broker that lost what it had acknowledged, and a new epoch of the log after it.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::MemoryLimits;
use weir::edges::streams::Streams as _;
use weir::folds::inventory::{Due, Inventory, Output};
use weir::motion::audit::Pace;
use weir::motion::epoch::{EpochError, Plan, begin, examine, gone, open};
use weir::motion::fold::FoldOn;
use weir::words::append::StoredAppend;
use weir::words::codec::{Format, decode_outcome, outcomes};
use weir::words::identity::Identity;
use weir::words::message::{LogMessage, Way};

use crate::check;
use crate::seeds::each;
use crate::workers::{Setting, client, edges, worker};
use crate::workload::messages;
use crate::world::{Faults, Life, World};

const SEEDS: u64 = 200;

/// The log as a broker has it that went back and was filled again: what it kept, and what came after.
fn rewritten(rng: &mut Rng, history: &[LogMessage], through: Identity) -> (usize, Vec<LogMessage>) {
    let announced = history.iter().position(|message| message.sequence >= through.sequence).unwrap() + 1;
    let lost = rng.usize(1..=(announced - 1).min(25));
    let kept = announced - lost;
    let mut log = history[..kept].to_vec();
    let refilled = if rng.u32(..3) == 0 { 0 } else { rng.usize(0..=lost + 5) };
    for number in 0..refilled {
        let newest = log.last().unwrap();
        let (sequence, stored_at_ns) = (newest.sequence + 1, newest.stored_at_ns + rng.i64(1..50_000_000));
        // Whoever saw nothing come of an order sends it again.
        let again = &history[rng.usize(..history.len())];
        let (format, payload) = if rng.bool() {
            (again.format, again.payload.clone())
        } else {
            (Some(Format::Json), format!(r#"{{"cancel":{{"order_id":"other-{number}"}}}}"#).into())
        };
        log.push(LogMessage { sequence, stored_at_ns, way: Way::Any, format, payload });
    }
    (kept, log)
}

/// Begins a new epoch, however often that takes, and says what was planned.
async fn new_epoch(world: &std::sync::Arc<World>, rng: &mut Rng, agrees: u64) -> (Plan, Vec<Identity>) {
    let mut planned = None;
    let mut copy_from = None;
    for attempt in 0.. {
        let crash_at = if attempt < 4 && rng.u32(..3) > 0 { rng.u64(1..400) } else { u64::MAX };
        let life = Life::new(world, format!("e{attempt}"), world.worker_clock(), crash_at);
        let edges = edges(&life, 0);
        let pace = Pace { fold_on: FoldOn::Task, clock: life.shared_clock(), rests: 0 };
        let work = async {
            let plan = examine("s0", &edges, copy_from, &pace).await?;
            let mut lost = Vec::new();
            gone(&edges, &plan, |outcome| lost.push(outcome.identity())).await?;
            planned = Some((plan.clone(), lost));
            begin("s0", &edges, plan, &life.name, &pace).await
        };
        let ended = tokio::select! {
            biased;
            () = life.died.notified() => None,
            ended = work => Some(ended),
        };
        life.die();
        // What is still on its way lands.
        tokio::time::sleep(Duration::from_secs(20)).await;
        match ended {
            Some(Ok(first)) => {
                let (plan, lost) = planned.unwrap();
                assert_eq!(first, world.shards[0].streams().log_state().await.unwrap().first_sequence);
                return (plan, lost);
            }
            // All was done but to hear of it.
            Some(Err(EpochError::Agrees)) if planned.is_some() => return planned.unwrap(),
            Some(Err(EpochError::Unmatched { .. })) => copy_from = Some(agrees + 1),
            Some(Err(error @ (EpochError::Moved | EpochError::NothingLeft | EpochError::Agrees))) => {
                panic!("seed {}: {error}", world.seed)
            }
            other => world.tell(&format_args!("attempt {attempt}: {other:?}")),
        }
        assert!(attempt < 200, "seed {}: it comes to no end", world.seed);
    }
    unreachable!()
}

async fn rewrite(seed: u64) {
    let mut rng = Rng::with_seed(seed ^ 0xe90c);
    let setting = Setting {
        workers: rng.usize(1..3),
        standbys: rng.usize(0..2),
        every_records: [15, 40, u64::MAX][rng.usize(..3)],
        format: [Format::Json, Format::Bincode][rng.usize(..2)],
        deaths: false,
        cut_offs: false,
        panics: false,
    };
    let calm = Faults { delay_ms: 5, ..Faults::default() };
    let faults = Faults { readers_stall: 0, ..if rng.bool() { calm } else { Faults::random(&mut rng) } };
    let world = World::new(seed, 1, MemoryLimits::default(), faults);
    let run = |world: &std::sync::Arc<World>| {
        let (stop, ended) = watch::channel(false);
        let workers: Vec<_> = (0..setting.workers)
            .map(|number| tokio::spawn(worker(world.clone(), number, setting, ended.clone())))
            .collect();
        (stop, workers)
    };
    let (stop, workers) = run(&world);
    client(world.clone(), 0, messages(&mut rng, 60)).await;
    while !check::is_done(&world, 0).await {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    stop.send(true).unwrap();
    for worker in workers {
        assert_eq!(worker.await.unwrap(), []);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;

    let truth = &world.shards[0];
    let before = truth.appends().await;
    let through = before.last().unwrap().append.header.through;
    let history = truth.history();
    let (kept, log) = rewritten(&mut rng, &history, through);
    let log_last = log.last().unwrap().sequence;
    let first = truth.streams().log_state().await.unwrap().first_sequence;
    truth.turn_into(&log, first.min(kept as u64 + 1), &before).await;
    let (plan, listed) = new_epoch(&world, &mut rng, kept as u64).await;
    // A closing that timed out may have landed after the opening: running it again opens the log.
    open(&edges(&Life::new(&world, "again".to_owned(), world.worker_clock(), u64::MAX), 0)).await.unwrap();

    // What was announced beyond the state is on the list, and nothing else.
    let told: Vec<Identity> = before
        .iter()
        .flat_map(|stored| outcomes(stored.append.format, &stored.append.payload).unwrap())
        .map(|outcome| outcome.identity())
        .filter(|identity| *identity > plan.kept)
        .collect();
    assert_eq!(listed, told, "seed {seed}");
    // The state is what was decided up to where it says.
    let end = truth.streams().log_state().await.unwrap().first_sequence - 1;
    assert!(end >= log_last.max(through.sequence), "seed {seed}");
    let base = check::kept(&world, 0).await;
    assert_eq!(base.len(), 1, "seed {seed}");
    let base = check::store(&world, 0).restore(&base[0], FoldOn::Task).await.unwrap().inventory;
    let decided = check::fold(&history[..usize::try_from(plan.base).unwrap()]);
    assert_eq!(base.digests().ledger, decided.inventory.digests().ledger, "seed {seed}");
    assert_eq!(base.chain().sequence, end, "seed {seed}");
    assert!(plan.base >= plan.agrees, "seed {seed}: {plan:?}");
    // What is behind what agrees is there again, in order. Where a message has no outcome, nobody can tell whether it is the same.
    assert!(
        plan.agrees >= kept as u64
            || history[usize::try_from(plan.agrees).unwrap()..kept].iter().all(|m| m.payload.len() < 16)
    );
    let copied = &log[usize::try_from(plan.agrees.min(log_last)).unwrap()..];
    let after = truth.history();
    let behind = &after[after.partition_point(|message| message.sequence <= end)..];
    let payload = |message: &LogMessage| (message.format, message.payload.clone());
    let (again, ticks) = behind.split_at(copied.len());
    assert!(again.iter().map(payload).eq(copied.iter().map(payload)), "seed {seed}");
    assert!(ticks.iter().all(|message| message.payload.len() < 16), "seed {seed}: {ticks:?}");

    let (stop, workers) = run(&world);
    client(world.clone(), 0, messages(&mut rng, 20)).await;
    let expected = loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let (inventory, expected) = fold_on(&world, base_of(&history, &plan, end), end);
        let done = truth.appends().await.last().unwrap().append.header.through;
        let all = expected.last().unwrap_or(through);
        assert!(done <= all, "seed {seed}: {done} was announced, {all} is the last");
        if done == all && inventory.due() == Due::Never {
            assert_eq!(inventory.check_books(), Ok(()), "seed {seed}");
            break expected;
        }
    };
    stop.send(true).unwrap();
    for worker in workers {
        assert_eq!(worker.await.unwrap(), [], "seed {seed}");
    }
    let appends = truth.appends().await;
    assert_eq!(appends[..before.len()], before, "seed {seed}");
    follow(&appends[before.len()..], through, &expected, seed);
    world.calm_down();
    check::audits(&world, 0).await;
}

/// These appends go on behind `from`, and announce what is expected.
fn follow(appends: &[StoredAppend], mut from: Identity, expected: &Output, seed: u64) {
    let mut expected = expected.outcomes();
    for stored in appends {
        assert_eq!(stored.append.header.from, from, "seed {seed}");
        from = stored.append.header.through;
        for outcome in outcomes(stored.append.format, &stored.append.payload).unwrap() {
            let wanted = expected.next().unwrap_or_else(|| panic!("seed {seed}: {outcome:?} is too much"));
            assert_eq!(outcome, decode_outcome(wanted.1).unwrap(), "seed {seed}");
        }
    }
    assert!(expected.next().is_none(), "seed {seed}");
}

/// The state that the new epoch began with.
fn base_of(history: &[LogMessage], plan: &Plan, end: u64) -> Inventory {
    let mut inventory = check::fold(&history[..usize::try_from(plan.base).unwrap()]).inventory;
    inventory.begin_epoch(end);
    inventory
}

/// What the log behind `end` gives.
fn fold_on(world: &World, mut inventory: Inventory, end: u64) -> (Inventory, Output) {
    let mut output = Output::default();
    for message in world.shards[0].history().iter().filter(|message| message.sequence > end) {
        inventory.apply(message, &mut output).unwrap();
    }
    (inventory, output)
}

#[test]
fn a_new_epoch_keeps_what_is_known_lists_what_is_gone_and_decides_what_was_stored_since() {
    each(SEEDS, "epoch", rewrite);
}
