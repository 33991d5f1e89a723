//! The HTTP API: hostile requests and a good one beside them, commands at the seam of the door, and the whole binary.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use weir::edges::questions::Asking;
use weir::motion::door::{Answer, Submission, Submits};
use weir::process::http::{Api, BODY_BYTES_MAX, Limits, Token, serve};
use weir::process::queries::Answers;
use weir::words::codec::Format;
use weir::words::codes::Family;
use weir::words::query::{QueryCode, QueryError, Question};
use weir::words::reply::ReplyKind;

use crate::nats::{soon, until};
use crate::queries::Shop;
use crate::weir::{Weir, place, receive};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// How long a request may take here: what is too slow is seen soon, what is good never takes so long.
const REQUEST: Duration = Duration::from_secs(3);

/// Answers each question with itself, but one that nobody answers.
struct Echo;

impl Answers for Echo {
    fn answer(&self, question: Question) -> Asking<'_> {
        Box::pin(async move {
            match &question {
                Question::Order(order) if order.order_id == "busy" => {
                    Err(QueryError::new(QueryCode::Busy, "too many"))
                }
                Question::Order(order) if order.order_id == "none" => {
                    Err(QueryError::new(QueryCode::UnknownOrder, "none"))
                }
                _ => Ok(question.to_json().into()),
            }
        })
    }
}

/// A door that answers what it was told to, and keeps what it was given.
#[derive(Default)]
struct Door {
    answer: Mutex<Option<Answer>>,
    taken: Mutex<Vec<(Family, Bytes)>>,
}

impl Submits for Door {
    fn submit(&self, submission: Submission) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        let Submission { family, payload, .. } = submission;
        self.taken.lock().unwrap().push((family, payload));
        let confirmed = told(ReplyKind::Decided, &json!({"outcome": "confirmed"}), None);
        let answer = self.answer.lock().unwrap().clone().unwrap_or(confirmed);
        Box::pin(async move { answer })
    }
}

fn told(kind: ReplyKind, reply: &Value, retry_after_ms: Option<u32>) -> Answer {
    Answer { format: Format::Json, payload: reply.to_string().into(), kind, retry_after_ms }
}

