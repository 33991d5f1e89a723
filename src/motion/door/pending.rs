//! Pending: requests that wait for their answers, index by index, and their deadlines.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smallvec::{SmallVec, smallvec};
use tokio::sync::Notify;

use super::replying::{Answer, Round, To, Waited, Waiting, Whole};
use crate::edges::clock::SharedClock;
use crate::edges::telemetry::{Answering, DoorTelemetry};
use crate::folds::analytics::BOUND_US;
use crate::words::codec::{Format, write_door_reply, write_replies};
use crate::words::reply::{DoorReason, DoorReply, ReplyKind};

/// How soon a decision is in time.
const BOUND: Duration = Duration::from_micros(BOUND_US);

/// What stands around one reply of many, in bytes: a comma, or its length.
const AROUND: usize = 9;

/// A reply in few bytes: what is left of it where all of them together would be too long.
#[derive(Clone, Copy, Debug)]
enum Short {
    Stored(u64, u32),
    Refused(DoorReason),
    Unknown,
    Busy(u32),
    Unavailable(u32),
}

impl Short {
    const fn reply(self) -> DoorReply<'static> {
        match self {
            Self::Stored(sequence, index) => DoorReply::Accepted { sequence, index, detail: None },
            Self::Refused(reason) => {
                DoorReply::Refused { command: None, subject: None, reason, detail: None }
            }
            Self::Unknown => DoorReply::Unknown { detail: None },
            Self::Busy(retry_after_ms) => DoorReply::Busy { retry_after_ms, detail: None },
            Self::Unavailable(retry_after_ms) => DoorReply::Unavailable { retry_after_ms, detail: None },
        }
    }

    const fn of(reply: &DoorReply<'_>) -> Self {
        match *reply {
            DoorReply::Refused { reason, .. } => Self::Refused(reason),
            DoorReply::Accepted { sequence, index, .. } => Self::Stored(sequence, index),
            DoorReply::Unknown { .. } => Self::Unknown,
            DoorReply::Busy { retry_after_ms, .. } => Self::Busy(retry_after_ms),
            DoorReply::Unavailable { retry_after_ms, .. } => Self::Unavailable(retry_after_ms),
        }
    }
}

/// How far a command of a request is.
#[derive(Clone, Copy, Debug)]
enum Slot {
    /// Waits to be appended.
    Queued,
    /// Is being appended.
    Sent,
    /// Is in the log.
    Stored(u64, u32),
    /// Is answered: where in the bytes, and in short.
    Answered(u32, u32, Short),
}

/// By command: the shard that answers it, if one does.
pub(super) type Judged = SmallVec<[Option<Arc<Answering>>; 1]>;

struct Open {
    slots: SmallVec<[Slot; 1]>,
    /// Whose answers they are; none where the door answered by itself.
    judged: Judged,
    /// The replies so far, one behind the other, as they came.
    bytes: Vec<u8>,
    left: usize,
    kinds: [u32; ReplyKind::ALL.len()],
    /// The first kind that is no decision, and the longest wait that was asked for.
    kind: ReplyKind,
    retry_after_ms: Option<u32>,
    /// None once it is answered.
    to: Option<To>,
}

impl Open {
    /// Answers one command; false where it is answered already.
    fn answer(
        &mut self,
        position: usize,
        kind: ReplyKind,
        retry_after_ms: Option<u32>,
        short: Short,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let Self { slots, bytes, .. } = self;
        let Some(slot) = slots.get_mut(position) else { return false };
        if self.to.is_none() || matches!(slot, Slot::Answered(..)) {
            return false;
        }
        let begin = bytes.len();
        write(bytes);
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        *slot = Slot::Answered(place(begin), place(bytes.len()), short);
        self.left -= 1;
        self.kinds[kind as usize] += 1;
        if self.kind == ReplyKind::Decided {
            self.kind = kind;
        }
        self.retry_after_ms = self.retry_after_ms.max(retry_after_ms);
        true
    }
}

/// One request under way.
pub(super) struct Gather {
    number: u64,
    pub(super) format: Format,
    many: bool,
    pub(super) deadline: Duration,
    began: Duration,
    cost: usize,
    open: Mutex<Open>,
}

impl Gather {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command is about to be appended; false where nobody waits for it any more: then it must not be.
    pub(super) fn sends(&self, position: u32) -> bool {
        self.moves(position, Slot::Sent)
    }

