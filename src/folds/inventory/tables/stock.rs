//! Stock: what is on hand, reserved and free, SKU by SKU and site by site.

use std::collections::BTreeSet;

use super::granules::Granules;
use super::index::{Bucket as IndexBucket, Index, NOTHING};
use super::names::{Name, Names};
use super::order::Bucket;
use super::sites::SiteIndex;
use crate::words::hash::{TextHash, mix};
use crate::words::policy::QUANTITY_LIMIT_MAX;
use crate::words::text::Id;
use crate::words::timestamp::Timestamp;

/// A stock item's place in [`StockTable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StockIndex(pub(crate) u32);

impl StockIndex {
    /// The place of no item: there are never so many.
    pub(crate) const NONE: Self = Self(NOTHING);
}

/// One SKU at one site: what a decision needs to know of it, in one line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct Stock {
    pub(crate) name: Name,
    /// The hash of the SKU.
    pub(crate) hash: u64,
    /// What a new order may have before the policy's safety stock is taken off: `on_hand` - `reserved` - `safety` + `allowance` - claims.
    free: i64,
    /// Physically there, by the books. Below 0 where more was shipped than the books had.
    pub(crate) on_hand: i64,
    /// Promised to open orders.
    pub(crate) reserved: i64,
    /// Never promised: its own safety stock, and 0 where the policy's holds for it. So another policy changes no item.
    safety: u32,
    /// Promised beyond what there is.
    pub(crate) allowance: u32,
    /// How many lines of kept orders name it.
    pub(crate) named: u32,
    pub(crate) site: SiteIndex,
    /// The bytes of the SKU; 0 where the item is not used.
    pub(crate) name_length: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Stock>() == 64);
const _: () = assert!(QUANTITY_LIMIT_MAX <= u32::MAX as i64);

/// Its safety stock is its own, not the policy's.
const OWN_SAFETY: u8 = 1;
/// Orders are parked at it.
const PARKED: u8 = 1 << 1;
/// It stands in the queue of those that a shortfall is looked for at.
const UNEASY: u8 = 1 << 2;
/// Orders were told that they lack of it.
const LACKED: u8 = 1 << 3;

impl Stock {
    const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether orders are parked at it.
    pub(crate) const fn is_parked(&self) -> bool {
        self.has(PARKED)
    }

    /// Its safety stock where the policy's is `default`.
    const fn safety(&self, default: u32) -> u32 {
        if self.has(OWN_SAFETY) { self.safety } else { default }
    }

    /// How many reserved units are missing.
    pub(crate) fn missing(&self) -> i64 {
        (self.reserved - self.on_hand - i64::from(self.allowance)).clamp(0, self.reserved.max(0))
    }

    /// Whether it has nothing, and nobody names it.
    const fn is_idle(&self, books: &Books) -> bool {
        let Self { on_hand, reserved, named, allowance, flags, .. } = *self;
        on_hand == 0 && reserved == 0 && named == 0 && allowance == 0 && flags == 0 && books.waiting == 0
    }

    /// Whether nothing of it could be promised where the policy's safety stock is `default`.
    const fn is_out(&self, default: u32) -> bool {
        self.on_hand - self.reserved <= self.safety(default) as i64
    }
}

/// What came and went of one SKU at one site, and what else is seldom asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Books {
    pub(crate) flows: Flows,
    /// Units that orders wait for.
    pub(crate) waiting: i64,
    /// Units that parked orders claim.
    pub(crate) claims: i64,
    /// Log time at which something last came or went; 0 before the first.
    pub(crate) changed_at: Timestamp,
    /// Since when nothing has been there, and nobody has named it.
    idle_since: Option<Timestamp>,
}

/// Conservation: received + adjusted + restocked + moved in = on hand + shipped + moved out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flows {
    /// All that was ever received.
    pub(crate) received: i64,
    /// The sum of all differences that counts found and adjustments told.
    pub(crate) adjusted: i64,
    /// All that ever came back to the shelf.
    pub(crate) restocked: i64,
    /// All that ever left.
    pub(crate) shipped: i64,
    /// All that ever came from other sites.
    pub(crate) moved_in: i64,
    /// All that ever went to other sites.
    pub(crate) moved_out: i64,
}

