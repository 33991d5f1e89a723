//! Questions to the state: pages that hold everything once, and what one look costs at most.

use std::collections::BTreeSet;

use weir::folds::inventory::Inventory;
use weir::folds::inventory::query::{LOOKS_MAX, OrderFilter, ROWS_MAX, StockFilter};
use weir::words::command::{Cancel, Command, Deliver, OnShortage, Pay, Place, Ship, Transfer};
use weir::words::outcome::State;
use weir::words::policy::PolicyChange;
use weir::words::query::{NextStep, OrderRow, OrdersKind};

use crate::support::{Shard, line, place, policy, receive, restore, snapshot};

/// All orders that are meant, and how many looks that took.
fn all(state: &Inventory, filter: &OrderFilter, rows_max: usize) -> (Vec<OrderRow>, u32) {
    let (mut found, mut from, mut looks) = (Vec::new(), 0, 0);
    loop {
        let walked = state.page_of_orders(filter, from, rows_max);
        assert!(walked.rows.len() <= rows_max.min(ROWS_MAX));
        looks += 1;
        found.extend(walked.rows);
        let Some(next) = walked.next else { return (found, looks) };
        assert!(next > from && next - from <= LOOKS_MAX, "{from} to {next}");
        from = next;
    }
}

fn ids(rows: &[OrderRow]) -> BTreeSet<&str> {
    rows.iter().map(|row| row.order_id.as_str()).collect()
}

fn of(kind: OrdersKind) -> OrderFilter {
    OrderFilter { kind, ..OrderFilter::default() }
}

/// Orders in several states at two sites: 600 confirmed at `main`, 40 waiting at `outlet`.
fn shop() -> Shard {
    let mut shard = Shard::new();
    let sites = Some(vec!["main".into(), "outlet".into()]);
    shard.send(&[policy(PolicyChange { sites, pay_within_ms: Some(60_000), ..PolicyChange::default() })]);
    shard.send(&[receive("R-1", "A", 1_000)]);
    shard.send(&[receive("R-2", "B", 1)]);
    let transfer = Transfer {
        transfer_id: "X-1".into(),
        from: "main".into(),
        to: "outlet".into(),
        lines: vec![line("B", 1)],
        ..Transfer::default()
    };
    shard.send(&[Command::Transfer(transfer)]);
    for number in 0..600 {
        shard.send(&[place(format!("C-{number}"), vec![line("A", 1)], OnShortage::Refuse)]);
    }
    shard.clock_ms += 1_000;
    for number in 0..40 {
        let order = Place {
            order_id: format!("W-{number}").into(),
            site: Some("outlet".into()),
            lines: vec![line("B", 5).into()],
            on_shortage: OnShortage::Backorder,
            ..Place::default()
        };
        shard.send(&[Command::Place(order)]);
    }
    shard
}

#[test]
fn pages_hold_each_order_once_whatever_their_size() {
    let shard = shop();
    let state = &shard.inventory;
    for rows_max in [1, 7, ROWS_MAX, 10_000] {
        let (rows, _) = all(state, &of(OrdersKind::All), rows_max);
        assert_eq!((rows.len(), ids(&rows).len()), (640, 640), "{rows_max}");
    }
    // A look finds nothing, and the walk goes on: three looks for 640 places.
    let (rows, looks) = all(state, &of(OrdersKind::Shipped), ROWS_MAX);
    assert_eq!((rows.len(), looks), (0, 3));
}

#[test]
fn orders_are_told_by_state_site_and_age() {
    let mut shard = shop();
    shard.send(&[Command::Pay(Pay {
        order_id: "C-1".into(),
        attempt_id: Some("P".into()),
        ..Pay::default()
    })]);
    shard.send(&[Command::Ship(Ship { order_id: "C-2".into(), ..Ship::default() })]);
    shard.send(&[Command::Cancel(Cancel { order_id: "C-3".into(), ..Cancel::default() })]);
    let state = &shard.inventory;
    let count = |filter: &OrderFilter| all(state, filter, ROWS_MAX).0.len();
    for (kind, expected) in [
        (OrdersKind::All, 640),
        (OrdersKind::Open, 638),
        (OrdersKind::Unpaid, 597),
        (OrdersKind::Confirmed, 597),
        (OrdersKind::Waiting, 40),
        (OrdersKind::Paid, 1),
        (OrdersKind::Shipped, 1),
        (OrdersKind::Cancelled, 1),
        (OrdersKind::Expired, 0),
    ] {
        assert_eq!(count(&of(kind)), expected, "{kind:?}");
    }
    let at = |site: &str| OrderFilter { site: Some(site.to_owned()), ..OrderFilter::default() };
    assert_eq!((count(&at("main")), count(&at("outlet")), count(&at("nowhere"))), (600, 40, 0));
    // Nothing of those placed before has moved for a second, but of the two; a payment moves nothing.
    let older = OrderFilter { older_than_ms: Some(1_000), ..OrderFilter::default() };
    assert_eq!(count(&older), 598);
    let older = OrderFilter { older_than_ms: Some(1_001), ..OrderFilter::default() };
    assert_eq!(count(&older), 0);
    let (waiting, _) = all(state, &of(OrdersKind::Waiting), ROWS_MAX);
    let waits_for = waiting[0].waits_for.as_ref().unwrap();
    assert_eq!((waits_for.sku.as_str(), waits_for.site.as_str()), ("B", "outlet"));
}

