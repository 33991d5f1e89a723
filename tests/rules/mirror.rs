//! Commands and outcomes as plain tuples and enums, the way any bincode library would be told of them: a struct is its
//! fields in order, an enum its tag and its fields, a time its milliseconds.

#![expect(clippy::ref_option, reason = "fields are handed over as they stand")]

use serde::Serialize;
use weir::words::command::{self, Command, Line, Money, ReturnLine};
use weir::words::outcome::{self, Adjustment, Decision, Mark, Outcome, Repeat, Shortage};
use weir::words::policy::{PolicyChange, SafetyStock};
use weir::words::text::Text;
use weir::words::timestamp::Timestamp;

type Id<'a> = &'a str;
type May<'a> = Option<&'a str>;
type Time = Option<i64>;
type Lines<'a> = Vec<(&'a str, i64)>;
type Sum<'a> = Option<(i64, &'a str)>;
type Again = Option<((), u64, Option<u32>)>;
type Attributes<'a> = Vec<(&'a str, &'a str)>;
type Numbers = (Time, Time, Time, Time, Time, Time, Time, Time, Time, Time, Time, Time);
type Safety<'a> = Option<Vec<(May<'a>, Id<'a>, Time)>>;

#[derive(Serialize)]
pub(crate) enum MirrorCommand<'a> {
    Place(Id<'a>, May<'a>, Lines<'a>, u32, Time, Time, Time, May<'a>, Sum<'a>, May<'a>, Attributes<'a>),
    Cancel(Id<'a>, Option<Lines<'a>>, May<'a>, May<'a>),
    Review(Id<'a>, i64, May<'a>, Time),
    Pay(Id<'a>, May<'a>, Sum<'a>, Time),
    PayFailed(Id<'a>, Id<'a>, May<'a>, Time),
    Ship(Id<'a>, May<'a>, Option<Lines<'a>>, May<'a>, Time),
    Deliver(Id<'a>, May<'a>, Option<Lines<'a>>, Time),
    Return(Id<'a>, Id<'a>, Option<Vec<(&'a str, i64, bool)>>, bool, May<'a>, Time),
    Receive(Id<'a>, May<'a>, Lines<'a>, Time),
    Count(Id<'a>, May<'a>, Lines<'a>, Time),
    Policy(Option<u32>, Option<Vec<&'a str>>, Numbers, Safety<'a>),
    Tick,
}

fn may<'a>(text: &'a Option<Text<'_>>) -> May<'a> {
    text.as_deref()
}

fn time(time: Option<Timestamp>) -> Time {
    time.map(Timestamp::millis)
}

fn lines<'a>(lines: &'a [Line<'_>]) -> Lines<'a> {
    lines.iter().map(|line| (&*line.sku, line.quantity)).collect()
}

fn some_lines<'a>(some: &'a Option<Vec<Line<'_>>>) -> Option<Lines<'a>> {
    some.as_deref().map(lines)
}

fn money<'a>(money: &'a Option<Money<'_>>) -> Sum<'a> {
    money.as_ref().map(|money| (money.minor, &*money.currency))
}

fn return_lines<'a>(lines: &'a [ReturnLine<'_>]) -> Vec<(&'a str, i64, bool)> {
    lines.iter().map(|line| (&*line.sku, line.quantity, line.restock)).collect()
}

fn safety<'a>(own: &'a [SafetyStock<'_>]) -> Vec<(May<'a>, Id<'a>, Time)> {
    own.iter().map(|own| (may(&own.site), &*own.sku, own.quantity)).collect()
}

fn policy<'a>(it: &'a PolicyChange<'_>) -> MirrorCommand<'a> {
    let numbers = (
        it.pay_within_ms,
        it.lines_max,
        it.quantity_max,
        it.open_orders_max,
        it.settled_orders_max,
        it.settled_window_ms,
        it.closed_orders_max,
        it.closed_window_ms,
        it.facts_max,
        it.facts_window_ms,
        it.skus_max,
        it.safety_stock,
    );
    let sites = it.sites.as_ref().map(|sites| sites.iter().map(|site| &**site).collect());
    MirrorCommand::Policy(it.rules, sites, numbers, it.safety_stock_of.as_deref().map(safety))
}

pub(crate) fn command<'a>(it: &'a Command<'_>) -> MirrorCommand<'a> {
    use MirrorCommand as M;
    match it {
        Command::Place(it) => M::Place(
            &it.order_id,
            may(&it.site),
            lines(&it.lines),
            it.on_shortage as u32,
            time(it.submitted_at),
            time(it.ship_by),
            time(it.promised_by),
            may(&it.carrier),
            money(&it.value),
            may(&it.customer),
            it.attributes.0.iter().map(|(key, value)| (&**key, &**value)).collect(),
        ),
        Command::Cancel(it) => M::Cancel(&it.order_id, some_lines(&it.lines), may(&it.by), may(&it.reason)),
        Command::Review(it) => M::Review(&it.order_id, it.score, may(&it.topic), time(it.occurred_at)),
        Command::Pay(it) => {
            M::Pay(&it.order_id, may(&it.attempt_id), money(&it.amount), time(it.occurred_at))
        }
        Command::PayFailed(it) => {
            M::PayFailed(&it.order_id, &it.attempt_id, may(&it.reason), time(it.occurred_at))
        }
        Command::Ship(it) => M::Ship(
            &it.order_id,
            may(&it.shipment_id),
            some_lines(&it.lines),
            may(&it.carrier),
            time(it.occurred_at),
        ),
        Command::Deliver(it) => {
            M::Deliver(&it.order_id, may(&it.shipment_id), some_lines(&it.lines), time(it.occurred_at))
        }
        Command::Return(it) => M::Return(
            &it.order_id,
            &it.return_id,
            it.lines.as_deref().map(return_lines),
            it.restock,
            may(&it.reason),
            time(it.occurred_at),
        ),
        Command::Receive(it) => {
            M::Receive(&it.receipt_id, may(&it.site), lines(&it.lines), time(it.occurred_at))
        }
        Command::Count(it) => M::Count(&it.count_id, may(&it.site), lines(&it.lines), time(it.occurred_at)),
        Command::Policy(it) => policy(it),
        Command::Tick(command::Tick {}) => M::Tick,
    }
}

type Short<'a> = Vec<(&'a str, i64, i64)>;

#[derive(Serialize)]
pub(crate) enum Subject<'a> {
    Order(Id<'a>),
    Receipt(Id<'a>),
    Count(Id<'a>),
}

#[derive(Serialize)]
pub(crate) enum MirrorDecision<'a> {
    Confirmed(Id<'a>, Time, Short<'a>, bool, Again),
    Waiting(Id<'a>, May<'a>, Short<'a>, Again),
    Refused(u32, Option<Subject<'a>>, u32, May<'a>, Short<'a>, Option<u32>, Again),
    Cancelled(Id<'a>, Lines<'a>, May<'a>, May<'a>, u32),
    Expired(Id<'a>, u32),
    Paid(Id<'a>, Vec<u32>, u32, Again),
    PaymentFailed(Id<'a>, Id<'a>, Again),
    Shipped(Id<'a>, Lines<'a>, Vec<u32>, u32, Again),
    Delivered(Id<'a>, Lines<'a>, Vec<u32>, u32, Again),
    Returned(Id<'a>, Id<'a>, Lines<'a>, Vec<u32>, u32, Again),
    Reviewed(Id<'a>, u32),
    Received(Id<'a>, Again),
    Counted(Id<'a>, Short<'a>, Again),
    Shortfall(Id<'a>, Id<'a>, Id<'a>, i64),
    PolicyApplied(u32),
    DeadLettered(Id<'a>),
}

fn again(repeat: Option<&Repeat>) -> Again {
    repeat.map(|repeat| ((), repeat.first_sequence, repeat.state.map(|state| state as u32)))
}

fn short<'a>(shortages: &'a [Shortage<'_>]) -> Short<'a> {
    shortages.iter().map(|it| (&*it.sku, it.requested, it.available)).collect()
}

fn found<'a>(adjustments: &'a [Adjustment<'_>]) -> Short<'a> {
    adjustments.iter().map(|it| (&*it.sku, it.before, it.after)).collect()
}

fn tags(marks: &[Mark]) -> Vec<u32> {
    marks.iter().map(|mark| *mark as u32).collect()
}

fn decision<'a>(it: &'a Decision<'_>) -> MirrorDecision<'a> {
    use MirrorDecision as M;
    match it {
        Decision::Confirmed { order_id, pay_by, shortages, released, repeat } => {
            M::Confirmed(order_id, time(*pay_by), short(shortages), *released, again(repeat.as_ref()))
        }
        Decision::Waiting { order_id, sku, shortages, repeat } => {
            M::Waiting(order_id, may(sku), short(shortages), again(repeat.as_ref()))
        }
        Decision::Refused { command, subject, reason, detail, shortages, order_state, repeat } => M::Refused(
            *command as u32,
            subject.as_ref().map(|subject| match subject {
                outcome::Subject::OrderId(id) => Subject::Order(id),
                outcome::Subject::ReceiptId(id) => Subject::Receipt(id),
                outcome::Subject::CountId(id) => Subject::Count(id),
            }),
            *reason as u32,
            may(detail),
            short(shortages),
            order_state.map(|state| state as u32),
            again(repeat.as_ref()),
        ),
        Decision::Cancelled { order_id, lines: some, by, reason, state } => {
            M::Cancelled(order_id, lines(some), may(by), may(reason), *state as u32)
        }
        Decision::Expired { order_id, state } => M::Expired(order_id, *state as u32),
        Decision::Paid { order_id, marks, state, repeat } => {
            M::Paid(order_id, tags(marks), *state as u32, again(repeat.as_ref()))
        }
        Decision::PaymentFailed { order_id, attempt_id, repeat } => {
            M::PaymentFailed(order_id, attempt_id, again(repeat.as_ref()))
        }
        Decision::Shipped { order_id, lines: some, marks, state, repeat } => {
            M::Shipped(order_id, lines(some), tags(marks), *state as u32, again(repeat.as_ref()))
        }
        Decision::Delivered { order_id, lines: some, marks, state, repeat } => {
            M::Delivered(order_id, lines(some), tags(marks), *state as u32, again(repeat.as_ref()))
        }
        Decision::Returned { order_id, return_id, lines: some, marks, state, repeat } => {
            M::Returned(order_id, return_id, lines(some), tags(marks), *state as u32, again(repeat.as_ref()))
        }
        Decision::Reviewed { order_id, state } => M::Reviewed(order_id, *state as u32),
        Decision::Received { receipt_id, repeat } => M::Received(receipt_id, again(repeat.as_ref())),
        Decision::Counted { count_id, adjustments, repeat } => {
            M::Counted(count_id, found(adjustments), again(repeat.as_ref()))
        }
        Decision::Shortfall { order_id, site, sku, quantity } => M::Shortfall(order_id, site, sku, *quantity),
        Decision::PolicyApplied { rules } => M::PolicyApplied(*rules),
        Decision::DeadLettered { reason } => M::DeadLettered(reason),
    }
}

pub(crate) fn outcome<'a>(it: &'a Outcome<'_>) -> (MirrorDecision<'a>, u64, u32, u32, i64) {
    (decision(&it.decision), it.sequence, it.index, it.place, it.at.millis())
}
