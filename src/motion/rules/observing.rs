//! Observing, sans-IO: which of what a fold applied is to be measured, when, and as whose.
//!
//! A message is measured once all of its outcomes are announced, in the order of the log, and never twice: its sequence says where
//! measuring is, whatever a worker recovers from, and whoever announces. What is missing between two messages was skipped; it is counted,
//! and the stretch is kept, so that the orders in it can be taken up again.

use std::collections::VecDeque;
use std::sync::Arc;

use super::folding::{Applied, AppliedMessage};
use crate::folds::analytics::Record;
use crate::words::append::Chain;
use crate::words::codec::{Plain, commands, decode_outcome};
use crate::words::identity::Identity;
use crate::words::policy::RULES_NEWEST;
use crate::words::timestamp::Timestamp;

/// A stretch of the log, by sequences: both are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Its first message.
    pub first: u64,
    /// Its last message.
    pub last: u64,
}

/// Where observing is.
#[derive(Debug, Default)]
pub struct Observing {
    /// The last message measured or skipped.
    done: u64,
    /// The last outcome of those.
    done_through: Identity,
    /// How far outcomes are announced.
    through: Identity,
    /// What was applied and is not measured.
    queue: VecDeque<Arc<Applied>>,
    /// The first message of the queue's front that is not done with.
    front: usize,
    /// The last message that is queued or done with.
    queued: u64,
    /// Messages skipped since they were last asked for.
    skipped: u64,
    /// From the first message skipped to where measuring went on, until it is taken.
    missed: Option<Stretch>,
    /// Whether measuring begins with whatever comes first.
    anew: bool,
}

impl Observing {
    /// From a saved state on, which measured everything through this message.
    #[must_use]
    pub fn after(done: u64, done_through: Identity) -> Self {
        Self { done, done_through, queued: done, ..Self::default() }
    }

    /// From whatever comes first on: nothing before it is missed.
    #[must_use]
    pub fn anew() -> Self {
        Self { anew: true, ..Self::default() }
    }

    /// The last message measured or skipped, and the last outcome of it or before.
    #[must_use]
    pub const fn done(&self) -> (u64, Identity) {
        (self.done, self.done_through)
    }

    /// How many messages are announced and not done with.
    #[must_use]
    pub const fn lag(&self) -> u64 {
        self.through.sequence.saturating_sub(self.done)
    }

    /// Whether there is nothing to measure that is known.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.lag() == 0
    }

    /// How many messages were skipped since this was last asked.
    pub fn take_skipped(&mut self) -> u64 {
        std::mem::take(&mut self.skipped)
    }

    /// Where orders are to be taken up again, if anything was skipped: through what is done with now. What is skipped from now on is
    /// another stretch.
    pub fn take_missed(&mut self) -> Option<Stretch> {
        let missed = self.missed.take()?;
        Some(Stretch { last: self.done.max(missed.last), ..missed })
    }

    /// Whether anything was skipped that was not taken up again.
    #[must_use]
    pub const fn has_missed(&self) -> bool {
        self.missed.is_some()
    }

    /// The fold goes on from a state.
    pub fn restored(&mut self, state: Chain, through: Identity) {
        self.queue.clear();
        self.front = 0;
        self.through = through;
        if self.done_through > through {
            // The log was written anew: what was measured of it beyond this is not what it holds.
            (self.done, self.done_through) = (through.sequence.min(state.sequence), through);
        }
        self.queued = self.done;
        if !self.anew {
            self.skip_to(state.sequence);
        }
    }

    /// A batch was applied.
    pub fn applied(&mut self, applied: Arc<Applied>) {
        let Some((first, last)) = applied.messages.first().zip(applied.messages.last()) else { return };
        let (first, last) = (first.chain.sequence, last.chain.sequence);
        if std::mem::take(&mut self.anew) {
            (self.done, self.queued) = (first - 1, first - 1);
        }
        if last <= self.queued {
            return;
        }
        if first > self.queued + 1 {
            // What is queued is measured first: the stretch is missed where the queue gets to it.
            if self.queue.is_empty() {
                self.skip_to(first - 1);
            }
        }
        self.queued = last;
        self.queue.push_back(applied);
    }

    /// Outcomes are announced up to here.
    pub fn announced(&mut self, through: Identity) {
        self.through = self.through.max(through);
    }

    fn skip_to(&mut self, last: u64) {
        if last <= self.done {
            return;
        }
        let first = self.done + 1;
        self.skipped += last - self.done;
        let missed = self.missed.get_or_insert(Stretch { first, last });
        *missed = Stretch { first: missed.first.min(first), last: missed.last.max(last) };
        self.done = last;
        self.queued = self.queued.max(last);
    }

    /// The next message to be measured, if there is one: its batch, and its place in it.
    pub fn take_next(&mut self) -> Option<(Arc<Applied>, AppliedMessage)> {
        loop {
            let front = self.queue.front()?;
            let Some(message) = front.messages.get(self.front).copied() else {
                self.queue.pop_front();
                self.front = 0;
                continue;
            };
            let sequence = message.chain.sequence;
            if sequence <= self.done {
                self.front += 1;
                continue;
            }
            let last = front.last_of(&message);
            if last.is_some_and(|last| last > self.through) {
                return None;
            }
            let front = front.clone();
            self.front += 1;
            self.skip_to(sequence - 1);
            self.done = sequence;
            self.done_through = last.unwrap_or(self.done_through);
            return Some((front, message));
        }
    }
}

