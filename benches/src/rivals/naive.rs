//! The naive consumer, as the tutorials have it and as well as they have it: it takes messages of orders from JetStream, decides
//! them against stock in memory, publishes the outcomes and acknowledges the messages.
//!
//! A durable pull consumer with explicit acks and big batches; stock in a map, where both lines are checked and taken one after
//! the other and the first is put back where the second falls short; the outcomes of a message in one message, published without
//! waiting; and the message acknowledged once its outcomes' own ack is in. Two connections: orders in, outcomes out. Decoding,
//! deciding and publishing share one task: more of them gave nothing on two cores, where the server is what is busy.
//!
//! In its favour: it reads Weir's frames with Weir's own reader, it keeps and announces an order's id and decision alone, its
//! messages are never larger than what came in, and a restart would lose its stock and the ids that it knows: what Weir has over
//! it is that a crash costs nothing.

use std::borrow::Cow;

use anyhow::{Context as _, Result, bail};
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{ContextBuilder, PublishAckFuture};
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use async_nats::jetstream::{Context, Message};
use compact_str::CompactString;
use foldhash::fast::FixedState;
use futures_util::StreamExt as _;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use wincode::config::Configuration;
use wincode::{SchemaRead, SchemaWrite};

use super::audit::Ledger;
use crate::findings::Findings;
use crate::load::job::{Said, say, take};
use crate::orders::{Orders, number_of};
use crate::shop::Load;
use weir::words::codec::{Format, commands};
use weir::words::command::Command;
use weir::words::policy::RULES_NEWEST;

/// Where orders go, and the stream of the outcomes.
pub(crate) const ORDERS: &str = "naive.orders";
pub(crate) const OUTCOMES_STREAM: &str = "NAIVE_OUTCOMES";
const ORDERS_STREAM: &str = "NAIVE_ORDERS";
const OUTCOMES: &str = "naive.outcomes";
/// The most messages that the consumer asks for at once.
pub(crate) const PULL_MESSAGES: usize = 500;
/// The most messages that are decided and not acknowledged.
const UNACKED_MAX: usize = 16_384;
/// How long an acknowledgement may take.
const ACK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// What the worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    urls: Vec<String>,
    load: Load,
}

impl Job {
    pub(crate) fn new(urls: &[String], load: &Load) -> Self {
        Self { urls: urls.to_vec(), load: load.clone() }
    }
}

/// What is told of an order.
#[derive(Serialize, Deserialize, SchemaRead, SchemaWrite)]
struct Told<'a> {
    order_id: Cow<'a, str>,
    confirmed: bool,
}

macro_rules! frame {
    () => {
        Configuration::default().with_varint_encoding().disable_preallocation_size_limit()
    };
}

fn write(format: Format, told: &Vec<Told<'_>>) -> Result<Vec<u8>> {
    Ok(match format {
        Format::Json => serde_json::to_vec(told)?,
        Format::Bincode => wincode::config::serialize(told, frame!())?,
    })
}

/// The numbers of the orders that a message of outcomes decides.
pub(crate) fn read(format: Format, payload: &[u8]) -> Result<Vec<u64>> {
    Ok(told(format, payload)?.iter().filter_map(|told| number_of(&told.order_id)).collect())
}

fn told(format: Format, payload: &[u8]) -> Result<Vec<Told<'_>>> {
    Ok(match format {
        Format::Json => serde_json::from_slice(payload)?,
        Format::Bincode => wincode::config::deserialize_exact(payload, frame!())?,
    })
}

/// An order in JSON, as far as it is looked at.
#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow)]
    place: Order<'a>,
}

#[derive(Deserialize)]
struct Order<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    #[serde(borrow)]
    lines: Vec<Line<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    sku: Cow<'a, str>,
    quantity: i64,
}

type Map<V> = HashMap<CompactString, V, FixedState>;

/// What it remembers.
struct Shop {
    /// Units of each SKU that are left.
    stock: Map<i64>,
    /// What became of each order: a retry is answered the same.
    decided: Map<bool>,
}

impl Shop {
    fn new(orders: &Orders, units: i64) -> Self {
        let stock = orders.names().iter().map(|name| (name.as_str().into(), units)).collect();
        Self { stock, decided: Map::default() }
    }

    fn decide<'l>(&mut self, order_id: &str, lines: impl Iterator<Item = (&'l str, i64)> + Clone) -> bool {
        if let Some(confirmed) = self.decided.get(order_id) {
            return *confirmed;
        }
        let mut taken = 0;
        let confirmed = lines.clone().all(|(sku, quantity)| {
            let enough = self.stock.get_mut(sku).filter(|left| **left >= quantity);
            enough.map(|left| *left -= quantity).is_some_and(|()| {
                taken += 1;
                true
            })
        });
        if !confirmed {
            for (sku, quantity) in lines.take(taken) {
                if let Some(left) = self.stock.get_mut(sku) {
                    *left += quantity;
                }
            }
        }
        self.decided.insert(order_id.into(), confirmed);
        confirmed
    }

    /// Decides a message's orders, and gives the outcomes to publish.
    fn answer(&mut self, format: Format, payload: &[u8]) -> Result<Vec<u8>> {
        let mut answers = Vec::new();
        if format == Format::Json {
            let orders: Vec<Received<'_>> = serde_json::from_slice(payload)?;
            for Received { place } in orders {
                let lines = place.lines.iter().map(|line| (&*line.sku, line.quantity));
                let confirmed = self.decide(&place.order_id, lines);
                answers.push(Told { order_id: place.order_id, confirmed });
            }
            return write(format, &answers);
        }
        for command in commands(Some(format), payload, RULES_NEWEST) {
            let Ok(Command::Place(place)) = command else { bail!("an order that cannot be read") };
            let lines = place.lines.iter().map(|line| (&*line.sku, line.quantity));
            let confirmed = self.decide(&place.order_id, lines);
            answers.push(Told { order_id: place.order_id.to_string().into(), confirmed });
        }
        write(format, &answers)
    }
}

