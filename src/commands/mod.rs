//! Floor 5: the commands of `weir`, one file each, and what they share.
//!
//! What holds for all of them is in one place: exit codes (`EXIT_CODES`, `Ended`), groups in the help (`GROUPS`), what is
//! printed where (`output`), values (`fields`) and the options of every command that talks to NATS (`settings`).

mod answers;
mod asking;
mod audit;
mod check;
mod connect;
mod console;
mod dashboards;
mod dead;
mod demo;
mod epoch;
mod eval;
mod fields;
pub mod generator;
pub mod import;
mod import_command;
mod load;
mod orders;
mod output;
mod pages;
mod policy;
mod probe;
mod report;
mod run;
mod schema;
mod sending;
mod settings;
mod setup;
mod signals;
mod status;
mod stock;
mod stock_list;
mod submit;
mod whatif;

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use settings::Misconfigured;

/// What every command's help says of how it ends.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused, disagreed or failed; 2 wrong usage; 3 stored, but not known in time \
                          what became of it; 78 wrong configuration";

/// The commands as people look for them.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Run", &["demo", "setup", "check", "run", "status", "probe"]),
    ("Shop", &["submit", "orders", "stock", "import", "eval", "report", "whatif", "signals", "policy"]),
    ("Repair", &["audit", "epoch", "dead"]),
    ("More", &["schema", "dashboards", "completions", "man", "help"]),
];

/// Weir confirms orders: it decides each one against stock, from a log, exactly once in effect
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
    /// Make the streams, and refuse existing ones whose settings would lose data
    Setup(setup::Args),
    /// Check the configuration and print the effective one
    Check(check::Args),
    /// Run a worker on NATS
    Run(run::Args),
    /// Show the shards: who leads each, how far it is, how far behind, its digests
    Status(status::Args),
    /// Ask a worker whether it is ready
    Probe(probe::Args),
    /// Send one command, or a file of them, and print the outcomes
    Submit(submit::Args),
    /// Show orders: one with its history, or those in some state
    Orders(orders::Args),
    /// Load stock from a CSV, or show it
    #[command(subcommand)]
    Stock(stock::Command),
    /// Send past orders, or any commands, from a file through the log
    Import(import_command::Args),
    /// Judge what analytics would have said on a file of past orders: probabilities, warnings, intervals
    Eval(eval::Args),
    /// Say what became of orders, from the log: cancellations, refusals, lateness, times between states
    Report(report::Args),
    /// Fold the log again under another policy, or with other stock, and say what would have been different
    Whatif(whatif::Args),
    /// Show early warnings: orders that will be late, surges of cancellations, stock that runs out
    Signals(signals::Args),
    /// Show or change what the fold is told
    #[command(subcommand)]
    Policy(policy::Command),
    /// Fold the logs again and compare all that was announced, and the snapshots
    Audit(audit::Args),
    /// Go on in a log that the broker has rewritten, and list what was announced and is gone
    Epoch(epoch::Args),
    /// List what was no command, show it, send it again
    #[command(subcommand)]
    Dead(dead::Command),
    /// Print the contract for programs: JSON Schema, AsyncAPI, the catalogue of codes
    Schema(schema::Args),
    /// Write the dashboards, alerts and runbooks of this version
    Dashboards(dashboards::Args),
    /// Print what a shell needs to complete this command line
    Completions(pages::Completions),
    /// Write the manual pages
    Man(pages::Man),
}

/// How a command ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Done,
    /// Something that was asked for is not so: a check that failed, a refusal, a disagreement.
    Failed,
    /// Stored, but no worker has decided it in time; or not known in time.
    Undecided,
}

/// The command line, with what all commands have in common.
fn command_line() -> clap::Command {
    fn complete(command: clap::Command) -> clap::Command {
        command.after_help(EXIT_CODES).mut_subcommands(complete)
    }
    let command = complete(Cli::command());
    let about = |name: &str| {
        let found = command.find_subcommand(name).and_then(clap::Command::get_about);
        found.map_or_else(|| "Print this, or the help of a command".to_owned(), ToString::to_string)
    };
    let mut commands = String::new();
    for (group, names) in GROUPS {
        // Writing to a string does not fail.
        let _ = writeln!(commands, "\n{group}:");
        for name in names {
            let _ = writeln!(commands, "  {name:<12} {}", about(name));
        }
    }
    command.help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n{commands}\nOptions:\n{{options}}\n\n{{after-help}}\n"
    ))
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => demo::demo(args).await,
            Command::Setup(args) => setup::setup(&args).await,
            Command::Check(args) => check::check(&args),
            Command::Run(args) => run::run(args).await,
            Command::Status(args) => status::status(args).await,
            Command::Probe(args) => probe::probe(args).await,
            Command::Eval(args) => eval::eval(&args),
            Command::Report(args) => report::report(args).await,
            Command::Whatif(args) => whatif::whatif(args).await,
            Command::Signals(args) => signals::signals(args).await,
            Command::Submit(args) => submit::submit(args).await,
            Command::Orders(args) => orders::orders(args).await,
            Command::Stock(command) => stock::stock(command).await,
            Command::Import(args) => import_command::import(args).await,
            Command::Policy(command) => policy::policy(command).await,
            Command::Audit(args) => audit::audit(args).await,
            Command::Epoch(args) => epoch::epoch(args).await,
            Command::Dead(command) => dead::dead(command).await,
            Command::Schema(args) => schema::schema(&args),
            Command::Dashboards(args) => dashboards::dashboards(&args),
            Command::Completions(args) => Ok(pages::completions(&args)),
            Command::Man(args) => pages::man(&args),
        }
    });
    // Nothing that still runs may hold up the exit: all that matters is in the log.
    runtime.shutdown_background();
    match ended {
        Ok(Ended::Done) => ExitCode::SUCCESS,
        Ok(Ended::Failed) => ExitCode::FAILURE,
        Ok(Ended::Undecided) => ExitCode::from(3),
        // Whoever reads has had enough.
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir: {error:#}");
            let misconfigured = error.downcast_ref::<Misconfigured>().is_some();
            ExitCode::from(if misconfigured { 78 } else { 1 })
        }
    }
}

fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_a_group_and_says_how_it_ends() {
        fn check(command: &clap::Command) {
            assert_eq!(command.get_after_help().map(ToString::to_string).as_deref(), Some(EXIT_CODES));
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(check);
        }
        let command = command_line();
        command.get_subcommands().for_each(check);
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let named: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
        assert_eq!(grouped[..named.len()], named);
        assert_eq!(grouped[named.len()..], ["help"]);
        command.debug_assert();
    }

    /// One table for all commands: whoever prints a result can print it as JSON, and whoever talks to NATS is told where.
    #[test]
    fn options_are_the_same_everywhere() {
        fn leaves(command: &clap::Command, found: &mut Vec<clap::Command>) {
            if command.has_subcommands() {
                command.get_subcommands().for_each(|one| leaves(one, found));
            } else {
                found.push(command.clone());
            }
        }
        let mut commands = Vec::new();
        leaves(&command_line(), &mut commands);
        for command in commands {
            let name = command.get_name();
            let has =
                |option: &str| command.get_arguments().any(|argument| argument.get_long() == Some(option));
            // A worker logs; pages are files; an evaluation has no streams.
            let pages = ["schema", "dashboards", "completions", "man"].contains(&name);
            assert_eq!(has("json"), !pages && name != "run", "{name} and --json");
            assert_eq!(has("nats"), !pages && name != "eval", "{name} and --nats");
        }
    }
}
