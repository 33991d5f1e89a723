//! `weir report`: what became of orders, for the people who meet on Monday; all from the log.

mod answered;
mod gather;
mod show;

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use jiff::tz::TimeZone;

use super::Ended;
use super::connect::{Deployment, one_shard};
use super::output::{self, say};
use super::settings::Common;
use crate::edges::clock::SystemClock;
use crate::motion::fold::FoldOn;
use crate::motion::folding::Applied;
use crate::motion::observing::records;
use crate::motion::refold::{Announced, Farthest, farthest, refold_announced};
use answered::Answered;
use gather::Gathered;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("as"))]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    /// The shard [default: the only one]
    #[arg(long)]
    shard: Option<String>,
    /// How far back: a length of time such as 7d or 12h, or a date or time
    #[arg(long, default_value = "7d")]
    since: String,
    /// In which time zone days are told, such as Europe/Berlin [default: the configuration's]
    #[arg(long, value_name = "NAME")]
    time_zone: Option<String>,
    /// Print JSON
    #[arg(long, group = "as")]
    json: bool,
    /// Print CSV: table, name, figure, value
    #[arg(long, group = "as")]
    csv: bool,
    /// Print Markdown
    #[arg(long, group = "as")]
    md: bool,
}

pub(super) async fn report(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let zone_name = args.time_zone.as_deref().unwrap_or(&config.analytics.time_zone);
    let zone = zone_of(zone_name)?;
    let now_ms = SystemClock::shared().wall_ns() / 1_000_000;
    let since_ms = since(&args.since, now_ms, &zone).context("--since")?;
    let shard = one_shard(&config, args.shard.as_deref())?.name.clone();
    let deployment = Deployment::connect(&config, "report", false).await?;
    let edges = deployment.edges_of(&config, &shard)?;
    let pass_over = |snapshot: &str, why: &str| {
        eprintln!("weir: shard {shard}: snapshot {snapshot} is passed over: {why}");
    };
    let working = output::working(format!("folding shard {shard}"));
    let from = Box::pin(farthest(&shard, &edges, FoldOn::Thread, pass_over)).await?;
    let Farthest { snapshot, last, .. } = &from;
    let seen = show::Seen {
        shard: shard.clone(),
        since_ms,
        until_ms: now_ms,
        time_zone: zone_name.to_owned(),
        from: snapshot.clone(),
        first_sequence: from.start.inventory.chain().sequence + 1,
        last_sequence: *last,
        first_ms: None,
    };
    let (mut gathered, mut answered, mut first_ms) =
        (Gathered::new(since_ms, zone), Answered::default(), None);
    let each = |applied: &Applied, told: &[Announced]| {
        for (message, told) in applied.messages.iter().zip(told) {
            let at_ms = message.stored_at_ns / 1_000_000;
            first_ms.get_or_insert(at_ms);
            records(applied, message, |_, record| gathered.take(record));
            if at_ms >= since_ms {
                answered.take(applied, message, *told, now_ms * 1_000_000);
            }
        }
        true
    };
    Box::pin(refold_announced(&edges, from, each)).await?;
    drop(working);
    let report = show::report(&show::Seen { first_ms, ..seen }, &gathered, &answered);
    if args.json {
        output::json(&report.json());
    } else if args.csv {
        report.csv(std::io::stdout().lock())?;
    } else {
        say!("{}", report.text(args.md));
    }
    Ok(Ended::Done)
}

/// A time zone by its name.
pub(super) fn zone_of(name: &str) -> anyhow::Result<TimeZone> {
    if name == "UTC" {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).with_context(|| format!("this machine knows no time zone {name:?}"))
}

/// How far back is meant, in milliseconds since 1970: a length of time before now, a time, or the start of a day in the zone.
fn since(text: &str, now_ms: i64, zone: &TimeZone) -> anyhow::Result<i64> {
    if let Ok(span) = text.parse::<jiff::Span>() {
        let days = span.get_days();
        let rest = span.days(0);
        let rest = Duration::try_from(rest.to_duration(jiff::SpanRelativeTo::days_are_24_hours())?);
        let rest_ms =
            i64::try_from(rest.map_err(|_| anyhow!("a length of time is not negative"))?.as_millis())?;
        anyhow::ensure!(days >= 0, "a length of time is not negative");
        return Ok(now_ms.saturating_sub(rest_ms).saturating_sub(i64::from(days) * 86_400_000).max(0));
    }
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.as_millisecond().max(0));
    }
    let date: jiff::civil::Date =
        text.parse().map_err(|_| anyhow!("{text:?} is no length of time such as 7d, and no date or time"))?;
    Ok(date.to_zoned(zone.clone())?.timestamp().as_millisecond().max(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_far_back_is_said_in_several_ways() {
        let now_ms = 1_795_348_800_000;
        let of = |text| since(text, now_ms, &TimeZone::UTC).ok();
        assert_eq!(of("7d"), Some(now_ms - 7 * 86_400_000));
        assert_eq!(of("12h"), Some(now_ms - 12 * 3_600_000));
        assert_eq!(of("2026-11-22"), Some(1_795_305_600_000));
        assert_eq!(of("2026-11-22T12:00:00Z"), Some(now_ms));
        for bad in ["", "7", "soon", "-3d", "2026-13-01"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }
}
