//! The configuration's layers: file, environment, flags.

use std::path::{Path, PathBuf};

use async_nats::ServerAddr;
use clap::Args;

use crate::words::config::Config;

/// The options of every command that talks to NATS.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Common {
    /// Read the configuration from this TOML file
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// The servers' URLs, separated by commas [default: the configuration's, else localhost's standard port]
    #[arg(long, value_name = "URL", env = "NATS_URL", value_delimiter = ',', hide_env_values = true)]
    pub(super) nats: Vec<String>,
    /// The first word of every subject [default: the configuration's, else weir]
    #[arg(long, value_name = "WORD", env = "WEIR_PREFIX")]
    pub(super) prefix: Option<String>,
}

/// The configuration is wrong: exit code 78.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub(super) struct Misconfigured(pub(super) String);

impl Common {
    /// The effective configuration, checked. `flags` is the last layer.
    pub(super) fn load(&self, flags: impl FnOnce(&mut Config)) -> Result<Config, Misconfigured> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), read)?;
        // An empty variable is one that is not set.
        let urls: Vec<_> = self.nats.iter().map(|url| url.trim()).filter(|url| !url.is_empty()).collect();
        if !urls.is_empty() {
            let whole =
                |url: &&str| if url.contains("://") { (*url).to_owned() } else { format!("nats://{url}") };
            config.nats.urls = urls.iter().map(whole).collect();
        }
        if let Some(prefix) = &self.prefix {
            config.nats.prefix.clone_from(prefix);
        }
        flags(&mut config);
        config.check().map_err(|error| Misconfigured(error.to_string()))?;
        for (position, url) in (1..).zip(&config.nats.urls) {
            check_url(url).map_err(|why| Misconfigured(format!("nats.urls: number {position}: {why}")))?;
        }
        Ok(config)
    }
}

/// Checks that the client will understand a URL. What is wrong is said without it: it may hold a password.
fn check_url(url: &str) -> Result<(), String> {
    let server: ServerAddr = url.parse().map_err(|error: std::io::Error| error.to_string())?;
    if server.host().is_empty() {
        return Err("no host is named".to_owned());
    }
    Ok(())
}

/// A configuration larger than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn read(path: &Path) -> Result<Config, Misconfigured> {
    let wrong = |why: String| Misconfigured(format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong("larger than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Config::parse(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(nats: &[&str]) -> Result<Vec<String>, String> {
        let nats = nats.iter().map(|&url| url.to_owned()).collect();
        let common = Common { nats, ..Common::default() };
        common.load(|_| {}).map(|config| config.nats.urls).map_err(|error| error.to_string())
    }

    #[test]
    fn urls_are_understood_before_anything_starts() {
        assert_eq!(
            load(&["a", " tls://b:1 ", "[::1]:2"]).unwrap(),
            ["nats://a", "tls://b:1", "nats://[::1]:2"]
        );
        for url in ["nats://", "nats://:4222", "nats://host:99999", "nats://a b", "nats://[::1", "u:secret@"]
        {
            let error = load(&["nats://u:secret@good", url]).unwrap_err();
            assert!(error.starts_with("configuration: nats.urls: number 2: "), "{url}: {error}");
            assert!(!error.contains("secret") && !error.contains("99999"), "{url}: {error}");
        }
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let default = Config::default().nats.urls;
        assert_eq!(load(&[""]).unwrap(), default);
        assert_eq!(load(&["", " "]).unwrap(), default);
        assert_eq!(load(&["", "a"]).unwrap(), ["nats://a"]);
    }
}
