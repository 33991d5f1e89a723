//! `weir run`, the real binary on a real server: what it needs, how it stops, what it survives, and what it says when it
//! cannot go on.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::nats::{Server, until};
use crate::weir::{Load, Weir, appends, audit, place, plain, publish, receive, streams, value};

/// How many lines of a log hold `text`.
fn count(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

/// Waits until the worker has applied the message at `sequence`.
async fn applied(worker: &Weir, sequence: u64) {
    until(&format!("message {sequence} to be applied"), async || {
        let status: Value = serde_json::from_str(&worker.get("/status").1).unwrap();
        (status["shards"][0]["applied"].as_u64()? >= sequence).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_needs_a_url_and_no_more() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    assert_eq!(worker.get("/livez"), (200, "ok\n".to_owned()));
    until("it to be ready", async || (worker.get("/readyz") == (200, "ready\n".to_owned())).then_some(()))
        .await;
    assert_eq!(worker.get("/nothing").0, 404);

    let context = plain(&server).await;
    let received = publish(&context, receive("R-1", 5).to_string()).await;
    let placed = publish(&context, json!([place("O-1"), place("O-1")]).to_string()).await;
    let outcomes = audit(&server).await;
    let at = outcomes.last().unwrap()["at"].clone();
    assert!(at.is_string(), "{at}");
    let expected = [
        json!({"outcome": "received", "receipt_id": "R-1", "sequence": received, "index": 0}),
        json!({"outcome": "confirmed", "order_id": "O-1", "sequence": placed, "index": 0}),
        json!({"outcome": "confirmed", "order_id": "O-1", "sequence": placed, "index": 1,
               "duplicate": true, "first_sequence": placed, "state": "confirmed"}),
    ];
    for (outcome, expected) in outcomes[1..].iter().zip(expected) {
        let mut outcome = outcome.clone();
        outcome.as_object_mut().unwrap().remove("at").unwrap();
        assert_eq!(outcome, expected);
    }

    // As another program sees it: JSON in a JSON array, and headers that say where it belongs.
    let stream = context.get_stream("WEIR_OUTCOMES_main").await.unwrap();
    let last = stream.get_last_raw_message_by_subject("weir.outcomes.main").await.unwrap();
    let payload: Value = serde_json::from_slice(&last.payload).unwrap();
    assert_eq!(payload.as_array().unwrap().last().unwrap()["order_id"], "O-1");
    assert_eq!(last.headers.get("Content-Type").unwrap().as_str(), "application/json");
    for name in ["Weir-From", "Weir-Through", "Weir-Rules", "Weir-Writer", "Weir-Chain"] {
        assert!(last.headers.get(name).is_some(), "{name}");
    }
    let ended = worker.stop().await;
    assert!(ended.stderr.contains("drained"), "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
}

/// Stops a worker while orders come in; another goes on.
async fn stops_under_load(signal: &str, arguments: &[&str], clean: bool) {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, arguments).await;
    let load = Load::start(&server).await;
    until("some orders", async || {
        (worker.metric("weir_applied_sequence{shard=\"main\"}") > 20.0).then_some(())
    })
    .await;
    worker.signal(signal);
    let ended = worker.finish().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    if clean {
        assert_eq!(count(&ended.stderr, "drained"), 1, "{}", ended.stderr);
        // All that was read is announced: the chain and the last identity are of one message.
        let line = ended.stderr.lines().find(|line| line.contains("stopped shard")).unwrap();
        let sequence_of = |name: &str| {
            let (_, rest) = line.split_once(name).unwrap();
            rest.split([':', '.']).next().unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(sequence_of("chain="), sequence_of("announced="), "{line}");
        let last = streams(&server).await.last_outcomes().await.unwrap().unwrap();
        assert_eq!(last.append.header.through.sequence, sequence_of("announced="));
    }
    let next = Weir::ready(&server, &[]).await;
    let orders = load.stop().await;
    let outcomes = audit(&server).await;
    let confirmed = outcomes
        .iter()
        .filter(|outcome| outcome["outcome"] == "confirmed" && outcome.get("duplicate").is_none());
    let confirmed = u64::try_from(confirmed.count()).unwrap();
    assert_eq!(confirmed, orders.min(1000));
    next.stop().await;
}

#[tokio::test]
async fn sigterm_drains() {
    stops_under_load("TERM", &[], true).await;
}

#[tokio::test]
async fn sigint_drains() {
    stops_under_load("INT", &[], true).await;
}

#[tokio::test]
async fn no_time_to_drain_loses_nothing() {
    stops_under_load("TERM", &["--drain-deadline", "0s"], false).await;
}

#[tokio::test]
async fn a_worker_waits_for_its_server() {
    let mut server = Server::start().await;
    server.kill();
    let mut worker = Weir::worker(&server.url(), &["--setup"]).await;
    let reason = worker.until_readyz(503).await;
    assert!(reason.contains("NATS cannot be reached"), "{reason}");
    until("the log to say so", async || worker.log().contains("NATS cannot be reached").then_some(())).await;
    assert_eq!(worker.get("/livez").0, 200);
    // Something else takes its calls meanwhile, and hangs up.
    let calls = TcpListener::bind(("127.0.0.1", server.port())).unwrap();
    calls.set_nonblocking(true).unwrap();
    for _ in 0..8 {
        until("another attempt", async || calls.accept().ok().map(drop)).await;
    }
    drop(calls);
    let log = worker.log();
    assert_eq!(count(&log, "NATS cannot be reached; trying on"), 1, "{log}");
    // Once for each of the four connections: two for the shards, two for snapshots.
    assert_eq!(count(&log, "the NATS connection failed"), 4, "{log}");
    assert!(worker.is_running());
    server.restart().await;
    worker.until_readyz(200).await;
    publish(&plain(&server).await, place("O-1").to_string()).await;
    assert_eq!(audit(&server).await.len(), 2);
    worker.stop().await;
}

#[tokio::test]
async fn a_worker_survives_its_server() {
    let mut server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let load = Load::start(&server).await;
    until("some orders", async || {
        (worker.metric("weir_applied_sequence{shard=\"main\"}") > 20.0).then_some(())
    })
    .await;
    server.kill();
    let reason = worker.until_readyz(503).await;
    assert!(reason.contains("NATS cannot be reached"), "{reason}");
    server.restart().await;
    worker.until_readyz(200).await;
    let orders = load.stop().await;
    publish(&plain(&server).await, place("after").to_string()).await;
    let outcomes = audit(&server).await;
    assert!(orders > 0 && outcomes.last().unwrap()["order_id"] == "after");
    let log = worker.log();
    assert!(log.contains("the streams cannot be read; trying on") && log.contains("reading the log again"));
    assert!(log.lines().count() < 60, "{log}");
    worker.stop().await;
}

#[tokio::test]
async fn what_is_wrong_from_the_start_ends_the_worker() {
    let server = Server::start().await;
    let ended = Weir::worker(&server.url(), &[]).await.finish().await;
    assert_eq!(ended.code, Some(1));
    // The connection may have its last words after it.
    let said = ended.stderr.lines().find(|line| line.starts_with("weir: ")).unwrap();
    assert!(said.contains("weir setup"), "{}", ended.stderr);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = Weir::on(&server, &["run", "--admin", &address]).await;
    assert_eq!(ended.code, Some(1));
    let said = ended.stderr.lines().find(|line| line.starts_with("weir: ")).unwrap();
    assert!(said.starts_with(&format!("weir: cannot listen on {address}")), "{}", ended.stderr);

    let ended = Weir::on(&server, &["run", "--admin", &address, "--prefix", "a.b"]).await;
    assert_eq!(ended.code, Some(78));
    assert_eq!(ended.stderr, "weir: configuration: nats.prefix: 1 to 32 letters, digits, '-' and '_'\n");
}

/// A lease is a hint: whoever empties the table of leases again and again makes workers lead in turn and at once, and does no harm.
#[tokio::test]
async fn two_leaders_do_no_harm() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let one = Weir::ready(&server, &["--name", "one"]).await;
    let load = Load::start(&server).await;
    let two = Weir::ready(&server, &["--name", "two", "--outcomes", "bincode"]).await;
    let streams = streams(&server).await;
    let leases = plain(&server).await.get_stream("KV_WEIR_LEASES").await.unwrap();
    let emptying = tokio::spawn(async move {
        loop {
            leases.purge().filter("$KV.WEIR_LEASES.shard.>").await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        }
    });
    until("both to have written", async || {
        let appends = appends(&streams).await;
        let wrote = |name: &str| appends.iter().filter(|stored| stored.append.header.writer == name).count();
        (wrote("one") >= 3 && wrote("two") >= 3).then_some(())
    })
    .await;
    emptying.abort();
    load.stop().await;
    audit(&server).await;
    for worker in [one, two] {
        assert_eq!(worker.get("/readyz").0, 200, "{}", worker.log());
        let ended = worker.stop().await;
        assert!(!ended.stderr.contains("the shard stands still"), "{}", ended.stderr);
        // Conflicts are counted one by one, and logged now and then.
        assert!(count(&ended.stderr, "were not acknowledged") <= 3, "{}", ended.stderr);
    }
}

/// Checks that the only shard stands still for `fault`, and that the worker says so everywhere and stays.
async fn halted(worker: &mut Weir, fault: &str, sentences: &[&str]) {
    until("the shard to stand still", async || worker.log().contains("the shard stands still").then_some(()))
        .await;
    let reason = worker.until_readyz(503).await;
    let log = worker.log();
    assert_eq!(count(&log, "the shard stands still"), 1, "{log}");
    for sentence in sentences {
        assert!(log.contains(sentence), "{sentence:?} is not in {log}");
        assert!(reason.contains(sentence), "{sentence:?} is not in {reason}");
    }
    let (_, text) = worker.get("/metrics");
    let faults: Vec<_> =
        text.lines().filter(|line| line.starts_with("weir_fault{") && line.ends_with(" 1")).collect();
    assert_eq!(faults, [format!("weir_fault{{shard=\"main\",fault=\"{fault}\"}} 1")]);
    assert_eq!(value(&text, "weir_ready{shard=\"main\"}"), Some(0.0));
    let status: Value = serde_json::from_str(&worker.get("/status").1).unwrap();
    assert_eq!(status["shards"][0]["ready"], false);
    assert!(worker.is_running());
    assert_eq!(worker.get("/livez").0, 200);
}

#[tokio::test]
async fn missing_messages_are_a_gap() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 1).to_string()).await;
    publish(&context, place("O-1").to_string()).await;
    context.get_stream("WEIR_LOG_main").await.unwrap().purge().sequence(3).await.unwrap();
    let mut worker = Weir::worker(&server.url(), &[]).await;
    halted(
        &mut worker,
        "gap",
        &["continues at sequence 3 where 1 was due", "Restore the stream from a backup"],
    )
    .await;
    assert_eq!(streams(&server).await.outcomes_state().await.unwrap().last_sequence, 0);
    worker.stop().await;
}

