//! An upgrade whose rules differ, over several workers, with one of the former binary that wakes up late. The other binary is
//! these sources with the patches in `tests/upgrade`, which are other rules and one more command; `tests/upgrade/build` makes it.

use async_nats::jetstream::Context;
use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::nats::{Server, until};
use crate::weir::{Load, OWN, Weir, announced, appends, plain, publish, streams};

/// Names the binary that knows the next rules, too.
const NEXT_VARIABLE: &str = "WEIR_TEST_NEXT";

async fn until_role(worker: &Weir, role: &str) {
    let series = format!("weir_role{{shard=\"main\",role=\"{role}\"}}");
    until(&format!("a worker to be the {role}"), async || {
        let (_, text) = worker.get("/metrics");
        (crate::weir::value(&text, &series)? > 0.0).then_some(())
    })
    .await;
}

/// An order of two units, for what there is of them.
fn partial(id: &str) -> Value {
    json!({"place": {"order_id": id, "on_shortage": "partial", "lines": [{"sku": "P", "quantity": 2}]}})
}

/// A command that the rules know from version 2 on.
fn remind(id: &str) -> String {
    json!({"remind": {"order_id": "P-1", "reminder_id": id}}).to_string()
}

/// Sends it, and sees that it is answered as no command: by whoever leads, and by one chain, or else the other one would halt.
async fn remind_in_vain(server: &Server, context: &Context, id: &str) {
    let sequence = publish(context, remind(id)).await;
    let refused = outcome_of(server, sequence).await;
    assert_eq!((&refused["outcome"], &refused["reason"]), (&json!("dead_lettered"), &json!("not_a_command")));
}

async fn outcome_of(server: &Server, sequence: u64) -> Value {
    let streams = streams(server).await;
    until("the outcome", async || {
        let told = announced(&streams).await;
        told.into_iter().find(|outcome| outcome["sequence"] == sequence)
    })
    .await
}

#[tokio::test]
async fn workers_roll_to_other_rules_and_one_of_the_former_announces_nothing() {
    let Ok(next) = std::env::var(NEXT_VARIABLE) else {
        weir_kit::skipped(&format!(
            "{NEXT_VARIABLE} names no binary with other rules (tests/upgrade/build makes one)"
        ));
        return;
    };
    let server = Server::start().await;
    Weir::setup(&server).await;
    let url = server.url();
    let old = async |name| Weir::worker(&url, &["--name", name]).await;
    let new = async |name| Weir::worker_as(&next, &url, &["--name", name]).await;
    let first = old("old-1").await;
    until_role(&first, "leader").await;
    let load = Load::start(&server).await;
    let zombie = old("old-2").await;
    until_role(&zombie, "standby").await;
    zombie.until_readyz(200).await;

    // One after the other: the old ones hand over to each other, and then a new one stands by.
    first.stop().await;
    until_role(&zombie, "leader").await;
    let second = new("new-1").await;
    until_role(&second, "standby").await;
    second.until_readyz(200).await;
    let context = plain(&server).await;
    let receipt = json!({"receive": {"receipt_id": "P", "lines": [{"sku": "P", "quantity": 1}]}});
    publish(&context, receipt.to_string()).await;
    let before = publish(&context, partial("P-1").to_string()).await;
    assert_eq!(outcome_of(&server, before).await["outcome"], "confirmed");
    remind_in_vain(&server, &context, "D-1").await;

    // The last old one is held up while it leads, and misses what follows.
    zombie.signal("STOP");
    until_role(&second, "leader").await;
    remind_in_vain(&server, &context, "D-1").await;
    let third = new("new-2").await;
    until_role(&third, "standby").await;
    let policy = server.folder().join("rules.toml");
    std::fs::write(&policy, "rules = 2\n").unwrap();
    let policy = ["policy", "apply", policy.to_str().unwrap()];
    let refused = Weir::on_as(OWN, &server, &policy).await;
    assert_ne!(refused.code, Some(0), "who does not know the rules does not ask for them: {refused:?}");
    let applied = Weir::on_as(&next, &server, &policy).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let receipt = json!({"receive": {"receipt_id": "P2", "lines": [{"sku": "P", "quantity": 1}]}});
    publish(&context, receipt.to_string()).await;
    let after = publish(&context, partial("P-2").to_string()).await;
    let decided = outcome_of(&server, after).await;
    assert_eq!((&decided["outcome"], &decided["reason"]), (&json!("refused"), &json!("insufficient_stock")));

    // The command is known now, and nothing of what was sent before counts.
    let first = publish(&context, remind("D-1")).await;
    let (decided, again) = (outcome_of(&server, first).await, publish(&context, remind("D-1")).await);
    assert_eq!((&decided["outcome"], &decided["state"]), (&json!("reminded"), &json!("confirmed")));
    assert_eq!(outcome_of(&server, again).await["first_sequence"], first);

    let from = appends(&streams(&server).await).await.last().unwrap().sequence;
    zombie.signal("CONT");
    until_role(&zombie, "away").await;
    until("more orders", async || {
        let state = streams(&server).await.outcomes_state().await.unwrap();
        (state.last_sequence > from + 100).then_some(())
    })
    .await;
    let acknowledged = load.stop().await;
    let context = plain(&server).await;
    let last = publish(&context, partial("P-3").to_string()).await;
    outcome_of(&server, last).await;
    let all = streams(&server).await;
    for append in appends(&all).await.iter().filter(|append| append.sequence > from) {
        assert!(append.append.header.writer.starts_with("new"), "{:?}", append.append.header);
    }
    // Each order that was acknowledged has its outcome, once, but for retries.
    let told = announced(&all).await;
    let first = |outcome: &&Value| {
        outcome["order_id"].as_str().is_some_and(|id| id.starts_with("L-")) && outcome["duplicate"] != true
    };
    assert!(told.iter().filter(first).count() as u64 >= acknowledged, "{acknowledged} were acknowledged");
    let audited = Weir::on_as(&next, &server, &["audit"]).await;
    assert_eq!(audited.code, Some(0), "{audited:?}");
    let audited = Weir::on(&server, &["audit"]).await;
    assert!(audited.code == Some(1) && audited.stdout.contains("unknown rules"), "{audited:?}");
    // Where nobody else is left to stand by, one of the former binary is asked to: it stands still, and is in nobody's way.
    third.stop().await;
    for former in [zombie, old("old-3").await] {
        until("the fault", async || former.get("/readyz").1.contains("unknown rules").then_some(())).await;
        former.stop().await;
    }
    let last = publish(&context, partial("P-4").to_string()).await;
    assert_eq!(outcome_of(&server, last).await["outcome"], "refused");
    second.stop().await;
}
