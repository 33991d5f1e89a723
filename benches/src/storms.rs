//! Storms: one receipt that releases a hundred thousand waiting orders, and a million holds that expire at one time; and how long
//! new orders take meanwhile.
//!
//! ```sh
//! weir-bench storms --waiting 100000 --holds 1000000 --rate 10000
//! ```
//!
//! One engine leads one shard, on a nats-server of its own (or, with `--memory`, on streams in memory), announces JSON, and is
//! under a steady load of reference orders (see `steady`). A waiting order has two lines, of which all wait for the same SKU. A
//! hold's time is set by policy just before its order is sent, so that all end within some milliseconds. Afterwards the shard is
//! audited: the log is folded again, and compared with every outcome that was announced.
//!
//! Exit code: 1 where the audit finds something, where an outcome was announced twice, or where there is no nats-server.

use std::path::PathBuf;
use std::process::Command as Program;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::future::try_join_all;

use weir::edges::clock::{SharedClock, SystemClock};
use weir::edges::jetstream::{
    Connection, Connections, InJetStream, JetKeys, JetObjects, JetStreams, Names, Store,
};
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::edges::streams::Streams;
use weir::edges::telemetry::Telemetry;
use weir::edges::{Edges, ShardEdges};
use weir::folds::inventory::Totals;
use weir::motion::audit::{From, Pace, audit};
use weir::motion::fold::FoldOn;
use weir::motion::shard::ShardOptions;
use weir::motion::status::Status;
use weir::process::engine::Engine;
use weir::words::codec::{Format, encode_commands};
use weir::words::command::{Command, Line, OnShortage, Place, Receive};
use weir::words::policy::PolicyChange;

use weir_kit::process::version;
use weir_kit::programs;

use crate::arguments::Fsync;
use crate::conditions::worker;
use crate::load::folder;
use crate::reference::{ORDERS, numbered, stock};
use crate::servers::Servers;
use crate::steady::{Answer, Load, Moment, summary};
use crate::{Ended, interrupted};

const SHARD: &str = "main";
/// The SKU that waiting orders wait for.
const SCARCE: &str = "SCARCE";
/// The number of the first order with a hold: the load's are below, the waiting ones above.
const FIRST_HELD: u64 = 1_000_000_000;
const FIRST_WAITING: u64 = 2_000_000_000;
/// Messages that are under way together while many orders are placed.
const TOGETHER: u64 = 4;
/// How long the load runs before a storm and after it.
const CALM: Duration = Duration::from_secs(5);
/// How long placing so many orders with holds may take.
const PLACING: Duration = Duration::from_secs(1);
const PLACED_A_SECOND: u64 = 150_000;
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many waiting orders a receipt releases
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    waiting: u64,
    /// How many holds expire
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    holds: u64,
    /// New orders a second, in a message each millisecond: 1000 to 100000
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000))]
    rate: u64,
    /// Uses streams in memory
    #[arg(long)]
    memory: bool,
    /// The nats-server to use [default: on PATH, else the newest in target/tools]
    #[arg(long, value_name = "FILE")]
    nats_server: Option<PathBuf>,
    /// Where the server stores, in a folder that is removed [default: the system's folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    store_dir: Option<PathBuf>,
    /// Tries everything with few orders, in memory; the figures mean nothing
    #[arg(long)]
    test: bool,
    /// The worker whose `setup` makes the streams [default: the weir beside this program]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
}

/// Measures both storms.
pub(crate) async fn measure(mut args: Args) -> Result<Ended> {
    let mut calm = CALM;
    if args.test {
        (args.waiting, args.holds, args.memory, calm) = (2_560, 2_560, true, Duration::from_millis(100));
    }
    tokio::select! {
        measured = run(&args, calm) => measured.map(|()| Ended::Done),
        () = interrupted()? => Err(anyhow::anyhow!("interrupted")),
    }
}

