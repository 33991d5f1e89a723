//! Points in time: whole milliseconds since 1970-01-01 UTC, written as RFC 3339 in JSON.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use wincode::{SchemaRead, SchemaWrite};

/// Milliseconds since 1970-01-01T00:00:00Z. Valid from 0 to the end of the year 9998.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, SchemaRead, SchemaWrite)]
pub struct Timestamp(i64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const ZERO: Self = Self(0);
    /// 9998-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_370_764_799_999);

    /// The point `millis` milliseconds after 1970, moved into the valid range.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < 0 {
            Self::ZERO
        } else if millis > Self::MAX.0 {
            Self::MAX
        } else {
            Self(millis)
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Whether it lies in the valid range: bytes from outside can hold any number.
    #[must_use]
    pub const fn is_valid(self) -> bool {
        self.0 >= 0 && self.0 <= Self::MAX.0
    }

    /// This point moved by `millis`, kept in the valid range.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clamped = Self::from_millis(self.0);
        match jiff::Timestamp::from_millisecond(clamped.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Timestamp {
    /// Reads an RFC 3339 time: `2026-11-22T03:00:00.123Z`, with any number of digits of the second (cut to milliseconds) or none,
    /// and `Z` or an offset of hours and minutes. Nothing looser: no date alone, no other separator, no second 60. What it gives
    /// may lie outside the valid range ([`Self::is_valid`]), which is for the fold to refuse.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (date, rest) = text.split_first_chunk::<11>()?;
        let (time, rest) = rest.split_first_chunk::<8>()?;
        let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1, b'T' | b't'] = *date else { return None };
        let [h0, h1, b':', i0, i1, b':', s0, s1] = *time else { return None };
        let (year, month, day) = (digits(&[y0, y1, y2, y3])?, digits(&[m0, m1])?, digits(&[d0, d1])?);
        let (hour, minute, second) = (digits(&[h0, h1])?, digits(&[i0, i1])?, digits(&[s0, s1])?);
        let days = days_from_1970(year, month, day)?;
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let (milli, rest) = match rest {
            [b'.', rest @ ..] => {
                let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (fraction, rest) = rest.split_at(count);
                let milli = fraction
                    .iter()
                    .chain(b"00")
                    .take(3)
                    .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
                (Some(milli).filter(|_| count > 0)?, rest)
            }
            rest => (0, rest),
        };
        let offset = match *rest {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
                let (hours, minutes) = (digits(&[h0, h1])?, digits(&[m0, m1])?);
                if hours > 23 || minutes > 59 {
                    return None;
                }
                let minutes = hours * 60 + minutes;
                if sign == b'-' { -minutes } else { minutes }
            }
            _ => return None,
        };
        let seconds = ((days * 24 + hour) * 60 + minute - offset) * 60 + second;
        Some(Self(seconds * 1000 + milli))
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// The days from 1970-01-01 to a date of the Gregorian calendar (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `days_from_civil`); none where there is no such date.
fn days_from_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    let from_march = (month + 9) % 12;
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

impl std::str::FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let time = Self::parse(text.as_bytes()).ok_or_else(|| format!("{text:?} is no RFC 3339 time"))?;
        if time.is_valid() { Ok(time) } else { Err(format!("{text:?} is not between 1970 and 9998")) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Timestamp;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an RFC 3339 time such as \"2026-11-22T03:00:00.123Z\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Timestamp, E> {
                let time = Timestamp::parse(text.as_bytes());
                time.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_rfc_3339_with_milliseconds() {
        let time: Timestamp = serde_json::from_str("\"2026-11-22T04:00:00.1239+01:00\"").unwrap();
        assert_eq!(serde_json::to_string(&time).unwrap(), "\"2026-11-22T03:00:00.123Z\"");
        for bad in ["\"\"", "5", "\"2026-11-22\"", "null"] {
            assert!(serde_json::from_str::<Timestamp>(bad).is_err(), "{bad}");
        }
        let before: Timestamp = serde_json::from_str("\"1969-12-31T23:59:59Z\"").unwrap();
        assert_eq!((before.millis(), before.is_valid()), (-1000, false));
        assert_eq!(Timestamp::MAX.to_string(), "9998-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::MAX.plus_millis(i64::MAX), Timestamp::MAX);
    }

    #[test]
    fn every_day_is_read_as_the_library_reads_it() {
        for day in -719_528..2_932_897_i64 {
            let at = day * 86_400_000 + day.rem_euclid(86_400_000);
            let text = jiff::Timestamp::from_millisecond(at.min(253_402_207_200_000)).unwrap().to_string();
            let expected: jiff::Timestamp = text.parse().unwrap();
            assert_eq!(Timestamp::parse(text.as_bytes()).unwrap().0, expected.as_millisecond(), "{text}");
        }
    }

    #[test]
    fn nothing_looser_than_rfc_3339_is_read() {
        let good = [
            ("2026-11-22T03:00:00Z", 1_795_316_400_000),
            ("2026-11-22t03:00:00z", 1_795_316_400_000),
            ("2026-11-22T03:00:00.1239+01:30", 1_795_311_000_123),
            ("2026-11-22T03:00:00.5-00:00", 1_795_316_400_500),
            ("0000-01-01T00:00:00+23:59", -62_167_305_540_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ];
        for (text, millis) in good {
            assert_eq!(Timestamp::parse(text.as_bytes()), Some(Timestamp(millis)), "{text}");
        }
        let bad = "|2026-11-22|2026-11-22T03Z|2026-11-22T03:00Z|20261122T030000Z|2026-11-22 03:00:00Z|2026-11-22T03:00:00\
            |2026-11-22T03:00:00.Z|2026-11-22T03:00:60Z|2026-11-22T24:00:00Z|2026-11-22T03:60:00Z|2026-02-29T03:00:00Z\
            |2026-13-01T03:00:00Z|2026-00-01T03:00:00Z|2026-11-31T03:00:00Z|2026-11-00T03:00:00Z|2026-11-22T03:00:00+0100\
            |2026-11-22T03:00:00+01|2026-11-22T03:00:00+24:00|2026-11-22T03:00:00+00:60|2026-11-22T03:00:00ZZ\
            |2026-11-22T03:00:00Z[UTC]|+002026-11-22T03:00:00Z|-026-11-22T03:00:00Z|2026-11-22T03:00:00,5Z| 2026-11-22T03:00:00Z";
        for text in bad.split('|') {
            assert_eq!(Timestamp::parse(text.as_bytes()), None, "{text}");
        }
        assert!(
            Timestamp::parse(b"2000-02-29T00:00:00Z").is_some()
                && Timestamp::parse(b"1900-02-29T00:00:00Z").is_none()
        );
    }
}
