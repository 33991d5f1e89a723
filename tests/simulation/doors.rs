//! Doors: they die and come again, and what goes to them and comes from them is lost, late and doubled.
//!
//! Whatever happens, no reply is wrong. A decision is the one that the log makes; what is said to be accepted is in the log; and each
//! request that reached a door stores its command once at most, and not at all where that was said. Some doors are workers, too: they hear
//! from their own folds, and lead one moment and not the next.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio::sync::watch;
use weir::edges::memory::{MemoryAsker, MemoryLimits, MemoryReplies, MemoryRequests};
use weir::edges::requests::{Requests as _, Said};
use weir::edges::telemetry::Telemetry;
use weir::motion::door::{DoorOptions, Doorkeeper, Routes};
use weir::motion::status::Status;
use weir::words::codec::{Format, commands, decode_outcome, encode_commands, replies};
use weir::words::codes::Family;
use weir::words::command::{Command, Line, Place, Receive};
use weir::words::config::{Shard, Shards};
use weir::words::policy::RULES_NEWEST;
use weir::words::reply::{DoorReply, Reply, ReplyKind};

use crate::check;
use crate::edges::{SimKeys, SimStreams};
use crate::seeds::{PATIENCE, each, in_virtual_time};
use crate::still::SETTING;
use crate::workers::{Setting, start, worker};
use crate::world::{Faults, Life, World};

/// How many seeds run where nobody says otherwise.
const SEEDS: u64 = 200;
/// How many customers there are, and how many orders each places.
const CUSTOMERS: u64 = 6;
const ORDERS: u64 = 12;

/// The shard of each site: a site has its shard's name.
fn shards(count: usize) -> Shards {
    let shard = |number| Shard { name: format!("s{number}"), sites: vec![format!("s{number}")] };
    Shards((0..count).map(shard).collect())
}

/// Where doors are to be found now.
type Open = Arc<Mutex<Vec<Option<MemoryAsker>>>>;

/// Opens a door, for one life: beside the shards of these statuses.
fn opened(life: &Arc<Life>, statuses: &[Arc<Status>]) -> (MemoryAsker, MemoryReplies, Doorkeeper) {
    let (asker, requests) = MemoryRequests::new();
    let back = requests.replies();
    let options = DoorOptions { pending_max: 40, ..DoorOptions::new(&life.name) };
    let keys = SimKeys { life: life.clone() };
    let of_shard = life.clone();
    let streams = move |name: &str| {
        let shard = name.strip_prefix('s')?.parse().ok()?;
        Some(SimStreams { life: of_shard.clone(), shard })
    };
    let routes = Routes::new(&shards(life.world.shards.len()));
    let telemetry = Telemetry::new().door();
    let mut keeper =
        Doorkeeper::open(options, life.shared_clock(), telemetry, (keys, routes), streams, statuses);
    keeper.serve(requests);
    (asker, back, keeper)
}

