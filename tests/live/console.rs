//! The live console and the verdict, of a worker on a real server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

use crate::nats::{PATIENCE, Server, until};
use crate::weir::{Weir, place, plain, publish, receive};

const TOKEN: &str = "a-token-of-the-tests";

/// A worker whose console listens on a free port.
struct Shown {
    worker: Weir,
    console: SocketAddr,
}

impl Shown {
    async fn start(server: &Server, arguments: &[&str]) -> Self {
        let arguments = [&["--console", "127.0.0.1:0"], arguments].concat();
        let worker = Weir::ready(server, &arguments).await;
        let console = until("the console's address", async || {
            let text = worker.log();
            let (_, rest) = text.split_once("the console listens address=")?;
            rest.split_once(char::is_whitespace)?.0.parse().ok()
        })
        .await;
        Self { worker, console }
    }

    fn connect(&self) -> TcpStream {
        let connection = TcpStream::connect(self.console).unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        connection
    }

    /// Sends a request with these headers, and gives the whole answer.
    fn ask(&self, request: &str, headers: &str, body: &str) -> Answer {
        let mut connection = self.connect();
        let length = body.len();
        write!(
            connection,
            "{request} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
        )
        .unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        Answer(String::from_utf8(answer).unwrap())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), "Host: localhost\r\n", "")
    }

    /// Waits for the verdict to be about this, and gives it.
    async fn until_judged(&self, condition: &str) -> Value {
        until(&format!("the verdict {condition}"), async || {
            let verdict = self.get("/snapshot").json()["now"]["verdict"].clone();
            (verdict["condition"] == condition).then_some(verdict)
        })
        .await
    }

    /// Opens the stream, and reads it up to its first figures.
    fn open_stream(&self) -> TcpStream {
        let mut connection = self.connect();
        write!(connection, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let (mut text, mut bytes) = (String::new(), [0; 4_096]);
        while !text.contains("event: now") {
            let count = connection.read(&mut bytes).unwrap();
            assert!(count > 0, "the stream ended: {text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        connection
    }
}

struct Answer(String);

impl Answer {
    fn status(&self) -> u16 {
        self.0.split(' ').nth(1).unwrap().parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let (head, _) = self.0.split_once("\r\n\r\n")?;
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> Value {
        serde_json::from_str(self.0.split_once("\r\n\r\n").unwrap().1).unwrap()
    }
}

async fn ready_server() -> Server {
    let server = Server::start().await;
    Weir::setup(&server).await;
    server
}

#[tokio::test]
async fn the_console_shows_what_becomes_of_orders() {
    let server = ready_server().await;
    let shown = Shown::start(&server, &["--name", "w1"]).await;
    let idle = shown.until_judged("idle").await;
    assert_eq!(idle["sentence"], "No orders in the last minutes; 1 shard led here and ready.");
    let orders = json!([receive("R-1", 1), place("O-1"), place("O-2"), {"cancel": {"order_id": "O-1"}}]);
    publish(&plain(&server).await, orders.to_string()).await;
    let whole = until("the orders to be counted", async || {
        let whole = shown.get("/snapshot").json();
        let points = whole["now"]["points"].as_array()?;
        let sum = |name: &str| -> u64 { points.iter().filter_map(|point| point[name].as_u64()).sum() };
        (sum("confirmed") == 1 && sum("refused") == 1).then_some(whole)
    })
    .await;
    assert_eq!((&whole["now"]["orders"], &whole["now"]["worker"]), (&json!(2), &json!("w1")));
    let shard = &whole["now"]["shards"][0];
    assert_eq!(
        (&shard["shard"], &shard["leader"], &shard["role"]),
        (&json!("main"), &json!("w1"), &json!("leader"))
    );
    let refusals = whole["lists"]["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_eq!(
        (&refusals[0]["id"], &refusals[0]["reason"], &refusals[0]["detail"]),
        (&json!("O-2"), &json!("insufficient_stock"), &json!("A: 1 wanted, 0 there"))
    );
    let slowest = &whole["lists"]["slowest"][0];
    assert_eq!((&slowest["order_id"], &slowest["orders"]), (&json!("O-1"), &json!(2)));
    // What nobody measures is not made up.
    let tiles = whole["now"]["tiles"].as_array().unwrap();
    let orders = tiles.iter().find(|tile| tile["id"] == "orders").unwrap();
    assert_eq!(orders["note"], "usual in this hour of the week: not measured");
    let list = shown.get("/todo.csv");
    assert!(list.status() == 200 && list.0.contains("kind,subject,due,what,reason"), "{}", list.0);

    let found = shown.get("/order?id=O-1").json();
    assert_eq!((&found["state"], &found["shard"]), (&json!("cancelled"), &json!("main")), "{found}");
    let events = found["history"]["events"].as_array().unwrap();
    let steps: Vec<_> = events.iter().filter_map(|event| event["outcome"]["outcome"].as_str()).collect();
    assert_eq!(steps, ["confirmed", "cancelled"], "{found}");
    let refused = shown.get("/order?id=O-2").json();
    assert_eq!((&refused["state"], &refused["reason"]), (&json!("refused"), &json!("insufficient_stock")));
    assert_eq!(shown.get("/order?id=O-9").status(), 404);
    for bad in [
        "/order",
        "/order?id=",
        &format!("/order?id={}", "x".repeat(65)),
        "/order?id=a%0Ab",
        "/snapshot?points=x",
    ] {
        assert_eq!(shown.get(bad).status(), 400, "{bad}");
    }

    // The same verdict elsewhere.
    let (_, status) = shown.worker.get("/status");
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["verdict"]["state"], "ok", "{status}");
    until("the gauge", async || {
        let gauge = |state: &str| shown.worker.metric(&format!("weir_verdict{{state=\"{state}\"}}"));
        (gauge("ok") > 0.5 && gauge("critical") < 0.5).then_some(())
    })
    .await;
    let said = Weir::on(&server, &["status"]).await.stdout;
    assert_eq!(
        said.lines().last().unwrap(),
        "ok: The shard is led. How fast orders are confirmed, a worker's console says."
    );
    shown.worker.stop().await;
    let said = Weir::on(&server, &["status", "--json"]).await.stdout;
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&said["verdict"]["condition"], &said["verdict"]["state"]),
        (&json!("no_leader"), &json!("critical"))
    );
}

