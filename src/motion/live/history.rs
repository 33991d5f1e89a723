//! What the state does not keep of an order: what the record that placed it promised, from the log; and its history, from the outcome
//! stream and the log, as far back as they go.
//!
//! The outcome stream has no index by order. Where an order's first outcome stands is searched by halves, from there on it is read part
//! by part, each bounded in time, bytes and events; what is no append that names the order is passed over unread.

use std::time::Duration;

use futures_util::StreamExt as _;
use memchr::memmem::Finder;
use serde_json::Value;

use crate::edges::streams::{ReadError, Reader as _, StreamState, Streams};
use crate::words::append::StoredAppend;
use crate::words::codec::{self, Format};
use crate::words::command::Command;
use crate::words::identity::Identity;
use crate::words::outcome::Subject;
use crate::words::policy::RULES_NEWEST;
use crate::words::query::{EventAnswer, HistoryAnswer, OrderAnswer, PlacedAnswer, QueryCode, QueryError};
use crate::words::timestamp::Timestamp;

/// How long the log is waited for, for what an order's record says.
const PLACED_WITHIN: Duration = Duration::from_secs(2);
/// How many amendments are looked at for the newest promise.
const AMENDMENTS_MAX: usize = 4;
/// How long one part of a history may be read for, before what it has is given.
const READ_FOR: Duration = Duration::from_secs(2);
/// How long a broker that does not answer is waited for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// How many bytes of outcomes one part reads, about.
const BYTES_MAX: usize = 64 << 20;
/// How many events one part has, about: an append is not cut.
const EVENTS_MAX: usize = 64;
/// The longest command that is shown, in bytes of JSON.
const COMMAND_BYTES_MAX: usize = 8 << 10;
/// How many messages of the log are asked for at once.
const ASKED_AT_ONCE: usize = 8;

fn unavailable(error: impl std::fmt::Display) -> QueryError {
    QueryError::new(QueryCode::Unavailable, format!("the streams cannot be read: {error}"))
}

/// What the record that placed an order says; none where the log has it no more, or does not answer.
pub(super) async fn placed<S: Streams>(streams: &S, order: &OrderAnswer, index: u32) -> Option<PlacedAnswer> {
    let read = async {
        let message = streams.log_message(order.first_sequence).await.ok()??;
        let mut commands = codec::commands(message.format, &message.payload, RULES_NEWEST);
        let Some(Ok(Command::Place(place))) = commands.nth(index as usize) else { return None };
        // A log that was begun anew has other records under old sequences.
        if *place.order_id != *order.order_id {
            return None;
        }
        let mut placed = PlacedAnswer {
            at: message.stored_at(),
            submitted_at: place.submitted_at,
            ship_by: place.ship_by,
            promised_by: place.promised_by,
            carrier: place.carrier.as_deref().map(ToOwned::to_owned),
            customer: place.customer.as_deref().map(ToOwned::to_owned),
        };
        let amendments = order.facts.iter().rev().filter(|fact| fact.fact == "amendment");
        for amendment in amendments.take(AMENDMENTS_MAX) {
            if let Some(promised_by) = promise_of(streams, amendment.sequence, &order.order_id).await {
                placed.promised_by = Some(promised_by);
                break;
            }
        }
        Some(placed)
    };
    tokio::time::timeout(PLACED_WITHIN, read).await.ok()?
}

/// The promise that an amendment of the order gives.
async fn promise_of<S: Streams>(streams: &S, sequence: u64, order_id: &str) -> Option<Timestamp> {
    let message = streams.log_message(sequence).await.ok()??;
    codec::commands(message.format, &message.payload, RULES_NEWEST)
        .filter_map(|command| match command {
            Ok(Command::Amend(amend)) if *amend.order_id == *order_id => amend.promised_by,
            _ => None,
        })
        .last()
}

/// A part of an order's history: from the order's first outcome on, or from where the part before ended.
pub(super) async fn history<S: Streams>(
    streams: &S,
    (order_id, first_sequence): (&str, u64),
    from: Option<u64>,
) -> Result<HistoryAnswer, QueryError> {
    let streams = streams.beside();
    let read = read(&streams, (order_id, first_sequence), from);
    let read = tokio::time::timeout(2 * ANSWERS_WITHIN, read).await;
    let mut history = read.map_err(|_| unavailable("no answer in time"))?.map_err(unavailable)?;
    add_commands(&streams, order_id, &mut history).await;
    Ok(history)
}