#[test]
fn the_rows_of_named_orders_are_told_where_they_are_meant() {
    let mut shard = shop();
    shard.send(&[Command::Ship(Ship { order_id: "C-2".into(), ..Ship::default() })]);
    shard.send(&[Command::Deliver(Deliver { order_id: "C-2".into(), ..Deliver::default() })]);
    shard.send(&[Command::Cancel(Cancel { order_id: "C-3".into(), ..Cancel::default() })]);
    let state = &shard.inventory;
    let named = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    let found = |filter: &OrderFilter, ids: &[&str]| -> Vec<bool> {
        state.rows_of_orders(filter, &named(ids)).iter().map(Option::is_some).collect()
    };
    let ids = ["C-1", "C-2", "unheard of", "C-3", "W-1"];
    // Delivered, unknown, and cancelled: none of them can be late any more.
    assert_eq!(found(&of(OrdersKind::AtRisk), &ids), [true, false, false, false, true]);
    let at = |site: &str| OrderFilter { site: Some(site.to_owned()), ..of(OrdersKind::AtRisk) };
    assert_eq!(found(&at("outlet"), &ids), [false, false, false, false, true]);
    assert_eq!(found(&at("nowhere"), &ids), [false; 5]);
    let rows = state.rows_of_orders(&of(OrdersKind::AtRisk), &named(&["W-1", "C-1"]));
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    assert_eq!((rows[0].order_id.as_str(), rows[1].order_id.as_str()), ("W-1", "C-1"));
    // No more than one look shows, however many are named.
    let many = vec!["C-1".to_owned(); 10 * ROWS_MAX];
    assert_eq!(state.rows_of_orders(&of(OrdersKind::AtRisk), &many).len(), ROWS_MAX);
}

/// Orders whose lines are many cost a look its lines: it ends early, but never before the first.
#[test]
fn orders_of_many_lines_end_a_look_early() {
    let mut shard = Shard::new();
    let skus: Vec<String> = (0..200).map(|number| format!("S-{number}")).collect();
    for sku in &skus {
        shard.send(&[receive(format!("R-{sku}"), sku, 50)]);
    }
    let ids: Vec<String> = (0..10).map(|number| format!("O-{number}")).collect();
    for id in &ids {
        shard.send(&[place(id.clone(), skus.iter().map(|sku| line(sku, 1)).collect(), OnShortage::Refuse)]);
    }
    shard.send(&[policy(PolicyChange {
        sites: Some(vec!["main".into(), "outlet".into()]),
        ..PolicyChange::default()
    })]);
    // None of their lines is from there: all of them are looked through.
    let elsewhere = OrderFilter { site: Some("outlet".to_owned()), ..of(OrdersKind::AtRisk) };
    let (mut from, mut looks) = (0, 0);
    while from < ids.len() {
        let rows = shard.inventory.rows_of_orders(&elsewhere, &ids[from..]);
        assert!((1..=2).contains(&rows.len()) && rows.iter().all(Option::is_none), "{rows:?}");
        from += rows.len();
        looks += 1;
    }
    assert_eq!(looks, 5);
}

#[test]
fn a_cursor_holds_at_another_worker() {
    let shard = shop();
    let restored = restore(&snapshot(&shard.inventory)).unwrap();
    let first = shard.inventory.page_of_orders(&of(OrdersKind::All), 0, ROWS_MAX);
    let cursor = first.next.unwrap();
    assert_eq!(restored.page_of_orders(&of(OrdersKind::All), 0, ROWS_MAX), first);
    assert_eq!(
        restored.page_of_orders(&of(OrdersKind::All), cursor, ROWS_MAX),
        shard.inventory.page_of_orders(&of(OrdersKind::All), cursor, ROWS_MAX)
    );
    // Whatever cursor somebody makes up leads to nothing worse than the end.
    assert_eq!(restored.page_of_orders(&of(OrdersKind::All), u32::MAX, 1).next, None);
    assert_eq!(restored.page_of_stock(&StockFilter::default(), u32::MAX, 1).next, None);
}