async fn run(args: &Args, calm: Duration) -> Result<()> {
    let clock = SystemClock::shared();
    let cores = std::thread::available_parallelism()?;
    if args.memory {
        let limits =
            MemoryLimits { log_bytes_max: 4 << 30, outcomes_bytes_max: 4 << 30, ..MemoryLimits::default() };
        let streams = MemoryStreams::new(clock.clone(), limits);
        println!("streams in memory, {cores} cores for the engine and the load");
        let shard = Shard::start(ShardEdges::in_memory(streams.clone()), &clock);
        return Box::pin(storms(args, calm, shard, async move || Ok(streams.clone()))).await;
    }
    let weir = worker(args.weir.as_deref())?;
    let folder = folder(&args.store_dir.clone().unwrap_or_else(std::env::temp_dir))?;
    let binary = programs::nats_server(args.nats_server.as_deref())?;
    println!("{} with its default fsync, {cores} cores for it, the engine and the load", version(&binary)?);
    let servers = Servers::start(&binary, folder.path(), Fsync::Lazy, 1).await?;
    let url = servers.urls[0].clone();
    let made = Program::new(weir).args(["setup", "--nats", &url]).output()?;
    ensure!(made.status.success(), "weir setup: {}", String::from_utf8_lossy(&made.stderr));
    let shard = Shard::start(edges(&url, "engine").await?, &clock);
    let open = async move || Ok(edges(&url, "load").await?.streams);
    Box::pin(storms(args, calm, shard, open)).await?;
    drop(servers);
    Ok(())
}

/// The shard's edges, over connections of their own.
async fn edges(url: &str, name: &str) -> Result<ShardEdges<InJetStream>> {
    let connection = Connection {
        urls: vec![url.to_owned()],
        name: name.to_owned(),
        wait_for_server: false,
        ..Connection::default()
    };
    let (connections, names) = (Connections::open(&connection).await?, Names::default());
    Ok(ShardEdges {
        streams: JetStreams::new(connections.clone(), names.shard(SHARD)?),
        pointers: JetKeys::new(&connections, &names.pointers_bucket()),
        objects: Store::JetStream(JetObjects::new(connections, &names.snapshots_bucket())),
    })
}

/// The shard, and the engine that leads it.
struct Shard<E: Edges> {
    edges: ShardEdges<E>,
    clock: SharedClock,
    engine: Engine,
    status: Arc<Status>,
}

impl<E: Edges> Shard<E> {
    fn start(edges: ShardEdges<E>, clock: &SharedClock) -> Self {
        let options = ShardOptions::new("bench", Format::Json);
        let shards = vec![(SHARD.to_owned(), edges.clone())];
        let engine = Engine::alone(shards, clock, &options, &Telemetry::new());
        let status = engine.statuses()[0].clone();
        Self { edges, clock: clock.clone(), engine, status }
    }

