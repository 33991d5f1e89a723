//! The mapping, rule by rule, on small files; and the real file where there is one.

use super::*;
use weir::commands::import::open;
use weir::words::command::PlaceLine;

const DAY: i64 = 86_400;

/// All of the demand is received, so that receipts show it.
fn whole() -> Options {
    Options { stock_share_permille: 1_000, ..Options::default() }
}

fn plan_of(rows: &str, options: &Options) -> Plan {
    let csv = format!("ts,invoice,cancel,sku,qty,price_milli,customer,country\n{}", rows.replace(' ', "\n"));
    online_retail(csv.as_bytes(), options).unwrap()
}

/// One word per command: kind, ids and lines.
fn said(plan: &Plan) -> Vec<String> {
    let line = |sku: &str, quantity| format!("{quantity}*{sku}");
    let lines =
        |lines: &[Line<'_>]| lines.iter().map(|it| line(&it.sku, it.quantity)).collect::<Vec<_>>().join(" ");
    let placed = |lines: &[PlaceLine<'_>]| {
        lines.iter().map(|it| line(&it.sku, it.quantity)).collect::<Vec<_>>().join(" ")
    };
    let say = |command: &Command<'_>| match command {
        Command::Receive(it) => format!("receive {} {}", it.receipt_id, lines(&it.lines)),
        Command::Place(it) => format!("place {} {}", it.order_id, placed(&it.lines)),
        Command::Pay(it) => format!("pay {}", it.order_id),
        Command::Ship(it) => format!("ship {}", it.order_id),
        Command::Cancel(it) => format!("cancel {}", it.order_id),
        Command::Return(it) => {
            let lines: Vec<_> = it.lines.iter().flatten().map(|it| line(&it.sku, it.quantity)).collect();
            format!("return {} {} {}", it.order_id, it.return_id, lines.join(" "))
        }
        other => panic!("{other:?}"),
    };
    plan.commands.iter().map(say).collect()
}

/// The commands that undo something, and the plan.
fn undone(rows: &str) -> (Vec<String>, Plan) {
    let plan = plan_of(rows, &whole());
    let undoing = |word: &String| word.starts_with("cancel") || word.starts_with("return");
    (said(&plan).into_iter().filter(undoing).collect(), plan)
}

fn places(plan: &Plan) -> Vec<&Place<'static>> {
    plan.commands
        .iter()
        .filter_map(|command| if let Command::Place(place) = command { Some(place) } else { None })
        .collect()
}

#[test]
fn rule_1_each_row_has_one_class() {
    let long = "x".repeat(65);
    let rows = format!(
        "1,A1,0,B,-1,-5,, 2,C1,1,a,0,5,7, 3,C1,1,a,2,5,7, 4,1,0,a,0,5,7, 5,1,0,,-3,5,7, 6,1,0,{long},3,5,7, \
         7,1,0,,3,5,7, 8,1,0,a,1000000001,5,7, 9,C1,1,a,-1000000001,5,7, 10,1,0,a,1,0,7, 11,1,0,a,2,-5,7, \
         12,C1,1,b,-1,5,,"
    );
    let rows: Vec<String> = rows.split(' ').map(|row| format!("{row}UK")).collect();
    let plan = plan_of(&rows.join(" "), &whole());
    let counts = plan.counts;
    assert_eq!((counts.rows, counts.adjustment_rows, counts.odd_cancellation_rows), (12, 1, 2));
    assert_eq!((counts.write_off_rows, counts.unusable_rows), (2, 4));
    assert_eq!((counts.sale_rows, counts.cancellation_rows), (2, 1));
    // The skipped rows count for nothing, not even as the first of their invoice.
    assert_eq!(said(&plan), ["receive import-1 3*a", "place 1 1*a 2*a", "pay 1", "ship 1"]);
    assert_eq!(counts.no_customer, Unmatched { lines: 1, units: 1 });
}

