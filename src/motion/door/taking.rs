//! Taking: a request is read, once, and its commands go to their lanes.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;

use super::lane::{Counted, Item, Shard};
use super::pending::{Answer, To, UNAVAILABLE_RETRY_MS};
use super::{Inner, Routing, WITHIN_MAX, WITHIN_MIN, reply_format};
use crate::edges::requests::Request;
use crate::motion::rules::gathering::Weight;
use crate::words::codec::{
    Format, PAYLOAD_BYTES_MAX, Undecodable, commands, encode_command, write_door_reply, write_replies,
};
use crate::words::codes::Family;
use crate::words::command::{Command, CommandKind};
use crate::words::outcome::Subject;
use crate::words::policy::RULES_NEWEST;
use crate::words::reply::{DoorReason, DoorReply, ReplyKind};
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
    Sent { shard: usize, element: Vec<u8>, weight: Weight },
    Answered(DoorReply<'static>),
}

impl Inner {
    /// Takes a request: answers it at once, or when its commands are decided. Never waits.
    pub(super) fn take(&self, request: Request, to: To) {
        let Request { family, said, payload, .. } = request;
        let format = reply_format(said.format);
        let many = is_many(format, &payload);
        if self.closing.load(Relaxed) {
            self.turned_away(&self.routing());
            return self.answer(to, (format, many), unavailable("the door is closing"));
        }
        if !said.readable {
            return self.answer(to, (format, many), refused(DoorReason::UnreadableHeaders, None));
        }
        let Some(family) = family else {
            let detail = Some("no family has this subject");
            return self.answer(to, (format, many), refused(DoorReason::WrongFamily, detail));
        };
        let routing = self.routing();
        // Before anything is read: a flood costs little.
        if let [only] = routing.shards.as_slice()
            && let Some(reply) = self.too_much(only)
        {
            return self.answer(to, (format, many), reply);
        }
        let mut cost = REQUEST_COST + 2 * payload.len();
        if !self.board.take_room(cost) {
            self.turned_away(&routing);
            let detail = "too many bytes of requests wait";
            return self.answer(to, (format, many), busy(BUSY_RETRY_MS.0 * 5, detail));
        }
        let elements = self.elements(&routing, family, said.format, said.shard.as_deref(), &payload, &to);
        let elements = match elements {
            Ok(elements) => elements,
            Err(reply) => {
                self.board.give_back(cost);
                return self.answer(to, (format, many), reply);
            }
        };
        if elements.len() > 1 {
            let more = COMMAND_COST * elements.len();
            if !self.board.take_room(more) {
                self.board.give_back(cost);
                self.turned_away(&routing);
                let detail = "too many bytes of requests wait";
                return self.answer(to, (format, many), busy(BUSY_RETRY_MS.0 * 5, detail));
            }
            cost += more;
        }
        drop(payload);
        let within = said.within.unwrap_or(self.options.within).clamp(WITHIN_MIN, WITHIN_MAX);
        let deadline = self.board.clock.monotonic() + within;
        let judged = elements.iter().map(|element| match element {
            Element::Sent { shard, .. } => Some(routing.shards[*shard].answering.clone()),
            Element::Answered(_) => None,
        });
        let gather = self.board.begin((format, many), judged.collect(), cost, deadline, to);
        let mut answered = Vec::new();
        let mut sent: Vec<(usize, Item)> = Vec::with_capacity(elements.len());
        for (position, element) in (0..).zip(elements) {
            match element {
                Element::Sent { shard, element, weight } => {
                    let (gather, counted) = (gather.clone(), Counted::new(&routing.shards[shard]));
                    sent.push((shard, Item { gather, position, family, element, weight, _counted: counted }));
                }
                Element::Answered(reply) => answered.push((position, reply)),
            }
        }
        // Before what is sent: its answers may finish the request.
        for (position, reply) in answered {
            gather.door(position, reply);
        }
        hand_over(&routing.shards, family, sent);
    }

