//! What analytics say to the console: one small snapshot, which whoever measures gives. Where a figure is none it is not measured, and
//! the page says so.

use serde::Serialize;

/// Lists longer than this are cut, the worst first.
pub const ROWS_MAX: usize = 100;

/// A snapshot of what analytics say of all shards of a worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outlook {
    /// When it was taken, in milliseconds since 1970.
    pub at_ms: i64,
    /// Orders a minute in the same hour of the week before.
    pub orders_per_minute_before: Option<f64>,
    /// Open orders that are past their promise.
    pub late: Option<u64>,
    /// Open orders that will probably miss it.
    pub at_risk: Option<u64>,
    /// Cancellations an hour now, and as is normal at this time.
    pub cancelled_per_hour: Option<(f64, f64)>,
    /// The orders at risk, the most probable first.
    pub risks: Vec<Risk>,
    /// SKUs that are gone within a day, the soonest first.
    pub gone_soon: Vec<GoneSoon>,
    /// Cancellations that surge.
    pub surges: Vec<Surge>,
}

/// An order that will probably be late.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Risk {
    /// Which order.
    pub order_id: String,
    /// When it is promised, in milliseconds since 1970.
    pub promised_ms: Option<i64>,
    /// Its probability to be late, 0 to 1.
    pub late: f64,
    /// What speaks most for it.
    pub reason: Option<String>,
}

/// A SKU that is soon gone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GoneSoon {
    /// Where.
    pub site: String,
    /// Which SKU.
    pub sku: String,
    /// In how many hours; 0 where it is gone.
    pub hours: f64,
}

/// A surge of cancellations.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Surge {
    /// Which series.
    pub series: String,
    /// How many times as many as is normal.
    pub times: f64,
    /// What drives it.
    pub cause: Option<String>,
}

impl Outlook {
    /// Cuts what is too long for a page.
    pub fn cut(&mut self) {
        self.risks.truncate(ROWS_MAX);
        self.gone_soon.truncate(ROWS_MAX);
        self.surges.truncate(ROWS_MAX);
    }
}
