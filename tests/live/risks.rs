//! How likely orders come late, as it is asked: over NATS, HTTP, the command line and the console, and in process where whoever observes
//! is held up.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weir::edges::ShardEdges;
use weir::edges::clock::SystemClock;
use weir::edges::memory::{MemoryLimits, MemoryStreams};
use weir::motion::live::answering::answer;
use weir::words::query::{
    Answer, OrderQuestion, OrdersKind, OrdersQuestion, QueryCode, QueryError, Question,
};

use crate::http::{api, fetch};
use crate::nats::until;
use crate::observing::{alone, append, options, pay, place, receive, until_measured};
use crate::queries::Shop;
use crate::weir::Weir;

const DAY_MS: i64 = 86_400_000;

fn now_ms() -> i64 {
    SystemClock::shared().wall_ns() / 1_000_000
}

/// An order that is promised in so many days, or was; paid at once.
fn promised(id: &str, site: &str, days: i64) -> Value {
    let by = weir::words::timestamp::Timestamp::from_millis(now_ms() + days * DAY_MS).to_string();
    let (ship_by, lines) = (by.clone(), json!([{"sku": "A", "quantity": 1}]));
    json!([
        {"place": {"order_id": id, "site": site, "promised_by": by, "ship_by": ship_by, "lines": lines}},
        {"pay": {"order_id": id, "attempt_id": format!("P-{id}")}},
    ])
}

const TWO_SITES: &str = "[[shards]]\nname = \"main\"\nsites = [\"main\", \"oslo\"]\n";

