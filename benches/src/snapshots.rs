//! What a snapshot of ten million open orders costs: its bytes, writing it, restoring it, folding the log instead, and the longest
//! pause of the leader while one is taken.
//!
//! ```sh
//! weir-bench snapshots --orders 10000000 --rate 10000
//! ```
//!
//! All orders are reference orders (see `reference`) and open. The steps on one core run one after the other on one thread, each
//! once; the state is restored by a process of its own, whose memory is as fresh as that of a worker that starts. Then an engine with its streams in memory starts from the snapshot, which lies in a folder, and leads under a steady
//! load: with each new order, one of those before it is cancelled at random. After a tenth as many records as it has orders, and ten
//! seconds of the load, it takes its next snapshot, from its own tables: those that the cancels touch are copied first. What is
//! printed for the pause is how long messages took (see `steady`) before and meanwhile.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use serde_json::json;
use xxhash_rust::xxh3::Xxh3Default;

use weir::edges::clock::{SharedClock, SystemClock};
use weir::edges::folder::FolderObjects;
use weir::edges::keys::Keys as _;
use weir::edges::memory::{MemoryKeys, MemoryLimits, MemoryStreams};
use weir::edges::objects::{Objects as _, PIECE_BYTES_MAX};
use weir::edges::streams::Streams as _;
use weir::edges::telemetry::Telemetry;
use weir::edges::{Edges, ShardEdges};
use weir::folds::inventory::{Digests, Inventory, Restoring};
use weir::motion::folding::{Folding, Start};
use weir::motion::scribe::SnapshotOptions;
use weir::motion::shard::ShardOptions;
use weir::motion::snapshots::{Kept, Snapshots};
use weir::process::engine::Engine;
use weir::words::append::{Append, AppendHeader};
use weir::words::codec::{Format, encode_commands};
use weir::words::command::{Cancel, Command as Told};
use weir::words::hash::mix;
use weir::words::identity::Identity;

use crate::load::folder;
use crate::reference::{Kind, ORDERS, State, numbered, order_id, orders};
use crate::steady::{Load, Moment, summary};
use crate::{Ended, interrupted};

const SHARD: &str = "main";
/// Messages that are made together before they are folded: what a reader gives at once.
const MESSAGES_AT_ONCE: u64 = 64;
/// How many messages may wait for the engine while it is given many.
const MESSAGES_WAITING_MAX: u64 = 256;
/// How long the load runs before the snapshot is due, and after it was taken.
const BEFORE: Duration = Duration::from_secs(10);
const AFTER: Duration = Duration::from_secs(1);
/// Which orders are cancelled.
const CANCELS_SALT: u64 = 0x6361_6e63;
/// How often it is looked for the snapshot.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many orders are open
    #[arg(long, default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(1..=15_000_000))]
    orders: u64,
    /// New orders a second for the engine, in a message each millisecond: 1000 to 100000
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000))]
    rate: u64,
    /// Where the snapshot is stored, in a folder that is removed [default: the system's folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    store_dir: Option<PathBuf>,
    /// Restores this snapshot, and nothing else
    #[arg(long, hide = true, value_name = "FILE")]
    restore: Option<PathBuf>,
    /// Tries everything with few orders; the figures mean nothing
    #[arg(long)]
    test: bool,
}

/// All in memory, but the snapshots.
#[derive(Clone, Copy, Debug)]
enum WithFolder {}

impl Edges for WithFolder {
    type Streams = MemoryStreams;
    type Keys = MemoryKeys;
    type Objects = FolderObjects;
}

/// Measures all of it.
pub(crate) async fn measure(mut args: Args) -> Result<Ended> {
    let mut before = BEFORE;
    if args.test {
        (args.orders, before) = (20_480, Duration::from_millis(100));
    }
    let clock = SystemClock::shared();
    if let Some(file) = &args.restore {
        restore(&clock, file, args.orders)?;
        return Ok(Ended::Done);
    }
    tokio::select! {
        measured = run(&args, before, &clock) => measured.map(|()| Ended::Done),
        () = interrupted()? => Err(anyhow::anyhow!("interrupted")),
    }
}

