//! `weir check`: is the configuration right, and what is in force?

use super::Ended;
use super::connect::secured;
use super::output::{self, say};
use super::run::WorkerFlags;
use super::settings::Common;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    worker: WorkerFlags,
    /// Print nothing
    #[arg(long, short)]
    quiet: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

pub(super) fn check(args: &Args) -> anyhow::Result<Ended> {
    let mut config = args.common.load(|config| args.worker.apply(config))?;
    secured(&config)?;
    for url in &mut config.nats.urls {
        hide_password(url);
    }
    if args.json {
        output::json(&config);
    } else if !args.quiet {
        say!("{}", config.to_toml().trim_end());
    }
    Ok(Ended::Done)
}

/// Replaces what stands before the host in a URL: a user and password, or a token.
fn hide_password(url: &mut String) {
    let start = url.find("://").map_or(0, |scheme| scheme + 3);
    if let Some(at) = url.rfind('@').filter(|at| *at >= start) {
        url.replace_range(start..at, "***");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_printed() {
        for (given, shown) in [
            ("nats://user:p@ss@host:4222", "nats://***@host:4222"),
            ("tls://token@host", "tls://***@host"),
            ("nats://host:4222", "nats://host:4222"),
        ] {
            let mut url = given.to_owned();
            hide_password(&mut url);
            assert_eq!(url, shown);
        }
    }
}
