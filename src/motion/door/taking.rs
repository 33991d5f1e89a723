//! Taking: a request is read, once, and its commands go to their lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use super::lane::{Counted, Item, Shard};
use super::pending::{Gather, UNAVAILABLE_RETRY_MS};
use super::replying::{Answer, Round, To};
use super::{Inner, Routing, WITHIN_MAX, WITHIN_MIN, reply_format};
use crate::edges::requests::{Request, Said};
use crate::motion::rules::gathering::Weight;
use crate::words::codec::{
    Format, PAYLOAD_BYTES_MAX, Undecodable, commands, encode_command, write_door_reply, write_replies,
};
use crate::words::codes::Family;
use crate::words::command::{Command, CommandKind};
use crate::words::outcome::Subject;
use crate::words::policy::RULES_NEWEST;
use crate::words::reply::{DoorReason, DoorReply};
use crate::words::text::is_id;

/// The most commands in one request.
pub(super) const COMMANDS_PER_REQUEST_MAX: usize = 10_000;
/// Each command of a request may take so many bytes of its reply at least, so that all of them have one.
const REPLY_BYTES_PER_COMMAND: usize = 100;
/// What a request costs beside its payload, in bytes.
const REQUEST_COST: usize = 512;
/// What each of its commands costs, in bytes.
const COMMAND_COST: usize = 512;
/// A shard that has decided nothing for so long, though it was given something, is not given more.
const STANDSTILL: Duration = Duration::from_secs(3);
/// A shard that is so late with its decisions is not given more.
const LAG_MAX: Duration = Duration::from_secs(2);
/// When to try again at the earliest and at the latest where there is too much to do, in milliseconds.
const BUSY_RETRY_MS: (u32, u32) = (20, 1_000);

/// What an element of a request is for.
enum Element {
    Sent { shard: usize, family: Family, element: Vec<u8>, weight: Weight },
    Answered(DoorReply<'static>),
}

/// Requests that are taken at one moment. What they are answered at once leaves, and what they ask for is handed on, when this ends.
pub(super) struct Taking<'d> {
    inner: &'d Inner,
    routing: Arc<Routing>,
    round: Round<'d>,
    /// Those whose answers are waited for.
    waiting: Vec<Arc<Gather>>,
    /// What the door itself answers of them, by position.
    answered: Vec<(Arc<Gather>, u32, DoorReply<'static>)>,
    /// What goes to the shards, by their places.
    sent: Vec<(usize, Item)>,
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        // In this order: a request waits before anything answers it, and what it is refused is said before it may be decided.
        self.inner.board.wait(self.waiting.drain(..));
        for (gather, position, reply) in self.answered.drain(..) {
            gather.door(position, reply, &mut self.round);
        }
        hand_over(&self.routing.shards, std::mem::take(&mut self.sent));
    }
}

impl Inner {
    /// Requests are taken now.
    pub(super) fn taking(&self) -> Taking<'_> {
        let (routing, round) = (self.routing(), self.board.round());
        Taking { inner: self, routing, round, waiting: Vec::new(), answered: Vec::new(), sent: Vec::new() }
    }
}

