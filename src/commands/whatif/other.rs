//! The other way: the same log folded under another policy, with other stock, or with other wishes at a shortage.
//!
//! Messages that a leader would send by itself are sent here too: a tick where something is due before the next message comes. Whatever
//! is put in between moves the sequences of what follows; nobody decides by them.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::bail;
use bytes::Bytes;

use crate::edges::streams::StoredMessage;
use crate::folds::inventory::{Due, Inventory};
use crate::motion::folding::{Applied, Folding, Sliced, Start, Whole};
use crate::words::codec::{Format, commands, encode_commands};
use crate::words::command::{Command, OnShortage, Tick};
use crate::words::identity::Identity;
use crate::words::message::{LogMessage, Way};
use crate::words::outcome::Decision;
use crate::words::policy::{OwnFigure, PolicyChange, RULES_NEWEST, SITE_DEFAULT};

/// What is to be different.
#[derive(Clone, Debug, Default)]
pub(super) struct Different {
    pub(super) policy: PolicyChange<'static>,
    /// Receipts of what there is more of, from the start.
    pub(super) stock: Vec<Command<'static>>,
    /// What orders do at a shortage that would be refused.
    pub(super) on_shortage: Option<OnShortage>,
}

/// A fold of the same log that goes another way.
pub(super) struct Other {
    folding: Folding,
    different: Different,
    /// What comes before the next message of the log.
    first: VecDeque<Command<'static>>,
    /// Figures of SKUs' own whose SKUs are not known yet.
    waiting: Vec<(bool, OwnFigure<'static>)>,
    due: Due,
    /// Messages that could not be read to the end, and stay as they are.
    pub(super) untouched: u64,
}

impl Other {
    /// From the state that the log is folded from. `is_whole` where that is before its first message: then policy is in its messages.
    pub(super) fn new(start: Start, mut different: Different, is_whole: bool) -> Self {
        let own = |list: &mut Option<Vec<OwnFigure<'static>>>, is_safety| {
            let taken: Vec<_> = list.take().unwrap_or_default();
            taken.into_iter().map(move |figure| (is_safety, figure)).collect::<Vec<_>>()
        };
        let mut waiting = own(&mut different.policy.safety_stock_of, true);
        waiting.extend(own(&mut different.policy.allowance_of, false));
        let mut first = VecDeque::new();
        if !is_whole && different.policy != PolicyChange::default() {
            first.push_back(Command::Policy(different.policy.clone()));
        }
        if !is_whole {
            first.extend(std::mem::take(&mut different.stock));
        }
        let folding = Folding::new(start, Identity::START);
        Self { folding, different, first, waiting, due: Due::Never, untouched: 0 }
    }

    /// The state.
    pub(super) const fn inventory(&self) -> &Inventory {
        self.folding.inventory()
    }

    /// Takes the next message of the log, and gives every batch that comes of it to `each`.
    pub(super) fn take(
        &mut self,
        message: &LogMessage,
        mut each: impl FnMut(&Applied),
    ) -> anyhow::Result<()> {
        let at_ns = message.stored_at_ns;
        while let Some(command) = self.first.pop_front() {
            self.send(at_ns, &command, &mut each)?;
        }
        self.tick_until(at_ns, &mut each)?;
        let (payload, format) = self.changed(message);
        let is_policy = self.apply(at_ns, message.way, format, payload, &mut each)?;
        if is_policy && !self.different.stock.is_empty() {
            // The first policy names the sites.
            for command in std::mem::take(&mut self.different.stock) {
                self.send(at_ns, &command, &mut each)?;
            }
        }
        self.tell_own_figures(at_ns, &mut each)
    }

    /// The message as it would have been.
    fn changed(&mut self, message: &LogMessage) -> (Bytes, Option<Format>) {
        let as_it_is = (message.payload.clone(), message.format);
        let mut changed = false;
        let mut all = Vec::new();
        for element in commands(message.format, &message.payload, RULES_NEWEST) {
            let Ok(mut command) = element else {
                self.untouched += 1;
                return as_it_is;
            };
            match &mut command {
                Command::Place(place) if place.on_shortage == OnShortage::Refuse => {
                    if let Some(on_shortage) = self.different.on_shortage {
                        place.on_shortage = on_shortage;
                        changed = true;
                    }
                }
                Command::Policy(policy) => {
                    let own = std::mem::take(policy);
                    let rules = self.different.policy.rules.or(own.rules);
                    let sites = self.different.policy.sites.clone().or(own.sites.clone());
                    *policy = PolicyChange { rules, sites, ..own.with_figures_of(&self.different.policy) };
                    changed = true;
                }
                _ => {}
            }
            all.push(command);
        }
        if changed {
            (encode_commands(Format::Bincode, &all).into(), Some(Format::Bincode))
        } else {
            as_it_is
        }
    }

