//! A cluster of workers on one table, beat by beat.

use super::*;

const LEASE: Duration = Duration::from_secs(3);
const BEAT: Duration = Duration::from_millis(500);
/// How many beats a standby takes to catch up.
const CATCHING_UP: u32 = 3;

struct Worker {
    leases: Leases,
    alive: bool,
    /// How many beats it has stood by for a shard, or led it.
    folded: BTreeMap<String, u32>,
}

impl Worker {
    fn ready(&self) -> BTreeSet<String> {
        let ready = |(shard, beats): &(&String, &u32)| {
            **beats >= CATCHING_UP && self.leases.role(shard) == Role::Standby
        };
        self.folded.iter().filter(ready).map(|(shard, _)| shard.clone()).collect()
    }
}

struct Cluster {
    now: Duration,
    shards: Vec<String>,
    options: LeaseOptions,
    revision: u64,
    table: BTreeMap<String, Entry>,
    workers: Vec<Worker>,
}

impl Cluster {
    fn new(shards: usize, workers: usize, standbys: usize) -> Self {
        let mut cluster = Self {
            now: Duration::from_secs(1000),
            shards: (0..shards).map(|number| format!("s{number}")).collect(),
            options: LeaseOptions { lease: LEASE, standbys },
            revision: 0,
            table: BTreeMap::new(),
            workers: Vec::new(),
        };
        (0..workers).for_each(|_| cluster.join());
        cluster
    }

    fn join(&mut self) {
        let me = format!("w{}", self.workers.len());
        let leases = Leases::new(me, self.options, self.shards.clone());
        self.workers.push(Worker { leases, alive: true, folded: BTreeMap::new() });
    }

    fn store(&mut self, write: &Write) -> Option<u64> {
        let found = self.table.get(&write.key).map_or(0, |entry| entry.revision);
        if found != write.expected {
            return None;
        }
        self.revision += 1;
        match &write.value {
            Some(value) => {
                let entry = Entry { value: value.clone(), revision: self.revision };
                self.table.insert(write.key.clone(), entry);
            }
            None => drop(self.table.remove(&write.key)),
        }
        Some(self.revision)
    }

    fn beat_of(&mut self, number: usize) {
        let entries: Vec<_> = self.table.iter().map(|(key, entry)| (key.clone(), entry.clone())).collect();
        let worker = &mut self.workers[number];
        let ready = worker.ready();
        let report = WorkerRecord { ready, ..WorkerRecord::default() };
        let before: Vec<_> = self.shards.iter().map(|shard| worker.leases.role(shard)).collect();
        let writes = worker.leases.look(self.now, self.now, &entries, report);
        let between: Vec<_> = self.shards.iter().map(|shard| worker.leases.role(shard)).collect();
        for write in writes {
            let revision = self.store(&write);
            self.workers[number].leases.wrote(&write, self.now, revision);
        }
        let worker = &mut self.workers[number];
        for (shard, (before, between)) in self.shards.iter().zip(before.into_iter().zip(between)) {
            // What it has folded would be gone, and with it what it knows of the log.
            let dropped = before != Role::Away && between == Role::Away;
            assert!(
                !dropped || worker.leases.role(shard) == Role::Away,
                "{shard} was dropped and taken again"
            );
            if worker.leases.role(shard) == Role::Away {
                worker.folded.remove(shard);
            } else {
                *worker.folded.entry(shard.clone()).or_default() += 1;
            }
        }
    }

    fn beat(&mut self) {
        self.now += BEAT;
        for number in 0..self.workers.len() {
            if self.workers[number].alive {
                self.beat_of(number);
            }
        }
    }

    fn beats(&mut self, count: usize) {
        (0..count).for_each(|_| self.beat());
    }

    fn leads(&self, number: usize) -> Vec<&str> {
        let Worker { leases, alive, .. } = &self.workers[number];
        let led = |shard: &&String| *alive && leases.role(shard).leads(self.now);
        self.shards.iter().filter(led).map(String::as_str).collect()
    }

    fn counts(&self) -> Vec<usize> {
        (0..self.workers.len()).map(|number| self.leads(number).len()).collect()
    }

    fn leaders(&self, shard: &str) -> usize {
        (0..self.workers.len()).filter(|number| self.leads(*number).contains(&shard)).count()
    }

    fn assert_all_led(&self, when: &str) {
        for shard in &self.shards {
            assert!(self.leaders(shard) >= 1, "{shard} has no leader {when}");
        }
    }
}

#[test]
fn one_worker_takes_all_at_once() {
    let mut cluster = Cluster::new(8, 1, 1);
    cluster.beat();
    assert_eq!(cluster.counts(), [8]);
    cluster.beats(100);
    assert_eq!(cluster.counts(), [8]);
}

#[test]
fn workers_that_come_later_get_their_share_without_a_gap() {
    let mut cluster = Cluster::new(8, 1, 1);
    cluster.beat();
    for workers in 2..=3 {
        cluster.join();
        for _ in 0..80 {
            cluster.beat();
            cluster.assert_all_led("while it is handed over");
        }
        let counts = cluster.counts();
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(most.unwrap() - least.unwrap() <= 1, "{counts:?} among {workers}");
        assert_eq!(counts.iter().sum::<usize>(), 8, "nobody leads beside the leader: {counts:?}");
    }
}

