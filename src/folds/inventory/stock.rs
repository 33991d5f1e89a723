//! Stock: what is on hand, reserved and available, SKU by SKU and site by site.

use std::collections::BTreeMap;

use compact_str::CompactString;

use super::index::Index;
use super::order::{Order, Stage};
use super::refusal::Refusal;
use crate::words::hash::{hash_seeded, mix};
use crate::words::outcome::Reason;
use crate::words::policy::{QUANTITY_LIMIT_MAX, SITE_DEFAULT};

/// A site's place in [`Sites`]; never used for another site later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SiteIndex(pub(super) u16);

/// The sites of a shard.
#[derive(Debug)]
pub(super) struct Sites {
    /// All there ever were.
    names: Vec<CompactString>,
    /// Those that policy lists now.
    listed: BTreeMap<CompactString, SiteIndex>,
    /// The site of orders that name none, if it is listed.
    default: Option<SiteIndex>,
}

impl Sites {
    pub(super) fn new() -> Self {
        let mut sites = Self { names: Vec::new(), listed: BTreeMap::new(), default: None };
        sites.list(SITE_DEFAULT);
        sites.default = sites.listed.get(SITE_DEFAULT).copied();
        sites
    }

    /// The site that a command names.
    pub(super) fn find(&self, name: Option<&str>) -> Result<SiteIndex, Refusal<'static>> {
        match name {
            None => self.default,
            Some(name) => self.listed.get(name).copied(),
        }
        .ok_or(Refusal::new(Reason::UnknownSite))
    }

    pub(super) fn name(&self, site: SiteIndex) -> &str {
        &self.names[site.0 as usize]
    }

    /// The sites that policy lists, in bytewise order of their names.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&str, SiteIndex)> {
        self.listed.iter().map(|(name, site)| (name.as_str(), *site))
    }

    /// How many names there would be if `names` were listed.
    pub(super) fn count_with<'n>(&self, names: impl Iterator<Item = &'n str>) -> usize {
        self.names.len() + names.filter(|name| !self.names.iter().any(|known| known == name)).count()
    }

    /// Lists exactly `names`.
    pub(super) fn replace<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        self.listed.clear();
        for name in names {
            self.list(name);
        }
        self.default = self.listed.get(SITE_DEFAULT).copied();
    }

    /// All there ever were, with whether policy lists them now.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = (&str, bool)> {
        self.names.iter().map(|name| (name.as_str(), self.listed.contains_key(name)))
    }

    /// The sites that a snapshot has; none where one is there twice.
    pub(super) fn restored(all: &[(&str, bool)]) -> Option<Self> {
        let mut sites = Self { names: Vec::new(), listed: BTreeMap::new(), default: None };
        for (name, _) in all {
            sites.list(name);
        }
        let distinct = sites.names.len() == all.len();
        sites.replace(all.iter().filter(|(_, listed)| *listed).map(|(name, _)| *name));
        distinct.then_some(sites)
    }

    fn list(&mut self, name: &str) {
        let known = self.names.iter().position(|known| known == name);
        let index = known.unwrap_or_else(|| {
            self.names.push(name.into());
            self.names.len() - 1
        });
        let index = SiteIndex(u16::try_from(index).expect("policy caps the sites"));
        self.listed.insert(name.into(), index);
    }
}

/// A stock item's place in [`StockTable`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StockIndex(pub(super) u32);

/// One SKU at one site: what a decision needs to know of it, in one line of the cache.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub(super) struct Stock {
    pub(super) sku: CompactString,
    /// The hash of the SKU.
    pub(super) hash: u64,
    /// Physically there, by the books. Below 0 where more was shipped than the books had.
    pub(super) on_hand: i64,
    /// Promised to open orders.
    pub(super) reserved: i64,
    /// Never promised; none for the policy's own figure.
    pub(super) safety: Option<u32>,
    pub(super) site: SiteIndex,
    /// Whether it stands in the queue of releases.
    pub(super) releasing: bool,
}

const _: () = assert!(size_of::<Stock>() == 64);
const _: () = assert!(QUANTITY_LIMIT_MAX <= u32::MAX as i64);

/// What came and went of one SKU at one site. Conservation: received + adjusted + restocked = `on_hand` + shipped.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flows {
    /// All that was ever received.
    pub(super) received: i64,
    /// The sum of all differences found by counts.
    pub(super) adjusted: i64,
    /// All that ever came back to the shelf.
    pub(super) restocked: i64,
    /// All that ever left.
    pub(super) shipped: i64,
}

impl Flows {
    /// What they leave on hand.
    pub(super) const fn left(&self) -> i64 {
        self.received + self.adjusted + self.restocked - self.shipped
    }

