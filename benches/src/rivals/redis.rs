//! Redis: one script call for each order (`place.lua`), or for 256 of them (`place_many.lua`). The script checks and takes both
//! lines and keeps the decision by the order's id.
//!
//! Calls for single orders go in pipelines, whose answers are awaited before the next; a pipeline takes what is there, so it
//! waits for nobody. In its favour: the order's lines are not kept, only its decision, and there is no stream of outcomes: the
//! reply is the outcome.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo as _, Pipeline};
use tempfile::TempDir;
use tokio::task::JoinSet;
use weir_kit::process::{Ending, Input, Process};

use super::audit::Ledger;
use super::free_port;
use super::measured::Measured;
use super::pace::{Bounds, Load, Taken};
use crate::findings::Findings;
use crate::load::folder;
use crate::load::job::Pace;
use crate::orders::{Placed, id_of};
use crate::servers::become_before;
use crate::shop::Load as Shop;

/// The scripts.
pub(crate) const SCRIPT: &str = include_str!("place.lua");
pub(crate) const SCRIPT_MANY: &str = include_str!("place_many.lua");
/// How long an answer may take; the client's own half second is short for a busy disk.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may take to start.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Keys that are read or written at once before and after the load.
const KEYS_AT_ONCE: usize = 1_000;
/// Orders that the audit sends again.
const RETRIED: u64 = 256;

/// What is kept on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// Nothing.
    Nothing,
    /// The append-only file, fsynced every second.
    EverySecond,
    /// The append-only file, fsynced before an answer: once for all that came meanwhile.
    Always,
}

/// How the calls are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) connections: u64,
    pub(crate) calls: Calls,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Calls {
    /// One order a call, so many calls in a pipeline at most.
    Single { pipeline: u64 },
    /// So many orders a call, one call under way.
    Many(u64),
}

impl Calls {
    const fn batch(self) -> u64 {
        match self {
            Self::Single { .. } => 1,
            Self::Many(orders) => orders,
        }
    }
}

struct Server {
    process: Process,
    port: u16,
    // The last to go.
    _folder: TempDir,
}

/// A connection that knows the scripts.
#[derive(Clone)]
struct Scripts {
    connection: MultiplexedConnection,
    single: String,
    many: String,
}

/// One pass on a server of its own.
pub(crate) async fn pass(
    program: &Path,
    store: &Path,
    way: Way,
    keeping: Keeping,
    (shop, pace, bounds): (&Shop, Pace, Bounds),
) -> Result<Measured> {
    let mut server = start(program, store, keeping)?;
    let port = server.port;
    server.process.until(START_PATIENCE, async || connect(port).await.ok()).await?;
    let mut client = Scripts::new(port).await?;
    let mut connections = Vec::new();
    for _ in 0..way.connections {
        connections.push(Scripts { connection: connect(port).await?, ..client.clone() });
    }
    let names = crate::orders::Orders::new(shop);
    client.fill(names.names(), shop.stock).await?;
    // Its clock starts here.
    let load = Load::new(shop, way.calls.batch(), pace, bounds);
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(send(connection, way.calls, load.clone()));
    }
    let mut measured = load.measure(senders, &mut JoinSet::new(), &server.process, None).await?;
    measured.findings = audit(&mut client, way.calls, shop, &load).await?;
    Ok(measured)
}

fn start(program: &Path, store: &Path, keeping: Keeping) -> Result<Server> {
    let folder = folder(store)?;
    let port = free_port()?;
    let before = become_before()?;
    let mut command = Command::new(&before[0]);
    command.args(&before[1..]).arg(program);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--daemonize", "no"]);
    command.arg("--dir").arg(folder.path());
    match keeping {
        Keeping::Nothing => command.args(["--appendonly", "no"]),
        Keeping::EverySecond => command.args(["--appendonly", "yes", "--appendfsync", "everysec"]),
        Keeping::Always => command.args(["--appendonly", "yes", "--appendfsync", "always"]),
    };
    let process = Process::start("redis-server", command, Input::None, Ending::Killed)?;
    Ok(Server { process, port, _folder: folder })
}

async fn connect(port: u16) -> Result<MultiplexedConnection> {
    let address = ("127.0.0.1", port).into_connection_info()?;
    // The client leaves Nagle's algorithm on by default, which would only slow it.
    let client = Client::open(address.set_tcp_settings(TcpSettings::default().set_nodelay(true)))?;
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_TIMEOUT));
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

fn stock_key(name: &str) -> String {
    format!("stock:{name}")
}

fn order_key(id: &str) -> String {
    format!("order:{id}")
}

