//! `weir dashboards`: the dashboards, rules, unit tests and runbooks of this version, written to a folder.
//!
//! A command of its own, as manual pages and completions are: whoever has the binary has what belongs to it, without the sources.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};

use super::Ended;
use crate::process::monitoring::{Links, files};

/// No link is longer.
const URL_BYTES_MAX: usize = 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The folder to write to: grafana, prometheus, alertmanager and runbooks go below it
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// A worker's admin server, where alerts find their runbooks
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    weir: String,
    /// Grafana, where alerts find their panels
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    grafana: String,
}

pub(super) fn dashboards(args: &Args) -> anyhow::Result<Ended> {
    let links = Links { weir: link(&args.weir)?, grafana: link(&args.grafana)? };
    for (name, text) in files(&links) {
        let path = args.folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
        }
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(Ended::Done)
}

/// A URL as it goes into rules: those have templates, so it must hold nothing that would be one.
fn link(url: &str) -> anyhow::Result<String> {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-._~:/[]@%".contains(letter);
    ensure!(url.len() <= URL_BYTES_MAX, "a URL is longer than {URL_BYTES_MAX} bytes");
    ensure!(
        (url.starts_with("http://") || url.starts_with("https://")) && url.chars().all(plain),
        "{url} is no plain http:// or https:// URL"
    );
    Ok(url.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_urls_and_nothing_else() {
        assert_eq!(link("https://grafana.example:3000/").unwrap(), "https://grafana.example:3000");
        let longest = format!("http://{}", "a".repeat(URL_BYTES_MAX - 7));
        assert!(link(&longest).is_ok());
        for wrong in ["", "javascript:1", "http://{{ 1 }}", "http://a b", &format!("{longest}a")] {
            assert!(link(wrong).is_err(), "{wrong}");
        }
    }
}
