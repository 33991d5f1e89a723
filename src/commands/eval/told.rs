//! Any commands of the past, as `weir import --format commands` takes them: what they tell about cancellations and stock. Delivery
//! times are not looked at, so nothing is said of delay.
//!
//! A place carries its time: the attribute `invoiced_at`, or `submitted_at`. What has none (payments, shipments, cancels, returns)
//! happens with the place before it: the order of the lines is that of time.

use serde_json::{Value, json};

use super::detections::{self, Event};
use super::play::Player;
use super::stockouts::{Demand, Judged};
use crate::folds::analytics::Settings;
use crate::words::command::Command;
use crate::words::policy::PolicyChange;
use crate::words::timestamp::Timestamp;

const DAY_MS: i64 = 86_400_000;

/// Gives each command its time.
pub(super) fn timed(commands: Vec<Command<'_>>) -> Vec<(i64, Command<'_>)> {
    let placed = |command: &Command<'_>| match command {
        Command::Place(place) => {
            let attribute = place.attributes.0.iter().find(|(name, _)| name == "invoiced_at");
            let invoiced = attribute.and_then(|(_, value)| value.parse::<Timestamp>().ok());
            invoiced.or(place.submitted_at).map(Timestamp::millis)
        }
        _ => None,
    };
    let mut now_ms = commands.iter().find_map(placed).unwrap_or(0);
    let timed = commands.into_iter().map(|command| {
        now_ms = placed(&command).unwrap_or(now_ms);
        (now_ms, command)
    });
    timed.collect()
}

/// Plays it, and judges detections and stockouts.
pub(super) fn report(commands: &[(i64, Command<'_>)]) -> anyhow::Result<Value> {
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
fn events(commands: &[(i64, Command<'_>)]) -> Vec<Event> {
    let events = commands.iter().filter_map(|(at, command)| match command {
        Command::Place(_) => Some((*at, false)),
        Command::Cancel(_) => Some((*at, true)),
        // A return of several orders' goods is one event.
        Command::Return(it) if it.return_id.ends_with("-1") => Some((*at, true)),
        _ => None,
    });
    events.collect()
}