    /// Whether the books hold.
    pub(super) const fn conserve(&self, on_hand: i64) -> bool {
        self.left() == on_hand
    }
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
pub(super) struct StockTable {
    index: Index,
    items: Vec<Stock>,
    /// Item by item.
    flows: Vec<Flows>,
    /// Differs from log to log, so that nobody can prepare SKUs that collide.
    seed: u64,
    /// The policy's safety stock.
    safety: i64,
    totals: StockTotals,
}

impl StockTable {
    pub(super) fn set_seed(&mut self, seed: u64) {
        debug_assert!(self.items.is_empty(), "hashes with the old seed would be lost");
        self.seed = seed;
    }

    pub(super) const fn seed(&self) -> u64 {
        self.seed
    }

    /// An item that a snapshot has; false where it is there already. Its orders come later, and then [`Self::restore_sums`].
    pub(super) fn restore(
        &mut self,
        (site, sku): (SiteIndex, &str),
        safety: Option<u32>,
        flows: Flows,
    ) -> bool {
        let known = self.items.len();
        let index = self.find_or_add(site, sku).0 as usize;
        if index < known {
            return false;
        }
        self.items[index].safety = safety;
        self.items[index].on_hand = flows.left();
        self.flows[index] = flows;
        true
    }

    /// Promises what an order that a snapshot has holds; none where it names an item that is not there, or items of two sites.
    #[inline]
    pub(super) fn restore_order(&mut self, order: &Order) -> Option<()> {
        let site = self.items.get(order.lines()[0].stock.0 as usize)?.site;
        for (number, line) in order.lines().iter().enumerate() {
            let item = self.items.get_mut(line.stock.0 as usize).filter(|item| item.site == site)?;
            item.reserved += i64::from(match order.whole() {
                Some(Stage::Reserved) => line.quantity,
                Some(_) => 0,
                None => order.part(number).reserved,
            });
        }
        Some(())
    }

    /// Rebuilds the sums; false where they would be beyond all bounds.
    pub(super) fn restore_sums(&mut self) -> bool {
        let sum =
            |of: fn(&Stock) -> i64| self.items.iter().try_fold(0i64, |sum, item| sum.checked_add(of(item)));
        // Half of what an i64 holds leaves room for whatever the log may still bring.
        let in_bounds = |sum: &i64| sum.unsigned_abs() <= 1 << 62;
        let (on_hand, reserved) = (sum(|item| item.on_hand), sum(|item| item.reserved));
        let (Some(on_hand), Some(reserved)) = (on_hand.filter(in_bounds), reserved.filter(in_bounds)) else {
            return false;
        };
        self.totals = StockTotals { skus: self.items.len() as u64, out_of_stock: 0, on_hand, reserved };
        self.set_safety_default(self.safety);
        true
    }

    /// The hash of a SKU, to be given to [`Self::find`].
    pub(super) fn hash(&self, sku: &str) -> u64 {
        hash_seeded(sku.as_bytes(), self.seed)
    }

    fn hash_at(site: SiteIndex, sku_hash: u64) -> u64 {
        if site.0 == 0 { sku_hash } else { mix(sku_hash, u64::from(site.0)) }
    }

    pub(super) fn find(&self, site: SiteIndex, sku: &str, sku_hash: u64) -> Option<StockIndex> {
        let is = |index| self.is(StockIndex(index), site, sku);
        self.index.find(Self::hash_at(site, sku_hash), is).map(StockIndex)
    }

    /// The hash that a SKU at a site lies under.
    pub(super) fn hash_of(&self, site: SiteIndex, sku: &str) -> u64 {
        Self::hash_at(site, self.hash(sku))
    }

    /// Reads what a look under [`Self::hash_of`] will need first.
    #[inline]
    pub(super) fn touch(&self, hash: u64) -> u64 {
        self.index.touch(hash)
    }

    /// Reads what a promise of an item will need.
    #[inline]
    pub(super) fn touch_item(&self, index: StockIndex) -> u64 {
        self.items.get(index.0 as usize).map_or(0, |item| item.hash)
    }

    /// What [`Self::find`] will most probably find, told by [`Self::hash_of`] alone: without a look at the item.
    pub(super) fn guess(&self, hash: u64) -> Option<StockIndex> {
        self.index.find(hash, |_| true).map(StockIndex)
    }

    /// Whether an item is this SKU's at this site.
    pub(super) fn is(&self, index: StockIndex, site: SiteIndex, sku: &str) -> bool {
        let item = self.get(index);
        item.site == site && item.sku == sku
    }

