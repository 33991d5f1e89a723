//! Scripts: a command a line, and what is expected of it.
//!
//! ```text
//! receive R-1 A:5            -> received
//! place O-1 A:2 B:1 partial  -> confirmed short B:1/0
//! +1500ms                                       (moves the broker's clock; it may go back)
//! [ tick | cancel O-1 A:1 ]  -> cancelled A:1 confirmed          (one message with two commands)
//! {"extend":{"order_id":"O-1","extension_id":"E-1","pay_within_ms":9}} -> extended confirmed   (a command as JSON, in `[ … ]` too)
//! json {"tick":{}}           ->                                  (bytes as they are; `hex` for a frame's)
//! stock A                    -> on_hand=5 reserved=1 available=4 (looks at the state)
//! order O-1                  -> confirmed
//! due                        -> never
//! by orders                                     (from here on by a family's subject; `by any`, `by other`)
//! ```
//!
//! Every line but the clock's and the looks is one message of the log. Each script runs with its commands as JSON and as
//! frames, and once more with the state restored from a snapshot after every line; the books are checked after every line. A
//! failure names the script and the line.

use std::collections::BTreeSet;

use weir::folds::inventory::Due;
use weir::words::codec::{self, Format};
use weir::words::codes::{Family, Unreadable};
use weir::words::command::{
    Adjust, Amend, Cancel, Command, Count, CountLine, Deliver, Extend, Line, Money, OnShortage, Pay,
    PayFailed, Place, Receive, Return, ReturnLine, Review, Ship, Tick, Transfer,
};
use weir::words::message::Way;
use weir::words::outcome::{Decision, Mark, OutcomeKind, Reason};
use weir::words::policy::{OwnFigure, PolicyChange};
use weir::words::timestamp::Timestamp;

use crate::script_outcomes::{render, since_start};
use crate::support::{START_MS, Shard};

/// Tests from scripts: each a rule's name and its text. `ALL` lists them for the test of coverage.
macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident: $text:literal)*) => {
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),*];
        $($(#[$doc])* #[test] fn $name() { $crate::script::run(stringify!($name), $text); })*
    };
}
pub(crate) use rules;

/// What scripts have produced.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) kinds: BTreeSet<OutcomeKind>,
    pub(crate) reasons: BTreeSet<Reason>,
    pub(crate) marks: BTreeSet<Mark>,
    pub(crate) unreadable: BTreeSet<Unreadable>,
}

pub(crate) fn run(name: &str, text: &str) -> Seen {
    let mut seen = Seen::default();
    for (format, interrupted) in [(Format::Json, false), (Format::Bincode, false), (Format::Bincode, true)] {
        let mut shard = Shard::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if interrupted {
                shard.interrupt();
            }
            let (left, expected) = line.split_once("->").unwrap_or((line, ""));
            let actual = step(&mut shard, format, left.trim(), &mut seen);
            let expected = expected.trim();
            assert_eq!(
                actual, expected,
                "\n{name}, line {number}, {format:?}, interrupted: {interrupted}:\n  {line}"
            );
            if let Err(broken) = shard.inventory.check_books() {
                panic!("{name}, line {number}: {line}: {broken}");
            }
        }
    }
    seen
}

/// Takes one line of a script, and gives what came of it in a few words.
pub(crate) fn step(shard: &mut Shard, format: Format, left: &str, seen: &mut Seen) -> String {
    if let Some(moved) = clock(left) {
        shard.clock_ms += moved;
        return String::new();
    }
    let words: Vec<&str> = left.split_whitespace().collect();
    match words[..] {
        ["due"] => match shard.inventory.due() {
            Due::Never => "never".into(),
            Due::Now => "now".into(),
            Due::At(at) => since_start(at),
        },
        ["by", way] => {
            let family = Family::ALL.into_iter().find(|family| family.name() == way);
            shard.way = family.map_or(if way == "any" { Way::Any } else { Way::Other }, Way::Family);
            String::new()
        }
        ["order", id] => shard.inventory.order(id).map_or("unknown", |order| order.state.name()).into(),
        ["stock", sku] => stock(shard, "main", sku),
        ["stock", sku, site] => stock(shard, site, sku),
        ["books", sku] => books(shard, sku),
        ["json", ..] => feed(shard, Format::Json, left["json".len()..].trim().as_bytes(), seen),
        ["hex", ref bytes @ ..] => {
            let payload: Vec<u8> = bytes.iter().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            feed(shard, Format::Bincode, &payload, seen)
        }
        ["[", .., "]"] => {
            let inner = left[1..left.len() - 1].split('|');
            let commands: Vec<_> = inner.map(|one| command(one.trim())).collect();
            feed(shard, format, &codec::encode_commands(format, &commands), seen)
        }
        _ => feed(shard, format, &codec::encode_commands(format, &[command(left)]), seen),
    }
}

