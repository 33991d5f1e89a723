//! RFC 3339 times as most are written, eight bytes at a time.

#![expect(clippy::inline_always, reason = "measured: a call would pass what is read through memory")]

use crate::words::timestamp::Timestamp;

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES * 0x80;

const DATE: Word = Word::like(*b"0000-00-");
const DAY_AND_MINUTE: Word = Word::like(*b"00T00:00");
const SECOND: Word = Word::like(*b":00.000Z");
const WHOLE_SECOND: Word = Word::like(*b":00Z    ");

/// The days of a common year before each month, and how many it has.
const MONTHS: [(u16, u8); 13] = [
    (0, 0),
    (0, 31),
    (31, 28),
    (59, 31),
    (90, 30),
    (120, 31),
    (151, 30),
    (181, 31),
    (212, 31),
    (243, 30),
    (273, 31),
    (304, 30),
    (334, 31),
];

/// Eight characters, of which some are digits and the others fixed.
struct Word {
    /// The characters, with `0` for each digit.
    like: u64,
    /// What, added to a digit's value or to what differs from a fixed character, sets the byte's high bit where it is wrong.
    beyond: u64,
}

impl Word {
    const fn like(text: [u8; 8]) -> Self {
        let mut beyond = [0; 8];
        let mut at = 0;
        while at < 8 {
            beyond[at] = if text[at] == b'0' { 0x80 - 10 } else { 0x7f };
            at += 1;
        }
        Self { like: u64::from_le_bytes(text), beyond: u64::from_le_bytes(beyond) }
    }

    /// In each byte the number that its digit and the next one make; none where some character is not as it should be.
    #[inline(always)]
    const fn pairs(&self, text: u64) -> Option<[u8; 8]> {
        let values = text ^ self.like;
        let wrong = (((values & !HIGH) + self.beyond) | values) & HIGH;
        if wrong != 0 {
            return None;
        }
        // Every byte is below 10, so that none runs over into the next.
        Some((values * 10 + (values >> 8)).to_le_bytes())
    }
}

/// Reads a time such as `2026-11-22T03:00:00.123Z` or `2026-11-22T03:00:00Z` from the 24 bytes from its beginning on, and gives its
/// length too. None where it is none of these, or not between 1970 and 9998: [`Timestamp::parse`] knows then.
#[inline(always)]
pub(super) fn read(bytes: &[u8; 24]) -> Option<(Timestamp, usize)> {
    let ([date, day_and_minute, second], []) = bytes.as_chunks::<8>() else { return None };
    let [century, _, year, _, _, month, ..] = DATE.pairs(u64::from_le_bytes(*date))?;
    let [day, _, _, hour, _, _, minute, _] = DAY_AND_MINUTE.pairs(u64::from_le_bytes(*day_and_minute))?;
    let (second, milli, length) = match u64::from_le_bytes(*second) {
        text if text >> 24 & 0xff == u64::from(b'Z') => {
            // What stands behind the time is not its own.
            let [_, second, ..] =
                WHOLE_SECOND.pairs(text & 0xffff_ffff | WHOLE_SECOND.like & !0xffff_ffff)?;
            (second, 0, 20)
        }
        text => {
            let [_, second, _, _, tenths, hundredths, ..] = SECOND.pairs(text)?;
            (second, u32::from(tenths / 10) * 100 + u32::from(hundredths), 24)
        }
    };
    let (century, year) = (u32::from(century), u32::from(year));
    if century < 19 {
        return None;
    }
    let leap = u32::from(if year == 0 { century % 4 == 0 } else { year % 4 == 0 });
    // Of the years before this one: those of whole centuries are leap years only every fourth time.
    let centuries = century - u32::from(year == 0);
    let year = century * 100 + year;
    let leap_days = (year - 1) / 4 + centuries / 4 - centuries;
    let &(before, length_of_month) = MONTHS.get(usize::from(month))?;
    let february = u32::from(month == 2);
    let day = u32::from(day);
    let is_day = day >= 1 && day <= u32::from(length_of_month) + (leap & february);
    if !is_day || hour > 23 || minute > 59 || second > 59 || !(1970..=9998).contains(&year) {
        return None;
    }
    let days =
        (year - 1970) * 365 + leap_days - 477 + u32::from(before) + leap * u32::from(month > 2) + day - 1;
    let seconds = u32::from(hour) * 3600 + u32::from(minute) * 60 + u32::from(second);
    let millis = i64::from(days) * 86_400_000 + i64::from(seconds * 1000 + milli);
    Some((Timestamp::from_millis(millis), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &[u8]) -> bool {
        let mut padded = [b'"'; 24];
        let length = text.len().min(24);
        padded[..length].copy_from_slice(&text[..length]);
        let Some((time, length)) = read(&padded) else { return false };
        assert_eq!(Timestamp::parse(&padded[..length]), Some(time), "{}", padded.escape_ascii());
        assert!(time.is_valid());
        true
    }

    #[test]
    fn every_day_is_read() {
        for day in 0..2_932_532_i64 {
            let time = Timestamp::from_millis(day * 86_400_000 + day * 7_919 % 86_400_000);
            let text = time.to_string();
            assert!(check(text.as_bytes()), "{text}");
            if day % 64 == 0 {
                assert!(check(format!("{}Z", &text[..19]).as_bytes()), "{text}");
            }
        }
        assert!(check(b"9998-12-31T23:59:59.999Z") && !check(b"9999-01-01T00:00:00.000Z"));
        assert!(check(b"1970-01-01T00:00:00.000Z") && !check(b"1969-12-31T23:59:59.999Z"));
    }

    #[test]
    fn whatever_is_changed_is_read_as_the_other_reads_it_or_not_at_all() {
        let mut read = 0;
        for text in [&b"2024-02-29T23:59:59.999Z"[..], b"2026-11-22T03:00:00Z"] {
            for at in 0..text.len() {
                for byte in 0..=255 {
                    let mut changed = text.to_vec();
                    changed[at] = byte;
                    read += usize::from(check(&changed));
                    for also in 0..text.len() {
                        for digit in b"0123456789" {
                            let mut changed = changed.clone();
                            changed[also] = *digit;
                            read += usize::from(check(&changed));
                        }
                    }
                }
            }
        }
        assert!(read > 10_000, "{read}");
    }
}
