//! The clock: the one place where time enters.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time, in nanoseconds.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970 by the wall clock, which can be set back and forth.
    fn wall_ns(&self) -> i64;
    /// Nanoseconds since some fixed moment, never going back.
    fn monotonic(&self) -> Duration;
}

/// A clock that is handed around.
pub type SharedClock = Arc<dyn Clock>;

/// This machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The machine's clocks, ready to be shared.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn shared() -> SharedClock {
        Arc::new(Self { start: Instant::now() })
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn wall_ns(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
