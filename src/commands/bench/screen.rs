//! Progress on stderr: one line that is rewritten on a terminal, else a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use super::figures::to_f64;
use super::job::Said;
use super::report::{grouped, millis};
use crate::edges::clock::{SharedClock, SystemClock};

/// How often there is a line where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(3);

/// Shows progress.
pub(super) struct Screen {
    terminal: bool,
    clock: SharedClock,
    shown: Option<Duration>,
    /// What is under way.
    label: String,
}

impl Screen {
    pub(super) fn new() -> Self {
        let clock = SystemClock::shared();
        Self { terminal: std::io::stderr().is_terminal(), clock, shown: None, label: String::new() }
    }

    /// Says what is under way.
    pub(super) fn label(&mut self, label: String) {
        self.label = label;
    }

    /// Says what is being done about it.
    pub(super) fn stage(&mut self, stage: &str) {
        self.line(&format!("{}: {stage}", self.label));
    }

    /// Shows the generator's figures.
    pub(super) fn show(&mut self, said: &Said) {
        if let Said::Progress { sent, announced, p99_us } = said {
            let mut line =
                format!("{}: {} sent, {} announced", self.label, grouped(*sent), grouped(*announced));
            if *p99_us > 0 {
                line.push_str(", p99 ");
                line.push_str(&millis(to_f64(*p99_us) / 1_000.0));
            }
            self.line(&line);
        }
    }

    /// Leaves a clean line behind.
    pub(super) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn line(&mut self, line: &str) {
        if self.terminal {
            eprint!("\r\x1b[K{line}");
            // A terminal that has gone away is no reason to stop.
            let _ = std::io::stderr().flush();
            return;
        }
        let now = self.clock.monotonic();
        if self.shown.is_none_or(|shown| now.saturating_sub(shown) >= PLAIN_INTERVAL) {
            self.shown = Some(now);
            eprintln!("{line}");
        }
    }
}