#[tokio::test]
async fn the_console_answers_loopback_names_only_or_who_shows_the_token() {
    let server = ready_server().await;
    let shown = Shown::start(&server, &[]).await;
    let page = shown.get("/");
    assert_eq!(page.status(), 200);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for host in ["Host: weir.example.org\r\n", "Host: 10.1.2.3:9465\r\n", ""] {
        let answer = shown.ask("GET /snapshot", host, "");
        assert!([400, 421].contains(&answer.status()) && !answer.0.contains("verdict"), "{}", answer.0);
    }
    assert_eq!(shown.ask("POST /snapshot", "Host: localhost\r\n", "").status(), 405);
    let long = format!("Host: localhost\r\nX-Long: {}\r\n", "x".repeat(20_000));
    assert_eq!(shown.ask("GET /snapshot", &long, "").status(), 431);
    shown.worker.stop().await;

    let file = server.folder().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let config = server.folder().join("weir.toml");
    std::fs::write(&config, format!("[console]\ntoken_file = {:?}\n", file.display().to_string())).unwrap();
    let shown = Shown::start(&server, &["--config", config.to_str().unwrap()]).await;
    let host = "Host: weir.example.org\r\n";
    let page = shown.ask("GET /", host, "");
    assert_eq!((page.status(), page.header("location")), (303, Some("/login")));
    assert_eq!(shown.ask("GET /login", host, "").status(), 200);
    for path in ["/snapshot", "/stream", "/order?id=O-1", "/todo.csv"] {
        let answer = shown.ask(&format!("GET {path}"), host, "");
        assert_eq!(answer.status(), 401, "{path}: {}", answer.0);
    }
    let wrong = shown.ask("POST /session", host, "token=another-token-of-tests");
    assert_eq!(
        (wrong.status(), wrong.header("location"), wrong.header("set-cookie")),
        (303, Some("/login?wrong"), None)
    );
    assert_eq!(shown.ask("POST /session", host, &format!("token={}", "x".repeat(4_000))).status(), 413);
    let right = shown.ask("POST /session", host, &format!("token={TOKEN}"));
    assert_eq!((right.status(), right.header("location")), (303, Some("/")));
    let cookie = right.header("set-cookie").unwrap();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict") && !cookie.contains(TOKEN),
        "{cookie}"
    );
    let pair = cookie.split(';').next().unwrap();
    assert_eq!(shown.ask("GET /snapshot", &format!("{host}Cookie: {pair}\r\n"), "").status(), 200);
    assert_eq!(
        shown.ask("GET /snapshot", &format!("{host}Authorization: Bearer {TOKEN}\r\n"), "").status(),
        200
    );
    assert_eq!(shown.ask("GET /snapshot", &format!("{host}Authorization: Bearer x\r\n"), "").status(), 401);
    let ended = shown.worker.stop().await;
    assert!(!ended.stderr.contains(TOKEN), "{}", ended.stderr);
    // Elsewhere than on loopback it is never without a token.
    let open = Weir::command(&["check", "--console", "0.0.0.0:9465"]).await;
    assert!(open.code == Some(78) && open.stderr.contains("console.token_file"), "{open:?}");
}