fn feed(shard: &mut Shard, format: Format, payload: &[u8], seen: &mut Seen) -> String {
    if let Err(fault) = shard.feed(Some(format), payload.to_vec()) {
        return format!("fault {}", fault.name());
    }
    let outcomes = shard.outcomes();
    for outcome in &outcomes {
        seen.kinds.insert(outcome.decision.kind());
        match &outcome.decision {
            Decision::Refused { reason, .. } => _ = seen.reasons.insert(*reason),
            Decision::DeadLettered { reason } => _ = seen.unreadable.insert(*reason),
            _ => {}
        }
        seen.marks.extend(outcome.decision.marks());
    }
    outcomes.iter().map(|outcome| render(outcome)).collect::<Vec<_>>().join("; ")
}

fn clock(left: &str) -> Option<i64> {
    let digits = left.strip_prefix(['+', '-'])?;
    let unit = digits.find(|c: char| !c.is_ascii_digit()).expect("a unit of time");
    let factor = match &digits[unit..] {
        "ms" => 1,
        "s" => 1_000,
        "d" => 86_400_000,
        other => panic!("unknown unit of time: {other}"),
    };
    let moved = digits[..unit].parse::<i64>().unwrap() * factor;
    Some(if left.starts_with('-') { -moved } else { moved })
}

fn stock(shard: &Shard, site: &str, sku: &str) -> String {
    shard.inventory.stock_of(site, sku).map_or_else(
        || "unknown".into(),
        |stock| {
            format!("on_hand={} reserved={} available={}", stock.on_hand, stock.reserved, stock.available)
        },
    )
}

fn books(shard: &Shard, sku: &str) -> String {
    let stock = shard.inventory.stock_of("main", sku).unwrap();
    format!(
        "received={} adjusted={} restocked={} shipped={} moved={}",
        stock.received,
        stock.adjusted,
        stock.restocked,
        stock.shipped,
        stock.moved_in - stock.moved_out
    )
}

// From text to commands.

/// The words of a command: plain ones in order, and `key=value` ones.
struct Words<'a> {
    plain: std::vec::IntoIter<&'a str>,
    keyed: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        self.plain.next().expect("one more word")
    }

    fn key(&mut self, key: &str) -> Option<&'a str> {
        let at = self.keyed.iter().position(|(known, _)| *known == key)?;
        Some(self.keyed.remove(at).1)
    }

    fn text(&mut self, key: &str) -> Option<std::borrow::Cow<'a, str>> {
        self.key(key).map(Into::into)
    }

    fn number(&mut self, key: &str) -> Option<i64> {
        self.key(key).map(|value| value.parse().unwrap())
    }

    fn time(&mut self, key: &str) -> Option<Timestamp> {
        self.number(key).map(|ms| Timestamp::from_millis(START_MS + ms))
    }

    /// An amount is written `GBP510`.
    fn money(&mut self, key: &str) -> Option<Money<'a>> {
        let (currency, minor) = self.key(key)?.split_at_checked(3).unwrap();
        Some(Money { minor: minor.parse().unwrap(), currency: currency.into() })
    }

    fn flag(&mut self, flag: &str) -> bool {
        let mut plain: Vec<_> = self.plain.by_ref().collect();
        let before = plain.len();
        plain.retain(|word| *word != flag);
        let found = plain.len() < before;
        self.plain = plain.into_iter();
        found
    }

    fn lines(&mut self) -> Vec<Line<'a>> {
        self.plain.by_ref().map(a_line).collect()
    }

    /// No lines at all are absent lines; `none` is an empty list.
    fn some_lines(&mut self) -> Option<Vec<Line<'a>>> {
        if self.flag("none") {
            return Some(Vec::new());
        }
        Some(self.lines()).filter(|lines| !lines.is_empty())
    }
}