    /// A command waits to be appended again; false where nobody waits for it any more.
    pub(super) fn queues(&self, position: u32) -> bool {
        self.moves(position, Slot::Queued)
    }

    /// A command is in the log.
    pub(super) fn stores(&self, position: u32, sequence: u64, index: u32) -> bool {
        self.moves(position, Slot::Stored(sequence, index))
    }

    fn moves(&self, position: u32, to: Slot) -> bool {
        let mut open = self.open();
        let waits = open.to.is_some();
        match open.slots.get_mut(position as usize) {
            Some(slot) if waits && !matches!(slot, Slot::Answered(..)) => {
                *slot = to;
                true
            }
            _ => false,
        }
    }

    /// A command is decided, or refused as the shard is `busy`: `write` writes its reply.
    pub(super) fn decided(
        &self,
        position: u32,
        (sequence, index): (u64, u32),
        busy: bool,
        round: &mut Round<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let short = Short::Stored(sequence, index);
        self.answer(position, (ReplyKind::Decided, busy), None, short, round, write);
    }

    /// A command is answered by the door itself.
    pub(super) fn door(&self, position: u32, reply: DoorReply<'_>, round: &mut Round<'_>) {
        let (kind, retry, short) = (reply.kind(), reply.retry_after_ms(), Short::of(&reply));
        self.answer(position, (kind, false), retry, short, round, |bytes| {
            write_door_reply(self.format, bytes, reply);
        });
    }

    fn answer(
        &self,
        position: u32,
        (kind, busy): (ReplyKind, bool),
        retry_after_ms: Option<u32>,
        short: Short,
        round: &mut Round<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        let mut open = self.open();
        if !open.answer(position as usize, kind, retry_after_ms, short, write) {
            return;
        }
        self.judge(&open, position as usize, (kind, busy), round);
        if open.left == 0 {
            self.finish(open, round);
        }
    }

    /// Whether a decision that comes now is in time.
    fn is_in_time(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) <= BOUND
    }

    /// Counts an answer for its shard's objective. What the door refuses for good is no matter of the shard.
    fn judge(&self, open: &Open, position: usize, (kind, busy): (ReplyKind, bool), round: &mut Round<'_>) {
        let answering = open.judged.get(position).and_then(Option::as_ref);
        let Some(answering) = answering.filter(|_| kind != ReplyKind::Refused) else { return };
        round.judge(answering, kind == ReplyKind::Decided && !busy && self.is_in_time(round.now()));
    }

    /// Answers what is open as it stands: the time is over.
    fn expire(&self, why: Expired, round: &mut Round<'_>) {
        // Under one lock: what is said not to be stored must not be sent meanwhile.
        let mut open = self.open();
        if open.to.is_none() {
            return;
        }
        // Whoever waits for less than the objective allows cannot tell whether it was kept.
        let is_judged = matches!(why, Expired::Closing) || !self.is_in_time(round.now());
        for position in 0..open.slots.len() {
            let detail = Some(why.text().into());
            let reply = match open.slots[position] {
                Slot::Queued => DoorReply::Unavailable { retry_after_ms: UNAVAILABLE_RETRY_MS, detail },
                Slot::Sent => DoorReply::Unknown { detail },
                Slot::Stored(sequence, index) => DoorReply::Accepted { sequence, index, detail },
                Slot::Answered(..) => continue,
            };
            let (kind, retry, short) = (reply.kind(), reply.retry_after_ms(), Short::of(&reply));
            open.answer(position, kind, retry, short, |bytes| write_door_reply(self.format, bytes, reply));
            if is_judged {
                self.judge(&open, position, (kind, false), round);
            }
        }
        if open.left == 0 {
            self.finish(open, round);
        }
    }

    /// Its reply is whole.
    fn finish(&self, mut open: MutexGuard<'_, Open>, round: &mut Round<'_>) {
        let Some(to) = open.to.take() else { return };
        let (slots, bytes) = (std::mem::take(&mut open.slots), std::mem::take(&mut open.bytes));
        let (kind, kinds, retry_after_ms) = (open.kind, open.kinds, open.retry_after_ms);
        drop(open);
        let payload = self.payload(&slots, bytes, to.payload_bytes_max());
        let answer = Answer { format: self.format, payload: payload.into(), kind, retry_after_ms };
        let took = round.now().saturating_sub(self.began);
        let waited = Some(((self.deadline, self.number), self.cost));
        round.push(Whole { to, answer, kinds, took, waited });
    }

    fn payload(&self, slots: &[Slot], bytes: Vec<u8>, bytes_max: usize) -> Vec<u8> {
        let element = |slot: &Slot| match slot {
            Slot::Answered(begin, end, _) => &bytes[*begin as usize..*end as usize],
            _ => &[],
        };
        if bytes.len() + AROUND * (slots.len() + 2) <= bytes_max {
            if let ([one], Format::Json, false) = (slots, self.format, self.many)
                && element(one).len() == bytes.len()
            {
                return bytes;
            }
            return write_replies(self.format, self.many, slots.iter().map(element));
        }
        let shorts: Vec<Vec<u8>> = slots
            .iter()
            .map(|slot| {
                let mut short = Vec::new();
                if let Slot::Answered(_, _, in_short) = slot {
                    write_door_reply(self.format, &mut short, in_short.reply());
                }
                short
            })
            .collect();
        let mut room =
            bytes_max.saturating_sub(shorts.iter().map(|short| short.len() + AROUND).sum::<usize>());
        let chosen: Vec<&[u8]> = slots
            .iter()
            .zip(&shorts)
            .map(|(slot, short)| {
                let whole = element(slot);
                let more = whole.len().saturating_sub(short.len());
                if more <= room {
                    room -= more;
                    whole
                } else {
                    short
                }
            })
            .collect();
        write_replies(self.format, self.many, chosen.into_iter())
    }
}

