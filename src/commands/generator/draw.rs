//! What is drawn at random: a SKU by its popularity, a number by its quantiles, a yes or no.

use fastrand::Rng;

/// A distribution of whole numbers of which some quantiles are known; between them it is drawn so that the
/// logarithm is even, which suits long tails.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantiles(Vec<(f64, u32)>);

impl Quantiles {
    /// The distribution with these pairs of share and value, both rising. The first share should be 0 and the last
    /// 1; a value of 0 counts as 1.
    #[must_use]
    pub fn new(pairs: impl Into<Vec<(f64, u32)>>) -> Self {
        Self(pairs.into())
    }

    /// Always `value`.
    #[must_use]
    pub fn exactly(value: u32) -> Self {
        Self(vec![(0.0, value)])
    }

    /// A number drawn from it.
    pub fn draw(&self, rng: &mut Rng) -> u32 {
        self.at(rng.f64())
    }

    /// The mean, near enough to size stock by.
    pub(super) fn mean(&self) -> f64 {
        const STEPS: u32 = 10_000;
        (0..STEPS).map(|step| f64::from(self.at((f64::from(step) + 0.5) / f64::from(STEPS)))).sum::<f64>()
            / f64::from(STEPS)
    }

    fn at(&self, share: f64) -> u32 {
        let next = self.0.partition_point(|&(upto, _)| upto <= share);
        let value = |place: usize| self.0.get(place).map_or(1, |pair| pair.1.max(1));
        let last = value(self.0.len().saturating_sub(1));
        if next == 0 || next >= self.0.len() {
            return if next == 0 { value(0) } else { last };
        }
        let (low, high) = (self.0[next - 1].0, self.0[next].0);
        let (from, to) = (f64::from(value(next - 1)), f64::from(value(next)));
        let part = (share - low) / (high - low);
        whole(from * (to / from).powf(part)).clamp(1, last.max(1))
    }
}

/// `value` rounded to the nearest number that fits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, which is what is wanted"
)]
pub(super) fn whole(value: f64) -> u32 {
    value.round() as u32
}

/// SKUs by popularity: a table of the shares summed up, searched by halves.
#[derive(Debug)]
pub(super) struct Popularity {
    upto: Vec<f64>,
}

impl Popularity {
    /// Zipf's law: the share of the n-th is as 1 / n^exponent.
    pub(super) fn zipf(skus: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=skus.max(1)).map(|rank| f64::from(rank).powf(-exponent));
        let mut upto: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        for share in &mut upto {
            *share /= sum;
        }
        Self { upto }
    }

    /// A SKU's number, from 0 for the most popular.
    pub(super) fn draw(&self, rng: &mut Rng) -> u32 {
        let share = rng.f64();
        let place = self.upto.partition_point(|&upto| upto <= share).min(self.upto.len() - 1);
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    /// The share of each SKU.
    pub(super) fn shares(&self) -> impl Iterator<Item = f64> {
        let before = std::iter::once(&0.0).chain(&self.upto);
        self.upto.iter().zip(before).map(|(upto, before)| upto - before)
    }
}

/// A yes or no.
pub(super) trait Chance {
    /// Yes in `permille` of 1,000 cases.
    fn chance(&mut self, permille: u32) -> bool;
}

impl Chance for Rng {
    fn chance(&mut self, permille: u32) -> bool {
        self.u32(0..1_000) < permille
    }
}
