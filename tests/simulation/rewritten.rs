//! A broker that lost what it had acknowledged: its log is shorter, or was filled again with something else.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::MemoryLimits;
use weir::words::codec::Format;
use weir::words::identity::Identity;
use weir::words::message::LogMessage;

use crate::check;
use crate::seeds::each;
use crate::workers::{Setting, client, worker};
use crate::workload::messages;
use crate::world::{Faults, World};

const SEEDS: u64 = 150;

async fn rewrite(seed: u64) {
    let mut rng = Rng::with_seed(seed ^ 0xbad);
    let setting = Setting {
        workers: rng.usize(1..4),
        standbys: rng.usize(0..2),
        every_records: [30, u64::MAX][rng.usize(..2)],
        format: Format::Bincode,
        deaths: false,
    };
    let world = World::new(seed, 1, MemoryLimits::default(), Faults { delay_ms: 5, ..Faults::default() });
    let (end, ended) = watch::channel(false);
    let start = |number| tokio::spawn(worker(world.clone(), number, setting, ended.clone()));
    let mut workers: Vec<_> = (0..setting.workers).map(start).collect();
    client(world.clone(), 0, messages(&mut rng, 60)).await;
    while !check::is_done(&world, 0).await {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let before = world.shards[0].appends().await;
    let through = before.last().map_or(Identity::START, |last| last.append.header.through);

    // The log loses some of what was announced, and some workers look away meanwhile.
    let history = world.shards[0].history();
    let lost = rng.usize(1..=(history.len() - 2).min(20));
    let left = history.iter().position(|message| message.sequence >= through.sequence).unwrap() + 1;
    let mut log = history[..left.saturating_sub(lost).max(1)].to_vec();
    let refilled = if rng.bool() { 0 } else { lost + rng.usize(0..3) };
    for number in 0..refilled {
        let sequence = log.last().unwrap().sequence + 1;
        let payload = format!(r#"{{"cancel":{{"order_id":"other-{number}"}}}}"#).into();
        let stored_at_ns = log.last().unwrap().stored_at_ns + 1_000;
        log.push(LogMessage { sequence, stored_at_ns, format: Some(Format::Json), payload });
    }
    world.shards[0].turn_into(&log, 1, &before).await;
    let late = rng.bool();
    if late {
        workers.push(start(setting.workers));
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    end.send(true).unwrap();
    for (number, worker) in workers.into_iter().enumerate() {
        let faults = worker.await.unwrap();
        let led_or_stood_by = setting.workers == 1 || !faults.is_empty();
        assert!(led_or_stood_by, "seed {seed}: worker {number} of {setting:?} found nothing wrong");
        for (_, fault) in faults {
            let known = ["log behind", "log rewritten", "outcomes ahead", "digest mismatch"];
            assert!(known.iter().any(|name| fault.starts_with(name)), "seed {seed}: {fault}");
        }
    }
    assert_eq!(world.shards[0].appends().await, before, "seed {seed}: something was announced after it");
    check::announced(&world, 0, &history, history.len()).await;
}

#[test]
fn a_log_that_was_rewritten_halts_the_shard() {
    each(SEEDS, "rewritten", rewrite);
}
