//! Quality of service: scorecards by carrier and by site, reviews and complaints beside lateness, failed payments.
//!
//! Scorecards slide: they hold the running week and the four before (weeks of 604,800 seconds since 1970). Shares are exact;
//! quantiles of the time from hand-over to arrival are right within 5% ([`Quantiles`]).

use wincode::{SchemaRead, SchemaWrite};

use super::labels::Labels;
use super::orders::Order;
use super::sketches::quantiles::Quantiles;

const WEEK_MS: i64 = 604_800_000;
const WEEKS: i64 = 5;
const WEEKS_KEPT: usize = 5;
const TOPICS_MAX: usize = 30;
const REASONS_MAX: usize = 50;
/// A review of so many stars or fewer is a complaint.
pub const COMPLAINT_MAX: i64 = 2;

#[derive(Clone, Debug, Default, SchemaRead, SchemaWrite)]
struct Week {
    number: i64,
    delivered: u64,
    promised: u64,
    late: u64,
    reviews: u64,
    stars: u64,
    complaints: u64,
    transit: Quantiles,
}

/// What there was of one label in the last five weeks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scorecard {
    /// Orders that arrived.
    pub delivered: u64,
    /// Of those with a promise, the share that was on time; none where there was none.
    pub on_time: Option<f64>,
    /// Days from hand-over to arrival: the median, and what 90% stay below.
    pub transit_days: Option<(f64, f64)>,
    /// Reviews, and their mean.
    pub reviews: u64,
    /// Their mean; none where there were none.
    pub stars: Option<f64>,
    /// Reviews that are complaints.
    pub complaints: u64,
}

/// Reviews of one topic, over all time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, SchemaRead, SchemaWrite)]
pub struct Topic {
    /// How many.
    pub reviews: u64,
    /// The sum of their stars.
    pub stars: u64,
    /// Of orders that arrived late.
    pub late: u64,
    /// Complaints.
    pub complaints: u64,
}

/// The quality of service of a shard.
#[derive(Clone, Debug, SchemaRead, SchemaWrite)]
pub struct Service {
    /// By label, by week.
    carriers: Vec<Vec<Week>>,
    sites: Vec<Vec<Week>>,
    topics: Labels,
    by_topic: Vec<Topic>,
    reasons: Labels,
    payment_failures: Vec<u64>,
    now_ms: i64,
}

impl Service {
    pub(super) fn new() -> Self {
        Self {
            carriers: Vec::new(),
            sites: Vec::new(),
            topics: Labels::new(TOPICS_MAX),
            by_topic: Vec::new(),
            reasons: Labels::new(REASONS_MAX),
            payment_failures: Vec::new(),
            now_ms: 0,
        }
    }

    fn weeks(&mut self, order: &Order, now_ms: i64) -> [&mut Week; 2] {
        self.now_ms = self.now_ms.max(now_ms);
        let number = self.now_ms.div_euclid(WEEK_MS);
        [week(&mut self.carriers, order.carrier, number), week(&mut self.sites, order.site, number)]
    }

    /// An order arrived.
    pub(super) fn delivered(&mut self, order: &Order, at_ms: i64, now_ms: i64) {
        let late = order.late_from_ms().map(|from| at_ms >= from);
        let transit_ms = order.shipped_ms.map(|shipped| at_ms - shipped).filter(|transit| *transit >= 0);
        for week in self.weeks(order, now_ms) {
            week.delivered += 1;
            week.promised += u64::from(late.is_some());
            week.late += u64::from(late == Some(true));
            if let Some(transit_ms) = transit_ms {
                week.transit.take(transit_ms);
            }
        }
    }

    /// An order was reviewed. `order` is none where it is not followed, or no longer.
    pub(super) fn reviewed(&mut self, order: Option<&Order>, score: i64, topic: &str, now_ms: i64) {
        let stars = score.clamp(1, 5).unsigned_abs();
        let complaint = u64::from(score <= COMPLAINT_MAX);
        let label = usize::from(self.topics.label(topic));
        if self.by_topic.len() <= label {
            self.by_topic.resize(label + 1, Topic::default());
        }
        let of = &mut self.by_topic[label];
        (of.reviews, of.stars, of.complaints) = (of.reviews + 1, of.stars + stars, of.complaints + complaint);
        of.late += u64::from(order.is_some_and(|order| order.late == Some(true)));
        if let Some(order) = order {
            for week in self.weeks(order, now_ms) {
                week.reviews += 1;
                week.stars += stars;
                week.complaints += complaint;
            }
        }
    }

