//! Looking ahead: what commands will need is looked up for a few of them together, before the first of them is decided.
//!
//! With millions of orders every look-up waits for memory. A decision that looks up one thing after the other waits for each in
//! turn; here the same reads are made in short loops, so that the processor has many of them under way at once. What is found
//! is used where it cannot have changed meanwhile (a SKU's place never does); the rest is merely in the cache by then.

use super::Inventory;
use super::orders::Orders;
use super::stock::{SiteIndex, StockIndex};
use crate::words::codec::{Commands, Decoded};
use crate::words::command::{Cancel, Command, Deliver, Pay, Return, Ship, Tick};

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
    /// The site of a place, if that is listed.
    site: Option<SiteIndex>,
    /// The hashes of the SKUs of its first lines.
    hashes: [u64; 2],
    /// Where those SKUs lie.
    lines: [Option<StockIndex>; 2],
}

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
    pub(super) fn look_ahead(&self, ahead: &mut [Ahead<'_>]) {
        let mut read = 0;
        // Where ids and SKUs are looked for,
        for Ahead { decoded, seen } in &mut *ahead {
            *seen = Seen::default();
            let Ok(command) = decoded else { continue };
            seen.order = order_id(command).map(|id| self.orders.hash(id));
            read ^= seen.order.map_or(0, |hash| self.orders.touch(hash));
            if let Command::Place(place) = command
                && let Ok(site) = self.sites.find(place.site.as_deref())
            {
                seen.site = Some(site);
                for (line, hash) in place.lines.iter().zip(&mut seen.hashes) {
                    *hash = self.stock.hash(&line.sku);
                    read ^= self.stock.touch(site, *hash);
                }
            }
        }
        // what their hashes lead to there,
        for Ahead { decoded, seen } in &mut *ahead {
            match (decoded, seen.site) {
                (Ok(Command::Place(place)), Some(site)) => {
                    for ((_, hash), found) in place.lines.iter().zip(seen.hashes).zip(&mut seen.lines) {
                        *found = self.stock.guess(site, hash);
                        read ^= found.map_or(0, |index| self.stock.get(index).reserved.cast_unsigned());
                    }
                }
                _ => read ^= seen.order.map_or(0, |hash| self.orders.touch_order(hash).cast_unsigned()),
            }
        }
        // and whether the SKUs are the ones meant.
        for Ahead { decoded, seen } in ahead {
            if let (Ok(Command::Place(place)), Some(site)) = (decoded, seen.site) {
                for (line, found) in place.lines.iter().zip(&mut seen.lines) {
                    *found = found.filter(|index| self.stock.is(*index, site, &line.sku));
                }
            }
        }
        // What was read is used for nothing, which the compiler must not notice.
        std::hint::black_box(read);
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