impl Flows {
    /// What they leave on hand.
    pub(crate) const fn left(&self) -> i64 {
        self.received + self.adjusted + self.restocked + self.moved_in - self.shipped - self.moved_out
    }

    /// Each of them.
    pub(crate) const fn all(&self) -> [i64; 6] {
        [self.received, self.adjusted, self.restocked, self.shipped, self.moved_in, self.moved_out]
    }
}

/// How stock comes and goes without an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Received,
    Adjusted,
    MovedIn,
    MovedOut,
}

/// Sums over all stock, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StockTotals {
    /// How many SKUs, site by site.
    pub skus: u64,
    /// How many of them have nothing available.
    pub out_of_stock: u64,
    /// Units on hand.
    pub on_hand: i64,
    /// Units promised to open orders.
    pub reserved: i64,
}

/// All stock of a shard.
#[derive(Debug, Default)]
pub(crate) struct StockTable {
    index: Index,
    items: Granules<Stock>,
    /// Item by item.
    books: Granules<Books>,
    /// Items that are not used.
    unused: Granules<StockIndex>,
    names: Names,
    /// Items that have nothing and that nobody names, by since when.
    idle: BTreeSet<(Timestamp, StockIndex)>,
    /// How many items of each site have stock, or orders that hold it or wait for it.
    in_use: Vec<u32>,
    /// Differs from log to log, so that nobody can prepare SKUs that collide.
    seed: u64,
    hash: TextHash,
    /// The policy's safety stock.
    safety: u32,
    totals: StockTotals,
}

impl StockTable {
    pub(crate) fn set_seed(&mut self, seed: u64) {
        debug_assert!(self.index.is_empty(), "hashes with the old seed would be lost");
        self.seed = seed;
        self.hash = TextHash::new(seed);
    }

    pub(crate) const fn seed(&self) -> u64 {
        self.seed
    }

    /// The hash of a SKU, to be given to [`Self::find`].
    #[inline]
    pub(crate) fn hash(&self, sku: &str) -> u64 {
        self.hash.of(sku.as_bytes())
    }

    #[inline]
    fn hash_at(site: SiteIndex, sku_hash: u64) -> u64 {
        if site.0 == 0 { sku_hash } else { mix(sku_hash, u64::from(site.0)) }
    }

    #[inline]
    pub(crate) fn find(&self, site: SiteIndex, sku: &str, sku_hash: u64) -> Option<StockIndex> {
        let is = |number| {
            let item = self.items.get(number);
            item.site == site && self.names.is(&item.name, item.name_length, sku, sku_hash)
        };
        self.index.find(Self::hash_at(site, sku_hash), is).map(StockIndex)
    }

    /// The bucket that a look for a SKU at a site begins at. It is not read yet.
    #[inline]
    pub(crate) fn bucket(&self, site: SiteIndex, sku_hash: u64) -> &IndexBucket {
        self.index.bucket(self.index.start(Self::hash_at(site, sku_hash)))
    }

    /// What [`Self::find`] will most probably find, told by the hash alone: without a look at the item. The bucket is that
    /// of [`Self::bucket`].
    #[inline]
    pub(crate) fn guess(&self, bucket: &IndexBucket, site: SiteIndex, sku_hash: u64) -> StockIndex {
        StockIndex(self.index.guess(bucket, Self::hash_at(site, sku_hash)))
    }

    /// Reads an item that there may not be.
    #[inline]
    pub(crate) fn touch_item(&self, index: StockIndex) -> u32 {
        self.items.at(index.0).map_or(0, |item| item.named)
    }

    /// The item at a place, if there is one.
    #[inline]
    pub(crate) fn at(&self, index: StockIndex) -> Option<&Stock> {
        self.items.at(index.0)
    }