    pub(super) fn find_or_add(&mut self, site: SiteIndex, sku: &str) -> StockIndex {
        let sku_hash = self.hash(sku);
        if let Some(known) = self.find(site, sku, sku_hash) {
            return known;
        }
        let index = StockIndex(u32::try_from(self.items.len()).expect("policy caps the SKUs"));
        let sku = sku.into();
        let item =
            Stock { sku, hash: sku_hash, on_hand: 0, reserved: 0, safety: None, site, releasing: false };
        self.items.push(item);
        self.flows.push(Flows::default());
        self.totals.skus += 1;
        self.totals.out_of_stock += u64::from(self.available(index) <= 0);
        self.index.insert(Self::hash_at(site, sku_hash), index.0);
        index
    }

    pub(super) fn get(&self, index: StockIndex) -> &Stock {
        &self.items[index.0 as usize]
    }

    /// The site of an order: that of all its lines.
    pub(super) fn site_of(&self, order: &Order) -> SiteIndex {
        self.get(order.lines()[0].stock).site
    }

    pub(super) fn items(&self) -> &[Stock] {
        &self.items
    }

    pub(super) fn flows(&self, index: StockIndex) -> &Flows {
        &self.flows[index.0 as usize]
    }

    /// Every item, with what came and went of it.
    pub(super) fn with_flows(&self) -> impl Iterator<Item = (&Stock, &Flows)> {
        self.items.iter().zip(&self.flows)
    }

    pub(super) const fn totals(&self) -> StockTotals {
        self.totals
    }

    pub(super) fn safety_of(&self, item: &Stock) -> i64 {
        item.safety.map_or(self.safety, i64::from)
    }

    /// What a new promise could take, before anybody's claims.
    pub(super) fn available(&self, index: StockIndex) -> i64 {
        let item = self.get(index);
        item.on_hand - item.reserved - self.safety_of(item)
    }

    /// Changes an item and keeps the sums.
    fn change(&mut self, index: StockIndex, change: impl FnOnce(&mut Stock, &mut Flows)) {
        let safety = self.safety;
        let item = &mut self.items[index.0 as usize];
        let flows = &mut self.flows[index.0 as usize];
        let is_out = |item: &Stock| item.on_hand - item.reserved <= item.safety.map_or(safety, i64::from);
        let (on_hand, reserved, was_out) = (item.on_hand, item.reserved, is_out(item));
        change(item, flows);
        debug_assert!(flows.conserve(item.on_hand), "stock of {} is not conserved", item.sku);
        debug_assert!(item.reserved >= 0, "negative reserved stock of {}", item.sku);
        self.totals.on_hand += item.on_hand - on_hand;
        self.totals.reserved += item.reserved - reserved;
        self.totals.out_of_stock = self.totals.out_of_stock + u64::from(is_out(item)) - u64::from(was_out);
    }

    pub(super) fn reserve(&mut self, index: StockIndex, quantity: i64) {
        self.change(index, |item, _| item.reserved += quantity);
    }

    pub(super) fn unreserve(&mut self, index: StockIndex, quantity: i64) {
        self.change(index, |item, _| item.reserved -= quantity);
    }

    /// Goods leave, of which `reserved` had been promised to the order that they leave for.
    pub(super) fn ship(&mut self, index: StockIndex, quantity: i64, reserved: i64) {
        self.change(index, |item, flows| {
            item.on_hand -= quantity;
            flows.shipped += quantity;
            item.reserved -= reserved;
        });
    }

    pub(super) fn receive(&mut self, index: StockIndex, quantity: i64) {
        self.change(index, |item, flows| {
            item.on_hand += quantity;
            flows.received += quantity;
        });
    }

    pub(super) fn restock(&mut self, index: StockIndex, quantity: i64) {
        self.change(index, |item, flows| {
            item.on_hand += quantity;
            flows.restocked += quantity;
        });
    }

    /// Sets what is on hand to what was counted.
    pub(super) fn count(&mut self, index: StockIndex, counted: i64) {
        self.change(index, |item, flows| {
            flows.adjusted += counted - item.on_hand;
            item.on_hand = counted;
        });
    }

    /// Sets an item's own safety stock, which policy bounds by [`QUANTITY_LIMIT_MAX`].
    pub(super) fn set_safety(&mut self, index: StockIndex, safety: Option<i64>) {
        let safety = safety.map(|units| u32::try_from(units).expect("checked by policy"));
        self.change(index, |item, _| item.safety = safety);
    }

    pub(super) fn set_safety_default(&mut self, safety: i64) {
        self.safety = safety;
        let out = self
            .items
            .iter()
            .filter(|item| item.on_hand - item.reserved - item.safety.map_or(safety, i64::from) <= 0);
        self.totals.out_of_stock = out.count() as u64;
    }

    pub(super) fn set_releasing(&mut self, index: StockIndex, releasing: bool) {
        self.items[index.0 as usize].releasing = releasing;
    }
}