    /// A payment failed.
    pub(super) fn payment_failed(&mut self, reason: &str) {
        let label = usize::from(self.reasons.label(reason));
        if self.payment_failures.len() <= label {
            self.payment_failures.resize(label + 1, 0);
        }
        self.payment_failures[label] += 1;
    }

    /// Reviews by topic.
    pub fn topics(&self) -> impl Iterator<Item = (&str, Topic)> {
        named(&self.topics, &self.by_topic).filter(|(_, topic)| topic.reviews > 0)
    }

    /// Failed payments by reason.
    pub fn payment_failures(&self) -> impl Iterator<Item = (&str, u64)> {
        named(&self.reasons, &self.payment_failures).filter(|(_, count)| *count > 0)
    }

    /// Scorecards by label, of those with any order: of carriers, and of sites.
    pub(super) fn scorecards(&self) -> [Vec<(u16, Scorecard)>; 2] {
        let oldest = self.now_ms.div_euclid(WEEK_MS) - WEEKS;
        [&self.carriers, &self.sites].map(|labels| {
            let cards = labels.iter().enumerate().map(|(label, weeks)| {
                (
                    u16::try_from(label).unwrap_or(0),
                    scorecard(weeks.iter().filter(|week| week.number > oldest)),
                )
            });
            cards.filter(|(_, card)| card.delivered + card.reviews > 0).collect()
        })
    }

    /// Makes whole what was read back; false where it does not hold together.
    pub(super) fn restore(&mut self) -> bool {
        let weeks =
            |weeks: &Vec<Week>| weeks.len() <= WEEKS_KEPT && weeks.iter().all(|week| week.transit.is_sound());
        self.topics.restore()
            && self.reasons.restore()
            && self.by_topic.len() <= TOPICS_MAX + 2
            && self.payment_failures.len() <= REASONS_MAX + 2
            && self.carriers.iter().chain(&self.sites).all(weeks)
    }
}

fn named<'a, T: Copy>(labels: &'a Labels, values: &'a [T]) -> impl Iterator<Item = (&'a str, T)> {
    let named = values.iter().enumerate();
    named.map(|(label, value)| (labels.name(u16::try_from(label).unwrap_or(0)), *value))
}

fn week(labels: &mut Vec<Vec<Week>>, label: u16, number: i64) -> &mut Week {
    let label = usize::from(label);
    if labels.len() <= label {
        labels.resize_with(label + 1, Vec::new);
    }
    let weeks = &mut labels[label];
    let place = usize::try_from(number.rem_euclid(WEEKS)).unwrap_or(0);
    if weeks.len() < WEEKS_KEPT {
        weeks.resize_with(WEEKS_KEPT, Week::default);
    }
    if weeks[place].number != number {
        weeks[place] = Week { number, ..Week::default() };
    }
    &mut weeks[place]
}

fn scorecard<'a>(weeks: impl Iterator<Item = &'a Week>) -> Scorecard {
    let mut all = Week::default();
    for week in weeks {
        all.delivered += week.delivered;
        all.promised += week.promised;
        all.late += week.late;
        all.reviews += week.reviews;
        all.stars += week.stars;
        all.complaints += week.complaints;
        all.transit.add(&week.transit);
    }
    let days = |quantile| Some(all.transit.quantile(quantile)? / 86_400_000.0);
    Scorecard {
        delivered: all.delivered,
        on_time: (all.promised > 0).then(|| 1.0 - all.late as f64 / all.promised as f64),
        transit_days: days(0.5).zip(days(0.9)),
        reviews: all.reviews,
        stars: (all.reviews > 0).then(|| all.stars as f64 / all.reviews as f64),
        complaints: all.complaints,
    }
}