/// The API with fakes behind it.
struct Served {
    address: SocketAddr,
    door: Arc<Door>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn start(token: Option<&str>, connections: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (door, stop) = (Arc::new(Door::default()), CancellationToken::new());
        let api = Api {
            answers: Arc::new(Echo),
            submit: Some(door.clone()),
            families: vec![Family::Orders, Family::Stock],
            token: token.map(|token| Token::new(token).unwrap()),
            limits: Limits { request: REQUEST, connections },
        };
        let running = tokio::spawn(serve(listener, api, stop.clone()));
        Self { address, door, stop, running }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes on a connection of their own, and gives all that comes until it is closed.
    async fn raw(&self, bytes: &[u8]) -> String {
        let mut connection = self.connect().await;
        // Whoever has had enough may close before all is written.
        let _ = connection.write_all(bytes).await;
        read_all(connection).await
    }

    async fn get(&self, path: &str) -> Answered {
        answered(
            &self
                .raw(
                    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
                )
                .await,
        )
    }

    async fn post(&self, path: &str, headers: &str, body: &[u8]) -> Answered {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        answered(&self.raw(&[head.as_bytes(), body].concat()).await)
    }

    async fn stop(self) {
        self.stop.cancel();
        soon("the end of the API", self.running).await.unwrap();
    }
}

async fn read_all(mut connection: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset behind the answer takes nothing from it.
    let _ = soon("the end of the connection", connection.read_to_end(&mut answer)).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[derive(Debug)]
pub(crate) struct Answered {
    status: u16,
    head: String,
    pub(crate) body: Value,
}

impl Answered {
    fn code(&self) -> (u16, &str) {
        (self.status, self.body["code"].as_str().unwrap_or_default())
    }
}

fn answered(text: &str) -> Answered {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answered { status, head: head.to_ascii_lowercase(), body: serde_json::from_str(body).unwrap_or_default() }
}

const JSON: &str = "Content-Type: application/json\r\n";

fn order() -> Vec<u8> {
    place("O-1").to_string().into_bytes()
}

#[tokio::test]
async fn paths_become_questions() {
    let served = Served::start(None, 64).await;
    for (path, expected) in [
        ("/v1/orders/O-1", json!({"order_id": "O-1"})),
        (
            "/v1/orders/a%2Fb?history=true&at_least=7",
            json!({"order_id": "a/b", "history": true, "at_least": 7}),
        ),
        ("/v1/orders", json!({"state": "all"})),
        (
            "/v1/orders?state=unpaid&site=main&older_than_ms=60000&limit=5&cursor=9",
            json!({"state": "unpaid", "site": "main", "older_than_ms": 60_000, "limit": 5, "cursor": 9}),
        ),
        ("/v1/stock/main/A%20B", json!({"site": "main", "sku": "A B"})),
        ("/v1/stock?below=-3&shard=s1&wait_ms=0", json!({"below": -3, "shard": "s1", "wait_ms": 0})),
    ] {
        let answer = served.get(path).await;
        assert_eq!((answer.status, &answer.body), (200, &expected), "{path}");
        assert!(answer.head.contains("cache-control: no-store"), "{}", answer.head);
    }
    for (path, expected) in [
        ("/v1/orders/none", (404, "unknown_order")),
        ("/v1/orders/%ff", (400, "invalid_question")),
        ("/v1/orders?limit=0", (400, "invalid_question")),
        ("/v1/orders?limit=5&limit=6", (400, "invalid_question")),
        ("/v1/orders?limit=five", (400, "invalid_question")),
        ("/v1/orders?size=5", (400, "invalid_question")),
        ("/v1/orders/O-1?order_id=O-2", (400, "invalid_question")),
        ("/v2/orders", (404, "not_found")),
        ("/metrics", (404, "not_found")),
        ("/v1/payments", (405, "method_not_allowed")),
    ] {
        let answer = served.get(path).await;
        assert_eq!(answer.code(), expected, "{path}: {answer:?}");
        assert!(answer.head.contains("content-type: application/problem+json"), "{}", answer.head);
        assert_eq!(answer.body["status"], expected.0);
    }
    let busy = served.get("/v1/orders/busy").await;
    assert_eq!(busy.code(), (429, "busy"));
    assert!(busy.head.contains("retry-after: 1"), "{}", busy.head);
    served.stop().await;
}

#[tokio::test]
async fn without_the_token_there_is_nothing() {
    let served = Served::start(Some(TOKEN), 64).await;
    let get = async |headers: &str| {
        let request =
            format!("GET /v1/orders HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{headers}\r\n");
        answered(&served.raw(request.as_bytes()).await)
    };
    assert_eq!(get(&format!("Authorization: Bearer {TOKEN}\r\n")).await.status, 200);
    for headers in [
        String::new(),
        "Authorization: Bearer\r\n".to_owned(),
        format!("Authorization: Bearer {}\r\n", &TOKEN[1..]),
        format!("Authorization: Bearer {TOKEN}x\r\n"),
        format!("Authorization: Basic {TOKEN}\r\n"),
        format!("Authorization: Bearer {TOKEN}\r\nAuthorization: Bearer {TOKEN}\r\n"),
        format!("X-Authorization: Bearer {TOKEN}\r\n"),
    ] {
        let refused = get(&headers).await;
        assert_eq!(refused.code(), (401, "unauthorized"), "{headers:?}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
    }
    let posted = served.post("/v1/orders", JSON, &order()).await;
    assert_eq!(posted.code(), (401, "unauthorized"));
    assert!(served.door.taken.lock().unwrap().is_empty());
    served.stop().await;

    let open = Served::start(None, 64).await;
    let strange = "GET /v1/orders HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    assert_eq!(answered(&open.raw(strange.as_bytes()).await).code(), (421, "wrong_host"));
    open.stop().await;
}

#[tokio::test]
async fn commands_go_to_the_door_and_its_answers_come_back() {
    let served = Served::start(None, 64).await;
    let posted = served.post("/v1/orders", JSON, &order()).await;
    assert_eq!((posted.status, &posted.body), (200, &json!({"outcome": "confirmed"})));
    assert_eq!(*served.door.taken.lock().unwrap(), [(Family::Orders, Bytes::from(order()))]);

    let refused = json!({"outcome": "refused", "reason": "insufficient_stock"});
    let busy = json!({"outcome": "refused", "reason": "busy"});
    let reply = json!({"outcome": "said"});
    for (answer, expected, retry) in [
        (told(ReplyKind::Decided, &refused, None), (200, ""), None),
        (told(ReplyKind::Decided, &busy, None), (429, "busy"), Some("retry-after: 1")),
        (told(ReplyKind::Busy, &reply, Some(2_500)), (429, "busy"), Some("retry-after: 3")),
        (told(ReplyKind::Unavailable, &reply, Some(100)), (503, "unavailable"), Some("retry-after: 1")),
        (told(ReplyKind::Unknown, &reply, None), (503, "unknown"), Some("retry-after: 1")),
        (told(ReplyKind::Accepted, &reply, None), (202, ""), None),
        (told(ReplyKind::Refused, &reply, None), (400, "not_taken"), None),
        (told(ReplyKind::Busy, &json!([refused, busy]), Some(100)), (200, ""), None),
    ] {
        *served.door.answer.lock().unwrap() = Some(answer);
        let posted = served.post("/v1/orders", JSON, &order()).await;
        assert_eq!(posted.code(), expected, "{posted:?}");
        assert!(retry.is_none_or(|retry| posted.head.contains(retry)), "{}", posted.head);
    }
    *served.door.answer.lock().unwrap() = None;

    // The key is the id, or there is none.
    let agreeing = served.post("/v1/orders", &format!("{JSON}Idempotency-Key: O-1\r\n"), &order()).await;
    assert_eq!(agreeing.status, 200);
    let before = served.door.taken.lock().unwrap().len();
    let other = served.post("/v1/orders", &format!("{JSON}Idempotency-Key: O-2\r\n"), &order()).await;
    assert_eq!(other.code(), (422, "idempotency_key_mismatch"));
    // A family that is off.
    assert_eq!(served.post("/v1/payments", JSON, b"{}").await.code(), (405, "commands_off"));
    assert_eq!(served.door.taken.lock().unwrap().len(), before);
    served.stop().await;
}

/// A good request, beside all that is open.
async fn good(served: &Served) {
    let posted = served.post("/v1/orders", JSON, &order()).await;
    assert_eq!(posted.status, 200, "{posted:?}");
}

#[tokio::test]
async fn hostile_requests_get_their_stated_answers() {
    let served = Served::start(None, 64).await;
    let body = order();
    let text = String::from_utf8(body.clone()).unwrap();
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked_utf16 = [&[0xff, 0xfe][..], &utf16].concat();
    let gzip = {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut gzip, &body).unwrap();
        gzip.finish().unwrap()
    };
    for (name, headers, body, expected) in [
        ("a BOM", JSON.to_owned(), [b"\xef\xbb\xbf", &body[..]].concat(), (400, "malformed_payload")),
        ("UTF-16", JSON.to_owned(), utf16, (400, "malformed_payload")),
        ("UTF-16 with its mark", JSON.to_owned(), marked_utf16, (400, "malformed_payload")),
        ("gzip", JSON.to_owned(), gzip.clone(), (400, "malformed_payload")),
        ("gzip, said", format!("{JSON}Content-Encoding: gzip\r\n"), gzip, (415, "unsupported_media_type")),
        ("no body", JSON.to_owned(), Vec::new(), (400, "empty_payload")),
        ("no type", String::new(), body.clone(), (415, "unsupported_media_type")),
        ("a form", "Content-Type: text/plain\r\n".to_owned(), body.clone(), (415, "unsupported_media_type")),
        ("2 MiB", JSON.to_owned(), vec![b' '; 2 << 20], (413, "payload_too_large")),
        ("one byte too many", JSON.to_owned(), vec![b' '; BODY_BYTES_MAX + 1], (413, "payload_too_large")),
    ] {
        let answer = served.post("/v1/orders", &headers, &body).await;
        assert_eq!(answer.code(), expected, "{name}: {answer:?}");
        good(&served).await;
    }
    // The largest body that is taken.
    let mut largest = body.clone();
    largest.resize(BODY_BYTES_MAX, b' ');
    assert_eq!(served.post("/v1/orders", JSON, &largest).await.status, 200);

    let head = format!("POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{JSON}");
    let length = body.len();
    let chunked = format!("{length:x}\r\n{text}\r\n0\r\n\r\n");
    let endless = format!("{:x}\r\n{}\r\n", BODY_BYTES_MAX + 1, " ".repeat(BODY_BYTES_MAX + 1));
    for (name, request, expected) in [
        (
            "twice the same length",
            format!("{head}Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{text}"),
            200,
        ),
        ("two lengths", format!("{head}Content-Length: {length}\r\nContent-Length: 2\r\n\r\n{text}"), 400),
        ("two lengths in one", format!("{head}Content-Length: {length}, 2\r\n\r\n{text}"), 400),
        ("a length below 0", format!("{head}Content-Length: -1\r\n\r\n{text}"), 400),
        // RFC 9112, section 6.3: the chunks count, and the connection ends.
        (
            "chunks and a length",
            format!("{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n{chunked}"),
            200,
        ),
        ("chunks that are none", format!("{head}Transfer-Encoding: chunked\r\n\r\nxyz\r\n"), 400),
        ("too much in chunks", format!("{head}Transfer-Encoding: chunked\r\n\r\n{endless}0\r\n\r\n"), 413),
        ("an unknown coding", format!("{head}Transfer-Encoding: gzip\r\n\r\n{text}"), 400),
        ("100 kB of headers", format!("{head}X-Long: {}\r\n\r\n", "x".repeat(100_000)), 431),
        ("200 headers", format!("{head}{}\r\n", "X-Many: x\r\n".repeat(200)), 431),
        ("a lone CR", format!("{head}X: a\rb\r\n\r\n"), 400),
        ("a blank in a name", format!("{head}X y: a\r\n\r\n"), 400),
        ("no HTTP", "hello\r\n\r\n".to_owned(), 400),
        ("half a body, then silence", format!("{head}Content-Length: {length}\r\n\r\n{}", &text[..9]), 408),
    ] {
        let answer = answered(&served.raw(request.as_bytes()).await);
        assert_eq!(answer.status, expected, "{name}: {answer:?}");
        good(&served).await;
    }
    served.stop().await;
}

#[tokio::test]
async fn the_slow_are_let_go_and_nobody_waits_for_them() {
    let served = Served::start(None, 64).await;
    // Half-open: nothing, half a head, a byte now and then, and one that stays idle behind a good request.
    let silent = served.connect().await;
    let mut half = served.connect().await;
    half.write_all(b"GET /v1/orders HTTP/1.1\r\nHost: local").await.unwrap();
    let mut idle = served.connect().await;
    idle.write_all(b"GET /v1/orders HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let dripping = served.connect().await;
    let (read, mut write) = dripping.into_split();
    let head = format!("POST /v1/orders HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 1000\r\n\r\n");
    let drip = tokio::spawn(async move {
        write.write_all(head.as_bytes()).await.unwrap();
        // Until nobody listens any more.
        while write.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    good(&served).await;
    // That was answered before the time of the slow ones was over.
    let open = silent.try_read(&mut [0]).unwrap_err();
    assert_eq!(open.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(read_all(silent).await, "");
    assert_eq!(read_all(half).await, "");
    let idle = read_all(idle).await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    let mut answer = Vec::new();
    let mut read = read;
    let _ = soon("the end of what drips", read.read_to_end(&mut answer)).await;
    assert_eq!(answered(&String::from_utf8_lossy(&answer)).code(), (408, "request_timeout"));
    drop(read);
    soon("the end of the drip", drip).await.unwrap();
    good(&served).await;
    served.stop().await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let served = Served::start(None, 2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = served.connect().await;
        connection.write_all(b"GET /v1/orders HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut byte = [0];
        soon("an answer", connection.read_exact(&mut byte)).await.unwrap();
        held.push(connection);
    }
    let answer = read_all(served.connect().await).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer:?}");
    // They idle too long, and make room.
    let status = until("room for another", async || {
        let text =
            served.raw(b"GET /v1/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        text.starts_with("HTTP/1.1 200").then_some(())
    });
    status.await;
    served.stop().await;
}

#[tokio::test]
async fn the_same_post_twice_at_once_one_of_them_empty() {
    let served = Served::start(None, 64).await;
    let body = order();
    let (full, empty) =
        tokio::join!(served.post("/v1/orders", JSON, &body), served.post("/v1/orders", JSON, b""));
    assert_eq!((full.status, empty.code()), (200, (400, "empty_payload")));
    assert_eq!(served.door.taken.lock().unwrap().len(), 1);
    served.stop().await;
}

/// Where a worker's API listens.
pub(crate) async fn api(worker: &Weir) -> SocketAddr {
    until("the HTTP API's address", async || {
        let text = worker.log();
        let (_, rest) = text.split_once("the HTTP API listens address=")?;
        rest.split_once(char::is_whitespace)?.0.parse().ok()
    })
    .await
}

pub(crate) async fn fetch(address: SocketAddr, path: &str, headers: &str) -> Answered {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    answered(&read_all(connection).await)
}

#[tokio::test]
async fn a_worker_serves_orders_and_stock_and_never_shows_its_token() {
    let folder = weir_kit::folder(&weir_kit::scratch(), "http").unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let config = format!("[http]\ntoken_file = {:?}\n", file.to_str().unwrap());
    let shop = Shop::open(&config, &["--http", "127.0.0.1:0"]).await;
    let address = api(&shop.worker).await;
    shop.send(receive("R-1", 3)).await;
    let placed = shop.send(place("O-1")).await;
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    // A worker that is ready may still be about to lead.
    let order = until("an answer", async || {
        let order = fetch(address, &format!("/v1/orders/O-1?at_least={placed}"), &bearer).await;
        (order.status != 503).then_some(order)
    })
    .await;
    assert_eq!((order.status, &order.body["state"]), (200, &json!("confirmed")), "{order:?}");
    let stock = fetch(address, "/v1/stock/main/A", &bearer).await;
    assert_eq!((stock.status, &stock.body["free"]), (200, &json!(2)), "{stock:?}");
    let orders = fetch(address, "/v1/orders?state=open", &bearer).await;
    assert_eq!(orders.body["orders"][0]["order_id"], "O-1");
    assert_eq!(fetch(address, "/v1/orders", "").await.code(), (401, "unauthorized"));
    // The probes need none, and are not here.
    assert_eq!(shop.worker.get("/livez").0, 200);
    assert_eq!(fetch(address, "/livez", &bearer).await.status, 404);
    assert!(shop.worker.metric("weir_http_requests_total{route=\"order\",status=\"200\"}") >= 1.0);
    assert!(!shop.worker.log().contains(TOKEN));
    let file = shop.server.folder().join("weir.toml");
    let checked = Weir::command(&["check", "--config", file.to_str().unwrap()]).await;
    assert!(!format!("{checked:?}").contains(TOKEN));
    shop.worker.stop().await;
}

async fn post(address: SocketAddr, headers: &str, body: &[u8]) -> Answered {
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    // Whoever has had enough may close before all is written.
    let _ = connection.write_all(&[head.as_bytes(), body].concat()).await;
    answered(&read_all(connection).await)
}

/// The whole way, with a real door behind: none of what is hostile costs the good orders beside it anything, or is decided.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_posts_cost_good_orders_nothing_at_a_real_door() {
    let shop = Shop::open("[http]\ncommands = [\"orders\"]\n", &["--http", "127.0.0.1:0"]).await;
    let address = api(&shop.worker).await;
    shop.send(receive("R-1", 1_000)).await;
    until("the door", async || shop.worker.log().contains("the door is open").then_some(())).await;
    // Somebody sends a byte now and then all the while, and never comes to an end.
    let (mut drips, mut drip) = TcpStream::connect(address).await.unwrap().into_split();
    let dripping = tokio::spawn(async move {
        let head =
            format!("POST /v1/orders HTTP/1.1\r\nHost: localhost\r\n{JSON}Content-Length: 100000\r\n\r\n");
        drip.write_all(head.as_bytes()).await.unwrap();
        while drip.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let body = |id: &str| place(id).to_string().into_bytes();
    let (mut good, mut bad) = (0, 0);
    let mut confirm = async |id: &str| {
        let posted = post(address, JSON, &body(id)).await;
        // A machine that is busy with other things may make a shard late.
        if [202, 429, 503].contains(&posted.status) {
            return;
        }
        assert_eq!((posted.status, &posted.body["outcome"]), (200, &json!("confirmed")), "{posted:?}");
        good += 1;
    };
    let utf16: Vec<u8> = place("H").to_string().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let gzip: &[u8] =
        &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xab, 0xae, 5, 0, 0x43, 0xbf, 0xa6, 0xa3, 2, 0, 0, 0];
    for (round, (headers, hostile, expected)) in [
        (JSON.to_owned(), [b"\xef\xbb\xbf", &body("H")[..]].concat(), (400, "malformed_payload")),
        (JSON.to_owned(), utf16, (400, "malformed_payload")),
        (JSON.to_owned(), gzip.to_vec(), (400, "malformed_payload")),
        (format!("{JSON}Content-Encoding: gzip\r\n"), gzip.to_vec(), (415, "unsupported_media_type")),
        (JSON.to_owned(), vec![b' '; 2 << 20], (413, "payload_too_large")),
        (JSON.to_owned(), receive("R-9", 1).to_string().into_bytes(), (400, "not_taken")),
        // An array is answered by an array, which says that.
        (JSON.to_owned(), vec![b'['; 100_000], (200, "")),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("good-{round}");
        let (refused, ()) = tokio::join!(post(address, &headers, &hostile), confirm(&id));
        assert_eq!(refused.code(), expected, "{round}: {refused:?}");
        bad += 1;
    }
    // The same twice at once, the second one empty; and one id with two contents at once.
    let order = body("twice");
    let (full, empty) = tokio::join!(post(address, JSON, &order), post(address, JSON, b""));
    assert_eq!(
        (&full.body["outcome"], empty.code()),
        (&json!("confirmed"), (400, "empty_payload")),
        "{full:?}"
    );
    let mut other = place("two");
    other["place"]["lines"][0]["quantity"] = 2.into();
    let (order, other) = (body("two"), other.to_string().into_bytes());
    let (one, two) = tokio::join!(post(address, JSON, &order), post(address, JSON, &other));
    let mut both = [&one, &two].map(|told| format!("{}{}", told.body["outcome"], told.body["reason"]));
    both.sort();
    assert_eq!(both, ["\"confirmed\"null", "\"refused\"\"id_conflict\""]);
    assert!(good > 0 && bad == 7, "{good} {bad}");
    // Nothing of what was hostile is in the log.
    let announced = crate::weir::audit(&shop.server).await;
    let orders = announced.iter().filter(|it| it["outcome"] == "confirmed").count();
    assert!(orders >= good + 2, "{orders} {good}");
    assert!(announced.iter().all(|it| it["order_id"] != "H" && it["receipt_id"] != "R-9"), "{announced:?}");
    // It holds its connection no longer than a request may take.
    let mut answer = Vec::new();
    let _ = soon("the end of what drips", drips.read_to_end(&mut answer)).await;
    drop(drips);
    soon("the end of the drip", dripping).await.unwrap();
    shop.worker.stop().await;
}

#[tokio::test]
async fn what_would_be_open_to_anybody_is_not_started() {
    let starting = |arguments: &[&str], token: Option<&str>| {
        let environment: Vec<_> = token.iter().map(|token| ("WEIR_HTTP_TOKEN", *token)).collect();
        let arguments = [&["run", "--nats", "127.0.0.1:9", "--admin", "127.0.0.1:0"], arguments].concat();
        Weir::spawn(&arguments, &environment, "")
    };
    let open = starting(&["--http", "0.0.0.0:0"], None).finish().await;
    assert_eq!(open.code, Some(78), "{open:?}");
    assert!(open.stderr.contains("is not loopback, and there is no token"), "{open:?}");
    let short = starting(&["--http", "127.0.0.1:0"], Some("short-secret")).finish().await;
    assert_eq!(short.code, Some(78), "{short:?}");
    assert!(!format!("{short:?}").contains("short-secret"));
}
