//! What a worker offers beside its streams: queries, HTTP, notifications.

use serde::{Deserialize, Serialize};

use super::{ConfigError, wrong};
use crate::words::codes::Family;
use crate::words::outcome::OutcomeKind;

/// Queries over NATS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuerySettings {
    /// Whether this worker answers them. Who may ask is for the permissions of the NATS account.
    pub nats: bool,
}

impl Default for QuerySettings {
    fn default() -> Self {
        Self { nats: true }
    }
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Where it listens: an address and port, such as `127.0.0.1:9465`. Empty, the default: nowhere. It speaks plain HTTP: what leaves the
    /// machine belongs behind a proxy that speaks TLS.
    pub address: String,
    /// A file that holds the token which every request must show: 16 to 512 printable characters. The variable `WEIR_HTTP_TOKEN` may hold
    /// it instead. Without either, only loopback can be listened on.
    pub token_file: String,
    /// The families whose commands it takes: `orders`, `payments`, `fulfilment`, `stock`, `policy`. None by default.
    pub commands: Vec<Family>,
    /// How long the head of a request may take, and as long its body, in milliseconds: 100 to 60,000. So long an idle connection stays.
    pub request_ms: u64,
    /// The most connections at once: 1 to 65,536.
    pub connections_max: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            address: String::new(),
            token_file: String::new(),
            commands: Vec::new(),
            request_ms: 10_000,
            connections_max: 1_024,
        }
    }
}

/// Outcomes as a small message each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NotifySettings {
    /// Which outcomes are told: their names, `unrequested` (those that answer nobody: releases, expiries, shortfalls), or `all`. The same
    /// for all workers. Empty: none.
    pub outcomes: Vec<String>,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self { outcomes: vec![UNREQUESTED.to_owned()] }
    }
}

const UNREQUESTED: &str = "unrequested";
const ALL: &str = "all";

/// Which outcomes are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Those that answer nobody.
    pub unrequested: bool,
    /// By kind, all of them.
    pub kinds: [bool; OutcomeKind::ALL.len()],
}

impl NotifySettings {
    /// Which outcomes are told.
    pub fn told(&self) -> Result<Told, ConfigError> {
        let mut told = Told::default();
        for name in &self.outcomes {
            match (name.as_str(), OutcomeKind::ALL.into_iter().find(|kind| kind.name() == name)) {
                (UNREQUESTED, _) => told.unrequested = true,
                (ALL, _) => told.kinds = [true; OutcomeKind::ALL.len()],
                (_, Some(kind)) => told.kinds[kind as usize] = true,
                (name, None) => {
                    let text =
                        format!("notify.outcomes: {name:?} is no outcome, nor \"unrequested\" or \"all\"");
                    return Err(wrong(text));
                }
            }
        }
        Ok(told)
    }
}

impl HttpSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !self.address.is_empty() && self.address.parse::<std::net::SocketAddr>().is_err() {
            let text = format!(
                "http.address: {:?} is not an address and a port, such as 127.0.0.1:9465",
                self.address
            );
            return Err(wrong(text));
        }
        if !(100..=60_000).contains(&self.request_ms) {
            return Err(wrong("http.request_ms: 100 to 60000"));
        }
        if !(1..=65_536).contains(&self.connections_max) {
            return Err(wrong("http.connections_max: 1 to 65536"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::config::Config;

    #[test]
    fn what_is_offered_is_checked() {
        for (text, expected) in [
            ("[http]\naddress = \"here\"", "http.address: \"here\" is not"),
            ("[http]\nrequest_ms = 99", "http.request_ms: 100"),
            ("[http]\nrequest_ms = 60001", "http.request_ms: 100"),
            ("[http]\nconnections_max = 0", "http.connections_max: 1"),
            ("[http]\ncommands = [\"all\"]", "line 2: unknown variant"),
            ("[notify]\noutcomes = [\"gone\"]", "notify.outcomes: \"gone\" is no outcome"),
        ] {
            let error = Config::parse(text).and_then(|config| config.check()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?} gave {error:?}");
        }
        let config = Config::parse("[notify]\noutcomes = [\"refused\", \"unrequested\"]").unwrap();
        config.check().unwrap();
        let told = config.notify.told().unwrap();
        assert!(told.unrequested && told.kinds[OutcomeKind::Refused as usize]);
        assert!(!told.kinds[OutcomeKind::Confirmed as usize]);
    }
}
