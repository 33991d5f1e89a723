//! The orders that are sent: drawn from their number, written straight into the message.
//!
//! The generator shares two cores with what it measures, so an order costs it no allocation: one command is kept and
//! filled in again and again, and encoded in place. What an order holds is a pure function of the load and of the
//! order's number, so that the audit can draw it again.

use std::borrow::Cow;

use bytes::Bytes;
use fastrand::Rng;

use crate::shop::{Lines, Load, Step};
use weir::commands::generator::Shape;
use weir::words::codec::{Format, FrameWriter};
use weir::words::command::{Cancel, Command, Deliver, Line, Pay, Place, Receive, Return, Review, Ship};
use weir::words::hash::mix;
use weir::words::text::Text;
use weir::words::timestamp::Timestamp;

/// Salts the draw of what follows an order, so that it is independent of its lines.
const STEPS_SALT: u64 = 0x6d69_7874;
/// Units of a line, unless a shop's quantities are asked for.
const QUANTITY_MAX: u32 = 3;
/// Lines of a receipt.
const RECEIPT_LINES_MAX: usize = 1_000;
/// An order id's length in bytes: a letter and digits.
const ID_BYTES: usize = 12;

/// Draws orders. Its memory is 40 bytes for each SKU.
#[derive(Debug)]
pub(crate) struct Orders {
    load: Load,
    names: Vec<String>,
    popularity: Option<Alias>,
    shop: Shape,
}

/// What is drawn: the SKUs' numbers, and how many of each.
pub(crate) type Drawn = Vec<(u32, i64)>;

impl Orders {
    pub(crate) fn new(load: &Load) -> Self {
        Self {
            load: load.clone(),
            names: (0..load.skus).map(|sku| format!("{sku:06}")).collect(),
            popularity: (load.skew > 0.0).then(|| Alias::zipf(load.skus, load.skew)),
            shop: Shape::default(),
        }
    }

    /// The lines of an order.
    pub(crate) fn draw(&self, number: u64, drawn: &mut Drawn) {
        let mut rng = Rng::with_seed(mix(self.load.seed, number));
        let count = match self.load.lines {
            Lines::Between(least, most) => rng.u32(least..=most),
            Lines::Shop => self.shop.lines.draw(&mut rng),
        };
        drawn.clear();
        for _ in 0..count {
            let sku = match &self.popularity {
                Some(alias) => alias.draw(&mut rng),
                None => rng.u32(0..self.load.skus),
            };
            let quantity = match self.load.lines {
                Lines::Between(..) => rng.u32(1..=QUANTITY_MAX),
                Lines::Shop => self.shop.quantity.draw(&mut rng),
            };
            drawn.push((sku, i64::from(quantity)));
        }
    }

    /// Whether an order is followed by a step.
    fn is_followed(&self, number: u64, step: Step) -> bool {
        self.load.mix.has(step, mix(self.load.seed ^ STEPS_SALT, number))
    }

    /// After how many orders a step follows: a multiple of what a round over all shards takes, so that it goes to its
    /// order's shard.
    fn after(&self, step: Step) -> u64 {
        let round = u64::from(self.load.batch) * u64::from(self.load.shards);
        step.after().div_ceil(round) * round
    }

    /// The shard that an order goes to.
    pub(crate) fn shard_of(&self, number: u64) -> usize {
        self.load.shard_of_message(number / u64::from(self.load.batch))
    }

    /// The number of a SKU.
    pub(crate) fn sku_of(&self, name: &str) -> Option<u32> {
        name.parse().ok().filter(|sku| *sku < self.load.skus && name.len() == 6)
    }

    /// The receipts that put the stock into one shard.
    pub(crate) fn stock(&self, shard: usize) -> Vec<Command<'_>> {
        let line = |name: &'_ String| Line { sku: Cow::Owned(name.clone()), quantity: self.load.stock };
        let receipt = |(number, names): (usize, &[String])| {
            Command::Receive(Receive {
                receipt_id: format!("R{number}").into(),
                site: self.load.site(shard).map(Into::into),
                lines: names.iter().map(line).collect(),
                ..Receive::default()
            })
        };
        // A SKU that never had stock is not known, which is another refusal than none being left.
        let names = if self.load.stock > 0 { &self.names[..] } else { &[] };
        names.chunks(RECEIPT_LINES_MAX).enumerate().map(receipt).collect()
    }
}

