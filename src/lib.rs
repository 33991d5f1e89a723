//! Weir: the engine that confirms orders.
//!
//! Checkouts publish orders to NATS. Weir decides each one against stock held in memory (confirmed, waiting, or refused and
//! why), announces the outcome, and shows the flow in metrics. To run it, read the README; to speak to it,
//! `docs/contract.md`; to work on it, `docs/working.md`. This page is the bird's-eye view.
//!
//! # The idea: the log decides
//!
//! Every change is a command stored in a JetStream stream, the **log**, one log per **shard**. A shard's state is a
//! **fold** of its log: [`folds::inventory::Inventory::apply`] is pure, synchronous, total and deterministic, and its time is
//! the log's. So there is one place to write, and it is written first: no stock is taken without a stored order, no
//! stored order goes undecided, and whoever folds the log again gets the same outcomes.
//!
//! ```text
//!            weir.log.<shard>                                   weir.outcomes.<shard>
//!  checkouts ───────────────► log ──► reader ──► fold ──► publisher ───────────────────► shops
//!            (stored first)            (task)   (thread)    (task, behind a fence)
//! ```
//!
//! Workers share the shards by [leases](motion::leases): each has a leader, which publishes, and standbys, which fold the same log,
//! compare, and take over from memory. A lease is a hint; only the fence of the outcome stream is safety. Standbys take
//! [snapshots](motion::snapshots) (a lone leader takes its own), written from the fold's own tables while it goes on, and the log is trimmed
//! behind them.
//!
//! # Invariants
//!
//! - **Nothing else changes state**: not the configuration, not a clock, not an operator. What the fold is told comes as
//!   `policy` commands, through the log. When something is due without traffic, the leader appends a tick.
//! - **Sequences are contiguous**, or the shard stands still with a named [`words::fault::Fault`]. It never skips and never
//!   guesses.
//! - **One outcome per identity** (sequence, index, place), in ascending order: each append to the outcome stream says
//!   `from` where it goes on and `through` where it ends, and is accepted only behind the one that its writer saw. Two
//!   workers on one shard are harmless ([`motion::publishing`]).
//! - **A snapshot never swallows an outcome**: it is used only where all that it holds was announced, by the outcome stream's own
//!   word, and the log is trimmed only behind the second-newest that was read back ([`motion::scribe`]).
//! - **Two folds of one log agree**, to the byte: the *chain*, a hash over all that was applied and decided, is in the
//!   header of every append, and a fold that disagrees with what was announced halts.
//! - **Stock is conserved**: for every SKU at a site, received + adjusted (counts, adjustments) + restocked + moved in = on hand +
//!   shipped + moved out, and reserved is the sum over the open lines ([`folds::inventory::Inventory::check_books`]).
//! - **Nothing that can be sent panics**: bad business is a refusal with a stable code, bytes that are no command are a dead
//!   letter, and both advance the log.
//! - **Memory is bounded** by windows and caps that policy states.
//!
//! # Floors
//!
//! A file imports its own floor and lower ones; a test holds that.
//!
//! | floor | module | what is there |
//! |---|---|---|
//! | 0 | [`words`] | commands, outcomes, policy, faults, configuration, codecs: plain data |
//! | 1 | [`folds`] | the inventory, which decides, and [analytics](folds::analytics), which measure: no async, no clock, no IO |
//! | 2 | [`edges`] | clock, telemetry; streams, tables and objects in JetStream and in memory, each under one contract |
//! | 3 | [`motion`] | how a shard moves: recovering, folding, publishing, ticking, snapshots, leases |
//! | 4 | [`process`] | the engine, which wires, shares and drains shards; the admin server; the [verdict](process::verdict) and the [console](process::console), which show it to people |
//! | 5 | [`commands`] | the command line |
//!
//! Beside them stands the [`client`] of other services, on the words and the edges alone.

pub mod client;
pub mod commands;
pub mod edges;
pub mod folds;
pub mod motion;
pub mod process;
pub mod words;
