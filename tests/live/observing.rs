//! Analytics beside a running shard: the same figures as a fold of the log, whoever announces, whoever dies, and however slow they are.

mod evaluated;
mod streams;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::Value;
use weir::edges::clock::{Clock, SharedClock, SystemClock};
use weir::edges::memory::{MemoryKeys, MemoryLimits, MemoryObjects, MemoryStreams};
use weir::edges::streams::{Reader as _, Streams as _};
use weir::edges::telemetry::Telemetry;
use weir::edges::{Edges, ShardEdges};
use weir::folds::analytics::{Analytics, Moment, Record, Settings};
use weir::folds::inventory::{Inventory, Output};
use weir::motion::leases::LeaseOptions;
use weir::motion::live::ports::Room;
use weir::motion::models::Models;
use weir::motion::options::AnalyticsOptions;
use weir::motion::shard::ShardOptions;
use weir::process::engine::{Engine, SharingOptions};
use weir::words::append::AppendHeader;
use weir::words::codec::{Format, commands, decode_outcome, encode_commands, outcomes};
use weir::words::command::{Attributes, Cancel, Command, Deliver, Line, Pay, Place, Receive, Ship, Tick};
use weir::words::identity::Identity;
use weir::words::message::LogMessage;
use weir::words::outcome::Outcome;
use weir::words::policy::RULES_NEWEST;
use weir::words::timestamp::Timestamp;

use self::streams::{Halting, Halts};
use crate::nats::{Server, until};
use crate::weir::{Weir, plain, publish, value};

const START_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;

/// A clock that is set by hand.
#[derive(Debug)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn wall_ns(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst).unsigned_abs())
    }
}

impl Hand {
    fn set(&self, at_ms: i64) {
        self.0.store(at_ms * 1_000_000, Ordering::SeqCst);
    }
}

pub(crate) fn receive() -> Command<'static> {
    let lines = vec![Line { sku: "A".into(), quantity: 1_000_000 }];
    Command::Receive(Receive { receipt_id: "R".into(), lines, ..Receive::default() })
}

pub(crate) fn place(number: u64, at_ms: i64) -> Command<'static> {
    Command::Place(Place {
        order_id: format!("O-{number}").into(),
        lines: vec![Line { sku: "A".into(), quantity: 1 + i64::try_from(number % 3).unwrap() }.into()],
        promised_by: Some(Timestamp::from_millis(at_ms + 8 * DAY_MS)),
        carrier: Some(["quick", "slow \"one\"\\"][usize::from(number.is_multiple_of(2))].to_owned().into()),
        attributes: Attributes(vec![("seller".into(), format!("s-{}", number % 7).into())]),
        ..Place::default()
    })
}

pub(crate) fn pay(number: u64) -> Command<'static> {
    Command::Pay(Pay { order_id: format!("O-{number}").into(), ..Pay::default() })
}

/// The lives of some orders, in order of time, from `START_MS` on.
fn lives(orders: u64, seed: u64) -> Vec<(i64, Command<'static>)> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut commands = vec![(START_MS, receive())];
    for number in 0..orders {
        let id = || format!("O-{number}").into();
        let at = START_MS + i64::try_from(number).unwrap() * DAY_MS / 10;
        commands.push((at, place(number, at)));
        if random.f64() < 0.15 {
            let reason = ["changed_mind", "too_late"][random.usize(..2)];
            let cancel = Cancel {
                order_id: id(),
                by: Some("customer".into()),
                reason: Some(reason.into()),
                ..Cancel::default()
            };
            commands.push((at + random.i64(1..DAY_MS), Command::Cancel(cancel)));
            continue;
        }
        let paid = at + random.i64(1..DAY_MS / 4);
        let shipped = paid + random.i64(DAY_MS / 2..3 * DAY_MS);
        commands.push((paid, Command::Pay(Pay { order_id: id(), ..Pay::default() })));
        commands.push((shipped, Command::Ship(Ship { order_id: id(), ..Ship::default() })));
        let delivered = shipped + random.i64(DAY_MS..8 * DAY_MS);
        commands.push((delivered, Command::Deliver(Deliver { order_id: id(), ..Deliver::default() })));
    }
    commands.sort_by_key(|(at, _)| *at);
    commands
}

