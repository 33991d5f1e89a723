//! Restoring: bytes that may be anything, to a state.

use super::basics::{read_basics, read_end, read_head};
use super::chunks::{CHUNK_BYTES, Chunk, Kind, Unframe};
use super::fields::{Fields, Read};
use super::orders::{read_closed, read_settled, read_slot, read_slot_number, read_turn};
use super::stock::{read_number, read_place};
use super::work::{Fact, read_fact, read_found, read_search};
use super::{SnapshotError, SnapshotHead};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::digest::{Digests, Ledger};
use crate::folds::inventory::tables::facts::FactKind;
use crate::folds::inventory::tables::index::Entries;
use crate::folds::inventory::tables::order::{Bucket, View};
use crate::folds::inventory::tables::sides::{NO_SLOT, Parked};
use crate::folds::inventory::tables::stock::{StockIndex, StockTable};
use crate::words::policy::RULES_NEWEST;
use crate::words::timestamp::Timestamp;

/// How many orders' SKUs are looked up together.
const AHEAD: usize = 32;

/// A state that is being restored from the bytes of a snapshot, which may come cut anyhow.
///
/// Whatever the bytes are, it gives an error or a state that can be folded on, and takes no more memory than what came
/// justifies: at most some 80 bytes for each byte, which is what an unused slot takes.
#[derive(Debug)]
pub struct Restoring {
    unframe: Unframe,
    head: Option<SnapshotHead>,
    state: Box<State>,
    failed: Option<SnapshotError>,
}

/// What there is of the state, and what is still to be made of it.
#[derive(Debug)]
struct State {
    inventory: Inventory,
    ledger: Ledger,
    /// What the index of order ids is to be made of.
    ids: Entries,
    /// Orders whose SKUs have not been looked at yet.
    ahead: Vec<u32>,
    /// Orders whose deadline has not been set yet.
    due: PlaceSet,
    parked: Vec<(u32, Parked)>,
    /// Places of stock that are not used, and have not been named as such yet.
    no_stock: PlaceSet,
    /// How many SKUs were said to be idle.
    idle: usize,
    /// Slots that are not used, and have not been named as such yet.
    unused: PlaceSet,
    /// Settled orders whose current entry has not come yet.
    settled: PlaceSet,
    facts: [Vec<Fact>; FactKind::KINDS],
    /// The kind of the last fact.
    fact_kind: usize,
    /// The deadline that came last.
    deadline: Timestamp,
    /// The SKU of what a walk found that came last.
    found_of: StockIndex,
    /// Whether all orders stand in their line-ups.
    is_lined_up: bool,
}

impl Default for Restoring {
    fn default() -> Self {
        Self::new()
    }
}

impl Restoring {
    /// Nothing has come yet.
    #[must_use]
    pub fn new() -> Self {
        let state = State {
            inventory: Inventory::new(),
            ledger: Ledger::default(),
            ids: Entries::default(),
            ahead: Vec::with_capacity(AHEAD),
            due: PlaceSet::default(),
            parked: Vec::new(),
            no_stock: PlaceSet::default(),
            idle: 0,
            unused: PlaceSet::default(),
            settled: PlaceSet::default(),
            facts: Default::default(),
            fact_kind: 0,
            deadline: Timestamp::ZERO,
            found_of: StockIndex(0),
            is_lined_up: false,
        };
        Self { unframe: Unframe::new(), head: None, state: Box::new(state), failed: None }
    }

    /// What the snapshot says of itself, once that has come.
    #[must_use]
    pub const fn head(&self) -> Option<&SnapshotHead> {
        self.head.as_ref()
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// What is wrong with them; from then on, the same again.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let Self { unframe, head, state, .. } = self;
        let fed = unframe.feed(bytes, |chunk| match head {
            None => {
                *head = Some(state.head(&chunk)?);
                Ok(())
            }
            Some(head) => state.chunk(head, &chunk),
        });
        if let Err(error) = &fed {
            self.failed = Some(error.clone());
        }
        fed
    }

    /// The state, once all bytes have come.
    ///
    /// # Errors
    /// [`SnapshotError::Truncated`] if they have not; or what was wrong with them.
    pub fn finish(self) -> Result<Inventory, SnapshotError> {
        match self.failed {
            Some(failed) => Err(failed),
            None if self.unframe.is_whole() => Ok(self.state.inventory),
            None => Err(SnapshotError::Truncated { chunk: self.unframe.number() }),
        }
    }
}

