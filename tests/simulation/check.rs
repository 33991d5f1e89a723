//! What must hold whatever happened.

use std::collections::BTreeMap;

use weir::edges::ShardEdges;
use weir::edges::clock::SystemClock;
use weir::edges::memory::InMemory;
use weir::folds::inventory::{Digests, Due, Inventory, Output};
use weir::motion::audit::{From, Pace, audit};
use weir::motion::fold::FoldOn;
use weir::motion::snapshots::{Kept, Snapshots};
use weir::words::append::Chain;
use weir::words::codec::{decode_outcome, outcomes};
use weir::words::hash::Hasher;
use weir::words::identity::Identity;
use weir::words::message::LogMessage;

use crate::world::World;

/// One undisturbed fold of a log.
pub(crate) struct Reference {
    pub(crate) output: Output,
    /// By sequence.
    pub(crate) chains: BTreeMap<u64, Chain>,
    pub(crate) inventory: Inventory,
}

pub(crate) fn fold(history: &[LogMessage]) -> Reference {
    let (mut inventory, mut output, mut chains) = (Inventory::new(), Output::default(), BTreeMap::new());
    for message in history {
        inventory.apply(message, &mut output).unwrap();
        chains.insert(message.sequence, inventory.chain());
    }
    Reference { output, chains, inventory }
}

impl Reference {
    /// The last identity that is to be announced.
    pub(crate) fn last(&self) -> Identity {
        self.output.last().unwrap_or(Identity::START)
    }
}

/// Whether all that can be announced of a shard is, and nothing more comes of itself.
pub(crate) async fn is_done(world: &World, shard: usize) -> bool {
    let reference = fold(&world.shards[shard].history());
    let through =
        world.shards[shard].appends().await.last().map_or(Identity::START, |last| last.append.header.through);
    through == reference.last() && reference.inventory.due() == Due::Never
}

/// Whether no snapshot is overdue.
pub(crate) async fn is_saved(world: &World, shard: usize, every_records: u64) -> bool {
    let newest = kept(world, shard).await.first().map_or(0, |kept| kept.sequence);
    let behind = world.shards[shard].history().iter().filter(|message| message.sequence > newest).count();
    // A message has one record at least.
    (behind as u64) < every_records
}

/// What was announced of a shard is what one fold decides, once each, in order; at least that of the first `complete` messages.
pub(crate) async fn announced(world: &World, shard: usize, history: &[LogMessage], complete: usize) {
    let seed = world.seed;
    let reference = fold(history);
    let mut expected = reference.output.outcomes();
    let mut through = Identity::START;
    for stored in world.shards[shard].appends().await {
        let header = &stored.append.header;
        assert_eq!(
            header.from, through,
            "seed {seed}: append {} of shard {shard} does not go on where the one before ended",
            stored.sequence
        );
        through = header.through;
        let told = outcomes(stored.append.format, &stored.append.payload).unwrap();
        assert!(!told.is_empty(), "seed {seed}: an empty append");
        for told in told {
            let (entry, bytes) =
                expected.next().unwrap_or_else(|| panic!("seed {seed}: {told:?} is too much"));
            let wanted = decode_outcome(bytes).unwrap();
            assert_eq!(
                told,
                wanted,
                "seed {seed}: outcome {} of shard {shard} is not what the log decides",
                entry.identity()
            );
            assert!(entry.identity() <= through, "seed {seed}: {} lies beyond {through}", entry.identity());
        }
        if header.chain.sequence > 0 {
            assert_eq!(
                header.chain, reference.chains[&header.chain.sequence],
                "seed {seed}: the chain of append {} of shard {shard}",
                stored.sequence
            );
        }
    }
    let missing = expected.next().map(|(entry, _)| entry.identity());
    let missing = missing.filter(|identity| identity.sequence <= complete as u64);
    assert_eq!(missing, None, "seed {seed}: not announced");
    assert_eq!(reference.inventory.check_books(), Ok(()), "seed {seed}: shard {shard}");
}

fn edges(world: &World, shard: usize) -> ShardEdges<InMemory> {
    let streams = world.shards[shard].streams();
    ShardEdges { streams, pointers: world.keys.clone(), objects: world.objects.clone() }
}

pub(crate) fn store(world: &World, shard: usize) -> Snapshots<InMemory> {
    Snapshots::new(&format!("s{shard}"), &edges(world, shard))
}

/// The snapshots that are pointed to, newest first.
pub(crate) async fn kept(world: &World, shard: usize) -> Vec<Kept> {
    store(world, shard).kept().await.unwrap()
}

/// Every snapshot that is pointed to and has not rotted holds the state of its sequence; nothing of it was not announced; and the
/// log still holds what comes after the second-newest of them. The audit agrees.
pub(crate) async fn snapshots(world: &World, shard: usize, history: &[LogMessage]) -> usize {
    let seed = world.seed;
    let truth = &world.shards[shard];
    let snapshots = store(world, shard);
    let kept = snapshots.kept().await.unwrap();
    let announced = truth.appends().await.last().map_or(Identity::START, |last| last.append.header.through);
    for kept in &kept {
        assert!(
            kept.through().unwrap() <= announced,
            "seed {seed}: {} is ahead of what was announced",
            kept.name
        );
        let restored = snapshots.restore(kept, FoldOn::Task).await;
        let inventory = restored.unwrap_or_else(|error| panic!("seed {seed}: {error}")).inventory;
        let until = history.partition_point(|message| message.sequence <= kept.sequence);
        let reference = fold(&history[..until]);
        assert_eq!(kept.through(), Some(reference.last()), "seed {seed}: {}", kept.name);
        let reference = reference.inventory;
        assert_eq!(inventory.chain(), reference.chain(), "seed {seed}: {}", kept.name);
        let Digests { state, ledger } = reference.digests();
        assert_eq!(inventory.digests(), Digests { state, ledger }, "seed {seed}: {}", kept.name);
    }
    let first = weir::edges::streams::Streams::log_state(&truth.streams()).await.unwrap().first_sequence;
    // Behind the second-newest at most: the newest may be damaged.
    let second = kept.get(1).map_or(0, |kept| kept.sequence);
    assert!(
        first <= second + 1,
        "seed {seed}: the log begins at {first}, the second-newest snapshot is of {second}"
    );
    audits(world, shard).await;
    kept.len()
}

/// The audit agrees.
pub(crate) async fn audits(world: &World, shard: usize) {
    let seed = world.seed;
    let pace = Pace { fold_on: FoldOn::Task, clock: SystemClock::shared(), rests: 0 };
    let findings = audit(&format!("s{shard}"), &edges(world, shard), From::Farthest, &pace).await;
    let findings = findings.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    assert_eq!(findings.first, None, "seed {seed}: shard {shard}");
}

/// All that a run left behind, in one number.
pub(crate) async fn digest(world: &World) -> u64 {
    let mut hasher = Hasher::new();
    for truth in &world.shards {
        for message in truth.history() {
            hasher.number(message.hash());
        }
        for stored in truth.appends().await {
            hasher.text(&stored.append.header.writer).bytes(&stored.append.payload);
        }
    }
    hasher.finish()
}