    /// The hash of a SKU.
    #[inline]
    pub(crate) fn hash_id(&self, sku: Id<'_>) -> u64 {
        self.hash.of_id(sku)
    }

    /// Whether an item is this SKU at this site.
    #[inline]
    pub(crate) fn is(&self, item: &Stock, site: SiteIndex, sku: Id<'_>, sku_hash: u64) -> bool {
        item.site == site && self.names.is_id(&item.name, item.name_length, sku, sku_hash)
    }

    /// Whether an item is this SKU, at whatever site.
    #[inline]
    pub(crate) fn is_sku(&self, index: StockIndex, sku: &str, sku_hash: u64) -> bool {
        let item = self.get(index);
        self.names.is(&item.name, item.name_length, sku, sku_hash)
    }

    pub(crate) fn find_or_add(&mut self, site: SiteIndex, sku: &str, now: Timestamp) -> StockIndex {
        let hash = self.hash(sku);
        if let Some(known) = self.find(site, sku, hash) {
            return known;
        }
        let index = self.add(site, sku, hash);
        self.set_idle(index, now);
        index
    }

    fn add(&mut self, site: SiteIndex, sku: &str, hash: u64) -> StockIndex {
        let item = Stock {
            name: self.names.add(sku, hash),
            hash,
            free: 0,
            on_hand: 0,
            reserved: 0,
            safety: 0,
            allowance: 0,
            named: 0,
            site,
            name_length: u8::try_from(sku.len()).expect("an id is at most 64 bytes"),
            flags: 0,
        };
        let index = if let Some(index) = self.unused.pop() {
            *self.items.get_mut(index.0) = item;
            *self.books.get_mut(index.0) = Books::default();
            index
        } else {
            self.books.push(Books::default());
            StockIndex(self.items.push(item))
        };
        self.totals.skus += 1;
        self.totals.out_of_stock += u64::from(item.is_out(self.safety));
        self.index.insert(Self::hash_at(site, hash), index.0);
        index
    }

    #[inline]
    pub(crate) fn get(&self, index: StockIndex) -> &Stock {
        self.items.get(index.0)
    }

    pub(crate) fn books(&self, index: StockIndex) -> &Books {
        self.books.get(index.0)
    }

    pub(crate) fn sku(&self, index: StockIndex) -> &str {
        self.sku_of(self.get(index))
    }

    pub(crate) fn sku_of<'s>(&'s self, item: &'s Stock) -> &'s str {
        self.names.text(&item.name, item.name_length)
    }

    /// How many places there are, used or not.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// How many SKUs are known, site by site.
    pub(crate) fn known(&self) -> usize {
        self.items.len() - self.unused.len()
    }

    /// Every place, used or not.
    pub(crate) fn places(&self) -> impl Iterator<Item = Option<(&Stock, &Books)>> {
        self.items.iter().zip(self.books.iter()).map(|both| (both.0.name_length != 0).then_some(both))
    }