/// When to try again what was not stored, in milliseconds.
pub(super) const UNAVAILABLE_RETRY_MS: u32 = 500;

/// Why an answer is given before there is a decision.
#[derive(Clone, Copy)]
pub(super) enum Expired {
    Deadline,
    Closing,
}

impl Expired {
    const fn text(self) -> &'static str {
        match self {
            Self::Deadline => "not decided in time",
            Self::Closing => "the door is closing",
        }
    }
}

/// All requests of a door.
pub(super) struct Board {
    pub(super) clock: SharedClock,
    pub(super) telemetry: Arc<DoorTelemetry>,
    numbers: AtomicU64,
    /// By deadline and number.
    waiting: Mutex<BTreeMap<(Duration, u64), Arc<Gather>>>,
    /// What the requests that are held cost, in bytes.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Told when the first deadline is earlier than it was.
    pub(super) earlier: Notify,
    /// Told when nothing waits any more.
    pub(super) empty: Notify,
}

impl Board {
    pub(super) fn new(clock: SharedClock, telemetry: Arc<DoorTelemetry>, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            clock,
            telemetry,
            numbers: AtomicU64::new(0),
            waiting: Mutex::default(),
            bytes: AtomicUsize::new(0),
            bytes_max,
            earlier: Notify::new(),
            empty: Notify::new(),
        })
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<(Duration, u64), Arc<Gather>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a request; false where there is none.
    pub(super) fn take_room(&self, bytes: usize) -> bool {
        let taken = self.bytes.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if taken > self.bytes_max {
            self.bytes.fetch_sub(bytes, Relaxed);
            return false;
        }
        true
    }

    /// Gives back what was taken for a request that came to nothing.
    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// How many requests wait.
    pub(super) fn requests(&self) -> usize {
        self.waiting().len()
    }

    /// Answers are given now.
    pub(super) fn round(&self) -> Round<'_> {
        Round::begin(&*self.clock, &self.telemetry, self)
    }

    /// Makes a request of as many commands as are judged, for which `cost` bytes are taken. It must [wait](Self::wait) before anything can
    /// answer it.
    pub(super) fn request(
        &self,
        (format, many): (Format, bool),
        judged: Judged,
        cost: usize,
        (began, deadline): (Duration, Duration),
        to: To,
    ) -> Arc<Gather> {
        let commands = judged.len();
        let open = Open {
            slots: smallvec![Slot::Queued; commands],
            judged,
            bytes: Vec::new(),
            left: commands,
            kinds: [0; ReplyKind::ALL.len()],
            kind: ReplyKind::Decided,
            retry_after_ms: None,
            to: Some(to),
        };
        let number = self.numbers.fetch_add(1, Relaxed);
        Arc::new(Gather { number, format, many, deadline, began, cost, open: Mutex::new(open) })
    }

    /// Requests wait from now on: until they are answered, or their time is over.
    pub(super) fn wait(&self, gathers: impl IntoIterator<Item = Arc<Gather>>) {
        let mut waiting = self.waiting();
        let first = waiting.first_key_value().map(|((first, _), _)| *first);
        waiting.extend(gathers.into_iter().map(|gather| ((gather.deadline, gather.number), gather)));
        let now_first = waiting.first_key_value().map(|((first, _), _)| *first);
        drop(waiting);
        if now_first != first {
            self.earlier.notify_one();
        }
    }

    /// The first deadline.
    pub(super) fn first(&self) -> Option<Duration> {
        self.waiting().first_key_value().map(|((first, _), _)| *first)
    }

    /// Answers the requests whose time is over by `now`, or all of them.
    pub(super) fn expire(&self, until: Option<Duration>, why: Expired) {
        let due: Vec<_> = {
            let waiting = self.waiting();
            let all = waiting.iter();
            all.take_while(|((deadline, _), _)| until.is_none_or(|until| *deadline <= until))
                .map(|(_, gather)| gather.clone())
                .collect()
        };
        let mut round = self.round();
        for gather in due {
            gather.expire(why, &mut round);
        }
    }
}

