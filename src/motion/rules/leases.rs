//! Leases: which worker leads a shard, and who stands by for it. Sans-IO; [`sharing`](crate::motion::sharing) carries it.
//!
//! A lease is a hint: it keeps two workers from publishing against each other. Safety is the outcome stream's fence alone.
//! So everything here may be late or wrong without harm to an outcome.
//!
//! Workers share a table. A **worker's** record says that it lives, which shards it could take over from memory, and whether
//! it drains. A **shard's** record, written by its leader, names the leader, who should stand by, and who is to lead next. Both are
//! written again at every beat. A record whose revision has not changed for the lease time, on the *observer's* monotonic clock,
//! is stale: its worker is dead or cut off. A leader counts its own lease from before the write that renewed it, so that it
//! stops before anyone else may begin.
//!
//! - **Takeover**: a shard whose lease is stale or free is claimed by whoever stands by for it and has caught up; where there is none, by
//!   a worker that leads less than its fair share.
//! - **Fair share**: shards divided by live workers, rounded up. Who leads more names a worker that leads least as the next one;
//!   that one stands by until it has caught up, and only then the lease is written over to it. The former leader goes on
//!   publishing until the new one has taken the lease: the fence sorts out the overlap, and there is no gap.
//! - **Progress**: who leads a shard and gets no further with it writes its lease over to a standby that has caught up; where there is
//!   none, it keeps it.
//! - **Drain**: the same, for all shards at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::edges::keys::Entry;

/// What a worker does for a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    #[default]
    Away,
    /// Folds the log, compares with what is announced, and publishes nothing.
    Standby,
    /// Publishes, until then on its monotonic clock.
    Leader {
        /// When the lease ends, unless it is renewed.
        until: Duration,
    },
}

impl Role {
    /// Leads for ever: for whoever has the streams to itself.
    pub const ALONE: Self = Self::Leader { until: Duration::MAX };

    /// Whether it may publish at `now`.
    #[must_use]
    pub fn leads(self, now: Duration) -> bool {
        matches!(self, Self::Leader { until } if now < until)
    }

    /// The role's name, as it stands in metrics and in `weir status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Standby => "standby",
            Self::Leader { .. } => "leader",
        }
    }
}

/// What the table says of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShardRecord {
    /// Who leads; empty where the lease was given up.
    pub leader: String,
    /// Who should stand by.
    pub standbys: Vec<String>,
    /// Who is to lead next, once it has caught up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What the table says of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerRecord {
    /// The shards that it stands by for and has caught up with.
    pub ready: BTreeSet<String>,
    /// The last message that it has applied of each shard that it leads or stands by for.
    pub applied: BTreeMap<String, u64>,
    /// The shards that it cannot lead: they stand still at it.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unfit: BTreeSet<String>,
    /// Of those, why: the fault in words, cut to 500 bytes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<String, String>,
    /// The shards that it leads and gets no further with.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub stuck: BTreeSet<String>,
    /// Whether it gives its shards away.
    pub draining: bool,
}

/// What a worker is to do for a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Its role.
    pub role: Role,
    /// Whether it is the one that takes the snapshots: a standby where there is one.
    pub scribe: bool,
}

impl Assignment {
    /// All of it: for whoever has the streams to itself.
    pub const ALONE: Self = Self { role: Role::ALONE, scribe: true };
}

/// How shards are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    /// How long a lease holds without being renewed.
    pub lease: Duration,
    /// How many workers should stand by for a shard.
    pub standbys: usize,
}

/// A record to be written, if its revision is still the expected one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which record.
    pub key: String,
    /// The new record; none to remove it.
    pub value: Option<Bytes>,
    /// The revision that it must have: 0 where there must be none.
    pub expected: u64,
}

/// The key of a shard's record.
#[must_use]
pub fn shard_key(shard: &str) -> String {
    format!("shard.{shard}")
}

/// The key of a worker's record.
#[must_use]
pub fn worker_key(worker: &str) -> String {
    format!("worker.{worker}")
}

/// The table as anyone can read it, alive or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The shards' records, by shard.
    pub shards: BTreeMap<String, ShardRecord>,
    /// The workers' records, by their names in the table.
    pub workers: BTreeMap<String, WorkerRecord>,
}

