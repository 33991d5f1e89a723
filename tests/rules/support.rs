//! What the kinds of tests share: a shard to feed, and short ways to write commands.

use std::convert::Infallible;

use bytes::Bytes;
use weir::folds::inventory::{Inventory, Output, Restoring, SnapshotError};
use weir::words::codec::{self, Format};
use weir::words::command::{Command, Line, OnShortage, Place, Receive, Tick};
use weir::words::fault::Fault;
use weir::words::message::{LogMessage, Way};
use weir::words::outcome::Outcome;
use weir::words::policy::PolicyChange;
use weir::words::text::Text;

/// Where log time starts in tests, in milliseconds.
pub(crate) const START_MS: i64 = 1_000_000;

/// An inventory with its log's next sequence and time.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) inventory: Inventory,
    pub(crate) output: Output,
    pub(crate) sequence: u64,
    /// The broker's clock, in milliseconds since [`START_MS`].
    pub(crate) clock_ms: i64,
    /// By which subject messages come.
    pub(crate) way: Way,
}

impl Shard {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Applies one message; its outcomes stand in `output`.
    pub(crate) fn feed(&mut self, format: Option<Format>, payload: impl Into<Bytes>) -> Result<(), Fault> {
        self.output.clear();
        let message = LogMessage {
            sequence: self.sequence.wrapping_add(1),
            stored_at_ns: (START_MS + self.clock_ms) * 1_000_000,
            way: self.way,
            format,
            payload: payload.into(),
        };
        self.inventory.apply(&message, &mut self.output)?;
        self.sequence += 1;
        Ok(())
    }

    /// Applies commands as one message and gives their outcomes.
    pub(crate) fn send(&mut self, commands: &[Command<'_>]) -> Vec<Outcome<'_>> {
        self.feed(Some(Format::Bincode), codec::encode_commands(Format::Bincode, commands)).unwrap();
        self.outcomes()
    }

    /// Goes on with what a snapshot of the state gives.
    pub(crate) fn interrupt(&mut self) {
        let restored = restore(&snapshot(&self.inventory)).unwrap();
        self.inventory = restored;
    }

    pub(crate) fn tick(&mut self) -> Vec<Outcome<'_>> {
        self.send(&[Command::Tick(Tick {})])
    }

    /// The outcomes of the last message, after a check that their identities are what they should be.
    pub(crate) fn outcomes(&self) -> Vec<Outcome<'_>> {
        let mut next = (0, 0);
        self.output
            .outcomes()
            .map(|(entry, bytes)| {
                let outcome = codec::decode_outcome(bytes).unwrap();
                assert_eq!(outcome.identity(), entry.identity());
                assert_eq!(outcome.decision.kind(), entry.kind);
                assert_eq!(outcome.sequence, self.sequence);
                assert_eq!(outcome.at, self.inventory.now());
                assert!(outcome.index >= next.0, "indexes go back");
                let place = if outcome.index == next.0 { next.1 } else { 0 };
                assert_eq!(outcome.place, place, "places are not contiguous");
                next = (outcome.index, place + 1);
                outcome
            })
            .collect()
    }
}

/// All bytes of a snapshot.
pub(crate) fn snapshot(inventory: &Inventory) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(_) = inventory.write_snapshot::<Infallible>(|piece| {
        bytes.extend_from_slice(&piece);
        Ok(())
    });
    bytes
}

/// The same, of a state that is frozen first, as a leader's is.
pub(crate) fn frozen(inventory: &mut Inventory) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Ok(_) = inventory.freeze().write_snapshot::<Infallible>(|piece| {
        bytes.extend_from_slice(&piece);
        Ok(())
    });
    bytes
}

pub(crate) fn restore(bytes: &[u8]) -> Result<Inventory, SnapshotError> {
    let mut restoring = Restoring::new();
    restoring.feed(bytes)?;
    restoring.finish()
}

pub(crate) fn line(sku: &str, quantity: i64) -> Line<'_> {
    Line { sku: sku.into(), quantity }
}

pub(crate) fn receive<'a>(receipt_id: impl Into<Text<'a>>, sku: &'a str, quantity: i64) -> Command<'a> {
    let lines = vec![line(sku, quantity)];
    Command::Receive(Receive { receipt_id: receipt_id.into(), lines, ..Receive::default() })
}

pub(crate) fn place<'a>(
    order_id: impl Into<Text<'a>>,
    lines: Vec<Line<'a>>,
    on_shortage: OnShortage,
) -> Command<'a> {
    let lines = lines.into_iter().map(Into::into).collect();
    Command::Place(Place { order_id: order_id.into(), lines, on_shortage, ..Place::default() })
}

pub(crate) fn policy(change: PolicyChange<'_>) -> Command<'_> {
    Command::Policy(change)
}
