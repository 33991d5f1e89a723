//! Plays a history through the real fold and the real analytics, each command in its own time.
//!
//! The policy keeps every order to the end, and every site has stock enough: what is judged here is what analytics say, not what is
//! in stock.

use std::collections::BTreeMap;

use super::history::{History, SKU};
use crate::folds::analytics::{Analytics, Finding, Moment, Record, Score, Settings};
use crate::folds::inventory::{Inventory, Output};
use crate::words::codec::{Format, commands, decode_outcome, encode_commands};
use crate::words::command::{Command, Line, Receive, Tick};
use crate::words::message::{LogMessage, Way};
use crate::words::outcome::{Decision, Outcome};
use crate::words::policy::{ENTRIES_MAX, PolicyChange, RULES_NEWEST, SITE_DEFAULT, WINDOW_MS_MAX};

const RECEIPTS_PER_SITE: i64 = 100;
const RECEIVED: i64 = 1_000_000_000;

/// What analytics said of one order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) placed: Option<(Score, i64)>,
    pub(super) paid: Option<(Score, i64)>,
    pub(super) handling: Option<(Score, i64)>,
    pub(super) shipped: Option<(Score, i64)>,
    /// When its risk first reached each tenth, in milliseconds since 1970.
    pub(super) tenths_ms: [Option<i64>; 10],
}

/// What came of a history.
pub(super) struct Played {
    pub(super) analytics: Analytics,
    pub(super) told: BTreeMap<u64, Told>,
    /// Refusals, by command and reason.
    pub(super) refused: BTreeMap<(&'static str, &'static str), u64>,
}

/// Plays it.
pub(super) fn play(history: &History, settings: Settings) -> anyhow::Result<Played> {
    let mut player = Player::new(settings);
    let start_ms = history.commands.first().map_or(0, |(at, _)| *at);
    for command in opening(history) {
        player.send(start_ms, &command)?;
    }
    anyhow::ensure!(player.played.refused.is_empty(), "the opening is refused: {:?}", player.played.refused);
    for (at_ms, command) in &history.commands {
        player.send(*at_ms, command)?;
    }
    Ok(player.played)
}

/// What comes before the first order: the policy, and stock.
fn opening(history: &History) -> Vec<Command<'static>> {
    let mut sites: Vec<String> = history.sites.clone();
    if !sites.iter().any(|site| site == SITE_DEFAULT) {
        sites.push(SITE_DEFAULT.to_owned());
    }
    let mut opening = vec![Command::Policy(PolicyChange {
        sites: Some(sites.iter().cloned().map(Into::into).collect()),
        settled_window_ms: Some(WINDOW_MS_MAX),
        closed_window_ms: Some(WINDOW_MS_MAX),
        facts_window_ms: Some(WINDOW_MS_MAX),
        settled_orders_max: Some(ENTRIES_MAX),
        closed_orders_max: Some(ENTRIES_MAX),
        facts_max: Some(ENTRIES_MAX),
        ..PolicyChange::default()
    })];
    for site in sites {
        for receipt in 0..RECEIPTS_PER_SITE {
            opening.push(Command::Receive(Receive {
                receipt_id: format!("{}-{receipt}", crate::words::hash::hash(site.as_bytes())).into(),
                site: Some(site.clone().into()),
                lines: vec![Line { sku: SKU.into(), quantity: RECEIVED }],
                ..Receive::default()
            }));
        }
    }
    opening
}

/// A fold with analytics beside it.
pub(super) struct Player {
    inventory: Inventory,
    output: Output,
    pub(super) played: Played,
    findings: Vec<Finding>,
}

impl Player {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            inventory: Inventory::new(),
            output: Output::default(),
            played: Played {
                analytics: Analytics::new(settings),
                told: BTreeMap::new(),
                refused: BTreeMap::new(),
            },
            findings: Vec::new(),
        }
    }

    /// Lets time pass.
    pub(super) fn tick(&mut self, at_ms: i64) -> anyhow::Result<()> {
        self.send(at_ms, &Command::Tick(Tick {}))
    }

    /// Applies a command as a message of its own.
    pub(super) fn send(&mut self, at_ms: i64, command: &Command<'_>) -> anyhow::Result<()> {
        let message = LogMessage {
            sequence: self.inventory.chain().sequence + 1,
            stored_at_ns: at_ms.saturating_mul(1_000_000),
            way: Way::Any,
            format: Some(Format::Bincode),
            payload: encode_commands(Format::Bincode, std::slice::from_ref(command)).into(),
        };
        self.output.clear();
        self.inventory.apply(&message, &mut self.output).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let outcomes: Vec<Outcome<'_>> =
            self.output.outcomes().filter_map(|(_, bytes)| decode_outcome(bytes).ok()).collect();
        for outcome in &outcomes {
            if let Decision::Refused { command, reason, .. } = &outcome.decision {
                *self.played.refused.entry((command.name(), reason.code())).or_default() += 1;
            }
        }
        let decoded = commands(message.format, &message.payload, RULES_NEWEST).next().and_then(Result::ok);
        let record = Record { at: self.inventory.now(), command: decoded.as_ref(), outcomes: &outcomes };
        self.played.analytics.observe(&record, &mut self.findings);
        for finding in self.findings.drain(..) {
            note(&mut self.played.told, &finding);
        }
        Ok(())
    }
}

fn note(told: &mut BTreeMap<u64, Told>, finding: &Finding) {
    match finding {
        Finding::Scored { order, moment, score, at_ms } => {
            let told = told.entry(*order).or_default();
            let of = match moment {
                Moment::Placed => &mut told.placed,
                Moment::Paid => &mut told.paid,
                Moment::Shipped => &mut told.shipped,
                Moment::Handling => &mut told.handling,
            };
            *of = Some((*score, *at_ms));
        }
        Finding::Risk { order, late, at_ms } => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability")]
            let tenth = ((late * 10.0) as usize).min(9);
            for reached in &mut told.entry(*order).or_default().tenths_ms[..=tenth] {
                reached.get_or_insert(*at_ms);
            }
        }
        _ => {}
    }
}
