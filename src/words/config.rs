//! The configuration of a worker: which broker, which shards, which limits. Nothing in it can change a decision: what the
//! fold is told comes as policy, through the log.
//!
//! A file (TOML), then the environment, then flags; each layer overrides the one before. Reading files and the
//! environment is the commands' business; here is what they fill in, its defaults and its bounds.

use serde::{Deserialize, Serialize};

use super::codec::Format;
use super::policy::{SITE_DEFAULT, SITES_MAX};
use super::text::is_id;

/// All that a worker is told at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The broker.
    pub nats: Nats,
    /// The admin server.
    pub admin: Admin,
    /// The worker itself.
    pub worker: Worker,
    /// How streams are made.
    pub streams: StreamSettings,
    /// When snapshots are taken, and where they are kept.
    pub snapshots: SnapshotSettings,
    /// What of the logs is kept for reports.
    pub log: LogSettings,
    /// What is measured beside the fold.
    pub analytics: AnalyticsSettings,
    /// The shards, and the sites that they hold. Default: one shard `main` with one site `main`.
    pub shards: Shards,
}

/// The broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Nats {
    /// One URL or several of one cluster.
    pub urls: Vec<String>,
    /// The first word of every subject, so that several deployments can share an account: 1 to 32 letters, digits,
    /// `-` and `_`.
    pub prefix: String,
}

/// The admin server: metrics and probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where it listens: an address and port. Nothing on it asks for a token, so keep it on loopback or on a network that
    /// only Prometheus reaches.
    pub address: String,
}

