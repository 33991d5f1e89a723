//! `weir orders`: one order, or those in some state, as the workers know them.

use std::time::Duration;

use serde_json::Value;

use super::Ended;
use super::asking::{Asked, Asking, print};
use super::connect::Deployment;
use super::output::{self, say};
use super::settings::Common;
use crate::words::query::{
    Amount, DelayCause, HistoryAnswer, LineAnswer, OrderAnswer, OrderQuestion, OrderRow, OrdersAnswer,
    OrdersKind, OrdersQuestion, Question, WaitsFor,
};
use crate::words::timestamp::Timestamp;

/// What is said below a list that may go on.
const MORE: &str = "weir: there may be more: --limit shows them";
/// The most parts of a history that are read.
const PARTS_MAX: usize = 10_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    asked: Asked,
    /// One order: where it is, line by line, and what happens next; without it, a list
    #[arg(value_name = "ORDER_ID", conflicts_with_all = ["state", "older_than", "limit"])]
    order_id: Option<String>,
    /// With one order: what became of it, step by step, as far back as outcomes are kept
    #[arg(long, requires = "order_id")]
    history: bool,
    /// Those in this state: all, open, unpaid, `at_risk`, waiting, confirmed, paid, shipped, delivered, returned, cancelled or expired;
    /// those at risk are listed by how likely they arrive late
    #[arg(long, default_value = "open", value_parser = kind)]
    state: OrdersKind,
    /// Those of which some line comes from this site; with one order, a site of its shard
    #[arg(long)]
    site: Option<String>,
    /// Those of which nothing has moved for so long; a payment moves nothing
    #[arg(long, value_name = "DURATION", value_parser = super::fields::duration)]
    older_than: Option<Duration>,
    /// The most orders listed
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

fn kind(text: &str) -> Result<OrdersKind, String> {
    let known = OrdersKind::ALL.into_iter().find(|kind| kind.name() == text);
    known.ok_or_else(|| format!("one of {}", OrdersKind::ALL.map(OrdersKind::name).join(", ")))
}

pub(super) async fn orders(args: Args) -> anyhow::Result<Ended> {
    let config = args.common.load(|_| {})?;
    let deployment = Deployment::connect(&config, "orders", false).await?;
    let asking = Asking::new(&deployment);
    if let Some(order_id) = &args.order_id {
        return one(&args, &asking, order_id).await;
    }
    let shards = args.asked.shards(&config, args.site.as_deref())?;
    let question = |shard: &str, limit, cursor| {
        Question::Orders(OrdersQuestion {
            state: args.state,
            site: args.site.clone(),
            older_than_ms: args.older_than.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
            limit: Some(limit),
            cursor,
            common: args.asked.common(Some(shard)),
        })
    };
    let page = |answer: OrdersAnswer| (answer.orders, answer.cursor);
    if args.state == OrdersKind::AtRisk {
        return at_risk(&args, &asking, &shards, &question).await;
    }
    let (rows, more) = asking.list(&shards, args.limit as usize, question, page).await?;
    let header = [
        "order_id",
        "state",
        "site",
        "since",
        "lines",
        "value",
        "currency",
        "pay_by",
        "wait_until",
        "waits_for",
    ];
    print(&args.asked, &rows, header, cells)?;
    if more {
        eprintln!("{MORE}");
    }
    Ok(Ended::Done)
}

fn cells(row: &OrderRow) -> [String; 10] {
    let time = |time: Option<Timestamp>| time.map(|time| time.to_string()).unwrap_or_default();
    [
        row.order_id.clone(),
        row.state.name().to_owned(),
        row.site.clone(),
        row.since.to_string(),
        row.lines.to_string(),
        row.value.as_ref().map(|value| value.minor.to_string()).unwrap_or_default(),
        row.value.as_ref().map(|value| value.currency.clone()).unwrap_or_default(),
        time(row.pay_by),
        time(row.wait_until),
        row.waits_for.as_ref().map(waited_for).unwrap_or_default(),
    ]
}

/// Those at risk of all shards, the likeliest to arrive late first.
async fn at_risk(
    args: &Args,
    asking: &Asking,
    shards: &[&str],
    question: &impl Fn(&str, u32, Option<u64>) -> Question,
) -> anyhow::Result<Ended> {
    let limit = args.limit as usize;
    let (mut rows, mut more) = (Vec::new(), false);
    for shard in shards {
        let page = |answer: OrdersAnswer| (answer.orders, answer.cursor);
        let (found, left) = asking.list(&[shard], limit, question, page).await?;
        rows.extend(found);
        more |= left;
    }
    let late = |row: &OrderRow| row.delay_risk.as_ref().and_then(|risk| risk.arrives_late).unwrap_or(0.0);
    rows.sort_by(|left, right| late(right).total_cmp(&late(left)));
    more |= rows.len() > limit;
    rows.truncate(limit);
    let header = [
        "order_id",
        "state",
        "site",
        "arrives_late",
        "ships_late",
        "promised_by",
        "expected_by",
        "value",
        "currency",
        "cause",
    ];
    print(&args.asked, &rows, header, risk_cells)?;
    if more {
        eprintln!("{MORE}");
    }
    Ok(Ended::Done)
}

fn risk_cells(row: &OrderRow) -> [String; 10] {
    let risk = row.delay_risk.clone().unwrap_or_default();
    let share = |share: Option<f64>| share.map(|share| format!("{share:.2}")).unwrap_or_default();
    [
        row.order_id.clone(),
        row.state.name().to_owned(),
        row.site.clone(),
        share(risk.arrives_late),
        share(risk.ships_late),
        risk.promised_by.map(|by| by.to_string()).unwrap_or_default(),
        risk.arrives_by.map(|by| by.p50.to_string()).unwrap_or_default(),
        row.value.as_ref().map(|value| value.minor.to_string()).unwrap_or_default(),
        row.value.as_ref().map(|value| value.currency.clone()).unwrap_or_default(),
        causes(&risk.causes[..risk.causes.len().min(1)]),
    ]
}