/// Runs a door, life after life, until told to end; beside shards of its own where a setting is given. Says why any of those stood still.
async fn door(
    world: Arc<World>,
    number: usize,
    beside: Option<Setting>,
    open: Open,
    mut end: watch::Receiver<bool>,
) -> Vec<String> {
    let clock = world.worker_clock();
    let mut faults = Vec::new();
    for life_number in 0.. {
        let (crash_at, closes_after) = {
            let mut rng = world.rng();
            let crash_at = if rng.bool() { rng.u64(1..400) } else { u64::MAX };
            (crash_at, if rng.u32(..3) == 0 { rng.u64(500..20_000) } else { u64::MAX })
        };
        let life = Life::new(&world, format!("d{number}-{life_number}"), clock.clone(), crash_at);
        world.tell(&format_args!("{} opens", life.name));
        let engine = beside.map(|setting| start(&life, &setting));
        let statuses = engine.as_ref().map_or_else(Vec::new, |engine| engine.statuses().to_vec());
        let (asker, back, keeper) = opened(&life, &statuses);
        open.lock().unwrap()[number] = Some(asker);
        let closes = tokio::time::sleep(Duration::from_millis(closes_after.min(1 << 40)));
        let ended = tokio::select! {
            biased;
            () = life.died.notified() => false,
            () = async { drop(end.wait_for(|end| *end).await) } => true,
            () = closes => {
                world.tell(&format_args!("{} closes", life.name));
                open.lock().unwrap()[number] = None;
                keeper.close(Some(&back), Duration::from_secs(3)).await;
                if let Some(engine) = engine {
                    engine.drain(Duration::from_secs(10)).await;
                }
                life.die();
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        open.lock().unwrap()[number] = None;
        faults.extend(statuses.iter().filter_map(|status| Some(status.progress().fault?.to_string())));
        life.die();
        drop((keeper, engine));
        if ended {
            break;
        }
        let pause = world.rng().u64(10..4_000);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    faults
}

/// What customers sent and heard.
#[derive(Default)]
struct Heard {
    /// How many requests for a command reached a door, by its order.
    reached: BTreeMap<String, u64>,
    /// How many of those were answered that nothing was stored.
    not_stored: BTreeMap<String, u64>,
    /// Decisions, by shard, sequence and index: as outcomes, in JSON.
    decided: Vec<(usize, String, serde_json::Value)>,
    accepted: Vec<(usize, String, u64, u32)>,
}

/// Sends one request by a way on which it is lost, late or doubled; so is what comes back. Gives the first reply that comes.
async fn ask(
    world: &Arc<World>,
    open: &Open,
    heard: &Arc<Mutex<Heard>>,
    (shard, id, command): (usize, &str, &Command<'static>),
) -> Option<ReplyKind> {
    let faults = world.faults;
    let copies = if world.happens(faults.readers_repeat) { 2 } else { 1 };
    let format = if world.rng().bool() { Format::Json } else { Format::Bincode };
    let payload = Bytes::from(encode_commands(format, std::slice::from_ref(command)));
    let (told, mut first) = tokio::sync::mpsc::channel(2);
    for _ in 0..copies {
        if world.happens(faults.writes_refused * 2) {
            continue;
        }
        let (world, open, heard, told) = (world.clone(), open.clone(), heard.clone(), told.clone());
        let (id, payload) = (id.to_owned(), payload.clone());
        tokio::spawn(async move {
            let late = |rate: u32| {
                let millis = if world.happens(rate) { world.rng().u64(0..6_000) } else { 0 };
                tokio::time::sleep(Duration::from_millis(millis))
            };
            late(faults.writes_late).await;
            let doors: Vec<_> = open.lock().unwrap().iter().flatten().cloned().collect();
            if doors.is_empty() {
                return;
            }
            let chosen = world.rng().usize(..doors.len());
            *heard.lock().unwrap().reached.entry(id.clone()).or_default() += 1;
            let said = Said { format: Some(format), ..Said::default() };
            let Ok(replied) = doors[chosen].ask(Some(Family::Orders), said, payload).await.await else {
                return;
            };
            assert_eq!(replied.format, format);
            late(faults.slow).await;
            let read = replies(format, &replied.payload).unwrap();
            let [reply] = read.as_slice() else { panic!("{read:?}") };
            {
                let mut heard = heard.lock().unwrap();
                match reply {
                    Reply::Decided(outcome) => {
                        heard.decided.push((shard, id.clone(), serde_json::to_value(outcome).unwrap()));
                    }
                    Reply::Door(DoorReply::Accepted { sequence, index, .. }) => {
                        heard.accepted.push((shard, id.clone(), *sequence, *index));
                    }
                    Reply::Door(DoorReply::Busy { .. } | DoorReply::Unavailable { .. }) => {
                        *heard.not_stored.entry(id.clone()).or_default() += 1;
                    }
                    Reply::Door(DoorReply::Unknown { .. }) => {}
                    Reply::Door(refused @ DoorReply::Refused { .. }) => panic!("{refused:?}"),
                }
            }
            if !world.happens(faults.replies_lost) {
                // Another copy's may have come first.
                let _ = told.send(reply.kind()).await;
            }
        });
    }
    drop(told);
    tokio::time::timeout(Duration::from_secs(5), first.recv()).await.ok().flatten()
}

/// Places orders, each again and again until it is decided.
async fn customer(world: Arc<World>, number: u64, open: Open, heard: Arc<Mutex<Heard>>) {
    for order in 0..ORDERS {
        let (shard, quantity, pause) = {
            let mut rng = world.rng();
            (rng.usize(..world.shards.len()), rng.i64(1..4), rng.u64(..1_500))
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let id = format!("O-{number}-{order}");
        let command = Command::Place(Place {
            order_id: id.clone().into(),
            site: Some(format!("s{shard}").into()),
            lines: vec![Line { sku: "A".into(), quantity }.into()],
            ..Place::default()
        });
        while ask(&world, &open, &heard, (shard, &id, &command)).await != Some(ReplyKind::Decided) {
            let pause = world.rng().u64(10..500);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

async fn simulate(seed: u64) {
    let mut rng = Rng::with_seed(seed ^ 0xd00e);
    let setting = Setting {
        workers: rng.usize(1..4),
        standbys: rng.usize(0..2),
        every_records: [8, 30, u64::MAX][rng.usize(..3)],
        format: if rng.bool() { Format::Json } else { Format::Bincode },
        deaths: rng.bool(),
        cut_offs: rng.bool(),
        panics: false,
    };
    let faults = Faults::random(&mut rng);
    let count = rng.usize(1..3);
    let world = World::new(seed, count, MemoryLimits::default(), faults);
    world.tell(&format_args!("{setting:?} {faults:?}"));
    for (shard, truth) in world.shards.iter().enumerate() {
        let policy = weir::words::policy::PolicyChange {
            rules: Some(1),
            sites: Some(vec![format!("s{shard}").into()]),
            ..Default::default()
        };
        let receipt = Receive {
            receipt_id: "R".into(),
            site: Some(format!("s{shard}").into()),
            lines: vec![Line { sku: "A".into(), quantity: 60 }],
            ..Receive::default()
        };
        for command in [Command::Policy(policy), Command::Receive(receipt)] {
            let payload = encode_commands(Format::Json, &[command]).into();
            truth.append(Format::Json, payload).await.unwrap();
        }
    }
    let (end, ended) = watch::channel(false);
    let workers: Vec<_> = (0..setting.workers)
        .map(|number| tokio::spawn(worker(world.clone(), number, setting, ended.clone())))
        .collect();
    let doors = rng.usize(1..4);
    let open: Open = Arc::new(Mutex::new(vec![None; doors]));
    let doors: Vec<_> = (0..doors)
        .map(|number| {
            let beside = rng.bool().then_some(setting);
            tokio::spawn(door(world.clone(), number, beside, open.clone(), ended.clone()))
        })
        .collect();
    let heard = Arc::new(Mutex::new(Heard::default()));
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|number| tokio::spawn(customer(world.clone(), number, open.clone(), heard.clone())))
        .collect();
    let calms = tokio::spawn({
        let world = world.clone();
        let after = rng.u64(5_000..90_000);
        async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            world.calm_down();
            world.tell(&format_args!("calm"));
        }
    });
    let told = async {
        for customer in customers {
            customer.await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("seed {seed}: a customer waits on"));
    calms.abort();
    world.calm_down();
    // What was on its way late may still land.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let finish = async {
        for shard in 0..count {
            while !check::is_done(&world, shard).await {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, finish).await.unwrap_or_else(|_| panic!("seed {seed}: stuck"));
    end.send(true).unwrap();
    for task in workers {
        assert_eq!(task.await.unwrap(), [], "seed {seed}");
    }
    for door in doors {
        let faults = door.await.unwrap();
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    }
    let heard = std::mem::take(&mut *heard.lock().unwrap());
    judge(seed, &world, &heard).await;
}

/// Compares what was heard with what the logs hold and decide.
async fn judge(seed: u64, world: &World, heard: &Heard) {
    let mut stored: BTreeMap<String, u64> = BTreeMap::new();
    for (shard, truth) in world.shards.iter().enumerate() {
        let history = truth.history();
        check::announced(world, shard, &history, history.len()).await;
        let mut ids: BTreeMap<(u64, u32), String> = BTreeMap::new();
        for message in &history {
            for (index, decoded) in (0..).zip(commands(message.format, &message.payload, RULES_NEWEST)) {
                if let Ok(Command::Place(place)) = decoded {
                    let id = place.order_id.into_owned();
                    *stored.entry(id.clone()).or_default() += 1;
                    ids.insert((message.sequence, index), id);
                }
            }
        }
        let reference = check::fold(&history);
        let outcomes: BTreeMap<_, _> = reference
            .output
            .outcomes()
            .map(|(entry, bytes)| {
                (entry.identity(), serde_json::to_value(decode_outcome(bytes).unwrap()).unwrap())
            })
            .collect();
        for (_, id, told) in heard.decided.iter().filter(|(of, ..)| *of == shard) {
            let number = |name: &str| told[name].as_u64().unwrap_or_default();
            let at = (number("sequence"), u32::try_from(number("index")).unwrap());
            assert_eq!(ids.get(&at), Some(id), "seed {seed}: {told} is another's");
            let known = outcomes.values().any(|outcome| outcome == told);
            assert!(known, "seed {seed}: {told} is not what the log decides");
        }
        for (_, id, sequence, index) in heard.accepted.iter().filter(|(of, ..)| *of == shard) {
            assert_eq!(ids.get(&(*sequence, *index)), Some(id), "seed {seed}: {id} is not where it was said");
        }
    }
    for (id, reached) in &heard.reached {
        let (times, refused) = (
            stored.get(id).copied().unwrap_or_default(),
            heard.not_stored.get(id).copied().unwrap_or_default(),
        );
        assert!(
            times + refused <= *reached,
            "seed {seed}: {id} is stored {times} times, and was said not to be {refused} times, of {reached}"
        );
    }
    assert_eq!(stored.len() as u64, CUSTOMERS * ORDERS, "seed {seed}");
}

/// A door beside the leader answers what the fold has decided, though nothing can be announced; another waits for the outcome stream, and
/// so does the first one once its fold leads no more.
async fn hears_from_the_fold() {
    let world = World::new(1, 1, MemoryLimits::default(), Faults { delay_ms: 5, ..Faults::default() });
    let life = |name: &str| Life::new(&world, name.to_owned(), world.worker_clock(), u64::MAX);
    let (here, there) = (life("here"), life("there"));
    let engine = start(&here, &SETTING);
    let status = engine.statuses()[0].clone();
    let (near, _, _near) = opened(&here, engine.statuses());
    let (far, _, _far) = opened(&there, &[]);
    let mut number = 0;
    let mut placed = async |door: &MemoryAsker| {
        number += 1;
        let payload = format!(
            r#"{{"place":{{"order_id":"O-{number}","site":"s0","lines":[{{"sku":"A","quantity":1}}]}}}}"#
        );
        let asked = door.ask(Some(Family::Orders), Said::default(), payload.into()).await.await.unwrap();
        replies(Format::Json, &asked.payload).unwrap()[0].kind()
    };
    let leads = async |status: &Status| {
        while status.role() != Some("leader") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    leads(&status).await;
    // Once that was sooner for a while, outcomes are not read beside it; the other has no such thing.
    let read = || (here.outcomes_read.load(Relaxed), there.outcomes_read.load(Relaxed));
    let mut before = read();
    for round in 0..500 {
        if round == 300 {
            before = read();
        }
        for door in [&near, &far] {
            assert_eq!(placed(door).await, ReplyKind::Decided);
        }
    }
    assert_eq!(read().0, before.0);
    assert!(read().1 >= before.1 + 400);
    here.outcomes_hang.store(true, Relaxed);
    assert_eq!(placed(&far).await, ReplyKind::Accepted);
    for _ in 0..3 {
        assert_eq!(placed(&near).await, ReplyKind::Decided);
    }
    here.outcomes_hang.store(false, Relaxed);
    let other = start(&there, &SETTING);
    engine.drain(Duration::from_secs(30)).await;
    leads(&other.statuses()[0]).await;
    // It reads along though nobody asks it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = read();
    for _ in 0..40 {
        assert_eq!(placed(&far).await, ReplyKind::Decided);
    }
    assert!(read().0 >= before.0 + 39);
    for _ in 0..40 {
        for door in [&near, &far] {
            assert_eq!(placed(door).await, ReplyKind::Decided);
        }
    }
}

#[test]
fn a_door_beside_the_leader_hears_from_its_fold() {
    in_virtual_time(hears_from_the_fold());
}

#[test]
fn doors_say_nothing_that_is_not_so() {
    let seeds = std::env::var("WEIR_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    each(seeds, "doors", simulate);
}