#[test]
fn a_long_order_is_shown_part_by_part_and_a_movement_in_between_shows() {
    let mut shard = Shard::new();
    let skus: Vec<String> = (0..200).map(|number| format!("S-{number}")).collect();
    for sku in &skus {
        shard.send(&[receive(format!("R-{sku}"), sku, 5)]);
    }
    let lines = skus.iter().map(|sku| line(sku, 2)).collect();
    shard.send(&[place("O-1", lines, OnShortage::Refuse)]);
    let first = shard.inventory.look_at_order("O-1", 0, "main").unwrap();
    assert_eq!((first.lines, first.answer.lines.len()), (200, ROWS_MAX));
    let second = shard.inventory.look_at_order("O-1", ROWS_MAX, "main").unwrap();
    assert!(second.is_as(&first));
    assert_eq!(second.answer.lines[0].sku, skus[ROWS_MAX]);
    // In the same millisecond.
    let lines = Some(vec![line("S-0", 1)]);
    shard.send(&[Command::Cancel(Cancel { order_id: "O-1".into(), lines, ..Cancel::default() })]);
    let third = shard.inventory.look_at_order("O-1", 2 * ROWS_MAX, "main").unwrap();
    assert!(!third.is_as(&first), "the look does not show that the order has moved");
    let again = shard.inventory.look_at_order("O-1", 0, "main").unwrap();
    let line = &again.answer.lines[0];
    assert_eq!((line.quantity, line.cancelled, line.reserved), (2, 1, 1));
}

#[test]
fn what_happens_next_is_told() {
    let mut shard = shop();
    let look =
        |shard: &Shard, id: &str| shard.inventory.look_at_order(id, 0, "main").map(|looked| looked.answer);
    let next = look(&shard, "C-1").unwrap().next.unwrap();
    assert_eq!(next.step, NextStep::Payment);
    assert!(next.by.is_some());
    assert_eq!(look(&shard, "W-1").unwrap().next.unwrap().step, NextStep::Stock);
    shard.send(&[Command::Pay(Pay {
        order_id: "C-1".into(),
        attempt_id: Some("P".into()),
        ..Pay::default()
    })]);
    let paid = look(&shard, "C-1").unwrap();
    assert_eq!(
        (paid.next.unwrap().step, paid.paid, paid.facts[0].fact.as_str()),
        (NextStep::Shipment, true, "paid")
    );
    shard.send(&[Command::Ship(Ship { order_id: "C-1".into(), ..Ship::default() })]);
    assert_eq!(look(&shard, "C-1").unwrap().next.unwrap().step, NextStep::Delivery);
    shard.send(&[place("N-1", vec![line("A", 100_000)], OnShortage::Refuse)]);
    let refused = look(&shard, "N-1").unwrap();
    assert_eq!((refused.state, refused.kept, refused.next), (State::Refused, false, None));
    assert_eq!(refused.reason.as_deref(), Some("insufficient_stock"));
    assert!(look(&shard, "unheard of").is_none());
}

#[test]
fn stock_is_paged_and_told_by_level() {
    let mut shard = Shard::new();
    for number in 0..300 {
        shard.send(&[receive(format!("R-{number}"), &format!("S-{number}"), number + 1)]);
    }
    let state = &shard.inventory;
    let all = |filter: &StockFilter| {
        let (mut found, mut from) = (BTreeSet::new(), 0);
        loop {
            let walked = state.page_of_stock(filter, from, ROWS_MAX);
            found.extend(walked.rows.into_iter().map(|row| row.sku));
            let Some(next) = walked.next else { return found.len() };
            assert!(next > from && next - from <= LOOKS_MAX);
            from = next;
        }
    };
    assert_eq!(all(&StockFilter::default()), 300);
    assert_eq!(all(&StockFilter { below: Some(11), ..StockFilter::default() }), 10);
    assert_eq!(all(&StockFilter { site: Some("nowhere".to_owned()), ..StockFilter::default() }), 0);
    assert_eq!(state.look_at_stock("main", "S-4").unwrap().free, 5);
    assert!(state.look_at_stock("main", "S-300").is_none());
    assert!(state.look_at_stock("nowhere", "S-4").is_none());
}
