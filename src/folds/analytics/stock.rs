//! Stock: when a SKU will run out, what was refused for want of it, and how much to order.
//!
//! Demand of a SKU at a site is what orders asked for, met or not. Per SKU it is followed by day (of UTC) with exponential smoothing of
//! level and damped trend (Holt 1957; Gardner and `McKenzie` 1985) and a day-of-week profile of the shard as a whole; how wrong
//! forecasts of one day were gives the spread. Time to stockout is the day at which the forecast's sum passes what is available. The
//! median and the 80% interval move that sum by as many standard deviations as sums over two weeks turned out to be off, over all SKUs
//! (quantiles by stochastic approximation, Robbins and Monro 1951): real demand is skewed, and no normal distribution. Only the first SKUs up to a stated
//! number are followed, those of which nothing was asked for four weeks give way.
//!
//! What is available only the inventory's books know: whoever asks says it.

use wincode::{SchemaRead, SchemaWrite};

use super::sketches::index::Index;
use crate::words::hash::{fold, hash};
use crate::words::text::ID_BYTES_MAX;

const DAY_MS: i64 = 86_400_000;
const LEVEL: f64 = 0.07;
const TREND: f64 = 0.01;
/// What a day is further off than so many standard deviations counts as so many (Gelper, Fried, Croux 2010).
const OUTLIER: f64 = 3.0;
/// The variance of a level smoothed so, against that of a day, and of both together: what the spread is made of.
const LEVEL_SHARE: f64 = LEVEL / (2.0 - LEVEL);
const DAMPING: f64 = 0.9;
const SPREAD: f64 = 0.04;
const PROFILE: f64 = 0.03;
/// How far sums may be off, in standard deviations, before it is known better: 10%, 50% and 90% of a normal distribution.
const DEVIATIONS: [f64; 3] = [-1.281_55, 0.0, 1.281_55];
const SHARES: [f64; 3] = [0.1, 0.5, 0.9];
/// Every so many days each SKU's forecast is held against what was asked for.
const JUDGED_DAYS: u32 = 14;
const IDLE_DAYS: i64 = 28;
/// Forecasts go no further.
const HORIZON_DAYS: usize = 365;

/// One SKU at one site.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
struct Sku {
    named: u64,
    name: String,
    site: String,
    level: f64,
    trend: f64,
    /// The mean square of how far forecasts of a day were off, relative to its profile.
    variance: f64,
    days: u32,
    /// What was forecast for two weeks: its sum and standard deviation, what was asked for since, and for how many days.
    told: (f64, f64, f64, u32),
    /// The last day that is over on which it was asked for; at first the day from which it is followed.
    asked_day: i64,
    refused: u64,
    refused_value_minor: u64,
    /// In how many days it was last expected to run out; a year where that was not said, or lies beyond.
    left_days: f64,
}

/// A site by its name and the hash of that, which is made once for all that is asked for there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    name: &'a str,
    hash: u64,
}

impl<'a> Site<'a> {
    pub(super) fn new(name: &'a str) -> Self {
        Self { name, hash: hash(name.as_bytes()) }
    }

    /// By what a SKU there is known.
    fn named(self, sku: &[u8]) -> u64 {
        fold(self.hash, hash(sku))
    }
}

/// When a SKU runs out, in days from now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stockout {
    /// The median; none where it lies beyond a year.
    pub days: Option<f64>,
    /// Between when it lies with a probability of 80%; the end is none where it lies beyond a year.
    pub interval: (f64, Option<f64>),
}

/// What to order so that a SKU does not run out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Restock {
    /// Units.
    pub quantity: i64,
    /// Units that lead time and review will ask for.
    pub demand: f64,
    /// Units against its uncertainty.
    pub safety: f64,
}

/// What is assumed of restocking.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Supply {
    /// Days from ordering until it is there.
    pub lead_days: f64,
    /// Days between two orders.
    pub review_days: f64,
    /// Standard deviations of demand to be safe against: 1.645 for a service level of 95%.
    pub deviations: f64,
}

impl Default for Supply {
    fn default() -> Self {
        Self { lead_days: 7.0, review_days: 7.0, deviations: 1.645 }
    }
}