#[tokio::test]
async fn an_order_is_told_with_its_risk_and_those_at_risk_are_listed() {
    let shop = Shop::open(TWO_SITES, &["--http", "127.0.0.1:0", "--console", "127.0.0.1:0"]).await;
    for (site, receipt) in [("main", "R-1"), ("oslo", "R-2")] {
        let lines = json!([{"sku": "A", "quantity": 1_000}]);
        shop.send(json!({"receive": {"receipt_id": receipt, "site": site, "lines": lines}})).await;
    }
    // Seven whose promise has passed, two of them at another site, and one that has all the time in the world.
    let ids: Vec<String> = (0..7).map(|number| format!("late-{number}")).collect();
    for (number, id) in ids.iter().enumerate() {
        shop.send(promised(id, if number < 5 { "main" } else { "oslo" }, -1)).await;
    }
    let last = shop.send(promised("soon enough", "main", 3_000)).await;
    let order = async |id: &str| {
        until("it to be measured", async || {
            let answer = shop.answer("weir.query.order", &json!({"order_id": id, "at_least": last})).await;
            (answer["delay_risk"]["measured"].as_u64()? >= last).then_some(answer)
        })
        .await
    };
    let late = order("late-0").await;
    let risk = &late["delay_risk"];
    assert_eq!((&risk["arrives_late"], &risk["ships_late"]), (&json!(1.0), &json!(1.0)), "{late}");
    assert_eq!(risk["promised_by"], late["placed"]["promised_by"]);
    let early = order("soon enough").await;
    assert!(early["delay_risk"]["arrives_late"].as_f64().unwrap() < 0.4, "{early}");
    let by = ["p5", "p25", "p50", "p75", "p95"].map(|name| {
        early["delay_risk"]["arrives_by"][name].as_str().unwrap_or_else(|| panic!("{early}")).to_owned()
    });
    assert!(by.is_sorted() && by[0] < by[4], "{by:?}");

    // Page by page, each once.
    let page = async |question: Value| shop.answer("weir.query.orders", &question).await;
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut question = json!({"state": "at_risk", "limit": 3});
        if !cursor.is_null() {
            question["cursor"] = cursor;
        }
        let answer = page(question).await;
        let rows = answer["orders"].as_array().unwrap().clone();
        assert!(rows.len() <= 3, "{answer}");
        for row in rows {
            assert_eq!((&row["delay_risk"]["arrives_late"], &row["state"]), (&json!(1.0), &json!("paid")));
            seen.push(row["order_id"].as_str().unwrap().to_owned());
        }
        cursor = answer["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((seen.len(), seen.iter().collect::<BTreeSet<_>>()), (7, ids.iter().collect()));
    for (filter, count) in [
        (json!({"state": "at_risk", "site": "oslo"}), 2),
        (json!({"state": "at_risk", "site": "moon", "shard": "main"}), 0),
        (json!({"state": "at_risk", "older_than_ms": 86_400_000}), 0),
        (json!({"state": "at_risk", "cursor": 9_007_199_254_740_991_u64}), 0),
    ] {
        let answer = page(filter.clone()).await;
        assert_eq!(answer["orders"].as_array().unwrap().len(), count, "{filter}: {answer}");
    }

    // The same by HTTP, from the shell, and on the console.
    let address = api(&shop.worker).await;
    let by_http = fetch(address, "/v1/orders?state=at_risk&limit=500", "").await;
    assert_eq!(by_http.body["orders"].as_array().unwrap().len(), 7, "{by_http:?}");
    let by_http = fetch(address, "/v1/orders/late-0", "").await;
    assert_eq!(by_http.body["delay_risk"]["arrives_late"], json!(1.0), "{by_http:?}");
    let listed = Weir::on(&shop.server, &["orders", "--state", "at_risk", "--csv"]).await;
    let rows: Vec<_> = listed.stdout.lines().collect();
    assert_eq!(rows.len(), 8, "{listed:?}");
    assert!(rows[0].starts_with("order_id,state,site,arrives_late"), "{rows:?}");
    assert!(rows[1].contains(",1.00,"), "{rows:?}");
    let one = Weir::on(&shop.server, &["orders", "late-0"]).await;
    assert!(one.stdout.contains("100% likely"), "{one:?}");
    let console = until("the console's address", async || {
        let text = shop.worker.log();
        let (_, rest) = text.split_once("the console listens address=")?;
        rest.split_once(char::is_whitespace)?.0.parse().ok()
    })
    .await;
    let found = fetch(console, "/order?id=late-0", "").await;
    assert_eq!(found.body["delay_risk"]["arrives_late"], json!(1.0), "{found:?}");

    // One that is cancelled, and one that arrives, are at risk no longer.
    let deliver = json!([{"ship": {"order_id": "late-1"}}, {"deliver": {"order_id": "late-1"}}]);
    for command in [json!({"cancel": {"order_id": "late-0"}}), deliver] {
        shop.send(command).await;
    }
    until("both to be gone from the list", async || {
        let answer = page(json!({"state": "at_risk"})).await;
        let rows = answer["orders"].as_array().unwrap();
        let left: BTreeSet<_> = rows.iter().map(|row| row["order_id"].as_str().unwrap()).collect();
        (left == ids[2..].iter().map(String::as_str).collect()).then_some(())
    })
    .await;
    let gone = shop.answer("weir.query.order", &json!({"order_id": "late-0"})).await;
    assert!(gone["delay_risk"].is_null(), "{gone}");
    shop.worker.stop().await;
}

/// Whoever observes is held up for good: orders are told without their risk, the list says that it cannot be had, and the fold goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_observer_that_is_held_up_holds_up_no_answer() {
    let clock = SystemClock::shared();
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let edges = ShardEdges::in_memory(streams.clone());
    let (engine, _) = alone(&edges, &clock, &options("one", 64));
    let status = engine.statuses()[0].clone();
    append(&streams, &[receive(), place(1, now_ms() - 9 * DAY_MS), pay(1)]).await;
    until_measured(&engine, &streams).await;
    until("it to answer", async || status.can_answer().then_some(())).await;
    let order = || Question::Order(OrderQuestion { order_id: "O-1".to_owned(), ..OrderQuestion::default() });
    let list = || Question::Orders(OrdersQuestion { state: OrdersKind::AtRisk, ..OrdersQuestion::default() });
    let risk_of = |answered: Result<Answer, QueryError>| {
        let Ok(Answer::Order(answered)) = answered else { panic!("{answered:?}") };
        answered.delay_risk
    };
    let risk = risk_of(answer(&status, &streams, &order()).await).unwrap();
    assert_eq!(risk.arrives_late, Some(1.0));
    let Ok(Answer::Orders(listed)) = answer(&status, &streams, &list()).await else { panic!("no list") };
    let row = &listed.orders[0];
    assert_eq!((listed.orders.len(), row.order_id.as_str(), listed.cursor), (1, "O-1", None));
    assert_eq!(row.delay_risk.as_ref().unwrap().arrives_late, Some(1.0));

    // Somebody looks at the model, and does not stop.
    let watched = status.watched().unwrap();
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let (holds, held) = std::sync::mpsc::sync_channel(1);
    let stall = std::thread::spawn(move || {
        let _watching = watched.watch();
        holds.send(()).unwrap();
        let _ = released.recv();
    });
    held.recv().unwrap();
    assert_eq!(risk_of(answer(&status, &streams, &order()).await), None);
    let refused = answer(&status, &streams, &list()).await.unwrap_err();
    assert_eq!(refused.code, QueryCode::Busy);
    let stored = append(&streams, &[place(2, now_ms())]).await;
    until("a decision", async || (status.progress().through.sequence >= stored).then_some(())).await;
    drop(release);
    stall.join().unwrap();
    until("risks to be told again", async || risk_of(answer(&status, &streams, &order()).await)).await;
    // Where nobody observes, there is nobody to be asked.
    let mut deaf = options("one", 64);
    deaf.analytics = None;
    let streams = MemoryStreams::new(clock.clone(), MemoryLimits::default());
    let (engine, _) = alone(&ShardEdges::in_memory(streams.clone()), &clock, &deaf);
    let status = engine.statuses()[0].clone();
    let stored = append(&streams, &[receive(), place(1, now_ms()), pay(1)]).await;
    until("a decision", async || (status.progress().through.sequence >= stored).then_some(())).await;
    until("it to answer", async || status.can_answer().then_some(())).await;
    assert_eq!(risk_of(answer(&status, &streams, &order()).await), None);
    assert_eq!(answer(&status, &streams, &list()).await.unwrap_err().code, QueryCode::Unavailable);
}
