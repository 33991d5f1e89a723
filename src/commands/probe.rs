//! `weir probe`: asks a worker's admin server whether it is ready, for containers without a shell.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Ended;
use super::output::{json, say};
use super::settings::Common;

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 65_536;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// Where the worker's admin server listens [default: the configuration's, else 127.0.0.1:9464]
    #[arg(long, value_name = "ADDR", env = "WEIR_ADMIN")]
    admin: Option<String>,
    /// Ask whether it lives, not whether it is ready
    #[arg(long)]
    live: bool,
    /// How long to wait for its answer
    #[arg(long, default_value = "2s", value_parser = super::fields::duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn probe(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|config| {
        if let Some(admin) = &args.admin {
            config.admin.address.clone_from(admin);
        }
    })?;
    let mut address: SocketAddr =
        config.admin.address.to_socket_addrs()?.next().context("no address of the admin server")?;
    // Who listens everywhere listens here.
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            [127, 0, 0, 1].into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    let path = if args.live { "/livez" } else { "/readyz" };
    let asked = tokio::time::timeout(args.wait, ask(address, path)).await;
    let (good, said) = asked.with_context(|| format!("{address} does not answer in time"))??;
    if args.json {
        json(&serde_json::json!({ "address": address.to_string(), "path": path, "ok": good, "said": said }));
    } else {
        say!("{said}");
    }
    Ok(if good { Ended::Done } else { Ended::Failed })
}

/// Whether it answers 200, and what it says.
pub(super) async fn ask(address: SocketAddr, path: &str) -> anyhow::Result<(bool, String)> {
    let mut connection =
        TcpStream::connect(address).await.with_context(|| format!("no worker answers on {address}"))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(answer.starts_with("HTTP/1.1 "), "what answers on {address} is no worker");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((answer.starts_with("HTTP/1.1 200"), body.trim_end().to_owned()))
}