#[tokio::test]
async fn a_log_that_lost_everything_is_a_gap() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    plain(&server).await.get_stream("WEIR_LOG_main").await.unwrap().purge().await.unwrap();
    let mut worker = Weir::worker(&server.url(), &[]).await;
    halted(&mut worker, "gap", &["continues at sequence 2 where 1 was due"]).await;
    worker.stop().await;
}

#[tokio::test]
async fn outcomes_of_another_log_are_not_continued() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let context = plain(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    publish(&context, receive("R-1", 1).to_string()).await;
    publish(&context, place("O-1").to_string()).await;
    audit(&server).await;
    worker.stop().await;

    context.delete_stream("WEIR_LOG_main").await.unwrap();
    Weir::setup(&server).await;
    let mut worker = Weir::worker(&server.url(), &[]).await;
    let sentences = ["announced through 3.0.0, but the log ends at sequence 1", "Restore the stream"];
    halted(&mut worker, "outcomes_ahead", &sentences).await;
    worker.stop().await;

    // The log is as long again, but is not the one that was announced.
    publish(&context, receive("R-2", 1).to_string()).await;
    publish(&context, place("O-2").to_string()).await;
    publish(&context, place("O-3").to_string()).await;
    let mut worker = Weir::worker(&server.url(), &[]).await;
    halted(&mut worker, "digest_mismatch", &["Run the binary that announced them"]).await;
    assert_eq!(appends(&streams(&server).await).await.last().unwrap().append.header.through.sequence, 3);
    worker.stop().await;
}