fn causes(causes: &[DelayCause]) -> String {
    let told: Vec<_> = causes.iter().map(|cause| format!("{} {:+.1} days", cause.name, cause.days)).collect();
    told.join(", ")
}

fn waited_for(WaitsFor { sku, site }: &WaitsFor) -> String {
    format!("{sku} at {site}")
}

async fn one(args: &Args, asking: &Asking, order_id: &str) -> anyhow::Result<Ended> {
    let shard = args.asked.shard.as_deref();
    let question = |history_from| {
        Question::Order(OrderQuestion {
            order_id: order_id.to_owned(),
            site: args.site.clone(),
            history: args.history,
            history_from,
            common: args.asked.common(shard),
        })
    };
    let mut answer: OrderAnswer = match asking.ask(shard, &question(None)).await? {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("weir: {error}");
            return Ok(Ended::Failed);
        }
    };
    for _ in 0..PARTS_MAX {
        let Some(history) = &mut answer.history else { break };
        let Some(cursor) = history.cursor else { break };
        let more: OrderAnswer = asking.ask(shard, &question(Some(cursor))).await??;
        let Some(more) = more.history else { break };
        history.events.extend(more.events);
        history.cursor = more.cursor;
    }
    if args.asked.json {
        output::json(&answer);
    } else if args.asked.csv {
        print(&args.asked, &answer.lines, LINE_HEADER, line_cells)?;
    } else {
        show(args, &answer)?;
    }
    Ok(Ended::Done)
}

/// The columns of [`line_cells`].
const LINE_HEADER: [&str; 11] = [
    "sku",
    "site",
    "quantity",
    "waiting",
    "reserved",
    "cancelled",
    "expired",
    "shipped",
    "delivered",
    "returned",
    "written_off",
];

fn line_cells(line: &LineAnswer) -> [String; 11] {
    let units = [
        line.quantity,
        line.waiting,
        line.reserved,
        line.cancelled,
        line.expired,
        line.shipped,
        line.delivered,
        line.returned,
        line.written_off,
    ];
    let [quantity, waiting, reserved, cancelled, expired, shipped, delivered, returned, written_off] =
        units.map(|units| units.to_string());
    let (sku, site) = (line.sku.clone(), line.site.clone());
    [sku, site, quantity, waiting, reserved, cancelled, expired, shipped, delivered, returned, written_off]
}

fn show(args: &Args, answer: &OrderAnswer) -> anyhow::Result<()> {
    let mut pairs = vec![("state", answer.state.name().to_owned()), ("since", answer.since.to_string())];
    let mut tell = |name, value: Option<String>| pairs.extend(value.map(|value| (name, value)));
    let time = |time: &Timestamp| time.to_string();
    let amount = |Amount { minor, currency }: &Amount| format!("{minor} {currency} (minor units)");
    tell("kept", (!answer.kept).then(|| "only its end: its lines are no longer kept".to_owned()));
    tell("reason", answer.reason.clone());
    tell("value", answer.value.as_ref().map(amount));
    tell("paid", answer.paid.then(|| "yes".to_owned()));
    tell("paid so far", answer.paid_minor.filter(|_| !answer.paid).map(|minor| minor.to_string()));
    tell("pay by", answer.pay_by.as_ref().map(time));
    tell("waits until", answer.wait_until.as_ref().map(time));
    tell("waits for", answer.waits_for.as_ref().map(waited_for));
    if let Some(placed) = &answer.placed {
        tell("placed", Some(placed.at.to_string()));
        tell("ship by", placed.ship_by.as_ref().map(time));
        tell("promised by", placed.promised_by.as_ref().map(time));
        tell("carrier", placed.carrier.clone());
        tell("customer", placed.customer.clone());
    }
    tell(
        "next",
        answer.next.as_ref().map(|next| {
            let by = next.by.map(|by| format!(" by {by}")).unwrap_or_default();
            format!("{}{by}", next.step.name())
        }),
    );
    if let Some(risk) = &answer.delay_risk {
        let likely = |late: Option<f64>| late.map(|late| format!("{:.0}% likely", 100.0 * late));
        tell("arrives late", likely(risk.arrives_late));
        tell("leaves late", likely(risk.ships_late));
        let by = risk.arrives_by.as_ref();
        tell("expected", by.map(|by| format!("{} (90% between {} and {})", by.p50, by.p5, by.p95)));
        tell("because of", Some(causes(&risk.causes)).filter(|causes| !causes.is_empty()));
    }
    tell("as of", Some(format!("sequence {} of shard {}", answer.reflects.sequence, answer.reflects.shard)));
    say!("order {}", answer.order_id);
    output::pairs(&pairs);
    if !answer.lines.is_empty() {
        print(&args.asked, &answer.lines, LINE_HEADER, line_cells)?;
    }
    if let Some(history) = &answer.history {
        show_history(history);
    }
    Ok(())
}

fn show_history(history: &HistoryAnswer) {
    if !history.from_the_start {
        let since = history.kept_since.map(|since| format!(" (since {since})")).unwrap_or_default();
        say!("what was before is no longer kept{since}");
    }
    for event in &history.events {
        let text = |name: &str| match &event.outcome[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let reason = Some(text("reason")).filter(|reason| !reason.is_empty());
        let repeat = if event.outcome["duplicate"] == true { ", a repeat" } else { "" };
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        say!("{}  {}{reason}{repeat}  sequence {}", text("at"), text("outcome"), text("sequence"));
    }
}
