//! What distinguishes the lead-time models of the moments: figures that were chosen on a real shop's orders.

use wincode::{SchemaRead, SchemaWrite};

use super::parameters::AllRates;

/// What distinguishes the models.
#[derive(Clone, Copy, Debug, SchemaRead, SchemaWrite)]
pub(super) struct Constants {
    /// Added to ages before their logarithm is taken, in typical lead times: what happens sooner matters less.
    pub(super) offset: f64,
    pub(super) sigma: f64,
    /// The weight of a delivery's step, and of an open order's.
    pub(super) ended: f64,
    pub(super) open: f64,
    /// Where open orders stop teaching, and deliveries stop to enter the curve; as shares of the horizon, from the promise on.
    pub(super) open_end: f64,
    pub(super) accept_end: f64,
    pub(super) silent_close: f64,
    pub(super) share_of_promise: f64,
    pub(super) rate: f32,
    pub(super) all: AllRates,
    pub(super) intercept: f32,
}

impl Constants {
    pub(super) const PAID: Self = Self {
        offset: 0.3,
        sigma: 0.9,
        ended: 0.65,
        open: 0.8,
        open_end: -0.25,
        accept_end: 0.75,
        silent_close: 0.85,
        share_of_promise: 0.5,
        rate: 0.015,
        all: AllRates { step: 0.025, kappa: 30.0 },
        intercept: 0.336_472_24, // ln 1.4
    };

    pub(super) const SHIPPED: Self = Self {
        offset: 0.3,
        sigma: 1.1,
        ended: 0.4,
        open: 1.0,
        open_end: 0.0,
        accept_end: 0.25,
        silent_close: 0.85,
        share_of_promise: 0.4,
        rate: 0.0125,
        all: AllRates { step: 0.04, kappa: 1.2 },
        intercept: 0.095_310_18, // ln 1.1
    };

    /// From payment until it leaves; its promise is `ship_by`.
    pub(super) const HANDLING: Self = Self {
        offset: 0.5,
        sigma: 0.5,
        ended: 0.6,
        open: 1.0,
        open_end: 0.5,
        accept_end: 2.0,
        silent_close: 2.2,
        share_of_promise: 0.5,
        rate: 0.015,
        all: AllRates { step: 0.025, kappa: 30.0 },
        intercept: 0.470_003_63, // ln 1.6
    };
}
