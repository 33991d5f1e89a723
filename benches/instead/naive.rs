//! The naive consumer, as the tutorials have it and as well as they have it: JetStream with one JSON order a message.
//!
//! A durable pull consumer with explicit acks and big batches; stock in a `DashMap`, where both lines are checked and taken one after the
//! other and the first is put back where the second falls short; one JSON outcome a message, published without waiting; and
//! the order acknowledged once its outcome's own ack is in. Three connections: orders in, orders out, outcomes. Decoding,
//! deciding and publishing share one task: more of them gave nothing on two cores, where the server is what is busy.
//!
//! In its favour: the generator shares the process and is told of outcomes in memory, not by reading them; nothing tells
//! repeated orders apart (no `Nats-Msg-Id`, no record of what was decided), and a restart would lose the stock.

use std::borrow::Cow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture};
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use compact_str::CompactString;
use dashmap::DashMap;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::audit::{Audit, Ledger};
use super::load::{Load, Window};
use super::orders::{Order, QUANTITY, Shop, sku};
use super::servers::{Ending, Folder, Process, Server};
use super::{Fsync, Settings};

/// The most orders that were sent and whose outcome is not acknowledged.
const IN_FLIGHT_MAX: usize = 8_192;
/// The same where each message is fsynced: with more, the server stores thousands of orders before it gives out the first,
/// and a short window may see none decided.
const IN_FLIGHT_FSYNCED_MAX: usize = 256;
/// The most messages that the consumer asks for at once.
pub(crate) const PULL_MESSAGES: usize = 1_000;
/// Orders for which the generator waits at once, so as not to wait for each.
const SENT_AT_ONCE: u16 = 64;
/// How long an acknowledgement may take.
const ACK_TIMEOUT: Duration = Duration::from_secs(30);

const ORDERS: &str = "naive.orders";
const OUTCOMES: &str = "naive.outcomes";

#[derive(Serialize)]
struct PlacedLine<'a> {
    sku: &'a str,
    quantity: i64,
}

#[derive(Serialize)]
struct Placed<'a> {
    order_id: &'a str,
    lines: [PlacedLine<'a>; 2],
    submitted_at: weir::words::timestamp::Timestamp,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    quantity: i64,
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Confirmed,
    Refused,
}

#[derive(Serialize, Deserialize)]
struct Outcome<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    outcome: Decision,
}

/// Units of each SKU that are left.
struct Stock(DashMap<CompactString, i64>);

impl Stock {
    fn new(shop: Shop) -> Self {
        Self((0..shop.skus).map(|number| (sku(number), shop.stock)).collect())
    }

    fn take(&self, line: &Line<'_>) -> bool {
        self.0.get_mut(&*line.sku).is_some_and(|mut left| {
            let enough = *left >= line.quantity;
            if enough {
                *left -= line.quantity;
            }
            enough
        })
    }

    fn put_back(&self, line: &Line<'_>) {
        if let Some(mut left) = self.0.get_mut(&*line.sku) {
            *left += line.quantity;
        }
    }

    fn decide(&self, lines: &[Line<'_>]) -> Decision {
        for (place, line) in lines.iter().enumerate() {
            if !self.take(line) {
                lines[..place].iter().for_each(|taken| self.put_back(taken));
                return Decision::Refused;
            }
        }
        Decision::Confirmed
    }

    fn left(&self, shop: Shop) -> Vec<i64> {
        (0..shop.skus).map(|number| self.0.get(&sku(number)).map_or(0, |left| *left)).collect()
    }
}

/// The most orders that are under way: enough to saturate.
pub(crate) const fn in_flight(fsync: Fsync) -> usize {
    match fsync {
        Fsync::Lazy => IN_FLIGHT_MAX,
        Fsync::Always => IN_FLIGHT_FSYNCED_MAX,
    }
}

/// One pass on a server of its own.
pub(crate) async fn pass(settings: &Settings, fsync: Fsync, load: &Load) -> Result<(Window, Audit)> {
    let server = start(&settings.programs.nats()?, &settings.store, fsync).await?;
    let orders = connect(&server, "generator").await?;
    let consuming = connect(&server, "consuming").await?;
    let outcomes = connect(&server, "outcomes").await?;
    create_stream(&orders, "ORDERS", ORDERS).await?;
    let stream = create_stream(&orders, "OUTCOMES", OUTCOMES).await?;

    let stock = Arc::new(Stock::new(settings.shop));
    let permits = Arc::new(Semaphore::new(in_flight(fsync)));
    let (mut senders, mut others) = (JoinSet::new(), JoinSet::new());
    let (decided, to_ack) = mpsc::channel(IN_FLIGHT_MAX);
    others.spawn(decide(consumer(&consuming).await?, outcomes, Arc::clone(&stock), decided));
    others.spawn(acknowledge(to_ack, load.clone(), Arc::clone(&permits)));
    let (sent, stored) = mpsc::channel(IN_FLIGHT_MAX);
    senders.spawn(generate(orders, load.clone(), permits, sent));
    senders.spawn(confirm_stored(stored));

    let window = load.measure(senders, &mut others, &server).await?;
    others.shutdown().await;
    let mut ledger = Ledger::new(settings.shop, load.sent());
    read_outcomes(&stream, &mut ledger).await?;
    Ok((window, ledger.close(&stock.left(settings.shop))?))
}

async fn start(program: &Path, store: &Path, fsync: Fsync) -> Result<Server> {
    let folder = Folder::new(store, "nats")?;
    let path = folder.path();
    let mut jetstream = json!({ "store_dir": path.join("store") });
    if fsync == Fsync::Always {
        jetstream["sync_interval"] = "always".into();
    }
    let config = path.join("nats.conf");
    let text = json!({ "host": "127.0.0.1", "port": -1, "ports_file_dir": path, "jetstream": jetstream });
    std::fs::write(&config, text.to_string())?;
    let mut command = Command::new(program);
    command.arg("-c").arg(&config);
    let mut process = Process::start("nats-server", command, path, Ending::Killed)?;
    let ports = path.join(format!("nats-server_{}.ports", process.id()));
    let port = process
        .until(async || {
            let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
            let port: u16 = ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()?;
            let client = async_nats::connect(format!("127.0.0.1:{port}")).await.ok()?;
            async_nats::jetstream::new(client).query_account().await.ok().map(|_| port)
        })
        .await?;
    Ok(Server::new(process, port, folder))
}

async fn connect(server: &Server, name: &str) -> Result<Context> {
    let options = async_nats::ConnectOptions::new().name(format!("naive {name}"));
    let client = options.connect(format!("127.0.0.1:{}", server.port)).await?;
    // The bound on acknowledgements under way is the generator's, not the client's.
    Ok(ContextBuilder::new().timeout(ACK_TIMEOUT).max_ack_inflight(2 * IN_FLIGHT_MAX).build(client))
}

/// With the settings of Weir's own log: a file, one replica, nothing dropped.
async fn create_stream(context: &Context, name: &str, subject: &str) -> Result<Stream> {
    let config = Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        discard: DiscardPolicy::New,
        duplicate_window: Duration::from_millis(100),
        ..Config::default()
    };
    context.create_stream(config).await.with_context(|| format!("cannot make stream {name}"))
}

