//! A pass: one worker, fresh, on fresh streams, under one rate, once.

use std::cell::Cell;
use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weir_kit::process::{Ending, Input, Process, Used, peak_rss_bytes};

use super::audit::audit;
use super::job::{Answers, CountJob, GenerateJob, Generated, Pace, Said, Way};
use super::options::Options;
use super::sizing::{Sizes, sizes};
use crate::figures::{Cpu, Pass, Worker};
use crate::findings::Findings;
use crate::orders::Orders;
use crate::rivals::naive;
use crate::screen::Screen;
use crate::servers::{Servers, become_before};
use crate::statistics::to_f64;
use weir::edges::ShardEdges;
use weir::edges::jetstream::{
    Connection, Connections, InJetStream, JetKeys, JetObjects, JetStreams, Names, Store, streams,
};
use weir::edges::streams::Streams as _;
use weir::motion::snapshots::Snapshots;
use weir::words::codec::{Format, encode_commands};
use weir::words::config::{Config, LogStyle, Shard, Shards};
use weir::words::policy::SITE_DEFAULT;

/// How long a worker may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the worker's own audit may take.
const AUDIT_PATIENCE: Duration = Duration::from_mins(5);
/// How often it is asked whether it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// What of the environment would change the worker's configuration.
const VARIABLES: [&str; 6] =
    ["NATS_URL", "WEIR_CONFIG", "WEIR_PREFIX", "WEIR_ADMIN", "WEIR_NAME", "WEIR_LOG"];

/// What is measured.
pub(crate) struct Plan<'o> {
    pub(crate) options: &'o Options,
    pub(crate) orders: Orders,
    /// Of the ceiling's outcomes; none where it is not measured.
    sizes: Option<Sizes>,
}

impl<'o> Plan<'o> {
    pub(crate) async fn new(options: &'o Options) -> anyhow::Result<Self> {
        let orders = Orders::new(&options.load);
        let sizes = if options.ceiling { Some(sizes(&options.load, &orders).await?) } else { None };
        Ok(Self { options, orders, sizes })
    }
}

/// What all passes share.
pub(crate) struct Stage<'r> {
    pub(crate) servers: Servers,
    /// What the streams of a pass may take on disk.
    pub(crate) bytes_max: u64,
    /// For configuration files.
    pub(crate) folder: &'r Path,
    /// The worker.
    pub(crate) weir: PathBuf,
    pub(crate) screen: Screen,
    /// Passes so far.
    pub(crate) passes: &'r Cell<u32>,
}

/// What the servers and the parts had used at one moment.
struct Usage {
    workers: Vec<Used>,
    generator: Used,
    servers: Vec<Used>,
}

/// The streams of a pass.
pub(crate) struct Place {
    config: Config,
    file: PathBuf,
    pub(crate) names: Names,
    connections: Connections,
}

impl Place {
    fn shards(&self) -> Vec<String> {
        self.config.shards.0.iter().map(|shard| shard.name.clone()).collect()
    }

    fn streams(&self) -> anyhow::Result<Vec<JetStreams>> {
        let of = |shard: &String| Ok(JetStreams::new(self.connections.clone(), self.names.shard(shard)?));
        self.shards().iter().map(of).collect()
    }
}

