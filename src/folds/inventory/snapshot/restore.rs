//! Restoring: bytes that may be anything, to a state.

use std::collections::BTreeSet;

use super::basics::{read_basics, read_end, read_head, read_stock};
use super::chunks::{CHUNK_BYTES, Chunk, Kind, Unframe};
use super::fields::{Fields, Read};
use super::orders::{read_closed, read_settled, read_slot, read_slot_number};
use super::work::{Fact, read_fact, read_found, read_search, read_stock_number};
use super::{SnapshotError, SnapshotHead};
use crate::folds::inventory::Inventory;
use crate::folds::inventory::digest::{Digests, Ledger};
use crate::folds::inventory::facts::FactKind;
use crate::folds::inventory::holds::Holds;
use crate::folds::inventory::index::Entries;
use crate::folds::inventory::order::Ticket;
use crate::folds::inventory::orders::Slot;
use crate::folds::inventory::stock::StockIndex;
use crate::folds::inventory::waiting::Parked;
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
    ahead: Vec<Slot>,
    holds: Vec<((Timestamp, Ticket), Slot)>,
    parked: Vec<Parked>,
    /// Slots that are not used, and have not been named as such yet.
    unused: SlotSet,
    /// Settled orders whose current entry has not come yet.
    settled: SlotSet,
    facts: [Vec<Fact>; FactKind::COUNT],
    /// The kind of the last fact.
    fact_kind: usize,
    /// The SKUs that are searched for.
    searched: BTreeSet<StockIndex>,
    /// The search that found what came last.
    found_by: usize,
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
            holds: Vec::new(),
            parked: Vec::new(),
            unused: SlotSet::default(),
            settled: SlotSet::default(),
            facts: Default::default(),
            fact_kind: 0,
            searched: BTreeSet::new(),
            found_by: 0,
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
            Kind::Closed => self.each(fields, Self::closed),
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
        let Some(order) = read_slot(fields)? else {
            self.unused.insert(orders.restore_empty().ok_or(FULL)?);
            return Ok(());
        };
        let (ticket, pay_by, parked_at) = (order.ticket(), order.pay_by(), order.parked_at());
        let is_settled = order.is_settled();
        let slot = orders.restore_order(order, &mut self.ids).ok_or(FULL)?;
        if let Some(pay_by) = pay_by {
            self.holds.push(((pay_by, ticket), slot));
        }
        if let Some(stock) = parked_at {
            self.parked.push(Parked { stock, ticket, slot });
        }
        if is_settled {
            self.settled.insert(slot);
        }
        self.ahead.push(slot);
        if self.ahead.len() < AHEAD { Ok(()) } else { self.look_up() }
    }

    /// Looks up the SKUs of some orders together, which [`super::super::ahead`] explains, and promises what the orders hold.
    fn look_up(&mut self) -> Read<()> {
        let Inventory { stock, orders, .. } = &mut self.inventory;
        let mut read = 0;
        for slot in &self.ahead {
            for line in orders.get(*slot).lines() {
                read ^= stock.touch_item(line.stock);
            }
        }
        // As in `look_ahead`: what was read is used for nothing.
        std::hint::black_box(read);
        for slot in self.ahead.drain(..) {
            let order = orders.get(slot);
            let promised = stock.restore_order(order);
            promised.ok_or("an order names a SKU that there is not, or SKUs of two sites")?;
            self.ledger.add_order(stock, order);
        }
        Ok(())
    }

    fn closed(&mut self, fields: &mut Fields<'_>) -> Read<()> {
        let closed = read_closed(fields)?;
        self.ledger.add_closed(&closed);
        let fits = self.inventory.orders.restore_closed(closed, &mut self.ids);
        if fits { Ok(()) } else { Err("more closed orders than there can be") }
    }

    fn record(&mut self, kind: Kind, fields: &mut Fields<'_>) -> Read<()> {
        let Inventory { sites, stock, orders, waiting, searches, .. } = &mut self.inventory;
        let (skus, slots) = (stock.items().len(), orders.slots().len());
        match kind {
            Kind::Stock => read_stock(fields, sites, stock)?,
            Kind::Unused => {
                let slot = read_slot_number(fields, slots)?;
                if !self.unused.remove(slot) {
                    return Err("a slot is named unused that is used, or was named before");
                }
                orders.restore_unused(slot);
            }
            Kind::Sifted | Kind::Settled => {
                let entry = read_settled(fields, slots)?;
                if orders.restore_settled(kind == Kind::Sifted, entry) && !self.settled.remove(entry.slot) {
                    return Err("an order is settled twice");
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
            Kind::Releases => {
                let released = read_stock_number(fields, skus)?;
                if stock.get(released).releasing {
                    return Err("a SKU is released twice");
                }
                stock.set_releasing(released, true);
                waiting.restore_release(released);
            }
            Kind::Searches => {
                let search = read_search(fields, skus, slots)?;
                if !self.searched.insert(search.stock) {
                    return Err("a SKU is searched for twice");
                }
                searches.push_back(search);
            }
            Kind::Found => read_found(fields, searches, &mut self.found_by, slots)?,
            Kind::Head | Kind::Basics | Kind::Orders | Kind::Closed | Kind::End => {
                return Err("a record of another kind");
            }
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
        check(self.unused.is_empty(), "a slot is not used, and not named so")?;
        check(self.settled.is_empty(), "an order is settled, and in no queue")?;
        let inventory = &mut self.inventory;
        let distinct = inventory.orders.restore_index(std::mem::take(&mut self.ids));
        check(distinct, "an order is there twice")?;
        let count = self.holds.len();
        inventory.holds = Holds::from_iter(std::mem::take(&mut self.holds));
        check(inventory.holds.len() == count, "two orders with one ticket are held")?;
        let waiting = inventory.restore_waiting(std::mem::take(&mut self.parked));
        check(waiting, "two orders with one ticket wait")?;
        for (kind, facts) in self.facts.iter_mut().enumerate() {
            check(inventory.facts.restore(kind, std::mem::take(facts)), "a fact is there twice")?;
        }
        check(inventory.stock.restore_sums(), "stock adds up to more than there can be")?;
        check(*head == inventory.snapshot_head(), "the head says another number of orders")?;
        // The first message brings the seeds of hashes, and must find nothing that is hashed.
        let nothing = inventory.stock.items().is_empty() && head.orders == 0;
        check(head.chain.sequence > 0 || nothing, "something is there before the first message")
    }
}

/// A set of slots, a bit for each.
#[derive(Debug, Default)]
struct SlotSet {
    words: Vec<u64>,
    len: usize,
}

impl SlotSet {
    const fn is_empty(&self) -> bool {
        self.len == 0
    }

    const fn place(slot: Slot) -> (usize, u64) {
        (slot.0 as usize / 64, 1 << (slot.0 % 64))
    }

    /// Adds a slot that is not in it.
    fn insert(&mut self, slot: Slot) {
        let (word, bit) = Self::place(slot);
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= bit;
        self.len += 1;
    }

    /// Takes a slot out of it; false where it is not in it.
    fn remove(&mut self, slot: Slot) -> bool {
        let (word, bit) = Self::place(slot);
        let Some(word) = self.words.get_mut(word).filter(|word| **word & bit != 0) else { return false };
        *word &= !bit;
        self.len -= 1;
        true
    }
}
