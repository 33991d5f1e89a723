//! What one message may cost at most: of each kind the largest that there can be, in the worst state that policy allows. Prints the
//! longest time of five messages, and how far the process's resident memory went above what it was before (its outcomes included).
//!
//! `cargo bench --bench worst`; `-- --test` with small states, to see that it runs.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "figures for people, of small numbers"
)]

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;

use weir::edges::clock::{SharedClock, SystemClock};
use weir::folds::inventory::{Inventory, Output};
use weir::words::codec::{Format, PAYLOAD_BYTES_MAX, encode_commands};
use weir::words::command::{
    Adjust, Amend, COMMANDS_MAX, Cancel, Command, Count, Deliver, Line, ORDER_SITES_MAX, OnShortage, Pay,
    Place, Receive, Return, Ship, Tick, Transfer,
};
use weir::words::message::{LogMessage, Way};
use weir::words::policy::{LINES_LIMIT_MAX, PolicyChange, SITE_DEFAULT};

/// Messages of each kind.
const SAMPLES: usize = 5;
/// Lines of a message, and of its largest orders.
const MESSAGE_LINES: usize = 32_768;
const LINES: usize = LINES_LIMIT_MAX as usize;
const ORDERS: usize = MESSAGE_LINES / LINES;

struct Bench {
    clock: SharedClock,
    inventory: Inventory,
    output: Output,
    sequence: u64,
    at_ns: i64,
    ids: u64,
    /// The state's size, of its full one.
    share: usize,
}

impl Bench {
    fn new(share: usize) -> Result<Self> {
        let (inventory, output) = (Inventory::new(), Output::default());
        let mut bench = Self {
            clock: SystemClock::shared(),
            inventory,
            output,
            sequence: 0,
            at_ns: 1_763_780_400_000_000_000,
            ids: 0,
            share,
        };
        let sites = (1..ORDER_SITES_MAX).map(|number| format!("site-{number}").into());
        bench.send(&[Command::Policy(PolicyChange {
            lines_max: Some(LINES_LIMIT_MAX),
            skus_max: Some(weir::words::policy::SKUS_LIMIT_MAX),
            sites: Some(std::iter::once(SITE_DEFAULT.into()).chain(sites).collect()),
            ..PolicyChange::default()
        })])?;
        Ok(bench)
    }

    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}-{:016}", self.ids)
    }

    fn apply(&mut self, format: Format, payload: Bytes) -> Result<()> {
        self.sequence += 1;
        self.at_ns += 1_000_000;
        self.output.clear();
        let (sequence, stored_at_ns) = (self.sequence, self.at_ns);
        let message = LogMessage { sequence, stored_at_ns, way: Way::Any, format: Some(format), payload };
        self.inventory.apply(&message, &mut self.output)?;
        Ok(())
    }

    fn send(&mut self, commands: &[Command<'_>]) -> Result<()> {
        self.apply(Format::Bincode, encode_commands(Format::Bincode, commands).into())
    }

    /// Measures messages, and says how many of their commands were not refused, and what they cost.
    fn measure(
        &mut self,
        name: &str,
        mut message: impl FnMut(&mut Self) -> Result<(Format, Vec<u8>)>,
    ) -> Result<()> {
        let (mut longest, mut memory, mut bytes) = (0.0_f64, 0, 0);
        let (mut outcomes, mut refused) = (0, 0);
        for _ in 0..SAMPLES {
            let (format, payload) = message(self)?;
            ensure!(payload.len() <= PAYLOAD_BYTES_MAX, "{name}: a payload of {} bytes", payload.len());
            bytes = bytes.max(payload.len());
            let payload = Bytes::from(payload);
            self.output = Output::default();
            let before = resident("VmRSS")?;
            // From here on the peak counts anew.
            std::fs::write("/proc/self/clear_refs", "5")?;
            let started = self.clock.monotonic();
            self.apply(format, payload)?;
            longest = longest.max(self.clock.monotonic().saturating_sub(started).as_secs_f64());
            memory = memory.max(resident("VmHWM")?.saturating_sub(before));
            outcomes = self.output.len();
            refused = self.output.entries(0, outcomes).iter().filter(|it| it.reason.is_some()).count();
        }
        println!(
            "{name:<58} {bytes:>9} B {outcomes:>6} outcomes, {refused:>6} refused {:>7.2} ms {:>6.1} MiB",
            longest * 1e3,
            memory as f64 / 1024.0
        );
        Ok(())
    }

    fn measure_commands<'c>(
        &mut self,
        name: &str,
        mut commands: impl FnMut(&mut Self) -> Result<Vec<Command<'c>>>,
    ) -> Result<()> {
        self.measure(name, |bench| {
            let commands = commands(bench)?;
            Ok((Format::Bincode, encode_commands(Format::Bincode, &commands)))
        })
    }
}