/// An order, for those who do not take Weir's own commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed<'o> {
    pub(crate) id: String,
    /// SKUs, and how many units of each.
    pub(crate) lines: Vec<(&'o str, i64)>,
}

impl Orders {
    /// The order of a number: the same as [`Writer`] writes.
    pub(crate) fn placed(&self, number: u64) -> Placed<'_> {
        let mut drawn = Drawn::new();
        self.draw(number, &mut drawn);
        let lines = drawn.into_iter().map(|(sku, quantity)| (self.names[sku as usize].as_str(), quantity));
        Placed { id: id_of(number), lines: lines.collect() }
    }

    /// The names of the SKUs, by number.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

/// The id of an order.
pub(crate) fn id_of(number: u64) -> String {
    let mut id = String::with_capacity(ID_BYTES);
    write_id(&mut id, number);
    id
}

fn write_id(id: &mut String, number: u64) {
    let mut text = [b'0'; ID_BYTES];
    text[0] = b'O';
    let mut rest = number;
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
    }
    id.clear();
    id.push_str(std::str::from_utf8(&text).unwrap_or_default());
}

/// The number of the order with an id.
pub(crate) fn number_of(id: &str) -> Option<u64> {
    id.strip_prefix('O').filter(|digits| digits.len() == ID_BYTES - 1)?.parse().ok()
}

/// A message of orders.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) payload: Bytes,
    /// How many records it has: its orders, and the steps that follow earlier ones.
    pub(crate) records: u32,
}

/// Writes messages.
pub(crate) struct Writer<'o> {
    orders: &'o Orders,
    place: Command<'o>,
    drawn: Drawn,
    /// The size of the last message, as a hint for the next.
    bytes: usize,
}

impl<'o> Writer<'o> {
    pub(crate) fn new(orders: &'o Orders) -> Self {
        let place = Command::Place(Place::default());
        Self { orders, place, drawn: Drawn::new(), bytes: 0 }
    }

    /// The `number`th message, from 0, with all of its orders.
    pub(crate) fn batch(&mut self, number: u64, submitted_at: Timestamp) -> Batch {
        let Load { batch, format, .. } = self.orders.load;
        let mut payload = match format {
            Format::Json => Payload::Json(Vec::with_capacity(self.bytes)),
            Format::Bincode => Payload::Frame(FrameWriter::new()),
        };
        let shard = self.orders.load.shard_of_message(number);
        let first = number * u64::from(batch);
        let numbers = first..first + u64::from(batch);
        let mut records = 0;
        self.set(shard, submitted_at);
        for number in numbers.clone() {
            self.fill(number);
            payload.push(&self.place);
            records += 1;
        }
        if !self.orders.load.mix.is_empty() {
            for step in Step::ALL {
                for number in numbers.clone() {
                    let earlier = number.checked_sub(self.orders.after(step));
                    if let Some(earlier) = earlier.filter(|earlier| self.orders.is_followed(*earlier, step)) {
                        payload.push(&following(step, earlier));
                        records += 1;
                    }
                }
            }
        }
        let payload = payload.finish();
        self.bytes = payload.len();
        Batch { payload, records }
    }

    /// What all orders of a message have in common.
    fn set(&mut self, shard: usize, submitted_at: Timestamp) {
        let Command::Place(place) = &mut self.place else { return };
        place.site = self.orders.load.site(shard).map(Into::into);
        place.submitted_at = Some(submitted_at);
    }

    fn fill(&mut self, number: u64) {
        let Command::Place(place) = &mut self.place else { return };
        write_id(place.order_id.to_mut(), number);
        self.orders.draw(number, &mut self.drawn);
        place.lines.clear();
        let names = &self.orders.names;
        place.lines.extend(self.drawn.iter().map(|&(sku, quantity)| {
            Line { sku: Text::Borrowed(names[sku as usize].as_str()), quantity }.into()
        }));
    }
}

