//! `weir submit`: commands from the shell.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::output;
use super::sending::{Answered, batches, send};
use super::settings::Common;
use crate::words::codec::{Format, commands};
use crate::words::command::Command;
use crate::words::config::Config;
use crate::words::outcome::{Decision, Outcome, Subject};
use crate::words::policy::{PolicyChange, RULES_NEWEST};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// One command or an array of them, as JSON
    #[arg(value_name = "COMMAND", required_unless_present = "file", conflicts_with = "file")]
    command: Option<String>,
    /// Read commands from a file instead: JSON as above, or one object a line; `-` is standard input
    #[arg(long, short, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The shard to send to [default: for each command the one that holds its site, or its order's; or the only one]
    #[arg(long)]
    shard: Option<String>,
    /// How long to wait for the outcomes
    #[arg(long, default_value = "10s", value_parser = super::fields::duration)]
    wait: Duration,
    /// Print JSON, one object a line, as is done anyway
    #[arg(long)]
    json: bool,
}

/// A file larger than this is an import.
const INPUT_BYTES_MAX: u64 = 64 << 20;

pub(super) async fn submit(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let input = match (&args.command, &args.file) {
        (Some(json), _) => json.clone(),
        (None, Some(path)) => read(path)?,
        (None, None) => bail!("nothing to submit"),
    };
    let commands = parse(&input)?;
    commands.iter().try_for_each(may_be_sent)?;
    let mut ended = Ended::Done;
    for (shard, commands) in by_shard(&config, args.shard.as_deref(), commands)? {
        let submitted = submit_to(&config, Some(&shard), &commands, args.wait).await?;
        ended = match (ended, submitted.ended()) {
            // What is not known yet may still be anything.
            (Ended::Undecided, _) | (_, Ended::Undecided) => Ended::Undecided,
            (Ended::Failed, _) | (_, Ended::Failed) => Ended::Failed,
            _ => Ended::Done,
        };
    }
    Ok(ended)
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
    answered: Answered,
    /// How many of the commands were refused.
    refused: u64,
}

impl Submitted {
    /// A refusal is no success.
    pub(super) const fn ended(&self) -> Ended {
        match self.answered {
            Answered::NotInTime => Ended::Undecided,
            Answered::All if self.refused > 0 => Ended::Failed,
            Answered::All => Ended::Done,
        }
    }
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
            output::json(outcome);
        }
    };
    let answered = send(&streams, batches(commands), wait, |_| {}, print).await?;
    if answered == Answered::NotInTime {
        eprintln!("weir: stored, but not decided within {wait:?}: is a worker running?");
    }
    Ok(Submitted { answered, refused })
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

/// The commands of each shard, in order: of the one that is named; else of the one that holds a command's site, or its order's,
/// where that was placed before it; else of the only one.
pub(super) fn by_shard<'c>(
    config: &Config,
    named: Option<&str>,
    commands: Vec<Command<'c>>,
) -> anyhow::Result<BTreeMap<String, Vec<Command<'c>>>> {
    if named.is_some() || config.shards.0.len() == 1 {
        let shard = one_shard(config, named)?.name.clone();
        return Ok(BTreeMap::from([(shard, commands)]));
    }
    let mut shards = BTreeMap::<String, Vec<Command<'c>>>::new();
    let mut placed = BTreeMap::<String, String>::new();
    for (number, command) in (1..).zip(commands) {
        let shard = match target(&command) {
            Target::Site(site) => {
                config.shard_of(&site).map(|shard| shard.name.clone()).with_context(|| {
                    format!("command {number}: no shard of the configuration holds site {site:?}")
                })?
            }
            Target::Order(id) => placed.get(&id).cloned().with_context(|| {
                format!("command {number}: order {id:?} is not placed before it: say its shard with --shard")
            })?,
            Target::Unknown => bail!("command {number}: it is not said for which shard: say so with --shard"),
        };
        if let Command::Place(place) = &command {
            placed.insert(place.order_id.to_string(), shard.clone());
        }
        shards.entry(shard).or_default().push(command);
    }
    Ok(shards)
}

/// By what a command's shard is known.
enum Target {
    Site(String),
    Order(String),
    Unknown,
}

fn target(command: &Command<'_>) -> Target {
    let content = command.content();
    match (content.site(), content.subject()) {
        (Some(site), _) => Target::Site(site.to_owned()),
        (None, Some(Subject::OrderId(id))) => Target::Order(id.into_owned()),
        _ => Target::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::config::{Shard, Shards};

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
    fn each_command_goes_to_the_shard_of_its_site_or_order() {
        let shard = |name: &str, sites: &[&str]| Shard {
            name: name.to_owned(),
            sites: sites.iter().map(|site| (*site).to_owned()).collect(),
        };
        let config = Config {
            shards: Shards(vec![shard("a", &["main"]), shard("b", &["north", "south"])]),
            ..Config::default()
        };
        let place = |id: &str, site: &str| {
            format!(
                r#"{{"place":{{"order_id":"{id}","site":"{site}","lines":[{{"sku":"S","quantity":1}}]}}}}"#
            )
        };
        let text = [
            place("1", "south"),
            place("2", "main"),
            r#"{"pay":{"order_id":"1"}}"#.to_owned(),
            r#"{"receive":{"receipt_id":"R","lines":[{"sku":"S","quantity":1}]}}"#.to_owned(),
            r#"{"extend":{"order_id":"1","extension_id":"E","pay_within_ms":9}}"#.to_owned(),
            r#"{"place":{"order_id":"3","sites":["north","main"],"lines":[]}}"#.to_owned(),
            r#"{"transfer":{"transfer_id":"T","from":"north","to":"south","lines":[]}}"#.to_owned(),
        ]
        .join("\n");
        let split = by_shard(&config, None, parse(&text).unwrap()).unwrap();
        let counts: Vec<_> = split.iter().map(|(shard, commands)| (shard.as_str(), commands.len())).collect();
        assert_eq!(counts, [("a", 2), ("b", 5)]);
        assert_eq!(by_shard(&config, Some("a"), parse(&text).unwrap()).unwrap()["a"].len(), 7);
        for (text, why) in [
            (place("1", "moon"), "command 1: no shard of the configuration holds site \"moon\""),
            (
                r#"{"pay":{"order_id":"9"}}"#.to_owned(),
                "command 1: order \"9\" is not placed before it: say its shard",
            ),
            (r#"{"policy":{}}"#.to_owned(), "command 1: it is not said for which shard"),
        ] {
            let error = by_shard(&config, None, parse(&text).unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn what_would_harm_the_shard_is_not_sent() {
        let refused = |json: &str| may_be_sent(&parse(json).unwrap()[0]).unwrap_err().to_string();
        assert_eq!(refused(r#"{"tick":{}}"#), "only a shard's leader sends ticks");
        // Also where the rest of it cannot be read.
        let newer = RULES_NEWEST + 1;
        for json in [
            format!(r#"{{"policy":{{"rules":{newer}}}}}"#),
            format!(r#"{{"policy":{{"rules":{newer},"speed":"high"}}}}"#),
        ] {
            assert!(refused(&json).starts_with(&format!("rules version {newer} is not known")), "{json}");
        }
        may_be_sent(&parse(r#"{"policy":{"rules":1}}"#).unwrap()[0]).unwrap();
    }
}
