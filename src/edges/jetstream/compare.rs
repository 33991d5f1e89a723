//! Compares an existing stream with what Weir needs.
//!
//! Refused is what would lose messages, renumber or hide them, or let somebody else's writes pass the fence. What
//! merely differs is told and left alone: an operator may have had a reason.

use std::fmt::Display;

use super::request::StreamConfig;
use crate::words::config::{Storage, StreamSettings};

/// The size limit of the leases, in bytes: thousands of them.
const LEASES_BYTES_MAX: u64 = 8 << 20;
/// The size limit of the pointers, in bytes: thousands of them, several times over.
const POINTERS_BYTES_MAX: u64 = 64 << 20;
/// The size limit of a stream, as NATS has it.
pub(super) fn bytes_max(settings: &StreamSettings, role: Role) -> i64 {
    let bytes = match role {
        Role::Log => settings.log_bytes_max,
        Role::Outcomes => settings.outcomes_bytes_max,
        Role::DeadLetters => settings.dead_letters_bytes_max,
        Role::Leases => LEASES_BYTES_MAX,
        Role::Pointers => POINTERS_BYTES_MAX,
        Role::Snapshots => settings.snapshots_bytes_max,
        Role::Signals => settings.signals_bytes_max,
    };
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// A setting under which a stream would lose data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stream {stream}: {setting} is {is}, it must be {must}")]
pub struct Difference {
    /// Which stream.
    pub stream: String,
    /// Which of its settings, by the server's name for it.
    pub setting: &'static str,
    /// What it is.
    pub is: String,
    /// What it must be.
    pub must: String,
}

/// What a stream is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Log,
    Outcomes,
    DeadLetters,
    Leases,
    Pointers,
    Snapshots,
    /// Early warnings: best effort, so that nothing about them is refused but what would take them for something else.
    Signals,
}

impl Role {
    /// How many values of one key a table keeps; none where the stream is no table.
    pub(super) const fn history(self) -> Option<i64> {
        match self {
            Self::Leases => Some(1),
            // For people who look into what went wrong.
            Self::Pointers => Some(8),
            Self::Log | Self::Outcomes | Self::DeadLetters | Self::Snapshots | Self::Signals => None,
        }
    }

    /// Whether it refuses what it has no room for; else it drops its oldest.
    pub(super) const fn refuses_when_full(self) -> bool {
        // Outcomes are repeated by folding the log again; what must not be lost is the last append.
        !matches!(self, Self::Outcomes | Self::DeadLetters | Self::Signals)
    }

    /// Whether other clients may want to replace all messages of a subject by one: so they remove.
    pub(super) const fn is_bucket(self) -> bool {
        matches!(self, Self::Leases | Self::Pointers | Self::Snapshots)
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// What must not be.
    pub(super) refused: Vec<Difference>,
    /// What may stay, for a person to read.
    pub(super) notes: Vec<String>,
}

struct Comparing<'a> {
    stream: &'a str,
    found: Comparison,
}

impl Comparing<'_> {
    fn must(&mut self, good: bool, setting: &'static str, is: impl Display, must: impl Display) {
        if !good {
            let stream = self.stream.to_owned();
            self.found.refused.push(Difference {
                stream,
                setting,
                is: is.to_string(),
                must: must.to_string(),
            });
        }
    }

    fn off(&mut self, on: bool, setting: &'static str) {
        self.must(!on, setting, "set", "absent");
    }

    fn unlimited(&mut self, limit: i64, setting: &'static str) {
        self.must(limit <= 0, setting, limit, "unlimited (-1)");
    }

    fn note(&mut self, differs: bool, note: impl FnOnce() -> String) {
        if differs {
            self.found.notes.push(note());
        }
    }
}

