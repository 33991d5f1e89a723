//! What one contender's pass has shown, whoever it was.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::figures::{Cpu, Pass};
use crate::findings::Findings;
use crate::statistics::{Latencies, Quantiles};

/// One pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// Orders decided a second, over the window.
    pub(crate) orders_per_second: f64,
    /// Of the orders that were due within the window.
    pub(crate) latencies: Latencies,
    /// Messages or calls: the orders of one share its fate.
    pub(crate) samples: u64,
    /// Nanoseconds an order, of the worker, the server, and the generator or client.
    pub(crate) cpu: Cpu,
    pub(crate) findings: Findings,
}

impl Measured {
    pub(crate) fn latency(&self) -> Quantiles {
        Quantiles::of(&Histogram::from(&self.latencies), self.samples)
    }
}

impl From<Pass> for Measured {
    fn from(pass: Pass) -> Self {
        Self {
            orders_per_second: pass.orders_per_second,
            samples: pass.generated.window_messages,
            latencies: pass.generated.latencies,
            cpu: pass.cpu,
            findings: pass.audit.unwrap_or_default(),
        }
    }
}