/// The stock of a shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Stock {
    max: usize,
    skus: Vec<Sku>,
    /// What was asked for today of each of them: apart, as every order adds to it and reads nothing else of its SKUs.
    asked_today: Vec<f64>,
    #[wincode(skip)]
    index: Index,
    day: Option<i64>,
    /// Demand of the shard by day of the week, against its mean of one.
    profile: [f64; 7],
    today: f64,
    level: f64,
    /// By how many standard deviations sums are off: 10%, 50% and 90%.
    deviations: [f64; 3],
    judged: u32,
    /// Orders refused for want of stock.
    refused_orders: u64,
    refused_units: u64,
    not_followed: u64,
}

impl Stock {
    pub(super) fn new(max: usize) -> Self {
        Self {
            max: max.clamp(1, 1 << 20),
            skus: Vec::new(),
            asked_today: Vec::new(),
            index: Index::default(),
            day: None,
            profile: [1.0; 7],
            today: 0.0,
            level: 0.0,
            deviations: DEVIATIONS,
            judged: 0,
            refused_orders: 0,
            refused_units: 0,
            not_followed: 0,
        }
    }

    fn named(site: &str, sku: &str) -> u64 {
        Site::new(site).named(sku.as_bytes())
    }

    fn find(&self, site: &str, sku: &str) -> Option<&Sku> {
        self.index.get(&Self::named(site, sku)).map(|place| &self.skus[*place as usize])
    }

    /// The place of the SKU of this name, which is followed from now on if there is room.
    #[inline]
    fn entry(&mut self, site: Site<'_>, sku: &[u8]) -> Option<usize> {
        let named = site.named(sku);
        let place = self.index.get(&named).map(|place| *place as usize);
        place.or_else(|| self.follow(named, site.name, str::from_utf8(sku).ok()?))
    }

    #[cold]
    fn follow(&mut self, named: u64, site: &str, sku: &str) -> Option<usize> {
        if self.skus.len() >= self.max || sku.len() > ID_BYTES_MAX || site.len() > ID_BYTES_MAX {
            self.not_followed += 1;
            return None;
        }
        let place = u32::try_from(self.skus.len()).unwrap_or(u32::MAX);
        self.index.insert(named, place);
        self.skus.push(Sku {
            named,
            name: sku.to_owned(),
            site: site.to_owned(),
            level: 0.0,
            trend: 0.0,
            variance: 0.0,
            days: 0,
            told: (0.0, 0.0, 0.0, 0),
            asked_day: self.day.unwrap_or(0),
            refused: 0,
            refused_value_minor: 0,
            left_days: HORIZON_DAYS as f64,
        });
        self.asked_today.push(0.0);
        Some(self.skus.len() - 1)
    }

    /// Time passed: days that are over are learned.
    pub(super) fn advance(&mut self, now_ms: i64) {
        let day = now_ms.div_euclid(DAY_MS);
        let mut current = *self.day.get_or_insert(day);
        if day - current > 60 {
            current = day - 60;
        }
        while current < day {
            self.end_day(current);
            current += 1;
        }
        self.day = Some(current);
    }

    fn weekday(day: i64) -> usize {
        usize::try_from(day.rem_euclid(7)).unwrap_or(0)
    }

    fn end_day(&mut self, day: i64) {
        let weekday = Self::weekday(day);
        if self.level > 0.0 {
            let profile = &mut self.profile[weekday];
            *profile = (*profile + PROFILE * (self.today / self.level - *profile)).clamp(0.05, 7.0);
        }
        self.level += 0.1 * (self.today - self.level);
        self.today = 0.0;
        let profile = self.profile[weekday];
        let week: f64 = self.profile.iter().sum();
        // Days that were left out are no days on which anything was asked for.
        let asked_day = self.day.unwrap_or(day);
        for (sku, today) in self.skus.iter_mut().zip(&mut self.asked_today) {
            let asked = std::mem::take(today);
            if asked > 0.0 {
                sku.asked_day = asked_day;
            }
            if let Some(off) = sku.judge(week, asked) {
                self.judged = self.judged.saturating_add(1);
                let step = (10.0 / f64::from(self.judged)).clamp(0.005, 0.1);
                for (deviation, share) in self.deviations.iter_mut().zip(SHARES) {
                    let below = f64::from(u8::from(off <= *deviation));
                    *deviation = (*deviation + step * (share - below)).clamp(-10.0, 10.0);
                }
            }
            sku.end_day(profile, asked);
        }
        self.deviations.sort_by(f64::total_cmp);
        if self.skus.len() >= self.max {
            self.skus.retain(|sku| day - sku.asked_day <= IDLE_DAYS);
            // A day begins: all are zero.
            self.asked_today.truncate(self.skus.len());
            let _ = self.restore();
        }
    }

