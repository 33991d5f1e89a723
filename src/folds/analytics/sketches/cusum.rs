//! A change detector for shares: the Bernoulli CUSUM (Page 1954; Reynolds and Stoumbos 1999), at a stated rate of false alarms. Where hits
//! come later than their trials it is that of a Poisson variable (Lucas 1985).
//!
//! For each of three ratios (2, 3 and 5 times the base rate) the log-likelihood of "it has risen so" against "it is as ever" is
//! summed, never below zero; an alarm is raised where a sum passes its threshold. Thresholds are those at which each sum alone
//! raises one false alarm in three times the stated interval, so that all together raise at most one in it: by the corrected
//! diffusion approximation of Reynolds and Stoumbos, tested against simulation here (within a third). The base rate is learned:
//! an exponentially forgotten share that stands still while anything is suspected. Where blocks of 100 trials vary more than binomial
//! ones would, thresholds are raised in that proportion (quasi-likelihood, `McCullagh` and Nelder 1989).
//!
//! A series that has just begun is learned before it is suspected. Hits come some time after their trials: what comes within one such
//! [lag](Cusum::comes_late) has too few hits and is forgotten, what comes within a second one is the first base rate. For the first
//! interval between false alarms the test is against the upper end of what so few hits allow (two standard deviations), and how much
//! blocks vary is a plain mean until there are 64 of them. So a base rate that is hardly known raises no alarm.
//!
//! An alarm ends once its sums are back at zero; one that lasts longer than the memory of the base rate is taken for the new
//! base rate. What is delayed is stated by `weir eval`'s table; real series, whose rates wander by hour and day, raise more
//! false alarms than binomial ones.

use wincode::{SchemaRead, SchemaWrite};

const RATIOS: [f64; 3] = [2.0, 3.0, 5.0];
const RATE_MIN: f64 = 1e-4;
const RATE_MAX: f64 = 0.6;
/// A base rate needs so many trials before anything is suspected.
const TRIALS_MIN: f64 = 200.0;
/// Thresholds are computed anew once the base rate is off by so many times: a twentieth in its logarithm.
const BASE_APART: f64 = 1.051_271_096_376_024;
/// As well, once the trials between false alarms are: a fifth in their logarithm.
const BETWEEN_APART: f64 = 1.221_402_758_160_169_9;
/// Trials of a block.
const BLOCK: f64 = 100.0;
/// The base rate starts at 5%, as if ten trials had said so.
const PRIOR: (f64, f64) = (0.5, 10.0);
/// Trials without a hit are taken in together: so many, or those of so many milliseconds, and always before a hit is. A sum falls to the
/// same, however many at a time.
const TOGETHER: u32 = 64;
const TOGETHER_MS: i64 = 1_000;
/// How many blocks the variation of blocks remembers, and how many its start is worth.
const BLOCKS: (f64, f64) = (64.0, 8.0);
/// How many standard deviations above what was seen a base rate may lie that is still learned.
const UNSURE: f64 = 2.0;

/// The correction for what a sum has left over when it passes its threshold, in standard deviations.
fn overshoot(rate: f64) -> f64 {
    if rate < 0.01 {
        return ((1.0 - rate) / rate).sqrt().mul_add(1.0, -(rate / (1.0 - rate)).sqrt()) / 3.0;
    }
    let log = rate.ln();
    0.410 - 0.0842 * log - 0.0391 * log.powi(3) - 0.003_76 * log.powi(4) - 0.000_008 * log.powi(7)
}

/// One ratio's test: what a hit and a miss add, and the threshold.
#[derive(Clone, Copy, Debug, Default, SchemaRead, SchemaWrite)]
struct Test {
    per_hit: f64,
    per_miss: f64,
    threshold: f64,
    sum: f64,
}

