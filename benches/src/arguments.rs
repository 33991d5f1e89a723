//! Values on the command line that several commands take.

use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::{Deserialize, Serialize};

use weir::words::codec::Format;

/// When the servers sync what they have written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fsync {
    /// Some time later, as the server does by default
    Lazy,
    /// Before they acknowledge
    Always,
}

/// A length of time with its unit: `500ms`, `10s`, `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let told = || "a length of time with its unit, such as 500ms, 10s or 2m".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| told())?;
    Duration::try_from(parsed).map_err(|_| told())
}

/// `json` or `bincode`.
pub(crate) fn format() -> impl TypedValueParser<Value = Format> {
    let format = |name: String| if name == "json" { Format::Json } else { Format::Bincode };
    PossibleValuesParser::new(["json", "bincode"]).map(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for bad in ["", "15", "s", "-1s", "99999999999999999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
