//! Storms: one record after which far more is due than a record may bring about. The leader's ticks work off the rest, each outcome
//! is announced once, and new orders are decided meanwhile, each at its own record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use weir::edges::clock::{Clock, SharedClock, SystemClock};
use weir::edges::jetstream::{InJetStream, JetKeys, JetObjects, Names, Store};
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::edges::streams::{Reader as _, Streams as _};
use weir::edges::telemetry::Telemetry;
use weir::edges::{Edges, ShardEdges};
use weir::folds::inventory::{OUTCOMES_BEYOND_OWN_MAX, Totals};
use weir::motion::shard::ShardOptions;
use weir::motion::status::Status;
use weir::process::engine::{Drained, Engine};
use weir::words::codec::{Format, encode_commands, outcomes};
use weir::words::command::{Command, Line, OnShortage, Place, Receive};
use weir::words::identity::Identity;
use weir::words::outcome::Decision;
use weir::words::policy::PolicyChange;

use crate::nats::{PATIENCE, Server};
use crate::weir::{Weir, streams};

const ORDERS_A_MESSAGE: usize = 500;
/// How many new orders must have been decided while a storm went on.
const NEWCOMERS_LEAST: usize = 20;
const SHARD: &str = "main";
const HOUR_MS: i64 = 3_600_000;

/// A wall clock that is set by hand.
struct Hand {
    wall_ns: AtomicI64,
    monotonic: SharedClock,
}

impl Clock for Hand {
    fn wall_ns(&self) -> i64 {
        self.wall_ns.load(Relaxed)
    }

    fn monotonic(&self) -> Duration {
        self.monotonic.monotonic()
    }
}

/// A shard that is led.
struct Led<E: Edges> {
    edges: ShardEdges<E>,
    engine: Engine,
    status: Arc<Status>,
}

/// What became of an order that was released or expired, or came new: where, and what.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    at: Identity,
    order_id: String,
    is_new: bool,
}

impl<E: Edges> Led<E> {
    fn lead(edges: ShardEdges<E>, clock: &SharedClock) -> Self {
        let options = ShardOptions::new("storms", Format::Bincode);
        let shards = vec![(SHARD.to_owned(), edges.clone())];
        let engine = Engine::alone(shards, clock, &options, &Telemetry::new());
        let status = engine.statuses()[0].clone();
        Self { edges, engine, status }
    }