/// A step's command.
fn following(step: Step, number: u64) -> Command<'static> {
    let order_id = id_of(number).into();
    match step {
        Step::Pay => Command::Pay(Pay { order_id, ..Pay::default() }),
        Step::Cancel => {
            Command::Cancel(Cancel { order_id, by: Some("customer".into()), ..Cancel::default() })
        }
        Step::Ship => Command::Ship(Ship { order_id, ..Ship::default() }),
        Step::Deliver => Command::Deliver(Deliver { order_id, ..Deliver::default() }),
        Step::Return => {
            let return_id = format!("R{number}").into();
            Command::Return(Return { order_id, return_id, restock: true, ..Return::default() })
        }
        Step::Review => Command::Review(Review { order_id, score: 5, ..Review::default() }),
    }
}

enum Payload {
    Json(Vec<u8>),
    Frame(FrameWriter),
}

impl Payload {
    fn push(&mut self, command: &Command<'_>) {
        match self {
            Self::Json(json) => {
                json.push(if json.is_empty() { b'[' } else { b',' });
                serde_json::to_writer(json, command).expect("a vector takes all, and a command is JSON");
            }
            Self::Frame(frame) => frame.push_command(command),
        }
    }

    fn finish(self) -> Bytes {
        match self {
            Self::Json(mut json) => {
                json.push(b']');
                json.into()
            }
            Self::Frame(frame) => frame.finish().into(),
        }
    }
}

/// Draws numbers by given weights, with one look at a table each (Walker's alias method).
#[derive(Debug)]
struct Alias {
    /// For each number: the share of its cell, in 2^32ths, that is its own, and whose the rest is.
    cells: Vec<(u32, u32)>,
}