impl Test {
    /// Hits that come late are no longer those of the trials that they come with: they vary as a Poisson variable does.
    fn aim(&mut self, base: f64, ratio: f64, trials_between: f64, late: bool) {
        let risen = (ratio * base).min(f64::midpoint(base, 1.0)).min(0.98);
        self.per_miss = if late { base - risen } else { ((1.0 - risen) / (1.0 - base)).ln() };
        self.per_hit = (risen / base).ln() + if late { self.per_miss } else { 0.0 };
        let variance = if late { base } else { base * (1.0 - base) };
        // In the notation of the paper: r1, r2, and the threshold of the scaled sum.
        let (r1, r2) = (-self.per_miss, self.per_hit - self.per_miss);
        let drift = (r2 * base - r1).abs().max(1e-12);
        let corrected = |threshold: f64| {
            let passed = threshold + r2 * overshoot(base) * variance.sqrt();
            (passed.exp() - passed - 1.0) / drift
        };
        let (mut low, mut high) = (0.0, 40.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if corrected(middle) < trials_between { low = middle } else { high = middle }
        }
        self.threshold = high.max(self.per_hit);
    }
}

/// What a detector saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Surge {
    /// The base rate.
    pub base: f64,
    /// The rate since the change.
    pub now: f64,
    /// When it changed, as estimated: when its sum last was zero.
    pub since_ms: i64,
}

/// What a trial brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// An alarm.
    Raised(Surge),
    /// It is over.
    Ended,
}

/// A detector of one series.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Cusum {
    /// Between false alarms, at least so many milliseconds.
    between_ms: f64,
    half_life_ms: f64,
    /// Hits, trials, and the time in which they came, all forgotten alike.
    hits: f64,
    trials: f64,
    watched_ms: f64,
    decayed_ms: i64,
    tests: [Test; 3],
    aimed_at: (f64, f64),
    since_ms: i64,
    since: (f64, f64),
    raised_ms: Option<i64>,
    /// Trials and hits of the block that is filling, and how blocks vary against binomial ones.
    block: (f64, f64),
    dispersion: f64,
    /// How many blocks that stands on, up to as many as it remembers.
    blocks: f64,
    /// When the series began, how long after their trials hits come, and from when on they are learned.
    began_ms: i64,
    lag_ms: f64,
    learned_from_ms: i64,
    /// Trials that are still to be taken in.
    pending: u32,
}

impl Cusum {
    /// At most one false alarm in `between_ms` of a series whose rate does not change; `half_life_ms` is how fast the base rate is
    /// forgotten.
    #[must_use]
    pub fn new(between_ms: f64, half_life_ms: f64) -> Self {
        Self {
            between_ms: between_ms.max(1.0),
            half_life_ms: half_life_ms.max(1.0),
            hits: PRIOR.0,
            trials: PRIOR.1,
            watched_ms: 0.0,
            decayed_ms: 0,
            tests: [Test::default(); 3],
            aimed_at: (0.0, 0.0),
            since_ms: 0,
            since: (0.0, 0.0),
            raised_ms: None,
            block: (0.0, 0.0),
            dispersion: 1.0,
            blocks: BLOCKS.1,
            began_ms: 0,
            lag_ms: 0.0,
            learned_from_ms: 0,
            pending: 0,
        }
    }

    /// Hits come so long after their trials, nearly all of them, as far as is known at `now_ms`. Once the series is learned, that
    /// changes nothing any more.
    pub fn comes_late(&mut self, now_ms: i64, lag_ms: f64) {
        if self.decayed_ms == 0 || ((now_ms - self.began_ms) as f64) < 2.0 * self.lag_ms {
            self.lag_ms = lag_ms.clamp(0.0, self.half_life_ms);
        }
    }

    /// The base rate.
    #[must_use]
    pub fn base(&self) -> f64 {
        (self.hits / self.trials).clamp(RATE_MIN, RATE_MAX)
    }

    /// Since when an alarm stands.
    #[must_use]
    pub const fn raised_ms(&self) -> Option<i64> {
        self.raised_ms
    }

    /// Hits and trials since the sums last were zero.
    #[must_use]
    pub const fn since(&self) -> (f64, f64) {
        self.since
    }

    /// Takes in trials and hits. A hit may come long after its trial: then it is counted without one.
    pub fn take(&mut self, now_ms: i64, trials: u32, hits: u32) -> Option<Change> {
        if hits == 0 {
            self.pending = self.pending.saturating_add(trials);
            if self.pending < TOGETHER && now_ms - self.decayed_ms < TOGETHER_MS {
                return None;
            }
            let trials = std::mem::take(&mut self.pending);
            return self.take_now(now_ms, trials, 0);
        }
        let before = std::mem::take(&mut self.pending);
        let ended = if before > 0 { self.take_now(now_ms, before, 0) } else { None };
        // Misses end an alarm at most, and what ends with them is not raised again by one hit.
        self.take_now(now_ms, trials, hits).or(ended)
    }