impl Stage<'_> {
    /// Measures a worker, and audits what it did unless it only counts.
    pub(crate) async fn pass(&mut self, plan: &Plan<'_>, worker: Worker, pace: Pace) -> anyhow::Result<Pass> {
        let number = self.passes.get() + 1;
        self.passes.set(number);
        let config = config(plan.options, &self.servers.urls, self.bytes_max, number);
        config.check()?;
        if worker == Worker::Naive {
            return self.naive(plan, pace).await;
        }
        self.screen.stage("making streams");
        let made = self.prepare(plan, config).await?;
        let (mut workers, admins) = match worker {
            Worker::Ceiling => (vec![self.start_ceiling(plan, &made).await?], Vec::new()),
            _ => self.start_weirs(plan, &made).await?,
        };
        let shards = made.shards();
        let ways = shards.iter().map(|shard| {
            let names = made.names.shard(shard)?;
            Ok(Way { orders: names.log_subject, outcomes: names.outcomes_stream })
        });
        let answers = if worker == Worker::Ceiling { Answers::Positions } else { Answers::Weir };
        let ways = ways.collect::<anyhow::Result<Vec<_>>>()?;
        let (generated, cpu) = self.measure(plan, pace, ways, answers, &mut workers).await?;
        let skipped = if plan.options.analytics { skipped_messages(&admins).await } else { None };
        let rss = workers.iter().filter_map(|worker| peak_rss_bytes(worker.id())).max();
        for part in workers {
            match worker {
                // It has nothing to work off.
                Worker::Ceiling => drop(part),
                _ => part.stop(PATIENCE).await?,
            }
        }
        let mut pass = Pass::new(worker, pace, slack(plan.options), generated, cpu);
        (pass.worker_rss_bytes, pass.skipped_messages) = (rss, skipped);
        if worker == Worker::Weir {
            self.screen.stage("auditing");
            if plan.options.snapshot_every.is_none() {
                let findings = audit(&made.streams()?, &plan.orders, pass.generated.orders).await;
                pass.audit = Some(findings.context("the audit")?);
            } else {
                pass.snapshots = Some(self.audit_behind_snapshots(&made).await?);
            }
        }
        remove(&made).await.context("removing the streams")?;
        Ok(pass)
    }

    /// The log is trimmed behind snapshots, so the worker's own audit folds what is left of it; the generator has seen that each
    /// order was answered once. Gives how many snapshots are kept.
    async fn audit_behind_snapshots(&self, place: &Place) -> anyhow::Result<u64> {
        let mut audit = self.weir(["audit".as_ref(), "--config".as_ref(), place.file.as_os_str()])?;
        if !audit.ended(AUDIT_PATIENCE).await?.success() {
            return Err(audit.failed("does not agree"));
        }
        let pointers = JetKeys::new(&place.connections, &place.names.pointers_bucket());
        let objects = JetObjects::new(place.connections.clone(), &place.names.snapshots_bucket());
        let mut kept = 0;
        for (shard, streams) in place.shards().iter().zip(place.streams()?) {
            let (pointers, objects) = (pointers.clone(), Store::JetStream(objects.clone()));
            let edges = ShardEdges::<InJetStream> { streams, pointers, objects };
            kept += Snapshots::new(shard, &edges).kept().await?.len() as u64;
        }
        Ok(kept)
    }

    /// Makes streams with stock, and starts workers, for orders that come otherwise than from the generator.
    pub(crate) async fn open(&mut self, plan: &Plan<'_>) -> anyhow::Result<(Place, Vec<Process>)> {
        let number = self.passes.get() + 1;
        self.passes.set(number);
        let config = config(plan.options, &self.servers.urls, self.bytes_max, number);
        config.check()?;
        let place = self.prepare(plan, config).await?;
        let (workers, _) = self.start_weirs(plan, &place).await?;
        Ok((place, workers))
    }

    /// Ends what [`Self::open`] has begun, and audits the orders from 0 to `sent`.
    pub(crate) async fn close(
        &mut self,
        plan: &Plan<'_>,
        (place, workers): (Place, Vec<Process>),
        sent: u64,
    ) -> anyhow::Result<Findings> {
        for worker in workers {
            worker.stop(PATIENCE).await?;
        }
        let findings = audit(&place.streams()?, &plan.orders, sent).await.context("the audit")?;
        remove(&place).await.context("removing the streams")?;
        Ok(findings)
    }

    /// Measures the naive consumer, which has streams of its own.
    async fn naive(&mut self, plan: &Plan<'_>, pace: Pace) -> anyhow::Result<Pass> {
        let urls = self.servers.urls.clone();
        naive::make_streams(&urls).await?;
        let job = naive::Job::new(&urls, &plan.options.load);
        let mut worker = Self::part(["part", "naive"], Some(&serde_json::to_string(&job)?))?;
        expect_ready(&mut worker).await?;
        let way = Way { orders: naive::ORDERS.to_owned(), outcomes: naive::OUTCOMES_STREAM.to_owned() };
        let mut workers = [worker];
        let (generated, cpu) = self.measure(plan, pace, vec![way], Answers::Naive, &mut workers).await?;
        let mut pass = Pass::new(Worker::Naive, pace, slack(plan.options), generated, cpu);
        pass.worker_rss_bytes = peak_rss_bytes(workers[0].id());
        drop(workers);
        let findings = naive::audit(&urls, &plan.options.load, &plan.orders, pass.generated.orders).await;
        pass.audit = Some(findings.context("the audit")?);
        naive::remove_streams(&urls).await?;
        Ok(pass)
    }

    /// Makes the streams, as a shop would, and puts the stock into the logs.
    async fn prepare(&mut self, plan: &Plan<'_>, config: Config) -> anyhow::Result<Place> {
        let file = self.folder.join("worker.toml");
        std::fs::write(&file, config.to_toml())?;
        let making = async {
            loop {
                let mut setup = self.weir(["setup".as_ref(), "--config".as_ref(), file.as_os_str()])?;
                if setup.ended(PATIENCE).await?.success() {
                    return anyhow::Ok(());
                }
                // A cluster that has just been started has no leader yet, or does not know all of its servers.
                if plan.options.replicas == 1 {
                    return Err(setup.failed("failed"));
                }
                tokio::time::sleep(LOOK_INTERVAL * 10).await;
            }
        };
        tokio::time::timeout(PATIENCE, making).await.context("the servers do not make streams")??;
        let (connections, names) = connect(&config).await?;
        let place = Place { config, file, names, connections };
        for (shard, streams) in place.streams()?.into_iter().enumerate() {
            for receipt in plan.orders.stock(shard) {
                let payload = encode_commands(Format::Bincode, &[receipt]).into();
                streams.append_log(Format::Bincode, payload).await.context("the stock")?;
            }
        }
        Ok(place)
    }

    /// Starts this program, or another that it becomes, in a process that ends with the bench.
    fn start(words: &[&OsStr], name: &str, input: Option<&str>) -> anyhow::Result<Process> {
        let before = become_before()?;
        let mut command = Command::new(&before[0]);
        command.args(&before[1..]).args(words).process_group(0);
        for name in VARIABLES {
            command.env_remove(name);
        }
        Process::start(name, command, input.map_or(Input::None, Input::Line), Ending::Killed)
    }

    fn weir<const N: usize>(&self, arguments: [&OsStr; N]) -> anyhow::Result<Process> {
        Self::start(&[&[self.weir.as_os_str()], &arguments[..]].concat(), "worker", None)
    }

    fn part(arguments: [&str; 2], input: Option<&str>) -> anyhow::Result<Process> {
        let own = std::env::current_exe()?;
        let words = [own.as_os_str(), arguments[0].as_ref(), arguments[1].as_ref()];
        Self::start(&words, arguments[1], input)
    }

    /// Starts the real workers and waits until each is ready; the first leads. Gives where their admin servers are, too.
    async fn start_weirs(
        &mut self,
        plan: &Plan<'_>,
        place: &Place,
    ) -> anyhow::Result<(Vec<Process>, Vec<String>)> {
        self.screen.stage("starting the worker");
        let (mut workers, mut admins) = (Vec::new(), Vec::new());
        for number in 1..=plan.options.workers {
            let name = format!("bench-{number}");
            let words = ["run", "--name", &name, "--config"].map(OsStr::new);
            let [run, flag, name, config] = words;
            let mut worker = self.weir([run, flag, name, config, place.file.as_os_str()])?;
            admins.push(until_ready(&mut worker).await?);
            workers.push(worker);
        }
        Ok((workers, admins))
    }

    async fn start_ceiling(&mut self, plan: &Plan<'_>, place: &Place) -> anyhow::Result<Process> {
        self.screen.stage("starting the ceiling's worker");
        let sizes = plan.sizes.context("the ceiling was not to be measured")?;
        let job = CountJob {
            urls: place.config.nats.urls.clone(),
            prefix: place.config.nats.prefix.clone(),
            shards: place.shards(),
            format: plan.options.load.format,
            bytes_out: sizes.bytes_out,
            bytes_in: sizes.bytes_in,
        };
        let mut part = Self::part(["part", "count"], Some(&serde_json::to_string(&job)?))?;
        expect_ready(&mut part).await?;
        Ok(part)
    }

    /// Runs the generator against workers that are ready.
    async fn measure(
        &mut self,
        plan: &Plan<'_>,
        pace: Pace,
        ways: Vec<Way>,
        answers: Answers,
        workers: &mut [Process],
    ) -> anyhow::Result<(Generated, Cpu)> {
        let options = plan.options;
        let job = GenerateJob {
            urls: self.servers.urls.clone(),
            ways,
            answers,
            load: options.load.clone(),
            pace,
            warmup_ms: options.warmup_ms,
            window_ms: options.window_ms,
            orders_max: options.orders_max,
        };
        let mut generator = Self::part(["part", "generate"], Some(&serde_json::to_string(&job)?))?;
        let (generator_id, server_ids) = (generator.id(), self.servers.ids());
        let worker_ids: Vec<u32> = workers.iter().map(Process::id).collect();
        let usage = || Usage {
            workers: worker_ids.iter().copied().map(Used::by).collect(),
            generator: Used::by(generator_id),
            servers: server_ids.iter().copied().map(Used::by).collect(),
        };
        let (mut before, mut cpu) = (None, Cpu::default());
        loop {
            let deaths = workers.iter_mut().map(|worker| Box::pin(worker.death()));
            let line = tokio::select! {
                line = generator.line() => line?,
                (death, ..) = futures_util::future::select_all(deaths) => return Err(death),
                death = self.servers.death() => return Err(death),
            };
            match serde_json::from_str(&line).with_context(|| format!("the generator says {line:?}"))? {
                Said::Begin => before = Some(usage()),
                Said::End => cpu = before.take().map(|before| used(&before, &usage())).unwrap_or_default(),
                Said::Done(generated) => {
                    generator.ended(PATIENCE).await?;
                    let strange = generated.strange;
                    ensure!(
                        strange == 0,
                        "{strange} outcomes came twice, or for orders that were never sent"
                    );
                    return Ok((*generated, cpu));
                }
                said => self.screen.show(&said),
            }
        }
    }
}

