//! A pass: one worker, fresh, on fresh streams, under one rate, once.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::audit::audit;
use super::figures::{Cpu, Pass, Worker, to_f64};
use super::job::{CountJob, GenerateJob, Generated, Pace, Said};
use super::options::Options;
use super::orders::Orders;
use super::parts::{Part, Used, peak_rss_bytes};
use super::screen::Screen;
use super::server::Servers;
use super::sizing::Sizes;
use crate::commands::connect::{Deployment, shard_names};
use crate::commands::setup::make_all;
use crate::edges::jetstream::streams;
use crate::edges::streams::Streams as _;
use crate::words::codec::{Format, encode_commands};
use crate::words::config::{Config, LogStyle, Shard, Shards};
use crate::words::policy::SITE_DEFAULT;

/// How long a worker may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is asked whether it is.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// What of the environment would change the worker's configuration.
const VARIABLES: [&str; 6] =
    ["NATS_URL", "WEIR_CONFIG", "WEIR_PREFIX", "WEIR_ADMIN", "WEIR_NAME", "WEIR_LOG"];

/// What all passes share.
pub(super) struct Stage<'r> {
    pub(super) options: &'r Options,
    pub(super) orders: &'r Orders,
    pub(super) sizes: Sizes,
    pub(super) servers: Servers,
    /// What the streams of a pass may take on disk.
    pub(super) bytes_max: u64,
    /// For configuration files.
    pub(super) folder: &'r Path,
    pub(super) executable: PathBuf,
    pub(super) screen: Screen,
    /// Passes so far.
    pub(super) passes: &'r Cell<u32>,
}

/// What the servers and the parts had used at one moment.
struct Usage {
    worker: Used,
    generator: Used,
    servers: Vec<Used>,
}

