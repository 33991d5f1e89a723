//! Redis: one script call an order (`place.lua`), which checks and takes both lines and keeps the decision by the order's id.
//!
//! Each connection sends its calls (EVALSHA) in pipelines and waits for a pipeline's answers before the next. A pipeline of
//! one is for comparison only. Beside lazy fsync Redis persists nothing at all (no RDB, no AOF), which is less than JetStream
//! does; beside `always` it appends and fsyncs before it answers, once for all that came meanwhile.
//!
//! In its favour: the order's lines are not kept, only its decision and when it was submitted.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, Pipeline};
use tokio::task::JoinSet;

use super::audit::{Audit, Ledger};
use super::load::{Load, Window};
use super::orders::{Order, QUANTITY, Shop, order_id, sku};
use super::servers::{Ending, Folder, Process, Server, free_port};
use super::{Fsync, Settings};

/// The script.
pub(crate) const SCRIPT: &str = include_str!("place.lua");
/// How long an answer may take; the client's own half second is short for a busy disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Keys that are read or written at once before and after the load.
const KEYS_AT_ONCE: usize = 1_000;
/// Orders that the audit sends again.
const RETRIED: u64 = 256;

/// How the calls are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) connections: u64,
    pub(crate) pipeline: u64,
}

/// One pass on a server of its own.
pub(crate) async fn pass(
    settings: &Settings,
    way: Way,
    fsync: Fsync,
    load: &Load,
) -> Result<(Window, Audit)> {
    let mut server = start(&settings.programs.redis()?, &settings.store, fsync)?;
    let port = server.port;
    let mut connection = server.process.until(async || connect(port).await.ok()).await?;
    let digest: String = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut connection).await?;
    fill(&mut connection, settings.shop).await?;

    let mut senders = JoinSet::new();
    for _ in 0..way.connections {
        let (connection, digest, load) = (connect(port).await?, digest.clone(), load.clone());
        senders.spawn(send(connection, digest, way.pipeline, load));
    }
    let window = load.measure(senders, &mut JoinSet::new(), &server).await?;
    let audit = audit(&mut connection, &digest, settings.shop, load).await?;
    Ok((window, audit))
}

fn start(program: &Path, store: &Path, fsync: Fsync) -> Result<Server> {
    let folder = Folder::new(store, "redis")?;
    let port = free_port()?;
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--daemonize", "no"]);
    command.arg("--dir").arg(folder.path());
    match fsync {
        Fsync::Lazy => command.args(["--appendonly", "no"]),
        Fsync::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
    };
    let process = Process::start("redis-server", command, folder.path(), Ending::Killed)?;
    Ok(Server::new(process, port, folder))
}

async fn connect(port: u16) -> Result<MultiplexedConnection> {
    let address = ("127.0.0.1", port).into_connection_info()?;
    // The client leaves Nagle's algorithm on by default, which would only slow it.
    let client = Client::open(address.set_tcp_settings(TcpSettings::default().set_nodelay(true)))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_TIMEOUT));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

fn stock_key(number: u32) -> String {
    format!("stock:{}", sku(number))
}

fn order_key(id: &str) -> String {
    format!("order:{id}")
}

async fn fill(connection: &mut MultiplexedConnection, shop: Shop) -> Result<()> {
    for chunk in (0..shop.skus).collect::<Vec<_>>().chunks(KEYS_AT_ONCE) {
        let mut command = redis::cmd("MSET");
        for &number in chunk {
            command.arg(stock_key(number)).arg(shop.stock);
        }
        command.exec_async(connection).await?;
    }
    Ok(())
}

fn call(pipeline: &mut Pipeline, digest: &str, order: &Order) {
    let [first, second] = &order.skus;
    pipeline
        .cmd("EVALSHA")
        .arg(digest)
        .arg(3)
        .arg(order_key(&order.id))
        .arg(format!("stock:{first}"))
        .arg(format!("stock:{second}"))
        .arg(QUANTITY)
        .arg(QUANTITY)
        .arg(order.submitted_at.millis());
}

async fn send(
    mut connection: MultiplexedConnection,
    digest: String,
    pipeline: u64,
    load: Load,
) -> Result<()> {
    while let Some(numbers) = load.take(pipeline) {
        let count = numbers.end - numbers.start;
        let decisions = decide(&mut connection, &digest, load.orders(numbers)).await?;
        ensure!(decisions.len() as u64 == count, "{} answers to {count} orders", decisions.len());
        load.decided(count);
    }
    Ok(())
}

async fn decide(
    connection: &mut MultiplexedConnection,
    digest: &str,
    orders: impl Iterator<Item = Order>,
) -> Result<Vec<bool>> {
    let mut pipeline = Pipeline::with_capacity(orders.size_hint().0);
    orders.for_each(|order| call(&mut pipeline, digest, &order));
    Ok(pipeline.query_async(connection).await?)
}

/// Reads all decisions back, then sends some orders again, which must change nothing.
async fn audit(
    connection: &mut MultiplexedConnection,
    digest: &str,
    shop: Shop,
    load: &Load,
) -> Result<Audit> {
    let sent = load.sent();
    let mut ledger = Ledger::new(shop, sent);
    let mut first_decisions = Vec::new();
    for chunk in (0..sent).collect::<Vec<_>>().chunks(KEYS_AT_ONCE) {
        let mut command = redis::cmd("MGET");
        for &number in chunk {
            command.arg(order_key(&order_id(number)));
        }
        let decisions: Vec<Option<String>> = command.query_async(connection).await?;
        for (&number, decision) in chunk.iter().zip(decisions) {
            let Some(decision) = decision else { continue };
            let confirmed = decision.starts_with("confirmed ");
            ledger.note(&order_id(number), confirmed);
            if number < RETRIED {
                first_decisions.push(confirmed);
            }
        }
    }
    let again = decide(connection, digest, load.orders(0..sent.min(RETRIED))).await?;
    ensure!(again == first_decisions, "orders that were sent again were decided anew");
    let keys: u64 = redis::cmd("DBSIZE").query_async(connection).await?;
    ensure!(keys == sent + u64::from(shop.skus), "{keys} keys where {sent} orders were sent");
    let mut left = Vec::new();
    for chunk in (0..shop.skus).collect::<Vec<_>>().chunks(KEYS_AT_ONCE) {
        let mut command = redis::cmd("MGET");
        for &number in chunk {
            command.arg(stock_key(number));
        }
        left.extend(command.query_async::<Vec<i64>>(connection).await?);
    }
    ledger.close(&left)
}