    /// Every item that is used.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Stock, &Books)> {
        self.places().flatten()
    }

    /// The places that are not used, in the order in which they became free.
    pub(crate) fn unused(&self) -> impl Iterator<Item = StockIndex> {
        self.unused.iter().copied()
    }

    pub(crate) const fn totals(&self) -> StockTotals {
        self.totals
    }

    /// What a new order may have of an item.
    #[inline]
    pub(crate) fn free(&self, item: &Stock) -> i64 {
        item.free - if item.has(OWN_SAFETY) { 0 } else { i64::from(self.safety) }
    }

    /// What could be promised of an item, before anybody's claims.
    pub(crate) fn available(&self, item: &Stock) -> i64 {
        item.on_hand - item.reserved - i64::from(self.safety(item))
    }

    /// An item's safety stock: its own, or the policy's.
    pub(crate) const fn safety(&self, item: &Stock) -> u32 {
        item.safety(self.safety)
    }

    /// What a waiting order may have before the claims of those placed before it are taken off.
    pub(crate) fn unclaimed(&self, index: StockIndex) -> i64 {
        self.free(self.get(index)) + self.books(index).claims
    }

    /// An item's own safety stock.
    pub(crate) fn own_safety(item: &Stock) -> Option<u32> {
        item.has(OWN_SAFETY).then_some(item.safety)
    }

    /// Whether any item of a site has stock, or orders that hold it or wait for it.
    pub(crate) fn is_in_use(&self, site: SiteIndex) -> bool {
        self.in_use.get(usize::from(site.0)).is_some_and(|count| *count > 0)
    }

    /// Changes an item and keeps what follows from it.
    fn change(&mut self, index: StockIndex, now: Timestamp, change: impl FnOnce(&mut Stock, &mut Books)) {
        let item = self.items.get_mut(index.0);
        let books = self.books.get_mut(index.0);
        let in_use =
            |item: &Stock, books: &Books| item.on_hand != 0 || item.reserved != 0 || books.waiting != 0;
        let (before, flows, was_in_use) = (*item, books.flows, in_use(item, books));
        change(item, books);
        item.free =
            item.on_hand - item.reserved - i64::from(item.safety) + i64::from(item.allowance) - books.claims;
        if books.flows != flows {
            books.changed_at = now;
        }
        debug_assert_eq!(books.flows.left(), item.on_hand, "stock is not conserved");
        debug_assert!(item.reserved >= 0 && books.waiting >= 0 && books.claims >= 0, "negative stock");
        self.totals.on_hand += item.on_hand - before.on_hand;
        self.totals.reserved += item.reserved - before.reserved;
        self.totals.out_of_stock = self.totals.out_of_stock + u64::from(item.is_out(self.safety))
            - u64::from(before.is_out(self.safety));
        let is_in_use = in_use(item, books);
        if is_in_use != was_in_use {
            let site = usize::from(item.site.0);
            if self.in_use.len() <= site {
                self.in_use.resize(site + 1, 0);
            }
            if is_in_use { self.in_use[site] += 1 } else { self.in_use[site] -= 1 }
        }
        self.set_idle(index, now);
    }

    /// Takes note of whether an item has nothing and is named by nobody.
    fn set_idle(&mut self, index: StockIndex, now: Timestamp) {
        let item = self.items.get(index.0);
        let books = self.books.get_mut(index.0);
        let is_idle = item.is_idle(books);
        match books.idle_since {
            None if is_idle => {
                books.idle_since = Some(now);
                self.idle.insert((now, index));
            }
            Some(since) if !is_idle => {
                books.idle_since = None;
                self.idle.remove(&(since, index));
            }
            _ => {}
        }
    }

    /// The item that has had nothing for longest, and since when.
    pub(crate) fn first_idle(&self) -> Option<(Timestamp, StockIndex)> {
        self.idle.first().copied()
    }

    /// Forgets an item that has nothing and that nobody names.
    pub(crate) fn forget(&mut self, index: StockIndex) {
        let item = *self.get(index);
        if let Some(since) = self.books.get_mut(index.0).idle_since.take() {
            self.idle.remove(&(since, index));
        }
        self.index.remove(Self::hash_at(item.site, item.hash), index.0);
        self.names.remove(item.name, item.name_length);
        self.totals.skus -= 1;
        self.totals.out_of_stock -= u64::from(item.is_out(self.safety));
        self.items.get_mut(index.0).name_length = 0;
        self.unused.push(index);
    }

    /// Units of an order's line go from one bucket to another; from none where they are new to it.
    #[inline]
    pub(crate) fn post(
        &mut self,
        index: StockIndex,
        from: Option<Bucket>,
        to: Bucket,
        units: u32,
        now: Timestamp,
    ) {
        let units = i64::from(units);
        self.change(index, now, |item, books| {
            match from {
                Some(Bucket::Reserved) => item.reserved -= units,
                Some(Bucket::Waiting) => books.waiting -= units,
                _ => {}
            }
            match to {
                Bucket::Reserved => item.reserved += units,
                Bucket::Waiting => books.waiting += units,
                _ => {}
            }
            if from.is_none_or(Bucket::is_inside) && !to.is_inside() {
                item.on_hand -= units;
                books.flows.shipped += units;
            }
            if to == Bucket::Returned {
                item.on_hand += units;
                books.flows.restocked += units;
            }
        });
    }

    /// Stock comes or goes without an order.
    pub(crate) fn post_stock(&mut self, index: StockIndex, way: Way, units: i64, now: Timestamp) {
        self.change(index, now, |item, books| match way {
            Way::Received => {
                item.on_hand += units;
                books.flows.received += units;
            }
            Way::Adjusted => {
                item.on_hand += units;
                books.flows.adjusted += units;
            }
            Way::MovedIn => {
                item.on_hand += units;
                books.flows.moved_in += units;
            }
            Way::MovedOut => {
                item.on_hand -= units;
                books.flows.moved_out += units;
            }
        });
    }

    /// Claims come or go.
    pub(crate) fn claim(&mut self, index: StockIndex, units: i64, now: Timestamp) {
        self.change(index, now, |_, books| books.claims += units);
    }

    /// Lines of kept orders name it, or do no more.
    pub(crate) fn name(&mut self, index: StockIndex, lines: i32, now: Timestamp) {
        let item = self.items.get_mut(index.0);
        item.named = item.named.wrapping_add_signed(lines);
        self.set_idle(index, now);
    }

    fn set(&mut self, index: StockIndex, flag: u8, on: bool) {
        let item = self.items.get_mut(index.0);
        if on { item.flags |= flag } else { item.flags &= !flag }
    }

    pub(crate) fn set_parked(&mut self, index: StockIndex, parked: bool, now: Timestamp) {
        self.set(index, PARKED, parked);
        self.set_idle(index, now);
    }

    /// Takes note of whether it stands in the queue of those that a shortfall is looked for at, and gives whether it did.
    pub(crate) fn set_uneasy(&mut self, index: StockIndex, uneasy: bool, now: Timestamp) -> bool {
        let was = self.get(index).has(UNEASY);
        self.set(index, UNEASY, uneasy);
        self.set_idle(index, now);
        was
    }

    pub(crate) fn set_lacked(&mut self, index: StockIndex, lacked: bool, now: Timestamp) {
        self.set(index, LACKED, lacked);
        self.set_idle(index, now);
    }

    /// Whether it must be looked at for orders that lose, or have lost, by what is missing.
    pub(crate) fn is_short(&self, index: StockIndex) -> bool {
        let item = self.get(index);
        item.has(LACKED) || item.missing() > 0
    }

    /// Sets an item's own safety stock, or takes it away.
    pub(crate) fn set_safety(&mut self, index: StockIndex, safety: Option<u32>, now: Timestamp) {
        self.change(index, now, |item, _| {
            item.safety = safety.unwrap_or(0);
            if safety.is_some() { item.flags |= OWN_SAFETY } else { item.flags &= !OWN_SAFETY }
        });
    }

    /// Sets an item's allowance; 0 is none.
    pub(crate) fn set_allowance(&mut self, index: StockIndex, allowance: u32, now: Timestamp) {
        self.change(index, now, |item, _| item.allowance = allowance);
    }

    /// Sets the policy's safety stock: one pass over all items, of which none is changed. What a snapshot is written of would be copied.
    pub(crate) fn set_safety_default(&mut self, safety: u32) {
        self.safety = safety;
        let out = self.items.iter().filter(|item| item.name_length != 0 && item.is_out(safety));
        self.totals.out_of_stock = out.count() as u64;
    }

    /// Promises what a plain order wants of an item that is free and has no allowance, and takes note that the order names it: what [`Self::post`] and
    /// [`Self::name`] do, where nothing else can follow from it.
    #[expect(
        clippy::inline_always,
        reason = "measured: it is called twice, and a call costs as much as it does"
    )]
    #[inline(always)]
    pub(crate) fn reserve_free(&mut self, index: StockIndex, units: u32) {
        let item = self.items.get_mut(index.0);
        // What is free without an allowance is available, and there is some.
        debug_assert!(!item.is_out(self.safety) && item.allowance == 0, "nothing is free");
        item.reserved += i64::from(units);
        item.free -= i64::from(units);
        item.named += 1;
        self.totals.reserved += i64::from(units);
        self.totals.out_of_stock += u64::from(item.is_out(self.safety));
    }
}

