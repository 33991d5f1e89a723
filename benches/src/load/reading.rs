//! The shop's side: takes the outcomes' bytes from their stream, and reads of each whose order it decides.
//!
//! It is a plain NATS client, not Weir's own reader: a pull consumer without acknowledgements over a connection of its own.

use std::time::Duration;

use anyhow::{Context as _, Result};
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::{self, Message};
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::job::Answers;
use crate::orders::number_of;
use crate::rivals::naive;
use weir::words::codec::{Format, outcomes};
use weir::words::command::CommandKind;
use weir::words::identity::Identity;
use weir::words::outcome::{Decision, Outcome, Subject};

/// The most messages that are asked for at once.
const MESSAGES_MAX: usize = 256;
/// A reader that heard nothing for two of these is opened anew.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// The pause before a reader is opened anew, and how often that is tried without anything read in between.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const ATTEMPTS_MAX: u32 = 20;

/// Reads a stream of outcomes onwards, through what interrupts a reader.
pub(crate) struct Reading {
    client: Client,
    stream: String,
    consumer: Option<pull::Stream>,
    last: u64,
    attempts: u32,
}

impl Reading {
    pub(crate) fn new(client: Client, stream: String) -> Self {
        Self { client, stream, consumer: None, last: 0, attempts: 0 }
    }

    /// The next message. May be cancelled without losing any.
    pub(crate) async fn next(&mut self) -> Result<Message> {
        loop {
            match self.attempt().await {
                Ok((message, sequence)) if sequence > self.last => {
                    (self.last, self.attempts) = (sequence, 0);
                    return Ok(message);
                }
                Ok(_) => {}
                Err(_) if self.attempts < ATTEMPTS_MAX => {
                    self.consumer = None;
                    self.attempts += 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn attempt(&mut self) -> Result<(Message, u64)> {
        let consumer = match &mut self.consumer {
            Some(consumer) => consumer,
            none => none.insert(open(&self.client, &self.stream, self.last + 1).await?),
        };
        let message = consumer.next().await.context("the consumer has ended")??;
        let sequence = message.info().map_err(anyhow::Error::from_boxed)?.stream_sequence;
        Ok((message, sequence))
    }
}

async fn open(client: &Client, stream: &str, from: u64) -> Result<pull::Stream> {
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from },
        memory_storage: true,
        ..pull::Config::default()
    };
    let consumer = jetstream::new(client.clone()).create_consumer_on_stream(config, stream).await?;
    let messages = consumer.stream().max_messages_per_batch(MESSAGES_MAX).heartbeat(HEARTBEAT);
    Ok(messages.messages().await?)
}

/// What a message of outcomes says.
#[derive(Debug)]
pub(crate) enum Told {
    /// The numbers of the orders that it decides for the first time.
    Orders(Vec<u64>),
    /// All is announced up to here.
    Through(Identity),
}

/// An outcome in JSON, as far as a shop needs it.
#[derive(Deserialize)]
struct Answer<'a> {
    outcome: &'a str,
    #[serde(borrow, default)]
    order_id: Option<&'a str>,
    /// Of a refusal: what was refused.
    #[serde(borrow, default)]
    command: Option<&'a str>,
    #[serde(default)]
    released: bool,
}

impl Answer<'_> {
    fn number(&self) -> Option<u64> {
        let decides = match self.outcome {
            "confirmed" => !self.released,
            "waiting" => true,
            "refused" => self.command == Some("place"),
            _ => false,
        };
        decides.then(|| self.order_id.and_then(number_of)).flatten()
    }
}

/// Reads a message of outcomes.
pub(crate) fn read(answers: Answers, format: Format, message: &Message) -> Result<Told> {
    let payload = &message.payload;
    Ok(match answers {
        Answers::Positions => {
            let header = message.headers.as_ref().and_then(|headers| headers.get("Weir-Through"));
            Told::Through(header.context("an append without its position")?.as_str().parse()?)
        }
        Answers::Naive => Told::Orders(naive::read(format, payload)?),
        Answers::Weir => Told::Orders(weir(format, payload)?),
    })
}

fn weir(format: Format, payload: &[u8]) -> Result<Vec<u64>> {
    if format == Format::Json {
        let answers: Vec<Answer<'_>> = serde_json::from_slice(payload)?;
        return Ok(answers.iter().filter_map(Answer::number).collect());
    }
    Ok(outcomes(format, payload)?.iter().filter_map(number).collect())
}

fn number(outcome: &Outcome<'_>) -> Option<u64> {
    match &outcome.decision {
        Decision::Confirmed { order_id, released: false, .. } | Decision::Waiting { order_id, .. } => {
            number_of(order_id)
        }
        Decision::Refused { command: CommandKind::Place, subject: Some(Subject::OrderId(id)), .. } => {
            number_of(id)
        }
        _ => None,
    }
}