    fn take_now(&mut self, now_ms: i64, trials: u32, hits: u32) -> Option<Change> {
        let (trials, hits) = (f64::from(trials), f64::from(hits));
        if self.decayed_ms == 0 {
            (self.decayed_ms, self.since_ms) = (now_ms, now_ms);
            (self.began_ms, self.learned_from_ms) = (now_ms, now_ms);
        }
        let excess = self.excess();
        let suspected = self.tests.iter().any(|test| test.sum > 0.5 * excess * test.threshold);
        let age_ms = (now_ms - self.began_ms).max(0) as f64;
        if age_ms >= self.lag_ms && ((self.learned_from_ms - self.began_ms) as f64) < self.lag_ms {
            // Of what came before, most hits are still to come.
            (self.hits, self.trials, self.watched_ms) = (PRIOR.0, PRIOR.1, 0.0);
            (self.block, self.learned_from_ms) = ((0.0, 0.0), now_ms);
        }
        if self.trials >= TRIALS_MIN && (age_ms >= 2.0 * self.lag_ms || self.raised_ms.is_some()) {
            self.sum(trials, hits, now_ms);
        }
        if !suspected && self.raised_ms.is_none() {
            let passed = (now_ms - self.decayed_ms).max(0) as f64;
            let keep = if passed > 0.0 { (-passed / self.half_life_ms).exp2() } else { 1.0 };
            self.hits = self.hits * keep + hits;
            self.trials = self.trials * keep + trials;
            self.watched_ms = self.watched_ms * keep + passed;
            self.hits = self.hits.min(self.trials);
            self.vary(trials, hits);
        }
        self.decayed_ms = self.decayed_ms.max(now_ms);
        self.judge(now_ms)
    }

    /// How far thresholds are raised: not at all for what chance alone would show.
    fn excess(&self) -> f64 {
        (self.dispersion - 0.3).clamp(1.0, 10.0)
    }

    /// Learns how much blocks vary.
    fn vary(&mut self, trials: f64, hits: f64) {
        self.block = (self.block.0 + trials, self.block.1 + hits);
        if self.block.0 < BLOCK {
            return;
        }
        let base = self.base();
        let square = (self.block.1 - self.block.0 * base).powi(2) / (self.block.0 * base * (1.0 - base));
        self.blocks = (self.blocks + 1.0).min(BLOCKS.0);
        self.dispersion += (square.min(25.0) - self.dispersion) / self.blocks;
        self.block = (0.0, 0.0);
    }

    /// What the tests take for the base rate.
    fn usual(&self, now_ms: i64) -> f64 {
        if (now_ms - self.began_ms) as f64 >= self.between_ms {
            return self.base();
        }
        // Wilson's upper bound, for rates that are small.
        let spread = (self.hits + UNSURE * UNSURE / 4.0).sqrt();
        let hits = self.hits + UNSURE * UNSURE / 2.0 + UNSURE * spread;
        (hits / self.trials).clamp(RATE_MIN, RATE_MAX)
    }

    fn sum(&mut self, trials: f64, hits: f64, now_ms: i64) {
        let base = self.usual(now_ms);
        // The trials of a false-alarm interval, by how many came in the time that is remembered; three tests share it.
        let between = 3.0 * (self.trials / self.watched_ms.max(1.0) * self.between_ms).max(100.0);
        // Whether one is more than so many times the other; no logarithm, as this runs for every order.
        let apart = |left: f64, right: f64, times: f64| left > right * times || right > left * times;
        if apart(base, self.aimed_at.0, BASE_APART) || apart(between, self.aimed_at.1, BETWEEN_APART) {
            self.aimed_at = (base, between);
            let late = self.lag_ms > 0.0;
            for (test, ratio) in self.tests.iter_mut().zip(RATIOS) {
                test.aim(base, ratio, between, late);
            }
        }
        self.since = (self.since.0 + hits, self.since.1 + trials);
        let excess = self.excess();
        for test in &mut self.tests {
            let added = hits * (test.per_hit - test.per_miss) + trials * test.per_miss;
            // Bounded, so that an alarm ends soon after its cause.
            test.sum = (test.sum + added).clamp(0.0, 2.0 * excess * test.threshold);
        }
        if self.tests.iter().all(|test| test.sum <= 0.0) {
            (self.since_ms, self.since) = (now_ms, (0.0, 0.0));
        }
    }