impl State {
    fn head(&mut self, chunk: &Chunk<'_>) -> Result<SnapshotHead, SnapshotError> {
        let malformed = |what| SnapshotError::Malformed { chunk: chunk.number, what };
        let mut fields = Fields::new(chunk.payload, 0, Timestamp::ZERO).map_err(malformed)?;
        let head = read_head(&mut fields).map_err(malformed)?;
        if head.rules > RULES_NEWEST {
            return Err(SnapshotError::UnknownRules { rules: head.rules, newest: RULES_NEWEST });
        }
        fields.end().map_err(malformed)?;
        self.inventory.chain = head.chain;
        self.inventory.last_message_hash = head.last_message_hash;
        self.inventory.policy.rules = head.rules;
        self.inventory.now = head.now;
        Ok(head)
    }

    fn chunk(&mut self, head: &SnapshotHead, chunk: &Chunk<'_>) -> Result<(), SnapshotError> {
        let malformed = |what| SnapshotError::Malformed { chunk: chunk.number, what };
        let mut fields = Fields::new(chunk.payload, head.chain.sequence, head.now).map_err(malformed)?;
        if chunk.kind == Kind::End {
            return self.end(head, chunk, &mut fields);
        }
        self.records(chunk.kind, &mut fields).map_err(malformed)
    }

    fn records(&mut self, kind: Kind, fields: &mut Fields<'_>) -> Read<()> {
        match kind {
            Kind::Basics => {
                read_basics(fields, &mut self.inventory)?;
                self.ledger = Ledger::new(&self.inventory.sites);
                fields.end()
            }
            Kind::Orders => {
                self.each(fields, Self::slot)?;
                self.look_up()
            }
            Kind::Closed => self.each(fields, |state, fields| state.closed(false, fields)),
            Kind::Refused => self.each(fields, |state, fields| state.closed(true, fields)),
            kind => self.each(fields, |state, fields| state.record(kind, fields)),
        }
    }