#[test]
fn a_dead_workers_shards_go_to_those_who_stood_by_in_time() {
    let mut cluster = Cluster::new(8, 3, 1);
    cluster.beats(100);
    let lost: Vec<String> = cluster.leads(1).into_iter().map(str::to_owned).collect();
    assert!(lost.len() >= 2, "{lost:?}");
    let stood_by = |cluster: &Cluster, shard: &str| {
        (0..3).find(|number| cluster.workers[*number].leases.role(shard) == Role::Standby)
    };
    let heirs: Vec<_> = lost.iter().map(|shard| stood_by(&cluster, shard).unwrap()).collect();
    cluster.workers[1].alive = false;
    let died = cluster.now;
    while lost.iter().any(|shard| cluster.leaders(shard) == 0) {
        cluster.beat();
        assert!(cluster.now.saturating_sub(died) <= LEASE + 2 * BEAT);
    }
    for (shard, heir) in lost.iter().zip(heirs) {
        assert!(cluster.leads(heir).contains(&shard.as_str()), "{shard} of {lost:?}: {:#?}", cluster.table);
    }
    cluster.beats(150);
    let counts = cluster.counts();
    assert_eq!((counts[0], counts[1], counts[2]), (4, 0, 4));
    assert!(!cluster.table.contains_key("worker.w1"), "its record is gone");
}

#[test]
fn a_worker_that_drains_gives_all_away_without_a_gap() {
    for standbys in [0, 1] {
        let mut cluster = Cluster::new(8, 3, standbys);
        cluster.beats(100);
        cluster.workers[2].leases.drain();
        for _ in 0..40 {
            cluster.beat();
            cluster.assert_all_led("while a worker drains");
        }
        assert!(cluster.workers[2].leases.holds_nothing(), "with {standbys} standbys");
        assert_eq!(cluster.counts(), [4, 4, 0]);
    }
}

#[test]
fn the_last_worker_releases_for_the_next_one() {
    let mut cluster = Cluster::new(2, 1, 1);
    cluster.beats(3);
    cluster.workers[0].leases.drain();
    cluster.beats(3);
    assert_eq!(cluster.counts(), [2], "there is nobody to give them to");
    for shard in ["s0", "s1"] {
        let write = cluster.workers[0].leases.release(shard).unwrap();
        assert!(cluster.store(&write).is_some());
    }
    let write = cluster.workers[0].leases.leave();
    cluster.store(&write).unwrap();
    cluster.workers[0].alive = false;
    cluster.join();
    cluster.beat();
    assert_eq!(cluster.counts(), [0, 2], "nobody waits for a lease that was given up");
}

#[test]
fn a_worker_that_slept_leads_nothing_when_it_wakes_up() {
    let mut cluster = Cluster::new(4, 2, 1);
    cluster.beats(60);
    assert_eq!(cluster.counts(), [2, 2]);
    cluster.workers[0].alive = false;
    cluster.beats(12);
    assert_eq!(cluster.counts(), [0, 4]);
    // Before it has looked at anything:
    cluster.workers[0].alive = true;
    assert_eq!(cluster.counts(), [0, 4]);
    cluster.beats(60);
    assert_eq!(cluster.counts(), [2, 2]);
}

#[test]
fn whoever_was_blind_takes_nothing_for_stale() {
    let mut cluster = Cluster::new(2, 2, 0);
    cluster.beats(60);
    assert_eq!(cluster.counts(), [1, 1]);
    // The table was out of reach for both, longer than any lease.
    cluster.now += LEASE * 3;
    cluster.now += BEAT;
    let held = cluster.table.clone();
    cluster.beat_of(1);
    let records = |table: &BTreeMap<String, Entry>| -> Vec<Bytes> {
        table
            .iter()
            .filter(|(key, _)| key.starts_with("shard."))
            .map(|(_, entry)| entry.value.clone())
            .collect()
    };
    assert_eq!(records(&cluster.table), records(&held), "nobody's lease was taken");
    cluster.beats(2 * 6);
    assert_eq!(cluster.counts(), [1, 1]);
}

/// Workers come, die, sleep and drain at random: whatever happens, two never lead one shard unless one of them has given it away, and
/// once it is calm all are led, evenly.
#[test]
fn random_fates() {
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut cluster = Cluster::new(random.usize(1..9), random.usize(1..4), random.usize(0..3));
        for _ in 0..150 {
            match random.u32(0..40) {
                0 if cluster.workers.len() < 8 => cluster.join(),
                1 | 2 => {
                    let number = random.usize(0..cluster.workers.len());
                    cluster.workers[number].alive ^= true;
                }
                3 => cluster.now += LEASE / 2,
                _ => {}
            }
            cluster.beat();
            for shard in &cluster.shards {
                let holding = |worker: &&Worker| {
                    worker.leases.held.get(shard).is_some_and(|held| !held.given && cluster.now < held.until)
                };
                let holders = cluster.workers.iter().filter(holding).count();
                assert!(holders <= 1, "seed {seed}: {holders} lead {shard}");
            }
        }
        cluster.workers[0].alive = true;
        cluster.beats(400);
        let counts = cluster.counts();
        let alive: Vec<usize> = (0..counts.len())
            .filter(|number| cluster.workers[*number].alive)
            .map(|number| counts[number])
            .collect();
        assert_eq!(counts.iter().sum::<usize>(), cluster.shards.len(), "seed {seed}: {counts:?}");
        let (least, most) = (alive.iter().min().unwrap(), alive.iter().max().unwrap());
        assert!(most - least <= 1, "seed {seed}: {alive:?}");
    }
}
