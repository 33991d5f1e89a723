//! The judge: a naive model of the inventory, written from `docs/contract.md` alone, by somebody who has not read the
//! engine. Everything is a `Vec` that is scanned, and what can be computed anew is never kept.
//!
//! The parts: this file has the steps of a record and what can be asked; `model_parts` the figures; `model_shape` what the
//! shape of a command is made of; `model_orders`, `model_placing`, `model_payments`, `model_facts` and `model_stock` the commands; `model_waiting` what follows
//! from them and from time (expiry, forgetting, shortfalls, releases).

use std::borrow::Cow;

use weir::words::command::{Command, CommandKind};
use weir::words::message::Way;
use weir::words::outcome::{Decision, Outcome, Reason, Shortage, State, Subject, Unreadable};
use weir::words::policy::{Policy, SITE_DEFAULT};
use weir::words::text::{Text, is_id};
use weir::words::timestamp::Timestamp;

use crate::model_facts::{deliver_shape, return_shape, ship_shape};
use crate::model_orders::{cancel_shape, place_shape, review_shape};
use crate::model_parts::{Order, Remembered, Shelf, StockFact};
use crate::model_payments::{extend_shape, pay_failed_shape, pay_shape};
use crate::model_placing::amend_shape;
use crate::model_stock::{adjust_shape, count_shape, policy_shape, receive_shape, transfer_shape};

/// The sequence of a message and the index in it.
pub(crate) type Ticket = (u64, u32);

/// The answer to a command.
pub(crate) type Answer = Result<Decision<'static>, No>;

/// Why a command is refused.
#[derive(Debug)]
pub(crate) struct No {
    pub(crate) reason: Reason,
    pub(crate) shortages: Vec<Shortage<'static>>,
}

impl From<Reason> for No {
    fn from(reason: Reason) -> Self {
        Self { reason, shortages: vec![] }
    }
}

/// A SKU at a site, as it can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelStock {
    pub(crate) site: String,
    pub(crate) sku: String,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
    pub(crate) available: i64,
    pub(crate) received: i64,
    pub(crate) adjusted: i64,
    pub(crate) restocked: i64,
    pub(crate) shipped: i64,
    pub(crate) moved_in: i64,
    pub(crate) moved_out: i64,
}

/// An order, as it can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelOrder {
    pub(crate) state: State,
    pub(crate) first_sequence: u64,
    pub(crate) pay_by: Option<Timestamp>,
}

/// How many there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ModelCounts {
    pub(crate) open: usize,
    pub(crate) open_lines: usize,
    pub(crate) waiting: usize,
    pub(crate) settled: usize,
    pub(crate) closed: usize,
    pub(crate) refused: usize,
    /// Orders with a running `pay_by`.
    pub(crate) held: usize,
}

/// The whole state.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Log time.
    pub(crate) now: i64,
    pub(crate) sequence: u64,
    pub(crate) index: u32,
    pub(crate) policy: Policy,
    pub(crate) sites: Vec<String>,
    /// In the order in which they became known.
    pub(crate) shelves: Vec<Shelf>,
    /// In the order of placing.
    pub(crate) orders: Vec<Order>,
    /// In the order of closing.
    pub(crate) closed: Vec<Remembered>,
    /// In the order of refusing.
    pub(crate) refused: Vec<Remembered>,
    pub(crate) stock_facts: Vec<StockFact>,
    /// When the newest closed order that was forgotten had been closed.
    pub(crate) too_old: Option<i64>,
    pub(crate) ids: Vec<String>,
    /// How often a change has left an order settled.
    pub(crate) settlings: u64,
    /// How many holds and waits have begun.
    pub(crate) starts: u64,
    /// The SKUs of which some is missing, or was, in the order in which this record's movements touched them: site and SKU.
    pub(crate) touched: Vec<(String, String)>,
    /// The orders whose units have moved, to be looked at.
    pub(crate) changed: Vec<String>,
}

/// An own copy.
pub(crate) fn text(text: &str) -> Text<'static> {
    Cow::Owned(text.to_owned())
}