/// Takes a table apart.
#[must_use]
pub fn list(entries: &[(String, Entry)]) -> Listing {
    let mut listing = Listing::default();
    for (key, entry) in entries {
        if let Some(shard) = key.strip_prefix("shard.") {
            listing.shards.insert(shard.to_owned(), parse(&entry.value));
        } else if let Some(worker) = key.strip_prefix("worker.") {
            listing.workers.insert(worker.to_owned(), parse(&entry.value));
        }
    }
    listing
}

/// When a record was seen to change.
#[derive(Clone, Copy, Debug)]
struct Seen {
    revision: u64,
    at: Duration,
}

/// A lease of this worker.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// The revision that this worker wrote.
    revision: u64,
    until: Duration,
    /// Whether it was written over to another worker, who has not taken it yet.
    given: bool,
}

/// One worker's view of the table.
#[derive(Debug)]
pub struct Leases {
    me: String,
    options: LeaseOptions,
    shards: Vec<String>,
    seen: BTreeMap<String, Seen>,
    /// When the table was last read.
    looked_at: Option<Duration>,
    held: BTreeMap<String, Held>,
    /// Whether each shard has a place in the table that makes this worker stand by for it.
    standing_by: BTreeSet<String>,
    draining: bool,
    /// The revision of its own record, as it wrote it.
    own_revision: u64,
    /// The shards whose snapshots are for this worker to take.
    scribe: BTreeSet<String>,
    /// Whether there is anyone to give shards to.
    has_heirs: bool,
    /// The shards that it is to lead next.
    next: BTreeSet<String>,
    /// Who leads each shard, as far as the table is fresh.
    leaders: BTreeMap<String, String>,
}

/// The table, read: what is in it and alive.
struct Table {
    /// By shard: the record, its revision, and whether it is fresh. Shards without a record are free, at revision 0.
    shards: BTreeMap<String, (ShardRecord, u64, bool)>,
    /// The live workers, this one too.
    workers: BTreeMap<String, WorkerRecord>,
    /// This worker's own record's revision.
    own_revision: u64,
    /// Records of workers that are long gone.
    gone: Vec<(String, u64)>,
}

impl Table {
    fn is_live(&self, worker: &str) -> bool {
        self.workers.contains_key(worker)
    }

    /// Live, and willing and able to take the shard.
    fn would_take(&self, worker: &str, shard: &str) -> bool {
        self.workers.get(worker).is_some_and(|record| !record.draining && !record.unfit.contains(shard))
    }

    fn is_ready(&self, worker: &str, shard: &str) -> bool {
        self.workers.get(worker).is_some_and(|record| record.ready.contains(shard))
    }

    /// How many shards a worker leads, or is about to.
    fn led_by(&self, worker: &str) -> usize {
        let leads = |record: &ShardRecord| match &record.next {
            Some(next) => next == worker,
            None => record.leader == worker,
        };
        self.shards.values().filter(|(record, _, fresh)| *fresh && leads(record)).count()
    }

    /// How many shards a worker stands by for.
    fn stood_by(&self, worker: &str) -> usize {
        self.shards
            .values()
            .filter(|(record, _, _)| record.standbys.iter().any(|name| name == worker))
            .count()
    }

    fn willing(&self) -> impl Iterator<Item = &str> {
        self.workers.iter().filter(|(_, record)| !record.draining).map(|(name, _)| name.as_str())
    }

    /// The shards that each willing worker leads when they are spread evenly, at most.
    fn share(&self) -> usize {
        self.shards.len().div_ceil(self.willing().count().max(1))
    }
}

/// A record that is not looked at any more is removed after this many lease times.
const GONE_AFTER_LEASES: u32 = 20;

impl Leases {
    /// A worker that holds nothing yet. `me` must differ from every other worker's, former ones too.
    #[must_use]
    pub fn new(me: String, options: LeaseOptions, shards: Vec<String>) -> Self {
        Self {
            me,
            options,
            shards,
            seen: BTreeMap::new(),
            looked_at: None,
            held: BTreeMap::new(),
            standing_by: BTreeSet::new(),
            draining: false,
            own_revision: 0,
            scribe: BTreeSet::new(),
            has_heirs: false,
            next: BTreeSet::new(),
            leaders: BTreeMap::new(),
        }
    }

