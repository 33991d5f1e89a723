//! `weir submit`: commands from the shell.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::sending::{Answered, batches, send};
use super::settings::Common;
use crate::words::codec::{Format, commands};
use crate::words::command::Command;
use crate::words::config::Config;
use crate::words::outcome::{Decision, Outcome};
use crate::words::policy::{PolicyChange, RULES_NEWEST};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// One command or an array of them, as JSON
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    json: Option<String>,
    /// Read commands from a file instead: JSON as above, or one object a line; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The shard to send to [default: the one that holds the site named first, or the only one]
    #[arg(long)]
    shard: Option<String>,
    /// How long to wait for the outcomes
    #[arg(long, default_value = "10s", value_parser = super::fields::duration)]
    wait: Duration,
}

/// A file larger than this is an import.
const INPUT_BYTES_MAX: u64 = 64 << 20;

pub(super) async fn submit(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let input = match (&args.json, &args.file) {
        (Some(json), _) => json.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => bail!("nothing to submit"),
    };
    let commands = parse(&input)?;
    commands.iter().try_for_each(may_be_sent)?;
    let shard = match &args.shard {
        None => site_of(&commands).and_then(|site| config.shard_of(site)).map(|shard| shard.name.clone()),
        named => named.clone(),
    };
    Ok(submit_to(&config, shard.as_deref(), &commands, args.wait).await?.ended)
}

/// Whether a command is one for people to send.
pub(super) fn may_be_sent(command: &Command<'_>) -> anyhow::Result<()> {
    match command {
        Command::Tick(_) => bail!("only a shard's leader sends ticks"),
        Command::Policy(change) => check_rules(change),
        _ => Ok(()),
    }
}

/// Refuses what no worker could apply: the log keeps it, so that no worker of this version would ever get past it.
pub(super) fn check_rules(change: &PolicyChange<'_>) -> anyhow::Result<()> {
    match change.rules {
        Some(rules) if rules > RULES_NEWEST => bail!(
            "rules version {rules} is not known: {RULES_NEWEST} is the newest, and a newer one would halt the shard at \
             this record for good"
        ),
        _ => Ok(()),
    }
}

/// What became of what was submitted.
pub(super) struct Submitted {
    pub(super) ended: Ended,
    /// How many of the commands were refused.
    pub(super) refused: u64,
}

/// Sends commands to one shard and prints their outcomes, one JSON object a line.
pub(super) async fn submit_to(
    config: &Config,
    shard: Option<&str>,
    commands: &[Command<'_>],
    wait: Duration,
) -> anyhow::Result<Submitted> {
    let shard = one_shard(config, shard)?;
    let deployment = Deployment::connect(config, "submit", false).await?;
    let streams = deployment.streams(&shard.name)?;
    let mut refused = 0;
    let print = |outcome: &Outcome<'_>, own: bool| {
        if own {
            refused += u64::from(matches!(outcome.decision, Decision::Refused { .. }));
            println!("{}", serde_json::to_string(outcome).expect("an outcome is JSON"));
        }
    };
    let ended = match send(&streams, batches(commands), wait, |_| {}, print).await? {
        Answered::All => Ended::Done,
        Answered::NotInTime => {
            eprintln!("weir: stored, but not decided within {wait:?}: is a worker running?");
            Ended::Undecided
        }
    };
    Ok(Submitted { ended, refused })
}

fn read(path: &std::path::Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let source: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?)
    };
    source.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > INPUT_BYTES_MAX {
        bail!("more than 64 MiB: use `weir import`");
    }
    Ok(text)
}

/// The commands of an input: one JSON value, or one a line.
pub(super) fn parse(input: &str) -> anyhow::Result<Vec<Command<'_>>> {
    let by_line = serde_json::from_str::<serde::de::IgnoredAny>(input).is_err();
    let parts: Vec<_> = if by_line { input.lines().enumerate().collect() } else { vec![(0, input)] };
    let mut parsed = Vec::new();
    for (line, part) in parts {
        if part.trim().is_empty() {
            continue;
        }
        for decoded in commands(Some(Format::Json), part.as_bytes(), RULES_NEWEST) {
            match decoded {
                Ok(command) => parsed.push(command),
                Err(bad) if by_line => bail!("line {}: {}", line + 1, bad.reason),
                Err(bad) => bail!("{}", bad.reason),
            }
        }
    }
    anyhow::ensure!(!parsed.is_empty(), "nothing to submit");
    Ok(parsed)
}

fn site_of<'c>(commands: &'c [Command<'_>]) -> Option<&'c str> {
    commands.iter().find_map(|command| match command {
        Command::Place(command) => command.site.as_deref(),
        Command::Receive(command) => command.site.as_deref(),
        Command::Count(command) => command.site.as_deref(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_value_or_one_a_line() {
        assert_eq!(parse(r#"{"tick":{}}"#).unwrap().len(), 1);
        assert_eq!(parse(r#"[{"tick":{}},{"tick":{}}]"#).unwrap().len(), 2);
        assert_eq!(parse("{\"tick\":{}}\n\n{\"tick\":{}}\n").unwrap().len(), 2);
        let error = parse("{\"tick\":{}}\n{\"tock\":{}}").unwrap_err().to_string();
        assert!(error.starts_with("line 2: unknown variant `tock`"), "{error}");
        assert!(parse("").is_err());
    }

    #[test]
    fn what_would_harm_the_shard_is_not_sent() {
        let refused = |json: &str| may_be_sent(&parse(json).unwrap()[0]).unwrap_err().to_string();
        assert_eq!(refused(r#"{"tick":{}}"#), "only a shard's leader sends ticks");
        // Also where the rest of it cannot be read.
        for json in [r#"{"policy":{"rules":2}}"#, r#"{"policy":{"rules":2,"speed":"high"}}"#] {
            assert!(refused(json).starts_with("rules version 2 is not known: 1 is the newest"), "{json}");
        }
        may_be_sent(&parse(r#"{"policy":{"rules":1}}"#).unwrap()[0]).unwrap();
    }
}