/// Browsers that read nothing, and more of them than are fed.
#[tokio::test]
async fn slow_and_dead_browsers_cost_nothing_and_hold_nothing_up() {
    let server = ready_server().await;
    let shown = Shown::start(&server, &[]).await;
    let streams: Vec<_> = (0..32).map(|_| shown.open_stream()).collect();
    let refused = shown.get("/stream");
    assert_eq!((refused.status(), refused.header("retry-after")), (503, Some("10")));
    // Nobody reads them any more; orders go on, and so does the page of others.
    let context = plain(&server).await;
    for number in 0..50 {
        let orders = json!([receive(&format!("R-{number}"), 1), place(&format!("O-{number}"))]);
        publish(&context, orders.to_string()).await;
    }
    until("the orders to be counted", async || {
        (shown.get("/snapshot?points=0").json()["now"]["orders"] == 50).then_some(())
    })
    .await;
    drop(streams);
    // Their places are free again once it is noticed that they have gone.
    let open = until("a place", async || {
        let mut connection = shown.connect();
        write!(connection, "GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut bytes = [0; 12];
        connection.read_exact(&mut bytes).unwrap();
        (&bytes == b"HTTP/1.1 200").then_some(connection)
    })
    .await;
    let ended = shown.worker.stop().await;
    assert!(
        ended.stderr.contains(" drained") && !ended.stderr.contains("not drained in time"),
        "{}",
        ended.stderr
    );
    drop(open);
}

/// A full log is told, and what the verdict says to do about it works.
#[tokio::test]
async fn what_the_verdict_says_to_do_about_a_full_log_works() {
    let server = Server::start().await;
    let config = server.folder().join("weir.toml");
    std::fs::write(&config, "[streams]\nlog_bytes_max = 1048576\noutcomes_bytes_max = 1048576\n").unwrap();
    let config = config.to_str().unwrap();
    let made = Weir::on(&server, &["setup", "--config", config]).await;
    assert_eq!(made.code, Some(0), "{made:?}");
    let shown = Shown::start(&server, &["--config", config]).await;
    let context = plain(&server).await;
    // Small messages, so that it fills to the brim; large ones first.
    for size in [100_000, 10_000, 100] {
        let order = json!({"place": {"order_id": "O-1", "lines": [{"sku": "A", "quantity": 1}], "attributes": {"x": "y"}}});
        let mut payload = order.to_string();
        payload.push_str(&" ".repeat(size));
        while context.publish("weir.log.main", payload.clone().into()).await.unwrap().await.is_ok() {}
    }
    let full = shown.until_judged("log_full").await;
    assert_eq!(full["state"], "critical");
    let step = full["next_step"].as_str().unwrap();
    assert!(
        step.starts_with("Raise the limit: `nats stream edit WEIR_LOG_main --max-bytes 2097152`."),
        "{step}"
    );
    let outside = Weir::on(&server, &["status", "--json"]).await;
    let outside: Value = serde_json::from_str(&outside.stdout).unwrap();
    assert_eq!(outside["verdict"]["condition"], "log_full", "{outside}");
    // What that command of the nats tool sends.
    let mut stream = context.get_stream("WEIR_LOG_main").await.unwrap();
    let mut settings = stream.info().await.unwrap().config.clone();
    settings.max_bytes = 2_097_152;
    context.update_stream(settings).await.unwrap();
    until("the log to be no longer full", async || {
        let verdict = shown.get("/snapshot").json()["now"]["verdict"].clone();
        (verdict["condition"] != "log_full").then_some(())
    })
    .await;
    publish(&context, place("O-2").to_string()).await;
    shown.worker.stop().await;
}