/// What analytics say of a log, folded as `weir eval` folds.
fn folded(log: &[LogMessage]) -> Analytics {
    let (mut inventory, mut output) = (Inventory::new(), Output::default());
    let mut model = Analytics::new(Settings::default());
    for message in log {
        output.clear();
        inventory.apply(message, &mut output).unwrap();
        let outcomes: Vec<Outcome<'_>> =
            output.outcomes().filter_map(|(_, bytes)| decode_outcome(bytes).ok()).collect();
        for (index, command) in commands(message.format, &message.payload, RULES_NEWEST).enumerate() {
            let own: Vec<_> = outcomes.iter().filter(|it| it.index as usize == index).cloned().collect();
            let command = command.ok();
            let record = Record { at: inventory.now(), command: command.as_ref(), outcomes: &own };
            model.observe(&record, &mut Vec::new());
        }
    }
    model
}

/// What analytics say of a log and of what the outcome stream says was decided of it: nothing is folded but by them.
async fn told(streams: &MemoryStreams) -> Analytics {
    let last = streams.outcomes_state().await.unwrap().last_sequence;
    let (mut reader, mut appends) = (streams.read_outcomes(1).await.unwrap(), Vec::new());
    while (appends.len() as u64) < last {
        appends.extend(reader.next().await.unwrap());
    }
    let mut through = Identity::START;
    let mut all = Vec::new();
    for stored in &appends {
        let AppendHeader { from, through: to, .. } = stored.append.header;
        // What goes back to what was announced before repeats it.
        if from >= through {
            through = to;
            all.extend(outcomes(stored.append.format, &stored.append.payload).unwrap());
        }
    }
    let mut model = Analytics::new(Settings::default());
    for message in log_of(streams).await {
        for (index, command) in commands(message.format, &message.payload, RULES_NEWEST).enumerate() {
            let is_own = |outcome: &&Outcome<'_>| {
                outcome.sequence == message.sequence && outcome.index as usize == index
            };
            let own: Vec<_> = all.iter().filter(is_own).cloned().collect();
            let at = own.first().map_or(message.stored_at(), |outcome| outcome.at);
            let command = command.ok();
            let record = Record { at, command: command.as_ref(), outcomes: &own };
            model.observe(&record, &mut Vec::new());
        }
    }
    model
}

/// All figures that must not depend on who measured, to the bit.
fn figures(model: &Analytics) -> Vec<(String, u64)> {
    let mut figures = Vec::new();
    for moment in [Moment::Paid, Moment::Shipped] {
        let honesty = model.delay().honesty(moment);
        figures.push((format!("{moment:?} judged"), honesty.count()));
        figures.push((format!("{moment:?} log-loss"), honesty.log_loss().to_bits()));
        figures.push((format!("{moment:?} brier"), honesty.brier().to_bits()));
        figures.push((format!("{moment:?} deliveries"), model.delay().learned(moment).0));
    }
    let warnings = model.delay().warnings();
    figures.push(("came true".to_owned(), warnings.came_true));
    figures.push(("missed".to_owned(), warnings.missed));
    figures.push(("placed".to_owned(), model.cancellation().orders_placed()));
    for (reason, party, cancels) in model.cancellation().by_reason() {
        figures.push((format!("{reason} {party}"), (cancels.orders << 32) | cancels.units));
    }
    for (carrier, card) in &model.scorecards()[0] {
        figures.push((format!("{carrier} delivered"), card.delivered));
        figures.push((format!("{carrier} on time"), card.on_time.unwrap_or(-1.0).to_bits()));
    }
    figures.push(("filling".to_owned(), model.volume().filling()));
    figures
}

pub(crate) fn options(name: &str, batches: usize) -> ShardOptions {
    let analytics = AnalyticsOptions { room: Room::of(batches).unhurried(), ..AnalyticsOptions::default() };
    ShardOptions { analytics: Some(analytics), ..ShardOptions::new(name, Format::Json) }
}

