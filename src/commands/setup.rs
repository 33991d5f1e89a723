//! `weir setup`: the streams, and the first record of each log, which is its policy.

use anyhow::Context as _;
use bytes::Bytes;

use super::Ended;
use super::connect::{Deployment, shard_names};
use super::settings::Common;
use crate::edges::jetstream::{Done, setup as make_streams};
use crate::edges::streams::Streams;
use crate::words::codec::{Format, encode_commands};
use crate::words::command::Command;
use crate::words::config::{Config, Shard};
use crate::words::policy::{Policy, PolicyChange, RULES_NEWEST};

pub(super) async fn setup(common: &Common) -> anyhow::Result<Ended> {
    let config = common.load(|_| {})?;
    let deployment = Deployment::connect(&config, "setup", false).await?;
    for line in make_all(&deployment, &config).await? {
        println!("{line}");
    }
    Ok(Ended::Done)
}

/// Makes streams and first policies, as far as they are missing, and says what was done.
pub(super) async fn make_all(deployment: &Deployment, config: &Config) -> anyhow::Result<Vec<String>> {
    let context = deployment.connections.publishing.context();
    let shards = shard_names(config);
    let done = make_streams(&context, &deployment.names, &shards, &config.streams).await?;
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
