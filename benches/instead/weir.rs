//! Weir itself, by its own `weir bench`, which starts the server, the load's generator and the worker, each a process.
//!
//! Its audit is its own too: it reads the log and the outcomes back and compares them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::audit::Audit;
use super::load::Window;
use super::servers::{Ending, Folder, Process};
use super::{Fsync, Settings};

/// The program that was built beside this.
pub(crate) const EXECUTABLE: &str = env!("CARGO_BIN_EXE_weir");
/// How long it may take beside what it measures: starting, stopping, its audit.
const DEADLINE: Duration = Duration::from_mins(2);

/// How orders are sent and outcomes announced.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    /// Orders a message.
    pub(crate) batch: u32,
    /// Of orders and outcomes.
    pub(crate) format: &'static str,
}

impl Way {
    fn options(self, fsync: Fsync) -> Vec<String> {
        let fsync = match fsync {
            Fsync::Lazy => "lazy",
            Fsync::Always => "always",
        };
        let (batch, format) = (self.batch, self.format);
        let mut options = format!(
            "--rate max --no-ceiling --rounds 1 --batch {batch} --format {format} --fsync {fsync} --lines 2"
        );
        // As many as the naive consumer has on their way then: more would wait for longer than is measured.
        if batch == 1 && fsync == "always" {
            options += " --in-flight 256";
        }
        options.split(' ').map(str::to_owned).collect()
    }

    /// How it is run.
    pub(crate) fn how(self, fsync: Fsync) -> String {
        format!(
            "`weir bench {}` (its generator, its worker and the server are processes of their own; lines are of 1 to 3 \
             units; an order counts once the generator has seen that its outcome is stored)",
            self.options(fsync).join(" "),
        )
    }
}

/// One pass.
pub(crate) async fn pass(settings: &Settings, way: Way, fsync: Fsync) -> Result<(Window, Audit)> {
    let folder = Folder::new(&settings.store, "weir")?;
    let file = folder.path().join("figures.json");
    let (shop, bounds) = (settings.shop, settings.bounds);
    let mut command = Command::new(EXECUTABLE);
    command.arg("bench").args(way.options(fsync));
    for (option, value) in [
        ("--for", format!("{}ms", bounds.window.as_millis())),
        ("--warmup", format!("{}ms", bounds.warmup.as_millis())),
        ("--orders", bounds.orders_max.to_string()),
        ("--skus", shop.skus.to_string()),
        ("--stock", shop.stock.to_string()),
        ("--seed", shop.seed.to_string()),
    ] {
        command.arg(option).arg(value);
    }
    command.arg("--nats-server").arg(settings.programs.nats()?);
    command.arg("--store-dir").arg(folder.path());
    command.arg("--json").arg(&file);
    let mut process = Process::start("weir", command, folder.path(), Ending::Asked)?;
    let status = process.ended(bounds.warmup + bounds.window + DEADLINE).await?;
    let Ok(text) = std::fs::read(&file) else { return Err(process.failed(&format!("ended ({status})"))) };
    let figures = serde_json::from_slice(&text).context("what `weir bench --json` wrote")?;
    let (window, audit) = read(figures).context("`weir bench --json` wrote no audited round")?;
    ensure!(status.success() || !audit.is_clean(), process.failed(&format!("ended ({status})")));
    Ok((window, audit))
}

/// What the file says that is read here.
#[derive(Deserialize)]
struct Figures {
    rates: Vec<Rate>,
}

#[derive(Deserialize)]
struct Rate {
    rounds: Vec<Round>,
}

#[derive(Deserialize)]
struct Round {
    weir: Pass,
}

#[derive(Deserialize)]
struct Pass {
    orders_per_second: f64,
    cpu: Cpu,
    generated: Generated,
    audit: Option<Findings>,
}

/// Nanoseconds an order.
#[derive(Deserialize)]
struct Cpu {
    worker: Option<f64>,
    server: Option<f64>,
    generator: Option<f64>,
}

#[derive(Deserialize)]
struct Generated {
    window_seconds: f64,
    window_announced: u64,
    orders: u64,
}

#[derive(Deserialize)]
struct Findings {
    lost: u64,
    duplicated: u64,
    oversold: u64,
    unexplained: u64,
    instances: Vec<String>,
    confirmed: u64,
}

/// What the one round of the one rate showed.
fn read(figures: Figures) -> Option<(Window, Audit)> {
    let pass = figures.rates.into_iter().next()?.rounds.into_iter().next()?.weir;
    let cores = |nanos: Option<f64>| nanos.map(|nanos| nanos * pass.orders_per_second / 1e9);
    let window = Window {
        orders: pass.generated.window_announced,
        seconds: pass.generated.window_seconds,
        server_cores: cores(pass.cpu.server),
        client_cores: cores(pass.cpu.worker).zip(cores(pass.cpu.generator)).map(|(one, other)| one + other),
    };
    let findings = pass.audit?;
    let audit = Audit {
        sent: pass.generated.orders,
        confirmed: findings.confirmed,
        lost: findings.lost,
        duplicated: findings.duplicated,
        oversold: findings.oversold,
        unexplained: findings.unexplained,
        first: findings.instances.into_iter().next(),
    };
    Some((window, audit))
}