    /// The elements of a payload, one for each of its commands; or what answers all of it.
    fn elements(
        &self,
        routing: &Routing,
        family: Family,
        format: Option<Format>,
        named: Option<&str>,
        payload: &Bytes,
        to: &To,
    ) -> Result<Vec<Element>, DoorReply<'static>> {
        let commands_max =
            COMMANDS_PER_REQUEST_MAX.min((to.payload_bytes_max() / REPLY_BYTES_PER_COMMAND).max(1));
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(refused(DoorReason::PayloadTooLarge, None));
        }
        let mut elements = Vec::new();
        for decoded in commands(format, payload, RULES_NEWEST) {
            if elements.len() == commands_max {
                return Err(refused(DoorReason::TooManyCommands, None));
            }
            elements.push(match decoded {
                Ok(command) => self.element(routing, family, named, &command),
                Err(Undecodable { code, reason, .. }) => {
                    Element::Answered(refused(code.into(), Some(reason.as_str())))
                }
            });
        }
        Ok(elements)
    }

    fn element(
        &self,
        routing: &Routing,
        family: Family,
        named: Option<&str>,
        command: &Command<'_>,
    ) -> Element {
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
        let shard = match routing.routes.route(command, named) {
            Ok(shard) => shard,
            Err(DoorReason::NoShard) => {
                let detail = "there are several shards: name one in the header Weir-Shard";
                return because(DoorReason::NoShard, Some(detail));
            }
            Err(reason) => return because(reason, None),
        };
        if routing.shards.len() > 1
            && let Some(reply) = self.too_much(&routing.shards[shard])
        {
            return Element::Answered(reply);
        }
        Element::Sent { shard, element: encode_command(command), weight: Weight::of(command) }
    }

    /// A request is turned away before it is known what it asks for: that counts once against the shard, where there is only one.
    fn turned_away(&self, routing: &Routing) {
        if let [only] = routing.shards.as_slice() {
            only.answering.answered(self.board.clock.wall_ns() / 1_000_000, 0, 1);
        }
    }

    /// What is answered where a shard has too much to do, or does nothing. It counts against the shard's objective.
    fn too_much(&self, shard: &Shard) -> Option<DoorReply<'static>> {
        let (lag, still) = shard.lags(self.board.clock.monotonic());
        let bad = || shard.answering.answered(self.board.clock.wall_ns() / 1_000_000, 0, 1);
        if still >= STANDSTILL {
            bad();
            return Some(unavailable("the shard decides nothing at the moment"));
        }
        let full = shard.undecided() >= self.options.pending_max;
        if full || lag >= LAG_MAX {
            bad();
            let lag = u32::try_from(lag.as_millis()).unwrap_or(u32::MAX);
            let detail = if full { "too many commands wait" } else { "the shard is late" };
            return Some(busy(lag.clamp(BUSY_RETRY_MS.0, BUSY_RETRY_MS.1), detail));
        }
        None
    }

    /// Answers a request as a whole, at once.
    fn answer(&self, to: To, (format, many): (Format, bool), reply: DoorReply<'static>) {
        let answer = whole(format, many, reply);
        let mut kinds = [0; ReplyKind::ALL.len()];
        kinds[answer.kind as usize] = 1;
        self.board.telemetry.answered(&kinds, Duration::ZERO);
        to.send(answer);
    }
}

/// Gives commands to their shards, in order.
fn hand_over(shards: &[Arc<Shard>], family: Family, mut sent: Vec<(usize, Item)>) {
    if let [(shard, _)] = sent.as_slice() {
        let shard = *shard;
        shards[shard].take(family, sent.into_iter().map(|(_, item)| item));
        return;
    }
    // Stable: each shard's commands stay in their order.
    sent.sort_by_key(|(shard, _)| *shard);
    let mut sent = sent.into_iter().peekable();
    while let Some((shard, _)) = sent.peek() {
        let shard = *shard;
        let run = std::iter::from_fn(|| sent.next_if(|(next, _)| *next == shard).map(|(_, item)| item));
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