pub(crate) fn alone<E: Edges>(
    edges: &ShardEdges<E>,
    clock: &SharedClock,
    options: &ShardOptions,
) -> (Engine, Telemetry) {
    let telemetry = Telemetry::new();
    let engine = Engine::alone(vec![("main".to_owned(), edges.clone())], clock, options, &telemetry);
    (engine, telemetry)
}

pub(crate) async fn append(streams: &MemoryStreams, commands: &[Command<'_>]) -> u64 {
    streams.append_log(Format::Bincode, encode_commands(Format::Bincode, commands).into()).await.unwrap()
}

async fn log_of(streams: &MemoryStreams) -> Vec<LogMessage> {
    let (mut reader, mut log) = (streams.read_log(1).await.unwrap(), Vec::new());
    while (log.len() as u64) < streams.log_state().await.unwrap().last_sequence {
        log.extend(reader.next().await.unwrap());
    }
    log
}

/// Waits until everything in the log is announced and looked at.
pub(crate) async fn until_measured(engine: &Engine, streams: &MemoryStreams) {
    let status = &engine.statuses()[0];
    until("everything to be measured", async || {
        let last = streams.log_state().await.unwrap().last_sequence;
        let watched = status.watched()?;
        let watching = watched.watch();
        (watching.facts().sequence == last && watching.facts().lag_messages == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_shard_scores_as_a_fold_of_its_log_does_also_from_a_saved_state() {
    let hand = Arc::new(Hand(AtomicI64::new(0)));
    hand.set(START_MS);
    let clock: SharedClock = hand.clone();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let edges = ShardEdges::in_memory(streams.clone());
    let lives = lives(400, 1);
    let (engine, _) = alone(&edges, &clock, &options("one", 4_096));
    let half = lives.len() / 2;
    for (at, command) in &lives[..half] {
        hand.set(*at);
        append(&streams, std::slice::from_ref(command)).await;
    }
    until_measured(&engine, &streams).await;
    // The first worker ends, and saves; the next one goes on with that, and reads the log from its start all the same.
    engine.drain(Duration::from_secs(30)).await;
    let saved = Models::new("main", &edges).newest().await.unwrap().unwrap();
    assert_eq!(saved.sequence, half as u64);
    let (engine, telemetry) = alone(&edges, &clock, &options("two", 4_096));
    for (at, command) in &lives[half..] {
        hand.set(*at);
        append(&streams, std::slice::from_ref(command)).await;
    }
    until_measured(&engine, &streams).await;
    let watched = engine.statuses()[0].watched().unwrap();
    let live = watched.watch().model().clone();
    let folded = folded(&log_of(&streams).await);
    assert_eq!(figures(&live), figures(&folded));
    assert!(figures(&live).iter().any(|(name, count)| name == "Shipped judged" && *count > 100));
    for number in 0..400 {
        let id = format!("O-{number}");
        assert_eq!(live.risk_of(&id).map(f64::to_bits), folded.risk_of(&id).map(f64::to_bits), "{id}");
    }
    // Counters show what this worker announced, gauges all that is known.
    let text = telemetry.render();
    let accepted = value(&text, "weir_accepted_orders_total{shard=\"main\"}").unwrap();
    let of_second = lives[half..].iter().filter(|(_, it)| matches!(it, Command::Place(_))).count();
    assert_eq!(accepted.to_string(), of_second.to_string());
    let judged = value(&text, "weir_delay_judged{shard=\"main\",moment=\"paid\"}").unwrap();
    assert_eq!(judged.to_string(), folded.delay().honesty(Moment::Paid).count().to_string());
    assert!(text.contains("carrier=\"slow \\\"one\\\"\\\\\""), "labels are escaped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn analytics_that_stall_hold_up_nothing_and_take_the_orders_up_again() {
    let clock = SystemClock::shared();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let edges = ShardEdges::in_memory(streams.clone());
    let (engine, telemetry) = alone(&edges, &clock, &options("one", 2));
    append(&streams, &[receive()]).await;
    until_measured(&engine, &streams).await;
    let status = engine.statuses()[0].clone();
    let watched = status.watched().unwrap();
    let now_ms = clock.wall_ns() / 1_000_000;
    // Somebody looks at the model, and does not stop.
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let (holds, held) = std::sync::mpsc::sync_channel(1);
    let stalled = watched.clone();
    let stall = std::thread::spawn(move || {
        let _watching = stalled.watch();
        holds.send(()).unwrap();
        let _ = released.recv();
    });
    held.recv().unwrap();
    for number in 0..300 {
        let pay = Command::Pay(Pay { order_id: format!("O-{number}").into(), ..Pay::default() });
        let last = append(&streams, &[place(number, now_ms), pay]).await;
        // Each is decided before the next is sent.
        until("a decision", async || (status.progress().through.sequence >= last).then_some(())).await;
    }
    drop(release);
    stall.join().unwrap();
    // What comes then is measured, and shows how much was not. The first of it may still find no room.
    let mut more = 0;
    until("what comes then to be measured", async || {
        let last = append(&streams, &[place(1_000 + more, now_ms)]).await;
        more += 1;
        for _ in 0..100 {
            if watched.watch().facts().sequence == last {
                return Some(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        None
    })
    .await;
    let skipped = watched.watch().facts().skipped;
    assert!(skipped > 200, "{skipped} messages were skipped");
    let text = telemetry.render();
    let lost = value(&text, "weir_observer_lost_batches_total{shard=\"main\"}").unwrap();
    assert!(lost > 0.0);
    assert_eq!(
        value(&text, "weir_analytics_skipped_messages_total{shard=\"main\"}").unwrap().to_string(),
        skipped.to_string()
    );
    // Once it is calm, the orders are followed all the same; what was not counted stays so.
    until("all orders to be followed", async || {
        let watching = watched.watch();
        let all = (0..300).all(|number| watching.model().risk_of(&format!("O-{number}")).is_some());
        (all && !watching.facts().rebuilding).then_some(())
    })
    .await;
    let watching = watched.watch();
    assert!(watching.facts().rebuilt >= skipped && watching.model().followed().0 as u64 == 300 + more);
    assert_eq!(watching.model().cancellation().orders_placed(), 300 + more - skipped);
}

/// Of two workers, the leader dies between an append and its acknowledgement: what the other one knows is what the outcome stream
/// says, and each signal is told once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_takeover_is_no_jump_and_repeats_no_signal() {
    let clock = SystemClock::shared();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let (pointers, objects) = (MemoryKeys::default(), MemoryObjects::new(1 << 30));
    let leases = MemoryKeys::default();
    let worker = |name: &str, halts: &Halts| {
        let streams = Halting { inner: streams.clone(), halts: halts.clone() };
        let edges: ShardEdges<InHalting> =
            ShardEdges { streams, pointers: pointers.clone(), objects: objects.clone() };
        let telemetry = Telemetry::new();
        let sharing = SharingOptions {
            keys: leases.clone(),
            leases: LeaseOptions { lease: Duration::from_millis(500), standbys: 1 },
            handover: Duration::from_secs(1),
        };
        let shards = vec![("main".to_owned(), edges)];
        (Engine::share(shards, &clock, &options(name, 4_096), &telemetry, sharing), telemetry)
    };
    let (first, second) = (Halts::default(), Halts::default());
    let (leader, of_leader) = worker("first", &first);
    until("a leader", async || (leader.statuses()[0].role() == Some("leader")).then_some(())).await;
    let (standby, of_standby) = worker("second", &second);
    until("a standby", async || (standby.statuses()[0].life().name() == "following").then_some(())).await;
    let now_ms = clock.wall_ns() / 1_000_000;
    append(&streams, &[receive()]).await;
    // Orders whose promise has passed when they are paid: late as a matter of fact, each a signal.
    let order = async |number: u64| {
        let id = || format!("O-{number}").into();
        let pay = Command::Pay(Pay { order_id: id(), ..Pay::default() });
        let reason = Some("late".into());
        let mut batch = vec![place(number, now_ms - 9 * DAY_MS), pay];
        if number.is_multiple_of(2) {
            batch.push(Command::Cancel(Cancel { order_id: id(), reason, ..Cancel::default() }));
        }
        append(&streams, &batch).await
    };
    for number in 0..40 {
        order(number).await;
    }
    until_measured(&leader, &streams).await;
    until_measured(&standby, &streams).await;
    // The next append lands, and its acknowledgement never comes.
    first.halt();
    let landed = order(40).await;
    until("it to land", async || {
        let last = streams.last_outcomes().await.unwrap()?;
        (last.append.header.through.sequence == landed).then_some(())
    })
    .await;
    let counted_by_leader = of_leader.render();
    drop(leader);
    for number in 41..60 {
        order(number).await;
    }
    until("the other to lead", async || (standby.statuses()[0].role() == Some("leader")).then_some(())).await;
    until_measured(&standby, &streams).await;
    order(60).await;
    until_measured(&standby, &streams).await;
    let model = standby.statuses()[0].watched().unwrap().watch().model().clone();
    assert_eq!(figures(&model), figures(&folded(&log_of(&streams).await)));
    assert_eq!(figures(&model), figures(&told(&streams).await));
    assert_eq!(model.cancellation().all().orders, 31);
    // Summed over workers, everything counts once but what the dead one did not live to count.
    let series = "weir_accepted_orders_total{shard=\"main\"}";
    let texts = [counted_by_leader, of_standby.render()];
    let [by_first, by_second] = texts.map(|text| value(&text, series).unwrap_or(0.0));
    assert_eq!([by_first.to_string(), by_second.to_string()], ["40", "20"]);
    // Signals: raised once each, and closed once where the order was cancelled.
    let told = until("all signals", async || {
        let told: Vec<Value> =
            streams.signals().iter().map(|it| serde_json::from_slice(&it.payload).unwrap()).collect();
        let of = |number: u64| told.iter().filter(move |it| it["subject"] == format!("O-{number}")).count();
        (0..=60).all(|number| of(number) > usize::from(number.is_multiple_of(2))).then(|| told.clone())
    })
    .await;
    let identities: BTreeSet<&str> = told.iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(identities.len(), told.len());
    for number in 0..=60_u64 {
        let of: Vec<&str> = told
            .iter()
            .filter(|it| it["subject"] == format!("O-{number}") && it["kind"] == "delay_risk")
            .map(|it| it["told"].as_str().unwrap())
            .collect();
        let expected: &[&str] = if number.is_multiple_of(2) { &["raised", "closed"] } else { &["raised"] };
        assert_eq!(of, expected, "order {number}");
    }
}

/// Edges in memory whose appends can be made to halt.
#[derive(Clone, Copy, Debug)]
enum InHalting {}

impl Edges for InHalting {
    type Streams = Halting;
    type Keys = MemoryKeys;
    type Objects = MemoryObjects;
}

/// The whole way in processes: setup, worker, a signal in its stream, and the command that shows it.
#[tokio::test]
async fn signals_go_through_the_broker_and_are_shown() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    let now_ms = SystemClock::shared().wall_ns() / 1_000_000;
    let (mut batch, pay) = (vec![receive()], Command::Pay(Pay { order_id: "O-1".into(), ..Pay::default() }));
    batch.extend([place(1, now_ms - 9 * DAY_MS), pay, Command::Tick(Tick {})]);
    publish(&context, encode_commands(Format::Json, &batch)).await;
    until("a signal", async || {
        (worker.metric("weir_signals_published_total{shard=\"main\",kind=\"delay_risk\"}") >= 1.0)
            .then_some(())
    })
    .await;
    let shown = Weir::on(&server, &["signals", "--json", "--kind", "delay_risk"]).await;
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let signal: Value = serde_json::from_str(shown.stdout.lines().next().unwrap()).unwrap();
    assert_eq!((&signal["subject"], &signal["told"]), (&"O-1".into(), &"raised".into()));
    let plainly = Weir::on(&server, &["signals"]).await;
    assert!(plainly.stdout.contains("delay_risk") && plainly.stdout.contains("O-1"), "{plainly:?}");
    assert!(Weir::on(&server, &["signals", "--kind", "stock_out"]).await.stdout.is_empty());
    worker.stop().await;
}
