//! What the streams of a deployment are called, and which subjects they take.
//!
//! Deployments that share an account have different prefixes. There is no subject per order or SKU: a server's
//! memory grows with its subjects.

use crate::words::codes::Family;
use crate::words::config::is_token;
use crate::words::message::Way;
use crate::words::outcome::OutcomeKind;
use crate::words::query::Query;

/// The prefix of a deployment that was given none.
pub const PREFIX_DEFAULT: &str = "weir";

/// A prefix or a shard's name that cannot stand in a subject and in a stream's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} {name:?} is not 1 to 32 characters of A-Z, a-z, 0-9, '_' and '-'")]
pub struct NameError {
    /// What it was meant to be.
    what: &'static str,
    /// The text in question.
    name: String,
}

fn valid(what: &'static str, name: &str) -> Result<(), NameError> {
    if is_token(name) { Ok(()) } else { Err(NameError { what, name: name.to_owned() }) }
}

/// The names of one deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    prefix: String,
    stream_prefix: String,
}

impl Default for Names {
    fn default() -> Self {
        Self { prefix: PREFIX_DEFAULT.to_owned(), stream_prefix: PREFIX_DEFAULT.to_ascii_uppercase() }
    }
}

impl Names {
    /// The names under `prefix`: 1 to 32 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`.
    pub fn new(prefix: &str) -> Result<Self, NameError> {
        valid("the prefix", prefix)?;
        Ok(Self { prefix: prefix.to_owned(), stream_prefix: prefix.to_ascii_uppercase() })
    }

    /// The prefix of every subject.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The stream of the dead letters of all shards.
    #[must_use]
    pub fn dead_letters_stream(&self) -> String {
        format!("{}_DEAD_LETTERS", self.stream_prefix)
    }

    /// The subjects of that stream: one for each shard.
    #[must_use]
    pub fn dead_letters_subjects(&self) -> String {
        format!("{}.dead.*", self.prefix)
    }

    /// The stream of the signals of all shards.
    #[must_use]
    pub fn signals_stream(&self) -> String {
        format!("{}_SIGNALS", self.stream_prefix)
    }

    /// The subjects of that stream: one for each shard and kind.
    #[must_use]
    pub fn signals_subjects(&self) -> String {
        format!("{}.signals.*.*", self.prefix)
    }

    /// The bucket of the leases: a table.
    #[must_use]
    pub fn leases_bucket(&self) -> String {
        format!("{}_LEASES", self.stream_prefix)
    }

    /// The bucket of the pointers to snapshots: a table.
    #[must_use]
    pub fn pointers_bucket(&self) -> String {
        format!("{}_POINTERS", self.stream_prefix)
    }

    /// The bucket of the snapshots: an object store.
    #[must_use]
    pub fn snapshots_bucket(&self) -> String {
        format!("{}_SNAPSHOTS", self.stream_prefix)
    }

    /// The subjects of all requests at a door: one for each family.
    #[must_use]
    pub fn submit_subjects(&self) -> String {
        format!("{}.submit.*", self.prefix)
    }

    /// Where requests of a family go.
    #[must_use]
    pub fn submit_subject(&self, family: Family) -> String {
        format!("{}.submit.{}", self.prefix, family.name())
    }

    /// Where a question goes to whoever has a shard's state; to any worker, where no shard is named.
    #[must_use]
    pub fn query_subject(&self, shard: Option<&str>, query: Query) -> String {
        let (prefix, query) = (&self.prefix, query.name());
        shard.map_or_else(
            || format!("{prefix}.query.{query}"),
            |shard| format!("{prefix}.query.{shard}.{query}"),
        )
    }

    /// Where an outcome of a shard is told as a message of its own.
    #[must_use]
    pub fn notify_subject(&self, shard: &str, outcome: OutcomeKind) -> String {
        format!("{}.notify.{shard}.{}", self.prefix, outcome.name())
    }

    /// Whether a subject is one where nobody has an inbox, and where a worker may publish what whoever asks it may not: the server's own
    /// interface, which purges streams, and this deployment's subjects. No answer goes there.
    pub(super) fn is_for_workers_only(&self, subject: &[u8]) -> bool {
        let own = subject.strip_prefix(self.prefix.as_bytes()).is_some_and(|rest| rest.starts_with(b"."));
        own || subject.starts_with(b"$")
    }

    /// The names of one shard, whose own name has the same bounds as the prefix.
    pub fn shard(&self, shard: &str) -> Result<ShardNames, NameError> {
        valid("the shard", shard)?;
        let Self { prefix, stream_prefix } = self;
        Ok(ShardNames {
            shard: shard.to_owned(),
            log_stream: format!("{stream_prefix}_LOG_{shard}"),
            log_subject: format!("{prefix}.log.{shard}"),
            log_subjects: with_families(&format!("{prefix}.log.{shard}")),
            closed_log_subject: format!("{prefix}.closed.{shard}"),
            closed_log_subjects: with_families(&format!("{prefix}.closed.{shard}")),
            outcomes_stream: format!("{stream_prefix}_OUTCOMES_{shard}"),
            outcomes_subject: format!("{prefix}.outcomes.{shard}"),
            dead_letters_stream: self.dead_letters_stream(),
            dead_letters_subject: format!("{prefix}.dead.{shard}"),
            signals_stream: self.signals_stream(),
            signals_subject: format!("{prefix}.signals.{shard}"),
        })
    }
}

