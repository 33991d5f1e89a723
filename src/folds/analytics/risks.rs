//! All open orders at a glance: how many are how likely to arrive late, and what those that are not paid hold.

use super::{Analytics, Phase};

/// The open orders that are followed, by their risk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Risks {
    /// Those with a promise that has not passed, by the tenth of their probability to arrive late.
    pub tenths: [u64; 10],
    /// Those whose promise has passed.
    pub late: u64,
    /// The sum of the probabilities, those that are late included: how many late orders are expected.
    pub expected_late: f64,
    /// Units held by orders that have their stock and are not paid.
    pub unpaid_units: u64,
}

impl Risks {
    /// Open orders with a promise.
    #[must_use]
    pub fn promised(&self) -> u64 {
        self.tenths.iter().sum::<u64>() + self.late
    }
}

impl Analytics {
    /// Looks at all open orders that are followed: some 200 ns each.
    #[must_use]
    pub fn risks(&self) -> Risks {
        let mut risks = Risks::default();
        for place in self.orders.open() {
            let Some(order) = self.orders.get(place) else { continue };
            if order.phase == Phase::Confirmed {
                risks.unpaid_units =
                    risks.unpaid_units.saturating_add(order.units_left.max(0).unsigned_abs());
            }
            let Some(from) = order.late_from_ms() else { continue };
            if self.now_ms >= from {
                risks.late += 1;
                risks.expected_late += 1.0;
                continue;
            }
            let Some(late) = self.delay.risk(order, self.now_ms).filter(|late| late.is_finite()) else {
                continue;
            };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a probability")]
            let tenth = ((late * 10.0).clamp(0.0, 9.0)) as usize;
            risks.tenths[tenth] += 1;
            risks.expected_late += late;
        }
        risks
    }
}