async fn context(urls: &[String], name: &str) -> Result<Context> {
    let options = async_nats::ConnectOptions::new().name(format!("naive {name}"));
    let servers: Vec<async_nats::ServerAddr> =
        urls.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
    let client = options.connect(servers).await?;
    // The bound on what is under way is the channel's, not the client's.
    Ok(ContextBuilder::new().timeout(ACK_TIMEOUT).max_ack_inflight(2 * UNACKED_MAX).build(client))
}

/// Makes the streams, with the settings of Weir's own log: a file, one replica, nothing dropped.
pub(crate) async fn make_streams(urls: &[String]) -> Result<()> {
    let context = context(urls, "setup").await?;
    for (name, subject) in [(ORDERS_STREAM, ORDERS), (OUTCOMES_STREAM, OUTCOMES)] {
        let config = Config {
            name: name.to_owned(),
            subjects: vec![subject.to_owned()],
            discard: DiscardPolicy::New,
            duplicate_window: std::time::Duration::from_millis(100),
            ..Config::default()
        };
        context.create_stream(config).await.with_context(|| format!("cannot make stream {name}"))?;
    }
    Ok(())
}

/// Removes the streams.
pub(crate) async fn remove_streams(urls: &[String]) -> Result<()> {
    let context = context(urls, "setup").await?;
    for name in [ORDERS_STREAM, OUTCOMES_STREAM] {
        context.delete_stream(name).await?;
    }
    Ok(())
}

async fn consumer(context: &Context) -> Result<PullConsumer> {
    let config = pull::Config {
        durable_name: Some("naive".to_owned()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: i64::try_from(2 * UNACKED_MAX)?,
        ..pull::Config::default()
    };
    context.create_consumer_on_stream(config, ORDERS_STREAM).await.context("cannot make the consumer")
}

/// Runs the worker, a process of its own.
pub(crate) async fn work() -> Result<()> {
    let job: Job = take()?;
    let mut shop = Shop::new(&Orders::new(&job.load), job.load.stock);
    let (consuming, outcomes) = (context(&job.urls, "orders").await?, context(&job.urls, "outcomes").await?);
    let consumer = consumer(&consuming).await?;
    let mut messages = consumer.stream().max_messages_per_batch(PULL_MESSAGES).messages().await?;
    let (decided, to_ack) = mpsc::channel(UNACKED_MAX);
    let mut acknowledging = tokio::spawn(acknowledge(to_ack));
    say(&Said::Ready)?;
    loop {
        tokio::select! {
            message = messages.next() => {
                let message = message.context("the consumer's messages ended")??;
                let outcome = shop.answer(job.load.format, &message.payload)?;
                let stored = outcomes.publish(OUTCOMES, outcome.into()).await?;
                decided.send((stored, message)).await?;
            }
            ended = &mut acknowledging => return ended?,
        }
    }
}

/// Acknowledges each message once its outcomes are stored. Acks are sent without waiting for what the server says to them.
async fn acknowledge(mut decided: mpsc::Receiver<(PublishAckFuture, Message)>) -> Result<()> {
    while let Some((stored, message)) = decided.recv().await {
        stored.await.context("an outcome was not stored")?;
        message.ack().await.map_err(anyhow::Error::from_boxed)?;
    }
    Ok(())
}

/// Reads all outcomes back.
pub(crate) async fn audit(urls: &[String], load: &Load, orders: &Orders, sent: u64) -> Result<Findings> {
    let context = context(urls, "audit").await?;
    let stream = context.get_stream(OUTCOMES_STREAM).await?;
    let count = stream.get_info().await?.state.messages;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::All,
        ..pull::Config::default()
    };
    let consumer = stream.create_consumer(config).await?;
    let mut messages = consumer.stream().max_messages_per_batch(PULL_MESSAGES).messages().await?;
    let mut ledger = Ledger::new(orders, load.stock, sent);
    for _ in 0..count {
        let next = tokio::time::timeout(ACK_TIMEOUT, messages.next()).await;
        let message = next.context("the outcomes end early")?.context("the outcomes end early")??;
        for told in told(load.format, &message.payload)? {
            ledger.note(&told.order_id, told.confirmed);
        }
    }
    // What it holds as left is gone with it.
    ledger.close(None)
}