/// Compares `stream`, as it is, with what `role` needs and, where given, with what was configured.
pub(super) fn compare(
    stream: &str,
    role: Role,
    subjects: &[String],
    is: &StreamConfig,
    settings: Option<&StreamSettings>,
) -> Comparison {
    let mut compare = Comparing { stream, found: Comparison::default() };
    let c = &mut compare;
    let (mut is_subjects, mut must_subjects) = (is.subjects.clone(), subjects.to_vec());
    is_subjects.sort_unstable();
    must_subjects.sort_unstable();
    c.must(is_subjects == must_subjects, "subjects", is.subjects.join(","), subjects.join(","));
    c.must(is.retention == "limits", "retention", &is.retention, "limits");
    c.off(is.mirror.is_some(), "mirror");
    c.off(is.sources.as_ref().is_some_and(|sources| !sources.is_empty()), "sources");
    c.off(is.subject_transform.is_some(), "subject_transform");
    c.must(!is.no_ack, "no_ack", true, false);
    c.must(!is.sealed, "sealed", true, false);
    c.must(!is.allow_msg_counter, "allow_msg_counter", true, false);
    c.must(
        matches!(is.persist_mode.as_deref(), None | Some("" | "default")),
        "persist_mode",
        is.persist_mode.as_deref().unwrap_or_default(),
        "default",
    );
    if role == Role::DeadLetters {
        c.note(is.max_age > 0, || {
            format!("max_age is {} s: older dead letters are lost", is.max_age / 1_000_000_000)
        });
        c.note(is.max_msgs > 0, || format!("max_msgs is {}: older dead letters are lost", is.max_msgs));
    } else if role != Role::Signals {
        kept(c, role, is);
    }
    if role.refuses_when_full() {
        c.must(is.discard == "new", "discard", &is.discard, "new");
    }
    c.must(!is.discard_new_per_subject, "discard_new_per_subject", true, false);
    if let Some(settings) = settings {
        configured(c, role, is, settings);
    }
    compare.found
}

/// What a stream needs that must not lose what it was not told to drop.
fn kept(c: &mut Comparing<'_>, role: Role, is: &StreamConfig) {
    c.must(is.max_age <= 0, "max_age", format!("{} s", is.max_age / 1_000_000_000), "unlimited (0)");
    c.unlimited(is.max_msgs, "max_msgs");
    match role.history() {
        None => c.unlimited(is.max_msgs_per_subject, "max_msgs_per_subject"),
        // Old values would fill the table, which then takes no new ones.
        Some(history) => {
            c.must(
                is.max_msgs_per_subject > 0,
                "max_msgs_per_subject",
                is.max_msgs_per_subject,
                format!("at least 1, such as {history}"),
            );
            c.note(is.max_msgs_per_subject > history, || {
                format!("max_msgs_per_subject is {}, Weir makes it {history}", is.max_msgs_per_subject)
            });
        }
    }
    c.must(role.is_bucket() || !is.allow_rollup_hdrs, "allow_rollup_hdrs", true, false);
    c.must(!is.allow_msg_ttl, "allow_msg_ttl", true, false);
    // A smaller limit than the server's max_payload would refuse what the batches are cut for.
    c.unlimited(is.max_msg_size, "max_msg_size");
    if role == Role::Snapshots {
        // It would fill up with what was removed.
        c.must(!is.deny_purge, "deny_purge", true, false);
    } else {
        c.note(is.deny_purge, || "deny_purge is set: Weir cannot trim it".to_owned());
    }
}