    async fn append(&self, commands: &[Command<'_>]) -> Result<u64> {
        let payload = encode_commands(Format::Bincode, commands);
        Ok(self.edges.streams.append_log(Format::Bincode, payload.into()).await?)
    }

    /// Appends orders of these numbers, some messages of them together.
    async fn place(
        &self,
        first: u64,
        count: u64,
        order: impl Fn(u64) -> Vec<Command<'static>>,
    ) -> Result<()> {
        let messages: Vec<_> = (0..count)
            .step_by(usize::try_from(ORDERS)?)
            .map(|done| {
                (done..count.min(done + ORDERS)).flat_map(|number| order(first + number)).collect::<Vec<_>>()
            })
            .collect();
        try_join_all(messages.iter().map(|message| self.append(message))).await?;
        Ok(())
    }

    /// Waits until the state is as it should be, and all that led there is announced.
    async fn until(&self, what: &str, holds: impl Fn(&Totals) -> bool) -> Result<()> {
        let settled = async {
            self.status.wait_for(|progress| holds(&progress.totals)).await;
            let applied = self.status.progress().applied.sequence;
            self.status.wait_for(|progress| progress.announced.sequence >= applied).await;
        };
        tokio::time::timeout(PATIENCE, settled).await.with_context(|| format!("waiting for {what}"))
    }

    async fn last(&self) -> Result<u64> {
        Ok(self.edges.streams.log_state().await?.last_sequence)
    }
}

async fn storms<E: Edges, S: Streams>(
    args: &Args,
    calm: Duration,
    shard: Shard<E>,
    open: impl AsyncFn() -> Result<S> + Clone + Send + Sync + 'static,
) -> Result<()> {
    for receipt in stock() {
        shard.append(&[receipt]).await?;
    }
    shard.append(&[receipt("first", 1)]).await?;
    println!("{} new orders/s, {} a message, planned to announced:", args.rate, args.rate / 1_000);
    releases(args, calm, &shard, open.clone()).await?;
    expiries(args, calm, &shard, open).await?;

    let pace = Pace { fold_on: FoldOn::Thread, clock: shard.clock.clone(), rests: 0 };
    let findings = audit(SHARD, &shard.edges, From::Start, &pace).await?;
    ensure!(findings.agrees() && findings.repeats == 0, "the audit: {findings:?}");
    println!(
        "audited: {} records, {} outcomes in {} appends, each announced once",
        findings.records, findings.outcomes, findings.appends
    );
    shard.engine.drain(PATIENCE).await;
    Ok(())
}

fn receipt(id: &'static str, quantity: u64) -> Command<'static> {
    let lines = vec![Line { sku: SCARCE.into(), quantity: quantity.cast_signed() }];
    Command::Receive(Receive { receipt_id: id.into(), lines, ..Receive::default() })
}

/// A reference order whose first line is the scarce SKU's.
fn waiting(number: u64) -> Vec<Command<'static>> {
    let mut order = numbered(number..number + 1);
    if let [Command::Place(Place { lines, on_shortage, .. })] = &mut order[..] {
        (lines[0], *on_shortage) = (Line { sku: SCARCE.into(), quantity: 2 }.into(), OnShortage::Backorder);
    }
    order
}

/// One receipt that releases all waiting orders.
async fn releases<E: Edges, S: Streams>(
    args: &Args,
    calm: Duration,
    shard: &Shard<E>,
    open: impl AsyncFn() -> Result<S> + Send + Sync + 'static,
) -> Result<()> {
    for first in (0..args.waiting).step_by(usize::try_from(TOGETHER * ORDERS)?) {
        let count = (args.waiting - first).min(TOGETHER * ORDERS);
        shard.place(FIRST_WAITING + first, count, waiting).await?;
    }
    shard.until("orders to wait", |totals| totals.waiting_orders == args.waiting).await?;
    let load = Load::start(async move || open().await, shard.clock.clone(), 0, args.rate / 1_000);
    let begun = Moment::now(&shard.clock);
    tokio::time::sleep(calm).await;
    let from = Moment::now(&shard.clock);
    let before = shard.append(&[receipt("all", 2 * args.waiting)]).await?;
    shard.until("releases", |totals| totals.waiting_orders == 0).await?;
    let (to, messages) = (Moment::now(&shard.clock), shard.last().await? - before);
    tokio::time::sleep(calm).await;
    let end = Moment::now(&shard.clock);
    let answers = load.stop().await?;
    let what = format!("{} orders are released", args.waiting);
    show(&answers, &what, [begun, from, to, end], messages);
    Ok(())
}

/// Holds that expire at one time.
async fn expiries<E: Edges, S: Streams>(
    args: &Args,
    calm: Duration,
    shard: &Shard<E>,
    open: impl AsyncFn() -> Result<S> + Send + Sync + 'static,
) -> Result<()> {
    let now = || Duration::from_nanos(shard.clock.wall_ns().unsigned_abs());
    let placing = PLACING + Duration::from_secs(args.holds / PLACED_A_SECOND);
    let end = now() + placing + calm;
    let hold = async |held: Duration| {
        let pay_within_ms = Some(i64::try_from(held.as_millis())?);
        shard.append(&[Command::Policy(PolicyChange { pay_within_ms, ..PolicyChange::default() })]).await
    };
    for first in (0..args.holds).step_by(usize::try_from(TOGETHER * ORDERS)?) {
        hold(end.saturating_sub(now())).await?;
        let count = (args.holds - first).min(TOGETHER * ORDERS);
        shard.place(FIRST_HELD + first, count, |number| numbered(number..number + 1)).await?;
    }
    hold(Duration::ZERO).await?;
    shard.until("holds", |totals| totals.timed_orders == args.holds).await?;
    ensure!(now() + calm / 2 < end, "placing the orders took too long");

    let begun = Moment::now(&shard.clock);
    let load =
        Load::start(async move || open().await, shard.clock.clone(), FIRST_HELD / 2, args.rate / 1_000);
    tokio::time::sleep(end.saturating_sub(now())).await;
    let (from, before) = (Moment::now(&shard.clock), shard.last().await?);
    shard.until("expiries", |totals| totals.timed_orders == 0).await?;
    let (to, messages) = (Moment::now(&shard.clock), shard.last().await? - before);
    tokio::time::sleep(calm).await;
    let end = Moment::now(&shard.clock);
    let answers = load.stop().await?;
    let what = format!("{} holds expire", args.holds);
    show(&answers, &what, [begun, from, to, end], messages);
    Ok(())
}

fn show(answers: &[Answer], what: &str, [begun, from, to, end]: [Moment; 4], messages: u64) {
    println!("  before: {}", summary(answers, begun, from));
    println!("  while {what}: {}", summary(answers, from, to));
    println!(
        "    that took {:.2} s and {messages} messages of the log, ticks among them",
        to.at.saturating_sub(from.at).as_secs_f64()
    );
    println!("  after: {}", summary(answers, to, end));
}
