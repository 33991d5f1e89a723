//! Orders for several shards, sent all the time, with what was acknowledged kept: afterwards it shows whether each has exactly
//! one outcome, who announced it, and for how long nothing was announced.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir::edges::jetstream::JetStreams;

use crate::nats::{soon, until};
use crate::weir::{audit_shard, log_messages, place, receive};

/// How long an append to a log may take before it is sent again.
const ACK_PATIENCE: Duration = Duration::from_secs(1);

/// Orders under way, one after the other on each shard.
pub(crate) struct Orders {
    stop: CancellationToken,
    shards: Vec<Sending>,
}

struct Sending {
    acked: Arc<AtomicU64>,
    task: JoinHandle<Sent>,
}

/// What one shard's log has acknowledged.
pub(crate) struct Sent {
    pub(crate) shard: String,
    /// The payloads, by their sequences.
    pub(crate) acked: BTreeMap<u64, String>,
    /// Those whose sequences were given again, to others.
    again: Vec<String>,
}

impl Orders {
    /// Starts sending to the servers at these URLs, with a pause after each order.
    pub(crate) async fn start(urls: &[String], shards: &[String], pause: Duration) -> Self {
        let stop = CancellationToken::new();
        let mut sending = Vec::new();
        for shard in shards {
            let client = async_nats::connect(urls).await.unwrap();
            let mut context = async_nats::jetstream::new(client);
            context.set_timeout(ACK_PATIENCE);
            let (acked, stop) = (Arc::new(AtomicU64::new(0)), stop.clone());
            let task = tokio::spawn(send(context, shard.clone(), pause, acked.clone(), stop));
            sending.push(Sending { acked, task });
        }
        Self { stop, shards: sending }
    }

    /// How many messages each shard's log has acknowledged so far.
    pub(crate) fn acked(&self) -> Vec<u64> {
        self.shards.iter().map(|sending| sending.acked.load(Relaxed)).collect()
    }

    /// Ends it, once each shard's last order is acknowledged.
    pub(crate) async fn stop(self) -> Vec<Sent> {
        self.stop.cancel();
        let mut sent = Vec::new();
        for Sending { task, .. } in self.shards {
            sent.push(soon("the end of the orders", task).await.unwrap());
        }
        sent
    }
}

