//! Clocks that are wrong. A record is from the future where it is ahead of both the worker's clock and the broker's own; the shard stands
//! still then, for as long as that is so, whether the worker was there when the record came or starts after it.

use std::time::Duration;

use fastrand::Rng;
use weir::edges::memory::MemoryLimits;
use weir::words::codec::Format;
use weir::words::fault::Fault;

use crate::check;
use crate::seeds::in_virtual_time;
use crate::workers::{Setting, client, start};
use crate::workload::messages;
use crate::world::{Faults, Life, World};

const SETTING: Setting = Setting {
    workers: 1,
    standbys: 0,
    every_records: u64::MAX,
    format: Format::Json,
    deaths: false,
    cut_offs: false,
    panics: false,
};
const AHEAD_MS: i64 = 6 * 60 * 1000;

async fn done(world: &World) {
    while !check::is_done(world, 0).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The worker's clock is wrong, or the broker's has been all the time: the two do not tell which. The shard goes on.
async fn behind() {
    let mut rng = Rng::with_seed(6);
    let world = World::new(6, 1, MemoryLimits::default(), Faults::default());
    let life = Life::new(&world, "one".to_owned(), world.worker_clock(), u64::MAX);
    let engine = start(&life, &SETTING);
    client(world.clone(), 0, messages(&mut rng, 10)).await;
    done(&world).await;
    world.broker_clock.set_offset_ms(AHEAD_MS);
    client(world.clone(), 0, messages(&mut rng, 10)).await;
    tokio::time::timeout(Duration::from_secs(30), done(&world)).await.expect("the shard stands still");
    assert_eq!(engine.statuses()[0].progress().fault, None);
    drop(engine);
    let history = world.shards[0].history();
    check::announced(&world, 0, &history, history.len()).await;
}

/// The broker's clock was ahead when it stamped a record, and has been mended.
async fn ahead() {
    let mut rng = Rng::with_seed(6);
    let world = World::new(6, 1, MemoryLimits::default(), Faults::default());
    client(world.clone(), 0, messages(&mut rng, 10)).await;
    world.broker_clock.set_offset_ms(AHEAD_MS);
    let count = world.shards[0].history().len() as u64;
    client(world.clone(), 0, messages(&mut rng, 5)).await;
    world.broker_clock.set_offset_ms(0);
    // Whoever starts now finds it in the log, and judges it as if it had come just now.
    for name in ["one", "two"] {
        let life = Life::new(&world, name.to_owned(), world.worker_clock(), u64::MAX);
        let engine = start(&life, &SETTING);
        tokio::time::sleep(Duration::from_secs(20)).await;
        let progress = engine.statuses()[0].progress();
        let is_ahead =
            |fault: &Fault| matches!(fault, Fault::Clock { sequence, .. } if *sequence == count + 1);
        assert!(progress.fault.as_ref().is_some_and(is_ahead), "{:?}", progress.fault);
        let last = world.shards[0].appends().await.last().map(|last| last.append.header.through.sequence);
        assert!(last <= Some(count), "something from the future was decided");
        if name == "one" {
            drop(engine);
            life.die();
            continue;
        }
        // Nobody needs to do anything: time passes.
        tokio::time::timeout(Duration::from_mins(15), done(&world))
            .await
            .expect("the shard stands still for good");
        assert_eq!(engine.statuses()[0].progress().fault, None);
        drop(engine);
    }
    let history = world.shards[0].history();
    check::announced(&world, 0, &history, history.len()).await;
}

#[test]
fn a_worker_whose_clock_is_behind_goes_on() {
    in_virtual_time(async { tokio::time::timeout(Duration::from_hours(1), behind()).await.expect("stuck") });
}

#[test]
fn a_record_from_the_future_halts_until_that_has_come() {
    in_virtual_time(async { tokio::time::timeout(Duration::from_hours(1), ahead()).await.expect("stuck") });
}