/// KiB, from what the kernel says of this process.
fn resident(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no such figure")?;
    Ok(number.parse()?)
}

fn skus(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:07}")).collect()
}

fn lines(skus: &[String], quantity: i64) -> Vec<Line<'_>> {
    skus.iter().map(|sku| Line { sku: sku.as_str().into(), quantity }).collect()
}

fn receive<'a>(bench: &mut Bench, site: Option<&'a str>, skus: &'a [String], quantity: i64) -> Command<'a> {
    let receipt_id = bench.id("R").into();
    let site = site.map(Into::into);
    Command::Receive(Receive { receipt_id, site, lines: lines(skus, quantity), ..Receive::default() })
}

fn place(order_id: String, skus: &[String], quantity: i64, on_shortage: OnShortage) -> Place<'_> {
    let lines = lines(skus, quantity).into_iter().map(Into::into).collect();
    Place { order_id: order_id.into(), lines, on_shortage, ..Place::default() }
}

/// As many of the largest orders as a message may hold.
fn largest<'a>(
    bench: &mut Bench,
    skus: &'a [String],
    quantity: i64,
    how: OnShortage,
) -> (Vec<String>, Vec<Command<'a>>) {
    let ids: Vec<_> = (0..ORDERS).map(|_| bench.id("O")).collect();
    let orders = ids.iter().map(|id| Command::Place(place(id.clone(), skus, quantity, how))).collect();
    (ids, orders)
}

/// Orders of all lines, and what is done to them.
fn facts(bench: &mut Bench, skus: &[String]) -> Result<()> {
    bench.measure_commands("place: 8 orders of 4,000 lines", |bench| {
        Ok(largest(bench, skus, 1, OnShortage::Refuse).1)
    })?;
    bench.measure_commands("place: 8 orders of 4,000 lines, all short", |bench| {
        Ok(largest(bench, skus, 900_000_000, OnShortage::Refuse).1)
    })?;
    let placed = |bench: &mut Bench| {
        let (ids, orders) = largest(bench, skus, 2, OnShortage::Refuse);
        bench.send(&orders).map(|()| ids)
    };
    bench.measure_commands("cancel: 8 orders, half of each of 4,000 lines", |bench| {
        let ids = placed(bench)?;
        let cancel =
            |id: String| Cancel { order_id: id.into(), lines: Some(lines(skus, 1)), ..Cancel::default() };
        Ok(ids.into_iter().map(|id| Command::Cancel(cancel(id))).collect())
    })?;
    bench.measure_commands("amend: 8 orders, 4,000 lines", |bench| {
        let ids = placed(bench)?;
        let amend = |id: String| Amend {
            amendment_id: id.clone().into(),
            order_id: id.into(),
            lines: lines(skus, 3).into_iter().map(Into::into).collect(),
            ..Amend::default()
        };
        Ok(ids.into_iter().map(|id| Command::Amend(amend(id))).collect())
    })?;
    bench.measure_commands("ship: 8 orders, half of each of 4,000 lines", |bench| {
        let ids = placed(bench)?;
        let ship = |id: String| Ship { order_id: id.into(), lines: Some(lines(skus, 1)), ..Ship::default() };
        Ok(ids.into_iter().map(|id| Command::Ship(ship(id))).collect())
    })?;
    bench.measure_commands("deliver: 8 orders of 4,000 lines that were not shipped", |bench| {
        let ids = placed(bench)?;
        let deliver = |id: String| Deliver { order_id: id.into(), ..Deliver::default() };
        Ok(ids.into_iter().map(|id| Command::Deliver(deliver(id))).collect())
    })?;
    bench.measure_commands("return: 8 orders of 4,000 lines that were not shipped", |bench| {
        let ids = placed(bench)?;
        let back = |id: String| Return {
            return_id: id.clone().into(),
            order_id: id.into(),
            restock: true,
            ..Return::default()
        };
        Ok(ids.into_iter().map(|id| Command::Return(back(id))).collect())
    })?;
    bench.measure_commands("pay: 16,384 that are refused", |bench| {
        let id = bench.id("O");
        Ok((0..COMMANDS_MAX)
            .map(|_| Command::Pay(Pay { order_id: id.clone().into(), ..Pay::default() }))
            .collect())
    })
}

