//! Scores: what is said of an order, and what is known of it afterwards.

/// An order's score at the moment it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The probability that it arrives late, given that it arrives; none where nothing was promised.
    pub late: Option<f64>,
    /// What the lead-time model alone says.
    pub late_by_lead_time: Option<f64>,
    /// Days from the moment until it has arrived with a probability of 5%, 25%, 50%, 75% and 95%.
    pub days: [f64; 5],
}

/// The probabilities of [`Score::days`].
pub const QUANTILES: [f64; 5] = [0.05, 0.25, 0.5, 0.75, 0.95];

/// A score whose truth is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label {
    pub(super) published: f64,
    pub(super) late: bool,
}
