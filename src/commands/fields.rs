//! Values on the command line.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::words::codec::Format;
use crate::words::command::OnShortage;

/// `json` or `bincode`.
pub(super) fn format() -> impl TypedValueParser<Value = Format> {
    let format = |name: String| if name == "json" { Format::Json } else { Format::Bincode };
    PossibleValuesParser::new(["json", "bincode"]).map(format)
}

/// What an order does at a shortage.
pub(super) fn on_shortage() -> impl TypedValueParser<Value = OnShortage> {
    PossibleValuesParser::new(["refuse", "partial", "backorder"]).map(|name| match name.as_str() {
        "partial" => OnShortage::Partial,
        "backorder" => OnShortage::Backorder,
        _ => OnShortage::Refuse,
    })
}

/// A length of time with its unit: `500ms`, `10s`, `2m`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let told = || "a length of time with its unit, such as 500ms, 10s or 2m".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| told())?;
    Duration::try_from(parsed).map_err(|_| told())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("0ms"), Ok(Duration::ZERO));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_mins(90)));
        for bad in ["", "15", "s", "1 parsec", "-1s", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
