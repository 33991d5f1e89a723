//! Progress on stderr: one line that is rewritten on a terminal, else a line now and then.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use crate::load::job::Said;
use crate::statistics::{grouped, millis, to_f64};
use weir::edges::clock::{SharedClock, SystemClock};

/// How often there is a line where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(3);

/// Shows progress.
pub(crate) struct Screen {
    terminal: bool,
    /// Whether somebody else tells how it goes.
    quiet: bool,
    clock: SharedClock,
    shown: Option<Duration>,
    /// What is under way.
    label: String,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let clock = SystemClock::shared();
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, quiet: false, clock, shown: None, label: String::new() }
    }

    /// Shows nothing.
    pub(crate) fn quiet() -> Self {
        Self { quiet: true, ..Self::new() }
    }

    /// Says what is under way.
    pub(crate) fn label(&mut self, label: String) {
        self.label = label;
    }

    /// Says what is being done about it.
    pub(crate) fn stage(&mut self, stage: &str) {
        self.line(&format!("{}: {stage}", self.label));
    }

    /// Shows the generator's figures.
    pub(crate) fn show(&mut self, said: &Said) {
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
    pub(crate) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[K");
        }
    }

    fn line(&mut self, line: &str) {
        if self.quiet {
            return;
        }
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
