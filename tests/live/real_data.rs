//! Real orders through the real thing: the binary, a `nats-server`, and what comes back out of its streams.
//!
//! Ten months of a real shop's invoices, mapped by `examples/online_retail`, are imported by `weir import` while `weir run` decides them. What comes back
//! is held against [a plain model](crate::retail_model) that reads the same file and shares no code with the engine,
//! and against an undisturbed fold of the log. Workers are killed on the way, as hard as it goes.
//!
//! [`DATA_VARIABLE`] names the folder that holds the file; without it, the tests that need it say so and pass.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use weir::commands::import::open;
use weir::edges::ShardEdges;
use weir::edges::clock::SystemClock;
use weir::edges::jetstream::{JetStreams, Names};
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::edges::streams::{Reader as _, Streams as _};
use weir::edges::telemetry::Telemetry;
use weir::folds::inventory::Inventory;
use weir::motion::replay::replay;
use weir::motion::shard::ShardOptions;
use weir::process::engine::Engine;
use weir::words::append::{Chain, StoredAppend};
use weir::words::codec::{Format, commands, decode_outcome, encode_commands, outcomes};
use weir::words::command::{self, Line, OnShortage, Place, Receive};
use weir::words::identity::Identity;
use weir::words::outcome::{Decision, Outcome, Subject};
use weir::words::policy::RULES_NEWEST;

use crate::nats::Server;
use crate::online_retail::{Options, online_retail};
use crate::retail_model::{Model, Shelf, model};

/// Names the folder with the data files.
const DATA_VARIABLE: &str = "WEIR_TEST_DATA";
const RETAIL: &str = "online_retail_a.csv.gz";

/// How long anything may take here: an import is long, on a busy machine longer.
const PATIENCE: Duration = Duration::from_mins(3);
/// How often is looked whether it is so far: kills must hit the middle of things that take milliseconds.
const LOOK: Duration = Duration::from_millis(1);

/// The file, if there is one.
fn retail_file() -> Option<PathBuf> {
    let file = std::env::var_os(DATA_VARIABLE).map(|folder| Path::new(&folder).join(RETAIL));
    let found = file.filter(|file| file.is_file());
    if found.is_none() {
        weir_kit::skipped(&format!("{DATA_VARIABLE} names no folder that holds {RETAIL}"));
    }
    found
}

