//! A broker whose clock is far ahead: the shard stands still before it is told a time from the future, until the clock is mended.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::MemoryLimits;
use weir::words::codec::Format;

use crate::check;
use crate::seeds::in_virtual_time;
use crate::workers::{Setting, client, worker};
use crate::workload::messages;
use crate::world::{Faults, World};

const SETTING: Setting = Setting {
    workers: 1,
    standbys: 0,
    every_records: u64::MAX,
    format: Format::Json,
    deaths: false,
    cut_offs: false,
};
const AHEAD_MS: i64 = 6 * 60 * 1000;

async fn ahead() {
    let mut rng = Rng::with_seed(6);
    let world = World::new(6, 1, MemoryLimits::default(), Faults::default());
    let (stop, stopped) = watch::channel(false);
    let first = tokio::spawn(worker(world.clone(), 0, SETTING, stopped));
    client(world.clone(), 0, messages(&mut rng, 10)).await;
    while !check::is_done(&world, 0).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = world.shards[0].appends().await;
    world.broker_clock.set_offset_ms(AHEAD_MS);
    client(world.clone(), 0, messages(&mut rng, 5)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.shards[0].appends().await, before, "something from the future was decided");
    stop.send(true).unwrap();
    let faults = first.await.unwrap();
    assert!(matches!(&faults[..], [(0, fault)] if fault.starts_with("clock: ")), "{faults:?}");

    // The way out: the clock is mended, and the worker starts again.
    world.broker_clock.set_offset_ms(0);
    // These streams' stamps never go back: until this is over, what comes is stamped like what came last.
    tokio::time::sleep(Duration::from_mins(2)).await;
    let (stop, stopped) = watch::channel(false);
    let second = tokio::spawn(worker(world.clone(), 0, SETTING, stopped));
    while !check::is_done(&world, 0).await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.send(true).unwrap();
    assert_eq!(second.await.unwrap(), []);
    let history = world.shards[0].history();
    check::announced(&world, 0, &history, history.len()).await;
}

#[test]
fn a_clock_far_ahead_halts_until_it_is_mended() {
    in_virtual_time(async { tokio::time::timeout(Duration::from_hours(1), ahead()).await.expect("stuck") });
}