/// The worker itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Worker {
    /// Its name in the headers of its appends; default: host name and process id.
    pub name: String,
    /// How outcomes are written.
    pub outcomes: Format,
    /// How long draining may take before the worker stops all the same, in milliseconds: 0 to 600,000.
    pub drain_deadline_ms: u64,
    /// How long a lease on a shard holds without being renewed, in milliseconds: 500 to 60,000. When a worker dies, another one leads
    /// its shards about this much later. The same for all workers.
    pub lease_ms: u64,
    /// How many workers should stand by for each shard this one leads, folding its log so that they can take over from memory: 0 to
    /// 4.
    pub standbys: usize,
    /// How often a standby audits each of its shards by itself, in minutes: 0 (never) to 100,000. Once a day finds what is wrong
    /// while log, outcomes and snapshots still show how it came about, and costs little.
    pub audit_every_minutes: u64,
    /// How the worker writes its own log lines.
    pub log: LogStyle,
    /// Whether decisions are counted and timed for `/metrics`. How far each shard is shows there all the same.
    pub metrics: bool,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStyle {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How streams are made. Existing ones are compared with it; see `weir setup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSettings {
    /// Copies of each stream, in a cluster: 1 to 5. One does not survive the loss of its server.
    pub replicas: usize,
    /// Where the broker keeps them. Memory does not survive a restart of the broker.
    pub storage: Storage,
    /// The size limit of each shard's log, in bytes. A full log refuses commands.
    pub log_bytes_max: u64,
    /// The size limit of each shard's outcome stream, in bytes. Beyond it the oldest outcomes go.
    pub outcomes_bytes_max: u64,
    /// The size limit of the dead letters, in bytes. Beyond it the oldest go.
    pub dead_letters_bytes_max: u64,
    /// The size limit of the snapshots of all shards, in bytes. A full store takes no more of them, so that logs are not
    /// trimmed. Where the broker has no room for so much, it is made smaller.
    pub snapshots_bytes_max: u64,
    /// The size limit of the signals of all shards, in bytes. Beyond it the oldest go.
    pub signals_bytes_max: u64,
}

/// When snapshots are taken, and where they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SnapshotSettings {
    /// A snapshot is taken after so many records of a shard, and sooner while its log is half full: 1,000 and more.
    pub every_records: u64,
    /// How many are kept of each shard, 3 to 100. The log is trimmed behind the second-newest.
    pub keep: usize,
    /// A folder to keep them in, in place of the broker's object store: for a worker that is alone on its machine. Empty for the
    /// object store.
    pub folder: String,
}

impl Default for SnapshotSettings {
    fn default() -> Self {
        Self { every_records: 5_000_000, keep: 3, folder: String::new() }
    }
}

/// What of the logs is kept for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// How long a log is kept beyond what snapshots need, in hours: 0 to 87,840 (ten years). Reports see back as far as it goes. A log
    /// that is half full is trimmed all the same.
    pub keep_for_hours: u64,
}

/// What is measured beside the fold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AnalyticsSettings {
    /// Whether anything is.
    pub enabled: bool,
    /// The probability to arrive late from which an order is warned of, in percent: 1 to 99.
    pub warn_at_percent: u8,
    /// In which time zone reports have their days: a name of the IANA database, such as `Europe/Berlin`.
    pub time_zone: String,
}

impl Default for AnalyticsSettings {
    fn default() -> Self {
        Self { enabled: true, warn_at_percent: 40, time_zone: "UTC".to_owned() }
    }
}

/// Where the broker keeps a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In memory.
    Memory,
}

/// The shards, by configuration order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shards(pub Vec<Shard>);

/// A shard, and the sites that it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shard {
    /// 1 to 32 letters, digits, `-` and `_`.
    pub name: String,
    /// No site is in two shards.
    pub sites: Vec<String>,
}

impl Default for Nats {
    fn default() -> Self {
        Self { urls: vec!["nats://127.0.0.1:4222".to_owned()], prefix: "weir".to_owned() }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: "127.0.0.1:9464".to_owned() }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            name: String::new(),
            outcomes: Format::Json,
            drain_deadline_ms: 10_000,
            lease_ms: 3_000,
            standbys: 1,
            audit_every_minutes: 1_440,
            log: LogStyle::Text,
            metrics: true,
        }
    }
}

impl Default for StreamSettings {
    fn default() -> Self {
        Self {
            replicas: 1,
            storage: Storage::File,
            log_bytes_max: 8 << 30,
            outcomes_bytes_max: 8 << 30,
            dead_letters_bytes_max: 256 << 20,
            snapshots_bytes_max: 32 << 30,
            signals_bytes_max: 256 << 20,
        }
    }
}

impl Default for Shards {
    fn default() -> Self {
        Self(vec![Shard { name: "main".to_owned(), sites: vec![SITE_DEFAULT.to_owned()] }])
    }
}

/// What is wrong with a configuration: one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(String);

fn wrong(text: impl Into<String>) -> ConfigError {
    ConfigError(text.into())
}

/// Whether a text may be a part of a stream's name and of a subject.
#[must_use]
pub fn is_token(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

impl Config {
    /// Reads the file's layer.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            wrong(format!("line {line}: {}", error.message()))
        })
    }

    /// The configuration as a file.
    ///
    /// # Panics
    /// Never: every value has a form in TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("plain tables and arrays of tables")
    }

    /// Checks every value against its bounds.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.nats.urls.is_empty() {
            return Err(wrong("nats.urls: at least one URL is needed"));
        }
        for url in &self.nats.urls {
            // The URL may hold a password: it is not repeated.
            let known = ["nats://", "tls://"].iter().any(|scheme| url.starts_with(scheme));
            if !known || url.len() > 512 {
                return Err(wrong("nats.urls: each begins with nats:// or tls:// and has at most 512 bytes"));
            }
        }
        if !is_token(&self.nats.prefix) {
            return Err(wrong("nats.prefix: 1 to 32 letters, digits, '-' and '_'"));
        }
        if self.admin.address.parse::<std::net::SocketAddr>().is_err() {
            return Err(wrong(format!(
                "admin.address: {:?} is not an address and a port, such as 127.0.0.1:9464",
                self.admin.address
            )));
        }
        if !self.worker.name.is_empty() && !is_token(&self.worker.name) {
            return Err(wrong("worker.name: 1 to 32 letters, digits, '-' and '_'"));
        }
        if self.worker.drain_deadline_ms > 600_000 {
            return Err(wrong("worker.drain_deadline_ms: 0 to 600000"));
        }
        if !(500..=60_000).contains(&self.worker.lease_ms) {
            return Err(wrong("worker.lease_ms: 500 to 60000"));
        }
        if self.worker.standbys > 4 {
            return Err(wrong("worker.standbys: 0 to 4"));
        }
        if self.worker.audit_every_minutes > 100_000 {
            return Err(wrong("worker.audit_every_minutes: 0 to 100000"));
        }
        if self.snapshots.every_records < 1_000 {
            return Err(wrong("snapshots.every_records: 1000 and more"));
        }
        if !(3..=100).contains(&self.snapshots.keep) {
            return Err(wrong("snapshots.keep: 3 to 100"));
        }
        if self.log.keep_for_hours > 87_840 {
            return Err(wrong("log.keep_for_hours: 0 to 87840"));
        }
        if !(1..=99).contains(&self.analytics.warn_at_percent) {
            return Err(wrong("analytics.warn_at_percent: 1 to 99"));
        }
        let zone = &self.analytics.time_zone;
        if jiff::tz::TimeZone::get(zone).is_err() || zone.len() > 64 {
            return Err(wrong(
                "analytics.time_zone: a name of the IANA database that this machine has, such as UTC",
            ));
        }
        if !(1..=5).contains(&self.streams.replicas) {
            return Err(wrong("streams.replicas: 1 to 5"));
        }
        for (name, bytes) in [
            ("log_bytes_max", self.streams.log_bytes_max),
            ("outcomes_bytes_max", self.streams.outcomes_bytes_max),
            ("dead_letters_bytes_max", self.streams.dead_letters_bytes_max),
            ("snapshots_bytes_max", self.streams.snapshots_bytes_max),
            ("signals_bytes_max", self.streams.signals_bytes_max),
        ] {
            if !((1 << 20)..=(1 << 50)).contains(&bytes) {
                return Err(wrong(format!("streams.{name}: 1048576 (1 MiB) to 1125899906842624 (1 PiB)")));
            }
        }
        self.check_shards()
    }

    fn check_shards(&self) -> Result<(), ConfigError> {
        let shards = &self.shards.0;
        if shards.is_empty() || shards.len() > 1024 {
            return Err(wrong("shards: 1 to 1024"));
        }
        let mut names = std::collections::BTreeSet::new();
        let mut sites = std::collections::BTreeSet::new();
        for shard in shards {
            if !is_token(&shard.name) {
                return Err(wrong("shards.name: 1 to 32 letters, digits, '-' and '_'"));
            }
            if !names.insert(&shard.name) {
                return Err(wrong(format!("shards: {:?} is named twice", shard.name)));
            }
            if shard.sites.is_empty() || shard.sites.len() > SITES_MAX {
                return Err(wrong(format!("shards: {:?} needs 1 to {SITES_MAX} sites", shard.name)));
            }
            for site in &shard.sites {
                if !is_id(site) {
                    return Err(wrong("shards.sites: 1 to 64 bytes without control characters"));
                }
                if !sites.insert(site) {
                    return Err(wrong(format!("shards: site {site:?} is named twice")));
                }
            }
        }
        Ok(())
    }

    /// The shard that holds a site.
    #[must_use]
    pub fn shard_of(&self, site: &str) -> Option<&Shard> {
        self.shards.0.iter().find(|shard| shard.sites.iter().any(|held| held == site))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_its_own_file() {
        let config = Config::default();
        config.check().unwrap();
        assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
        assert_eq!(Config::parse("").unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        let cases = [
            ("[nats]\nurl = \"nats://a\"", "line 2: unknown field `url`"),
            ("[nats]\nurls = [\"http://a\"]", "nats.urls: each begins"),
            ("[nats]\nprefix = \"a.b\"", "nats.prefix: 1 to 32"),
            ("[admin]\naddress = \"here\"", "admin.address: \"here\" is not"),
            ("[streams]\nreplicas = 0", "streams.replicas: 1 to 5"),
            ("[log]\nkeep_for_hours = 87841", "log.keep_for_hours: 0 to 87840"),
            ("[analytics]\nwarn_at_percent = 0", "analytics.warn_at_percent: 1 to 99"),
            ("[analytics]\ntime_zone = \"Mars/North\"", "analytics.time_zone: a name"),
            ("[streams]\nlog_bytes_max = 5", "streams.log_bytes_max: 1048576"),
            ("shards = []", "shards: 1 to 1024"),
            ("[[shards]]\nname = \"a\"\nsites = []", "shards: \"a\" needs"),
            (
                "[[shards]]\nname = \"a\"\nsites = [\"x\"]\n[[shards]]\nname = \"b\"\nsites = [\"x\"]",
                "shards: site \"x\" is named twice",
            ),
        ];
        for (text, expected) in cases {
            let error = Config::parse(text).and_then(|config| config.check()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?} gave {error:?}");
            assert!(!error.contains('\n'), "{error:?}");
        }
    }
}
