//! Content hashes: what makes two commands under one id the same.

use crate::words::command::Money;
use crate::words::hash::{fold, hash};

/// A hash over deciding fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content(u64);

impl Content {
    pub(crate) const fn new() -> Self {
        Self(0)
    }

    pub(crate) fn text(self, text: &str) -> Self {
        Self(fold(self.0, hash(text.as_bytes())))
    }

    pub(crate) const fn number(self, number: u64) -> Self {
        Self(fold(self.0, number))
    }

    /// A number that may be absent.
    pub(crate) const fn maybe(self, number: Option<i64>) -> Self {
        match number {
            None => self.number(0),
            Some(number) => self.number(1).number(number.cast_unsigned()),
        }
    }

    /// An amount that may be absent; its currency is three letters.
    pub(crate) fn money(self, money: Option<&Money<'_>>) -> Self {
        match money {
            None => self.number(0),
            Some(money) => {
                let currency = money.currency.as_bytes().try_into().unwrap_or_default();
                self.number(1).number(money.minor.cast_unsigned()).currency(currency)
            }
        }
    }

    pub(crate) const fn currency(self, [a, b, c]: [u8; 3]) -> Self {
        self.number(u32::from_le_bytes([a, b, c, 0]) as u64)
    }

    /// Pairs, in any order.
    pub(crate) fn any_order(self, pairs: impl Iterator<Item = (u64, u64)>) -> Self {
        self.number(pairs.map(|(one, other)| fold(one, other)).fold(0, u64::wrapping_add))
    }

    pub(crate) const fn finish(self) -> u64 {
        self.0
    }
}
