//! Comparing: appends and the fold's own outcomes, side by side. Sans-IO: whoever carries it gives an append, then messages of
//! the log for as long as [`Comparing::wants_log`], then the next append.
//!
//! It holds what one append and one batch of messages bring, and no more, however long the log is.

use std::collections::VecDeque;

use super::findings::{Disagreement, Findings};
use super::folding::{Folding, Reused, Start};
use super::kept::Kept;
use crate::words::append::{Append, AppendHeader, Chain, StoredAppend};
use crate::words::codec::{decode_outcome, encode_outcome, outcomes, write_json_outcome};
use crate::words::fault::Fault;
use crate::words::hash::hash;
use crate::words::identity::Identity;
use crate::words::message::LogMessage;

/// How many outcomes back an append that repeats can be compared.
const RECENT_MAX: usize = 1 << 16;
/// The most bytes of an outcome in a disagreement.
const SHOWN_BYTES_MAX: usize = 400;

/// What was announced beside what the fold gives.
pub(in crate::motion) struct Comparing {
    folding: Folding,
    /// The last message that is folded.
    log_last: u64,
    /// What the fold gave and nothing was compared with yet.
    own: VecDeque<Own>,
    /// The fold's chains, from that of the last append on.
    chains: VecDeque<Chain>,
    /// Outcomes up to here are not compared.
    floor: Identity,
    /// The `through` of the last append.
    through: Identity,
    /// The sequence of the last append's chain.
    chained: Option<u64>,
    append: Option<Current>,
    /// What was announced last: identities, and hashes of what the fold gives.
    recent: VecDeque<(Identity, u64)>,
    /// The pointers that are still to be passed, the next one last.
    pointers: Vec<Kept>,
    /// No append comes any more.
    ended: bool,
    findings: Findings,
}

/// What a batch of messages gave.
struct Own {
    output: Reused,
    /// The first that was not compared.
    next: usize,
}

/// The append that is compared.
struct Current {
    sequence: u64,
    header: AppendHeader,
    told: Told,
    /// The first that was not compared.
    next: usize,
}

/// Outcomes as they were announced, each in the fold's own format: equal bytes are equal outcomes.
#[derive(Default)]
struct Told {
    bytes: Vec<u8>,
    entries: Vec<(Identity, usize, usize)>,
}

impl Told {
    fn get(&self, number: usize) -> Option<(Identity, &[u8])> {
        self.entries.get(number).map(|(at, start, end)| (*at, &self.bytes[*start..*end]))
    }
}

impl Comparing {
    /// Begins with a state, which `name` names where it is a snapshot, up to `log_last`, and passes `pointers`, newest first.
    pub(in crate::motion) fn new(
        start: Start,
        name: Option<String>,
        log_last: u64,
        pointers: &[Kept],
    ) -> Self {
        let (from, through) = (start.inventory.chain(), start.through);
        let in_reach = |kept: &&Kept| (from.sequence..=log_last).contains(&kept.sequence);
        let findings =
            Findings { start: name, from, to: from, compared_from: through, through, ..Findings::default() };
        let mut comparing = Self {
            folding: Folding::new(start, Identity::START),
            log_last,
            own: VecDeque::new(),
            chains: VecDeque::from([from]),
            floor: through,
            through,
            chained: None,
            append: None,
            recent: VecDeque::new(),
            // Before the first message there is nothing to point to.
            pointers: pointers.iter().filter(in_reach).filter(|kept| kept.sequence > 0).cloned().collect(),
            ended: false,
            findings,
        };
        comparing.pass();
        comparing
    }

    /// The last message folded.
    pub(in crate::motion) const fn folded(&self) -> u64 {
        self.folding.inventory().chain().sequence
    }

    /// Whether more of the log is needed before the next append can be taken.
    pub(in crate::motion) const fn wants_log(&self) -> bool {
        self.append.is_some()
    }

    /// Whether an append was taken before.
    pub(in crate::motion) const fn has_begun(&self) -> bool {
        self.findings.appends + self.findings.repeats > 0
    }

    /// Folds messages, in order, and compares as far as they reach. Those behind the last that is to be folded are passed over.
    ///
    /// # Errors
    /// What the log cannot be folded for. Nothing more can be compared then.
    pub(in crate::motion) fn fold(&mut self, messages: &[LogMessage]) -> Result<(), Fault> {
        let mut rest = &messages[..messages.partition_point(|message| message.sequence <= self.log_last)];
        while !rest.is_empty() {
            let until = self.pointers.last().map_or(u64::MAX, |kept| kept.sequence);
            // What is behind it already is a gap, which the fold names.
            let (now, later) =
                rest.split_at(rest.partition_point(|message| message.sequence <= until).max(1));
            let Self { folding, findings, own, chains, .. } = self;
            folding.step(now, i64::MAX, |applied| {
                findings.messages += applied.messages.len() as u64;
                findings.records += applied.records;
                chains.extend(applied.messages.iter().map(|message| message.chain));
                own.push_back(Own { output: applied.output, next: 0 });
                true
            })?;
            rest = later;
            self.pass();
            self.drop_uncompared();
        }
        self.compare();
        Ok(())
    }

