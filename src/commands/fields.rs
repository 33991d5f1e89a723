//! Values on the command line.

use std::time::Duration;

use crate::words::codec::Format;

/// `json` or `bincode`.
pub(super) fn format(text: &str) -> Result<Format, String> {
    match text {
        "json" => Ok(Format::Json),
        "bincode" => Ok(Format::Bincode),
        _ => Err("json or bincode".to_owned()),
    }
}

/// A number and a unit: `500ms`, `15s`, `2m`, `1h`; seconds where no unit is given.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor_ms = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a number and ms, s, m or h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "a number and ms, s, m or h".to_owned())?;
    number.checked_mul(factor_ms).map(Duration::from_millis).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("15"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for bad in ["", "s", "1d", "-1s", "99999999999999999999h", "1.5s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
