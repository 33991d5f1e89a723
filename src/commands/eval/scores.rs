//! How good probabilities were, by the usual measures, exactly.

use serde_json::{Value, json};

/// A probability and what happened.
pub(super) type Scored = (f64, bool);

/// The measures of a set of probabilities.
#[derive(Clone, Debug, Default)]
pub(super) struct Scores {
    pub(super) n: usize,
    pub(super) late_share: f64,
    pub(super) auc: f64,
    pub(super) log_loss: f64,
    pub(super) brier: f64,
    pub(super) ece: f64,
    pub(super) pr_auc: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of orders")]
impl Scores {
    /// Measures; all zero where there is nothing.
    pub(super) fn of(scored: &[Scored]) -> Self {
        let n = scored.len();
        if n == 0 {
            return Self::default();
        }
        let late = scored.iter().filter(|(_, late)| *late).count();
        let mean = |of: &dyn Fn(&Scored) -> f64| scored.iter().map(of).sum::<f64>() / n as f64;
        Self {
            n,
            late_share: late as f64 / n as f64,
            auc: auc(scored),
            log_loss: mean(&|(p, late)| {
                let p = p.clamp(1e-6, 1.0 - 1e-6);
                if *late { -p.ln() } else { -(-p).ln_1p() }
            }),
            brier: mean(&|(p, late)| (p - f64::from(u8::from(*late))).powi(2)),
            ece: ece(scored),
            pr_auc: average_precision(scored),
        }
    }

    pub(super) fn json(&self) -> Value {
        let round = |value: f64| (value * 1e5).round() / 1e5;
        json!({
            "n": self.n,
            "late_share": round(self.late_share),
            "auc": round(self.auc),
            "log_loss": round(self.log_loss),
            "brier": round(self.brier),
            "ece": round(self.ece),
            "pr_auc": round(self.pr_auc),
        })
    }
}

fn by_probability(scored: &[Scored]) -> Vec<Scored> {
    let mut sorted = scored.to_vec();
    sorted.sort_by(|left, right| left.0.total_cmp(&right.0));
    sorted
}

/// The area under the ROC curve by ranks; ties count half. 0.5 where there is only one kind.
#[expect(clippy::cast_precision_loss, reason = "counts of orders")]
fn auc(scored: &[Scored]) -> f64 {
    let sorted = by_probability(scored);
    let (mut ranks, mut late, mut start) = (0.0, 0_usize, 0);
    while start < sorted.len() {
        let end = start + sorted[start..].partition_point(|(p, _)| *p <= sorted[start].0);
        let rank = (start + end + 1) as f64 / 2.0;
        let of_late = sorted[start..end].iter().filter(|(_, late)| *late).count();
        ranks += rank * of_late as f64;
        late += of_late;
        start = end;
    }
    let on_time = sorted.len() - late;
    if late == 0 || on_time == 0 {
        return 0.5;
    }
    (ranks - (late * (late + 1)) as f64 / 2.0) / (late as f64 * on_time as f64)
}

/// The expected calibration error over ten bins of equal width.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of orders, and a probability"
)]
fn ece(scored: &[Scored]) -> f64 {
    let mut apart = [0.0; 10];
    for (p, late) in scored {
        apart[((p * 10.0) as usize).min(9)] += p - f64::from(u8::from(*late));
    }
    apart.iter().map(|apart| apart.abs()).sum::<f64>() / scored.len() as f64
}

/// The average precision: the area under the precision-recall curve by steps.
#[expect(clippy::cast_precision_loss, reason = "counts of orders")]
fn average_precision(scored: &[Scored]) -> f64 {
    let sorted = by_probability(scored);
    let late = sorted.iter().filter(|(_, late)| *late).count();
    let (mut sum, mut found, mut end) = (0.0, 0, sorted.len());
    while end > 0 {
        let start = sorted[..end].partition_point(|(p, _)| *p < sorted[end - 1].0);
        let now = sorted[start..end].iter().filter(|(_, late)| *late).count();
        found += now;
        sum += now as f64 * found as f64 / (sorted.len() - start) as f64;
        end = start;
    }
    if late == 0 { 0.0 } else { sum / late as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn against_what_is_counted_by_hand() {
        let said = [(0.1, false), (0.4, true), (0.4, false), (0.8, true), (0.95, false)];
        let scores = Scores::of(&said);
        // Of six pairs, 0.4 beats 0.1 and ties with 0.4; 0.8 beats two.
        assert!((scores.auc - 3.5 / 6.0).abs() < 1e-12, "{}", scores.auc);
        assert!((scores.pr_auc - 0.5).abs() < 1e-12, "{}", scores.pr_auc);
        assert!((scores.ece - (0.1 + 0.2 + 0.2 + 0.95) / 5.0).abs() < 1e-12, "{}", scores.ece);
        assert!((scores.brier - (0.01 + 0.36 + 0.16 + 0.04 + 0.9025) / 5.0).abs() < 1e-12);
        assert_eq!(Scores::of(&[]).n, 0);
    }
}
