//! PostgreSQL: one function call an order, or one call for many (`schema.sql`), by prepared statements.
//!
//! The server's settings are the package's defaults, which fsync each commit before it is answered (several at once where they
//! meet); beside lazy fsync, `synchronous_commit` is off. Each connection has one call under way.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};
use weir_kit::process::{Ending, Input, Process};

use super::audit::Ledger;
use super::free_port;
use super::measured::Measured;
use super::pace::{Bounds, Load};
use super::redis::two;
use crate::arguments::Fsync;
use crate::findings::Findings;
use crate::load::folder;
use crate::load::job::Pace;
use crate::orders::{Orders, Placed};
use crate::shop::Load as Shop;

/// The tables and functions.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// How long the server may take to make its folder, and to start.
const PATIENCE: Duration = Duration::from_mins(1);
/// Orders that the audit sends again.
const RETRIED: u64 = 64;

/// How the calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) connections: u64,
    /// Orders a call: for one alone there is a function of its own.
    pub(crate) batch: u64,
}

struct Server {
    process: Process,
    port: u16,
    // The last to go.
    _folder: TempDir,
}

/// One pass on a server of its own.
pub(crate) async fn pass(
    programs: &Path,
    store: &Path,
    way: Way,
    fsync: Fsync,
    (shop, pace, bounds): (&Shop, Pace, Bounds),
) -> Result<Measured> {
    let mut server = start(programs, store, fsync).await?;
    let port = server.port;
    let mut drivers = JoinSet::new();
    let client = server.process.until(PATIENCE, async || connect(port, &mut drivers).await.ok()).await?;
    client.batch_execute(SCHEMA).await?;
    fill(&client, &Orders::new(shop), shop.stock).await?;
    let mut calls = Vec::new();
    for _ in 0..way.connections {
        calls.push(Calls::new(connect(port, &mut drivers).await?).await?);
    }
    // Its clock starts here.
    let load = Load::new(shop, way.batch, pace, bounds);
    let mut senders = JoinSet::new();
    for calls in calls {
        senders.spawn(send(calls, way.batch, load.clone()));
    }
    let mut measured = load.measure(senders, &mut drivers, &server.process, None).await?;
    measured.findings = audit(&Calls::new(client).await?, way.batch, shop.stock, &load).await?;
    Ok(measured)
}

/// Who runs the server, which refuses to run as root: the user that Debian's package makes, else nobody.
fn other_user() -> Result<Option<(u32, u32)>> {
    if std::fs::metadata("/proc/self")?.uid() != 0 {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let ids = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let found = ids("postgres").or_else(|| ids("nobody"));
    found.map(Some).context("PostgreSQL does not run as root, and there is no other user to run it as")
}

async fn start(programs: &Path, store: &Path, fsync: Fsync) -> Result<Server> {
    let folder = folder(store)?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let user = other_user()?;
    if let Some((user, group)) = user {
        // It must be able to get there.
        chown(folder.path(), Some(user), Some(group))?;
        chown(&data, Some(user), Some(group))?;
    }
    // By its own name: a process that another user runs does not end with the bench that is killed, but with its folder gone.
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.current_dir(&data).process_group(0);
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command
    };
    let mut initdb = command("initdb");
    // What initdb writes is flushed by the checkpoint before the load.
    initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
    initdb.arg(&data);
    let mut initdb = Process::start("initdb", initdb, Input::None, Ending::Killed)?;
    ensure!(initdb.ended(PATIENCE).await?.success(), initdb.failed("failed"));

    let port = free_port()?;
    let mut postgres = command("postgres");
    postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    if fsync == Fsync::Lazy {
        postgres.args(["-c", "synchronous_commit=off"]);
    }
    let process = Process::start("postgres", postgres, Input::None, Ending::Asked)?;
    Ok(Server { process, port, _folder: folder })
}