    /// Gives the shards away from now on.
    pub const fn drain(&mut self) {
        self.draining = true;
    }

    /// Whether it is named to lead a shard next.
    #[must_use]
    pub fn is_next(&self, shard: &str) -> bool {
        self.next.contains(shard)
    }

    /// Whether it leads nothing.
    #[must_use]
    pub fn holds_nothing(&self) -> bool {
        self.held.is_empty()
    }

    /// Whether, as far as is known, another worker would take shards.
    #[must_use]
    pub const fn has_heirs(&self) -> bool {
        self.has_heirs
    }

    /// What this worker is to do for a shard.
    #[must_use]
    pub fn assignment(&self, shard: &str) -> Assignment {
        Assignment { role: self.role(shard), scribe: self.scribe.contains(shard) }
    }

    /// What this worker does for a shard.
    #[must_use]
    pub fn role(&self, shard: &str) -> Role {
        match self.held.get(shard) {
            Some(held) => Role::Leader { until: held.until },
            None if self.standing_by.contains(shard) => Role::Standby,
            None => Role::Away,
        }
    }

    /// Who leads a shard, by the table as it was last read; none where nobody does.
    #[must_use]
    pub fn leader(&self, shard: &str) -> Option<&str> {
        self.leaders.get(shard).map(String::as_str)
    }

    /// Takes the table, as read between `asked` and `now` (both monotonic), with what this worker says of itself, and gives what to
    /// write. Each write's end is to be told to [`Self::wrote`].
    pub fn look(
        &mut self,
        asked: Duration,
        now: Duration,
        entries: &[(String, Entry)],
        report: WorkerRecord,
    ) -> Vec<Write> {
        let own = WorkerRecord { draining: self.draining, ..report };
        let table = self.read(asked, now, entries, &own);
        self.follow(now, &table);
        let led = table.shards.iter().filter(|(_, (_, _, fresh))| *fresh);
        self.leaders = led.map(|(shard, (record, _, _))| (shard.clone(), record.leader.clone())).collect();
        let mut writes =
            vec![Write { key: worker_key(&self.me), value: Some(json(&own)), expected: table.own_revision }];
        writes.extend(table.gone.iter().map(|(key, revision)| Write {
            key: key.clone(),
            value: None,
            expected: *revision,
        }));
        self.claim(&table, &own, &mut writes);
        self.renew(&table, &own, &mut writes);
        writes
    }

    /// How a write ended that was asked for at `asked`: its new revision, or none where it was not stored, as far as is known.
    pub fn wrote(&mut self, write: &Write, asked: Duration, revision: Option<u64>) {
        let Some(revision) = revision else { return };
        if write.key == worker_key(&self.me) {
            self.own_revision = revision;
        }
        let (Some(shard), Some(value)) = (write.key.strip_prefix("shard."), &write.value) else { return };
        let record: ShardRecord = parse(value);
        let until = asked + self.options.lease;
        if record.leader == self.me {
            self.held.insert(shard.to_owned(), Held { revision, until, given: false });
        } else if let Some(held) = self.held.get_mut(shard) {
            (held.revision, held.given) = (revision, true);
        }
    }

    /// What gives the lease of a shard up for good, once it is no longer led.
    #[must_use]
    pub fn release(&mut self, shard: &str) -> Option<Write> {
        let held = self.held.remove(shard)?;
        let free = ShardRecord::default();
        (!held.given).then(|| Write {
            key: shard_key(shard),
            value: Some(json(&free)),
            expected: held.revision,
        })
    }

    /// What takes this worker's own record out of the table.
    #[must_use]
    pub fn leave(&self) -> Write {
        Write { key: worker_key(&self.me), value: None, expected: self.own_revision }
    }

