//! The objective: its days outlast the workers and doors that counted them, and each answer counts once, whoever gave it.

use async_nats::HeaderMap;
use serde_json::{Value, json};
use weir::edges::jetstream::{JetKeys, Names};
use weir::edges::keys::Keys as _;
use weir::edges::streams::Streams as _;

use crate::door::{ask, ask_once, client, only_door, opened};
use crate::nats::{Server, until};
use crate::weir::{Weir, audit, place, plain, publish, receive, streams, value};

/// What all processes have saved: good, all.
async fn saved(server: &Server) -> (u64, u64) {
    let keys = JetKeys::new(&server.connect().await, &Names::default().pointers_bucket());
    let Some(entry) = keys.get("objective.main").await.unwrap() else { return (0, 0) };
    let kept: Value = serde_json::from_slice(&entry.value).unwrap();
    let hours = kept["hours"].as_array().unwrap();
    let sum = |place: usize| hours.iter().map(|hour| hour[place].as_u64().unwrap()).sum();
    (sum(1), sum(2))
}

/// What a process has counted itself: good, all.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts")]
fn counted(weir: &Weir) -> (u64, u64) {
    let (_, text) = weir.get("/metrics");
    let of = |verdict: &str| {
        let series = format!("weir_slo_answers_total{{shard=\"main\",verdict=\"{verdict}\"}}");
        value(&text, &series).unwrap_or(0.0) as u64
    };
    (of("good"), of("good") + of("bad"))
}

/// Waits until a worker shows what these counts come to.
#[expect(clippy::cast_precision_loss, reason = "counts")]
async fn until_shown(weir: &Weir, (good, all): (u64, u64)) {
    let attained = good as f64 / all as f64;
    let left = 1.0 - (1.0 - attained) / 0.001;
    until("the objective to be shown", async || {
        let (_, text) = weir.get("/metrics");
        let shown = value(&text, "weir_slo_attained_ratio{shard=\"main\"}")?;
        let budget = value(&text, "weir_slo_budget_remaining_ratio{shard=\"main\"}")?;
        ((shown - attained).abs() < 1e-9 && (budget - left).abs() < 1e-6).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_days_outlast_who_counted_and_doors_count_what_no_leader_sees() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let client = client(&server).await;
    opened(&client).await;
    let context = plain(&server).await;
    let orders: Vec<_> = (0..20).map(|order| place(&format!("L-{order}"))).collect();
    publish(&context, receive("R-1", 1_000).to_string()).await;
    publish(&context, json!(orders).to_string()).await;
    for order in 0..5 {
        ask(&client, "orders", place(&format!("D-{order}")).to_string()).await;
    }
    let outcomes = audit(&server).await.len() as u64;
    let (good, all) = until("everything to be counted", async || {
        let (good, all) = counted(&worker);
        (all >= outcomes).then_some((good, all))
    })
    .await;
    // A request that was turned away and asked again has no outcome, and every outcome counts once.
    let turned_away = ["busy", "unavailable"]
        .map(|kind| worker.metric(&format!("weir_door_replies_total{{kind=\"{kind}\"}}")))
        .iter()
        .sum::<f64>();
    assert_eq!(((all - outcomes).to_string(), good > 0), (turned_away.to_string(), true));
    // A worker that ends saves what it counted; the next one counts from nothing, and shows all of it.
    worker.stop().await;
    assert_eq!(saved(&server).await, (good, all));
    let mut next = Weir::ready(&server, &[]).await;
    until_shown(&next, (good, all)).await;
    assert_eq!(counted(&next), (0, 0));
    opened(&client).await;
    for order in 5..8 {
        ask(&client, "orders", place(&format!("D-{order}")).to_string()).await;
    }
    // One that is killed leaves what it had saved.
    let before_kill = until("it to be saved", async || {
        let (of_next, kept) = (counted(&next), saved(&server).await);
        (of_next.1 >= 3 && kept == (good + of_next.0, all + of_next.1)).then_some(kept)
    })
    .await;
    next.kill();

    // Nobody leads: what a door says then is bad, and only the door knows.
    let door = only_door(&server, "within_ms = 300\npending_max = 2\n").await;
    opened(&client).await;
    let first = ask_once(&client, "orders", place("W-1").to_string()).await;
    assert_eq!(first["outcome"], "accepted", "{first}");
    let log = streams(&server).await;
    let last = log.log_state().await.unwrap().last_sequence;
    let patient = {
        let client = client.clone();
        tokio::spawn(async move {
            let mut headers = HeaderMap::new();
            headers.insert("Weir-Within-Ms", "30000");
            let payload = json!([place("W-3"), place("W-4")]).to_string().into();
            client.request_with_headers("weir.submit.orders", headers, payload).await
        })
    };
    until("the patient's orders to be stored", async || {
        (log.log_state().await.ok()?.last_sequence > last).then_some(())
    })
    .await;
    until("too much", async || {
        let told = ask_once(&client, "orders", place("W-5").to_string()).await;
        ["busy", "unavailable"].contains(&told["outcome"].as_str()?).then_some(())
    })
    .await;
    let replies = |kind: &str| door.metric(&format!("weir_door_replies_total{{kind=\"{kind}\"}}"));
    let told = replies("accepted") + replies("unknown") + replies("busy") + replies("unavailable");
    let of_door = counted(&door);
    assert_eq!((of_door.0, of_door.1.to_string()), (0, told.to_string()));
    door.stop().await;
    let patient: Value = serde_json::from_slice(&patient.await.unwrap().unwrap().payload).unwrap();
    assert_eq!(patient[0]["outcome"], "accepted", "{patient}");
    let (good, all) = before_kill;
    let expected = (good, all + of_door.1 + 2);
    assert_eq!(saved(&server).await, expected);
    // Whoever leads next decides what the door had stored, late, and does not count it again.
    let last = Weir::ready(&server, &[]).await;
    let outcomes = audit(&server).await.len() as u64;
    until_shown(&last, expected).await;
    assert_eq!(counted(&last), (0, 0));

    // The log tells what it can.
    let told = Weir::on(&server, &["report", "--since", "1d", "--json"]).await;
    let report: Value = serde_json::from_str(&told.stdout).unwrap();
    let row = &report["objective"][0];
    let of = |name: &str| row[name].as_u64().unwrap();
    assert_eq!((of("outcomes"), of("busy")), (outcomes, 0), "{row}");
    assert_eq!(of("good") + of("late"), outcomes, "{row}");
    // What was stored while nobody led.
    assert!(of("late") >= 3 && of("good") > 0, "{row}");
    assert_eq!((row["objective"].clone(), row["asked_for"].clone()), (json!("250 ms"), json!(0.999)));
    last.stop().await;
}