/// A time as outcomes tell it.
pub(crate) fn time(ms: i64) -> Timestamp {
    Timestamp::from_millis(ms)
}

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            now: 0,
            sequence: 0,
            index: 0,
            policy: Policy::default(),
            sites: vec![SITE_DEFAULT.to_owned()],
            shelves: vec![],
            orders: vec![],
            closed: vec![],
            refused: vec![],
            stock_facts: vec![],
            too_old: None,
            ids: vec![],
            settlings: 0,
            starts: 0,
            touched: vec![],
            changed: vec![],
        }
    }

    /// One message stored at `at_ms` that came by `way`: its outcomes.
    pub(crate) fn apply(&mut self, at_ms: i64, way: Way, commands: &[Command<'_>]) -> Vec<Outcome<'static>> {
        self.now = self.now.max(at_ms);
        self.sequence += 1;
        let (sequence, at) = (self.sequence, time(self.now));
        let mut outcomes = vec![];
        for (index, command) in (0..).zip(commands) {
            self.index = index;
            let decisions = self.record(way, command, commands.len() == 1);
            outcomes.extend((0..).zip(decisions).map(|(place, decision)| Outcome {
                decision,
                sequence,
                index,
                place,
                at,
            }));
        }
        outcomes
    }

    /// The steps of one record.
    fn record(&mut self, way: Way, command: &Command<'_>, alone: bool) -> Vec<Decision<'static>> {
        let mut said = vec![];
        self.touched.clear();
        if self.index == 0 {
            said.extend(self.expire());
        }
        let is_tick = matches!(command, Command::Tick(_)) && way.takes(CommandKind::Tick);
        self.forget();
        if command.kind().rules() > self.policy.rules {
            said.push(Decision::DeadLettered { reason: Unreadable::NotACommand });
        } else if !is_tick {
            said.push(self.answer(way, command, alone));
        }
        self.look_at_changed();
        said.extend(self.shortfalls());
        said.extend(self.releases());
        self.look_at_changed();
        self.look_for_idle();
        said
    }

    /// The answer to a command that is no tick.
    fn answer(&mut self, way: Way, command: &Command<'_>, alone: bool) -> Decision<'static> {
        let mut order_state = None;
        let answer = if !way.takes(command.kind()) {
            Err(Reason::WrongFamily.into())
        } else if matches!(command, Command::Policy(_)) && !alone {
            Err(Reason::NotAlone.into())
        } else {
            let state = match command.content().subject() {
                Some(Subject::OrderId(id)) => self.order(&id).map(|order| order.state),
                _ => None,
            };
            match self.decide(command) {
                Err(shape) => Err(shape.into()),
                Ok(answer) => {
                    order_state = state;
                    answer
                }
            }
        };
        answer.unwrap_or_else(|no| Decision::Refused {
            command: command.kind(),
            subject: command.content().subject().filter(|subject| is_id(subject.id())).map(owned),
            reason: no.reason,
            detail: None,
            shortages: no.shortages,
            order_state,
            repeat: None,
        })
    }

    /// What is wrong with a command's shape; or else what is decided of it.
    fn decide(&mut self, command: &Command<'_>) -> Result<Answer, Reason> {
        match command {
            Command::Place(it) => place_shape(self.now, it).map(|()| self.place(it)),
            Command::Cancel(it) => cancel_shape(it).map(|()| self.cancel(it)),
            Command::Amend(it) => amend_shape(it).map(|()| self.amend(it)),
            Command::Extend(it) => extend_shape(it).map(|()| self.extend(it)),
            Command::Review(it) => review_shape(it).map(|()| self.review(it)),
            Command::Pay(it) => pay_shape(it).map(|()| self.pay(it)),
            Command::PayFailed(it) => pay_failed_shape(it).map(|()| self.pay_failed(it)),
            Command::Ship(it) => ship_shape(it).map(|()| self.ship(it)),
            Command::Deliver(it) => deliver_shape(it).map(|()| self.deliver(it)),
            Command::Return(it) => return_shape(it).map(|()| self.give_back(it)),
            Command::Receive(it) => receive_shape(it).map(|()| self.receive(it)),
            Command::Count(it) => count_shape(it).map(|()| self.count(it)),
            Command::Adjust(it) => adjust_shape(it).map(|()| self.adjust(it)),
            Command::Transfer(it) => transfer_shape(it).map(|()| self.transfer(it)),
            Command::Policy(it) => policy_shape(it).map(|()| self.change_policy(it)),
            Command::Tick(_) => unreachable!("a tick has no answer"),
        }
    }

    /// Every known SKU, in the order in which they became known.
    pub(crate) fn stock(&self) -> Vec<ModelStock> {
        let shelves = self.shelves.iter();
        shelves
            .map(|stock| {
                let reserved = self.reserved(&stock.site, &stock.sku);
                ModelStock {
                    site: stock.site.clone(),
                    sku: stock.sku.clone(),
                    on_hand: stock.on_hand,
                    reserved,
                    available: stock.on_hand - reserved - self.safety_stock(stock),
                    received: stock.received,
                    adjusted: stock.adjusted,
                    restocked: stock.restocked,
                    shipped: stock.shipped,
                    moved_in: stock.moved_in,
                    moved_out: stock.moved_out,
                }
            })
            .collect()
    }

    /// An order that is kept, closed or refused; none where it is unknown or forgotten.
    pub(crate) fn order(&self, id: &str) -> Option<ModelOrder> {
        if let Some(order) = self.orders.iter().find(|order| order.id == id) {
            let (state, first_sequence) = (order.state(), order.first_sequence);
            return Some(ModelOrder { state, first_sequence, pay_by: order.pay_by.map(time) });
        }
        self.remembered(id).map(|it| ModelOrder {
            state: it.state,
            first_sequence: it.first_sequence,
            pay_by: None,
        })
    }

    /// The ids of all orders that were ever accepted, or refused for want of stock.
    pub(crate) fn order_ids(&self) -> Vec<String> {
        self.ids.clone()
    }

    pub(crate) fn counts(&self) -> ModelCounts {
        let open: Vec<&Order> = self.orders.iter().filter(|order| order.is_open()).collect();
        ModelCounts {
            open: open.len(),
            open_lines: open.iter().map(|order| order.lines.len()).sum(),
            waiting: open.iter().filter(|order| order.waits()).count(),
            settled: self.orders.len() - open.len(),
            closed: self.closed.len(),
            refused: self.refused.len(),
            held: open.iter().filter(|order| order.pay_by.is_some()).count(),
        }
    }

    /// A closed or refused order.
    pub(crate) fn remembered(&self, id: &str) -> Option<&Remembered> {
        self.closed.iter().chain(&self.refused).find(|it| it.id == id)
    }
}

fn owned(subject: Subject<'_>) -> Subject<'static> {
    match subject {
        Subject::OrderId(id) => Subject::OrderId(text(&id)),
        Subject::ReceiptId(id) => Subject::ReceiptId(text(&id)),
        Subject::CountId(id) => Subject::CountId(text(&id)),
        Subject::AdjustmentId(id) => Subject::AdjustmentId(text(&id)),
        Subject::TransferId(id) => Subject::TransferId(text(&id)),
    }
}