    fn read(
        &mut self,
        asked: Duration,
        now: Duration,
        entries: &[(String, Entry)],
        own: &WorkerRecord,
    ) -> Table {
        // Who did not look for a while has not seen that nothing changed.
        let blind = self.looked_at.is_none_or(|at| asked.saturating_sub(at) > self.options.lease / 2);
        self.looked_at = Some(now);
        if blind {
            self.seen.clear();
        }
        self.seen.retain(|key, _| entries.binary_search_by(|(found, _)| found.cmp(key)).is_ok());
        let mut table = Table {
            shards: self.shards.iter().map(|shard| (shard.clone(), Default::default())).collect(),
            workers: BTreeMap::new(),
            own_revision: 0,
            gone: Vec::new(),
        };
        for (key, entry) in entries {
            let seen = self.seen.entry(key.clone()).or_insert(Seen { revision: entry.revision, at: now });
            if seen.revision != entry.revision {
                *seen = Seen { revision: entry.revision, at: now };
            }
            let unchanged = asked.saturating_sub(seen.at);
            let fresh = unchanged < self.options.lease;
            if let Some(shard) = key.strip_prefix("shard.")
                && let Some(found) = table.shards.get_mut(shard)
            {
                let record: ShardRecord = parse(&entry.value);
                let fresh = fresh && !record.leader.is_empty();
                *found = (record, entry.revision, fresh);
            } else if let Some(worker) = key.strip_prefix("worker.") {
                if worker == self.me {
                    table.own_revision = entry.revision;
                } else if fresh {
                    table.workers.insert(worker.to_owned(), parse(&entry.value));
                } else if unchanged > self.options.lease * GONE_AFTER_LEASES {
                    table.gone.push((key.clone(), entry.revision));
                }
            }
        }
        table.workers.insert(self.me.clone(), own.clone());
        self.has_heirs = table.willing().any(|name| name != self.me);
        table
    }

    /// Lets go of what others hold now or what has run out, and stands by where it is asked to.
    fn follow(&mut self, now: Duration, table: &Table) {
        self.held.retain(|shard, held| {
            table
                .shards
                .get(shard)
                .is_some_and(|(_, revision, _)| *revision == held.revision && now < held.until)
        });
        self.standing_by = table
            .shards
            .iter()
            .filter(|(_, (record, _, _))| {
                let named = |name: &String| *name == self.me;
                let called = record.standbys.iter().any(named) || record.next.as_ref().is_some_and(named);
                // What was written over to it is taken from memory, and what has run out is taken again.
                named(&record.leader) || called && !self.draining
            })
            .map(|(shard, _)| shard.clone())
            .collect();
        let is_next = |shard: &&String| table.shards[*shard].0.next.as_ref() == Some(&self.me);
        self.next = self.shards.iter().filter(is_next).cloned().collect();
        let is_scribe = |shard: &&String| {
            let (record, _, _) = &table.shards[*shard];
            let mut standbys = record.standbys.iter().filter(|name| table.is_ready(name, shard));
            let first = standbys.next();
            if self.held.contains_key(*shard) { first.is_none() } else { first == Some(&self.me) }
        };
        self.scribe = self.shards.iter().filter(is_scribe).cloned().collect();
    }

    /// Claims what is free, stale, or was written over to this worker.
    fn claim(&self, table: &Table, own: &WorkerRecord, writes: &mut Vec<Write>) {
        let mut led = table.led_by(&self.me);
        for (shard, (record, revision, fresh)) in &table.shards {
            let mine = record.leader == self.me;
            let unwanted = (!mine && (*fresh || self.draining)) || own.unfit.contains(shard);
            if self.held.contains_key(shard) || unwanted {
                continue;
            }
            let another_ready =
                table.workers.keys().any(|name| *name != self.me && table.is_ready(name, shard));
            // Who gets no further leaves it to one who would.
            let mine = mine && !(another_ready && own.stuck.contains(shard));
            if mine || own.ready.contains(shard) || (!another_ready && led < table.share()) {
                led += usize::from(!mine);
                let claimed = self.choose(table, shard, &ShardRecord { next: None, ..record.clone() });
                writes.push(Write {
                    key: shard_key(shard),
                    value: Some(json(&claimed)),
                    expected: *revision,
                });
            }
        }
    }

