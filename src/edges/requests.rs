//! Requests from anybody: what a door is asked, and the way back to who asked.
//!
//! One trait with two sides, [`super::memory`] and [`super::jetstream`], under one contract suite
//! (`tests/live/contract_requests.rs`). What the contract says:
//!
//! - Each request is given to one of those who take requests under the same prefix, at most once. One that is lost on its way is lost:
//!   whoever asked sends it again.
//! - Nothing that a request holds, header or payload, keeps the next one from being given.
//! - A reply is sent at once, or not at all; it never waits for whoever asked.
//! - After [`Replies::stop`] no further request is taken; what was taken already is still given, and then nothing more.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;

use crate::words::codec::Format;
use crate::words::codes::Family;

/// The longest header block of a request that is read, in bytes.
pub const REQUEST_HEADER_BYTES_MAX: usize = 16 << 10;

/// The header that names the shard which a request's commands are for, where they name no site.
pub const SHARD_HEADER: &str = "Weir-Shard";

/// The header that says how long the requester waits for the outcome, in milliseconds.
pub const WITHIN_HEADER: &str = "Weir-Within-Ms";

/// What a request says beside its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// How the payload is written; none where its `Content-Type` is not known.
    pub format: Option<Format>,
    /// For which shard its commands are that name no site.
    pub shard: Option<Box<str>>,
    /// How long whoever asks waits; none where that is not said, or cannot be read.
    pub within: Option<Duration>,
    /// Whether the headers could be read at all.
    pub readable: bool,
}

impl Default for Said {
    /// What a request without headers says.
    fn default() -> Self {
        Self { format: Some(Format::Json), shard: None, within: None, readable: true }
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The family by whose subject it came; none where that is no family's.
    pub family: Option<Family>,
    /// What its headers say.
    pub said: Said,
    /// Where the reply goes; none where nobody waits for one.
    pub reply_to: Option<Bytes>,
    /// The commands.
    pub payload: Bytes,
}

/// A reply on its way to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes: what the request said.
    pub to: Bytes,
    /// How it is written.
    pub format: Format,
    /// What it says.
    pub payload: Bytes,
}

/// Where requests come from.
pub trait Requests: Send + 'static {
    /// The way back.
    type Replies: Replies;

    /// The way back.
    fn replies(&self) -> Self::Replies;

    /// The requests that have come: waits for the first, then gives what is there. None once it was stopped and nothing is left. What
    /// breaks on the way is mended, for as long as that takes.
    fn next(&mut self) -> impl Future<Output = Option<Vec<Request>>> + Send;
}

/// The way back to those who asked. Clones share it.
pub trait Replies: Clone + Send + Sync + 'static {
    /// Sends replies. Never waits; what cannot be sent is dropped.
    fn reply(&self, replies: &[Outgoing]);

    /// The longest reply that is taken, in bytes, its header included.
    fn payload_bytes_max(&self) -> usize;

    /// Whether requests can come now.
    fn is_open(&self) -> bool;

    /// Takes no more requests from here on.
    fn stop(&self);

    /// Waits until all replies have left, for at most `within`.
    fn flushed(&self, within: Duration) -> impl Future<Output = ()> + Send;
}