impl Stage<'_> {
    /// Measures a worker, and audits what it did if that is Weir.
    pub(super) async fn pass(&mut self, worker: Worker, pace: Pace) -> anyhow::Result<Pass> {
        let number = self.passes.get() + 1;
        self.passes.set(number);
        let config = config(self.options, &self.servers.urls, self.bytes_max, number);
        config.check()?;
        self.screen.stage("making streams");
        let deployment = Deployment::connect(&config, "bench", false).await?;
        self.prepare(&deployment, &config).await?;
        let mut part = match worker {
            Worker::Weir => self.start_weir(&config).await?,
            Worker::Ceiling => self.start_ceiling(&config).await?,
        };
        let (generated, cpu) = self.measure(&config, pace, &mut part).await?;
        let rss = peak_rss_bytes(part.id());
        match worker {
            Worker::Weir => part.stop(PATIENCE).await?,
            // It has nothing to work off.
            Worker::Ceiling => drop(part),
        }
        let load = &self.options.load;
        // Two messages for each shard.
        let slack = 2 * u64::from(load.batch) * u64::from(load.shards);
        let mut pass = Pass::new(worker, pace, slack, generated, cpu, rss);
        if worker == Worker::Weir {
            self.screen.stage("auditing");
            let streams: Vec<_> = deployment.all(&config)?.into_iter().map(|(_, streams)| streams).collect();
            let findings = audit(&streams, self.orders, pass.generated.orders).await.context("the audit")?;
            pass.audit = Some(findings);
        }
        remove_streams(&deployment, &config).await.context("removing the streams")?;
        Ok(pass)
    }

    /// Makes the streams and puts the stock into the logs.
    async fn prepare(&mut self, deployment: &Deployment, config: &Config) -> anyhow::Result<()> {
        let making = async {
            // A cluster that has just been started has no leader yet, or does not know all of its servers.
            while let Err(error) = make_all(deployment, config).await {
                if self.options.replicas == 1 {
                    return Err(error);
                }
                tokio::time::sleep(LOOK_INTERVAL * 10).await;
            }
            for (shard, (_, streams)) in deployment.all(config)?.into_iter().enumerate() {
                for receipt in self.orders.stock(shard) {
                    let payload = encode_commands(Format::Bincode, &[receipt]).into();
                    streams.append_log(Format::Bincode, payload).await.context("the stock")?;
                }
            }
            anyhow::Ok(())
        };
        tokio::time::timeout(PATIENCE, making).await.context("the servers do not make streams")?
    }

    fn part(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments);
        for name in VARIABLES {
            command.env_remove(name);
        }
        command
    }

    /// Starts the real worker and waits until it is ready.
    async fn start_weir(&mut self, config: &Config) -> anyhow::Result<Part> {
        self.screen.stage("starting the worker");
        let file = self.folder.join("worker.toml");
        std::fs::write(&file, config.to_toml())?;
        let mut command = self.part(&["bench-part", "become"]);
        command.arg(&self.executable).args(["run", "--config"]).arg(&file);
        let mut worker = Part::start("worker", command, None)?;
        let tail = worker.tail();
        let ready = async {
            let address = loop {
                if let Some(address) = tail.lines().iter().find_map(|line| admin_address(line)) {
                    break address;
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            };
            while !is_ready(&address).await {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        tokio::select! {
            ready = tokio::time::timeout(PATIENCE, ready) => match ready {
                Ok(()) => Ok(worker),
                Err(_) => bail!("the worker is not ready in time; its last lines:\n{}", tail.lines().join("\n")),
            },
            death = worker.death() => Err(death),
        }
    }

    async fn start_ceiling(&mut self, config: &Config) -> anyhow::Result<Part> {
        self.screen.stage("starting the ceiling's worker");
        let job = CountJob {
            urls: config.nats.urls.clone(),
            prefix: config.nats.prefix.clone(),
            shards: shard_names(config),
            format: self.options.load.format,
            bytes_out: self.sizes.bytes_out,
            bytes_in: self.sizes.bytes_in,
        };
        let command = self.part(&["bench-part", "count"]);
        let mut part = Part::start("ceiling's worker", command, Some(&serde_json::to_string(&job)?))?;
        match serde_json::from_str(&part.line().await?)? {
            Said::Ready => Ok(part),
            other => bail!("the ceiling's worker says {other:?}"),
        }
    }

    /// Runs the generator against a worker that is ready.
    async fn measure(
        &mut self,
        config: &Config,
        pace: Pace,
        worker: &mut Part,
    ) -> anyhow::Result<(Generated, Cpu)> {
        let job = GenerateJob {
            urls: config.nats.urls.clone(),
            prefix: config.nats.prefix.clone(),
            load: self.options.load.clone(),
            pace,
            warmup_ms: self.options.warmup_ms,
            window_ms: self.options.window_ms,
            orders_max: self.options.orders_max,
        };
        let command = self.part(&["bench-part", "generate"]);
        let mut generator = Part::start("generator", command, Some(&serde_json::to_string(&job)?))?;
        let (generator_id, worker_id, server_ids) = (generator.id(), worker.id(), self.servers.ids());
        let usage = || Usage {
            worker: Used::by(worker_id),
            generator: Used::by(generator_id),
            servers: server_ids.iter().copied().map(Used::by).collect(),
        };
        let (mut before, mut cpu) = (None, Cpu::default());
        loop {
            let line = tokio::select! {
                line = generator.line() => line?,
                death = worker.death() => return Err(death),
                death = self.servers.death() => return Err(death),
            };
            match serde_json::from_str(&line).with_context(|| format!("the generator says {line:?}"))? {
                Said::Begin => before = Some(usage()),
                Said::End => cpu = before.take().map(|before| used(&before, &usage())).unwrap_or_default(),
                Said::Done(generated) => {
                    generator.ended(PATIENCE).await?;
                    return Ok((*generated, cpu));
                }
                said => self.screen.show(&said),
            }
        }
    }
}

/// The configuration of the `number`th pass's worker and streams.
pub(super) fn config(options: &Options, urls: &[String], bytes_max: u64, number: u32) -> Config {
    let load = &options.load;
    let mut config = Config::default();
    config.nats.urls = urls.to_vec();
    config.nats.prefix = format!("bench-{}-{number}", std::process::id());
    "127.0.0.1:0".clone_into(&mut config.admin.address);
    "bench".clone_into(&mut config.worker.name);
    config.worker.outcomes = load.format;
    config.worker.metrics = options.metrics;
    config.worker.log = LogStyle::Json;
    config.worker.drain_deadline_ms = 20_000;
    config.streams.replicas = options.replicas;
    // A full log ends the bench with an error, a full outcome stream would lose outcomes: it gets more.
    config.streams.log_bytes_max = bytes_max / 3 / u64::from(load.shards);
    config.streams.outcomes_bytes_max = bytes_max / 3 * 2 / u64::from(load.shards);
    config.streams.snapshots_bytes_max = bytes_max / 16;
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
    let servers = before.servers.iter().zip(&after.servers).map(|(before, after)| nanos(before, after));
    Cpu {
        worker: nanos(&before.worker, &after.worker),
        generator: nanos(&before.generator, &after.generator),
        server: servers.reduce(|sum, next| Some(sum? + next?)).flatten(),
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
    let asking = async {
        let mut connection = TcpStream::connect(address).await?;
        connection.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer.starts_with(b"HTTP/1.1 200"))
    };
    asking.await.unwrap_or(false)
}

/// Removes what a pass has made, as far as it is there.
pub(super) async fn remove_streams(deployment: &Deployment, config: &Config) -> anyhow::Result<()> {
    let context = deployment.connections.publishing.context();
    for stream in streams(&deployment.names, &shard_names(config))? {
        context.delete_stream(stream).await?;
    }
    Ok(())
}