    /// Takes the next append. `gone` says that the outcome stream has dropped what came before it.
    pub(in crate::motion) fn append(&mut self, stored: &StoredAppend, gone: bool) {
        let StoredAppend { sequence, append } = stored;
        let (sequence, header) = (*sequence, append.header.clone());
        let AppendHeader { from, through, .. } = header;
        let first = !self.has_begun();
        let due = self.through;
        if through.sequence > self.log_last {
            let last = self.log_last;
            self.findings.found(|| Disagreement::Ahead { append: sequence, through, last });
        }
        let mut told = self.told(sequence, append);
        if from < due && !first {
            self.repeat(sequence, &header, &told);
            return;
        }
        self.findings.appends += 1;
        if from > due && gone {
            (self.floor, self.through, self.findings.compared_from) = (from, from, from);
            self.drop_uncompared();
        } else if from > due {
            self.findings.found(|| Disagreement::Gap { append: sequence, from, due });
        }
        let floor = self.floor;
        told.entries.retain(|(at, _, _)| *at > floor);
        self.append = Some(Current { sequence, header, told, next: 0 });
        self.compare();
    }

    /// An append cannot be read: no more come.
    pub(in crate::motion) fn unreadable(&mut self, append: u64, what: String) {
        self.findings.found(|| Disagreement::Unreadable { append, what });
    }

    /// No append comes any more.
    pub(in crate::motion) fn end_appends(&mut self) {
        self.ended = true;
        self.drop_uncompared();
    }

    /// Checks the books, and says what was found.
    pub(in crate::motion) fn finish(mut self) -> Findings {
        let inventory = self.folding.inventory();
        if let Err(broken) = inventory.check_books() {
            self.findings.found(|| Disagreement::Books(broken));
        }
        self.findings.to = inventory.chain();
        self.findings.digests = Some(inventory.digests());
        self.findings.through = self.through;
        self.findings
    }