fn stock(bench: &mut Bench, skus: &[String]) -> Result<()> {
    bench.measure_commands("receive: 8 receipts of 4,000 SKUs", |bench| {
        Ok((0..ORDERS).map(|_| receive(bench, None, skus, 1)).collect())
    })?;
    bench.measure_commands("count: 8 counts of 4,000 SKUs", |bench| {
        let count = |bench: &mut Bench, number: usize| Count {
            count_id: bench.id("C").into(),
            lines: lines(skus, 900_000 + number as i64).into_iter().map(Into::into).collect(),
            ..Count::default()
        };
        Ok((0..ORDERS).map(|number| Command::Count(count(bench, number))).collect())
    })?;
    bench.measure_commands("adjust: 8 adjustments of 4,000 SKUs", |bench| {
        let adjust = |bench: &mut Bench| Adjust {
            adjustment_id: bench.id("A").into(),
            lines: lines(skus, 1),
            ..Adjust::default()
        };
        Ok((0..ORDERS).map(|_| Command::Adjust(adjust(bench))).collect())
    })?;
    bench.measure_commands("transfer: 8 transfers of 4,000 SKUs", |bench| {
        let transfer = |bench: &mut Bench| Transfer {
            transfer_id: bench.id("T").into(),
            from: SITE_DEFAULT.into(),
            to: "site-1".into(),
            lines: lines(skus, 1),
            ..Transfer::default()
        };
        Ok((0..ORDERS).map(|_| Command::Transfer(transfer(bench))).collect())
    })
}

/// Orders that list eight sites, of which none but the last has anything.
fn sites(bench: &mut Bench, skus: &[String]) -> Result<()> {
    let skus = &skus[..2_000];
    let names: Vec<_> = (1..ORDER_SITES_MAX).map(|number| format!("site-{number}")).collect();
    for site in &names {
        let receipt = receive(bench, Some(site), skus, 100);
        bench.send(&[receipt])?;
    }
    let listed: Vec<_> = names.iter().map(String::as_str).chain([SITE_DEFAULT]).collect();
    bench.measure_commands("place: orders of 2,000 lines that list 8 sites", |bench| {
        let order = |bench: &mut Bench| {
            let sites = Some(listed.iter().map(|site| (*site).into()).collect());
            Command::Place(Place { sites, ..place(bench.id("O"), skus, 200, OnShortage::Refuse) })
        };
        Ok((0..MESSAGE_LINES / 2_000).map(|_| order(bench)).collect())
    })
}

/// Messages full of small commands, and of what is none.
fn small(bench: &mut Bench, skus: &[String]) -> Result<()> {
    for format in [Format::Json, Format::Bincode] {
        bench.measure(&format!("place: 16,384 plain orders in {format:?}"), |bench| {
            let order = |bench: &mut Bench, number: usize| {
                let two = &skus[number % (skus.len() - 2)..][..2];
                Command::Place(place(bench.id("O"), two, 1, OnShortage::Refuse))
            };
            let orders: Vec<_> = (0..COMMANDS_MAX).map(|number| order(bench, number)).collect();
            Ok((format, encode_commands(format, &orders)))
        })?;
    }
    bench.measure("16,384 dead letters in JSON", |_| {
        Ok((Format::Json, format!("[{}1]", "1,".repeat(COMMANDS_MAX - 1)).into_bytes()))
    })?;
    bench.measure("brackets alone, to the largest payload", |_| {
        Ok((Format::Json, "[".repeat(PAYLOAD_BYTES_MAX).into_bytes()))
    })
}