async fn run(args: &Args, before: Duration, clock: &SharedClock) -> Result<()> {
    let cores = std::thread::available_parallelism()?;
    println!("{} open orders of two lines, 10,000 SKUs; {cores} cores, glibc's allocator", args.orders);

    let resident = Resident::now()?;
    let folding = replay(clock, args.orders)?;
    let (head, through) = (folding.inventory().snapshot_head(), folding.through());
    let inventory = folding.into_inventory();
    resident.show("folded", args.orders)?;
    let digests = write(clock, &inventory, args.orders);

    let folder = folder(&args.store_dir.clone().unwrap_or_else(std::env::temp_dir))?;
    let objects = FolderObjects::open(folder.path())?;
    let name = format!("{SHARD}.{}.bench.1", head.chain.sequence);
    let kept = Kept {
        sequence: head.chain.sequence,
        chain: head.chain.to_string(),
        through: through.to_string(),
        rules: head.rules,
        bytes: 0,
        hash: String::new(),
        state: format!("{:016x}", digests.state),
        ledger: format!("{:016x}", digests.ledger),
        name,
    };
    let kept = store(clock, &objects, kept, *inventory, args.orders).await?;

    let restored = Command::new(std::env::current_exe()?)
        .args(["snapshots", "--orders", &args.orders.to_string(), "--restore"])
        .arg(folder.path().join(&kept.name))
        .status()?;
    ensure!(restored.success(), "the snapshot was not restored");
    Box::pin(lead(args, before, clock, objects, &kept)).await
}

/// Memory of this process.
#[derive(Debug)]
struct Resident(u64);

impl Resident {
    fn now() -> Result<Self> {
        Ok(Self(memory("VmRSS:")?))
    }

    /// What came since, for each order.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn show(&self, how: &str, orders: u64) -> Result<()> {
        let more = memory("VmRSS:")?.saturating_sub(self.0);
        let each = more as f64 / orders as f64;
        println!("memory, {how}: {each:.1} bytes an order resident, SKUs and all ({} MiB)", more >> 20);
        Ok(())
    }
}

/// A field of `/proc/self/status`, in bytes.
fn memory(field: &str) -> Result<u64> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10)
}

/// How much was done in some time, a second.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(count: u64, took: Duration) -> String {
    format!("{:.2} s, {:.2} million/s", took.as_secs_f64(), count as f64 / took.as_secs_f64() / 1e6)
}

/// Folds the log that has all the orders, as a worker recovers; its messages lie in memory.
fn replay(clock: &SharedClock, orders: u64) -> Result<Folding> {
    let mut state = State::with_open(0);
    let inventory = std::mem::take(&mut state.inventory);
    let last = Identity { sequence: u64::MAX, index: u32::MAX, place: u32::MAX };
    let mut folding = Folding::new(Start { inventory: Box::new(inventory), through: Identity::START }, last);
    let mut took = Duration::ZERO;
    while state.open < orders {
        let messages: Vec<_> = (0..MESSAGES_AT_ONCE.min((orders - state.open).div_ceil(ORDERS)))
            .map(|_| state.next_message())
            .collect();
        let started = clock.monotonic();
        folding.step(&messages, 0, |applied| !applied.messages.is_empty())?;
        took += clock.monotonic().saturating_sub(started);
    }
    println!("folding the log, decoded and applied: {} records", rate(state.open, took));
    Ok(folding)
}

/// An order's cancel; one that was cancelled before refuses it.
fn cancel(number: u64) -> Told<'static> {
    Told::Cancel(Cancel { order_id: order_id(number).into(), ..Cancel::default() })
}

/// Writes the snapshot, piece by piece, to nowhere.
fn write(clock: &SharedClock, inventory: &Inventory, orders: u64) -> Digests {
    let mut bytes = 0;
    let started = clock.monotonic();
    let Ok(digests) = inventory.write_snapshot::<Infallible>(|piece| {
        bytes += piece.len() as u64;
        Ok(())
    });
    let took = clock.monotonic().saturating_sub(started);
    println!("the snapshot: {} bytes an order ({} MiB)", bytes / orders, bytes >> 20);
    println!("writing it, one core, to nowhere: {} orders", rate(orders, took));
    digests
}

/// Restores a snapshot that was read into memory.
fn restore(clock: &SharedClock, file: &Path, orders: u64) -> Result<()> {
    let pieces: Vec<Bytes> =
        std::fs::read(file)?.chunks(PIECE_BYTES_MAX).map(Bytes::copy_from_slice).collect();
    let resident = Resident::now()?;
    let started = clock.monotonic();
    let mut restoring = Restoring::new();
    for piece in &pieces {
        restoring.feed(piece)?;
    }
    let inventory = restoring.finish()?;
    let took = clock.monotonic().saturating_sub(started);
    println!("restoring it, one core, from memory: {} orders", rate(orders, took));
    resident.show("restored", orders)?;
    // What ends now gives its memory back by itself.
    std::mem::forget(inventory);
    Ok(())
}

/// Writes the snapshot into a folder and syncs it.
async fn store(
    clock: &SharedClock,
    objects: &FolderObjects,
    kept: Kept,
    inventory: Inventory,
    orders: u64,
) -> Result<Kept> {
    let (sender, chunks) = tokio::sync::mpsc::channel(2);
    let started = clock.monotonic();
    let writing = tokio::task::spawn_blocking(move || {
        let mut hash = Xxh3Default::new();
        let written = inventory.write_snapshot(|piece| {
            hash.update(&piece);
            sender.blocking_send(piece)
        });
        written.map(|_| hash.digest())
    });
    let bytes = objects.write(&kept.name, chunks).await?;
    let hash = writing.await??;
    let took = clock.monotonic().saturating_sub(started);
    println!("writing it into a folder, fsynced: {} orders", rate(orders, took));
    Ok(Kept { bytes, hash: format!("{hash:016x}"), ..kept })
}