async fn read<S: Streams>(
    streams: &S,
    (order_id, first_sequence): (&str, u64),
    from: Option<u64>,
) -> Result<HistoryAnswer, ReadError> {
    let state = streams.outcomes_state().await?;
    let kept_since = streams.outcomes_since_ns().await?.map(|ns| Timestamp::from_millis(ns / 1_000_000));
    let mut history = HistoryAnswer { kept_since, from_the_start: true, ..HistoryAnswer::default() };
    if state.first_sequence > state.last_sequence {
        history.from_the_start = state.last_sequence == 0;
        return Ok(history);
    }
    let mut next = if let Some(from) = from {
        from.max(state.first_sequence)
    } else {
        let (found, from_the_start) = find(streams, state, first_sequence).await?;
        history.from_the_start = from_the_start;
        found
    };
    if next > state.last_sequence {
        return Ok(history);
    }
    let needles = [needle(Format::Json, order_id), needle(Format::Bincode, order_id)];
    let finders = needles.each_ref().map(Finder::new);
    let mut reader = streams.read_outcomes(next).await?;
    let (mut bytes, mut through) = (0, Identity::START);
    let began = tokio::time::Instant::now();
    while next <= state.last_sequence {
        if history.events.len() >= EVENTS_MAX || bytes >= BYTES_MAX || began.elapsed() >= READ_FOR {
            history.cursor = Some(next);
            return Ok(history);
        }
        let read = tokio::time::timeout(ANSWERS_WITHIN, reader.next()).await;
        let appends =
            read.map_err(|_| ReadError::Unavailable("the outcome stream fell silent".to_owned()))??;
        for stored in appends {
            if history.events.len() >= EVENTS_MAX {
                break;
            }
            next = stored.sequence + 1;
            let StoredAppend { append, .. } = &stored;
            bytes += append.payload.len();
            // What was written twice is told once.
            let repeats = append.header.from < through;
            through = through.max(append.header.through);
            let finder = &finders[usize::from(append.format == Format::Bincode)];
            if !repeats && finder.find(&append.payload).is_some() {
                add_events(&stored, order_id, &mut history.events);
            }
        }
    }
    Ok(history)
}

/// What an append that names the order holds among its bytes.
fn needle(format: Format, order_id: &str) -> Vec<u8> {
    match format {
        Format::Json => serde_json::to_vec(order_id).unwrap_or_default(),
        Format::Bincode => order_id.as_bytes().to_vec(),
    }
}

fn add_events(stored: &StoredAppend, order_id: &str, events: &mut Vec<EventAnswer>) {
    // What cannot be read is for the audit to name.
    let Ok(outcomes) = codec::outcomes(stored.append.format, &stored.append.payload) else { return };
    for outcome in outcomes.iter().filter(|outcome| outcome.decision.order_id() == Some(order_id)) {
        if let Ok(outcome) = serde_json::to_value(outcome) {
            events.push(EventAnswer { outcome, command: None });
        }
    }
}

/// Where the first append stands whose outcomes reach a sequence of the log, by halves, and whether none that is kept no more did.
async fn find<S: Streams>(streams: &S, state: StreamState, sequence: u64) -> Result<(u64, bool), ReadError> {
    let (mut low, mut high) = (state.first_sequence, state.last_sequence + 1);
    let mut from_the_start = low <= 1;
    while low < high {
        let middle = low + (high - low) / 2;
        let mut reader = streams.read_headlines(middle).await?;
        let read = tokio::time::timeout(ANSWERS_WITHIN, reader.next()).await;
        let headlines =
            read.map_err(|_| ReadError::Unavailable("the outcome stream fell silent".to_owned()))??;
        let Some(headline) = headlines.first() else { break };
        if headline.header.through.sequence < sequence {
            low = headline.sequence.max(middle) + 1;
            from_the_start = true;
        } else {
            from_the_start |= headline.header.from.sequence < sequence;
            high = middle;
        }
    }
    Ok((low, from_the_start))
}

/// Adds the commands that the events answer, where the log still has them.
async fn add_commands<S: Streams>(streams: &S, order_id: &str, history: &mut HistoryAnswer) {
    let wanted: Vec<_> = history.events.iter().map(|event| place_of(&event.outcome)).collect();
    let fetch = async |place: Option<(u64, usize)>| {
        let (sequence, index) = place?;
        let message = streams.log_message(sequence).await.ok()??;
        let command = codec::commands(message.format, &message.payload, RULES_NEWEST).nth(index)?.ok()?;
        let is_its = matches!(command.content().subject(), Some(Subject::OrderId(id)) if *id == *order_id);
        let json =
            serde_json::to_string(&command).ok().filter(|json| is_its && json.len() <= COMMAND_BYTES_MAX)?;
        serde_json::from_str(&json).ok()
    };
    let fetched = futures_util::stream::iter(wanted).map(fetch).buffered(ASKED_AT_ONCE).collect::<Vec<_>>();
    let Ok(commands) = tokio::time::timeout(PLACED_WITHIN, fetched).await else { return };
    for (event, command) in history.events.iter_mut().zip(commands) {
        event.command = command;
    }
}

fn place_of(outcome: &Value) -> Option<(u64, usize)> {
    Some((outcome["sequence"].as_u64()?, usize::try_from(outcome["index"].as_u64()?).ok()?))
}