    /// The outcomes of an append that stand where they belong.
    fn told(&mut self, sequence: u64, append: &Append) -> Told {
        let mut told = Told::default();
        let AppendHeader { from, through, .. } = append.header;
        let outcomes = match outcomes(append.format, &append.payload) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                self.unreadable(sequence, error.to_string());
                return told;
            }
        };
        let mut last = from;
        for outcome in outcomes {
            let at = outcome.identity();
            if at <= last || at > through {
                self.findings.found(|| Disagreement::Misplaced { append: sequence, at, from, through });
                continue;
            }
            last = at;
            let start = encode_outcome(&mut told.bytes, &outcome.decision, at, outcome.at);
            told.entries.push((at, start, told.bytes.len()));
        }
        told
    }

    /// Looks at an append that goes back: readers drop it.
    fn repeat(&mut self, append: u64, header: &AppendHeader, told: &Told) {
        let AppendHeader { from, through, .. } = *header;
        let due = self.through;
        self.findings.repeats += 1;
        if through > due {
            self.findings.found(|| Disagreement::Overlap { append, from, through, due });
        }
        for number in 0..told.entries.len() {
            let Some((at, said)) = told.get(number).filter(|(at, _)| *at <= due) else { break };
            match self.recent.binary_search_by_key(&at, |(known, _)| *known) {
                Ok(place) if self.recent[place].1 == hash(said) => {}
                Ok(_) => {
                    let announced = shown(said);
                    self.findings.found(|| Disagreement::Repeat { append, from, at, announced });
                }
                Err(0) => {
                    self.findings.found(|| Disagreement::Back { append, from, due });
                    break;
                }
                Err(_) => {
                    self.findings.found(|| Disagreement::Unfounded { append, at, announced: shown(said) });
                }
            }
        }
    }

    /// Drops what nothing will be compared with.
    fn drop_uncompared(&mut self) {
        let floor = self.floor;
        for own in &mut self.own {
            own.next = own.next.max(own.output.len_through(floor));
            if self.ended {
                self.findings.unannounced += (own.output.len() - own.next) as u64;
                own.next = own.output.len();
            }
        }
        self.own.retain(|own| own.next < own.output.len());
        let keep_from = match &self.append {
            Some(current) => current.header.chain.sequence.min(self.folded()),
            None if self.ended => self.folded(),
            None => return,
        };
        while self.chains.front().is_some_and(|chain| chain.sequence < keep_from) {
            self.chains.pop_front();
        }
    }

    /// Compares as far as the fold is.
    fn compare(&mut self) {
        let Some(mut current) = self.append.take() else { return };
        if self.is_done(&mut current) {
            self.chained = Some(current.header.chain.sequence);
            self.through = self.through.max(current.header.through);
        } else {
            self.append = Some(current);
        }
    }

    /// Whether the fold is past a message, or will never get to it.
    const fn is_past(&self, sequence: u64) -> bool {
        let folded = self.folded();
        folded >= sequence || folded >= self.log_last
    }

    /// Compares an append as far as the fold is; false where more of the log is needed.
    fn is_done(&mut self, current: &mut Current) -> bool {
        let (append, through) = (current.sequence, current.header.through);
        loop {
            while self.own.front().is_some_and(|own| own.next == own.output.len()) {
                self.own.pop_front();
            }
            let told = current.told.get(current.next);
            let until = told.map_or(through, |(at, _)| at);
            let is_past = self.is_past(until.sequence);
            let own = self.own.front_mut().and_then(|own| {
                let (entry, bytes) = own.output.outcomes_from(own.next).next()?;
                Some((entry.identity(), bytes, &mut own.next))
            });
            match (told, own) {
                (Some((at, said)), Some((own_at, bytes, next))) if at == own_at => {
                    self.findings.outcomes += 1;
                    if said != bytes {
                        let (announced, own) = (shown(said), shown(bytes));
                        self.findings.found(|| Disagreement::Outcome { append, at, announced, own });
                    }
                    if self.recent.len() == RECENT_MAX {
                        self.recent.pop_front();
                    }
                    self.recent.push_back((at, hash(bytes)));
                    current.next += 1;
                    *next += 1;
                }
                (_, Some((at, bytes, next))) if at <= until => {
                    self.findings.found(|| Disagreement::Missing { append, at, own: shown(bytes) });
                    *next += 1;
                }
                (None, Some(_)) => break,
                (Some((at, said)), own) => {
                    if own.is_none() && !is_past {
                        return false;
                    }
                    self.findings.found(|| Disagreement::Unfounded { append, at, announced: shown(said) });
                    current.next += 1;
                }
                (None, None) if is_past => break,
                (None, None) => return false,
            }
        }
        self.is_chain_done(current)
    }

    /// The next outcome of the fold.
    fn next_own(&self) -> Option<Identity> {
        let own = self.own.front()?;
        Some(own.output.entries(own.next, own.output.len()).first()?.identity())
    }

    /// Compares an append's chain, once its outcomes are; false where more of the log is needed.
    fn is_chain_done(&mut self, current: &Current) -> bool {
        let (append, through, announced) = (current.sequence, current.header.through, current.header.chain);
        let oldest = self.chains.front().map_or(0, |chain| chain.sequence);
        let why = if announced.sequence > self.log_last {
            format!("and the log with sequence {}", self.log_last)
        } else if let Some(at) = self.next_own().filter(|at| at.sequence <= announced.sequence) {
            format!("and {at} is not announced yet")
        } else if let Some(before) = self.chained.filter(|before| announced.sequence < *before) {
            format!("and an append before it covered message {before}")
        } else if announced.sequence < oldest {
            // Before the state that the audit began with.
            return true;
        } else {
            let place = usize::try_from(announced.sequence - oldest).unwrap_or(usize::MAX);
            let Some(own) = self.chains.get(place).copied() else { return false };
            if own != announced {
                self.findings.found(|| Disagreement::Chain { append, announced, own });
            }
            return true;
        };
        self.findings.found(|| Disagreement::Covers { append, announced, through, why });
        true
    }

    /// Compares the pointers of the sequence that the fold is at, and passes those that it is past.
    fn pass(&mut self) {
        while let Some(kept) =
            self.pointers.pop_if(|kept| kept.sequence <= self.folding.inventory().chain().sequence)
        {
            let inventory = self.folding.inventory();
            let digests = inventory.digests();
            for (what, said, own) in [
                ("chain", &kept.chain, inventory.chain().to_string()),
                ("state", &kept.state, format!("{:016x}", digests.state)),
                ("ledger", &kept.ledger, format!("{:016x}", digests.ledger)),
                ("through", &kept.through, self.folding.through().to_string()),
            ] {
                if *said != own {
                    let (name, said) = (kept.name.clone(), said.clone());
                    self.findings.found(|| Disagreement::Snapshot { name, what, said, own });
                }
            }
            self.findings.snapshots.push(kept.name);
        }
    }
}

/// An outcome for a person, cut where it is long.
fn shown(bytes: &[u8]) -> String {
    let Ok(outcome) = decode_outcome(bytes) else { return "bytes that are no outcome".to_owned() };
    let mut json = Vec::new();
    write_json_outcome(&mut json, &outcome);
    let mut text = String::from_utf8_lossy(&json).into_owned();
    if text.len() > SHOWN_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
        text.push('…');
    }
    text
}