/// For snapshots.
impl StockTable {
    /// Adds an item that a snapshot has; none where it is there already. Its orders come later.
    pub(crate) fn restore(&mut self, site: SiteIndex, sku: &str, item: RestoredStock) -> Option<StockIndex> {
        let hash = self.hash(sku);
        if self.find(site, sku, hash).is_some() {
            return None;
        }
        let index = self.add(site, sku, hash);
        let RestoredStock { own_safety, allowance, flows, changed_at, idle_since } = item;
        self.change(index, changed_at, |item, books| {
            if let Some(safety) = own_safety {
                item.safety = safety;
                item.flags |= OWN_SAFETY;
            }
            item.allowance = allowance;
            books.flows = flows;
            item.on_hand = flows.left();
        });
        let books = self.books.get_mut(index.0);
        books.changed_at = changed_at;
        if let Some(since) = books.idle_since.take() {
            self.idle.remove(&(since, index));
        }
        self.books.get_mut(index.0).idle_since = idle_since;
        if let Some(since) = idle_since {
            self.idle.insert((since, index));
        }
        Some(index)
    }

    /// What is there now, once more: see [`super::granules`]. Only to be read, and not to be searched.
    pub(crate) fn share(&mut self) -> Self {
        Self {
            index: Index::default(),
            items: self.items.share(),
            books: self.books.share(),
            unused: self.unused.share(),
            names: self.names.share(),
            idle: BTreeSet::new(),
            in_use: Vec::new(),
            ..*self
        }
    }