    /// An order asked for so many units of these SKUs.
    pub(super) fn asked<'l>(&mut self, site: Site<'_>, lines: impl IntoIterator<Item = (&'l [u8], i64)>) {
        for (sku, units) in lines {
            self.today += units as f64;
            if let Some(place) = self.entry(site, sku) {
                self.asked_today[place] += units as f64;
            }
        }
    }

    /// An order was refused for want of stock: this SKU lacked so many units, which would have brought `value_minor`.
    pub(super) fn refused(&mut self, site: &str, sku: &str, units: i64, value_minor: u64) {
        self.refused_units = self.refused_units.saturating_add(units.max(0).unsigned_abs());
        if let Some(place) = self.entry(Site::new(site), sku.as_bytes()) {
            let it = &mut self.skus[place];
            it.refused = it.refused.saturating_add(units.max(0).unsigned_abs());
            it.refused_value_minor = it.refused_value_minor.saturating_add(value_minor);
        }
    }

    /// An order was refused for want of stock.
    pub(super) fn order_refused(&mut self) {
        self.refused_orders += 1;
    }

    /// The forecast's sums over the days to come: expected units, and their variance.
    fn sums(&self, sku: &Sku) -> impl Iterator<Item = (f64, f64)> + '_ {
        let day = self.day.unwrap_or(0);
        let (mut sum, mut trend, mut damping) = (0.0, 0.0, 1.0);
        let (level, slope, spread) = (sku.level, sku.trend, sku.variance);
        (0..HORIZON_DAYS).map(move |ahead| {
            damping *= DAMPING;
            trend += slope * damping;
            let profile = self.profile[Self::weekday(day + i64::try_from(ahead).unwrap_or(0))];
            sum += (level + trend).max(0.0) * profile;
            let variance = variance_of_sum(spread, ahead as f64 + 1.0);
            (sum, variance)
        })
    }

    /// When a SKU runs out of which so many units are available; none where no day of it is known.
    #[must_use]
    pub fn stockout(&self, site: &str, sku: &str, available: i64) -> Option<Stockout> {
        let it = self.find(site, sku).filter(|it| it.days > 0)?;
        let available = available.max(0) as f64;
        let reached = |deviations: f64| {
            let mut before = (0.0, 0.0);
            for (day, (sum, variance)) in self.sums(it).enumerate() {
                let asked = sum + deviations * variance.sqrt();
                if asked >= available {
                    let step = asked - before.1;
                    let part = if step > 0.0 { (available - before.1) / step } else { 1.0 };
                    return Some(before.0 + part.clamp(0.0, 1.0));
                }
                before = (day as f64 + 1.0, asked);
            }
            None
        };
        let [low, middle, high] = self.deviations;
        let early = reached(high);
        Some(Stockout {
            days: reached(middle),
            interval: (early.unwrap_or(HORIZON_DAYS as f64), reached(low)),
        })
    }

    /// What to order now of a SKU, given how it is supplied: what is asked for until the next order but one arrives, and safety
    /// against its spread, less what is available.
    #[must_use]
    pub fn restock(&self, site: &str, sku: &str, available: i64, supply: &Supply) -> Option<Restock> {
        let it = self.find(site, sku).filter(|it| it.days > 0)?;
        let days = (supply.lead_days + supply.review_days).clamp(1.0, HORIZON_DAYS as f64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
        let (demand, variance) = self.sums(it).nth(days.ceil() as usize - 1)?;
        let safety = supply.deviations.max(0.0) * variance.sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "units, far below 2^53")]
        let quantity = (demand + safety - available as f64).ceil().max(0.0) as i64;
        Some(Restock { quantity, demand, safety })
    }

    /// The SKUs that lack the most units of refused orders: site, SKU, units, and value in minor units.
    #[must_use]
    pub fn most_refused(&self, count: usize) -> Vec<(&str, &str, u64, u64)> {
        let mut refused: Vec<&Sku> = self.skus.iter().filter(|sku| sku.refused > 0).collect();
        refused.sort_by_key(|sku| std::cmp::Reverse((sku.refused_value_minor, sku.refused)));
        refused.truncate(count);
        refused.iter().map(|it| (&*it.site, &*it.name, it.refused, it.refused_value_minor)).collect()
    }

    /// Orders refused for want of stock; and how often a SKU was met that is not followed, as there are too many.
    #[must_use]
    pub const fn refused_and_not_followed(&self) -> (u64, u64) {
        (self.refused_orders, self.not_followed)
    }

    /// Units that refused orders lacked.
    #[must_use]
    pub const fn refused_units(&self) -> u64 {
        self.refused_units
    }

    /// Takes note of when a SKU is expected to run out.
    pub(super) fn note_left(&mut self, site: &str, sku: &str, days: f64) {
        if let Some(it) =
            self.index.get(&Self::named(site, sku)).and_then(|place| self.skus.get_mut(*place as usize))
        {
            it.left_days = days;
        }
    }

    /// How many SKUs were last expected to run out within so many days.
    #[must_use]
    pub fn running_out(&self, days: f64) -> usize {
        self.skus.iter().filter(|sku| sku.left_days <= days).count()
    }

    /// The SKUs that are followed, from the place `from` on, at most `count`.
    pub fn followed_from(&self, from: usize, count: usize) -> impl Iterator<Item = (&str, &str)> {
        self.skus.iter().skip(from).take(count).map(|sku| (&*sku.site, &*sku.name))
    }

    /// The SKUs that are followed: sites and SKUs.
    pub fn followed(&self) -> impl Iterator<Item = (&str, &str)> {
        self.skus.iter().map(|sku| (&*sku.site, &*sku.name))
    }

    /// Makes the index again after reading; false where it does not hold together.
    pub(super) fn restore(&mut self) -> bool {
        let named = self.skus.iter().enumerate();
        self.index =
            named.map(|(place, sku)| (sku.named, u32::try_from(place).unwrap_or(u32::MAX))).collect();
        let sound = |sku: &Sku| {
            sku.level.is_finite()
                && sku.trend.is_finite()
                && sku.variance >= 0.0
                && sku.variance.is_finite()
                && sku.left_days.is_finite()
                && sku.told.0.is_finite()
                && sku.told.1.is_finite()
                && sku.told.2.is_finite()
        };
        self.index.len() == self.skus.len()
            && self.max <= 1 << 20
            && self.skus.len() <= self.max
            && self.skus.iter().all(sound)
            && self.asked_today.len() == self.skus.len()
            && self.asked_today.iter().all(|asked| asked.is_finite())
            && self.profile.iter().all(|part| part.is_finite())
            && self.deviations.iter().all(|deviation| deviation.is_finite())
            && self.level.is_finite()
            && self.today.is_finite()
            && self.day.is_none_or(|day| day.abs() < 1 << 40)
    }
}