    /// Reads records until the chunk ends, and no record that should have stood in the next one.
    #[inline]
    fn each(
        &mut self,
        fields: &mut Fields<'_>,
        read: impl Fn(&mut Self, &mut Fields<'_>) -> Read<()>,
    ) -> Read<()> {
        while !fields.is_empty() {
            if fields.taken() >= CHUNK_BYTES {
                return Err("the chunk ends too late");
            }
            read(self, fields)?;
        }
        Ok(())
    }

    #[inline]
    fn slot(&mut self, fields: &mut Fields<'_>) -> Read<()> {
        const FULL: &str = "more slots than there can be";
        let orders = &mut self.inventory.orders;
        let Some(read) = read_slot(fields)? else {
            self.unused.insert(orders.restore_empty().ok_or(FULL)?);
            return Ok(());
        };
        let slot = orders.restore_order(read.order, read.id, read.side, &mut self.ids).ok_or(FULL)?;
        let view = orders.view(slot);
        if !view.is_open() {
            self.settled.insert(slot);
        }
        if view.deadline().is_some() {
            self.due.insert(slot);
        }
        if let Some(parked) = view.side.and_then(|side| side.more.as_ref()).and_then(|more| more.parked) {
            self.parked.push((slot, parked));
        }
        self.ahead.push(slot);
        if self.ahead.len() < AHEAD { Ok(()) } else { self.look_up() }
    }

    /// Looks up the SKUs of some orders together, which [`super::super::commands::plain`] explains, and posts what the orders hold.
    fn look_up(&mut self) -> Read<()> {
        const NONE: &str = "an order names a SKU that there is not";
        let Inventory { stock, orders, shortfalls, now, .. } = &mut self.inventory;
        let places = stock.len();
        let mut read = 0;
        for slot in &self.ahead {
            for line in orders.view(*slot).lines() {
                if line.stock.0 as usize >= places || stock.get(line.stock).name_length == 0 {
                    return Err(NONE);
                }
                read ^= stock.get(line.stock).named;
            }
        }
        // What was read is used for nothing, which the compiler must not notice.
        std::hint::black_box(read);
        for slot in self.ahead.drain(..) {
            let view = orders.view(slot);
            for (number, line) in view.lines().iter().enumerate() {
                stock.name(line.stock, 1, *now);
                for bucket in [Bucket::Waiting, Bucket::Reserved] {
                    let units = view.units(number, bucket);
                    if units > 0 {
                        stock.post(line.stock, None, bucket, units, *now);
                    }
                }
                let part = if view.whole().is_some() { continue } else { view.part(number) };
                if part.lacking > 0 {
                    shortfalls.restore_lacking(
                        line.stock,
                        view.order.ticket,
                        slot,
                        part.at(Bucket::Reserved),
                    );
                    stock.set_lacked(line.stock, true, *now);
                }
            }
            orders.sort_lines(slot, stock);
            self.ledger.add_order(stock, orders, orders.view(slot));
        }
        Ok(())
    }

    fn closed(&mut self, refused: bool, fields: &mut Fields<'_>) -> Read<()> {
        let (closed, id) = read_closed(fields, refused)?;
        self.ledger.add_closed(id, &closed);
        let fits = self.inventory.orders.restore_closed(refused, closed, id, &mut self.ids);
        if fits { Ok(()) } else { Err("more closed orders than there can be") }
    }

    fn record(&mut self, kind: Kind, fields: &mut Fields<'_>) -> Read<()> {
        if kind > Kind::Facts {
            self.line_up()?;
        }
        let Inventory { sites, stock, orders, waiting, shortfalls, deadlines, now, .. } = &mut self.inventory;
        let (places, slots) = (stock.len(), orders.slots_count());
        match kind {
            Kind::Stock => {
                let place = u32::try_from(places).map_err(|_| "more SKUs than there can be")?;
                match read_place(fields, sites, stock)? {
                    None => self.no_stock.insert(place),
                    Some(read) => {
                        self.idle += usize::from(StockTable::idle_since(stock.books(read)).is_some());
                    }
                }
            }
            Kind::StockUnused => {
                let place = read_number(fields, places)?;
                if !self.no_stock.remove(place.0) {
                    return Err("a place of stock is named unused that is used, or was named before");
                }
                stock.restore_unused(place);
            }
            Kind::Unused => {
                let slot = read_slot_number(fields, slots)?;
                if !self.unused.remove(slot) {
                    return Err("a slot is named unused that is used, or was named before");
                }
                orders.restore_unused(slot);
            }
            Kind::Deadlines => {
                let slot = read_slot_number(fields, slots)?;
                let view = orders.at(slot).filter(|_| self.due.remove(slot));
                let at = view.and_then(View::deadline).ok_or("a deadline of an order that has none")?;
                if at < self.deadline {
                    return Err("deadlines are out of order");
                }
                self.deadline = at;
                let side = orders.side_mut(slot);
                (side.deadline, side.before, side.behind) = (None, NO_SLOT, NO_SLOT);
                deadlines.set(orders, slot, at);
            }
            Kind::Sifted | Kind::Settled => {
                let entry = read_settled(fields, slots)?;
                // One that opened and was settled again at the same time is there twice; the first counts.
                if orders.restore_settled(kind == Kind::Sifted, entry) {
                    self.settled.remove(entry.slot);
                }
            }
            Kind::Facts => {
                let (kind, fact) = read_fact(fields)?;
                if kind < self.fact_kind {
                    return Err("facts are out of order");
                }
                self.fact_kind = kind;
                self.facts[kind].push(fact);
            }
            Kind::Moved => {
                let (turn, moved) = (read_turn(fields)?, read_number(fields, places)?);
                if !waiting.has_not_moved(moved) {
                    return Err("a SKU has moved twice, or nobody is parked at it");
                }
                if waiting.moved().last().is_some_and(|last| last >= (turn, moved)) {
                    return Err("SKUs that have moved are out of order");
                }
                waiting.has_moved(moved, turn);
            }
            Kind::Uneasy => {
                let uneasy = read_number(fields, places)?;
                if stock.get(uneasy).name_length == 0 || stock.set_uneasy(uneasy, true, *now) {
                    return Err("a SKU is looked for twice, or there is none");
                }
                shortfalls.note(uneasy);
            }
            Kind::Search => {
                let before = shortfalls.search.replace(read_search(fields, places, slots)?);
                if before.is_some() {
                    return Err("a search is there twice");
                }
            }
            Kind::Found => {
                read_found(fields, shortfalls.search.as_mut(), &mut self.found_of, (places, slots))?;
            }
            Kind::Head | Kind::Basics | Kind::Orders | Kind::Closed | Kind::Refused | Kind::End => {
                return Err("a record of another kind");
            }
        }
        Ok(())
    }

    /// Puts the orders that wait into their line-ups, once all orders have come.
    fn line_up(&mut self) -> Read<()> {
        if std::mem::replace(&mut self.is_lined_up, true) {
            return Ok(());
        }
        let inventory = &mut self.inventory;
        for (slot, parked) in self.parked.drain(..) {
            if inventory.waiting.has_turn(parked.turn) {
                return Err("two orders with one turn wait");
            }
            if parked.first_site.is_some_and(|site| usize::from(site.0) >= inventory.sites.all().len()) {
                return Err("a site that there is not");
            }
            inventory.park_with(slot, parked, inventory.now);
        }
        Ok(())
    }

    fn end(
        &mut self,
        head: &SnapshotHead,
        chunk: &Chunk<'_>,
        fields: &mut Fields<'_>,
    ) -> Result<(), SnapshotError> {
        let malformed = |what| SnapshotError::Malformed { chunk: chunk.number, what };
        let (said_totals, said_digests) = read_end(fields).map_err(malformed)?;
        fields.end().map_err(malformed)?;
        self.complete(head).map_err(malformed)?;
        let inventory = &self.inventory;
        let totals = inventory.totals();
        if said_totals != totals {
            return Err(SnapshotError::Totals { said: said_totals.into(), found: totals.into() });
        }
        self.ledger.add_stock(&inventory.stock);
        let digests = Digests { state: chunk.before, ledger: self.ledger.finish() };
        if said_digests != digests {
            return Err(SnapshotError::Digests { said: said_digests, found: digests });
        }
        Ok(())
    }

    /// Makes what follows from all that has come.
    fn complete(&mut self, head: &SnapshotHead) -> Read<()> {
        let check = |good: bool, what| if good { Ok(()) } else { Err(what) };
        self.line_up()?;
        check(self.no_stock.is_empty(), "a place of stock is not used, and not named so")?;
        check(self.unused.is_empty(), "a slot is not used, and not named so")?;
        check(self.due.is_empty(), "an order has a deadline that did not come")?;
        check(self.settled.is_empty(), "an order is settled, and in no queue")?;
        let inventory = &mut self.inventory;
        let distinct = inventory.orders.restore_index(std::mem::take(&mut self.ids));
        check(distinct, "an order is there twice")?;
        for (kind, facts) in self.facts.iter_mut().enumerate() {
            check(inventory.facts.restore(kind, std::mem::take(facts)), "a fact is there twice")?;
        }
        check(inventory.stock.sums_are_bounded(), "stock adds up to more than there can be")?;
        check(inventory.stock.idle_is_right(self.idle), "a SKU is idle that is not, or is not that is")?;
        check(*head == inventory.snapshot_head(), "the head says another number of orders")?;
        // The first message brings the seeds of hashes, and must find nothing that is hashed.
        let nothing = inventory.stock.len() == 0 && head.orders == 0;
        check(head.chain.sequence > 0 || nothing, "something is there before the first message")
    }
}

/// A set of places of a table, a bit for each.
#[derive(Debug, Default)]
struct PlaceSet {
    words: Vec<u64>,
    len: usize,
}

impl PlaceSet {
    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    const fn place(place: u32) -> (usize, u64) {
        (place as usize / 64, 1 << (place % 64))
    }

    /// Adds a place that is not in it.
    fn insert(&mut self, place: u32) {
        let (word, bit) = Self::place(place);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
        self.len += 1;
    }

    /// Takes a place out of it; false where it is not in it.
    fn remove(&mut self, place: u32) -> bool {
        let (word, bit) = Self::place(place);
        let Some(word) = self.words.get_mut(word).filter(|word| **word & bit != 0) else { return false };
        *word &= !bit;
        self.len -= 1;
        true
    }
}