async fn connect(port: u16, drivers: &mut JoinSet<Result<()>>) -> Result<Client> {
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    drivers.spawn(async { Ok(connection.await?) });
    Ok(client)
}

async fn fill(client: &Client, orders: &Orders, stock: i64) -> Result<()> {
    let names = orders.names();
    client
        .execute("INSERT INTO stock SELECT sku, $2 FROM unnest($1::text[]) AS sku", &[&names, &stock])
        .await?;
    for command in ["VACUUM ANALYZE", "CHECKPOINT"] {
        client.batch_execute(command).await?;
    }
    Ok(())
}

/// A connection with its statements.
struct Calls {
    client: Client,
    one: Statement,
    many: Statement,
}

impl Calls {
    async fn new(client: Client) -> Result<Self> {
        let one = client.prepare("SELECT place_order($1, $2, $3, $4, $5, $6)").await?;
        let many = client.prepare("SELECT place_orders($1, $2, $3, $4, $5, $6)").await?;
        Ok(Self { client, one, many })
    }

    async fn decide_one(&self, order: &Placed<'_>) -> Result<bool> {
        let [(first, quantity_1), (second, quantity_2)] = two(order)?;
        let row = self
            .client
            .query_one(&self.one, &[&order.id, &first, &quantity_1, &second, &quantity_2, &0_i64])
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn decide(&self, orders: &[Placed<'_>]) -> Result<Vec<bool>> {
        let ids: Vec<&str> = orders.iter().map(|order| order.id.as_str()).collect();
        let lines = orders.iter().map(two).collect::<Result<Vec<_>>>()?;
        let skus = |place: usize| -> Vec<&str> { lines.iter().map(|line| line[place].0).collect() };
        let quantities = |place: usize| -> Vec<i64> { lines.iter().map(|line| line[place].1).collect() };
        let row = self
            .client
            .query_one(&self.many, &[&ids, &skus(0), &quantities(0), &skus(1), &quantities(1), &0_i64])
            .await?;
        Ok(row.try_get(0)?)
    }
}

async fn send(calls: Calls, batch: u64, load: Load) -> Result<()> {
    while let Some(taken) = load.take().await {
        let orders: Vec<_> = load.placed(taken.numbers.clone()).collect();
        if batch == 1 {
            for order in &orders {
                calls.decide_one(order).await?;
            }
        } else {
            let decisions = calls.decide(&orders).await?;
            ensure!(decisions.len() == orders.len(), "{} answers to {}", decisions.len(), orders.len());
        }
        load.decided(&taken);
    }
    Ok(())
}

/// Reads all decisions back, then sends some orders again, which must change nothing.
async fn audit(calls: &Calls, batch: u64, units: i64, load: &Load) -> Result<Findings> {
    let before = stock(calls).await?;
    let mut ledger = Ledger::new(load.orders(), units, load.sent());
    let query = "SELECT order_id, confirmed FROM orders";
    let mut rows = std::pin::pin!(calls.client.query_raw(query, Vec::<String>::new()).await?);
    while let Some(row) = rows.next().await {
        let row = row?;
        ledger.note(row.try_get(0)?, row.try_get(1)?);
    }
    for order in load.placed(0..load.sent().min(RETRIED)) {
        let query = "SELECT confirmed FROM orders WHERE order_id = $1";
        let first: bool = calls.client.query_one(query, &[&order.id]).await?.try_get(0)?;
        let again = if batch == 1 {
            calls.decide_one(&order).await?
        } else {
            calls.decide(std::slice::from_ref(&order)).await?[0]
        };
        ensure!(again == first, "order {} was sent again and decided anew", order.id);
    }
    ensure!(stock(calls).await? == before, "orders that were sent again changed the stock");
    ledger.close(Some(&before))
}

/// Units left, by SKU number.
async fn stock(calls: &Calls) -> Result<Vec<i64>> {
    let rows = calls.client.query("SELECT on_hand FROM stock ORDER BY sku", &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
