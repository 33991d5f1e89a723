//! Floor 5: the commands of `weir`, one file each, and what they share.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage, 3 stored but not decided in time, 78 wrong configuration.

mod answers;
mod audit;
mod bench;
mod check;
mod connect;
mod dead;
mod demo;
mod epoch;
mod eval;
mod fields;
pub mod generator;
pub mod import;
mod import_command;
mod load;
mod policy;
mod run;
mod sending;
mod settings;
mod setup;
mod status;
mod stock;
mod submit;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use settings::{Common, Misconfigured};

/// Weir confirms orders: it decides each one against stock, from a log, exactly once in effect.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show it all at once: orders, an engine and a log in memory, live figures, a summary that adds up
    Demo(demo::Args),
    /// Run a worker on NATS
    Run(run::Args),
    /// Make the streams, and refuse existing ones whose settings would lose data
    Setup(Common),
    /// Check the configuration and print the effective one
    Check(check::Args),
    /// Send a CSV of past orders through the log
    Import(import_command::Args),
    /// Judge what analytics would have said on a file of past orders: probabilities, warnings, intervals
    Eval(eval::Args),
    /// Send one command, or a file of them, and print the outcomes
    Submit(submit::Args),
    /// Load stock from a CSV
    #[command(subcommand)]
    Stock(stock::Command),
    /// Show or change what the fold is told
    #[command(subcommand)]
    Policy(policy::Command),
    /// Show the shards: how far each is, how far behind, its digests
    Status(status::Args),
    /// Fold the logs again and compare all that was announced, and the snapshots; exit code 1 where they disagree
    Audit(audit::Args),
    /// Go on in a log that the broker has rewritten, and list what was announced and is gone
    Epoch(epoch::Args),
    /// List what was no command, show it, send it again
    #[command(subcommand)]
    Dead(dead::Command),
    /// Measure how fast Weir is on this machine, against its own ceiling, and audit what it did
    Bench(bench::Args),
    /// A process of `weir bench`, which starts it itself
    #[command(subcommand, hide = true)]
    BenchPart(bench::Part),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Done,
    /// Something that was asked for is not so: a check that failed, an outcome that is missing.
    Failed,
    /// Stored, but no worker has decided it in time.
    Undecided,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // The parts of the bench share their cores with what they measure, and do little: one thread saves its wake-ups.
    let mut builder = match cli.command {
        Command::BenchPart(_) => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::demo(args).await,
            Command::Run(args) => run::run(args).await,
            Command::Setup(common) => setup::setup(&common).await,
            Command::Check(args) => check::check(&args),
            Command::Import(args) => import_command::import(args).await,
            Command::Eval(args) => eval::eval(&args),
            Command::Submit(args) => submit::submit(args).await,
            Command::Stock(command) => stock::stock(command).await,
            Command::Policy(command) => policy::policy(command).await,
            Command::Status(args) => status::status(args).await,
            Command::Audit(args) => audit::audit(args).await,
            Command::Epoch(args) => epoch::epoch(args).await,
            Command::Dead(command) => dead::dead(command).await,
            Command::Bench(args) => bench::bench(args).await,
            Command::BenchPart(part) => bench::part(part).await,
        }
    });
    // Nothing that still runs may hold up the exit: all that matters is in the log.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        Ok(Ended::Undecided) => ExitCode::from(3),
        Err(error) => {
            eprintln!("weir: {error:#}");
            let misconfigured = error.downcast_ref::<Misconfigured>().is_some();
            ExitCode::from(if misconfigured { 78 } else { 1 })
        }
    }
}