/// Who is told what records say.
pub trait Listener {
    /// A new order was confirmed at once, at this log time. Nothing is said of it but its lines and when it was submitted. False asks for a
    /// record of it.
    fn counts(&mut self, _: &Plain<'_>, _: Timestamp) -> bool {
        false
    }

    /// The record of this index of its message.
    fn takes(&mut self, index: u32, record: &Record<'_, '_>);
}

/// Gives each record of a message of a batch to `each`; see [`tell`].
pub fn records(applied: &Applied, message: &AppliedMessage, each: impl FnMut(u32, &Record<'_, '_>)) -> u64 {
    struct Each<F>(F);
    impl<F: FnMut(u32, &Record<'_, '_>)> Listener for Each<F> {
        fn takes(&mut self, index: u32, record: &Record<'_, '_>) {
            (self.0)(index, record);
        }
    }
    tell(applied, message, &mut Each(each))
}

/// Tells a listener the records of a message of a batch, and says how many of its outcomes could not be read. The batch must hold its
/// messages as they were stored.
pub fn tell(applied: &Applied, message: &AppliedMessage, listener: &mut impl Listener) -> u64 {
    let Some(stored) = applied.stored.get(message.place) else { return message.outcomes as u64 };
    let start = message.outcomes_end - message.outcomes;
    let mut entries = applied.output.entries(start, message.outcomes_end);
    let mut outcomes = applied.output.outcomes_from(start).map(|(_, bytes)| bytes);
    // All outcomes of a message have its log time.
    let first = applied.output.outcomes_from(start).next().filter(|_| !entries.is_empty());
    let decided_at = first.and_then(|(_, bytes)| Some(decode_outcome(bytes).ok()?.at));
    let stored_at = stored.message.stored_at();
    let mut elements = commands(stored.message.format, &stored.message.payload, RULES_NEWEST);
    let (mut plain, mut own, mut unread) = (Plain::ANY, Vec::new(), 0);
    let mut index = 0;
    loop {
        let is_bare = elements.next_bare(&mut plain);
        let element = if is_bare { None } else { elements.next() };
        let is_last = !is_bare && element.is_none();
        let own_count = entries.iter().take_while(|entry| is_last || entry.identity().index <= index).count();
        let (own_entries, behind) = entries.split_at(own_count);
        entries = behind;
        if is_bare
            && let ([entry], Some(at)) = (own_entries, decided_at)
            && entry.confirms_new()
            && listener.counts(&plain, at)
        {
            outcomes.next();
        } else if !is_last || own_count > 0 {
            own.clear();
            for bytes in outcomes.by_ref().take(own_count) {
                match decode_outcome(bytes) {
                    Ok(outcome) => own.push(outcome),
                    Err(_) => unread += 1,
                }
            }
            let command = if is_bare { Some(plain.command()) } else { element.and_then(Result::ok) };
            let at = own.first().map_or(stored_at, |outcome| outcome.at);
            let index = if is_last { own.first().map_or(index, |outcome| outcome.index) } else { index };
            listener.takes(index, &Record { at, command: command.as_ref(), outcomes: &own });
        }
        if is_last {
            return unread;
        }
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::streams::StoredMessage;
    use crate::folds::analytics::{Analytics, Findings, Settings, SignalKind};
    use crate::motion::rules::folding::{Folding, Start, Whole};
    use crate::words::codec::{Format, encode_commands};
    use crate::words::command::{Cancel, Command, Line, Place, PlaceLine, Receive, Tick};
    use crate::words::message::{LogMessage, Way};

    fn message(sequence: u64, commands: &[Command<'_>]) -> StoredMessage {
        let payload = encode_commands(Format::Bincode, commands).into();
        let stored_at_ns = i64::try_from(sequence).unwrap() * 1_000_000_000;
        LogMessage { sequence, stored_at_ns, way: Way::Any, format: Some(Format::Bincode), payload }.into()
    }

    fn place(order: u64) -> Command<'static> {
        let lines = vec![PlaceLine { sku: "A".into(), quantity: 1, ..PlaceLine::default() }];
        Command::Place(Place { order_id: format!("O-{order}").into(), lines, ..Place::default() })
    }

    /// A log of ten messages, of which the fifth is a tick; a batch of each.
    fn batches() -> Vec<Arc<Applied>> {
        let mut folding = Folding::new(Start::empty(), Identity::START);
        let receive = Receive {
            receipt_id: "R".into(),
            lines: vec![Line { sku: "A".into(), quantity: 100 }],
            ..Receive::default()
        };
        let batch = |sequence: u64| {
            let commands = match sequence {
                1 => vec![Command::Receive(receive.clone())],
                5 => vec![Command::Tick(Tick {})],
                9 => vec![Command::Cancel(Cancel { order_id: "O-2".into(), ..Cancel::default() })],
                _ => vec![place(sequence), place(sequence + 100)],
            };
            let messages = Arc::new(vec![message(sequence, &commands)]);
            Arc::new(folding.slice(&messages, 0, i64::MAX, &Whole).applied.unwrap())
        };
        (1..=10).map(batch).collect()
    }

    fn at(sequence: u64, index: u32) -> Identity {
        Identity { sequence, index, place: 0 }
    }

    fn measured(observing: &mut Observing) -> Vec<u64> {
        std::iter::from_fn(|| observing.take_next()).map(|(_, message)| message.chain.sequence).collect()
    }

    #[test]
    fn a_message_counts_once_all_of_it_is_announced() {
        let mut observing = Observing::default();
        observing.restored(Chain::default(), Identity::START);
        let batches = batches();
        for batch in &batches {
            observing.applied(batch.clone());
        }
        assert!(measured(&mut observing).is_empty());
        observing.announced(at(3, 0));
        assert_eq!((measured(&mut observing), observing.lag()), (vec![1, 2], 1));
        observing.announced(at(4, 1));
        // The tick has nothing to announce.
        assert_eq!(measured(&mut observing), [3, 4, 5]);
        // Back to an older state: what was measured is not measured again, whoever announced it.
        observing.restored(batches[1].messages[0].chain, at(6, 1));
        batches[2..].iter().for_each(|batch| observing.applied(batch.clone()));
        assert_eq!(measured(&mut observing), [6]);
        observing.announced(at(10, 1));
        assert_eq!((measured(&mut observing), observing.is_idle()), (vec![7, 8, 9, 10], true));
        assert_eq!((observing.take_skipped(), observing.take_missed()), (0, None));
    }

    #[test]
    fn what_is_missing_is_counted_and_kept() {
        let batches = batches();
        // A saved state of message 2, and a fold that goes on from message 4.
        let mut observing = Observing::after(2, at(2, 1));
        observing.restored(batches[3].messages[0].chain, at(4, 1));
        assert_eq!(observing.take_skipped(), 2);
        observing.applied(batches[4].clone());
        observing.applied(batches[5].clone());
        // Two batches are lost, behind what is queued still.
        observing.applied(batches[8].clone());
        observing.announced(at(9, 0));
        assert_eq!((measured(&mut observing), observing.take_skipped()), (vec![5, 6, 9], 2));
        assert_eq!(observing.take_missed(), Some(Stretch { first: 3, last: 9 }));
        assert_eq!((observing.take_missed(), observing.done()), (None, (9, at(9, 0))));
        // A log that was written anew from message 5 on: what follows is measured again.
        observing.restored(batches[4].messages[0].chain, at(4, 1));
        batches[5..].iter().for_each(|batch| observing.applied(batch.clone()));
        observing.announced(at(10, 1));
        assert_eq!(measured(&mut observing), [6, 7, 8, 9, 10]);
    }

    #[test]
    fn records_have_their_outcomes() {
        for batch in batches() {
            let mut seen = Vec::new();
            let unread = records(&batch, &batch.messages[0], |index, record| {
                seen.push((index, record.command.is_some(), record.outcomes.len()));
            });
            let expected: &[(u32, bool, usize)] = match batch.messages[0].chain.sequence {
                1 | 9 => &[(0, true, 1)],
                5 => &[(0, true, 0)],
                _ => &[(0, true, 1), (1, true, 1)],
            };
            assert_eq!((seen.as_slice(), unread), (expected, 0));
        }
    }

    /// Counts what need not be made into records, or nothing.
    struct Measures {
        analytics: Analytics,
        findings: Findings,
        counted: Option<usize>,
        taken: usize,
    }

    impl Listener for Measures {
        fn counts(&mut self, plain: &Plain<'_>, at: Timestamp) -> bool {
            let Some(counted) = &mut self.counted else { return false };
            let counts = self.analytics.counts(plain, at, &mut self.findings);
            *counted += usize::from(counts);
            counts
        }

        fn takes(&mut self, _: u32, record: &Record<'_, '_>) {
            self.taken += 1;
            self.analytics.observe(record, &mut self.findings);
        }
    }

    /// Orders of all sorts, twenty minutes apart in messages of forty: most of them bare, some of which lack stock, repeat others or are
    /// cancelled.
    #[test]
    fn what_is_counted_changes_analytics_as_its_record_would() {
        let mut folding = Folding::new(Start::empty(), Identity::START);
        let settings = Settings { orders_max: 64, follow_at_once_max: 30, ..Settings::default() };
        let measures = |counted| Measures {
            analytics: Analytics::new(settings.clone()),
            findings: Findings::new(),
            counted,
            taken: 0,
        };
        let (mut shown, mut counting) = (measures(None), measures(Some(0)));
        let mut random = fastrand::Rng::with_seed(12);
        let mut stock_outs = [0; 2];
        for sequence in 1..=600_u64 {
            let receive = |site: Option<&'static str>| {
                let lines = ["A", "B", "C"].map(|sku| Line { sku: sku.into(), quantity: 60 }).into();
                let receipt_id = format!("R-{sequence}-{}", site.unwrap_or_default()).into();
                Command::Receive(Receive {
                    receipt_id,
                    site: site.map(Into::into),
                    lines,
                    ..Receive::default()
                })
            };
            // For a hundred messages nothing comes: stock runs out.
            let comes = sequence % 200 < 100;
            let mut commands =
                if comes { vec![receive(None), receive(Some("outlet"))] } else { vec![place(sequence)] };
            for number in 0..40 {
                let mut line = || PlaceLine {
                    sku: ["A", "A", "A", "B", "C"][random.usize(..5)].into(),
                    quantity: random.i64(1..3),
                    ..PlaceLine::default()
                };
                let lines = if number % 3 == 0 { vec![line(), line()] } else { vec![line()] };
                let own = sequence * 1_000 + number;
                let before = own - random.u64(1..40).min(number);
                let name = |number: u64| format!("O-{number}").into();
                commands.push(match random.u8(..20) {
                    0 | 1 => Command::Cancel(Cancel { order_id: name(before), ..Cancel::default() }),
                    kind => Command::Place(Place {
                        order_id: if kind == 2 { name(before) } else { name(own) },
                        lines,
                        site: (kind == 3).then(|| "outlet".into()),
                        carrier: (kind == 4).then(|| "dhl".into()),
                        submitted_at: (kind > 12).then(|| Timestamp::from_millis(1_000)),
                        ..Place::default()
                    }),
                });
            }
            let mut message = message(sequence, &commands);
            message.message.stored_at_ns = i64::try_from(sequence).unwrap() * 1_200_000_000_000;
            let batch = folding.slice(&Arc::new(vec![message]), 0, i64::MAX, &Whole).applied.unwrap();
            for measures in [&mut shown, &mut counting] {
                assert_eq!(tell(&batch, &batch.messages[0], measures), 0);
            }
            let out = usize::from(shown.analytics.signals().open(SignalKind::StockOut) > 0);
            stock_outs[out] += 1;
            if sequence == 300 {
                counting.analytics = Analytics::restore(&counting.analytics.save()).unwrap();
            }
        }
        assert!(stock_outs.into_iter().all(|count| count > 50), "{stock_outs:?}");
        let (cancelled, refused) = (
            shown.analytics.cancellation().all().orders,
            shown.analytics.stock().refused_and_not_followed().0,
        );
        assert!(cancelled > 500 && refused > 500, "{cancelled} {refused}");
        assert!(shown.analytics.passed_over() > 0 && shown.analytics.followed().1 < 1.0);
        assert!(counting.counted.is_some_and(|counted| counted > 2_000), "{:?}", counting.counted);
        assert_eq!(shown.taken, counting.taken + counting.counted.unwrap());
        assert_eq!(shown.findings, counting.findings);
        assert!(shown.analytics.save() == counting.analytics.save(), "states differ");
    }
}
