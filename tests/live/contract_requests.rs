//! What every implementation of `Requests` must do, run on both: in memory, and over a real server.

use std::time::Duration;

use bytes::Bytes;
use weir::edges::jetstream::{Connection, JetRequests, Names, Security};
use weir::edges::memory::{MemoryAsker, MemoryRequests};
use weir::edges::requests::{Outgoing, Replies as _, Request, Requests, SHARD_HEADER, Said, WITHIN_HEADER};
use weir::words::codec::Format;
use weir::words::codes::Family;

use crate::nats::{Server, soon, until};

/// Whoever asks.
trait Asker: Clone + Send + Sync + 'static {
    /// Asks, and gives the reply; none where the request is lost, or nobody takes it.
    fn ask(
        &self,
        family: Family,
        said: Said,
        payload: Bytes,
    ) -> impl Future<Output = Option<(Format, Bytes)>> + Send;
}

impl Asker for MemoryAsker {
    async fn ask(&self, family: Family, said: Said, payload: Bytes) -> Option<(Format, Bytes)> {
        let reply = MemoryAsker::ask(self, Some(family), said, payload).await.await.ok()?;
        Some((reply.format, reply.payload))
    }
}

impl Asker for async_nats::Client {
    async fn ask(&self, family: Family, said: Said, payload: Bytes) -> Option<(Format, Bytes)> {
        let subject = format!("weir.submit.{}", family.name());
        let mut headers = async_nats::HeaderMap::new();
        let Said { format, shard, within, .. } = &said;
        headers.insert("Content-Type", format.map_or("text/plain", Format::content_type));
        if let Some(shard) = shard {
            headers.insert(SHARD_HEADER, shard.to_string());
        }
        if let Some(within) = within {
            headers.insert(WITHIN_HEADER, within.as_millis().to_string());
        }
        let reply = self.request_with_headers(subject, headers, payload).await.ok()?;
        let format = reply.headers.as_ref().and_then(|headers| headers.get("Content-Type"));
        let format = format.map_or(Some(Format::Json), |value| Format::of_content_type(value.as_str()));
        Some((format.unwrap(), reply.payload))
    }
}

struct Fixture<A, R> {
    asker: A,
    requests: R,
    _server: Option<Server>,
}

#[expect(clippy::unused_async, reason = "made like the others")]
async fn memory() -> Fixture<MemoryAsker, MemoryRequests> {
    let (asker, requests) = MemoryRequests::new();
    Fixture { asker, requests, _server: None }
}

fn taker(server: &Server) -> JetRequests {
    let options = Connection {
        urls: vec![server.url()],
        name: "door".to_owned(),
        wait_for_server: true,
        security: Security::default(),
    };
    JetRequests::new(options, &Names::default()).unwrap()
}

async fn jetstream() -> Fixture<async_nats::Client, JetRequests> {
    let server = Server::start().await;
    let asker = async_nats::connect(server.url()).await.unwrap();
    Fixture { asker, requests: taker(&server), _server: Some(server) }
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::memory().await).await;
            })*
        }
        mod over_nats {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::jetstream().await).await;
            })*
        }
    };
}

contract! {
    a_request_comes_as_it_was_sent_and_its_reply_goes_back,
    many_at_once_are_each_replied_to,
    a_reply_to_nowhere_harms_nobody,
    after_a_stop_what_came_is_given_and_then_nothing,
}

/// Replies to each request with its own payload, until they are stopped.
async fn echo<R: Requests>(mut requests: R) -> usize {
    let replies = requests.replies();
    let mut count = 0;
    while let Some(came) = requests.next().await {
        assert!(!came.is_empty());
        for Request { said, reply_to, payload, .. } in came {
            count += 1;
            if let Some(to) = reply_to {
                let format = said.format.unwrap_or_default();
                replies.reply(&[Outgoing { to, format, payload }]);
            }
        }
    }
    count
}

/// Waits until requests are taken, in a task of their own.
async fn opened<A: Asker, R: Requests>(
    fixture: Fixture<A, R>,
) -> (A, R::Replies, tokio::task::JoinHandle<usize>, Option<Server>) {
    let Fixture { asker, requests, _server: server } = fixture;
    let replies = requests.replies();
    let task = tokio::spawn(echo(requests));
    until("an answer", async || asker.ask(Family::Orders, Said::default(), Bytes::new()).await).await;
    (asker, replies, task, server)
}

