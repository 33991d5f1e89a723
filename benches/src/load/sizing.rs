//! How large Weir's outcomes are, so that the ceiling's can be as large: the very load is folded in this process, on
//! streams in memory.

use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;

use crate::orders::{Orders, Writer};
use crate::shop::{Load, Step};
use weir::edges::ShardEdges;
use weir::edges::clock::SystemClock;
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::edges::streams::{Reader as _, Streams as _};
use weir::edges::telemetry::Telemetry;
use weir::motion::shard::ShardOptions;
use weir::process::engine::Engine;
use weir::words::codec::{Format, encode_commands};
use weir::words::command::Command;
use weir::words::config::Shard;
use weir::words::policy::{PolicyChange, SITE_DEFAULT};
use weir::words::timestamp::Timestamp;

/// How many orders are looked at, at least.
const ORDERS_LEAST: u64 = 2_048;
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of commands, and of the outcomes that come of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// Measures a load, from where steps follow its orders as often as they ever will.
pub(crate) async fn sizes(load: &Load, orders: &Orders) -> anyhow::Result<Sizes> {
    let clock = SystemClock::shared();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let shard = Shard {
        name: load.shard_names().remove(0),
        sites: vec![load.site(0).unwrap_or_else(|| SITE_DEFAULT.to_owned())],
    };
    let held = Some(shard.sites.iter().map(|site| site.clone().into()).collect());
    let policy = Command::Policy(PolicyChange { sites: held, ..PolicyChange::default() });
    let mut beforehand = vec![encode_commands(Format::Json, &[policy])];
    beforehand.extend(orders.stock(0).into_iter().map(|receipt| encode_commands(Format::Json, &[receipt])));
    for payload in beforehand {
        streams.append_log(Format::Json, payload.into()).await?;
    }

    let options = ShardOptions::new("sizing", load.format);
    let edges = ShardEdges::in_memory(streams.clone());
    let engine = Engine::alone(vec![(shard.name, edges)], &clock, &options, &Telemetry::new());
    let mut reader = streams.read_outcomes(1).await?;
    let mut writer = Writer::new(orders);
    let steps_after = Step::ALL.map(Step::after).into_iter().max().unwrap_or(0);
    let steady = if load.mix.is_empty() { 0 } else { steps_after.div_ceil(u64::from(load.batch)) + 1 };
    let end = steady + ORDERS_LEAST.div_ceil(u64::from(load.batch));
    let mut sizes = Sizes { bytes_in: 0, bytes_out: 0 };
    let at = Timestamp::from_millis(clock.wall_ns() / 1_000_000);
    let measuring = async {
        let mut last = streams.log_state().await?.last_sequence;
        for round in 0..end {
            // The messages of the first shard.
            let payload: Bytes = writer.batch(round * u64::from(load.shards), at).payload;
            if round == steady {
                let _ = outcome_bytes(&mut reader, last).await?;
            }
            sizes.bytes_in += if round >= steady { payload.len() as u64 } else { 0 };
            last = streams.append_log(load.format, payload).await?;
        }
        sizes.bytes_out = outcome_bytes(&mut reader, last).await?;
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, measuring).await.context("folding the load took too long")??;
    engine.drain(PATIENCE).await;
    Ok(sizes)
}

/// Reads on to the outcomes of message `last`, and gives what they took.
async fn outcome_bytes(
    reader: &mut <MemoryStreams as weir::edges::streams::Streams>::OutcomeReader,
    last: u64,
) -> anyhow::Result<u64> {
    let (mut bytes, mut through) = (0, 0);
    while through < last {
        for stored in reader.next().await? {
            bytes += stored.append.payload.len() as u64;
            through = stored.append.header.chain.sequence;
        }
    }
    Ok(bytes)
}