    async fn append(&self, commands: &[Command<'_>]) -> u64 {
        let payload = encode_commands(Format::Bincode, commands);
        self.edges.streams.append_log(Format::Bincode, payload.into()).await.unwrap()
    }

    /// Appends commands and waits until they are decided.
    async fn decide(&self, commands: &[Command<'_>]) -> u64 {
        let sequence = self.append(commands).await;
        let decided = self.status.wait_for(|progress| progress.applied.sequence >= sequence);
        tokio::time::timeout(PATIENCE, decided).await.expect("commands are decided");
        sequence
    }

    async fn place_many(&self, count: usize, lines: &[(&str, i64)], on_shortage: OnShortage) {
        let ids: Vec<_> = (0..count).map(id).collect();
        for ids in ids.chunks(ORDERS_A_MESSAGE) {
            self.decide(&ids.iter().map(|id| place(id, lines, on_shortage)).collect::<Vec<_>>()).await;
        }
    }

    fn totals(&self) -> Totals {
        self.status.progress().totals
    }

    /// Sends new orders, two a message, one message once the one before is decided, until the storm is over; gives where each
    /// must have been decided.
    async fn newcomers(&self, storms: impl Fn(&Totals) -> bool) -> BTreeMap<String, (u64, u32)> {
        let mut newcomers = BTreeMap::new();
        while storms(&self.totals()) {
            let ids = [0, 1].map(|more| format!("N-{}", newcomers.len() + more));
            let orders = ids.each_ref().map(|id| place(id, &[("OTHER", 1)], OnShortage::Refuse));
            let sequence = self.decide(&orders).await;
            newcomers.extend(ids.into_iter().zip([(sequence, 0), (sequence, 1)]));
        }
        newcomers
    }

    /// All that was announced of orders up to a message that has an outcome. Every append goes on where the one before ended, and
    /// no outcome comes twice.
    async fn told(&self, last: u64) -> Vec<Told> {
        let mut reader = self.edges.streams.read_outcomes(1).await.unwrap();
        let (mut told, mut through, mut last_at) = (Vec::new(), Identity::START, None);
        while through.sequence < last {
            let read = tokio::time::timeout(PATIENCE, reader.next()).await;
            for stored in read.expect("more outcomes").unwrap() {
                assert_eq!(stored.append.header.from, through);
                through = stored.append.header.through;
                for outcome in outcomes(stored.append.format, &stored.append.payload).unwrap() {
                    let at = outcome.identity();
                    assert!(Some(at) > last_at, "{at} comes after {last_at:?}");
                    last_at = Some(at);
                    let (order_id, is_new) = match &outcome.decision {
                        Decision::Confirmed { order_id, released, .. } => (order_id, !released),
                        Decision::Expired { order_id, .. } => (order_id, false),
                        _ => continue,
                    };
                    told.push(Told { at, order_id: order_id.to_string(), is_new });
                }
            }
        }
        told
    }

    /// After a storm: what was due came once and in order, at most so much of it with one record; and who came new meanwhile was
    /// decided at its own record, before the storm was over.
    async fn check(self, count: usize, newcomers: &BTreeMap<String, (u64, u32)>) {
        let last = self.decide(&[receive("end", "OTHER", 1)]).await;
        let told = self.told(last).await;
        let due: Vec<_> = told.iter().filter(|told| !told.is_new).collect();
        assert_eq!(due.len(), count);
        for (number, told) in due.iter().enumerate() {
            assert_eq!(told.order_id, id(number));
        }
        for record in
            due.chunk_by(|one, next| (one.at.sequence, one.at.index) == (next.at.sequence, next.at.index))
        {
            assert!(
                record.len() <= OUTCOMES_BEYOND_OWN_MAX as usize,
                "{:?} and {} more",
                record[0],
                record.len() - 1
            );
        }
        let came: Vec<_> = told.iter().filter(|told| told.order_id.starts_with('N')).collect();
        assert_eq!(came.len(), newcomers.len());
        for told in &came {
            assert_eq!(newcomers[&told.order_id], (told.at.sequence, told.at.index), "{told:?}");
        }
        let end = due.last().unwrap().at;
        let meanwhile = came.iter().filter(|told| told.at < end).count();
        assert!(meanwhile >= NEWCOMERS_LEAST, "only {meanwhile} orders came during the storm");
        assert!(self.status.inspect().await.unwrap().books.is_ok());
        assert_eq!(self.engine.drain(PATIENCE).await, Drained::Clean);
    }
}

fn id(number: usize) -> String {
    format!("O-{number}")
}

fn place<'a>(id: &'a str, lines: &[(&'a str, i64)], on_shortage: OnShortage) -> Command<'a> {
    let lines =
        lines.iter().map(|(sku, quantity)| Line { sku: (*sku).into(), quantity: *quantity }.into()).collect();
    Command::Place(Place { order_id: id.into(), lines, on_shortage, ..Place::default() })
}

fn receive(id: &'static str, sku: &'static str, quantity: i64) -> Command<'static> {
    let lines = vec![Line { sku: sku.into(), quantity }];
    Command::Receive(Receive { receipt_id: id.into(), lines, ..Receive::default() })
}

/// A receipt that releases 100,000 orders that wait.
async fn a_receipt_releases_all<E: Edges>(edges: ShardEdges<E>) {
    const ORDERS: usize = 100_000;
    let shard = Led::lead(edges, &SystemClock::shared());
    shard.append(&[receive("R-1", "SCARCE", 1), receive("R-2", "OTHER", 1_000_000)]).await;
    shard.place_many(ORDERS, &[("SCARCE", 2), ("OTHER", 1)], OnShortage::Backorder).await;
    assert_eq!(shard.totals().waiting_orders, ORDERS as u64);
    shard.decide(&[receive("R-3", "SCARCE", 2 * i64::try_from(ORDERS).unwrap())]).await;
    let newcomers = shard.newcomers(|totals| totals.waiting_orders > 0).await;
    shard.check(ORDERS, &newcomers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_releases_100_000_waiting_orders_in_memory() {
    let streams = MemoryStreams::new(SystemClock::shared(), MemoryLimits::default());
    a_receipt_releases_all(ShardEdges::in_memory(streams)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_releases_100_000_waiting_orders_on_a_server() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let (connections, names) = (server.connect().await, Names::default());
    let edges = ShardEdges::<InJetStream> {
        streams: streams(&server).await,
        pointers: JetKeys::new(&connections, &names.pointers_bucket()),
        objects: Store::JetStream(JetObjects::new(connections, &names.snapshots_bucket())),
    };
    a_receipt_releases_all(edges).await;
}

/// The log's time jumps, as after an outage: all holds have ended by then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_time_jumps_and_100_000_holds_expire() {
    // A million are for the bench: `weir-bench storms`.
    const HOLDS: usize = 100_000;
    let monotonic = SystemClock::shared();
    let hand = Arc::new(Hand { wall_ns: AtomicI64::new(monotonic.wall_ns()), monotonic });
    let clock: SharedClock = hand.clone();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let shard = Led::lead(ShardEdges::in_memory(streams), &clock);
    let pay_within = |pay_within_ms| {
        Command::Policy(PolicyChange { pay_within_ms: Some(pay_within_ms), ..PolicyChange::default() })
    };
    shard.append(&[pay_within(HOUR_MS)]).await;
    shard
        .append(&[receive("R-1", "HELD", i64::try_from(HOLDS).unwrap()), receive("R-2", "OTHER", 1_000_000)])
        .await;
    shard.place_many(HOLDS, &[("HELD", 1)], OnShortage::Refuse).await;
    shard.decide(&[pay_within(0)]).await;
    assert_eq!(shard.totals().timed_orders, HOLDS as u64);
    hand.wall_ns.fetch_add(2 * HOUR_MS * 1_000_000, Relaxed);
    let newcomers = shard.newcomers(|totals| totals.timed_orders > 0).await;
    shard.check(HOLDS, &newcomers).await;
}