impl Scripts {
    async fn new(port: u16) -> Result<Self> {
        let mut connection = connect(port).await?;
        let load = async |connection: &mut MultiplexedConnection, script: &str| {
            redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async::<String>(connection).await
        };
        let single = load(&mut connection, SCRIPT).await?;
        let many = load(&mut connection, SCRIPT_MANY).await?;
        Ok(Self { connection, single, many })
    }

    async fn fill(&mut self, names: &[String], stock: i64) -> Result<()> {
        for chunk in names.chunks(KEYS_AT_ONCE) {
            let mut command = redis::cmd("MSET");
            for name in chunk {
                command.arg(stock_key(name)).arg(stock);
            }
            command.exec_async(&mut self.connection).await?;
        }
        Ok(())
    }

    /// Decides orders, and gives whether each is confirmed.
    async fn decide<'o>(
        &mut self,
        calls: Calls,
        orders: impl Iterator<Item = Placed<'o>>,
    ) -> Result<Vec<bool>> {
        if matches!(calls, Calls::Single { .. }) {
            let mut pipeline = Pipeline::with_capacity(orders.size_hint().0);
            for order in orders {
                let [(first, quantity_1), (second, quantity_2)] = two(&order)?;
                pipeline.cmd("EVALSHA").arg(&self.single).arg(3).arg(order_key(&order.id));
                pipeline.arg(stock_key(first)).arg(stock_key(second)).arg(quantity_1).arg(quantity_2).arg(0);
            }
            return Ok(pipeline.query_async(&mut self.connection).await?);
        }
        let (mut keys, mut quantities) = (Vec::new(), Vec::new());
        for order in orders {
            let [(first, quantity_1), (second, quantity_2)] = two(&order)?;
            keys.extend([order_key(&order.id), stock_key(first), stock_key(second)]);
            quantities.extend([quantity_1, quantity_2]);
        }
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.many).arg(keys.len()).arg(&keys).arg(&quantities);
        let letters: String = command.query_async(&mut self.connection).await?;
        Ok(letters.bytes().map(|letter| letter == b'c').collect())
    }
}

/// The two lines that the scripts take.
pub(super) fn two<'o>(order: &Placed<'o>) -> Result<[(&'o str, i64); 2]> {
    order.lines.clone().try_into().ok().context("orders of two lines are compared")
}

async fn send(mut client: Scripts, calls: Calls, load: Load) -> Result<()> {
    let at_once = match calls {
        Calls::Single { pipeline } => pipeline,
        Calls::Many(_) => 1,
    };
    while let Some(taken) = load.take_some(at_once).await {
        let Taken { numbers, .. } = &taken;
        let decisions = client.decide(calls, load.placed(numbers.clone())).await?;
        let count = numbers.end - numbers.start;
        ensure!(decisions.len() as u64 == count, "{} answers to {count} orders", decisions.len());
        load.decided(&taken);
    }
    Ok(())
}

/// Reads all decisions back, then sends some orders again, which must change nothing.
async fn audit(client: &mut Scripts, calls: Calls, shop: &Shop, load: &Load) -> Result<Findings> {
    let sent = load.sent();
    let mut ledger = Ledger::new(load.orders(), shop.stock, sent);
    let mut first_decisions = Vec::new();
    for chunk in (0..sent).collect::<Vec<_>>().chunks(KEYS_AT_ONCE) {
        let mut command = redis::cmd("MGET");
        for &number in chunk {
            command.arg(order_key(&id_of(number)));
        }
        let decisions: Vec<Option<String>> = command.query_async(&mut client.connection).await?;
        for (&number, decision) in chunk.iter().zip(decisions) {
            let Some(decision) = decision else { continue };
            let confirmed = decision.starts_with('c');
            ledger.note(&id_of(number), confirmed);
            if number < RETRIED {
                first_decisions.push(confirmed);
            }
        }
    }
    let again = client.decide(calls, load.placed(0..sent.min(RETRIED))).await?;
    ensure!(again == first_decisions, "orders that were sent again were decided anew");
    let keys: u64 = redis::cmd("DBSIZE").query_async(&mut client.connection).await?;
    ensure!(keys == sent + u64::from(shop.skus), "{keys} keys where {sent} orders were sent");
    let mut left = Vec::new();
    for chunk in load.orders().names().chunks(KEYS_AT_ONCE) {
        let mut command = redis::cmd("MGET");
        for name in chunk {
            command.arg(stock_key(name));
        }
        left.extend(command.query_async::<Vec<i64>>(&mut client.connection).await?);
    }
    ledger.close(Some(&left))
}