    /// Adds a place that is not used.
    pub(crate) fn restore_empty(&mut self) {
        self.books.push(Books::default());
        self.items.push(Stock {
            name: Name([0; 16]),
            hash: 0,
            free: 0,
            on_hand: 0,
            reserved: 0,
            safety: 0,
            allowance: 0,
            named: 0,
            site: SiteIndex(0),
            name_length: 0,
            flags: 0,
        });
    }

    /// Names a place that is not used; false where it is, or was named before.
    pub(crate) fn restore_unused(&mut self, index: StockIndex) {
        self.unused.push(index);
    }

    /// Since when an item has had nothing, and nobody has named it.
    pub(crate) fn idle_since(books: &Books) -> Option<Timestamp> {
        books.idle_since
    }

    /// Whether what a snapshot said of idle items is so: each that has nothing is, and no other. So many were `said` to be idle; what
    /// named one of them has ended that.
    pub(crate) fn idle_is_right(&self, said: usize) -> bool {
        self.idle.len() == said
            && self.iter().all(|(item, books)| item.is_idle(books) == books.idle_since.is_some())
    }

    /// Whether the sums are within all bounds.
    pub(crate) fn sums_are_bounded(&self) -> bool {
        // Half of what an i64 holds leaves room for whatever the log may still bring.
        let bounded = |sum: Option<i64>| sum.is_some_and(|sum| sum.unsigned_abs() <= 1 << 62);
        let sum =
            |of: fn(&Stock) -> i64| self.iter().try_fold(0i64, |sum, (item, _)| sum.checked_add(of(item)));
        bounded(sum(|item| item.on_hand)) && bounded(sum(|item| item.reserved))
    }
}

/// What a snapshot has of an item.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RestoredStock {
    pub(crate) own_safety: Option<u32>,
    pub(crate) allowance: u32,
    pub(crate) flows: Flows,
    pub(crate) changed_at: Timestamp,
    pub(crate) idle_since: Option<Timestamp>,
}