    /// Ticks as a leader would, as long as something is due before `at_ns`.
    fn tick_until(&mut self, at_ns: i64, each: &mut impl FnMut(&Applied)) -> anyhow::Result<()> {
        loop {
            let now_ns = self.inventory().now().millis().saturating_mul(1_000_000);
            let due_ns = match self.due {
                Due::Never => return Ok(()),
                Due::Now => now_ns,
                Due::At(at) => at.millis().saturating_mul(1_000_000),
            };
            if due_ns >= at_ns {
                return Ok(());
            }
            let before = self.due;
            self.send(due_ns.max(now_ns), &Command::Tick(Tick {}), each)?;
            if self.due == before && before != Due::Now {
                return Ok(());
            }
        }
    }

    /// Tells figures of SKUs' own once their SKUs are known.
    fn tell_own_figures(&mut self, at_ns: i64, each: &mut impl FnMut(&Applied)) -> anyhow::Result<()> {
        let known = |(_, figure): &(bool, OwnFigure<'_>)| {
            let site = figure.site.as_deref().unwrap_or(SITE_DEFAULT);
            self.folding.inventory().stock_of(site, &figure.sku).is_some()
        };
        if !self.waiting.iter().any(known) {
            return Ok(());
        }
        let (told, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().partition(known);
        self.waiting = waiting;
        let of = |is_safety: bool| {
            let list: Vec<_> = told.iter().filter(|it| it.0 == is_safety).map(|it| it.1.clone()).collect();
            (!list.is_empty()).then_some(list)
        };
        let change =
            PolicyChange { safety_stock_of: of(true), allowance_of: of(false), ..PolicyChange::default() };
        self.send(at_ns, &Command::Policy(change), each)
    }

    fn send(
        &mut self,
        at_ns: i64,
        command: &Command<'static>,
        each: &mut impl FnMut(&Applied),
    ) -> anyhow::Result<()> {
        let payload = encode_commands(Format::Bincode, std::slice::from_ref(command)).into();
        let mut refused = None;
        let checks = !matches!(command, Command::Tick(_));
        self.apply(at_ns, Way::Any, Some(Format::Bincode), payload, &mut |applied: &Applied| {
            if checks {
                refused = refused.take().or_else(|| refusal(applied));
            }
            each(applied);
        })?;
        if let Some(why) = refused {
            bail!("{} is refused: {why}", command.kind().name());
        }
        Ok(())
    }

    /// Applies one message; true where a policy took effect by it.
    fn apply(
        &mut self,
        stored_at_ns: i64,
        way: Way,
        format: Option<Format>,
        payload: Bytes,
        each: &mut impl FnMut(&Applied),
    ) -> anyhow::Result<bool> {
        let sequence = self.inventory().chain().sequence + 1;
        let message = LogMessage { sequence, stored_at_ns, way, format, payload };
        let messages = Arc::new(vec![StoredMessage::from(message)]);
        let Sliced { applied, fault, .. } = self.folding.slice(&messages, 0, i64::MAX, &Whole);
        if let Some(fault) = fault {
            bail!("{fault}");
        }
        let Some(applied) = applied else { return Ok(false) };
        self.due = applied.due;
        let is_policy = applied.output.outcomes().any(|(_, bytes)| {
            let decoded = crate::words::codec::decode_outcome(bytes);
            decoded.is_ok_and(|it| matches!(it.decision, Decision::PolicyApplied { .. }))
        });
        each(&applied);
        Ok(is_policy)
    }
}

/// Why what was put in between is refused, if it is.
fn refusal(applied: &Applied) -> Option<String> {
    applied.output.outcomes().find_map(|(_, bytes)| {
        match crate::words::codec::decode_outcome(bytes).ok()?.decision {
            Decision::Refused { reason, detail, .. } => {
                Some(format!("{} {}", reason.code(), detail.as_deref().unwrap_or_default()).trim().to_owned())
            }
            _ => None,
        }
    })
}
