//! Pacing: whoever observes and cannot keep up rests, so that it takes less of the processors from those that decide. What comes
//! meanwhile is skipped, as most of it would have been anyway.

use std::time::Duration;

/// How long it works before it is judged whether it keeps up.
const WORKS: Duration = Duration::from_secs(1);
/// How long it rests where it does not.
const RESTS: Duration = Duration::from_secs(2);
/// It does not where it lost more than one in so many batches.
const LOST_ONE_IN: u64 = 20;
/// Fewer batches say nothing of how busy it is.
const JUDGED_FROM: u64 = 100;

/// An observer's work since it last began, or rested.
#[derive(Debug, Default)]
pub struct Pacing {
    began: Duration,
    seen: u64,
    lost: u64,
    /// What is lost next was lost while it rested.
    rested: bool,
}

impl Pacing {
    /// It has seen something, before which it lost so many batches. Gives how long it is to rest now.
    pub fn saw(&mut self, lost: u64, now: Duration) -> Option<Duration> {
        if lost == 0 {
            self.seen += 1;
        } else if !std::mem::take(&mut self.rested) {
            self.lost += lost;
        }
        if now.saturating_sub(self.began) < WORKS {
            return None;
        }
        let all = self.seen + self.lost;
        let is_late = all >= JUDGED_FROM && self.lost > all / LOST_ONE_IN;
        let rests = if is_late { RESTS } else { Duration::ZERO };
        *self = Self { began: now + rests, rested: is_late, ..Self::default() };
        is_late.then_some(rests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds some seconds of so many batches seen and lost, and gives how often it was told to rest.
    fn rests(pacing: &mut Pacing, from_s: u64, seconds: u64, (seen, lost): (u64, u64)) -> u32 {
        let mut rests = 0;
        for at in from_s..from_s + seconds {
            let at = Duration::from_secs(at);
            rests += u32::from(lost > 0 && pacing.saw(lost, at).is_some());
            for _ in 0..seen {
                rests += u32::from(pacing.saw(0, at + Duration::from_millis(999)).is_some());
            }
        }
        rests
    }

    #[test]
    fn who_keeps_up_never_rests() {
        let mut pacing = Pacing::default();
        assert_eq!(rests(&mut pacing, 0, 60, (100, 0)), 0);
        assert_eq!(rests(&mut pacing, 60, 60, (100, 4)), 0);
        assert_eq!(rests(&mut pacing, 120, 3, (0, 0)), 0);
    }

    #[test]
    fn who_does_not_rests_and_is_judged_anew() {
        let mut pacing = Pacing::default();
        assert!(rests(&mut pacing, 0, 3, (100, 50)) > 0);
        // What was lost while it rested is not held against it.
        let mut pacing = Pacing { rested: true, began: Duration::from_secs(10), ..Pacing::default() };
        assert_eq!(pacing.saw(1_000_000, Duration::from_secs(10)), None);
        assert_eq!(rests(&mut pacing, 10, 20, (100, 0)), 0);
    }
}