impl Alias {
    /// Zipf's law: the weight of the n-th is 1 / n^exponent.
    fn zipf(count: u32, exponent: f64) -> Self {
        let weights: Vec<f64> = (1..=count).map(|rank| f64::from(rank).powf(-exponent)).collect();
        let sum: f64 = weights.iter().sum();
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight / sum * f64::from(count)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..count).partition(|number| shares[*number as usize] < 1.0);
        let mut cells: Vec<(u32, u32)> = (0..count).map(|number| (u32::MAX, number)).collect();
        while let (Some(poor), Some(rich)) = (small.pop(), large.pop()) {
            let own = shares[poor as usize];
            cells[poor as usize] = (of_share(own), rich);
            shares[rich as usize] -= 1.0 - own;
            if shares[rich as usize] < 1.0 { &mut small } else { &mut large }.push(rich);
        }
        Self { cells }
    }

    fn draw(&self, rng: &mut Rng) -> u32 {
        let number = rng.u32(0..u32::try_from(self.cells.len()).unwrap_or(u32::MAX));
        let (own, other) = self.cells[number as usize];
        if rng.u32(..) <= own { number } else { other }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, which is what is wanted"
)]
fn of_share(share: f64) -> u32 {
    (share * f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir::words::codec::{commands, encode_commands};
    use weir::words::policy::RULES_NEWEST;

    fn load() -> Load {
        crate::shop::tests::load(10_000)
    }

    fn at() -> Timestamp {
        Timestamp::from_millis(1_795_000_000_000)
    }

    fn decoded(load: &Load, payload: &[u8]) -> Vec<Command<'static>> {
        let owned = |command: &Command<'_>| -> Command<'static> {
            let json = serde_json::to_string(command).unwrap();
            serde_json::from_str::<Command<'_>>(Box::leak(json.into_boxed_str())).unwrap()
        };
        commands(Some(load.format), payload, RULES_NEWEST).map(|command| owned(&command.unwrap())).collect()
    }

    #[test]
    fn a_message_is_what_encoding_its_commands_gives() {
        for format in [Format::Json, Format::Bincode] {
            for (shards, lines) in [(1, "2"), (3, "1-40")] {
                let mix = "cancel=5,ship=50,pay=90,deliver=40,return=30,review=5".parse().unwrap();
                let load = Load { format, shards, mix, lines: lines.parse().unwrap(), ..load() };
                let orders = Orders::new(&load);
                let mut writer = Writer::new(&orders);
                for number in [0, 1, 50] {
                    let batch = writer.batch(number, at());
                    let commands = decoded(&load, &batch.payload);
                    assert_eq!(batch.records as usize, commands.len());
                    assert_eq!(batch.payload, encode_commands(format, &commands));
                    assert_eq!(number == 50, commands.len() > 256, "{}", commands.len());
                }
            }
        }
    }

    #[test]
    fn the_reference_order_is_as_stated() {
        let load = load();
        let orders = Orders::new(&load);
        let batch = Writer::new(&orders).batch(7, at());
        let commands = decoded(&load, &batch.payload);
        let mut drawn = Drawn::new();
        for (number, command) in (7 * 256..).zip(&commands) {
            let Command::Place(place) = command else { panic!("{command:?}") };
            assert_eq!((place.order_id.len(), place.lines.len()), (12, 2));
            assert_eq!(number_of(&place.order_id), Some(number));
            orders.draw(number, &mut drawn);
            for (line, (sku, quantity)) in place.lines.iter().zip(&drawn) {
                assert_eq!((line.sku.len(), line.quantity), (6, *quantity));
                assert_eq!(orders.sku_of(&line.sku), Some(*sku));
            }
            let submitted_at = Some(at());
            let (order_id, lines) = (place.order_id.clone(), place.lines.clone());
            assert_eq!(*place, Place { order_id, lines, submitted_at, ..Place::default() });
        }
        let per_order = batch.payload.len() / 256;
        assert!((40..=56).contains(&per_order), "{per_order} bytes an order");
    }

    #[test]
    fn steps_go_to_the_shard_of_their_order() {
        let mix = "cancel=10,ship=80,pay=100,deliver=80,return=40,review=100".parse().unwrap();
        let load = Load { shards: 3, batch: 7, mix, ..load() };
        let orders = Orders::new(&load);
        let mut writer = Writer::new(&orders);
        let mut seen = 0;
        for number in 0..1_200 {
            let payload = writer.batch(number, at()).payload;
            for command in decoded(&load, &payload) {
                let id = match &command {
                    Command::Place(it) => &it.order_id,
                    Command::Pay(it) => &it.order_id,
                    Command::Cancel(it) => &it.order_id,
                    Command::Ship(it) => &it.order_id,
                    Command::Deliver(it) => &it.order_id,
                    Command::Return(it) => &it.order_id,
                    Command::Review(it) => &it.order_id,
                    other => panic!("{other:?}"),
                };
                let order = number_of(id).unwrap();
                assert_eq!(orders.shard_of(order), load.shard_of_message(number));
                seen += u32::from(!matches!(command, Command::Place(_)));
            }
        }
        assert!(seen > 8_000, "{seen}");
    }

    #[test]
    fn popularity_falls_by_zipfs_law() {
        let orders = Orders::new(&Load { skus: 100, skew: 1.0, ..load() });
        let (mut counts, mut drawn) = (vec![0_u32; 100], Drawn::new());
        for number in 0..50_000 {
            orders.draw(number, &mut drawn);
            for (sku, _) in &drawn {
                counts[*sku as usize] += 1;
            }
        }
        // The harmonic number of 100 is 5.187, so the first has 19.3%, the second half of that, and so on.
        for (rank, stated) in [(1, 19_278), (2, 9_639), (10, 1_928), (50, 386)] {
            let found = counts[rank - 1];
            assert!(found.abs_diff(stated) < stated / 5, "rank {rank}: {found}, stated {stated}");
        }
    }

    #[test]
    fn stock_covers_every_sku_of_a_shard() {
        let load = Load { skus: 2_500, shards: 2, ..load() };
        let orders = Orders::new(&load);
        let receipts = orders.stock(1);
        let mut skus = Vec::new();
        for command in &receipts {
            let Command::Receive(receive) = command else { panic!("{command:?}") };
            assert_eq!(receive.site.as_deref(), Some("s2"));
            assert!(receive.lines.len() <= 1_000 && receive.lines.iter().all(|line| line.quantity == 1_000));
            skus.extend(receive.lines.iter().map(|line| orders.sku_of(&line.sku).unwrap()));
        }
        assert_eq!(skus, (0..2_500).collect::<Vec<_>>());
    }
}
