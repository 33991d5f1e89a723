//! Connecting: from a configuration to the streams of its shards.

use std::path::Path;

use anyhow::Context as _;

use crate::edges::ShardEdges;
use crate::edges::folder::FolderObjects;
use crate::edges::jetstream::{
    Connection, Connections, InJetStream, JetKeys, JetObjects, JetStreams, Names, Security, Store,
};
use crate::folds::inventory::Inventory;
use crate::motion::fold::FoldOn;
use crate::motion::replay::current;
use crate::words::config::{Config, Shard};

use super::output;
use super::settings::Misconfigured;

/// The connections and names of a deployment.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub(super) connections: Connections,
    pub(super) names: Names,
    /// For snapshots, and for who reads much at once: a worker's own, at which nothing that decides waits.
    beside: Option<Connections>,
}

impl Deployment {
    /// Connects. A worker waits for a server that cannot be reached; a command that a person waits for fails.
    pub(super) async fn connect(config: &Config, role: &str, wait: bool) -> anyhow::Result<Self> {
        let names = Names::new(&config.nats.prefix).map_err(|error| Misconfigured(error.to_string()))?;
        let connection =
            Connection { name: format!("weir {role}"), wait_for_server: wait, ..secured(config)? };
        let connections = Connections::open(&connection).await?;
        let beside = Connection { name: format!("weir {role} snapshots"), ..connection };
        let beside = if wait { Some(Connections::open(&beside).await?) } else { None };
        Ok(Self { connections, names, beside })
    }

    /// The streams of a shard.
    pub(super) fn streams(&self, shard: &str) -> anyhow::Result<JetStreams> {
        let streams = JetStreams::new(self.connections.clone(), self.names.shard(shard)?);
        Ok(match &self.beside {
            Some(beside) => streams.apart(beside.clone()),
            None => streams,
        })
    }

    /// The edges of all shards, by name.
    pub(super) fn edges(&self, config: &Config) -> anyhow::Result<Vec<(String, ShardEdges<InJetStream>)>> {
        let pointers = self.pointers();
        let objects = if config.snapshots.folder.is_empty() {
            let connections = self.beside.as_ref().unwrap_or(&self.connections).clone();
            Store::JetStream(JetObjects::new(connections, &self.names.snapshots_bucket()))
        } else {
            let folder = Path::new(&config.snapshots.folder);
            let opened = FolderObjects::open(folder);
            Store::Folder(opened.with_context(|| format!("snapshots.folder {}", folder.display()))?)
        };
        let all = self.all(config)?.into_iter();
        let with = |streams| ShardEdges { streams, pointers: pointers.clone(), objects: objects.clone() };
        Ok(all.map(|(shard, streams)| (shard, with(streams))).collect())
    }

    /// The edges of one shard of the configuration.
    pub(super) fn edges_of(&self, config: &Config, shard: &str) -> anyhow::Result<ShardEdges<InJetStream>> {
        let found = self.edges(config)?.into_iter().find(|(name, _)| name == shard);
        let (_, edges) =
            found.with_context(|| format!("there is no shard {shard:?} in the configuration"))?;
        Ok(edges)
    }

    /// The table of pointers to snapshots, and what else is kept there.
    pub(super) fn pointers(&self) -> JetKeys {
        JetKeys::new(&self.connections, &self.names.pointers_bucket())
    }

    /// The table of leases.
    pub(super) fn leases(&self) -> JetKeys {
        JetKeys::new(&self.connections, &self.names.leases_bucket())
    }

    /// The streams of all shards, by name.
    pub(super) fn all(&self, config: &Config) -> anyhow::Result<Vec<(String, JetStreams)>> {
        config.shards.0.iter().map(|shard| Ok((shard.name.clone(), self.streams(&shard.name)?))).collect()
    }
}

/// How the configured broker is connected to. Every file that is named for it was looked at.
pub(super) fn secured(config: &Config) -> Result<Connection, Misconfigured> {
    let security = Security::of(&config.nats);
    security.verify().map_err(|error| Misconfigured(error.to_string()))?;
    Ok(Connection { urls: config.nats.urls.clone(), security, ..Connection::default() })
}

/// The names of the configured shards.
pub(super) fn shard_names(config: &Config) -> Vec<String> {
    config.shards.0.iter().map(|shard| shard.name.clone()).collect()
}

/// The shard that a command line means: the one named, else the only one there is.
pub(super) fn one_shard<'c>(config: &'c Config, named: Option<&str>) -> anyhow::Result<&'c Shard> {
    let shards = &config.shards.0;
    match named {
        Some(name) => shards
            .iter()
            .find(|shard| shard.name == name)
            .with_context(|| format!("there is no shard {name:?} in the configuration")),
        None if shards.len() == 1 => Ok(&shards[0]),
        None => anyhow::bail!("there are {} shards: say which with --shard", shards.len()),
    }
}

/// The state at a log's end. Snapshots that do not serve are named on standard error.
pub(super) async fn folded(shard: &str, edges: &ShardEdges<InJetStream>) -> anyhow::Result<Box<Inventory>> {
    let pass_over = |snapshot: &str, why: &str| {
        eprintln!("weir: shard {shard}: snapshot {snapshot} is passed over: {why}");
    };
    let _working = output::working(format!("folding shard {shard}"));
    Ok(Box::pin(current(shard, edges, FoldOn::Thread, pass_over)).await?)
}
