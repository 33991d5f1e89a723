//! The "Online Retail" data set, by the import's own mapping ([`crate::commands::import::online_retail`]): what it tells about
//! cancellations and stock. It knows no delivery times, so nothing is said of delay.
//!
//! A place carries its time; what has none (payments, shipments, cancels, returns) happens with the place before it: the import's
//! order is that of time.

use std::io::Read;

use serde_json::{Value, json};

use super::detections::{self, Event};
use super::play::Player;
use super::stockouts::{Demand, Judged};
use crate::commands::import::{ImportError, Options, online_retail};
use crate::folds::analytics::Settings;
use crate::words::command::Command;
use crate::words::policy::PolicyChange;
use crate::words::timestamp::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Reads the file's commands, each with its time.
pub(super) fn read(read: impl Read) -> Result<Vec<(i64, Command<'static>)>, ImportError> {
    // Stock enough, so that what is asked for is not cut by what was refused.
    let options = Options { stock_share_permille: 1_200, ..Options::default() };
    let plan = online_retail(read, &options)?;
    let invoiced = |command: &Command<'_>| match command {
        Command::Place(place) => {
            let attribute = place.attributes.0.iter().find(|(name, _)| name == "invoiced_at");
            attribute.and_then(|(_, value)| value.parse::<Timestamp>().ok()).map(Timestamp::millis)
        }
        _ => None,
    };
    let mut now_ms = plan.commands.iter().find_map(invoiced).unwrap_or(0);
    let timed = plan.commands.into_iter().map(|command| {
        now_ms = invoiced(&command).unwrap_or(now_ms);
        (now_ms, command)
    });
    Ok(timed.collect())
}

/// Plays it, and judges detections and stockouts.
pub(super) fn report(commands: &[(i64, Command<'static>)]) -> anyhow::Result<Value> {
    let mut player = Player::new(Settings::default());
    let mut demand = Demand::default();
    for (at_ms, command) in commands {
        if let Command::Place(place) = command {
            for line in &place.lines {
                demand.add(at_ms.div_euclid(DAY_MS), &line.sku, line.quantity);
            }
        }
    }
    let first_day = commands.first().map_or(0, |(at, _)| at.div_euclid(DAY_MS));
    let last_day = commands.last().map_or(0, |(at, _)| at.div_euclid(DAY_MS));
    let mut judged = Judged::default();
    let mut next = first_day + 56;
    player.send(
        first_day * DAY_MS,
        &Command::Policy(PolicyChange { rules: Some(1), ..PolicyChange::default() }),
    )?;
    for (at_ms, command) in commands {
        while at_ms.div_euclid(DAY_MS) >= next && next + 56 <= last_day {
            player.tick(next * DAY_MS)?;
            demand.judge(&player.played.analytics, next, &mut judged);
            next += 7;
        }
        player.send(*at_ms, command)?;
    }
    let analytics = player.played.analytics;
    let cancellation = analytics.cancellation();
    let reasons: Vec<Value> = cancellation
        .by_reason()
        .map(|(reason, party, count)| {
            json!({ "reason": reason, "by": party, "orders": count.orders, "units": count.units })
        })
        .collect();
    Ok(json!({
        "orders": cancellation.orders_placed(),
        "cancellation": { "by_reason": reasons, "value_minor": analytics.cancelled_value_minor() },
        "detections": {
            "real": detections::real(&events(commands)),
            "binomial": detections::binomial(),
            "binomial_false_alarms": detections::binomial_false_alarms(),
        },
        "stockouts": judged.json(),
    }))
}

/// Orders, and what undoes them: cancels and returns, as the file does not tell them apart.
fn events(commands: &[(i64, Command<'static>)]) -> Vec<Event> {
    let events = commands.iter().filter_map(|(at, command)| match command {
        Command::Place(_) => Some((*at, false)),
        Command::Cancel(_) => Some((*at, true)),
        // A return of several orders' goods is one event.
        Command::Return(it) if it.return_id.ends_with("-1") => Some((*at, true)),
        _ => None,
    });
    events.collect()
}