async fn send(
    context: Context,
    shard: String,
    pause: Duration,
    acked: Arc<AtomicU64>,
    stop: CancellationToken,
) -> Sent {
    let subject = format!("weir.log.{shard}");
    let (mut stored, mut again) = (BTreeMap::new(), Vec::new());
    for number in 0.. {
        if stop.is_cancelled() {
            break;
        }
        let (kind, mut command) = match number {
            0 => ("receive", receive("for the load", 1_000_000)),
            _ => ("place", place(&format!("{shard}-{number}"))),
        };
        command[kind]["site"] = Value::from(shard.as_str());
        let payload = command.to_string();
        // What was not acknowledged may be stored all the same: the id tells.
        let sequence = loop {
            if let Ok(ack) = context.publish(subject.clone(), payload.clone().into()).await
                && let Ok(ack) = ack.await
            {
                break ack.sequence;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        again.extend(stored.insert(sequence, payload));
        acked.fetch_add(1, Relaxed);
        tokio::time::sleep(pause).await;
    }
    Sent { shard, acked: stored, again }
}

impl Sent {
    /// Checks that the log holds all that was acknowledged, that what was announced is what it decides, and that each order has
    /// exactly one outcome.
    pub(crate) async fn check(&self, streams: &JetStreams) {
        let mut missing: BTreeSet<u64> = self.acked.keys().copied().collect();
        for message in log_messages(streams).await {
            if let Some(payload) = self.acked.get(&message.sequence) {
                assert_eq!(message.payload, payload.as_bytes(), "shard {}, {}", self.shard, message.sequence);
                missing.remove(&message.sequence);
            }
        }
        assert!(missing.is_empty(), "shard {}: acknowledged and lost: {missing:?}", self.shard);
        assert!(self.again.is_empty(), "shard {}: acknowledged twice: {:?}", self.shard, self.again);
        self.check_outcomes(&audit_shard(streams).await);
    }

    /// The same, where the servers lost part of what they had acknowledged and told of it: each order that the log held afterwards
    /// has one outcome behind those that are `gone`; any other has none but those. Gives how many orders no stream tells of.
    pub(crate) fn check_lossy(&self, held: &BTreeSet<String>, outcomes: &[Value], gone: &[String]) -> usize {
        let mut told: BTreeMap<&str, usize> = BTreeMap::new();
        for order in outcomes.iter().filter_map(first_outcome_of) {
            *told.entry(order).or_default() += 1;
        }
        let mut lost = 0;
        for payload in self.acked.values().chain(&self.again) {
            let Some(order) = order_of(payload) else { continue };
            let told = told.get(&*order).copied().unwrap_or_default();
            let (gone, held) = (gone.iter().filter(|gone| **gone == order).count(), held.contains(&order));
            let due = gone + usize::from(held);
            assert_eq!(told, due, "shard {}, {order}: {gone} times gone, in the log: {held}", self.shard);
            lost += usize::from(due == 0);
        }
        lost
    }

    /// Checks that each order has exactly one outcome.
    pub(crate) fn check_outcomes(&self, outcomes: &[Value]) {
        let mut answers: BTreeMap<u64, u64> = BTreeMap::new();
        for outcome in outcomes {
            *answers.entry(outcome["sequence"].as_u64().unwrap()).or_default() += 1;
        }
        for (sequence, payload) in &self.acked {
            assert_eq!(answers.get(sequence), Some(&1), "shard {}, {sequence}: {payload}", self.shard);
        }
        let own = format!("{}-", self.shard);
        let mut confirmed: Vec<_> = outcomes
            .iter()
            .filter(|outcome| outcome["outcome"] == "confirmed" && outcome.get("duplicate").is_none())
            .filter_map(|outcome| outcome["order_id"].as_str())
            .filter(|order| order.starts_with(&own))
            .collect();
        let count = confirmed.len();
        confirmed.sort_unstable();
        confirmed.dedup();
        let orders = self.acked.values().filter(|payload| payload.contains("\"place\"")).count();
        assert_eq!((count, confirmed.len()), (orders, orders), "shard {}", self.shard);
    }
}

/// A configuration with these shards, each with a site of its name, and small streams; `more` goes before that.
pub(crate) fn configuration(shards: &[String], replicas: usize, more: &str) -> String {
    let sizes =
        ["log", "outcomes", "dead_letters", "snapshots"].map(|what| format!("{what}_bytes_max = 67108864\n"));
    let shards =
        shards.iter().map(|shard| format!("[[shards]]\nname = \"{shard}\"\nsites = [\"{shard}\"]\n"));
    let (sizes, shards) = (sizes.concat(), shards.collect::<String>());
    format!("{more}\n[streams]\nreplicas = {replicas}\n{sizes}{shards}")
}

/// The order that an outcome is the first of.
pub(crate) fn first_outcome_of(outcome: &Value) -> Option<&str> {
    outcome["order_id"].as_str().filter(|_| outcome.get("duplicate").is_none())
}

/// The order that a payload places.
pub(crate) fn order_of(payload: &str) -> Option<String> {
    Some(serde_json::from_str::<Value>(payload).ok()?["place"]["order_id"].as_str()?.to_owned())
}

/// An append, as its stream holds it.
pub(crate) struct Announced {
    /// When it was stored, since 1970, by the server's clock, which is that of this machine.
    pub(crate) at: Duration,
    pub(crate) writer: String,
}

/// When a shard's appends were stored, and by whom.
pub(crate) async fn announcements(context: &Context, shard: &str) -> Vec<Announced> {
    // A cluster that was just broken may still elect a leader.
    until("the announcements", async || {
        let mut stream = context.get_stream(format!("WEIR_OUTCOMES_{shard}")).await.ok()?;
        let count = usize::try_from(stream.info().await.ok()?.state.messages).unwrap();
        let config = pull::Config { ack_policy: AckPolicy::None, ..pull::Config::default() };
        let messages = stream.create_consumer(config).await.ok()?.messages().await.ok()?.take(count);
        let read = messages.map_ok(|message| {
            let at = message.info().unwrap().published.unix_timestamp_nanos();
            let writer = message.headers.as_ref().unwrap().get("Weir-Writer").unwrap().to_string();
            Announced { at: Duration::from_nanos(u64::try_from(at).unwrap()), writer }
        });
        soon("the announcements", read.try_collect()).await.ok()
    })
    .await
}

/// The longest time between two announcements.
pub(crate) fn longest_silence(announced: &[Announced]) -> Duration {
    announced.windows(2).map(|pair| pair[1].at.saturating_sub(pair[0].at)).max().unwrap_or_default()
}