/// The variance of the sum of so many days, of which a day's is `spread`.
fn variance_of_sum(spread: f64, days: f64) -> f64 {
    // The level itself is unsure: its share of the spread adds up, the days' own add as squares.
    spread * (days + LEVEL_SHARE * days * days) / (1.0 + LEVEL_SHARE)
}

impl Sku {
    /// By how many standard deviations two weeks' demand was off what was forecast, once they are over; begins the next two.
    fn judge(&mut self, week: f64, today: f64) -> Option<f64> {
        let (sum, deviation, asked, days) = self.told;
        self.told = (sum, deviation, asked + today, days + 1);
        if days + 1 < JUDGED_DAYS && self.days > 0 {
            return None;
        }
        let judged = (self.days >= 2 * JUDGED_DAYS && deviation > 0.0)
            .then(|| ((asked + today - sum) / deviation).clamp(-10.0, 10.0));
        let days = f64::from(JUDGED_DAYS);
        let sum = self.level * week * days / 7.0;
        self.told = (sum, variance_of_sum(self.variance, days).sqrt(), 0.0, 0);
        judged
    }

    fn end_day(&mut self, profile: f64, today: f64) {
        let asked = today / profile.max(0.05);
        self.days = self.days.saturating_add(1);
        if self.days == 1 {
            (self.level, self.variance) = (asked, asked.max(1.0));
            return;
        }
        // Young levels move faster.
        let level = LEVEL.max(1.0 / f64::from(self.days.min(1_000)));
        let forecast = self.level + DAMPING * self.trend;
        let bound = OUTLIER * self.variance.sqrt().max(1.0);
        let off = (asked - forecast).clamp(-2.0 * bound, 2.0 * bound);
        let apart = off.clamp(-bound, bound);
        self.variance += SPREAD.max(1.0 / f64::from(self.days.min(1_000))) * (off * off - self.variance);
        let before = self.level;
        self.level = (forecast + level * apart).max(0.0);
        self.trend = DAMPING * self.trend + TREND * (self.level - before - DAMPING * self.trend);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SKU with binomial demand of `rate` a day for `days`.
    fn stock(rate: u32, days: i64, random: &mut fastrand::Rng) -> Stock {
        let mut stock = Stock::new(100);
        stock.advance(1);
        for day in 0..days {
            for _ in 0..rate * 4 {
                if random.f64() < 0.25 {
                    stock.asked(Site::new("main"), [(&b"A"[..], 1)]);
                }
            }
            stock.advance((day + 1) * DAY_MS + 1);
        }
        stock
    }

    #[test]
    fn time_to_stockout_covers_what_comes() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut covered, mut off) = (0, 0.0);
        for _ in 0..200 {
            let stock = stock(10, 60, &mut random);
            let told = stock.stockout("main", "A", 140).unwrap();
            let (mut left, mut days) = (140.0, 0.0);
            while left > 0.0 {
                let asked = (0..40).filter(|_| random.f64() < 0.25).count() as f64;
                days += f64::min(1.0, left / asked.max(1e-9));
                left -= asked;
            }
            let end = told.interval.1.unwrap();
            covered += u32::from((told.interval.0..=end).contains(&days));
            off += (told.days.unwrap() - days).abs();
        }
        assert!((140..=190).contains(&covered), "{covered} of 200");
        assert!(off / 200.0 < 2.0, "{}", off / 200.0);
    }

    #[test]
    fn a_restock_covers_lead_time_and_review() {
        let mut random = fastrand::Rng::with_seed(2);
        let stock = stock(10, 60, &mut random);
        let supply = Supply { lead_days: 5.0, review_days: 5.0, deviations: 0.0 };
        let restock = stock.restock("main", "A", 20, &supply).unwrap();
        assert!((50..=110).contains(&restock.quantity), "{restock:?}");
        let safe = stock.restock("main", "A", 20, &Supply { deviations: 2.0, ..supply }).unwrap();
        assert!(safe.quantity > restock.quantity && safe.safety > 0.0);
        assert_eq!(stock.restock("main", "B", 20, &supply), None);
    }

    #[test]
    fn skus_are_bounded_and_idle_ones_give_way() {
        let mut stock = Stock::new(10);
        stock.advance(1);
        for number in 0..50 {
            stock.asked(Site::new("main"), [(format!("S{number}").as_bytes(), 1)]);
        }
        assert_eq!((stock.followed().count(), stock.refused_and_not_followed().1), (10, 40));
        stock.advance(40 * DAY_MS);
        assert_eq!(stock.followed().count(), 0);
        stock.asked(Site::new("main"), [(&b"new"[..], 1)]);
        assert!(stock.skus.len() == 1 && stock.restore());
    }

    #[test]
    fn skus_that_are_asked_for_stay_where_others_give_way() {
        let mut stock = Stock::new(10);
        stock.advance(1);
        for number in 0..10 {
            stock.asked(Site::new("main"), [(format!("S{number}").as_bytes(), 1)]);
        }
        for day in 1..40 {
            stock.asked(Site::new("main"), [(&b"S3"[..], 1), (&b"S8"[..], 5)]);
            stock.advance(day * DAY_MS);
        }
        let followed = |stock: &Stock| stock.followed().map(|(_, sku)| sku.to_owned()).collect::<Vec<_>>();
        assert_eq!(followed(&stock), ["S3", "S8"]);
        // What is asked for next is found where it moved to.
        stock.asked(Site::new("main"), [(&b"S8"[..], 7), (&b"S4"[..], 2)]);
        assert_eq!((followed(&stock).len(), stock.asked_today.as_slice()), (3, &[0.0, 7.0, 2.0][..]));
    }
}