async fn a_request_comes_as_it_was_sent_and_its_reply_goes_back<A: Asker, R: Requests>(
    fixture: Fixture<A, R>,
) {
    let Fixture { asker, mut requests, _server } = fixture;
    let replies = requests.replies();
    let said = [
        Said::default(),
        Said {
            format: Some(Format::Bincode),
            shard: Some("eu".into()),
            within: Some(Duration::from_millis(250)),
            readable: true,
        },
        Said { format: None, ..Said::default() },
    ];
    let payloads = [Bytes::new(), Bytes::from_static(&[0, 13, 10, 255]), Bytes::from(vec![7; 500_000])];
    for ((family, said), payload) in Family::ALL.into_iter().cycle().zip(&said).zip(&payloads) {
        let asking = async {
            until("the reply", async || asker.ask(family, said.clone(), payload.clone()).await).await
        };
        let mut asking = std::pin::pin!(asking);
        let came = tokio::select! {
            came = soon("the request", requests.next()) => came.unwrap(),
            _ = &mut asking => panic!("nobody has replied"),
        };
        let [Request { family: by, said: came_said, reply_to, payload: came_payload }] = came.as_slice()
        else {
            panic!("{came:?}");
        };
        assert_eq!((*by, came_said, came_payload), (Some(family), said, payload));
        let format = said.format.unwrap_or_default();
        let (to, payload) = (reply_to.clone().unwrap(), payload.slice(..payload.len() / 2));
        replies.reply(&[Outgoing { to, format, payload: payload.clone() }]);
        // Over a server a reply leaves while requests are waited for.
        let reply = tokio::select! {
            reply = &mut asking => reply,
            _ = requests.next() => panic!("asked once"),
        };
        assert_eq!(reply, (format, payload));
    }
}

async fn many_at_once_are_each_replied_to<A: Asker, R: Requests>(fixture: Fixture<A, R>) {
    let (asker, replies, task, _server) = opened(fixture).await;
    let asks: Vec<_> = (0..2_000_u32)
        .map(|number| {
            let asker = asker.clone();
            tokio::spawn(async move {
                let payload = Bytes::from(number.to_string());
                let reply = asker.ask(Family::Orders, Said::default(), payload.clone()).await;
                assert_eq!(reply, Some((Format::Json, payload)));
            })
        })
        .collect();
    for ask in asks {
        soon("a reply", ask).await.unwrap();
    }
    replies.stop();
    assert!(soon("the end", task).await.unwrap() > 2_000);
}

async fn a_reply_to_nowhere_harms_nobody<A: Asker, R: Requests>(fixture: Fixture<A, R>) {
    let (asker, replies, _task, _server) = opened(fixture).await;
    let nowhere = [&b"nobody"[..], b"", b"a b", b"a\r\nPUB x 0\r\n\r\n", b"\xff", &[b'x'; 3_000]];
    replies.reply(&nowhere.map(|to| Outgoing {
        to: Bytes::copy_from_slice(to),
        format: Format::Json,
        payload: Bytes::from_static(b"?"),
    }));
    let payload = Bytes::from_static(b"still here");
    let reply = soon("a reply", asker.ask(Family::Orders, Said::default(), payload.clone())).await;
    assert_eq!(reply, Some((Format::Json, payload)));
}

async fn after_a_stop_what_came_is_given_and_then_nothing<A: Asker, R: Requests>(fixture: Fixture<A, R>) {
    let (asker, replies, task, _server) = opened(fixture).await;
    replies.stop();
    replies.stop();
    let taken = soon("the end", task).await.unwrap();
    assert!(taken >= 1);
    assert!(!replies.is_open());
    replies.flushed(Duration::from_secs(5)).await;
    assert_eq!(soon("no reply", asker.ask(Family::Orders, Said::default(), Bytes::new())).await, None);
}

#[tokio::test]
async fn a_server_that_comes_again_is_connected_to_again() {
    let mut server = Server::start().await;
    let requests = taker(&server);
    let replies = requests.replies();
    let task = tokio::spawn(echo(requests));
    let asks = async |server: &Server| {
        let asker = async_nats::connect(server.url()).await.unwrap();
        let payload = Bytes::from_static(b"!");
        until("a reply", async || Asker::ask(&asker, Family::Orders, Said::default(), payload.clone()).await)
            .await
    };
    asks(&server).await;
    server.kill();
    until("the loss to be seen", async || (!replies.is_open()).then_some(())).await;
    server.restart().await;
    asks(&server).await;
    replies.stop();
    soon("the end", task).await.unwrap();
}

#[tokio::test]
async fn takers_of_one_prefix_share_what_is_asked() {
    let server = Server::start().await;
    let takers: Vec<_> = (0..2)
        .map(|_| {
            let requests = taker(&server);
            (requests.replies(), tokio::spawn(echo(requests)))
        })
        .collect();
    until("both to be open", async || takers.iter().all(|(replies, _)| replies.is_open()).then_some(()))
        .await;
    let asker = async_nats::connect(server.url()).await.unwrap();
    until("an answer", async || Asker::ask(&asker, Family::Orders, Said::default(), Bytes::new()).await)
        .await;
    for _ in 0..200 {
        let reply = Asker::ask(&asker, Family::Stock, Said::default(), Bytes::new());
        assert!(soon("a reply", reply).await.is_some());
    }
    let mut counts = Vec::new();
    for (replies, task) in takers {
        replies.stop();
        counts.push(soon("the end", task).await.unwrap());
    }
    assert!(counts.iter().all(|count| *count > 10), "{counts:?}");
}