fn a_line(word: &str) -> Line<'_> {
    let (sku, quantity) = word.rsplit_once(':').expect("SKU:quantity");
    Line { sku: sku.into(), quantity: quantity.parse().unwrap() }
}

/// What the counter expected is written `A:5/6`.
fn a_count_line(word: &str) -> CountLine<'_> {
    let (line, expected) = word.split_once('/').map_or((word, None), |(line, it)| (line, it.parse().ok()));
    CountLine { expected, ..a_line(line).into() }
}

/// A command in words, or as JSON: one that has no words needs none.
fn command(text: &str) -> Command<'_> {
    if text.starts_with('{') {
        return serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let (keyed, plain): (Vec<_>, Vec<_>) = text.split_whitespace().partition(|word| word.contains('='));
    let keyed = keyed.into_iter().map(|word| word.split_once('=').unwrap()).collect();
    let mut words = Words { plain: plain.into_iter(), keyed };
    let command = a_command(&mut words);
    assert!(words.keyed.is_empty() && words.plain.next().is_none(), "words too many in: {text}");
    command
}

fn a_command<'a>(words: &mut Words<'a>) -> Command<'a> {
    match words.next() {
        "place" => Command::Place(Place {
            on_shortage: match (words.flag("partial"), words.flag("backorder")) {
                (true, _) => OnShortage::Partial,
                (_, true) => OnShortage::Backorder,
                _ => OnShortage::Refuse,
            },
            order_id: words.next().into(),
            lines: words.lines().into_iter().map(Into::into).collect(),
            site: words.text("site"),
            sites: words.key("sites").map(|sites| sites.split(',').map(Into::into).collect()),
            submitted_at: words.time("submitted"),
            wait_until: words.time("until"),
            pay_within_ms: words.number("pay_within"),
            carrier: words.text("carrier"),
            value: words.money("value"),
            ..Place::default()
        }),
        "cancel" => Command::Cancel(Cancel {
            order_id: words.next().into(),
            lines: words.some_lines(),
            by: words.text("by"),
            reason: words.text("reason"),
            cancel_id: words.text("id"),
            value: words.money("value"),
        }),
        "amend" => Command::Amend(Amend {
            order_id: words.next().into(),
            amendment_id: words.next().into(),
            lines: words.lines().into_iter().map(Into::into).collect(),
            value: words.money("value"),
            promised_by: None,
        }),
        "extend" => Command::Extend(Extend {
            order_id: words.next().into(),
            extension_id: words.next().into(),
            pay_within_ms: words.next().parse().unwrap(),
        }),
        "review" => Command::Review(Review {
            order_id: words.next().into(),
            score: words.next().parse().unwrap(),
            review_id: words.text("id"),
            ..Review::default()
        }),
        "pay" => Command::Pay(Pay {
            order_id: words.next().into(),
            attempt_id: words.text("attempt"),
            amount: words.money("amount"),
            ..Pay::default()
        }),
        "pay_failed" => Command::PayFailed(PayFailed {
            order_id: words.next().into(),
            attempt_id: words.next().into(),
            ..PayFailed::default()
        }),
        "ship" => Command::Ship(Ship {
            order_id: words.next().into(),
            shipment_id: words.text("id"),
            lines: words.some_lines(),
            ..Ship::default()
        }),
        "deliver" => Command::Deliver(Deliver {
            order_id: words.next().into(),
            shipment_id: words.text("id"),
            lines: words.some_lines(),
            ..Deliver::default()
        }),
        "return" => a_return(words),
        "receive" => Command::Receive(Receive {
            receipt_id: words.next().into(),
            site: words.text("site"),
            lines: words.lines(),
            occurred_at: None,
        }),
        "count" => Command::Count(Count {
            count_id: words.next().into(),
            site: words.text("site"),
            occurred_at: words.time("at"),
            lines: words.plain.by_ref().map(a_count_line).collect(),
        }),
        "adjust" => Command::Adjust(Adjust {
            adjustment_id: words.next().into(),
            site: words.text("site"),
            lines: words.lines(),
            reason: words.text("reason"),
            occurred_at: None,
        }),
        "transfer" => Command::Transfer(Transfer {
            transfer_id: words.next().into(),
            from: words.text("from").unwrap(),
            to: words.text("to").unwrap(),
            lines: words.lines(),
            occurred_at: None,
        }),
        "policy" => Command::Policy(a_policy(words)),
        "tick" => Command::Tick(Tick {}),
        other => panic!("unknown command: {other}"),
    }
}

