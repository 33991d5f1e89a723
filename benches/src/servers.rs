//! The brokers: nats-servers of the bench's own, on free ports of the loopback, or somebody else's.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;
use weir_kit::nats::{Launch, Server, cluster};
use weir_kit::process::Process;

use crate::arguments::Fsync;

/// Streams reserve their size limits; what is really there is bounded by the load.
const STORE_BYTES_MAX: &str = "1TB";

/// One server, the servers of a cluster, or somebody else's.
#[derive(Debug)]
pub(crate) struct Servers {
    own: Vec<Server>,
    pub(crate) urls: Vec<String>,
}

impl Servers {
    /// Uses servers that run already.
    pub(crate) fn given(urls: Vec<String>) -> Self {
        Self { own: Vec::new(), urls }
    }

    /// Starts as many servers as there shall be copies, with their stores in `folder`, and waits until each says where it listens.
    pub(crate) async fn start(binary: &Path, folder: &Path, fsync: Fsync, replicas: usize) -> Result<Self> {
        let sync = match fsync {
            Fsync::Lazy => "",
            Fsync::Always => ", sync_interval: always",
        };
        let store = format!("jetstream {{ max_file_store: {STORE_BYTES_MAX}{sync} }}\n");
        let configurations = if replicas > 1 { cluster(replicas, &store)? } else { vec![store] };
        let mut servers = Self { own: Vec::new(), urls: Vec::new() };
        for configuration in configurations {
            let launch = Launch {
                binary: binary.to_owned(),
                before: become_before()?,
                own_group: true,
                parent: folder.to_owned(),
                configuration,
            };
            let server = Server::launch(launch).await?;
            servers.urls.push(server.url());
            servers.own.push(server);
        }
        if let [alone] = &servers.own[..] {
            alone.wait_until_ready().await;
        }
        Ok(servers)
    }

    /// The servers' processes, as far as they are this one's children.
    pub(crate) fn ids(&mut self) -> Vec<u32> {
        self.own.iter_mut().filter_map(Server::process).map(|process| process.id()).collect()
    }

    /// The process of the only one; none where there are several, or it is not this one's child.
    pub(crate) fn alone(&mut self) -> Option<&Process> {
        match &mut self.own[..] {
            [alone] => alone.process().map(|process| &*process),
            _ => None,
        }
    }

    /// Waits for the end of any of them, which nobody asked for.
    pub(crate) async fn death(&mut self) -> anyhow::Error {
        let deaths: Vec<_> =
            self.own.iter_mut().filter_map(Server::process).map(|it| Box::pin(Process::death(it))).collect();
        if deaths.is_empty() {
            return std::future::pending().await;
        }
        futures_util::future::select_all(deaths).await.0
    }
}

/// Words before a program that make it end with the bench, however that ends.
pub(crate) fn become_before() -> Result<Vec<OsString>> {
    Ok(vec![std::env::current_exe()?.into(), "part".into(), "become".into()])
}
