//! Queries and notifications over a real server, by a client that knows nothing of Weir; and the command line over them.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use async_nats::{Client, HeaderMap};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::nats::{PATIENCE, Server, soon, until};
use crate::weir::{Weir, place, plain, publish, receive};

/// A server with streams, a worker that is ready, and a client.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) worker: Weir,
    client: Client,
}

impl Shop {
    /// With a configuration file that says this.
    pub(crate) async fn open(config: &str, arguments: &[&str]) -> Self {
        let server = Server::start().await;
        let file = server.folder().join("weir.toml");
        std::fs::write(&file, config).unwrap();
        let file = file.to_str().unwrap();
        let ended = Weir::on(&server, &["setup", "--config", file]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let worker = Weir::ready(&server, &[&["--config", file], arguments].concat()).await;
        let client = async_nats::connect(server.url()).await.unwrap();
        Self { server, worker, client }
    }

    /// Publishes a command to a shard's log and gives its sequence.
    pub(crate) async fn send_to(&self, shard: &str, command: &Value) -> u64 {
        let context = async_nats::jetstream::new(self.client.clone());
        let ack = context.publish(format!("weir.log.{shard}"), command.to_string().into()).await.unwrap();
        soon("the log's acknowledgement", async { ack.await }).await.unwrap().sequence
    }

    pub(crate) async fn send(&self, command: Value) -> u64 {
        self.send_to("main", &command).await
    }

    /// Asks, and gives what was answered and the error's header.
    async fn ask(&self, subject: &str, question: &Value) -> (Value, Option<(String, String)>) {
        ask(&self.client, subject, question).await
    }

    /// Asks what must be answered.
    pub(crate) async fn answer(&self, subject: &str, question: &Value) -> Value {
        let (answer, error) = self.ask(subject, question).await;
        assert_eq!(error, None, "{subject} {question}");
        answer
    }

    /// Asks what must be refused, and gives the number and the code.
    async fn refusal(&self, subject: &str, question: &Value) -> (String, String) {
        let (_, error) = self.ask(subject, question).await;
        let (number, text) = error.unwrap();
        (number, text.split(": ").next().unwrap().to_owned())
    }
}

async fn ask(client: &Client, subject: &str, question: &Value) -> (Value, Option<(String, String)>) {
    // A worker that has just come, or has just got a shard, may not have told the server yet what it answers.
    until(&format!("an answer of {subject}"), async || {
        let answer = client.request(subject.to_owned(), question.to_string().into()).await.ok()?;
        let header =
            |headers: &HeaderMap, name: &str| headers.get(name).map(|value| value.as_str().to_owned());
        let error = answer.headers.as_ref().and_then(|headers| {
            Some((header(headers, "Nats-Service-Error-Code")?, header(headers, "Nats-Service-Error")?))
        });
        let is_there = error.as_ref().is_none_or(|(_, text)| !text.starts_with("unavailable"));
        is_there.then(|| (serde_json::from_slice(&answer.payload).unwrap_or_default(), error))
    })
    .await
}

#[tokio::test]
async fn an_order_is_told_with_what_it_promised_and_what_became_of_it() {
    let shop = Shop::open("", &[]).await;
    shop.send(receive("R-1", 10)).await;
    let mut order = place("O-1");
    order["place"]["promised_by"] = json!("2027-01-05T00:00:00.000Z");
    order["place"]["ship_by"] = json!("2027-01-03T00:00:00.000Z");
    order["place"]["value"] = json!({"minor": 500, "currency": "EUR"});
    let placed = shop.send(order).await;

    // One's own write is read, though nobody has waited for it.
    let answer = shop.answer("weir.query.order", &json!({"order_id": "O-1", "at_least": placed})).await;
    assert_eq!(answer["state"], "confirmed", "{answer}");
    assert_eq!(answer["first_sequence"], placed);
    assert!(answer["sequence"].as_u64().unwrap() >= placed);
    assert_eq!(answer["placed"]["promised_by"], "2027-01-05T00:00:00.000Z");
    assert_eq!(answer["next"], json!({"step": "shipment", "by": "2027-01-03T00:00:00.000Z"}));
    assert_eq!(answer["lines"], json!([{"sku": "A", "site": "main", "quantity": 1, "reserved": 1}]));
    assert_eq!(answer["value"], json!({"minor": 500, "currency": "EUR"}));

    shop.send(json!({"amend": {"order_id": "O-1", "amendment_id": "M-1", "lines": [{"sku": "A", "quantity": 2}],
                               "value": {"minor": 900, "currency": "EUR"}, "promised_by": "2027-01-09T00:00:00Z"}}))
        .await;
    shop.send(json!({"pay": {"order_id": "O-1", "attempt_id": "P-1"}})).await;
    shop.send(json!({"place": {"order_id": "O-2", "lines": [{"sku": "A", "quantity": 1}]}})).await;
    let shipped = shop.send(json!({"ship": {"order_id": "O-1", "carrier": "dhl"}})).await;
    let question = json!({"order_id": "O-1", "at_least": shipped, "history": true});
    let history = until("the history to reach the shipment", async || {
        let answer = shop.answer("weir.query.main.order", &question).await;
        assert_eq!(answer["state"], "shipped", "{answer}");
        assert_eq!(answer["next"], json!({"step": "delivery", "by": "2027-01-09T00:00:00.000Z"}));
        let history = answer["history"].clone();
        (history["events"].as_array()?.len() == 4).then_some(history)
    })
    .await;
    let events = history["events"].as_array().unwrap();
    let told: Vec<_> = events.iter().map(|event| event["outcome"]["outcome"].as_str().unwrap()).collect();
    assert_eq!(told, ["confirmed", "amended", "paid", "shipped"]);
    assert_eq!(events[3]["command"]["ship"]["carrier"], "dhl", "{history}");
    assert_eq!(history["from_the_start"], true);
    assert!(history["kept_since"].is_string() && history["cursor"].is_null(), "{history}");
    // From behind what was read there is nothing more.
    let rest = json!({"order_id": "O-1", "history": true, "history_from": 1_000_000});
    let rest = shop.answer("weir.query.order", &rest).await;
    assert_eq!(rest["history"]["events"], json!([]));
    shop.worker.stop().await;
}

#[tokio::test]
async fn lists_are_paged_and_stock_is_told() {
    let shop = Shop::open("", &[]).await;
    shop.send(receive("R-1", 10)).await;
    let waiting: Vec<Value> = (0..230)
        .map(|number| {
            json!({"place": {"order_id": format!("W-{number}"), "on_shortage": "backorder",
                             "lines": [{"sku": "A", "quantity": 50}]}})
        })
        .collect();
    let last = shop.send(json!(waiting)).await;
    let (mut found, mut pages, mut cursor) = (BTreeSet::new(), 0, Value::Null);
    loop {
        let mut question = json!({"state": "waiting", "limit": 100, "at_least": last});
        if !cursor.is_null() {
            question["cursor"] = cursor;
        }
        let page = shop.answer("weir.query.orders", &question).await;
        assert!(page["sequence"].as_u64().unwrap() >= last);
        for row in page["orders"].as_array().unwrap() {
            assert!(found.insert(row["order_id"].as_str().unwrap().to_owned()), "{row} comes twice");
            assert_eq!(row["waits_for"], json!({"sku": "A", "site": "main"}));
        }
        pages += 1;
        cursor = page["cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    assert_eq!((found.len(), pages), (230, 3));

    let stock = shop.answer("weir.query.stock", &json!({"sku": "A"})).await;
    assert_eq!(
        (&stock["on_hand"], &stock["waiting"], &stock["site"]),
        (&json!(10), &json!(11_500), &json!("main"))
    );
    let low = shop.answer("weir.query.stocks", &json!({"below": 11})).await;
    assert_eq!(low["stock"].as_array().unwrap().len(), 1);
    let low = shop.answer("weir.query.stocks", &json!({"below": -1_000_000})).await;
    assert_eq!(low["stock"], json!([]));
    shop.worker.stop().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_by_headers() {
    let shop = Shop::open("", &[]).await;
    let refused = |number: &str, code: &str| (number.to_owned(), code.to_owned());
    let order = "weir.query.order";
    for (subject, question, expected) in [
        (order, json!({"order_id": "none"}), refused("404", "unknown_order")),
        (order, json!({"order": "none"}), refused("400", "invalid_question")),
        (order, json!([1]), refused("400", "invalid_question")),
        (order, json!({"order_id": "none", "shard": "other"}), refused("404", "unknown_shard")),
        (order, json!({"order_id": "a", "at_least": 1_000_000, "wait_ms": 0}), refused("503", "behind")),
        ("weir.query.stock", json!({"sku": "none"}), refused("404", "unknown_sku")),
        ("weir.query.stock", json!({"sku": "A", "site": "none"}), refused("404", "unknown_site")),
        ("weir.query.orders", json!({"limit": 501}), refused("400", "invalid_question")),
    ] {
        assert_eq!(shop.refusal(subject, &question).await, expected, "{question}");
    }
    shop.worker.stop().await;
}

#[tokio::test]
async fn the_service_is_found_by_its_protocol_and_counts() {
    let shop = Shop::open("", &[]).await;
    shop.refusal("weir.query.main.order", &json!({"order_id": "none"})).await;
    let mut replies = shop.client.subscribe("found").await.unwrap();
    shop.client.publish_with_reply("$SRV.STATS.weir-query", "found", "".into()).await.unwrap();
    // One for any shard, one for the shard that this worker has.
    let mut seen = BTreeSet::new();
    let mut errors = 0;
    while seen.len() < 8 {
        let reply = soon("the statistics", replies.next()).await.unwrap();
        let stats: Value = serde_json::from_slice(&reply.payload).unwrap();
        assert_eq!(stats["name"], "weir-query", "{stats}");
        for endpoint in stats["endpoints"].as_array().unwrap() {
            seen.insert(endpoint["subject"].as_str().unwrap().to_owned());
            errors += endpoint["num_errors"].as_u64().unwrap();
        }
    }
    let subjects: BTreeSet<String> = ["order", "orders", "stock", "stocks"]
        .iter()
        .flat_map(|query| [format!("weir.query.{query}"), format!("weir.query.main.{query}")])
        .collect();
    assert_eq!(seen, subjects);
    assert_eq!(errors, 1);
    shop.worker.stop().await;
}

/// Publishes a question whose header breaks the client's parser, by hand.
fn poison(server: &Server, subject: &str) {
    let mut connection = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let header = b"NATS/1.0\r\nX: a\rb\r\n\r\n";
    let head = header.len();
    connection.write_all(b"CONNECT {\"verbose\":false,\"headers\":true}\r\n").unwrap();
    connection.write_all(format!("HPUB {subject} reply {head} {}\r\n", head + 2).as_bytes()).unwrap();
    connection.write_all(&[&header[..], b"{}\r\nPING\r\n"].concat()).unwrap();
    // What was sent before it has been passed on by then.
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    while !read.windows(4).any(|word| word == b"PONG") {
        let length = connection.read(&mut buffer).unwrap();
        assert!(length > 0, "the server has closed the connection");
        read.extend_from_slice(&buffer[..length]);
    }
}

#[tokio::test]
async fn a_question_that_kills_the_client_holds_up_neither_orders_nor_the_next_questions_for_long() {
    let shop = Shop::open("", &[]).await;
    shop.send(receive("R-1", 10)).await;
    shop.answer("weir.query.main.stock", &json!({"sku": "A", "at_least": 2})).await;
    for (deaths, subject) in (1..).zip(["weir.query.order", "weir.query.main.order"]) {
        poison(&shop.server, subject);
        let placed = shop.send(place(&format!("behind {subject}"))).await;
        let answer = until("an answer behind the poison", async || {
            let question = json!({"order_id": format!("behind {subject}"), "at_least": placed});
            let asked = shop.client.request("weir.query.main.order", question.to_string().into());
            let answer = tokio::time::timeout(Duration::from_secs(1), asked).await.ok()?.ok()?;
            serde_json::from_slice::<Value>(&answer.payload).ok()
        });
        assert_eq!(answer.await["state"], "confirmed");
        until("the client's death", async || {
            let found = shop.worker.log().matches("the NATS client has died").count();
            (found >= deaths).then_some(())
        })
        .await;
    }
    shop.worker.stop().await;
}

const TWO: &str = "[[shards]]\nname = \"north\"\nsites = [\"oslo\"]\n[[shards]]\nname = \"south\"\nsites = [\"rome\"]\n\
                   [worker]\nstandbys = 0\n[streams]\nlog_bytes_max = 67108864\noutcomes_bytes_max = 67108864\n";

#[tokio::test]
async fn questions_find_their_shard_by_site_by_name_or_by_asking_all() {
    let shop = Shop::open(TWO, &["--name", "one"]).await;
    let file = shop.server.folder().join("weir.toml");
    // With a second worker each has one shard, and neither has the other's state.
    let other = Weir::ready(&shop.server, &["--config", file.to_str().unwrap(), "--name", "two"]).await;
    until("each worker to lead one shard", async || {
        let leads = |worker: &Weir| {
            let (_, status) = worker.get("/status");
            let status: Value = serde_json::from_str(&status).unwrap();
            status["shards"].as_array().unwrap().iter().filter(|shard| shard["role"] == "leader").count()
        };
        (leads(&shop.worker) == 1 && leads(&other) == 1).then_some(())
    })
    .await;
    for (shard, site) in [("north", "oslo"), ("south", "rome")] {
        let stock =
            json!({"receive": {"receipt_id": "R-1", "site": site, "lines": [{"sku": "A", "quantity": 5}]}});
        shop.send_to(shard, &stock).await;
        let order = json!({"place": {"order_id": format!("O-{site}"), "site": site,
                                     "lines": [{"sku": "A", "quantity": 1}]}});
        let placed = shop.send_to(shard, &order).await;
        // Any of the two workers may be asked, so ask both.
        for _ in 0..8 {
            let id = format!("O-{site}");
            for question in [
                json!({"order_id": id, "site": site, "at_least": placed}),
                json!({"order_id": id, "shard": shard, "at_least": placed}),
                json!({"order_id": id}),
            ] {
                let answer = shop.answer("weir.query.order", &question).await;
                assert_eq!(
                    (&answer["shard"], &answer["state"]),
                    (&json!(shard), &json!("confirmed")),
                    "{answer}"
                );
            }
        }
        let stock = shop.answer("weir.query.stock", &json!({"site": site, "sku": "A"})).await;
        assert_eq!(stock["reserved"], 1);
    }
    assert_eq!(shop.refusal("weir.query.order", &json!({"order_id": "none"})).await.1, "unknown_order");
    assert_eq!(shop.refusal("weir.query.orders", &json!({})).await.1, "unknown_shard");

    let config = file.to_str().unwrap();
    let listed = Weir::on(&shop.server, &["orders", "--config", config, "--json"]).await;
    assert_eq!((listed.code, listed.stdout.lines().count()), (Some(0), 2), "{listed:?}");
    shop.worker.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn the_command_line_shows_orders_and_stock() {
    let shop = Shop::open("", &[]).await;
    shop.send(receive("R-1", 3)).await;
    for number in 1..=3 {
        shop.send(place(&format!("O-{number}"))).await;
    }
    let last = shop.send(json!({"cancel": {"order_id": "O-1", "reason": "changed, mind"}})).await.to_string();
    let run = async |arguments: &[&str]| Weir::on(&shop.server, arguments).await;

    let listed = run(&["orders", "--at-least", &last]).await;
    assert_eq!(listed.code, Some(0), "{listed:?}");
    assert!(listed.stdout.starts_with("ORDER ID  STATE"), "{}", listed.stdout);
    assert_eq!(listed.stdout.lines().count(), 3, "{}", listed.stdout);
    let csv = run(&["orders", "--state", "all", "--csv"]).await;
    let rows: Vec<_> = csv.stdout.lines().collect();
    assert!(rows[0].starts_with("order_id,state,site,since"), "{rows:?}");
    assert_eq!(rows.len(), 4);
    let first = run(&["orders", "--limit", "1", "--json"]).await;
    assert_eq!(first.stdout.lines().count(), 1);
    assert!(first.stderr.contains("--limit"), "{first:?}");

    let history = until("the cancellation to be announced", async || {
        let one = run(&["orders", "O-1", "--history"]).await;
        assert_eq!(one.code, Some(0), "{one:?}");
        one.stdout.contains("cancelled (changed, mind)").then_some(one.stdout)
    })
    .await;
    assert!(history.contains("confirmed") && history.contains("as of"), "{history}");
    let one = run(&["orders", "O-2", "--json"]).await;
    let one: Value = serde_json::from_str(&one.stdout).unwrap();
    assert_eq!((&one["state"], &one["lines"][0]["sku"]), (&json!("confirmed"), &json!("A")));
    let unknown = run(&["orders", "none"]).await;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("unknown_order"), "{unknown:?}");

    let stock = run(&["stock", "list", "--csv"]).await;
    assert_eq!(
        stock.stdout,
        "site,sku,on_hand,reserved,available,free,safety_stock,allowance,waiting\nmain,A,3,2,1,1,0,0,0\n"
    );
    let stock = run(&["stock", "list", "A", "--json"]).await;
    assert!(stock.stdout.contains("\"free\":1"), "{stock:?}");
    let stock = run(&["stock", "list", "--below", "1", "--json"]).await;
    assert_eq!((stock.code, stock.stdout.as_str()), (Some(0), ""));
    assert_eq!(run(&["stock", "list", "B"]).await.code, Some(1));

    shop.worker.stop().await;
    let nobody = Weir::on(&shop.server, &["orders"]).await;
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("no worker has the shard's state now"), "{nobody:?}");
}

#[tokio::test]
async fn outcomes_that_answer_nobody_are_told_by_default_and_others_where_it_is_said() {
    for (config, expected) in [
        ("", vec!["weir.notify.main.confirmed", "weir.notify.main.shortfall"]),
        ("[notify]\noutcomes = [\"waiting\"]\n", vec!["weir.notify.main.waiting"]),
    ] {
        let shop = Shop::open(config, &[]).await;
        let mut told = shop.client.subscribe("weir.notify.>").await.unwrap();
        shop.client.flush().await.unwrap();
        shop.send(receive("R-1", 1)).await;
        shop.send(place("O-1")).await;
        shop.send(json!({"place": {"order_id": "O-2", "on_shortage": "backorder",
                                   "lines": [{"sku": "A", "quantity": 2}]}}))
            .await;
        // Releases O-2; then O-2 loses what it has, and O-1 with it.
        shop.send(receive("R-2", 5)).await;
        shop.send(json!({"count": {"count_id": "C-1", "lines": [{"sku": "A", "quantity": 2}]}})).await;
        for expected in expected {
            let message = soon("a notification", told.next()).await.unwrap();
            assert_eq!(message.subject.as_str(), expected);
            let outcome: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!(outcome["order_id"], "O-2", "{outcome}");
            assert_eq!(outcome["outcome"].as_str(), expected.rsplit('.').next());
            assert!(outcome["sequence"].is_u64());
        }
        let context = plain(&shop.server).await;
        // What comes next is what was sent next: nothing else was told in between.
        let next = publish(
            &context,
            json!({"place": {"order_id": "O-3", "on_shortage": "backorder",
            "lines": [{"sku": "A", "quantity": 9}]}})
            .to_string(),
        )
        .await;
        if config.is_empty() {
            publish(&context, receive("R-3", 50).to_string()).await;
            let mut orders = BTreeSet::new();
            while orders.len() < 2 {
                let message = soon("a notification", told.next()).await.unwrap();
                let outcome: Value = serde_json::from_slice(&message.payload).unwrap();
                assert!(outcome["sequence"].as_u64().unwrap() > next, "{outcome}");
                orders.insert(outcome["order_id"].as_str().unwrap().to_owned());
            }
        } else {
            let message = soon("a notification", told.next()).await.unwrap();
            let outcome: Value = serde_json::from_slice(&message.payload).unwrap();
            assert_eq!((&outcome["order_id"], &outcome["sequence"]), (&json!("O-3"), &json!(next)));
        }
        shop.worker.stop().await;
    }
}
