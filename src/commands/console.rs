//! What `weir run` and `weir demo` share of the live console: where it listens, who may look, and how it ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::settings::Misconfigured;
use crate::edges::clock::SharedClock;
use crate::edges::telemetry::Telemetry;
use crate::process::admin::{Shown, bind};
use crate::process::console::{Console, Token};
use crate::process::queries::Answers;
use crate::words::config::{CONSOLE_ADDRESS, ConsoleSettings};

/// A file with a token is no longer than this.
const TOKEN_FILE_BYTES_MAX: u64 = 4 << 10;

/// A console that is open.
pub(super) struct Opened {
    /// Where it listens; none where it is off.
    pub(super) address: Option<SocketAddr>,
    console: Arc<Console>,
    tasks: JoinSet<()>,
    ending: CancellationToken,
}

impl Opened {
    /// Look-ups are answered by these.
    pub(super) fn answer(&self, answers: Arc<dyn Answers>) {
        self.console.answer(answers);
    }

    /// Closes it; pages that are open do not hold it up.
    pub(super) async fn close(mut self) {
        self.ending.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Opens the console: samples what is shown, and listens where the settings say. Where its usual place is taken, and nobody asked for
/// it, it takes a free port.
pub(super) async fn open(
    settings: &ConsoleSettings,
    said: bool,
    shown: &Arc<Shown>,
    telemetry: &Arc<Telemetry>,
    clock: &SharedClock,
    worker: &str,
) -> anyhow::Result<Opened> {
    let listener = listener(settings, said).await?;
    let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let token = token(settings)?;
    let ending = CancellationToken::new();
    let console = Console::new(shown.clone(), telemetry.clone(), clock.clone(), worker, ending.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(console.clone().sample());
    if let Some(listener) = listener {
        tasks.spawn(console.clone().serve(listener, token));
    }
    Ok(Opened { address, console, tasks, ending })
}

async fn listener(settings: &ConsoleSettings, said: bool) -> anyhow::Result<Option<TcpListener>> {
    if settings.address.is_empty() {
        return Ok(None);
    }
    let address: SocketAddr = settings.address.parse().context("console.address")?;
    let bound = match bind(address).await {
        Err(error)
            if !said
                && error.kind() == std::io::ErrorKind::AddrInUse
                && settings.address == CONSOLE_ADDRESS =>
        {
            bind(SocketAddr::new(address.ip(), 0)).await
        }
        bound => bound,
    };
    Ok(Some(bound.with_context(|| format!("cannot listen on {address}"))?))
}

fn token(settings: &ConsoleSettings) -> Result<Option<Token>, Misconfigured> {
    if settings.token_file.is_empty() {
        return Ok(None);
    }
    let wrong = |why: &str| Misconfigured(format!("console.token_file: {}: {why}", settings.token_file));
    let path = Path::new(&settings.token_file);
    let length = std::fs::metadata(path).map_err(|error| wrong(&error.to_string()))?.len();
    if length > TOKEN_FILE_BYTES_MAX {
        return Err(wrong("larger than 4 KiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
    Token::new(&text).map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_its_file_or_refused_without_being_told() {
        let path = std::env::temp_dir().join(format!("weir-console-token-{}", std::process::id()));
        let settings = |path: &Path| ConsoleSettings {
            token_file: path.display().to_string(),
            ..ConsoleSettings::default()
        };
        assert_eq!(token(&ConsoleSettings::default()).unwrap(), None);
        for (text, good) in
            [("0123456789abcdef\n", true), ("short-secret", false), (&"x".repeat(5_000), false)]
        {
            std::fs::write(&path, text).unwrap();
            let read = token(&settings(&path)).map_err(|error| error.to_string());
            assert_eq!(read.is_ok(), good, "{read:?}");
            assert!(!format!("{read:?}").contains("short-secret"), "{read:?}");
        }
        std::fs::remove_file(&path).unwrap();
        token(&settings(&path)).unwrap_err();
    }
}