    fn judge(&mut self, now_ms: i64) -> Option<Change> {
        let excess = self.excess();
        let reached = |test: &Test| test.sum >= excess * test.threshold;
        let passed = self.aimed_at.0 > 0.0 && self.tests.iter().any(reached);
        match self.raised_ms {
            None if passed => {
                self.raised_ms = Some(now_ms);
                let now = (self.since.0 / self.since.1.max(1.0)).min(1.0);
                Some(Change::Raised(Surge { base: self.base(), now, since_ms: self.since_ms }))
            }
            Some(raised_ms) => {
                let over = self.tests.iter().all(|test| test.sum < 0.1 * test.threshold);
                let lasting = (now_ms - raised_ms) as f64 > self.half_life_ms;
                if !over && !lasting {
                    return None;
                }
                if lasting {
                    (self.hits, self.trials) =
                        (PRIOR.0 + self.since.0, PRIOR.1 + self.since.1.max(self.since.0));
                    self.watched_ms = (now_ms - self.since_ms).max(0) as f64;
                }
                self.raised_ms = None;
                self.tests.iter_mut().for_each(|test| test.sum = 0.0);
                (self.since_ms, self.since) = (now_ms, (0.0, 0.0));
                Some(Change::Ended)
            }
            None => None,
        }
    }

