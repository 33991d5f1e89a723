//! The audit: are the outcomes what they must be? Log and outcome stream are read again from the broker and merged by
//! identity, without the fold that decided.
//!
//! - Lost: an order that was acknowledged and is not in the log, or a record without an answer.
//! - Duplicated: a record with two answers, or an order confirmed twice without being marked as a repetition.
//! - Oversold: an order confirmed when, in the log's order, the units confirmed less those given back passed what had been
//!   received.
//! - Unexplained: whatever else must not be, such as an outcome that answers no record.
//!
//! What an order holds is drawn again from its number. The merge is fed from outside, so that tests can feed it wrong
//! streams.

mod told;

use std::collections::VecDeque;

use anyhow::Context as _;

use crate::findings::{Findings, Numbers, Wrong};
use crate::orders::{Drawn, Orders, number_of};
use weir::edges::streams::Streams;
use weir::motion::store::onward::Onward;
use weir::words::append::StoredAppend;
use weir::words::codec::{commands, outcomes};
use weir::words::command::{Command, CommandKind, Place};
use weir::words::identity::Identity;
use weir::words::message::LogMessage;
use weir::words::outcome::OutcomeKind;
use weir::words::policy::RULES_NEWEST;

use told::{Told, fits, subject, tell};

/// The audit of a pass.
pub(crate) struct Audit<'o> {
    orders: &'o Orders,
    /// Orders are numbered below this.
    numbers_end: u64,
    findings: Findings,
    stored: Numbers,
    confirmed: Numbers,
    given_back: Numbers,
    /// The shard that is read now. What follows is of it alone.
    shard: usize,
    /// Units received, and units confirmed less those given back, by SKU.
    stock: Vec<(i64, i64)>,
    messages: VecDeque<LogMessage>,
    log_last: u64,
    /// The first record of the first message that was not looked at.
    next_index: u32,
    told: VecDeque<Told>,
    through: Identity,
    drawn: Drawn,
}

impl<'o> Audit<'o> {
    /// An audit of `sent` orders.
    pub(crate) fn new(orders: &'o Orders, sent: u64) -> Self {
        Self {
            orders,
            numbers_end: sent,
            findings: Findings::default(),
            stored: Numbers::default(),
            confirmed: Numbers::default(),
            given_back: Numbers::default(),
            shard: 0,
            stock: Vec::new(),
            messages: VecDeque::new(),
            log_last: 0,
            next_index: 0,
            told: VecDeque::new(),
            through: Identity::START,
            drawn: Drawn::new(),
        }
    }

    /// Takes the next message of the shard's log.
    pub(crate) fn message(&mut self, message: LogMessage) {
        let (sequence, expected) = (message.sequence, self.log_last + 1);
        self.findings.add(Wrong::Unexplained, u64::from(sequence != expected), || {
            format!("the log goes on with message {sequence}, not with {expected}")
        });
        self.log_last = sequence;
        self.messages.push_back(message);
    }

    /// Takes the next append of the shard's outcomes. The messages up to the end of it must have been given before.
    pub(crate) fn append(&mut self, stored: &StoredAppend) -> anyhow::Result<()> {
        let header = &stored.append.header;
        let (from, through, before) = (header.from, header.through, self.through);
        let all = outcomes(stored.append.format, &stored.append.payload)
            .with_context(|| format!("append {}", stored.sequence))?;
        if from < before {
            // Readers drop it, but nobody should have written it.
            self.findings.add(Wrong::Duplicated, all.len() as u64, || {
                format!("append {} goes on from {from}, behind {before}", stored.sequence)
            });
            return Ok(());
        }
        self.findings.add(Wrong::Unexplained, u64::from(from != before), || {
            format!("append {} goes on from {from}, but the one before ends with {before}", stored.sequence)
        });
        let mut last = before;
        for outcome in &all {
            let identity = outcome.identity();
            if identity <= last && last != Identity::START {
                self.findings.add(Wrong::Duplicated, 1, || format!("outcome {identity} comes after {last}"));
                continue;
            }
            last = identity;
            self.told.push_back(tell(outcome, self.orders));
        }
        self.findings.add(Wrong::Unexplained, u64::from(last != through), || {
            format!("append {} ends with {last}, its header says {through}", stored.sequence)
        });
        self.through = through.max(last);
        self.settle((self.through.sequence, self.through.index));
        Ok(())
    }