/// A subject, and those behind it that take the commands of one family.
fn with_families(subject: &str) -> Vec<String> {
    let families = Family::ALL.map(|family| format!("{subject}.{}", family.name()));
    std::iter::once(subject.to_owned()).chain(families).collect()
}

/// By which of a shard's subjects a message came: `<prefix>.log.<shard>`, or that and a family.
pub(super) fn way(subject: &str) -> Way {
    Way::of_token(subject.splitn(4, '.').nth(3))
}

/// The names of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardNames {
    /// The shard itself.
    pub shard: String,
    /// The stream of its log.
    pub log_stream: String,
    /// The subject of that stream that takes commands of any family.
    pub log_subject: String,
    /// All subjects of that stream: that one, and one for each family.
    pub log_subjects: Vec<String>,
    /// The first of its subjects while the log is closed: nobody knows them.
    pub closed_log_subject: String,
    /// All of its subjects while the log is closed.
    pub closed_log_subjects: Vec<String>,
    /// The stream of its outcomes.
    pub outcomes_stream: String,
    /// The only subject of that stream.
    pub outcomes_subject: String,
    /// The stream of the dead letters of all shards.
    pub dead_letters_stream: String,
    /// This shard's subject in it.
    pub dead_letters_subject: String,
    /// The stream of the signals of all shards.
    pub signals_stream: String,
    /// What stands before a kind in this shard's subjects of it.
    pub signals_subject: String,
}

/// The names of a table: those that every client of NATS gives to a bucket of keys and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableNames {
    pub(super) stream: String,
    /// What stands before a key in its subject.
    pub(super) keys: String,
}

impl TableNames {
    pub(super) fn new(bucket: &str) -> Self {
        Self { stream: format!("KV_{bucket}"), keys: format!("$KV.{bucket}.") }
    }

    pub(super) fn subjects(&self) -> Vec<String> {
        vec![format!("{}>", self.keys)]
    }
}

/// The names of an object store: those that every client of NATS gives to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreNames {
    pub(super) bucket: String,
    pub(super) stream: String,
    /// What stands before an object's name, in base64, in the subject of what is known of it.
    pub(super) infos: String,
    /// What stands before an object's unique id in the subject of its chunks.
    pub(super) chunks: String,
}

impl StoreNames {
    pub(super) fn new(bucket: &str) -> Self {
        Self {
            bucket: bucket.to_owned(),
            stream: format!("OBJ_{bucket}"),
            infos: format!("$O.{bucket}.M."),
            chunks: format!("$O.{bucket}.C."),
        }
    }

    pub(super) fn subjects(&self) -> Vec<String> {
        vec![format!("{}>", self.chunks), format!("{}>", self.infos)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_stands_in_every_name() {
        let names = Names::default().shard("main").unwrap();
        assert_eq!(names.log_stream, "WEIR_LOG_main");
        assert_eq!(names.log_subject, "weir.log.main");
        assert_eq!(names.outcomes_stream, "WEIR_OUTCOMES_main");
        assert_eq!(names.outcomes_subject, "weir.outcomes.main");
        let other = Names::new("shop-2").unwrap();
        assert_eq!(other.dead_letters_stream(), "SHOP-2_DEAD_LETTERS");
        assert_eq!(other.shard("eu").unwrap().dead_letters_subject, "shop-2.dead.eu");
        assert_eq!(TableNames::new(&other.leases_bucket()).subjects(), ["$KV.SHOP-2_LEASES.>"]);
        assert_eq!(TableNames::new(&other.pointers_bucket()).stream, "KV_SHOP-2_POINTERS");
        let snapshots = StoreNames::new(&other.snapshots_bucket());
        assert_eq!(snapshots.stream, "OBJ_SHOP-2_SNAPSHOTS");
        assert_eq!(snapshots.subjects(), ["$O.SHOP-2_SNAPSHOTS.C.>", "$O.SHOP-2_SNAPSHOTS.M.>"]);
    }

    #[test]
    fn answers_go_to_inboxes() {
        let names = Names::new("shop-2").unwrap();
        for subject in ["$JS.API.STREAM.PURGE.SHOP-2_LOG_main", "$KV.x", "shop-2.log.main", "shop-2."] {
            assert!(names.is_for_workers_only(subject.as_bytes()), "{subject}");
        }
        for subject in ["_INBOX.a.b", "_INBOX.checkout.a", "shop-2", "shop-22.inbox", "weir.x", ""] {
            assert!(!names.is_for_workers_only(subject.as_bytes()), "{subject}");
        }
    }

    #[test]
    fn nothing_that_could_widen_a_subject_passes() {
        for bad in ["", "a.b", "*", ">", "a b", "a\n", "é", &"x".repeat(33)] {
            assert!(Names::new(bad).is_err(), "{bad:?}");
            assert!(Names::default().shard(bad).is_err(), "{bad:?}");
        }
        assert!(Names::new(&"x".repeat(32)).is_ok());
    }
}
