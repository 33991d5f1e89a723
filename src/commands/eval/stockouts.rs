//! How well times to stockout are told, on a file's own demand: each SKU's forecast against what was asked for afterwards.
//!
//! Once a week, for SKUs that were asked for in the four weeks before, stock of one to four weeks' mean demand is assumed; when it would
//! have run out is read from the file's future, and held against the forecast and against a seven-day average. Both can only be
//! judged where the file's future is long enough: stock that lasts beyond eight weeks is left out for both alike.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::folds::analytics::Analytics;

const SITE: &str = "main";
const DAYS_JUDGED: usize = 56;

/// Units asked for by SKU and day since 1970.
#[derive(Default)]
pub(super) struct Demand(BTreeMap<String, BTreeMap<i64, f64>>);

/// Errors and coverage so far.
#[derive(Default)]
pub(super) struct Judged {
    forecast: Vec<f64>,
    average: Vec<f64>,
    covered: u64,
}

#[expect(clippy::cast_precision_loss, reason = "units and days")]
impl Demand {
    pub(super) fn add(&mut self, day: i64, sku: &str, units: i64) {
        *self.0.entry(sku.to_owned()).or_default().entry(day).or_default() += units as f64;
    }

    fn sum(of: &BTreeMap<i64, f64>, days: std::ops::Range<i64>) -> f64 {
        of.range(days).map(|(_, units)| units).sum()
    }

    /// Judges what analytics say at the start of a day.
    pub(super) fn judge(&self, analytics: &Analytics, day: i64, judged: &mut Judged) {
        for (place, (sku, of)) in self.0.iter().enumerate() {
            let month = Self::sum(of, day - 28..day);
            let asked = of.range(day - 28..day).count();
            if asked < 8 {
                continue;
            }
            let weeks = 1 + place % 4;
            let available = (month / 4.0 * weeks as f64).round().max(1.0);
            #[expect(clippy::cast_possible_truncation, reason = "units of a file")]
            let told = analytics.stock().stockout(SITE, sku, available as i64);
            let (Some(told), Some(truth)) = (told, runs_out(of, day, available)) else { continue };
            let average = Self::sum(of, day - 7..day) / 7.0;
            let by_average = if average > 0.0 { available / average } else { DAYS_JUDGED as f64 };
            judged.forecast.push((told.days.unwrap_or(365.0) - truth).abs());
            judged.average.push((by_average - truth).abs());
            let end = told.interval.1.unwrap_or(f64::INFINITY);
            judged.covered += u64::from((told.interval.0..=end).contains(&truth));
        }
    }
}

/// In how many days stock runs out; none where that is beyond what is judged.
#[expect(clippy::cast_precision_loss, reason = "days")]
fn runs_out(of: &BTreeMap<i64, f64>, day: i64, available: f64) -> Option<f64> {
    let mut left = available;
    for ahead in 0..DAYS_JUDGED {
        let asked = of.get(&(day + i64::try_from(ahead).unwrap_or(0))).copied().unwrap_or(0.0);
        if asked >= left {
            return Some(ahead as f64 + left / asked);
        }
        left -= asked;
    }
    None
}

#[expect(clippy::cast_precision_loss, reason = "counts")]
impl Judged {
    pub(super) fn json(mut self) -> Value {
        let median = |values: &mut Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).map(|value| (value * 100.0).round() / 100.0)
        };
        let n = self.forecast.len();
        json!({
            "n": n, "median_error_days": median(&mut self.forecast),
            "median_error_days_of_a_7_day_average": median(&mut self.average),
            "within_80": (self.covered as f64 / n.max(1) as f64 * 1e3).round() / 1e3,
        })
    }
}
