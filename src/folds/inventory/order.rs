//! One order, and how far each of its parts is.

use compact_str::CompactString;
use smallvec::SmallVec;

use super::stock::StockIndex;
use crate::words::command::COMMANDS_MAX;
use crate::words::outcome::State;
use crate::words::timestamp::Timestamp;

/// Where an order stands in the sequence of all orders: its first record's sequence and index.
pub(super) type Ticket = (u64, u32);

/// An order that is not closed.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) id: CompactString,
    /// The hash of its deciding fields.
    pub(super) content: u64,
    pub(super) first_sequence: u64,
    /// Log time of its last change.
    pub(super) since: Timestamp,
    /// What was accepted of it, each SKU once, where that is at most two lines.
    few: [OrderLine; 2],
    /// What few orders have.
    detail: Option<Box<Detail>>,
    /// Messages hold at most `COMMANDS_MAX` records, so that their indices fit.
    first_index: u16,
    /// How many of `few` there are; 0 where `detail` has the lines.
    few_count: u8,
    /// How far all of it is, unless `detail` has parts.
    stage: Stage,
    pub(super) paid: bool,
    /// Whether its first outcome was `waiting`.
    pub(super) waited: bool,
    /// Whether its hold expired.
    pub(super) expired: bool,
}

/// What an order with a short id and at most two lines takes in a slot, all of it. The index by id takes some 13 bytes more.
const _: () = assert!(size_of::<Option<Order>>() == 80);
const _: () = assert!(COMMANDS_MAX <= 1 << 16);

/// A line of an order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OrderLine {
    pub(super) stock: StockIndex,
    pub(super) quantity: u32,
}

/// How far all of an order is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Waiting,
    Reserved,
    Cancelled,
    Shipped,
    Delivered,
}

impl Stage {
    /// Every stage, in the order of their tags in a snapshot.
    pub(super) const ALL: [Self; 5] =
        [Self::Waiting, Self::Reserved, Self::Cancelled, Self::Shipped, Self::Delivered];
}

/// How many units of a line are where; they add up to the line's quantity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) waiting: u32,
    pub(super) reserved: u32,
    pub(super) cancelled: u32,
    pub(super) shipped: u32,
    pub(super) delivered: u32,
    pub(super) returned: u32,
    /// Beside the sum: units taken as shipped because they were delivered or returned; news of their shipping may
    /// still come.
    pub(super) shipping_due: u32,
    /// Beside the sum: units that were returned while on their way; news of their delivery may still come.
    pub(super) delivery_due: u32,
}

#[derive(Debug, Default)]
struct Detail {
    /// The lines, where there are more than two.
    lines: Vec<OrderLine>,
    /// Line by line, where the lines are not all in one stage.
    parts: Vec<Part>,
    pay_by: Option<Timestamp>,
    /// The SKU that a waiting order waits for first.
    parked_at: Option<StockIndex>,
}

impl Part {
    fn whole(stage: Stage, quantity: u32) -> Self {
        let mut part = Self::default();
        *match stage {
            Stage::Waiting => &mut part.waiting,
            Stage::Reserved => &mut part.reserved,
            Stage::Cancelled => &mut part.cancelled,
            Stage::Shipped => &mut part.shipped,
            Stage::Delivered => &mut part.delivered,
        } = quantity;
        part
    }

    /// Takes up to `wanted` units out of `bucket` and gives how many.
    pub(super) fn take(bucket: &mut u32, wanted: u32) -> u32 {
        let taken = wanted.min(*bucket);
        *bucket -= taken;
        taken
    }
}

pub(super) type OrderLines = SmallVec<[OrderLine; 4]>;
pub(super) type Parts = SmallVec<[Part; 4]>;

impl Order {
    pub(super) fn new(
        id: CompactString,
        content: u64,
        ticket: Ticket,
        lines: &[OrderLine],
        stage: Stage,
        at: Timestamp,
    ) -> Self {
        let mut few = [OrderLine::default(); 2];
        let (mut few_count, mut detail) = (0, None);
        match lines {
            [one] => (few[0], few_count) = (*one, 1),
            [one, two] => (few, few_count) = ([*one, *two], 2),
            many => detail = Some(Box::new(Detail { lines: many.to_vec(), ..Detail::default() })),
        }
        Self {
            id,
            content,
            first_sequence: ticket.0,
            since: at,
            few,
            detail,
            first_index: u16::try_from(ticket.1).expect("a message holds no more records"),
            few_count,
            stage,
            paid: false,
            waited: stage == Stage::Waiting,
            expired: false,
        }
    }

