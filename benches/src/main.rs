//! `weir-bench`: how fast Weir is on this machine, beside its own ceiling and beside what people use instead.
//!
//! A program of its own, so that what ships holds no launcher of servers, no load and no rivals' clients. Every figure in the
//! docs stands beside the command of it that prints the figure.

mod aims;
mod arguments;
mod asking;
mod conditions;
mod door;
mod figures;
mod findings;
mod load;
mod orders;
#[path = "../reference/mod.rs"]
mod reference;
mod rivals;
mod screen;
mod servers;
mod shop;
mod snapshots;
mod statistics;
mod steady;
mod storms;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// How fast Weir is on this machine
///
/// Exit codes: 0 measured, 1 an audit found something or it failed, 2 wrong usage.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole way through a real nats-server, beside its own ceiling, with an audit
    Load(load::Args),
    /// What people use instead, side by side and like with like
    Rivals(rivals::Args),
    /// How long new orders take while a receipt releases many waiting orders, and while many holds expire
    Storms(storms::Args),
    /// What ten million open orders cost: memory, a snapshot, restoring it, and the leader's pause meanwhile
    Snapshots(snapshots::Args),
    /// One JSON order a request at the door, beside a plain echo; and a flood
    Door(door::Args),
    /// A process of the bench, which starts it itself
    #[command(subcommand, hide = true)]
    Part(Part),
}

/// A process that the bench starts.
#[derive(Debug, Subcommand)]
enum Part {
    /// The load generator
    Generate,
    /// The ceiling's worker
    Count,
    /// The naive consumer
    Naive,
    /// The echo beside the door
    Echo { url: String },
    /// Another program, which does not outlive the bench
    Become {
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Done,
    /// What was measured was not right.
    Failed,
}

/// Waits for somebody to end the bench.
fn interrupted() -> anyhow::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

async fn part(part: Part) -> anyhow::Result<()> {
    match part {
        Part::Generate => load::generate::generate().await,
        Part::Count => load::count::count().await,
        Part::Naive => rivals::naive::work().await,
        Part::Echo { url } => door::echo(url).await,
        Part::Become { program, arguments } => {
            // Survives the change of program. The bench ends its parts itself, unless it is killed.
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
            let error = std::process::Command::new(&program).args(arguments).exec();
            Err(error).with_context(|| format!("cannot run {}", program.display()))
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // The parts share their cores with what they measure, and do little: one thread saves its wake-ups.
    let mut builder = match cli.command {
        Command::Part(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir-bench: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Load(args) => Box::pin(load::bench(args)).await,
            Command::Rivals(args) => Box::pin(rivals::compare(args)).await,
            Command::Storms(args) => Box::pin(storms::measure(args)).await,
            Command::Snapshots(args) => Box::pin(snapshots::measure(args)).await,
            Command::Door(args) => Box::pin(door::measure(args)).await,
            Command::Part(which) => part(which).await.map(|()| Ended::Done),
        }
    });
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
