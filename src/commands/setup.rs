//! `weir setup`: the streams, and the first record of each log, which is its policy.

use anyhow::Context as _;
use bytes::Bytes;

use super::Ended;
use super::connect::{Deployment, shard_names};
use super::output::{self, say};
use super::settings::Common;
use crate::edges::jetstream::{Done, JetKeys, SetupError, setup as make_streams};
use crate::edges::streams::Streams;
use crate::motion::door::Routes;
use crate::words::codec::{Format, encode_commands};
use crate::words::command::Command;
use crate::words::config::{Config, Shard};
use crate::words::policy::{Policy, PolicyChange, RULES_NEWEST};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn setup(args: &Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let deployment = Deployment::connect(&config, "setup", false).await?;
    let done = make_all(&deployment, &config).await?;
    if args.json {
        output::json(&done);
    } else {
        for line in &done {
            say!("{line}");
        }
    }
    Ok(Ended::Done)
}

/// What a server says that has no room for what a stream would reserve.
const NO_ROOM: &str = "insufficient storage";

/// Says what to do about a server without room.
fn explained(error: SetupError, config: &Config) -> anyhow::Error {
    let no_room = error.to_string().contains(NO_ROOM);
    let error = anyhow::Error::from(error);
    if !no_room {
        return error;
    }
    let streams = &config.streams;
    let shards = config.shards.0.len() as u64;
    let bytes = shards
        .saturating_mul(streams.log_bytes_max.saturating_add(streams.outcomes_bytes_max))
        .saturating_add(streams.dead_letters_bytes_max)
        .saturating_add(streams.signals_bytes_max);
    error.context(format!(
        "the server has not enough room: logs, outcomes, dead letters and signals reserve {} MiB of its storage, snapshots take what is \
         left. Raise max_file_store (or free the disk), or lower streams.log_bytes_max and streams.outcomes_bytes_max",
        bytes >> 20
    ))
}

/// Makes streams and first policies, as far as they are missing, and says what was done.
pub(super) async fn make_all(deployment: &Deployment, config: &Config) -> anyhow::Result<Vec<String>> {
    let context = deployment.connections.publishing.context();
    let shards = shard_names(config);
    let made = make_streams(&context, &deployment.names, &shards, &config.streams).await;
    let done = made.map_err(|error| explained(error, config))?;
    let mut lines: Vec<_> = done
        .into_iter()
        .map(|done| {
            let (stream, done, notes) = match done {
                Done::Created { stream, notes } => (stream, "created", notes),
                Done::Kept { stream, notes } => (stream, "there already", notes),
            };
            [format!("{stream}: {done}")].into_iter().chain(notes).collect::<Vec<_>>().join("; ")
        })
        .collect();
    for shard in &config.shards.0 {
        let streams = deployment.streams(&shard.name)?;
        if streams.log_state().await?.last_sequence == 0 {
            let payload = Bytes::from(encode_commands(Format::Json, &[first_policy(shard)]));
            let sequence = streams
                .append_log(Format::Json, payload)
                .await
                .with_context(|| format!("the first policy of shard {}", shard.name))?;
            lines.push(format!("shard {}: first policy at sequence {sequence}", shard.name));
        }
    }
    let pointers = JetKeys::new(&deployment.connections, &deployment.names.pointers_bucket());
    let kept = Routes::keep(&pointers, &config.shards).await.context("the routes of doors")?;
    lines.push(format!("routes of doors: {}", if kept { "written" } else { "there already" }));
    Ok(lines)
}

/// Every figure is written down, so that what the log decides does not hang on the defaults of the binary that reads it.
pub(super) fn first_policy(shard: &Shard) -> Command<'static> {
    Command::Policy(PolicyChange {
        rules: Some(RULES_NEWEST),
        sites: Some(shard.sites.iter().map(|site| site.clone().into()).collect()),
        ..PolicyChange::from(&Policy::default())
    })
}
