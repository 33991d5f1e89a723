//! The configuration's layers: file, environment, flags.

use std::path::{Path, PathBuf};

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
        if !self.nats.is_empty() {
            config.nats.urls = self.nats.iter().map(|url| url.trim().to_owned()).collect();
            for url in &mut config.nats.urls {
                if !url.contains("://") {
                    *url = format!("nats://{url}");
                }
            }
        }
        if let Some(prefix) = &self.prefix {
            config.nats.prefix.clone_from(prefix);
        }
        flags(&mut config);
        config.check().map_err(|error| Misconfigured(error.to_string()))?;
        Ok(config)
    }
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