    /// The shard has been read.
    pub(crate) fn end_shard(&mut self) {
        self.settle((u64::MAX, u32::MAX));
        let left = self.told.len() as u64;
        let first = self.told.front().map(|told| told.identity).unwrap_or_default();
        self.findings.add(Wrong::Unexplained, left, || format!("outcome {first} answers no record"));
        self.told.clear();
        self.stock.clear();
        (self.log_last, self.next_index, self.through) = (0, 0, Identity::START);
        self.shard += 1;
    }

    /// All shards have been read.
    pub(crate) fn end(mut self) -> Findings {
        for number in 0..self.numbers_end {
            if !self.stored.has(number) {
                let instance = || format!("order {number} was acknowledged, and is not in the log");
                self.findings.add(Wrong::Lost, 1, instance);
            }
        }
        self.findings
    }

    /// Looks at all records before `end`, whose outcomes have all come.
    fn settle(&mut self, end: (u64, u32)) {
        while let Some(message) = self.messages.pop_front() {
            let sequence = message.sequence;
            let skipped = std::mem::take(&mut self.next_index);
            let mut answers = Vec::new();
            for (index, command) in (0..).zip(commands(message.format, &message.payload, RULES_NEWEST)) {
                if index < skipped {
                    continue;
                }
                if (sequence, index) >= end {
                    self.next_index = index;
                    break;
                }
                while let Some(told) = self.told.front()
                    && (told.identity.sequence, told.identity.index) <= (sequence, index)
                {
                    answers.extend(self.told.pop_front());
                }
                let at = Identity { sequence, index, place: 0 };
                match command {
                    Ok(command) => self.record(at, &command, &mut answers),
                    Err(unreadable) => {
                        let reason = unreadable.reason;
                        self.findings.add(Wrong::Unexplained, 1, || format!("record {at}: {reason}"));
                    }
                }
                answers.clear();
            }
            // A message of which the first record is not yet to be looked at.
            if (sequence, self.next_index) >= end || self.next_index > 0 {
                self.messages.push_front(message);
                return;
            }
        }
    }

    /// Looks at a record and at what was told of it.
    fn record(&mut self, at: Identity, command: &Command<'_>, told: &mut [Told]) {
        self.findings.records += 1;
        let kind = command.kind();
        let mut answers = 0;
        if let Command::Place(place) = command {
            self.placed(at, number_of(&place.order_id), place);
        }
        for told in told {
            if (told.identity.sequence, told.identity.index) != (at.sequence, at.index) || !told.answer {
                let identity = told.identity;
                let instance = || format!("outcome {identity} ({}) has no cause", told.kind.name());
                self.findings.add(Wrong::Unexplained, 1, instance);
                continue;
            }
            answers += 1;
            self.answered(at, command, told);
        }
        let expected = u64::from(kind != CommandKind::Tick);
        let missing = expected.saturating_sub(answers);
        self.findings.add(Wrong::Lost, missing, || format!("record {at} ({}) has no answer", kind.name()));
        self.findings.add(Wrong::Duplicated, answers.saturating_sub(expected), || {
            format!("record {at} ({}) has {answers} answers", kind.name())
        });
    }

    /// An order is in the log, and is what was sent under its number.
    fn placed(&mut self, at: Identity, number: Option<u64>, place: &Place<'_>) {
        let Some(number) = number.filter(|number| *number < self.numbers_end) else {
            return self.findings.add(Wrong::Unexplained, 1, || format!("record {at}: {}", place.order_id));
        };
        let new = self.stored.add(number);
        self.orders.draw(number, &mut self.drawn);
        let same = place.lines.len() == self.drawn.len()
            && self.orders.shard_of(number) == self.shard
            && place.lines.iter().zip(&self.drawn).all(|(line, (sku, quantity))| {
                line.quantity == *quantity && self.orders.sku_of(&line.sku) == Some(*sku)
            });
        self.findings.add(Wrong::Unexplained, u64::from(!new), || {
            format!("record {at}: order {number} is in the log twice, and was sent once")
        });
        self.findings.add(Wrong::Unexplained, u64::from(!same), || {
            format!("record {at}: order {number} is not what was sent there")
        });
    }