    /// Whether what was read back holds together.
    pub(in crate::folds::analytics) fn is_sound(&self) -> bool {
        let finite = |test: &Test| {
            test.per_hit.is_finite()
                && test.per_miss.is_finite()
                && test.threshold.is_finite()
                && (0.0..=1e6).contains(&test.sum)
        };
        self.between_ms >= 1.0
            && self.between_ms.is_finite()
            && self.half_life_ms >= 1.0
            && self.half_life_ms.is_finite()
            && (0.0..=1e15).contains(&self.hits)
            && (PRIOR.1..=1e15).contains(&self.trials.max(PRIOR.1))
            && self.trials > 0.0
            && (0.0..=1e6).contains(&self.dispersion)
            && (0.0..=1e15).contains(&self.watched_ms)
            && (BLOCKS.1..=BLOCKS.0).contains(&self.blocks)
            && (0.0..=self.half_life_ms).contains(&self.lag_ms)
            && self.block.0.is_finite()
            && self.block.1.is_finite()
            && self.since.0.is_finite()
            && self.since.1.is_finite()
            && self.aimed_at.0.is_finite()
            && self.aimed_at.1.is_finite()
            && self.tests.iter().all(finite)
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers of a test")]
mod tests {
    use super::*;

    const HOUR_MS: f64 = 3_600_000.0;
    const WEEK_MS: f64 = 168.0 * HOUR_MS;

    /// How many trials a test alone runs until it raises, at a rate.
    fn run(test: Test, rate: f64, random: &mut fastrand::Rng) -> u64 {
        let (mut sum, mut trials) = (0.0_f64, 0);
        while sum < test.threshold && trials < 10_000_000 {
            trials += 1;
            sum = (sum + if random.f64() < rate { test.per_hit } else { test.per_miss }).max(0.0);
        }
        trials
    }

    #[test]
    fn thresholds_give_the_stated_rate_of_false_alarms() {
        let mut random = fastrand::Rng::with_seed(3);
        for base in [0.005, 0.03, 0.15, 0.3] {
            for ratio in [2.0, 3.0] {
                let mut test = Test::default();
                test.aim(base, ratio, 5_000.0, false);
                let runs = 300;
                let mean = (0..runs).map(|_| run(test, base, &mut random)).sum::<u64>() / runs;
                assert!((3_500..=7_500).contains(&mean), "{base} {ratio}: {mean}");
            }
        }
    }

    /// Minutes until a surge is found, at 100 trials an hour, after two weeks of the base rate.
    fn delay_minutes(base: f64, ratio: f64, random: &mut fastrand::Rng) -> f64 {
        let mut cusum = Cusum::new(WEEK_MS, WEEK_MS);
        let mut now = 1.0;
        let mut next = |rate: f64, cusum: &mut Cusum, random: &mut fastrand::Rng| {
            now += -random.f64().max(1e-12).ln() * HOUR_MS / 100.0;
            let hit = u32::from(random.f64() < rate);
            (now, cusum.take(now as i64, 1, hit))
        };
        for _ in 0..2 * 168 * 100 {
            next(base, &mut cusum, random);
        }
        while cusum.raised_ms().is_some() {
            next(base, &mut cusum, random);
        }
        let (start, _) = next(base, &mut cusum, random);
        loop {
            let (now, change) = next(base * ratio, &mut cusum, random);
            if let Some(Change::Raised(surge)) = change {
                assert!(surge.now > surge.base);
                return (now - start) / 60_000.0;
            }
        }
    }

    #[test]
    fn a_threefold_surge_is_found_within_a_quarter_more_than_the_ideal() {
        let mut random = fastrand::Rng::with_seed(4);
        // The ideal knows both rates, and raises one false alarm a week: 16,800 trials.
        let mut ideal = Test::default();
        ideal.aim(0.15, 3.0, 16_800.0, false);
        let mut ideals: Vec<u64> = (0..401).map(|_| run(ideal, 0.45, &mut random)).collect();
        ideals.sort_unstable();
        let ideal_minutes = ideals[200] as f64 * 0.6;
        let mut delays: Vec<f64> = (0..101).map(|_| delay_minutes(0.15, 3.0, &mut random)).collect();
        delays.sort_by(f64::total_cmp);
        assert!(delays[50] <= 1.25 * ideal_minutes, "{} {ideal_minutes}", delays[50]);
        assert!((12.0..20.0).contains(&ideal_minutes), "{ideal_minutes}");
    }

    /// Misses that are taken in together change nothing but when they are.
    #[test]
    fn trials_one_by_one_and_together_raise_alike() {
        let mut random = fastrand::Rng::with_seed(6);
        let (mut single, mut together) = (Cusum::new(WEEK_MS, WEEK_MS), Cusum::new(WEEK_MS, WEEK_MS));
        let mut raised = [Vec::new(), Vec::new()];
        for trial in 0..400_000_u32 {
            let now_ms = 1 + i64::from(trial) * 20;
            let rate = if trial % 100_000 > 95_000 { 0.06 } else { 0.02 };
            let hit = u32::from(random.f64() < rate);
            let changes = [single.take_now(now_ms, 1, hit), together.take(now_ms, 1, hit)];
            for (raised, change) in raised.iter_mut().zip(changes) {
                raised.extend(matches!(change, Some(Change::Raised(_))).then_some(trial));
            }
        }
        // Base rates are learned a little apart, as blocks end elsewhere.
        let [single, together] = raised;
        assert!(single.len() >= 3 && single.len() == together.len(), "{single:?} {together:?}");
        assert!(single.iter().zip(&together).all(|(one, other)| one.abs_diff(*other) < 200));
    }

    #[test]
    fn an_alarm_ends_and_a_new_level_is_taken_after_the_memory() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut cusum = Cusum::new(WEEK_MS, WEEK_MS);
        let mut changes = Vec::new();
        for hour in 0..168 * 5_u32 {
            let rate = if (500..510).contains(&hour) { 0.5 } else { 0.1 };
            for _ in 0..100 {
                let hit = u32::from(random.f64() < rate);
                changes
                    .extend(cusum.take(i64::from(hour) * 3_600_000 + 1, 1, hit).map(|change| (hour, change)));
            }
        }
        let raised =
            changes.iter().find(|(hour, change)| *hour >= 500 && matches!(change, Change::Raised(_)));
        assert!(raised.is_some_and(|(hour, _)| *hour == 500), "{changes:?}");
        let ended = changes.iter().find(|(hour, change)| *hour > 500 && *change == Change::Ended);
        assert!(ended.is_some_and(|(hour, _)| *hour <= 513), "{changes:?}");
        assert!(cusum.is_sound() && (0.08..0.12).contains(&cusum.base()));
        for hour in 168 * 5..168 * 9_u32 {
            for _ in 0..100 {
                cusum.take(i64::from(hour) * 3_600_000 + 1, 1, u32::from(random.f64() < 0.3));
            }
        }
        assert!((0.25..0.35).contains(&cusum.base()), "{}", cusum.base());
    }
}