impl Taking<'_> {
    /// Takes a request: answers it at once, or when its commands are decided. Never waits.
    pub(super) fn take(&mut self, request: Request, to: To) {
        let Request { family, said, payload, .. } = request;
        let format = reply_format(said.format);
        let many = is_many(format, &payload);
        let elements = self.elements_of(family, &said, &payload, &to);
        let (elements, cost) = match elements {
            Ok(elements) => elements,
            Err(reply) => return self.round.answer(to, whole(format, many, reply)),
        };
        drop(payload);
        let within = said.within.unwrap_or(self.inner.options.within).clamp(WITHIN_MIN, WITHIN_MAX);
        let began = self.round.now();
        let shards = &self.routing.shards;
        let judged = elements.iter().map(|element| match element {
            Element::Sent { shard, .. } => Some(shards[*shard].answering.clone()),
            Element::Answered(_) => None,
        });
        let times = (began, began + within);
        let gather = self.inner.board.request((format, many), judged.collect(), cost, times, to);
        for (position, element) in (0..).zip(elements) {
            let gather = gather.clone();
            match element {
                Element::Sent { shard, family, element, weight } => {
                    let counted = Counted::new(&shards[shard]);
                    let item = Item { gather, position, family, element, weight, _counted: counted };
                    self.sent.push((shard, item));
                }
                Element::Answered(reply) => self.answered.push((gather, position, reply)),
            }
        }
        self.waiting.push(gather);
    }

    /// The elements of a request, one for each of its commands, and what they cost; or what answers all of it.
    fn elements_of(
        &mut self,
        family: Option<Family>,
        said: &Said,
        payload: &Bytes,
        to: &To,
    ) -> Result<(SmallVec<[Element; 1]>, usize), DoorReply<'static>> {
        let board = &self.inner.board;
        if self.inner.closing.load(Relaxed) {
            self.turned_away();
            return Err(unavailable("the door is closing"));
        }
        if !said.readable {
            return Err(refused(DoorReason::UnreadableHeaders, None));
        }
        let family =
            family.ok_or_else(|| refused(DoorReason::WrongFamily, Some("no family has this subject")))?;
        // Before anything is read: a flood costs little.
        if let [only] = self.routing.shards.as_slice() {
            let only = only.clone();
            self.too_much(&only)?;
        }
        let mut cost = REQUEST_COST + 2 * payload.len();
        let full = || busy(BUSY_RETRY_MS.0 * 5, "too many bytes of requests wait");
        if !board.take_room(cost) {
            self.turned_away();
            return Err(full());
        }
        let elements = self.elements(family, said, payload, to).inspect_err(|_| board.give_back(cost))?;
        if elements.len() > 1 {
            let more = COMMAND_COST * elements.len();
            if !board.take_room(more) {
                board.give_back(cost);
                self.turned_away();
                return Err(full());
            }
            cost += more;
        }
        Ok((elements, cost))
    }

    /// The elements of a payload, one for each of its commands; or what answers all of it.
    fn elements(
        &mut self,
        family: Family,
        said: &Said,
        payload: &Bytes,
        to: &To,
    ) -> Result<SmallVec<[Element; 1]>, DoorReply<'static>> {
        let commands_max =
            COMMANDS_PER_REQUEST_MAX.min((to.payload_bytes_max() / REPLY_BYTES_PER_COMMAND).max(1));
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(refused(DoorReason::PayloadTooLarge, None));
        }
        let mut elements = SmallVec::new();
        for decoded in commands(said.format, payload, RULES_NEWEST) {
            if elements.len() == commands_max {
                return Err(refused(DoorReason::TooManyCommands, None));
            }
            elements.push(match decoded {
                Ok(command) => self.element(family, said.shard.as_deref(), &command),
                Err(Undecodable { code, reason, .. }) => {
                    Element::Answered(refused(code.into(), Some(reason.as_str())))
                }
            });
        }
        Ok(elements)
    }

    fn element(&mut self, family: Family, named: Option<&str>, command: &Command<'_>) -> Element {
        let kind = command.kind();
        let because = |reason, detail: Option<&str>| {
            let subject = command.content().subject().filter(|subject| is_id(subject.id()));
            Element::Answered(DoorReply::Refused {
                command: Some(kind),
                subject: subject.map(owned),
                reason,
                detail: detail.map(|detail| detail.to_owned().into()),
            })
        };
        if kind.family() != Some(family) {
            return because(DoorReason::WrongFamily, None);
        }
        if let (CommandKind::Policy, Command::Policy(policy)) = (kind, command)
            && policy.rules.is_some_and(|rules| rules > RULES_NEWEST)
        {
            return because(DoorReason::UnknownRules, None);
        }
        let shard = match self.routing.routes.route(command, named) {
            Ok(shard) => shard,
            Err(DoorReason::NoShard) => {
                let detail = "there are several shards: name one in the header Weir-Shard";
                return because(DoorReason::NoShard, Some(detail));
            }
            Err(reason) => return because(reason, None),
        };
        if self.routing.shards.len() > 1 {
            let of_several = self.routing.shards[shard].clone();
            if let Err(reply) = self.too_much(&of_several) {
                return Element::Answered(reply);
            }
        }
        Element::Sent { shard, family, element: encode_command(command), weight: Weight::of(command) }
    }

    /// A request is turned away before it is known what it asks for: that counts once against the shard, where there is only one.
    fn turned_away(&mut self) {
        if let [only] = self.routing.shards.as_slice() {
            self.round.judge(&only.answering, false);
        }
    }

    /// What is answered where a shard has too much to do, or does nothing. It counts against the shard's objective.
    fn too_much(&mut self, shard: &Shard) -> Result<(), DoorReply<'static>> {
        let (lag, still) = shard.lags(self.round.now());
        let full = shard.undecided() >= self.inner.options.pending_max;
        if still < STANDSTILL && !full && lag < LAG_MAX {
            return Ok(());
        }
        self.round.judge(&shard.answering, false);
        if still >= STANDSTILL {
            return Err(unavailable("the shard decides nothing at the moment"));
        }
        let lag = u32::try_from(lag.as_millis()).unwrap_or(u32::MAX);
        let detail = if full { "too many commands wait" } else { "the shard is late" };
        Err(busy(lag.clamp(BUSY_RETRY_MS.0, BUSY_RETRY_MS.1), detail))
    }
}

