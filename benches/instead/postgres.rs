//! PostgreSQL: one function call an order, and one call for many (`schema.sql`), by prepared statements.
//!
//! The server's settings are Debian's defaults, which fsync each commit before it is answered (several at once where they
//! meet): it belongs beside `always` alone. Each connection has one call under way.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures_util::StreamExt as _;
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Statement};

use super::Settings;
use super::audit::{Audit, Ledger};
use super::load::{Load, Window};
use super::orders::{Order, QUANTITY, Shop, sku};
use super::servers::{Ending, Folder, Process, Server, free_port};

/// The tables and functions.
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// How long the server may take to make its folder.
const INITDB_DEADLINE: Duration = Duration::from_mins(1);
/// Orders that the audit sends again.
const RETRIED: u64 = 64;

/// How the calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) connections: u64,
    /// Orders a call: for one alone there is a function of its own.
    pub(crate) batch: u64,
}

/// One pass on a server of its own.
pub(crate) async fn pass(settings: &Settings, way: Way, load: &Load) -> Result<(Window, Audit)> {
    let mut server = start(&settings.programs.postgres()?, &settings.store).await?;
    let port = server.port;
    let mut drivers = JoinSet::new();
    let client = server.process.until(async || connect(port, &mut drivers).await.ok()).await?;
    client.batch_execute(SCHEMA).await?;
    fill(&client, settings.shop).await?;

    let mut senders = JoinSet::new();
    for _ in 0..way.connections {
        let calls = Calls::new(connect(port, &mut drivers).await?).await?;
        senders.spawn(send(calls, way.batch, load.clone()));
    }
    let window = load.measure(senders, &mut drivers, &server).await?;
    let calls = Calls::new(client).await?;
    let audit = audit(&calls, way.batch, settings.shop, load).await?;
    Ok((window, audit))
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

async fn start(programs: &Path, store: &Path) -> Result<Server> {
    let folder = Folder::new(store, "postgres")?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    let user = other_user()?;
    if let Some((user, group)) = user {
        chown(&data, Some(user), Some(group))?;
    }
    let command = |program: &str| {
        let mut command = Command::new(programs.join(program));
        command.current_dir(&data);
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command
    };
    let mut initdb = command("initdb");
    // What initdb writes is flushed by the checkpoint before the load.
    initdb.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"]);
    initdb.arg(&data);
    let mut initdb = Process::start("initdb", initdb, folder.path(), Ending::Killed)?;
    ensure!(initdb.ended(INITDB_DEADLINE).await?.success(), initdb.failed("failed"));

    let port = free_port()?;
    let mut postgres = command("postgres");
    postgres.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    postgres.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
    let process = Process::start("postgres", postgres, folder.path(), Ending::Asked)?;
    Ok(Server::new(process, port, folder))
}

async fn connect(port: u16, drivers: &mut JoinSet<Result<()>>) -> Result<Client> {
    let config = format!("host=127.0.0.1 port={port} user=postgres dbname=postgres");
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
    drivers.spawn(async { Ok(connection.await?) });
    Ok(client)
}

async fn fill(client: &Client, shop: Shop) -> Result<()> {
    let skus: Vec<String> = (0..shop.skus).map(|number| sku(number).into()).collect();
    client
        .execute("INSERT INTO stock SELECT sku, $2 FROM unnest($1::text[]) AS sku", &[&skus, &shop.stock])
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

    async fn decide_one(&self, order: &Order) -> Result<bool> {
        let [first, second] = order.skus.each_ref().map(AsRef::<str>::as_ref);
        let millis = order.submitted_at.millis();
        let row = self
            .client
            .query_one(&self.one, &[&&*order.id, &first, &QUANTITY, &second, &QUANTITY, &millis])
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn decide(&self, orders: &[Order]) -> Result<Vec<bool>> {
        let ids: Vec<&str> = orders.iter().map(|order| &*order.id).collect();
        let skus = |place: usize| -> Vec<&str> { orders.iter().map(|order| &*order.skus[place]).collect() };
        let quantities = vec![QUANTITY; orders.len()];
        let millis = orders.first().map_or(0, |order| order.submitted_at.millis());
        let row = self
            .client
            .query_one(&self.many, &[&ids, &skus(0), &quantities, &skus(1), &quantities, &millis])
            .await?;
        Ok(row.try_get(0)?)
    }
}

async fn send(calls: Calls, batch: u64, load: Load) -> Result<()> {
    while let Some(numbers) = load.take(batch) {
        let count = numbers.end - numbers.start;
        if batch == 1 {
            for order in load.orders(numbers) {
                calls.decide_one(&order).await?;
            }
        } else {
            let orders: Vec<_> = load.orders(numbers).collect();
            let decisions = calls.decide(&orders).await?;
            ensure!(decisions.len() == orders.len(), "{} answers to {count} orders", decisions.len());
        }
        load.decided(count);
    }
    Ok(())
}

/// Reads all decisions back, then sends some orders again, which must change nothing.
async fn audit(calls: &Calls, batch: u64, shop: Shop, load: &Load) -> Result<Audit> {
    let before = stock(calls).await?;
    let mut ledger = Ledger::new(shop, load.sent());
    let query = "SELECT order_id, confirmed FROM orders";
    let mut rows = std::pin::pin!(calls.client.query_raw(query, Vec::<String>::new()).await?);
    while let Some(row) = rows.next().await {
        let row = row?;
        ledger.note(row.try_get(0)?, row.try_get(1)?);
    }
    let orders: Vec<_> = load.orders(0..load.sent().min(RETRIED)).collect();
    for order in &orders {
        let query = "SELECT confirmed FROM orders WHERE order_id = $1";
        let first: bool = calls.client.query_one(query, &[&&*order.id]).await?.try_get(0)?;
        let again = if batch == 1 {
            calls.decide_one(order).await?
        } else {
            calls.decide(std::slice::from_ref(order)).await?[0]
        };
        ensure!(again == first, "order {} was sent again and decided anew", order.id);
    }
    ensure!(stock(calls).await? == before, "orders that were sent again changed the stock");
    ledger.close(&before)
}

/// Units left, by SKU number.
async fn stock(calls: &Calls) -> Result<Vec<i64>> {
    let rows = calls.client.query("SELECT on_hand FROM stock ORDER BY sku", &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
