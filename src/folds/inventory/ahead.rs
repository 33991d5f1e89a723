//! Looking ahead: what commands will need is looked up for a few of them together, before the first of them is decided.
//!
//! With millions of orders every look-up waits for memory. A decision that looks up one thing after the other waits for each in
//! turn; here the same reads are made in short loops, so that the processor has many of them under way at once. What is found
//! is used where it cannot have changed meanwhile (a SKU's place never does); the rest is merely in the cache by then.

use super::Inventory;
use super::orders::Orders;
use super::stock::{SiteIndex, StockIndex};
use crate::words::codec::{Commands, Decoded};
use crate::words::command::{Cancel, Command, Deliver, Pay, Place, Return, Ship, Tick};

/// How many commands are looked at together.
pub(super) const AHEAD: usize = 32;

/// A command that waits for its turn.
pub(super) struct Ahead<'a> {
    pub(super) decoded: Decoded<'a>,
    pub(super) seen: Seen,
}

/// What was looked up for a command.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// The hash of its order id, once that was looked at.
    order: Option<u64>,
    /// Where the SKUs of its first lines lie, for a place.
    lines: [Option<StockIndex>; LINES],
}

/// How many lines of an order are looked at.
const LINES: usize = 2;

impl Seen {
    /// The hash of the command's order id.
    pub(super) fn order_hash(&self, orders: &Orders, order_id: &str) -> u64 {
        self.order.unwrap_or_else(|| orders.hash(order_id))
    }

    /// Where the SKU of a line lies, if that was looked up and is known.
    pub(super) fn line(&self, line: usize) -> Option<StockIndex> {
        self.lines.get(line).copied().flatten()
    }
}

impl Default for Ahead<'_> {
    fn default() -> Self {
        Self { decoded: Ok(Command::Tick(Tick {})), seen: Seen::default() }
    }
}

/// Reads the next commands, and gives how many there were.
pub(super) fn read_ahead<'a>(commands: &mut Commands<'a>, ahead: &mut [Ahead<'a>; AHEAD]) -> usize {
    let end = ahead.iter_mut().position(|ahead| !commands.read(&mut ahead.decoded));
    end.unwrap_or(AHEAD)
}

impl Inventory {
    /// Looks up what commands will need. Their records belong to one message, so that no site is listed or dropped between.
    ///
    /// The loops that read memory hold nothing else, and no branch on what they read: the processor looks only so far ahead.
    pub(super) fn look_ahead(&self, ahead: &mut [Ahead<'_>; AHEAD], count: usize) {
        let ahead = &mut ahead[..count];
        let mut orders = [0; AHEAD];
        for (Ahead { decoded, seen }, hash) in ahead.iter_mut().zip(&mut orders) {
            seen.order = decoded.as_ref().ok().and_then(order_id).map(|id| self.orders.hash(id));
            *hash = seen.order.unwrap_or_default();
        }
        let mut read = orders[..count].iter().fold(0, |read, hash| read ^ self.orders.touch(*hash));

        let mut skus = [0; AHEAD * LINES];
        for (Ahead { decoded, .. }, hashes) in ahead.iter().zip(skus.as_chunks_mut::<LINES>().0) {
            if let Some((place, site)) = self.place_at(decoded) {
                for (line, hash) in place.lines.iter().zip(hashes) {
                    *hash = self.stock.hash_of(site, &line.sku);
                }
            }
        }
        read ^= skus[..count * LINES].iter().fold(0, |read, hash| read ^ self.stock.touch(*hash));

        let mut items = [StockIndex::default(); AHEAD * LINES];
        let places = skus.as_chunks::<LINES>().0.iter().zip(items.as_chunks_mut::<LINES>().0);
        for (Ahead { decoded, seen }, (hashes, items)) in ahead.iter_mut().zip(places) {
            seen.lines = [None; LINES];
            if let Ok(Command::Place(place)) = decoded {
                let lines = place.lines.iter().zip(hashes).zip(&mut seen.lines).zip(items);
                for (((_, hash), found), item) in lines {
                    *found = self.stock.guess(*hash);
                    *item = found.unwrap_or_default();
                }
            } else if let Some(hash) = seen.order {
                read ^= self.orders.touch_order(hash);
            }
        }
        read ^= items[..count * LINES].iter().fold(0, |read, item| read ^ self.stock.touch_item(*item));

        for Ahead { decoded, seen } in ahead {
            let guessed = std::mem::take(&mut seen.lines);
            if let Some((place, site)) = self.place_at(decoded) {
                for ((line, found), guessed) in place.lines.iter().zip(&mut seen.lines).zip(guessed) {
                    *found = guessed.filter(|index| self.stock.is(*index, site, &line.sku));
                }
            }
        }
        // What was read is used for nothing, which the compiler must not notice.
        std::hint::black_box(read);
    }

    /// A place, and its site if that is listed.
    fn place_at<'d, 'a>(&self, decoded: &'d Decoded<'a>) -> Option<(&'d Place<'a>, SiteIndex)> {
        let Ok(Command::Place(place)) = decoded else { return None };
        Some((place, self.sites.find(place.site.as_deref()).ok()?))
    }
}

fn order_id<'c>(command: &'c Command<'_>) -> Option<&'c str> {
    match command {
        Command::Place(place) => Some(&place.order_id),
        Command::Cancel(Cancel { order_id, .. })
        | Command::Pay(Pay { order_id, .. })
        | Command::Ship(Ship { order_id, .. })
        | Command::Deliver(Deliver { order_id, .. })
        | Command::Return(Return { order_id, .. }) => Some(order_id),
        _ => None,
    }
}
