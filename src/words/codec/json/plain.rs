//! The short way to read a plain `place` from JSON: most of what a shard reads are these.
//!
//! It reads an object's fields in any order, each once, with white anywhere between; texts without escapes; whole numbers as JSON has
//! them. Whatever else there is, it gives nothing, and [`super::strict`] decides. What it reads, it reads as that does: a test changes
//! complete orders, byte by byte, and holds the two together.

#![expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]

use super::reader::{LONG, Reader, SHORT, Window};
use crate::words::codec::Plain;
use crate::words::command::ATTRIBUTES_MAX;
use crate::words::policy::{QUANTITY_LIMIT_MAX, STOCK_MAX};
use crate::words::text::Id;

/// Reads the plain place that begins at `at`, adds it to `plain`, and gives where it ends.
#[inline(always)]
pub(super) fn read<'a>(bytes: &'a [u8], at: usize, plain: &mut Vec<Plain<'a>>) -> Option<usize> {
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    plain.push(Plain::ANY);
    let slot = plain.last_mut()?;
    let end = Window::at(bytes, at).and_then(|window| read_short(&window, slot));
    let end = end.or_else(|| Window::at(bytes, at).and_then(|window| read_full(&window, slot)));
    let end = end.map(|length| at + length);
    let end = end.or_else(|| {
        let mut reader = Reader::new(bytes, at);
        *slot = reader.command()?;
        Some(reader.at)
    });
    if end.is_none() {
        plain.pop();
    }
    end
}

