//! The six tiles: each a state, a number, and what it is held against.

use serde::Serialize;

use crate::edges::telemetry::SLO_SECONDS;
use crate::folds::analytics::Outlook;
use crate::process::flow::Judged;
use crate::process::verdict::{ORDERS_MIN, REFUSED_MAX, WITHIN_MIN, count, percent};

/// A share of the orders that are usual in this hour of the week, below which there are unusually few.
const FEW_ORDERS: f64 = 0.5;
/// How many times the normal cancellations are many.
const MANY_CANCELS: f64 = 2.0;
/// A backlog that takes longer than this is worth a warning, in seconds.
const CLEAR_WITHIN: f64 = 60.0;

/// What is said where nobody measures.
pub(super) const NOT_MEASURED: &str = "not measured";

/// A tile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Tile {
    /// Its name in the page.
    pub(super) id: &'static str,
    /// What it shows.
    pub(super) title: &'static str,
    /// The number, as it is read.
    pub(super) value: String,
    /// `ok`, `warning`, or `none` where nothing is known.
    pub(super) state: &'static str,
    /// What it is held against, and what it is made of.
    pub(super) note: String,
}

/// The tiles. `judged` is none where orders are not measured.
pub(super) fn tiles(judged: Option<&Judged>, outlook: Option<&Outlook>) -> [Tile; 6] {
    [
        orders(judged, outlook),
        within(judged),
        refused(judged),
        late(outlook),
        cancelled(judged, outlook),
        backlog(judged),
    ]
}

fn tile(id: &'static str, title: &'static str) -> Tile {
    Tile { id, title, value: NOT_MEASURED.to_owned(), state: "none", note: String::new() }
}

const fn warning_if(bad: bool) -> &'static str {
    if bad { "warning" } else { "ok" }
}

fn orders(judged: Option<&Judged>, outlook: Option<&Outlook>) -> Tile {
    let tile = tile("orders", "Orders a minute");
    let Some(judged) = judged else { return tile };
    let now = judged.orders_per_minute;
    let usual = outlook.and_then(|outlook| outlook.orders_in_hour).map(|hour| hour / 60.0);
    let (state, note) = match usual {
        Some(usual) => (
            warning_if(now < usual * FEW_ORDERS),
            format!("usual in this hour of the week: {}", number(usual)),
        ),
        None => ("ok", format!("usual in this hour of the week: {NOT_MEASURED}")),
    };
    Tile { value: number(now), state, note, ..tile }
}

fn within(judged: Option<&Judged>) -> Tile {
    let tile = tile("within", "Within 250 ms");
    debug_assert!((SLO_SECONDS - 0.25).abs() < f64::EPSILON);
    let Some(judged) = judged else { return tile };
    let note = format!("at least {}%, over {}", WITHIN_MIN * 100.0, minutes(judged.seconds));
    match judged.within {
        Some(share) => Tile { value: percent(share), state: warning_if(share < WITHIN_MIN), note, ..tile },
        None => {
            Tile {
                value: "–".to_owned(), note: format!("no orders in {}", minutes(judged.seconds)), ..tile
            }
        }
    }
}

fn refused(judged: Option<&Judged>) -> Tile {
    let tile = tile("refused", "Refused");
    let Some(judged) = judged else { return tile };
    if judged.orders == 0 {
        let note = format!("no orders in {}", minutes(judged.seconds));
        return Tile { value: "–".to_owned(), note, ..tile };
    }
    let share = to_f64(judged.refused) / to_f64(judged.orders);
    let note = match judged.reason {
        Some((reason, count)) => format!("most: {} ({})", reason.code(), number(to_f64(count))),
        None => format!("none in {}", minutes(judged.seconds)),
    };
    let state = warning_if(judged.orders >= ORDERS_MIN && share > REFUSED_MAX);
    Tile { value: percent(share), state, note, ..tile }
}

fn late(outlook: Option<&Outlook>) -> Tile {
    let tile = tile("late", "Late or at risk");
    let known = outlook.and_then(|outlook| Some((outlook.late?, outlook.at_risk?)));
    let Some((late, at_risk)) = known else { return tile };
    let value = number(to_f64(late + at_risk));
    let note = format!("{} late, {} at risk", number(to_f64(late)), number(to_f64(at_risk)));
    Tile { value, state: warning_if(late > 0), note, ..tile }
}