/// Looks again and again until `attempt` gives something.
async fn patiently<T>(what: &str, mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let tries = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, tries).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A running `weir`, killed when it is dropped.
struct Process {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Ends it without a chance to do anything more.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn errors(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// What it printed, once it has ended well.
    async fn output(&mut self) -> String {
        let status = patiently("a command's end", async || self.ended()).await;
        // A shop refuses some of a year's orders, and nobody leads a shard whose worker is gone: exit code 1.
        assert!(matches!(status.code(), Some(0 | 1)), "{status}: {}", self.errors());
        std::fs::read_to_string(&self.out).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running worker.
struct Worker {
    process: Process,
    admin: SocketAddr,
}

impl Worker {
    /// The admin server's `/status`, with digests.
    fn status(&self) -> Option<Value> {
        let mut stream = TcpStream::connect(self.admin).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = "GET /status?digests=1 HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (_, body) = response.split_once("\r\n\r\n")?;
        serde_json::from_str(body).ok()
    }

    /// What it says of its shard once it has applied the log up to `last`.
    async fn finished(&self, last: u64) -> Value {
        patiently("a worker to be done", async || {
            let shard = self.status()?["shards"][0].clone();
            let done = shard["applied"].as_u64()? >= last && shard["inspected"].is_object();
            done.then_some(shard)
        })
        .await
    }
}

/// A server with the streams of one shard, and the command line beside it.
struct Shop {
    folder: PathBuf,
    started: u32,
    streams: JetStreams,
    server: Server,
}

impl Shop {
    async fn open(name: &str) -> Self {
        let server = Server::start().await;
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("weir-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let streams = JetStreams::new(server.connect().await, Names::default().shard("main").unwrap());
        let mut shop = Self { folder, started: 0, streams, server };
        shop.weir(&["setup"]).output().await;
        shop
    }

    /// Starts a command.
    fn weir(&mut self, args: &[&str]) -> Process {
        self.started += 1;
        let file = |kind: &str| self.folder.join(format!("{}-{}.{kind}", self.started, args[0]));
        let (out, err) = (file("out"), file("err"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        for variable in ["WEIR_CONFIG", "WEIR_PREFIX", "WEIR_ADMIN", "WEIR_NAME", "WEIR_LOG"] {
            command.env_remove(variable);
        }
        let child = command
            .args(args)
            .arg("--nats")
            .arg(self.server.url())
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .spawn()
            .unwrap();
        Process { child, out, err }
    }

    /// Starts a worker, and waits until it says where its admin server listens.
    async fn worker(&mut self) -> Worker {
        let mut process = self.weir(&["run", "--admin", "127.0.0.1:0"]);
        let admin = patiently("a worker's start", async || {
            assert_eq!(process.ended(), None, "{}", process.errors());
            let errors = process.errors();
            let line = errors.lines().find(|line| line.contains("the admin server listens"))?;
            line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
        })
        .await;
        Worker { process, admin }
    }

    /// Imports the shop's year, mapped to commands.
    fn import(&mut self, file: &Path) -> Process {
        let plan = online_retail(open(file).unwrap(), &Options::default()).unwrap();
        let lines: Vec<_> = plan.commands.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        let commands = self.folder.join("commands.json");
        std::fs::write(&commands, lines.join("\n")).unwrap();
        let file = commands.to_str().unwrap().to_owned();
        self.weir(&["import", &file, "--format", "commands", "--json", "--wait", "3m"])
    }

    /// How far the outcomes are announced.
    async fn through(&self) -> Identity {
        let last = self.streams.last_outcomes().await.unwrap();
        last.map_or(Identity::START, |last| last.append.header.through)
    }

    /// Waits until the outcomes are announced up to some of message `target`'s.
    async fn announced(&self, target: u64) {
        patiently("the outcomes to be so far", async || {
            (self.through().await.sequence >= target).then_some(())
        })
        .await;
    }

    /// Digests by a fold of another process: chain, state and ledger.
    async fn digests(&mut self) -> [Value; 3] {
        let output = self.weir(&["status", "--digests", "--json"]).output().await;
        let status: Value = serde_json::from_str(&output).unwrap();
        ["chain", "state", "ledger"].map(|name| status["shards"][0]["inspected"][name].clone())
    }

    /// Waits for the worker to be done; its digests must be those of an independent fold. Gives the ledger's.
    async fn agreed_ledger(&mut self, worker: &Worker) -> Value {
        loop {
            let last = self.streams.log_state().await.unwrap().last_sequence;
            let shard = worker.finished(last).await;
            assert_eq!(shard["fault"], Value::Null);
            let inspected = &shard["inspected"];
            assert_eq!(inspected["books"], "hold");
            let seen = ["chain", "state", "ledger"].map(|name| inspected[name].clone());
            let folded = self.digests().await;
            // A late tick may have come in between.
            if self.streams.log_state().await.unwrap().last_sequence == last {
                assert_eq!(seen, folded);
                return inspected["ledger"].clone();
            }
        }
    }

    /// Reads both streams back, and checks all that must hold of any shard's.
    async fn read_back(&self) -> Back {
        let state = self.streams.outcomes_state().await.unwrap();
        assert_eq!(state.first_sequence, 1);
        let mut appends: Vec<StoredAppend> = Vec::new();
        let mut reader = self.streams.read_outcomes(1).await.unwrap();
        while appends.last().is_none_or(|last| last.sequence < state.last_sequence) {
            appends.extend(tokio::time::timeout(PATIENCE, reader.next()).await.unwrap().unwrap());
        }
        let mut folded = Vec::new();
        let inventory = replay(&self.streams, |output| {
            folded.extend(output.outcomes().map(|(entry, bytes)| (entry.identity(), bytes.to_vec())));
        })
        .await
        .unwrap();
        let back = Back { appends, inventory: *inventory, records: self.records().await };
        back.check(&folded, self.streams.payload_bytes_max());
        back
    }

    /// Every record of the log that must be answered, with the kind of command and its lines.
    async fn records(&self) -> BTreeMap<(u64, u32), (command::CommandKind, u64)> {
        let last = self.streams.log_state().await.unwrap().last_sequence;
        let mut records = BTreeMap::new();
        let mut reader = self.streams.read_log(1).await.unwrap();
        let mut read = 0;
        while read < last {
            for message in tokio::time::timeout(PATIENCE, reader.next()).await.unwrap().unwrap() {
                for (index, decoded) in (0..).zip(commands(message.format, &message.payload, RULES_NEWEST)) {
                    let command = decoded.unwrap();
                    let lines = match &command {
                        command::Command::Tick(_) => continue,
                        command::Command::Place(place) => place.lines.len(),
                        _ => 0,
                    };
                    records.insert((message.sequence, index), (command.kind(), lines as u64));
                }
                read = message.sequence;
            }
        }
        records
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what the commands printed: {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// What was read back.
struct Back {
    appends: Vec<StoredAppend>,
    /// The state by an undisturbed fold of the log.
    inventory: Inventory,
    records: BTreeMap<(u64, u32), (command::CommandKind, u64)>,
}

impl Back {
    fn outcomes(&self) -> impl Iterator<Item = Outcome<'_>> {
        self.appends.iter().flat_map(|stored| outcomes(stored.append.format, &stored.append.payload).unwrap())
    }

    /// No outcome missing, twice, out of order or other than an undisturbed fold has it.
    fn check(&self, folded: &[(Identity, Vec<u8>)], payload_bytes_max: usize) {
        self.inventory.check_books().unwrap();
        let mut through = Identity::START;
        for stored in &self.appends {
            let header = &stored.append.header;
            assert_eq!(header.from, through, "append {}", stored.sequence);
            assert!(header.through > through, "append {}", stored.sequence);
            assert!(stored.append.payload.len() < payload_bytes_max, "append {}", stored.sequence);
            let held = outcomes(stored.append.format, &stored.append.payload).unwrap();
            assert_eq!(
                held.last().map(Outcome::identity),
                Some(header.through),
                "append {}",
                stored.sequence
            );
            through = header.through;
        }
        let mut before = None;
        let mut answered = BTreeSet::new();
        let mut announced = 0;
        for outcome in self.outcomes() {
            let identity = outcome.identity();
            assert!(before.is_none_or(|before| before < identity), "{before:?}, then {identity}");
            before = Some(identity);
            if outcome.decision.is_answer() {
                assert!(answered.insert((outcome.sequence, outcome.index)), "{identity} answers again");
            }
            let (folded_identity, bytes) = &folded[announced];
            assert_eq!((*folded_identity, decode_outcome(bytes).as_ref()), (identity, Ok(&outcome)));
            announced += 1;
        }
        assert_eq!(announced, folded.len(), "outcomes of an undisturbed fold are missing");
        assert!(answered.iter().eq(self.records.keys()), "a record has no answer");
        let last: Chain = self.appends.last().unwrap().append.header.chain;
        if last.sequence == self.inventory.chain().sequence {
            assert_eq!(last, self.inventory.chain());
        }
    }

    /// All that the model says is so.
    fn assert_as(&self, model: &Model) {
        let places = self
            .records
            .values()
            .filter(|(kind, _)| *kind == command::CommandKind::Place)
            .map(|(_, lines)| lines);
        assert_eq!((places.clone().count() as u64, places.sum()), (model.orders, model.lines));
        let mut tally: BTreeMap<String, u64> = BTreeMap::new();
        let mut expected = model.answers.iter();
        for outcome in self.outcomes() {
            let (what, whose) = answer(&outcome.decision);
            if what == "policy_applied" {
                continue;
            }
            assert_eq!(Some(&(what.clone(), whose)), expected.next(), "{}", outcome.identity());
            *tally.entry(what).or_default() += 1;
        }
        assert_eq!(expected.next(), None, "the model has more");
        assert_eq!(tally, model.tally);
        let stock: BTreeMap<String, Shelf> = self
            .inventory
            .stock()
            .map(|stock| {
                assert_eq!(stock.adjusted, 0);
                assert_eq!(stock.received + stock.restocked, stock.on_hand + stock.shipped, "{}", stock.sku);
                let left = Shelf {
                    on_hand: stock.on_hand,
                    reserved: stock.reserved,
                    received: stock.received,
                    restocked: stock.restocked,
                    shipped: stock.shipped,
                };
                (stock.sku, left)
            })
            .collect();
        assert_eq!(stock, model.stock);
    }
}

/// An outcome as the model says it: what, and whose.
fn answer(decision: &Decision<'_>) -> (String, String) {
    let kind = decision.kind().name();
    match decision {
        Decision::Confirmed { order_id, pay_by: None, lines, shortages, released: false, repeat: None }
            if lines.is_empty() && shortages.is_empty() =>
        {
            (kind.to_owned(), order_id.to_string())
        }
        Decision::Refused { command, subject: Some(Subject::OrderId(id)), reason, repeat: None, .. } => {
            (format!("refused {} {}", command.name(), reason.code()), id.to_string())
        }
        Decision::Cancelled { order_id, lines, .. } if lines.is_empty() => {
            (kind.to_owned(), order_id.to_string())
        }
        Decision::Paid { order_id, marks, repeat: None, .. } if marks.is_empty() => {
            (kind.to_owned(), order_id.to_string())
        }
        Decision::Shipped { order_id, lines, marks, repeat: None, .. }
            if lines.is_empty() && marks.is_empty() =>
        {
            (kind.to_owned(), order_id.to_string())
        }
        Decision::Returned { order_id, return_id, marks, repeat: None, .. } if marks.is_empty() => {
            (kind.to_owned(), format!("{order_id} {return_id}"))
        }
        Decision::Received { receipt_id, repeat: None } => (kind.to_owned(), receipt_id.to_string()),
        Decision::PolicyApplied { .. } => (kind.to_owned(), String::new()),
        other => panic!("the model has nothing like {other:?}"),
    }
}

/// What `weir import --json` says became of the commands.
fn assert_told(printed: &str, model: &Model) {
    let told: Value = serde_json::from_str(printed).unwrap();
    assert_eq!(told["commands"], model.answers.len());
    let tally: BTreeMap<String, u64> = serde_json::from_value(told["outcomes"].clone()).unwrap();
    assert_eq!(told["duplicates"], 0);
    assert_eq!(tally, model.tally);
}

/// The ledger's digest after the same commands, cut into other messages, went through an engine on streams in memory.
async fn ledger_in_memory(file: &Path) -> Value {
    let plan = online_retail(open(file).unwrap(), &Options::default()).unwrap();
    let clock = SystemClock::shared();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let mut last = 0;
    for some in plan.commands.chunks(100) {
        let payload = encode_commands(Format::Bincode, some).into();
        last = streams.append_log(Format::Bincode, payload).await.unwrap();
    }
    let options = ShardOptions::new("memory", Format::Bincode);
    let shards = vec![("main".to_owned(), ShardEdges::in_memory(streams))];
    let engine = Engine::alone(shards, &clock, &options, &Telemetry::new());
    let status = engine.statuses()[0].clone();
    let done = status.wait_for(|progress| progress.through.sequence == last);
    tokio::time::timeout(PATIENCE, done).await.unwrap();
    let inspection = status.inspect().await.unwrap();
    engine.drain(PATIENCE).await;
    assert_eq!(inspection.books, Ok(()));
    format!("{:016x}", inspection.digests.ledger).into()
}

#[tokio::test]
async fn ten_months_of_a_shop_come_out_as_a_plain_model_has_them() {
    let Some(file) = retail_file() else { return };
    let model = model(&file);
    eprintln!(
        "{} orders, {} lines, {} SKUs: {:?}",
        model.orders,
        model.lines,
        model.stock.len(),
        model.tally
    );
    let mut ledgers = vec![ledger_in_memory(&file).await];
    for run in ["first", "second"] {
        let mut shop = Shop::open(run).await;
        let worker = shop.worker().await;
        assert_told(&shop.import(&file).output().await, &model);
        ledgers.push(shop.agreed_ledger(&worker).await);
        shop.read_back().await.assert_as(&model);
    }
    assert!(ledgers.iter().all(|ledger| *ledger == ledgers[0]), "{ledgers:?}");
}

#[tokio::test]
async fn workers_killed_amid_ten_months_of_a_shop_leave_no_trace() {
    let Some(file) = retail_file() else { return };
    let model = model(&file);
    let mut shop = Shop::open("killed").await;
    let mut worker = shop.worker().await;
    let mut import = shop.import(&file);
    // A message of an import holds 256 commands.
    let messages = model.answers.len() as u64 / 256;
    let mut killed_at = Vec::new();
    for target in [messages / 8, messages / 3, messages / 2] {
        shop.announced(target).await;
        worker.process.kill();
        killed_at.push((shop.through().await, import.ended().is_none()));
        worker = shop.worker().await;
    }
    assert_told(&import.output().await, &model);
    let last = shop.streams.log_state().await.unwrap().last_sequence;
    eprintln!("killed at (announced through, import still going on) {killed_at:?} of {last}");
    assert!(killed_at.iter().any(|(through, _)| through.sequence < last), "no kill hit the middle");
    assert_eq!(shop.agreed_ledger(&worker).await, ledger_in_memory(&file).await);
    shop.read_back().await.assert_as(&model);
}

/// How many orders wait, and how many of them stand in one message.
const WAITING: usize = 10_000;
const PLACED_AT_ONCE: usize = 250;

#[tokio::test]
async fn a_worker_killed_amid_the_release_of_10_000_orders_releases_each_once() {
    let mut shop = Shop::open("released").await;
    let mut worker = shop.worker().await;
    let line = |quantity| vec![Line { sku: "SKU".into(), quantity }];
    let receive = |receipt_id: &'static str, quantity| {
        command::Command::Receive(Receive {
            receipt_id: receipt_id.into(),
            lines: line(quantity),
            ..Receive::default()
        })
    };
    let place = |number: usize| {
        command::Command::Place(Place {
            order_id: format!("waits-{number}").into(),
            lines: line(2).into_iter().map(Into::into).collect(),
            on_shortage: OnShortage::Backorder,
            ..Place::default()
        })
    };
    // One unit makes the SKU known, and is too little for anyone.
    let mut messages = vec![vec![receive("little", 1)]];
    for first in (0..WAITING).step_by(PLACED_AT_ONCE) {
        messages.push((first..first + PLACED_AT_ONCE).map(place).collect());
    }
    let units = i64::try_from(2 * WAITING).unwrap();
    messages.push(vec![receive("enough", units)]);
    let mut receipt = 0;
    for message in messages {
        let payload = encode_commands(Format::Bincode, &message).into();
        receipt = shop.streams.append_log(Format::Bincode, payload).await.unwrap();
    }
    // The receipt releases 256 orders, and each tick behind it as many.
    let mut killed_at = Vec::new();
    for target in [receipt, receipt + 8, receipt + 20] {
        shop.announced(target).await;
        worker.process.kill();
        killed_at.push(shop.through().await);
        worker = shop.worker().await;
    }
    let last_order = format!("waits-{}", WAITING - 1);
    patiently("the last release", async || {
        let last = shop.streams.last_outcomes().await.unwrap()?.append;
        let told = outcomes(last.format, &last.payload).unwrap();
        matches!(&told.last()?.decision, Decision::Confirmed { order_id, .. } if *order_id == last_order)
            .then_some(())
    })
    .await;
    shop.agreed_ledger(&worker).await;

    let back = shop.read_back().await;
    let released: Vec<(Identity, String)> = back
        .outcomes()
        .filter_map(|outcome| match &outcome.decision {
            Decision::Confirmed { order_id, released: true, .. } => {
                Some((outcome.identity(), order_id.to_string()))
            }
            _ => None,
        })
        .collect();
    let before = |kill: &Identity| released.iter().filter(|(identity, _)| identity <= kill).count();
    let before_kills: Vec<usize> = killed_at.iter().map(before).collect();
    eprintln!("killed when {before_kills:?} of {WAITING} releases were announced");
    assert!((1..WAITING).contains(&before_kills[0]), "no kill hit the middle");
    let released: Vec<String> = released.into_iter().map(|(_, order_id)| order_id).collect();
    let placed: Vec<String> = (0..WAITING).map(|number| format!("waits-{number}")).collect();
    assert_eq!(released, placed);
    let stock = back.inventory.stock_of("main", "SKU").unwrap();
    assert_eq!((stock.on_hand, stock.reserved, stock.received), (units + 1, units, units + 1));
}