/// Returned lines that go back on the shelf are written `A:1+`.
fn a_return<'a>(words: &mut Words<'a>) -> Command<'a> {
    let restock = words.flag("restock");
    let (order_id, return_id) = (words.next().into(), words.next().into());
    let lines: Vec<_> = words
        .plain
        .by_ref()
        .map(|word| {
            let Line { sku, quantity } = a_line(word.trim_end_matches('+'));
            ReturnLine { sku, quantity, restock: word.ends_with('+') }
        })
        .collect();
    let lines = Some(lines).filter(|lines| !lines.is_empty());
    Command::Return(Return { order_id, return_id, lines, restock, ..Return::default() })
}

/// Safety stock and allowances are written `safety=A:3,west/B:-`: a dash takes the SKU's own figure away.
fn a_policy<'a>(words: &mut Words<'a>) -> PolicyChange<'a> {
    let own = |entry: &'a str| {
        let (name, quantity) = entry.split_once(':').unwrap();
        let (site, sku) = name.split_once('/').map_or((None, name), |(site, sku)| (Some(site.into()), sku));
        OwnFigure { site, sku: sku.into(), quantity: quantity.parse().ok() }
    };
    PolicyChange {
        rules: words.number("rules").map(|rules| rules.try_into().unwrap()),
        sites: words
            .key("sites")
            .map(|sites| sites.split(',').filter(|site| !site.is_empty()).map(Into::into).collect()),
        pay_within_ms: words.number("pay_within_ms"),
        hold_ms_max: words.number("hold_ms_max"),
        wait_within_ms: words.number("wait_within_ms"),
        wait_ms_max: words.number("wait_ms_max"),
        lines_max: words.number("lines_max"),
        quantity_max: words.number("quantity_max"),
        open_orders_max: words.number("open_orders_max"),
        open_lines_max: words.number("open_lines_max"),
        claim_units_max: words.number("claim_units_max"),
        waiting_orders_max: words.number("waiting_orders_max"),
        waiting_units_max: words.number("waiting_units_max"),
        settled_orders_max: words.number("settled_orders_max"),
        settled_window_ms: words.number("settled_window_ms"),
        closed_orders_max: words.number("closed_orders_max"),
        closed_window_ms: words.number("closed_window_ms"),
        refused_orders_max: words.number("refused_orders_max"),
        refused_window_ms: words.number("refused_window_ms"),
        facts_max: words.number("facts_max"),
        facts_window_ms: words.number("facts_window_ms"),
        order_facts_max: words.number("order_facts_max"),
        skus_max: words.number("skus_max"),
        skus_window_ms: words.number("skus_window_ms"),
        safety_stock: words.number("safety_stock"),
        safety_stock_of: words.key("safety").map(|entries| entries.split(',').map(own).collect()),
        allowance_of: words.key("allowance").map(|entries| entries.split(',').map(own).collect()),
    }
}

/// Every reason, every kind of outcome, every mark and every kind of dead letter is produced by some script.
#[test]
fn scripts_cover_all_codes() {
    let mut seen = Seen::default();
    for (name, text) in crate::ALL_RULES.into_iter().flatten() {
        let more = run(name, text);
        seen.kinds.extend(more.kinds);
        seen.reasons.extend(more.reasons);
        seen.marks.extend(more.marks);
        seen.unreadable.extend(more.unreadable);
    }
    // Nine million receipts and large messages are no scripts: see `crate::release` and `crate::bounds`.
    seen.reasons.extend([Reason::StockLimit, Reason::MessageTooLarge, Reason::TooManyFacts]);
    seen.unreadable.extend([
        Unreadable::UnknownContentType,
        Unreadable::TooManyCommands,
        Unreadable::PayloadTooLarge,
    ]);
    assert_eq!(seen.reasons, BTreeSet::from(Reason::ALL));
    assert_eq!(seen.kinds, BTreeSet::from(OutcomeKind::ALL));
    assert_eq!(seen.marks, BTreeSet::from(Mark::ALL));
    assert_eq!(seen.unreadable, BTreeSet::from(Unreadable::ALL));
}