#[test]
fn rule_1_what_cannot_be_read_is_an_error_with_its_line() {
    for (row, text) in [
        ("x,1,0,a,1,1,,", "line 3: ts: not such a number: \"x\""),
        ("-1,1,0,a,1,1,,", "line 3: ts: not such a number: \"-1\""),
        ("1,,0,a,1,1,,", "line 3: invoice: not 1 to 48 bytes: \"\""),
        ("1,1,0,a,1.5,1,,", "line 3: qty: not such a number: \"1.5\""),
        ("1,1,0,a,1,1000000000001,,", "line 3: price_milli: not such a number: \"1000000000001\""),
        ("1,1,0,a,1,1,\u{7},", "line 3: customer: not an id: \"\\u{7}\""),
    ] {
        let csv = format!("ts,invoice,cancel,sku,qty,price_milli,customer,country\n1,0,0,a,1,1,,\n{row}\n");
        assert_eq!(online_retail(csv.as_bytes(), &whole()).unwrap_err().to_string(), text);
    }
    assert!(online_retail(&b"ts,invoice\n1,1\n"[..], &whole()).is_err());
}

#[test]
fn rule_2_rows_are_grouped_by_invoice_as_they_stand() {
    let options = Options { on_shortage: OnShortage::Backorder, site: Some("s".to_owned()), ..whole() };
    let plan =
        plan_of("100,2,0,b,2,1255,7,UK 100,1,0,a,1,5,, 160,2,0,a,1,999,8,FR 160,2,0,b,2,1255,7,UK", &options);
    let places = places(&plan);
    let line = |quantity, sku: &'static str| Line { sku: sku.into(), quantity }.into();
    let expected = Place {
        order_id: "2".into(),
        site: Some("s".into()),
        lines: vec![line(2, "b"), line(1, "a"), line(2, "b")],
        on_shortage: OnShortage::Backorder,
        value: Some(Money { minor: 601, currency: "GBP".into() }),
        customer: Some("7".into()),
        attributes: Attributes(vec![
            ("country".into(), "UK".into()),
            ("invoiced_at".into(), "1970-01-01T00:01:40.000Z".into()),
        ]),
        ..Place::default()
    };
    assert_eq!(*places[0], expected);
    assert_eq!(places[1].order_id, "1");
    assert_eq!((&places[1].customer, places[1].attributes.0.len()), (&None, 1));
    assert_eq!(places[1].value.as_ref().unwrap().minor, 0);
}

#[test]
fn rule_2_a_negative_or_absurd_value_is_absent() {
    let plan = plan_of("1,1,0,a,1,-1,, 1,2,0,a,1,0,, 1,3,0,a,1000000000,1000000000000,,", &whole());
    let values: Vec<_> =
        places(&plan).iter().map(|place| place.value.as_ref().map(|value| value.minor)).collect();
    assert_eq!(values, [None, Some(0), None]);
}

#[test]
fn rule_3_a_share_of_the_demand_is_received_first() {
    let rows = "1,1,0,b,10,5,, 2,2,0,b,5,5,, 3,2,0,a,1,5,, 4,3,0,B,2,5,,";
    let plan = plan_of(rows, &Options { stock_share_permille: 900, ..Options::default() });
    assert_eq!(said(&plan)[0], "receive import-1 1*B 13*b");
    let counts = plan.counts;
    assert_eq!((counts.receipts, counts.skus_received, counts.units_received), (1, 2, 14));
    let nothing = plan_of(rows, &Options { stock_share_permille: 0, ..Options::default() });
    assert_eq!(nothing.counts.receipts, 0);
}

#[test]
fn rule_3_receipts_have_at_most_1_000_lines() {
    let rows: Vec<String> = (0..2_001).map(|n| format!("1,1,0,s{n:04},1,5,,")).collect();
    let plan = plan_of(&rows.join(" "), &whole());
    let said = said(&plan);
    assert!(said[0].starts_with("receive import-1 1*s0000 ") && said[0].ends_with(" 1*s0999"));
    assert!(said[1].starts_with("receive import-2 1*s1000 ") && said[1].ends_with(" 1*s1999"));
    assert_eq!(said[2], "receive import-3 1*s2000");
    assert_eq!(plan.counts.receipts, 3);
}