fn cancelled(judged: Option<&Judged>, outlook: Option<&Outlook>) -> Tile {
    let tile = tile("cancelled", "Cancelled");
    let Some(judged) = judged else { return tile };
    let now = to_f64(judged.cancelled);
    let (state, note) = match outlook.and_then(|outlook| outlook.cancelled_share) {
        Some(share) => {
            let normal = share * to_f64(judged.orders);
            let many = judged.cancelled >= ORDERS_MIN && now > normal * MANY_CANCELS;
            (warning_if(many), format!("in {}; {} are normal", minutes(judged.seconds), number(normal)))
        }
        None => ("ok", format!("in {}; what is normal: {NOT_MEASURED}", minutes(judged.seconds))),
    };
    Tile { value: number(now), state, note, ..tile }
}

fn backlog(judged: Option<&Judged>) -> Tile {
    let tile = tile("backlog", "Backlog clear in");
    let Some(judged) = judged else { return tile };
    let note = format!("{} messages wait", number(to_f64(judged.behind)));
    let (value, state) = match judged.clear_in {
        Some(seconds) if judged.behind == 0 || seconds < 1.0 => ("now".to_owned(), "ok"),
        Some(seconds) => (minutes_of(seconds), warning_if(seconds > CLEAR_WITHIN)),
        // A few that are on their way are no backlog.
        None if to_f64(judged.behind) <= judged.orders_per_minute / 60.0 => ("now".to_owned(), "ok"),
        None => ("it grows".to_owned(), "warning"),
    };
    Tile { value, state, note, ..tile }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
const fn to_f64(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a figure is small and positive")]
fn number(value: f64) -> String {
    count(value.max(0.0).round() as u64)
}

fn minutes(seconds: usize) -> String {
    if seconds < 60 { format!("{seconds} s") } else { format!("{} min", seconds / 60) }
}

fn minutes_of(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if seconds < 7_200.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.0} h", seconds / 3_600.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::outcome::Reason;

    fn shown(judged: Option<&Judged>, outlook: Option<&Outlook>) -> Vec<[String; 3]> {
        let tiles = tiles(judged, outlook);
        tiles.into_iter().map(|tile| [tile.value, tile.state.to_owned(), tile.note]).collect()
    }

    #[test]
    fn what_nobody_measures_is_said_to_be_so() {
        assert!(shown(None, None).iter().all(|tile| tile[0] == NOT_MEASURED && tile[1] == "none"));
        let judged = Judged { seconds: 300, ..Judged::default() };
        let values: Vec<_> = shown(Some(&judged), None).into_iter().map(|[value, ..]| value).collect();
        assert_eq!(values, ["0", "–", "–", NOT_MEASURED, "0", "now"]);
    }

    #[test]
    fn each_number_stands_beside_what_it_is_held_against() {
        let judged = Judged {
            seconds: 300,
            orders_per_minute: 1_200.0,
            orders: 6_000,
            refused: 60,
            reason: Some((Reason::InsufficientStock, 50)),
            cancelled: 30,
            within: Some(0.999_96),
            clear_in: Some(300.0),
            behind: 9_000,
        };
        let outlook = Outlook {
            orders_in_hour: Some(180_000.0),
            late: Some(2),
            at_risk: Some(40),
            cancelled_share: Some(0.000_9),
            ..Outlook::default()
        };
        let expected = [
            ["1,200", "warning", "usual in this hour of the week: 3,000"],
            ["99.99%", "ok", "at least 99.9%, over 5 min"],
            ["1.00%", "ok", "most: insufficient_stock (50)"],
            ["42", "warning", "2 late, 40 at risk"],
            ["30", "warning", "in 5 min; 5 are normal"],
            ["5 min", "warning", "9,000 messages wait"],
        ];
        assert_eq!(shown(Some(&judged), Some(&outlook)), expected.map(|tile| tile.map(str::to_owned)));
        let grows = Judged { clear_in: None, ..judged };
        assert_eq!(shown(Some(&grows), None)[5][0], "it grows");
        let few = Judged { clear_in: None, behind: 20, ..judged };
        assert_eq!(shown(Some(&few), None)[5][0], "now", "a second's orders are on their way");
    }
}