/// 400,000 orders wait for stock, as many are held unpaid, and a SKU is missing that all of them have.
fn queues(bench: &mut Bench, skus: &[String]) -> Result<()> {
    let all = 400_000 / bench.share;
    let waited = &skus[..SAMPLES * 2];
    for first in (0..all).step_by(4_000) {
        let orders = |bench: &mut Bench, number: usize| {
            let sku = number % waited.len();
            Command::Place(place(bench.id("W"), &waited[sku..=sku], 1, OnShortage::Backorder))
        };
        let orders: Vec<_> = (first..first + 4_000).map(|number| orders(bench, number)).collect();
        bench.send(&orders)?;
    }
    let mut next = waited.iter();
    bench.measure_commands("receive: stock that 40,000 orders wait for", |bench| {
        let sku = std::slice::from_ref(next.next().context("no SKU is left")?);
        Ok(vec![receive(bench, None, sku, 1_000_000)])
    })?;
    bench.measure_commands("tick: of those that wait, the next", |_| Ok(vec![Command::Tick(Tick {})]))
}

fn held(bench: &mut Bench, skus: &[String]) -> Result<()> {
    let all = 1_000_000 / bench.share;
    let sku = &skus[skus.len() - 1..];
    for _ in (0..all).step_by(4_000) {
        let order = |bench: &mut Bench| {
            let pay_within_ms = Some(60_000);
            Command::Place(Place { pay_within_ms, ..place(bench.id("H"), sku, 1, OnShortage::Refuse) })
        };
        let orders: Vec<_> = (0..4_000).map(|_| order(bench)).collect();
        bench.send(&orders)?;
    }
    bench.measure_commands("adjust: a SKU that all of 1,000,000 orders lose by", |bench| {
        let adjustment_id = bench.id("A").into();
        Ok(vec![Command::Adjust(Adjust {
            adjustment_id,
            lines: lines(sku, -900_000_000),
            ..Adjust::default()
        })])
    })?;
    bench.measure_commands("tick: who loses by it, the next", |_| Ok(vec![Command::Tick(Tick {})]))?;
    bench.at_ns += 3_600_000_000_000;
    bench.measure_commands("tick: of 1,000,000 holds that ended, the next", |_| {
        Ok(vec![Command::Tick(Tick {})])
    })
}

/// As many SKUs as there can be.
fn catalogue(bench: &mut Bench) -> Result<()> {
    let all = 3_900_000 / bench.share;
    for first in (0..all).step_by(LINES) {
        let skus: Vec<_> = (first..first + LINES).map(|number| format!("K-{number:07}")).collect();
        let receipt = receive(bench, None, &skus, 1);
        bench.send(&[receipt])?;
    }
    let mut units = 0;
    let mut policy = |bench: &mut Bench, name: &str, snapshot: bool| {
        let mut frozen = None;
        bench.measure_commands(name, |bench| {
            units += 1;
            // What a snapshot is written of is copied where it changes first.
            frozen = snapshot.then(|| bench.inventory.freeze());
            let safety_stock = Some(units % 2);
            Ok(vec![Command::Policy(PolicyChange { safety_stock, ..PolicyChange::default() })])
        })?;
        drop(frozen);
        anyhow::Ok(())
    };
    policy(bench, "policy: another safety stock for 4 million SKUs", false)?;
    policy(bench, "the same, while a snapshot is written", true)
}

/// How long decisions wait for the state of one moment, which a snapshot is then written of.
fn freezing(bench: &mut Bench) {
    let mut longest = 0.0_f64;
    for _ in 0..SAMPLES {
        let started = bench.clock.monotonic();
        let frozen = bench.inventory.freeze();
        longest = longest.max(bench.clock.monotonic().saturating_sub(started).as_secs_f64());
        drop(frozen);
    }
    println!("{:<58} {:>46.2} ms", "freezing that state for a snapshot", longest * 1e3);
}

fn main() -> Result<()> {
    // `cargo bench` says --bench; whoever tests that benches run says --test.
    let share = if std::env::args().any(|argument| argument == "--test") { 100 } else { 1 };
    let mut bench = Bench::new(share)?;
    let stocked = skus("S", LINES);
    let receipt = receive(&mut bench, None, &stocked, 500_000_000);
    bench.send(&[receipt])?;
    facts(&mut bench, &stocked)?;
    stock(&mut bench, &stocked)?;
    sites(&mut bench, &stocked)?;
    small(&mut bench, &stocked)?;
    let wanted = skus("W", SAMPLES * 2);
    let receipt = receive(&mut bench, None, &wanted, 1);
    bench.send(&[receipt])?;
    queues(&mut bench, &wanted)?;
    held(&mut bench, &stocked)?;
    catalogue(&mut bench)?;
    freezing(&mut bench);
    Ok(())
}