fn configured(c: &mut Comparing<'_>, role: Role, is: &StreamConfig, settings: &StreamSettings) {
    let bytes_max = bytes_max(settings, role);
    if is.max_bytes <= 0 {
        c.note(true, || format!("max_bytes is unlimited, configured is {bytes_max}"));
    } else {
        // What a full bucket refuses is not lost.
        let enough = role.is_bucket() || role == Role::Signals || is.max_bytes >= bytes_max;
        c.must(enough, "max_bytes", is.max_bytes, format!("at least {bytes_max}"));
        c.note(enough && is.max_bytes != bytes_max, || {
            format!("max_bytes is {}, configured is {bytes_max}", is.max_bytes)
        });
    }
    c.note(is.num_replicas != settings.replicas, || {
        format!("num_replicas is {}, configured is {}", is.num_replicas, settings.replicas)
    });
    match settings.storage {
        Storage::File => c.must(is.storage == "file", "storage", &is.storage, "file"),
        Storage::Memory => {
            c.note(is.storage != "memory", || format!("storage is {}, configured is memory", is.storage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> StreamConfig {
        serde_json::from_str(
            r#"{"subjects":["weir.log.main"],"retention":"limits","discard":"new","storage":"file",
                "num_replicas":1,"max_bytes":8589934592,"max_msgs":-1,"max_msgs_per_subject":-1,"max_msg_size":-1,
                "max_age":0,"persist_mode":"default","a_setting_of_tomorrow":1}"#,
        )
        .unwrap()
    }

    fn refused(change: impl FnOnce(&mut StreamConfig)) -> Vec<&'static str> {
        let mut config = good();
        change(&mut config);
        let settings = StreamSettings::default();
        let found = compare("S", Role::Log, &["weir.log.main".to_owned()], &config, Some(&settings));
        found.refused.iter().map(|difference| difference.setting).collect()
    }

    #[test]
    fn whatever_loses_data_is_refused_by_name() {
        assert!(refused(|_| ()).is_empty());
        assert_eq!(refused(|c| c.subjects = vec!["other".into()]), ["subjects"]);
        assert_eq!(refused(|c| c.retention = "workqueue".into()), ["retention"]);
        assert_eq!(refused(|c| c.discard = "old".into()), ["discard"]);
        assert_eq!(refused(|c| c.storage = "memory".into()), ["storage"]);
        assert_eq!(refused(|c| c.max_bytes = 1), ["max_bytes"]);
        assert_eq!(refused(|c| c.max_age = 1), ["max_age"]);
        assert_eq!(refused(|c| c.max_msgs = 1), ["max_msgs"]);
        assert_eq!(refused(|c| c.max_msgs_per_subject = 1), ["max_msgs_per_subject"]);
        assert_eq!(refused(|c| c.max_msg_size = 1), ["max_msg_size"]);
        assert_eq!(refused(|c| c.allow_msg_ttl = true), ["allow_msg_ttl"]);
        assert_eq!(refused(|c| c.allow_rollup_hdrs = true), ["allow_rollup_hdrs"]);
        assert_eq!(refused(|c| c.persist_mode = Some("async".into())), ["persist_mode"]);
        assert_eq!(refused(|c| c.sealed = true), ["sealed"]);
        assert_eq!(refused(|c| c.no_ack = true), ["no_ack"]);
    }

    #[test]
    fn buckets_may_be_small_but_drop_nothing() {
        fn compared(role: Role, change: impl FnOnce(&mut StreamConfig)) -> (Vec<&'static str>, Vec<String>) {
            let mut config = good();
            config.subjects = vec!["b".to_owned(), "a".to_owned()];
            config.max_msgs_per_subject = role.history().unwrap_or(-1);
            config.max_bytes = bytes_max(&StreamSettings::default(), role);
            config.allow_rollup_hdrs = true;
            change(&mut config);
            let subjects = ["a".to_owned(), "b".to_owned()];
            let found = compare("S", role, &subjects, &config, Some(&StreamSettings::default()));
            (found.refused.iter().map(|difference| difference.setting).collect(), found.notes)
        }
        for role in [Role::Leases, Role::Pointers, Role::Snapshots] {
            assert_eq!(compared(role, |_| ()), (vec![], vec![]), "{role:?}");
            let (refused, notes) = compared(role, |c| c.max_bytes = 1_000);
            assert!(
                refused.is_empty() && notes[0].starts_with("max_bytes is 1000, configured is"),
                "{notes:?}"
            );
            assert_eq!(compared(role, |c| c.discard = "old".into()).0, ["discard"]);
            assert_eq!(compared(role, |c| c.max_age = 1).0, ["max_age"]);
            assert_eq!(compared(role, |c| c.allow_msg_ttl = true).0, ["allow_msg_ttl"]);
            assert_eq!(compared(role, |c| c.storage = "memory".into()).0, ["storage"]);
        }
        assert_eq!(compared(Role::Leases, |c| c.max_msgs_per_subject = -1).0, ["max_msgs_per_subject"]);
        assert_eq!(compared(Role::Leases, |c| c.max_msgs_per_subject = 5).1.len(), 1);
        assert_eq!(compared(Role::Snapshots, |c| c.max_msgs_per_subject = 1).0, ["max_msgs_per_subject"]);
        assert_eq!(compared(Role::Snapshots, |c| c.deny_purge = true).0, ["deny_purge"]);
    }

    #[test]
    fn what_merely_differs_is_noted() {
        let mut config = good();
        config.max_bytes = -1;
        config.num_replicas = 3;
        let settings = StreamSettings::default();
        let found = compare("S", Role::Log, &["weir.log.main".to_owned()], &config, Some(&settings));
        assert!(found.refused.is_empty());
        assert_eq!(
            found.notes,
            ["max_bytes is unlimited, configured is 8589934592", "num_replicas is 3, configured is 1"]
        );
    }
}