    fn answered(&mut self, at: Identity, command: &Command<'_>, told: &Told) {
        if told.number != subject(command).and_then(|id| number_of(&id)) || !fits(command.kind(), told) {
            let instance =
                || format!("record {at} ({}) is answered with {}", command.kind().name(), told.kind.name());
            return self.findings.add(Wrong::Unexplained, 1, instance);
        }
        match (told.kind, told.number) {
            _ if told.repeat => *self.findings.others.entry("repeated".to_owned()).or_default() += 1,
            (OutcomeKind::Confirmed, Some(number)) => self.confirmed(at, number),
            (OutcomeKind::Cancelled | OutcomeKind::Returned, Some(number)) => {
                self.count(told.kind.name());
                self.gave_back(number, told.lines.as_deref());
            }
            (OutcomeKind::Received, _) => {
                self.count(told.kind.name());
                self.received(command);
            }
            (OutcomeKind::Refused, _) => match told.refused {
                Some((CommandKind::Place, reason)) => {
                    *self.findings.refused.entry(reason.to_owned()).or_default() += 1;
                }
                other => self.count(&format!("refused: {}", other.map_or("", |(_, reason)| reason))),
            },
            (kind, _) => self.count(kind.name()),
        }
    }

    fn received(&mut self, command: &Command<'_>) {
        let Command::Receive(receive) = command else { return };
        for line in &receive.lines {
            if let Some(sku) = self.orders.sku_of(&line.sku) {
                self.stock_of(sku).0 += line.quantity;
            }
        }
    }

    fn count(&mut self, what: &str) {
        if let Some(count) = self.findings.others.get_mut(what) {
            *count += 1;
        } else {
            self.findings.others.insert(what.to_owned(), 1);
        }
    }

    fn confirmed(&mut self, at: Identity, number: u64) {
        self.findings.confirmed += 1;
        let new = self.confirmed.add(number);
        self.findings.add(Wrong::Duplicated, u64::from(!new), || {
            format!("outcome {at}: order {number} is confirmed a second time")
        });
        let drawn = std::mem::take(&mut self.drawn);
        for (sku, quantity) in &drawn {
            let (received, confirmed) = self.stock_of(*sku);
            *confirmed += quantity;
            let (received, confirmed) = (*received, *confirmed);
            self.findings.add(Wrong::Oversold, u64::from(confirmed > received), || {
                format!("outcome {at}: {confirmed} units of SKU {sku:06} confirmed, {received} received")
            });
        }
        self.drawn = drawn;
    }

    /// Stock of a confirmed order that came back, all of it unless lines are named.
    fn gave_back(&mut self, number: u64, lines: Option<&[(u32, i64)]>) {
        let mut drawn = std::mem::take(&mut self.drawn);
        match lines {
            Some(lines) => drawn = lines.to_vec(),
            None if self.confirmed.has(number) && self.given_back.add(number) => {
                self.orders.draw(number, &mut drawn);
            }
            None => drawn.clear(),
        }
        for (sku, quantity) in &drawn {
            self.stock_of(*sku).1 -= quantity;
        }
        self.drawn = drawn;
    }

    fn stock_of(&mut self, sku: u32) -> &mut (i64, i64) {
        let sku = sku as usize;
        if self.stock.len() <= sku {
            self.stock.resize(sku + 1, (0, 0));
        }
        &mut self.stock[sku]
    }
}

/// Reads the streams of all shards and audits them.
pub(crate) async fn audit<S: Streams>(shards: &[S], orders: &Orders, sent: u64) -> anyhow::Result<Findings> {
    let mut audit = Audit::new(orders, sent);
    for streams in shards {
        let log_last = streams.log_state().await?.last_sequence;
        let outcomes_last = streams.outcomes_state().await?.last_sequence;
        let mut log = Onward::new(1, |from| streams.read_log(from));
        let mut appends = Onward::new(1, |from| streams.read_outcomes(from));
        let mut seen = 0;
        while seen < outcomes_last {
            for append in appends.next(|it: &StoredAppend| it.sequence).await.context("the outcomes")? {
                seen = append.sequence;
                while audit.log_last < append.append.header.through.sequence.min(log_last) {
                    for message in log.next(|it: &LogMessage| it.sequence).await.context("the log")? {
                        audit.message(message);
                    }
                }
                audit.append(&append)?;
            }
        }
        while audit.log_last < log_last {
            for message in log.next(|it: &LogMessage| it.sequence).await.context("the log")? {
                audit.message(message);
            }
        }
        audit.end_shard();
    }
    Ok(audit.end())
}

#[cfg(test)]
mod tests;