impl Waiting for Board {
    fn no_longer_wait(&self, waited: &[Waited]) {
        if waited.is_empty() {
            return;
        }
        self.give_back(waited.iter().map(|(_, cost)| cost).sum());
        let mut waiting = self.waiting();
        for (key, _) in waited {
            waiting.remove(key);
        }
        let empty = waiting.is_empty();
        drop(waiting);
        if empty {
            self.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edges::clock::Clock;
    use crate::edges::telemetry::Telemetry;

    /// A clock that is set by hand, in milliseconds.
    struct Hand(AtomicU64);

    impl Clock for Hand {
        fn wall_ns(&self) -> i64 {
            0
        }

        fn monotonic(&self) -> Duration {
            Duration::from_millis(self.0.load(Relaxed))
        }
    }

    #[test]
    fn each_answer_counts_once_for_the_objective_of_its_shard() {
        let clock = Arc::new(Hand(AtomicU64::new(0)));
        let telemetry = Telemetry::new().door();
        let answering = telemetry.answering("main");
        let board = Board::new(clock.clone(), telemetry, 1 << 20);
        // A request of one command, and one that it refuses itself; gives what is counted of it.
        let counted = |after_ms: u64, what: &dyn Fn(&Gather, &mut Round<'_>)| {
            if let Some(unsaved) = answering.unsaved() {
                answering.saved(unsaved.objective, Some(unsaved.number));
            }
            clock.0.store(0, Relaxed);
            let judged: Judged = smallvec![Some(answering.clone()), None];
            let times = (Duration::ZERO, Duration::from_secs(9));
            let gather = board.request((Format::Json, true), judged, 0, times, To::Nobody);
            board.wait([gather.clone()]);
            let refused = DoorReply::Refused {
                command: None,
                subject: None,
                reason: DoorReason::NotACommand,
                detail: None,
            };
            gather.door(1, refused, &mut board.round());
            clock.0.store(after_ms, Relaxed);
            what(&gather, &mut board.round());
            // Whatever comes later is no answer any more.
            gather.decided(0, (1, 0), false, &mut board.round(), |_| ());
            assert_eq!(board.requests(), 0);
            let hours = answering.unsaved();
            hours.map(|unsaved| {
                unsaved.objective.hours().map(|(_, good, all)| (good, all)).collect::<Vec<_>>()
            })
        };
        let good = Some(vec![(1, 1)]);
        let bad = Some(vec![(0, 1)]);
        assert_eq!(counted(250, &|gather, round| gather.decided(0, (1, 0), false, round, |_| ())), good);
        assert_eq!(counted(251, &|gather, round| gather.decided(0, (1, 0), false, round, |_| ())), bad);
        assert_eq!(counted(1, &|gather, round| gather.decided(0, (1, 0), true, round, |_| ())), bad);
        let busy = DoorReply::Busy { retry_after_ms: 20, detail: None };
        assert_eq!(counted(1, &|gather, round| gather.door(0, busy.clone(), round)), bad);
        assert_eq!(counted(251, &|gather, round| gather.expire(Expired::Deadline, round)), bad);
        assert_eq!(counted(1, &|gather, round| gather.expire(Expired::Closing, round)), bad);
        // Whoever waits for less than the bound cannot tell whether it was kept.
        assert_eq!(counted(100, &|gather, round| gather.expire(Expired::Deadline, round)), None);
    }
}