/// The outcome stream is what a worker can make again: from the log, and from where the stream now ends.
#[tokio::test]
async fn outcomes_that_were_lost_are_announced_again() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let context = plain(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    publish(&context, receive("R-1", 1).to_string()).await;
    publish(&context, place("O-1").to_string()).await;
    let before = audit(&server).await;
    context.delete_stream("WEIR_OUTCOMES_main").await.unwrap();
    Weir::setup(&server).await;
    publish(&context, place("O-2").to_string()).await;
    let after = audit(&server).await;
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 1);
    assert_eq!(count(&worker.log(), "recovering to announce them again"), 1);
    worker.stop().await;
}

#[tokio::test]
async fn rules_from_the_future_halt() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let mut worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 1).to_string()).await;
    publish(&context, json!({"policy": {"rules": 99, "not known today": 1}}).to_string()).await;
    let sentences = ["the policy at sequence 3 asks for rules version 99", "Run a newer binary"];
    halted(&mut worker, "unknown_rules", &sentences).await;
    // What came before is announced all the same.
    let last = streams(&server).await.last_outcomes().await.unwrap().unwrap();
    assert_eq!(last.append.header.through.sequence, 2);
    worker.stop().await;
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Rolls the store back to an earlier copy under a running worker, and adds `refill` orders that it has not seen.
async fn rolled_back(refill: usize) -> (Server, Weir) {
    let mut server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    publish(&plain(&server).await, receive("R-1", 10).to_string()).await;
    audit(&server).await;
    server.stop();
    let backup = server.folder().join("backup");
    copy(&server.store(), &backup);
    server.restart().await;
    let context = plain(&server).await;
    for order in ["O-1", "O-2"] {
        publish(&context, place(order).to_string()).await;
    }
    applied(&worker, 4).await;
    audit(&server).await;

    // The worker is held still, so that it sees the store only when all is in place.
    worker.signal("STOP");
    server.kill();
    std::fs::remove_dir_all(server.store()).unwrap();
    copy(&backup, &server.store());
    server.restart().await;
    let context = plain(&server).await;
    for order in 0..refill {
        publish(&context, place(&format!("other-{order}")).to_string()).await;
    }
    worker.signal("CONT");
    (server, worker)
}