/// Gives commands to their shards, in order.
fn hand_over(shards: &[Arc<Shard>], mut sent: Vec<(usize, Item)>) {
    // Stable: each lane's commands stay in their order.
    sent.sort_by_key(|(shard, item)| (*shard, item.family as usize));
    let mut sent = sent.into_iter().peekable();
    while let Some((shard, first)) = sent.peek() {
        let (shard, family) = (*shard, first.family);
        let of_lane = |(at, item): &(usize, Item)| *at == shard && item.family == family;
        let run = std::iter::from_fn(|| sent.next_if(of_lane).map(|(_, item)| item));
        shards[shard].take(family, run);
    }
}

/// Whether a request asks for several replies: a frame, or an array.
fn is_many(format: Format, payload: &[u8]) -> bool {
    match format {
        Format::Bincode => true,
        Format::Json => {
            payload.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) == Some(&b'[')
        }
    }
}

fn whole(format: Format, many: bool, reply: DoorReply<'static>) -> Answer {
    let (kind, retry_after_ms) = (reply.kind(), reply.retry_after_ms());
    let mut element = Vec::new();
    write_door_reply(format, &mut element, reply);
    let payload = write_replies(format, many, std::iter::once(element.as_slice()));
    Answer { format, payload: payload.into(), kind, retry_after_ms }
}

/// The answer to a request whose own was lost in a panic.
pub(super) fn lost(format: Format) -> Answer {
    whole(format, false, DoorReply::Unknown { detail: Some("the door has failed".into()) })
}

fn refused(reason: DoorReason, detail: Option<&str>) -> DoorReply<'static> {
    let detail = detail.map(|detail| detail.to_owned().into());
    DoorReply::Refused { command: None, subject: None, reason, detail }
}

fn busy(retry_after_ms: u32, detail: &'static str) -> DoorReply<'static> {
    DoorReply::Busy { retry_after_ms, detail: Some(detail.into()) }
}

fn unavailable(detail: &'static str) -> DoorReply<'static> {
    DoorReply::Unavailable { retry_after_ms: UNAVAILABLE_RETRY_MS, detail: Some(detail.into()) }
}

fn owned(subject: Subject<'_>) -> Subject<'static> {
    match subject {
        Subject::OrderId(id) => Subject::OrderId(id.into_owned().into()),
        Subject::ReceiptId(id) => Subject::ReceiptId(id.into_owned().into()),
        Subject::CountId(id) => Subject::CountId(id.into_owned().into()),
        Subject::AdjustmentId(id) => Subject::AdjustmentId(id.into_owned().into()),
        Subject::TransferId(id) => Subject::TransferId(id.into_owned().into()),
    }
}
