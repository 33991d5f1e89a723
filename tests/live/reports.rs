//! `weir report` and `weir whatif`: what they say of a small log is what can be counted by hand.

use serde_json::{Value, json};

use crate::nats::{Server, until};
use crate::weir::{Weir, plain, publish};

/// A name with what could break a table, a label or a line.
const CARRIER: &str = "d\"h,l\\";

fn order(id: &str, quantity: i64, value: i64) -> Value {
    json!({"place": {"order_id": id, "lines": [{"sku": "A", "quantity": quantity}], "carrier": CARRIER,
                     "promised_by": "2020-01-01T00:00:00Z", "value": {"minor": value, "currency": "EUR"}}})
}

/// Stock of 10: two orders of 4 are confirmed, a third is refused for want of 2; one is cancelled, one arrives, late by its promise.
async fn shop(server: &Server) -> Weir {
    Weir::setup(server).await;
    let worker = Weir::ready(server, &[]).await;
    let context = plain(server).await;
    let commands = json!([
        {"receive": {"receipt_id": "R-1", "lines": [{"sku": "A", "quantity": 10}]}},
        order("O-1", 4, 400),
        order("O-2", 4, 800),
        order("O-3", 4, 1_200),
        {"cancel": {"order_id": "O-1", "by": "customer", "reason": "changed | mind"}},
        {"pay": {"order_id": "O-2", "attempt_id": "P-1"}},
        {"ship": {"order_id": "O-2"}},
        {"deliver": {"order_id": "O-2"}},
        {"review": {"order_id": "O-2", "score": 1, "topic": "late"}},
    ]);
    publish(&context, commands.to_string()).await;
    worker
}

#[tokio::test]
async fn a_report_counts_what_became_of_orders() {
    let server = Server::start().await;
    let worker = shop(&server).await;
    let told = Weir::on(&server, &["report", "--since", "1d", "--json", "--time-zone", "UTC"]).await;
    assert_eq!(told.code, Some(0), "{told:?}");
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let head = |name: &str| report[name].clone();
    assert_eq!((head("accepted"), head("refused"), head("cancelled")), (2.into(), 1.into(), 1.into()));
    assert_eq!((head("delivered"), head("late_share")), (1.into(), 1.0.into()));
    assert_eq!((head("first_sequence"), head("snapshot")), (1.into(), Value::Null));
    let row = |table: &str| report[table][0].clone();
    assert_eq!(
        row("cancelled_by_reason"),
        json!({"reason": "changed | mind", "orders": 1, "units": 4, "value_minor": 400})
    );
    assert_eq!(row("lacking_by_sku"), json!({"sku": "A", "orders": 1, "units": 2, "value_minor": 600}));
    assert_eq!(
        row("reviews_by_topic"),
        json!({"topic": "late", "reviews": 1, "stars": 1.0, "complaints": 1})
    );
    assert_eq!(
        (row("by_carrier")["carrier"].clone(), row("days")["late"].clone()),
        (CARRIER.into(), 1.into())
    );
    let csv = Weir::on(&server, &["report", "--csv"]).await.stdout;
    assert!(csv.lines().any(|line| line == "cancelled_by_reason,changed | mind,orders,1"), "{csv}");
    let mut read = csv::Reader::from_reader(csv.as_bytes());
    let rows: Vec<csv::StringRecord> = read.records().map(Result::unwrap).collect();
    let delivered = ["by_carrier", CARRIER, "delivered", "1"];
    assert!(rows.iter().any(|row| row.iter().eq(delivered)), "{csv}");
    let labels = "weir_carrier_delivered_orders{shard=\"main\",carrier=\"d\\\"h,l\\\\\"} 1";
    until("the carrier to be shown", async || {
        let (_, scrape) = worker.get("/metrics");
        scrape.lines().any(|line| line == labels).then_some(())
    })
    .await;
    let markdown = Weir::on(&server, &["report", "--md"]).await.stdout;
    assert!(
        markdown.contains("## cancelled_by_reason") && markdown.contains("changed \\| mind"),
        "{markdown}"
    );
    for bad in [["--since", "soon"], ["--time-zone", "Mars/North"]] {
        assert_eq!(Weir::on(&server, &["report", bad[0], bad[1]]).await.code, Some(1));
    }
    worker.stop().await;
}

#[tokio::test]
async fn another_way_is_told_apart_from_what_was() {
    let server = Server::start().await;
    let worker = shop(&server).await;
    let told = async |arguments: &[&str]| -> Value {
        let told = Weir::on(&server, &[&["whatif", "--json"], arguments].concat()).await;
        assert_eq!(told.code, Some(0), "{told:?}");
        serde_json::from_str(&told.stdout).unwrap()
    };
    let file = |name: &str, text: &str| {
        let path = server.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // Who waits gets what the cancel gives back.
    let waited = told(&["--on-shortage", "backorder"]).await;
    let figures =
        |view: &Value| ["confirmed", "refused", "units_on_hand"].map(|name| view[name].as_i64().unwrap());
    assert_eq!((figures(&waited["was"]), figures(&waited["would_be"])), ([2, 1, 6], [3, 0, 6]));
    assert_eq!(waited["would_be"]["confirmed_after_waiting"], 1);
    let differs = &waited["orders"][0];
    assert_eq!(
        (&differs["order_id"], &differs["was"]["fate"]),
        (&"O-3".into(), &"insufficient_stock".into())
    );
    assert_eq!(
        (&differs["would_be"]["fate"], waited["differing"].as_i64()),
        (&"confirmed_later".into(), Some(1))
    );
    // Two more of it, and nobody is refused.
    let stock = file("more.csv", "sku,quantity\nA,2\n");
    let more = told(&["--stock", &*stock]).await;
    assert_eq!(figures(&more["would_be"]), [3, 0, 8]);
    assert_eq!(more["would_be"]["confirmed_value_minor"], json!({"EUR": 2_400}));
    // Safety stock: the shard's, and a SKU's own once it is known.
    let policy = file("policy.toml", "safety_stock = 7\n");
    assert_eq!(figures(&told(&["--policy", &*policy]).await["would_be"])[..2], [0, 3]);
    let policy = file("own.toml", "safety_stock_of = [{ site = \"main\", sku = \"A\", quantity = 3 }]\n");
    let own = told(&["--policy", &*policy]).await;
    assert_eq!(figures(&own["was"])[..2], [2, 1]);
    // Nothing is different.
    let policy = file("same.toml", "lines_max = 2000\n");
    assert_eq!(told(&["--policy", &*policy]).await["differing"], 0);
    let policy = file("wrong.toml", "lines_max = 0\n");
    let wrong = Weir::on(&server, &["whatif", "--policy", &*policy]).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("lines_max"), "{wrong:?}");
    assert_eq!(Weir::on(&server, &["whatif"]).await.code, Some(2));
    worker.stop().await;
}
