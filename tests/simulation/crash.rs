//! A crash at every step, one after the other.

use std::time::Duration;

use fastrand::Rng;
use weir::edges::memory::MemoryLimits;
use weir::words::codec::Format;

use crate::check;
use crate::seeds::in_virtual_time;
use crate::workers::{Setting, client, start};
use crate::workload::messages;
use crate::world::{Faults, Life, World};

const SETTING: Setting = Setting {
    workers: 1,
    standbys: 0,
    every_records: 20,
    format: Format::Json,
    deaths: false,
    cut_offs: false,
    panics: false,
};
const MESSAGES_MAX: usize = 12;

/// One worker decides a short log, dies at a step, and another one goes on. Gives how many steps the first one took.
async fn decide(crash_at: u64) -> u64 {
    let world = World::new(7, 1, MemoryLimits::default(), Faults { delay_ms: 3, ..Faults::default() });
    let first = Life::new(&world, "first".to_owned(), world.worker_clock(), crash_at);
    let engine = start(&first, &SETTING);
    let sending = tokio::spawn(client(world.clone(), 0, messages(&mut Rng::with_seed(7), MESSAGES_MAX)));
    let work = async {
        sending.await.unwrap();
        while !check::is_done(&world, 0).await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // Time for snapshots of what is done.
        tokio::time::sleep(Duration::from_secs(5)).await;
    };
    tokio::pin!(work);
    tokio::select! {
        biased;
        () = first.died.notified() => {
            drop(engine);
            let second = Life::new(&world, "second".to_owned(), world.worker_clock(), u64::MAX);
            let engine = start(&second, &SETTING);
            tokio::time::timeout(Duration::from_mins(2), &mut work)
                .await
                .unwrap_or_else(|_| panic!("stuck after a crash at step {crash_at}"));
            drop(engine);
        }
        () = &mut work => drop(engine),
    }
    let history = world.shards[0].history();
    check::announced(&world, 0, &history, history.len()).await;
    let kept = check::snapshots(&world, 0, &history).await;
    assert!(kept > 0, "no snapshot with a crash at step {crash_at}");
    first.steps.load(std::sync::atomic::Ordering::Relaxed)
}

#[test]
fn a_crash_at_any_step_loses_and_repeats_nothing() {
    let steps = in_virtual_time(decide(u64::MAX));
    assert!(steps > 200, "{steps}");
    for step in 1..=steps {
        in_virtual_time(decide(step));
    }
    println!("{steps} steps");
}