#[test]
fn rules_4_and_6_commands_go_by_time_then_kind_then_order() {
    let options = Options { pay_after_s: 10, ship_after_s: 20, ..whole() };
    let plan = plan_of("20,3,0,a,1,5,, 0,1,0,a,1,5,, 10,2,0,a,1,5,, 10,0,0,a,1,5,,", &options);
    let expected =
        "place 1 1*a,place 2 1*a,place 0 1*a,pay 1,place 3 1*a,pay 2,pay 0,ship 1,pay 3,ship 2,ship 0,ship 3";
    assert_eq!(said(&plan)[1..], expected.split(',').collect::<Vec<_>>());
    assert_eq!((plan.counts.pays, plan.counts.ships), (4, 4));
}

#[test]
fn rules_4_and_6_at_one_time_a_return_comes_last() {
    let options = Options { pay_after_s: 0, ship_after_s: 0, ..whole() };
    let plan = plan_of("5,1,0,a,2,5,7, 5,C2,1,a,-2,5,7,", &options);
    assert_eq!(said(&plan)[1..], ["place 1 2*a", "pay 1", "ship 1", "return 1 C2-1 2*a"]);
}

#[test]
fn rule_5_1_without_a_customer_nothing_is_matched() {
    let (undone, plan) =
        undone("1,1,0,a,1,5,, 1,1,0,b,1,5,, 2,C2,1,a,-1,5,, 2,C2,1,b,-1,5,, 2,C2,1,b,-3,5,,");
    assert_eq!(undone, [""; 0]);
    assert_eq!(plan.counts.no_customer, Unmatched { lines: 2, units: 5 });
    assert_eq!(plan.counts.no_earlier_sale, Unmatched::default());
}

#[test]
fn rule_5_2_a_whole_order_not_shipped_is_cancelled() {
    let (undone, plan) =
        undone("0,1,0,a,1,5,7, 0,1,0,b,2,5,7, 0,1,0,a,1,5,7, 900,C2,1,b,-2,5,7, 900,C2,1,a,-2,5,7,");
    assert_eq!(undone, ["cancel 1"]);
    assert_eq!(said(&plan)[1..], ["place 1 1*a 2*b 1*a", "pay 1", "cancel 1"]);
    let Some(Command::Cancel(cancel)) = plan.commands.last() else { panic!("no cancel") };
    assert_eq!((cancel.by.as_deref(), cancel.reason.as_deref()), (Some("customer"), Some("cancellation")));
    assert_eq!((plan.counts.cancels, plan.counts.cancel_units, plan.counts.ships), (1, 4, 0));
}

#[test]
fn rule_5_2_a_cancelled_order_is_paid_only_before_its_cancel() {
    for (time, paid) in [(599, 0), (600, 1)] {
        let (_, plan) = undone(&format!("0,1,0,a,1,5,7, {time},C2,1,a,-1,5,7,"));
        assert_eq!((plan.counts.cancels, plan.counts.pays), (1, paid));
    }
}

#[test]
fn rule_5_2_what_has_shipped_is_returned() {
    for (time, word) in [(DAY - 1, "cancel 1"), (DAY, "return 1 C2-1 1*a")] {
        assert_eq!(undone(&format!("0,1,0,a,1,5,7, {time},C2,1,a,-1,5,7,")).0, [word]);
    }
}

#[test]
fn rule_5_2_the_most_recent_whole_order_is_cancelled() {
    // Order 3 was placed last though it stands first; once it is undone, 2 follows, then 1, which shares its time.
    let orders = "30,3,0,a,1,5,7, 20,1,0,a,1,5,7, 20,2,0,a,1,5,7,";
    let (undone, _) = undone(&format!("{orders} 40,C1,1,a,-1,5,7, 50,C2,1,a,-1,5,7, 60,C3,1,a,-1,5,7,"));
    assert_eq!(undone, ["cancel 3", "cancel 2", "cancel 1"]);
}