    /// Renews what this worker leads, or writes it over to the next leader.
    fn renew(&self, table: &Table, own: &WorkerRecord, writes: &mut Vec<Write>) {
        let mut surplus = self.surplus(table);
        for (shard, held) in &self.held {
            let Some((record, _, _)) = table.shards.get(shard) else { continue };
            if held.given {
                continue;
            }
            if own.unfit.contains(shard) {
                let free = json(&ShardRecord::default());
                writes.push(Write { key: shard_key(shard), value: Some(free), expected: held.revision });
                continue;
            }
            let mut next = record.next.clone().filter(|next| table.would_take(next, shard));
            if own.stuck.contains(shard) {
                next = self.ready_standby(table, shard).or(next);
            }
            if next.is_none() && surplus > 0 {
                next = self.next_leader(table, shard);
                surplus -= usize::from(next.is_some());
            }
            let record = match next {
                Some(next) if table.is_ready(&next, shard) => {
                    let mut standbys = record.standbys.clone();
                    standbys.retain(|name| *name != next);
                    if !self.draining && standbys.len() < self.options.standbys {
                        standbys.push(self.me.clone());
                    }
                    ShardRecord { leader: next, standbys, next: None }
                }
                next => self.choose(table, shard, &ShardRecord { next, ..record.clone() }),
            };
            writes.push(Write { key: shard_key(shard), value: Some(json(&record)), expected: held.revision });
        }
    }

    /// How many shards to give away now: all of them when draining, else one at a time.
    fn surplus(&self, table: &Table) -> usize {
        if self.draining {
            return self.held.len();
        }
        let giving = self
            .held
            .keys()
            .filter_map(|shard| table.shards.get(shard))
            .any(|(record, _, _)| record.next.is_some() || record.leader != self.me);
        let led = table.led_by(&self.me);
        let least = table.willing().map(|name| table.led_by(name)).min().unwrap_or(0);
        usize::from(!giving && led > least + 1)
    }

    /// Another worker that could lead a shard from memory: the one that leads least.
    fn ready_standby(&self, table: &Table, shard: &str) -> Option<String> {
        table
            .willing()
            .filter(|name| *name != self.me && table.would_take(name, shard) && table.is_ready(name, shard))
            .min_by_key(|name| (table.led_by(name), *name))
            .map(str::to_owned)
    }

    /// Who should lead a shard in this worker's place: one that leads least, best one that has caught up.
    fn next_leader(&self, table: &Table, shard: &str) -> Option<String> {
        table
            .willing()
            .filter(|name| *name != self.me && table.would_take(name, shard))
            .min_by_key(|name| {
                let ready = table.is_ready(name, shard);
                (self.draining && !ready, table.led_by(name), !ready, *name)
            })
            .map(str::to_owned)
    }

    /// A record for this worker as the leader, with standbys: those there are, as long as they live, and the least busy others.
    fn choose(&self, table: &Table, shard: &str, record: &ShardRecord) -> ShardRecord {
        let mut standbys: Vec<String> = record
            .standbys
            .iter()
            .filter(|name| **name != self.me && table.would_take(name, shard))
            .take(self.options.standbys)
            .cloned()
            .collect();
        let is_another = |name: &&str| {
            *name != self.me
                && table.would_take(name, shard)
                && !standbys.iter().any(|standby| standby == name)
        };
        let mut others: Vec<&str> = table.willing().filter(is_another).collect();
        others.sort_by_key(|name| {
            (!table.is_ready(name, shard), table.led_by(name) + table.stood_by(name), *name)
        });
        let missing = self.options.standbys.saturating_sub(standbys.len());
        standbys.extend(others.into_iter().take(missing).map(str::to_owned));
        let next = record.next.clone().filter(|next| table.is_live(next));
        ShardRecord { leader: self.me.clone(), standbys, next }
    }
}

/// A record that cannot be read counts as one that says nothing: it will be written over once it is stale.
fn parse<T: Default + for<'d> Deserialize<'d>>(value: &[u8]) -> T {
    serde_json::from_slice(value).unwrap_or_default()
}

fn json<T: Serialize>(record: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(record).expect("plain texts and lists"))
}

#[cfg(test)]
mod tests;