    pub(super) const fn ticket(&self) -> Ticket {
        (self.first_sequence, self.first_index as u32)
    }

    /// The same, for whoever changes the state meanwhile.
    pub(super) fn copied_lines(&self) -> OrderLines {
        self.lines().iter().copied().collect()
    }

    /// What was accepted of it, each SKU once; at least one line.
    pub(super) fn lines(&self) -> &[OrderLine] {
        match &self.detail {
            Some(detail) if self.few_count == 0 => &detail.lines,
            _ => &self.few[..usize::from(self.few_count)],
        }
    }

    /// How far all of it is; none where its lines are not all in one stage.
    pub(super) fn whole(&self) -> Option<Stage> {
        self.detail.as_ref().is_none_or(|detail| detail.parts.is_empty()).then_some(self.stage)
    }

    /// How far each line is.
    pub(super) fn parts(&self) -> Parts {
        match &self.detail {
            Some(detail) if !detail.parts.is_empty() => detail.parts.iter().copied().collect(),
            _ => self.lines().iter().map(|line| Part::whole(self.stage, line.quantity)).collect(),
        }
    }

    /// How far one line is.
    pub(super) fn part(&self, line: usize) -> Part {
        match &self.detail {
            Some(detail) if !detail.parts.is_empty() => detail.parts[line],
            _ => Part::whole(self.stage, self.lines()[line].quantity),
        }
    }

    pub(super) fn set_parts(&mut self, parts: &[Part]) {
        debug_assert!(
            self.lines().iter().zip(parts).all(|(line, part)| {
                let sum = [
                    part.waiting,
                    part.reserved,
                    part.cancelled,
                    part.shipped,
                    part.delivered,
                    part.returned,
                ];
                sum.iter().map(|&units| u64::from(units)).sum::<u64>() == u64::from(line.quantity)
            }),
            "the parts of {} do not add up",
            self.id
        );
        let uniform = Stage::ALL.into_iter().find(|&stage| {
            self.lines().iter().zip(parts).all(|(line, part)| *part == Part::whole(stage, line.quantity))
        });
        if let Some(stage) = uniform {
            self.stage = stage;
            if let Some(detail) = &mut self.detail {
                detail.parts = Vec::new();
            }
        } else {
            self.detail.get_or_insert_default().parts = parts.to_vec();
        }
        self.drop_empty_detail();
    }

    fn drop_empty_detail(&mut self) {
        let empty = self.detail.as_ref().is_some_and(|detail| {
            detail.lines.is_empty()
                && detail.parts.is_empty()
                && detail.pay_by.is_none()
                && detail.parked_at.is_none()
        });
        if empty {
            self.detail = None;
        }
    }

    pub(super) fn pay_by(&self) -> Option<Timestamp> {
        self.detail.as_ref()?.pay_by
    }

    pub(super) fn set_pay_by(&mut self, pay_by: Option<Timestamp>) {
        if pay_by.is_some() || self.detail.is_some() {
            self.detail.get_or_insert_default().pay_by = pay_by;
            self.drop_empty_detail();
        }
    }

    pub(super) fn parked_at(&self) -> Option<StockIndex> {
        self.detail.as_ref()?.parked_at
    }

    pub(super) fn set_parked_at(&mut self, stock: Option<StockIndex>) {
        if stock.is_some() || self.detail.is_some() {
            self.detail.get_or_insert_default().parked_at = stock;
            self.drop_empty_detail();
        }
    }

    /// Whether `each` holds for some line's part.
    pub(super) fn any_part(&self, each: impl Fn(&Part) -> bool) -> bool {
        match &self.detail {
            Some(detail) if !detail.parts.is_empty() => detail.parts.iter().any(each),
            // Quantities are at least 1, so that any line speaks for all.
            _ => each(&Part::whole(self.stage, 1)),
        }
    }

    /// Whether nothing of it waits or is reserved.
    pub(super) fn is_settled(&self) -> bool {
        !self.any_part(|part| part.waiting > 0 || part.reserved > 0)
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.any_part(|part| part.waiting > 0)
    }

    /// The state of its least advanced part.
    pub(super) fn state(&self) -> State {
        if self.is_waiting() {
            State::Waiting
        } else if self.any_part(|part| part.reserved > 0) {
            if self.paid { State::Paid } else { State::Confirmed }
        } else if self.any_part(|part| part.shipped > 0) {
            State::Shipped
        } else if self.any_part(|part| part.delivered > 0) {
            State::Delivered
        } else if self.any_part(|part| part.returned > 0) {
            State::Returned
        } else if self.expired {
            State::Expired
        } else {
            State::Cancelled
        }
    }
}