/// Orders that may be on their way at a window's end though all was announced in time: two messages of each shard.
fn slack(options: &Options) -> u64 {
    2 * u64::from(options.load.batch) * u64::from(options.load.shards)
}

/// Connects to a pass's servers.
async fn connect(config: &Config) -> anyhow::Result<(Connections, Names)> {
    let connection = Connection {
        urls: config.nats.urls.clone(),
        name: "weir-bench".to_owned(),
        wait_for_server: false,
        ..Connection::default()
    };
    Ok((Connections::open(&connection).await?, Names::new(&config.nats.prefix)?))
}

/// The version that the servers state.
pub(crate) async fn server_version(config: &Config) -> anyhow::Result<String> {
    let (connections, _) = connect(config).await?;
    Ok(connections.publishing.client().server_info().version)
}

/// Waits until a part says that it is ready.
async fn expect_ready(part: &mut Process) -> anyhow::Result<()> {
    match serde_json::from_str(&part.line().await?)? {
        Said::Ready => Ok(()),
        other => bail!("a part says {other:?} before it is ready"),
    }
}

/// Waits until a worker's admin server says that it is ready, and gives its address.
async fn until_ready(worker: &mut Process) -> anyhow::Result<String> {
    let ready = async {
        let address = loop {
            if let Some(address) = worker.log().lines().find_map(admin_address) {
                break address;
            }
            if !worker.is_running() {
                return Err(worker.death().await);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        };
        while !is_ready(&address).await {
            if !worker.is_running() {
                return Err(worker.death().await);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(address)
    };
    match tokio::time::timeout(PATIENCE, ready).await {
        Ok(ready) => ready,
        Err(_) => Err(worker.failed("is not ready in time")),
    }
}

/// The configuration of the `number`th pass's worker and streams.
pub(crate) fn config(options: &Options, urls: &[String], bytes_max: u64, number: u32) -> Config {
    let load = &options.load;
    let mut config = Config::default();
    config.nats.urls = urls.to_vec();
    config.nats.prefix = format!("bench-{}-{number}", std::process::id());
    "127.0.0.1:0".clone_into(&mut config.admin.address);
    config.worker.outcomes = load.format;
    config.worker.metrics = options.metrics;
    config.analytics.enabled = options.analytics;
    config.worker.log = LogStyle::Json;
    config.worker.drain_deadline_ms = 20_000;
    config.streams.replicas = options.replicas;
    // A full log ends the bench with an error, a full outcome stream would lose outcomes: it gets more.
    config.streams.log_bytes_max = bytes_max / 3 / u64::from(load.shards);
    config.streams.outcomes_bytes_max = bytes_max / 3 * 2 / u64::from(load.shards);
    config.streams.snapshots_bytes_max = bytes_max / 16;
    if let Some(every) = options.snapshot_every {
        config.snapshots.every_records = every;
    }
    let shards = load.shard_names().into_iter().enumerate().map(|(shard, name)| {
        let site = load.site(shard).unwrap_or_else(|| SITE_DEFAULT.to_owned());
        Shard { name, sites: vec![site] }
    });
    config.shards = Shards(shards.collect());
    config
}

/// What was used between two moments, in nanoseconds.
fn used(before: &Usage, after: &Usage) -> Cpu {
    let nanos = |before: &Used, after: &Used| after.since(before).map(to_f64);
    let sum = |before: &[Used], after: &[Used]| {
        let each = before.iter().zip(after).map(|(before, after)| nanos(before, after));
        each.reduce(|sum, next| Some(sum? + next?)).flatten()
    };
    Cpu {
        worker: sum(&before.workers, &after.workers),
        generator: nanos(&before.generator, &after.generator),
        server: sum(&before.servers, &after.servers),
    }
}

/// The address in the line in which a worker says where its admin server listens.
fn admin_address(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    let is_it = fields["message"].as_str()?.contains("admin server listens");
    is_it.then(|| fields["address"].as_str().map(ToOwned::to_owned)).flatten()
}

/// Whether the worker's admin server says that it is ready.
async fn is_ready(address: &str) -> bool {
    asked(address, "/readyz").await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// How many messages the analytics of all workers have skipped; none where they do not tell.
async fn skipped_messages(admins: &[String]) -> Option<u64> {
    const NAME: &str = "weir_analytics_skipped_messages_total";
    let mut all = None;
    for address in admins {
        let told = asked(address, "/metrics").await.ok()?;
        for line in told.lines().filter(|line| line.starts_with(NAME)) {
            *all.get_or_insert(0) += line.rsplit(' ').next()?.parse::<u64>().ok()?;
        }
    }
    all
}

/// What a worker's admin server answers.
async fn asked(address: &str, path: &str) -> std::io::Result<String> {
    let mut connection = TcpStream::connect(address).await?;
    let asking = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write_all(asking.as_bytes()).await?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Removes what a pass has made, as far as it is there.
async fn remove(place: &Place) -> anyhow::Result<()> {
    let context = place.connections.publishing.context();
    for stream in streams(&place.names, &place.shards())? {
        context.delete_stream(stream).await?;
    }
    Ok(())
}

/// Removes what a pass of this configuration has left on somebody else's server.
pub(crate) async fn clean(config: Config) -> anyhow::Result<()> {
    let (connections, names) = connect(&config).await?;
    remove(&Place { config, file: PathBuf::new(), names, connections }).await
}