/// Reads a plain place as Weir's own clients write it, and gives how long it is: without white, with its fields in their order, and with ids
/// of at most 16 bytes. That is at most 191 bytes.
#[inline(always)]
fn read_short<'a>(window: &Window<'a, SHORT>, plain: &mut Plain<'a>) -> Option<usize> {
    let mut at = window.behind(0, br#"{"place":{"order_id":""#)?;
    (plain.order_id, at) = window.id(at)?;
    at = short_lines(window, at, plain)?;
    plain.submitted_at = None;
    if window.has(at, b",") {
        let time;
        at = window.behind(at, br#","submitted_at":""#)?;
        (time, at) = window.time(at)?;
        plain.submitted_at = Some(time);
    }
    plain.value = None;
    window.behind(at, b"}}")
}

/// Reads a plain place as Weir's own clients write it, whatever else it says: likewise, and with texts of at most 16 bytes beside its id.
#[inline(never)]
fn read_full<'a>(window: &Window<'a, LONG>, plain: &mut Plain<'a>) -> Option<usize> {
    let mut at = window.behind(0, br#"{"place":{"order_id":""#)?;
    (plain.order_id, at) = window.any_id(at)?;
    at = short_lines(window, at, plain)?;
    plain.submitted_at = None;
    if window.has(at, br#","submitted_at":""#) {
        let time;
        (time, at) = window.time(at + 17)?;
        plain.submitted_at = Some(time);
    }
    if window.has(at, br#","ship_by":""#) {
        (_, at) = window.time(at + 12)?;
    }
    if window.has(at, br#","promised_by":""#) {
        (_, at) = window.time(at + 16)?;
    }
    if window.has(at, br#","carrier":""#) {
        (_, at) = window.id(at + 12)?;
    }
    plain.value = None;
    if window.has(at, br#","value":{"minor":"#) {
        let (minor, currency);
        (minor, at) = window.number(at + 18)?;
        (currency, at) = window.currency(window.behind(at, br#","currency":""#)?)?;
        at = window.behind(at, b"}")?;
        plain.value = Some((minor.into(), currency));
    }
    if window.has(at, br#","customer":""#) {
        (_, at) = window.id(at + 13)?;
    }
    if window.has(at, br#","attributes":{""#) {
        at = short_attributes(window, at + 16)?;
    }
    at = window.behind(at, b"}}")?;
    (at <= Window::<LONG>::PLACES).then_some(at)
}

/// The attributes of which the first opening quote has been read, each key once, and where they end.
#[inline(always)]
fn short_attributes(window: &Window<'_, LONG>, mut at: usize) -> Option<usize> {
    let mut keys = [[0; 2]; ATTRIBUTES_MAX];
    for count in 0..ATTRIBUTES_MAX {
        let key;
        (key, at) = window.unheeded(at)?;
        if key == [0; 2] || keys[..count].contains(&key) {
            return None;
        }
        keys[count] = key;
        (_, at) = window.unheeded(window.behind(at, br#":""#)?)?;
        if window.has(at, b"}") {
            return Some(at + 1);
        }
        at = window.behind(at, br#",""#)?;
    }
    None
}

/// One line or two, with what stands before and behind them.
#[inline(always)]
fn short_lines<'a, const W: usize>(
    window: &Window<'a, W>,
    mut at: usize,
    plain: &mut Plain<'a>,
) -> Option<usize> {
    at = window.behind(at, br#","lines":[{"sku":""#)?;
    (plain.first, at) = short_line(window, at)?;
    plain.second = None;
    if window.has(at, b"},{") {
        let second;
        at = window.behind(at, br#"},{"sku":""#)?;
        (second, at) = short_line(window, at)?;
        plain.second = Some(second);
    }
    window.behind(at, b"}]")
}

/// A line's SKU, whose opening quote has been read, and its quantity.
#[inline(always)]
fn short_line<'a, const W: usize>(window: &Window<'a, W>, at: usize) -> Option<((Id<'a>, u32), usize)> {
    let (sku, at) = window.id(at)?;
    let (quantity, at) = window.number(window.behind(at, br#","quantity":"#)?)?;
    Some(((sku, quantity), at))
}

/// Which fields of an object were there.
struct Seen(u32);

impl Seen {
    /// Takes note of a field; none where it was there before.
    #[inline(always)]
    const fn once(&mut self, field: u32) -> Option<()> {
        let bit = 1 << field;
        let first = self.0 & bit == 0;
        self.0 |= bit;
        if first { Some(()) } else { None }
    }
}

impl<'a> Reader<'a> {
    fn command(&mut self) -> Option<Plain<'a>> {
        let begin = self.at;
        let mut seen = Seen(0);
        let (mut order_id, mut lines, mut submitted_at, mut value) = (None, None, None, None);
        if let Some((id, first, second)) = self.head() {
            (order_id, lines) = (Some(id), Some((first, second)));
            seen = Seen(0b11);
        } else {
            self.at = begin;
            self.take(b'{')?;
            self.take(b'"')?;
            self.name(br#"place""#)?;
            self.take(b'{')?;
        }
        loop {
            if seen.0 == 0 || !self.literal(br#",""#) {
                if seen.0 != 0 && self.is_last()? {
                    break;
                }
                self.take(b'"')?;
            }
            match self.bytes.get(self.at)? {
                b'o' if self.literal(br#"order_id":""#) => {
                    seen.once(0)?;
                    order_id = Some(self.id_within()?);
                }
                b'o' if self.literal(br#"order_id""#) => {
                    seen.once(0)?;
                    self.take(b':')?;
                    order_id = Some(self.id()?);
                }
                b'l' => {
                    if !self.literal(br#"lines":[{""#) {
                        self.name(br#"lines""#)?;
                        self.take(b'[')?;
                        self.take(b'{')?;
                        self.take(b'"')?;
                    }
                    seen.once(1)?;
                    lines = Some(self.lines()?);
                }
                b's' if self.literal(br#"submitted_at":""#) => {
                    seen.once(2)?;
                    submitted_at = Some(self.time_within()?);
                }
                b's' if self.literal(br#"submitted_at""#) => {
                    seen.once(2)?;
                    self.take(b':')?;
                    submitted_at = self.optional(Self::time)?;
                }
                b'v' if self.literal(br#"value":{"minor":"#) => {
                    seen.once(3)?;
                    value = Some(self.money_behind_name()?);
                }
                b'v' => {
                    self.name(br#"value""#)?;
                    seen.once(3)?;
                    value = self.optional(Self::money)?;
                }
                b'a' if self.literal(br#"attributes":{""#) => {
                    seen.once(8)?;
                    self.attributes_within()?;
                }
                _ => self.unheeded(&mut seen)?,
            }
        }
        self.take(b'}')?;
        let (first, second) = lines?;
        Some(Plain { order_id: order_id?, first, second, submitted_at, value })
    }

    /// How most orders begin, without white: the id, then the lines.
    #[expect(clippy::type_complexity, reason = "fields of `Plain`")]
    #[inline(always)]
    fn head(&mut self) -> Option<(Id<'a>, (Id<'a>, u32), Option<(Id<'a>, u32)>)> {
        self.exactly(br#"{"place":{"order_id":""#)?;
        let order_id = self.id_within()?;
        self.exactly(br#","lines":[{"sku":""#)?;
        let first = self.plain_line()?;
        if self.literal(b"}]") {
            return Some((order_id, first, None));
        }
        self.exactly(br#"},{"sku":""#)?;
        let second = self.plain_line()?;
        self.exactly(b"}]")?;
        Some((order_id, first, Some(second)))
    }

    /// A line's SKU, whose opening quote has been read, and its quantity.
    #[inline(always)]
    fn plain_line(&mut self) -> Option<(Id<'a>, u32)> {
        let sku = self.id_within()?;
        self.exactly(br#","quantity":"#)?;
        let quantity = self.number(QUANTITY_LIMIT_MAX)?;
        Some((sku, u32::try_from(quantity).ok().filter(|quantity| *quantity > 0)?))
    }

    /// A field that nobody decides by, or that must not be there.
    fn unheeded(&mut self, seen: &mut Seen) -> Option<()> {
        match self.bytes.get(self.at)? {
            b'p' if self.literal(br#"promised_by":""#) => {
                seen.once(4)?;
                self.time_within()?;
            }
            b'p' if self.literal(br#"promised_by""#) => {
                seen.once(4)?;
                self.take(b':')?;
                self.optional(Self::time)?;
            }
            b's' if self.literal(br#"ship_by""#) => {
                seen.once(5)?;
                self.take(b':')?;
                self.optional(Self::time)?;
            }
            b'c' if self.literal(br#"carrier":""#) => {
                seen.once(6)?;
                self.unheeded_id()?;
            }
            b'c' if self.literal(br#"carrier""#) => {
                seen.once(6)?;
                self.take(b':')?;
                self.optional(Self::unheeded_text)?;
            }
            b'c' => {
                self.name(br#"customer""#)?;
                seen.once(7)?;
                self.optional(Self::unheeded_text)?;
            }
            b'a' => {
                self.name(br#"attributes""#)?;
                seen.once(8)?;
                self.optional(Self::attributes)?;
            }
            b'o' => {
                self.name(br#"on_shortage""#)?;
                seen.once(9)?;
                if !self.null() && !self.literal(br#""refuse""#) {
                    return None;
                }
            }
            b's' if self.literal(br#"sites""#) => self.absent(seen, 10)?,
            b's' if self.literal(br#"site""#) => self.absent(seen, 11)?,
            b'p' if self.literal(br#"pay_within_ms""#) => self.absent(seen, 12)?,
            b'w' if self.literal(br#"wait_until""#) => self.absent(seen, 13)?,
            _ => return None,
        }
        Some(())
    }

    /// What only `null` may stand for; its name has been read.
    fn absent(&mut self, seen: &mut Seen, field: u32) -> Option<()> {
        seen.once(field)?;
        self.take(b':')?;
        self.null().then_some(())
    }

    /// One line or two; the first one's bracket, and the quote of its first name, have been read.
    #[expect(clippy::type_complexity, reason = "the lines of `Plain`")]
    #[inline(never)]
    fn lines(&mut self) -> Option<((Id<'a>, u32), Option<(Id<'a>, u32)>)> {
        let mut first = None;
        loop {
            let line = self.line()?;
            let closes = match self.next()? {
                b']' => true,
                b',' => false,
                _ => return None,
            };
            match (first, closes) {
                (None, true) => return Some((line, None)),
                (None, false) => first = Some(line),
                (Some(first), true) => return Some((first, Some(line))),
                (Some(_), false) => return None,
            }
            if !self.literal(br#"{""#) {
                self.take(b'{')?;
                self.take(b'"')?;
            }
        }
    }

    #[inline(always)]
    fn line(&mut self) -> Option<(Id<'a>, u32)> {
        let mut seen = Seen(0);
        let (mut sku, mut quantity) = (None, None);
        loop {
            match self.bytes.get(self.at)? {
                b's' => {
                    if self.literal(br#"sku":""#) {
                        sku = Some(self.id_within()?);
                    } else {
                        self.name(br#"sku""#)?;
                        sku = Some(self.id()?);
                    }
                    seen.once(0)?;
                }
                b'q' => {
                    self.name(br#"quantity""#)?;
                    seen.once(1)?;
                    quantity = Some(self.number(QUANTITY_LIMIT_MAX)?);
                }
                b'u' => {
                    self.name(br#"unit_price""#)?;
                    seen.once(2)?;
                    self.optional(|reader| reader.number(STOCK_MAX))?;
                }
                _ => return None,
            }
            if self.is_last()? {
                break;
            }
            self.take(b'"')?;
        }
        let quantity = u32::try_from(quantity?).ok().filter(|quantity| *quantity > 0)?;
        Some((sku?, quantity))
    }

    /// A value without white, up to its first number's name.
    fn money_behind_name(&mut self) -> Option<(i64, [u8; 3])> {
        let minor = self.number(STOCK_MAX)?;
        self.exactly(br#","currency":"#)?;
        let currency = self.currency()?;
        self.take(b'}')?;
        Some((minor, currency))
    }

    fn money(&mut self) -> Option<(i64, [u8; 3])> {
        let mut seen = Seen(0);
        let (mut minor, mut currency) = (None, None);
        self.take(b'{')?;
        loop {
            self.take(b'"')?;
            match self.bytes.get(self.at)? {
                b'm' => {
                    self.name(br#"minor""#)?;
                    seen.once(0)?;
                    minor = Some(self.number(STOCK_MAX)?);
                }
                b'c' => {
                    self.name(br#"currency""#)?;
                    seen.once(1)?;
                    currency = Some(self.currency()?);
                }
                _ => return None,
            }
            if self.is_last()? {
                break;
            }
        }
        Some((minor?, currency?))
    }

    #[inline(always)]
    fn currency(&mut self) -> Option<[u8; 3]> {
        self.take(b'"')?;
        let &[a, b, c, b'"'] = self.bytes.get(self.at..)?.first_chunk()? else { return None };
        let code = [a, b, c];
        self.at += 4;
        code.iter().all(u8::is_ascii_uppercase).then_some(code)
    }

    /// At most [`ATTRIBUTES_MAX`], each key once. A value may be empty.
    fn attributes(&mut self) -> Option<()> {
        self.take(b'{')?;
        match self.next()? {
            b'}' => Some(()),
            b'"' => self.attributes_within(),
            _ => None,
        }
    }

    /// Attributes of which the first quote has been read.
    fn attributes_within(&mut self) -> Option<()> {
        let mut tags = [0; ATTRIBUTES_MAX];
        for count in 0..ATTRIBUTES_MAX {
            let tag = self.unheeded_id()?;
            // Keys of one tag may differ: the long way looks at them.
            if tags[..count].contains(&tag) {
                return None;
            }
            tags[count] = tag;
            if !self.literal(br#":""#) {
                self.take(b':')?;
                self.take(b'"')?;
            }
            if !self.literal(br#"""#) {
                self.unheeded_id()?;
            }
            if !self.literal(br#",""#) {
                if self.is_last()? {
                    return Some(());
                }
                self.take(b'"')?;
            }
        }
        None
    }
}
