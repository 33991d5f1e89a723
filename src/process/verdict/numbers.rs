//! Figures as people read them.

use crate::words::timestamp::Timestamp;

/// " since 14:02 UTC", or with the date where that was another day; empty where it is not known.
pub(super) fn since(moved_ms: Option<i64>, now_ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let Some(moved_ms) = moved_ms else { return String::new() };
    let text = Timestamp::from_millis(moved_ms).to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(_), Some(time)) if moved_ms.div_euclid(DAY_MS) == now_ms.div_euclid(DAY_MS) => {
            format!(" since {time} UTC")
        }
        (Some(date), Some(time)) => format!(" since {date} {time} UTC"),
        _ => String::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Cut, not rounded: 99.996% is not 100%.
pub(in crate::process) fn percent(share: f64) -> String {
    let hundredths = (share * 10_000.0 + 1e-6).floor() / 100.0;
    if hundredths >= 100.0 { "100%".to_owned() } else { format!("{hundredths:.2}%") }
}

pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 10.0 || per_second == 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate is small and positive"
        )]
        return count(per_second.round() as u64);
    }
    format!("{per_second:.1}")
}

/// With a comma every three digits.
pub(in crate::process) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let mut value = number as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{number} bytes") } else { format!("{value:.1} {}", UNITS[unit]) }
}