#[tokio::test]
async fn a_log_that_was_rolled_back_halts() {
    let (server, mut worker) = rolled_back(0).await;
    let sentences =
        ["the log ends at sequence 2, but 4 was already applied", "Restore the stream from a backup"];
    halted(&mut worker, "log_behind", &sentences).await;
    worker.stop().await;
    drop(server);
}

#[tokio::test]
async fn a_log_that_was_rolled_back_and_refilled_halts() {
    let (server, mut worker) = rolled_back(5).await;
    let sentences =
        ["the message at sequence 4 is not the one that was applied", "Restore the stream from a backup"];
    halted(&mut worker, "log_rewritten", &sentences).await;
    assert_eq!(streams(&server).await.outcomes_state().await.unwrap().last_sequence, 2);
    worker.stop().await;
}

#[tokio::test]
async fn what_is_no_command_goes_to_the_dead_letters() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 10).to_string()).await;
    publish(&context, &b"\xff\x00 not even text"[..]).await;
    let bad = json!({"place": {"order_id": "O-2", "colour": "red", "lines": []}});
    publish(&context, json!([place("O-1"), bad, 7, place("O-3")]).to_string()).await;
    let outcomes = audit(&server).await;
    let shape: Vec<_> = outcomes[2..]
        .iter()
        .map(|outcome| {
            (
                outcome["outcome"].as_str().unwrap(),
                outcome["sequence"].as_u64().unwrap(),
                outcome["index"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        shape,
        [
            ("dead_lettered", 3, 0),
            ("confirmed", 4, 0),
            ("dead_lettered", 4, 1),
            ("dead_lettered", 4, 2),
            ("confirmed", 4, 3)
        ]
    );
    let letters = context.get_stream("WEIR_DEAD_LETTERS").await.unwrap();
    for (number, (sequence, index, bytes)) in (1..).zip([
        ("3", "0", b"\xff\x00 not even text".to_vec()),
        ("4", "1", bad.to_string().into_bytes()),
        ("4", "2", b"7".to_vec()),
    ]) {
        let letter = letters.get_raw_message(number).await.unwrap();
        assert_eq!(letter.subject.as_str(), "weir.dead.main");
        assert_eq!(letter.payload, bytes);
        let header = |name: &str| letter.headers.get(name).unwrap().as_str();
        assert_eq!(
            (header("Weir-Shard"), header("Weir-Sequence"), header("Weir-Index")),
            ("main", sequence, index)
        );
        assert!(!header("Weir-Reason").is_empty());
    }
    until("the outcomes to be counted", async || {
        let counted = "weir_outcomes_total{shard=\"main\",outcome=\"dead_lettered\",reason=\"\"}";
        (worker.metric(counted) >= 3.0).then_some(())
    })
    .await;
    worker.stop().await;
}

/// Runs Prometheus's own check over a text of metrics.
fn promtool(text: &str) {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.expect("\n\nTHERE IS NO promtool ON PATH: run `tests/run --install`.\n");
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[tokio::test]
async fn metrics_tell_what_happened_once() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let mut worker = Weir::ready(&server, &[]).await;
    let context = plain(&server).await;
    publish(&context, receive("R-1", 5).to_string()).await;
    for batch in 0..20 {
        let orders: Vec<_> = (0..5).map(|order| place(&format!("O-{}", batch * 5 + order))).collect();
        publish(&context, json!(orders).to_string()).await;
        // Scraping does not disturb what is counted.
        assert_eq!(worker.get("/metrics").0, 200);
    }
    publish(&context, place("O-0").to_string()).await;
    publish(&context, json!({"cancel": {"order_id": "nobody's"}}).to_string()).await;
    audit(&server).await;
    let expected = [
        ("weir_commands_total{shard=\"main\",command=\"policy\"}", 1.0),
        ("weir_commands_total{shard=\"main\",command=\"receive\"}", 1.0),
        ("weir_commands_total{shard=\"main\",command=\"place\"}", 101.0),
        ("weir_commands_total{shard=\"main\",command=\"cancel\"}", 1.0),
        ("weir_commands_total{shard=\"main\",command=\"tick\"}", 0.0),
        ("weir_outcomes_total{shard=\"main\",outcome=\"policy_applied\",reason=\"\"}", 1.0),
        ("weir_outcomes_total{shard=\"main\",outcome=\"received\",reason=\"\"}", 1.0),
        ("weir_outcomes_total{shard=\"main\",outcome=\"confirmed\",reason=\"\"}", 5.0),
        ("weir_outcomes_total{shard=\"main\",outcome=\"refused\",reason=\"insufficient_stock\"}", 95.0),
        ("weir_outcomes_total{shard=\"main\",outcome=\"refused\",reason=\"unknown_order\"}", 1.0),
        ("weir_repeats_total{shard=\"main\",outcome=\"confirmed\"}", 1.0),
        ("weir_replayed_messages_total{shard=\"main\"}", 0.0),
        ("weir_stage_duration_seconds_count{shard=\"main\",stage=\"end_to_end\"}", 104.0),
        ("weir_stage_duration_seconds_bucket{shard=\"main\",stage=\"end_to_end\",le=\"+Inf\"}", 104.0),
        ("weir_stage_duration_seconds_count{shard=\"main\",stage=\"apply\"}", 104.0),
    ];
    // The outcomes are in the stream a moment before their acknowledgement is here.
    until("the last acknowledgement", async || {
        let count = worker.metric("weir_stage_duration_seconds_count{shard=\"main\",stage=\"end_to_end\"}");
        (count >= 104.0).then_some(())
    })
    .await;
    let (_, text) = worker.get("/metrics");
    for (series, expected) in expected {
        assert_eq!(value(&text, series), Some(expected), "{series} in\n{text}");
    }
    assert!(
        value(&text, "weir_stage_duration_seconds_bucket{shard=\"main\",stage=\"end_to_end\",le=\"0.25\"}")
            .is_some()
    );
    for name in ["weir_lag_seconds", "weir_lag_messages", "weir_applied_sequence", "weir_ready", "weir_skus"]
    {
        assert!(value(&text, &format!("{name}{{shard=\"main\"}}")).is_some(), "{name}");
    }
    promtool(&text);

    worker.kill();
    let next = Weir::ready(&server, &[]).await;
    until("the replay", async || {
        (next.metric("weir_replayed_messages_total{shard=\"main\"}") >= 24.0).then_some(())
    })
    .await;
    // What others announced is known before anything new is.
    until("the announced position", async || {
        (next.metric("weir_announced_sequence{shard=\"main\"}") >= 24.0).then_some(())
    })
    .await;
    publish(&context, place("one more").to_string()).await;
    audit(&server).await;
    let refused = "weir_outcomes_total{shard=\"main\",outcome=\"refused\",reason=\"insufficient_stock\"}";
    until("one more", async || (next.metric(refused) > 0.0).then_some(())).await;
    let (_, text) = next.get("/metrics");
    let moved: Vec<_> = text
        .lines()
        .filter(|line| {
            ["weir_commands_total{", "weir_outcomes_total{", "weir_repeats_total{"]
                .iter()
                .any(|name| line.starts_with(name))
        })
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert_eq!(
        moved.iter().map(|line| line.split_once(' ').unwrap().1).collect::<Vec<_>>(),
        ["1", "1"],
        "{moved:?}"
    );
    assert_eq!(value(&text, "weir_replayed_messages_total{shard=\"main\"}"), Some(24.0));
    assert_eq!(
        value(&text, "weir_stage_duration_seconds_count{shard=\"main\",stage=\"end_to_end\"}"),
        Some(1.0)
    );
    promtool(&text);
    next.stop().await;
}