/// Streams whose log was trimmed behind the snapshot.
async fn streams_behind(clock: &SharedClock, kept: &Kept) -> Result<MemoryStreams> {
    let limits =
        MemoryLimits { log_bytes_max: 8 << 30, outcomes_bytes_max: 8 << 30, ..MemoryLimits::default() };
    let streams = MemoryStreams::new(clock.clone(), limits);
    for _ in 0..kept.sequence {
        streams.append_log(Format::Bincode, Bytes::new()).await?;
    }
    streams.trim_log(kept.sequence).await?;
    let header = AppendHeader {
        from: Identity::START,
        through: kept.through().context("an identity")?,
        rules: kept.rules,
        writer: "bench".to_owned(),
        chain: kept.chain.parse()?,
    };
    let announced = Append { header, format: Format::Bincode, payload: Bytes::new() };
    streams.append_outcomes(announced, 0).await?;
    Ok(streams)
}

/// Leads from the snapshot under a load, and takes the next one.
async fn lead(
    args: &Args,
    before: Duration,
    clock: &SharedClock,
    objects: FolderObjects,
    kept: &Kept,
) -> Result<()> {
    let streams = streams_behind(clock, kept).await?;
    let pointers = MemoryKeys::default();
    let value = json!({ "snapshots": [kept] }).to_string();
    pointers.put(&format!("snapshots.{SHARD}"), value.into(), 0).await?;
    let edges = ShardEdges::<WithFolder> { streams: streams.clone(), pointers, objects };
    let snapshots = Snapshots::new(SHARD, &edges);

    let burst = (args.orders / 10).next_multiple_of(ORDERS);
    let under_load = u64::try_from(before.as_millis())? * args.rate / 1_000 * 2;
    let mut options = ShardOptions::new("bench", Format::Bincode);
    options.snapshots = SnapshotOptions { every_records: burst + under_load, ..SnapshotOptions::default() };
    let started = clock.monotonic();
    let engine = Engine::alone(vec![(SHARD.to_owned(), edges)], clock, &options, &Telemetry::new());
    let status = engine.statuses()[0].clone();
    status.wait_for(|progress| progress.applied.sequence >= kept.sequence).await;
    let took = clock.monotonic().saturating_sub(started);
    println!(
        "an engine starts from it, from the folder, read while cached: {} orders",
        rate(args.orders, took)
    );

    let first = args.orders.next_multiple_of(ORDERS);
    for number in (first..first + burst).step_by(usize::try_from(ORDERS)?) {
        let payload = encode_commands(Format::Bincode, &orders(Kind::Plain, number));
        let sequence = streams.append_log(Format::Bincode, payload.into()).await?;
        status.wait_for(|progress| progress.applied.sequence + MESSAGES_WAITING_MAX > sequence).await;
    }
    let last = streams.log_state().await?.last_sequence;
    status.wait_for(|progress| progress.announced.sequence >= last).await;

    let from = Moment::now(clock);
    let shared = streams.clone();
    let each = args.rate / 1_000;
    let load = Load::start_with(
        async move || Ok(shared),
        clock.clone(),
        first + burst,
        move |from| {
            let mut commands = numbered(from..from + each);
            commands.extend((from..from + each).map(|number| cancel(mix(CANCELS_SALT, number) % from)));
            (encode_commands(Format::Bincode, &commands), each)
        },
    );
    status.wait_for(|progress| progress.records >= burst + under_load).await;
    let due = Moment::now(clock);
    let newest = tokio::time::timeout(PATIENCE, async {
        loop {
            let newest = snapshots.kept().await?.into_iter().next().context("there was one")?;
            if newest.name != kept.name {
                return anyhow::Ok(newest);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    });
    let newest = newest.await.context("no snapshot was taken")??;
    let taken = clock.monotonic();
    tokio::time::sleep(AFTER).await;
    let end = Moment::now(clock);
    let answers = load.stop().await?;

    println!(
        "an engine leads, {} new orders/s, {} a message, with as many cancels at random, planned to announced:",
        args.rate,
        args.rate / 1_000
    );
    println!("  before: {}", summary(&answers, from, due));
    println!("  while the next snapshot is taken: {}", summary(&answers, due, end));
    println!(
        "  that took {:.1} s: {} MiB written, fsynced and read back; at most {} MiB resident",
        taken.saturating_sub(due.at).as_secs_f64(),
        newest.bytes >> 20,
        memory("VmHWM:")? >> 20,
    );
    engine.drain(PATIENCE).await;
    Ok(())
}