async fn consumer(context: &Context) -> Result<PullConsumer> {
    let config = pull::Config {
        durable_name: Some("naive".to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: i64::try_from(2 * IN_FLIGHT_MAX)?,
        ..pull::Config::default()
    };
    context.create_consumer_on_stream(config, "ORDERS").await.context("cannot make the consumer")
}

async fn generate(
    context: Context,
    load: Load,
    permits: Arc<Semaphore>,
    sent: mpsc::Sender<PublishAckFuture>,
) -> Result<()> {
    loop {
        permits.acquire_many(SENT_AT_ONCE.into()).await?.forget();
        let Some(numbers) = load.take(SENT_AT_ONCE.into()) else { return Ok(()) };
        for order in load.orders(numbers) {
            sent.send(context.publish(ORDERS, encode(&order)?.into()).await?).await?;
        }
    }
}

fn encode(order: &Order) -> Result<Vec<u8>> {
    let lines = order.skus.each_ref().map(|sku| PlacedLine { sku, quantity: QUANTITY });
    let placed = Placed { order_id: &order.id, lines, submitted_at: order.submitted_at };
    Ok(serde_json::to_vec(&placed)?)
}

/// Waits for the orders' acks, in the order in which they were sent.
async fn confirm_stored(mut sent: mpsc::Receiver<PublishAckFuture>) -> Result<()> {
    while let Some(stored) = sent.recv().await {
        stored.await.context("an order was not stored")?;
    }
    Ok(())
}

/// Decides one order and gives the outcome to publish.
fn answer(stock: &Stock, payload: &[u8]) -> Result<Vec<u8>> {
    let order: Received<'_> = serde_json::from_slice(payload)?;
    let outcome = Outcome { outcome: stock.decide(&order.lines), order_id: order.order_id };
    Ok(serde_json::to_vec(&outcome)?)
}

type Decided = (PublishAckFuture, async_nats::jetstream::Message);

async fn decide(
    consumer: PullConsumer,
    outcomes: Context,
    stock: Arc<Stock>,
    decided: mpsc::Sender<Decided>,
) -> Result<()> {
    let mut messages = consumer.stream().max_messages_per_batch(PULL_MESSAGES).messages().await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let outcome = answer(&stock, &message.payload)?;
        let stored = outcomes.publish(OUTCOMES, outcome.into()).await?;
        decided.send((stored, message)).await?;
    }
    bail!("the consumer's messages ended")
}

/// Acknowledges each order once its outcome is stored. Acks are sent without waiting for what the server says to them.
async fn acknowledge(
    mut decided: mpsc::Receiver<Decided>,
    load: Load,
    permits: Arc<Semaphore>,
) -> Result<()> {
    while let Some((stored, message)) = decided.recv().await {
        stored.await.context("an outcome was not stored")?;
        message.ack().await.map_err(anyhow::Error::from_boxed)?;
        load.decided(1);
        permits.add_permits(1);
    }
    Ok(())
}

async fn read_outcomes(stream: &Stream, ledger: &mut Ledger) -> Result<()> {
    let count = stream.get_info().await?.state.messages;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::All,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.stream().max_messages_per_batch(PULL_MESSAGES).messages().await?;
    for _ in 0..count {
        let next = tokio::time::timeout(ACK_TIMEOUT, messages.next()).await;
        let message = next.context("the outcomes end early")?.context("the outcomes end early")??;
        let outcome: Outcome<'_> = serde_json::from_slice(&message.payload)?;
        ledger.note(&outcome.order_id, outcome.outcome == Decision::Confirmed);
    }
    Ok(())
}