#[test]
fn rule_5_candidates_are_earlier_in_time_and_in_the_file() {
    // Later in time; later in the file; another customer; at the same time.
    assert_eq!(undone("9,1,0,a,1,5,7, 8,C2,1,a,-1,5,7,").0, [""; 0]);
    assert_eq!(undone("8,C2,1,a,-1,5,7, 1,1,0,a,1,5,7,").0, [""; 0]);
    assert_eq!(undone("1,1,0,a,1,5,8, 8,C2,1,a,-1,5,7,").0, [""; 0]);
    assert_eq!(undone("8,1,0,a,1,5,7, 8,C2,1,a,-1,5,7,").0, ["cancel 1"]);
}

#[test]
fn rule_5_3_parts_are_taken_from_the_most_recent_back() {
    let orders = "1,1,0,a,5,5,7, 1,1,0,b,1,5,7, 2,2,0,b,2,5,7, 3,3,0,a,3,5,7, 3,3,0,B,1,5,7,";
    let (undone, plan) = undone(&format!("{orders} 9,C9,1,b,-3,5,7, 9,C9,1,a,-4,5,7, 9,C9,1,B,-1,5,7,"));
    assert_eq!(undone, ["return 1 C9-3 1*a 1*b", "return 2 C9-2 2*b", "return 3 C9-1 1*B 3*a"]);
    assert_eq!((plan.counts.returns, plan.counts.return_lines, plan.counts.return_units), (3, 5, 8));
    let Some(Command::Return(last)) = plan.commands.last() else { panic!("no return") };
    assert!(last.lines.iter().flatten().all(|line| line.restock));
}

#[test]
fn rule_5_3_nothing_is_undone_twice() {
    let order = "1,1,0,a,3,5,7, 1,1,0,a,1,5,7,";
    let (undone, plan) = undone(&format!("{order} 5,C1,1,a,-3,5,7, 6,C2,1,a,-3,5,7, 7,C3,1,a,-4,5,7,"));
    // Once in part undone, the order is not cancelled whole either.
    assert_eq!(undone, ["return 1 C1-1 3*a", "return 1 C2-1 1*a"]);
    assert_eq!(plan.counts.no_earlier_sale, Unmatched { lines: 2, units: 6 });
}

#[test]
fn rule_5_3_a_return_waits_for_its_shipment() {
    let (_, plan) =
        undone(&format!("0,1,0,a,2,5,7, 5,C1,1,a,-1,5,7, {DAY},2,0,a,1,5,8, {},3,0,a,1,5,8,", DAY + 1));
    assert_eq!(
        said(&plan)[3..],
        ["place 2 1*a", "ship 1", "return 1 C1-1 1*a", "place 3 1*a", "pay 2", "pay 3", "ship 2", "ship 3"]
    );
}

#[test]
fn the_real_file_adds_up() {
    let Some(folder) = std::env::var_os("WEIR_TEST_DATA") else {
        eprintln!("SKIPPED: WEIR_TEST_DATA names no folder with online_retail_a.csv.gz");
        return;
    };
    let path = std::path::Path::new(&folder).join("online_retail_a.csv.gz");
    if !path.exists() {
        eprintln!("SKIPPED: {} is not there", path.display());
        return;
    }
    let plan = online_retail(open(&path).unwrap(), &Options::default()).unwrap();
    let c = plan.counts;
    let skipped = c.adjustment_rows + c.write_off_rows + c.odd_cancellation_rows + c.unusable_rows;
    assert_eq!(c.rows, c.sale_rows + c.cancellation_rows + skipped);
    assert_eq!(c.order_lines, c.sale_rows);
    let unmatched = c.no_customer.units + c.no_earlier_sale.units;
    assert_eq!(c.cancellation_units, c.cancel_units + c.return_units + unmatched);
    assert_eq!(c.ships, c.orders - c.cancels);
    let commands = c.receipts + c.orders + c.pays + c.ships + c.cancels + c.returns;
    assert_eq!(commands, plan.commands.len() as u64);
    assert!(c.units_received <= c.order_units * 9 / 10);
    let encoded = |plan: &Plan| serde_json::to_string(&plan.commands).unwrap();
    let again = online_retail(open(&path).unwrap(), &Options::default()).unwrap();
    assert_eq!(encoded(&plan), encoded(&again));
}
