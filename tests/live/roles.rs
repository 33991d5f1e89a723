//! The ready configuration of roles (`deploy/nats/roles.conf`), on a real server: what each role must do works, and what it must not do is
//! refused by the server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_nats::{Client, ConnectOptions, Event};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_kit::nats::Launch;

use crate::nats::{Server, soon};
use crate::security::{Authority, Files, done, fails, run, tls};
use crate::weir::{Weir, place, receive};

const ROLES: &str = include_str!("../../deploy/nats/roles.conf");

const FAMILIES: [&str; 5] = ["orders", "payments", "fulfilment", "stock", "policy"];

/// Each role, the families that it may send to the door and to the log, and whether it may ask.
const ALL: [(&str, &[&str], &[&str], bool); 6] = [
    ("checkout", &["orders"], &["orders"], false),
    ("payments", &["payments"], &["payments"], false),
    ("fulfilment", &["fulfilment"], &["fulfilment"], false),
    ("stock", &["stock"], &["stock"], true),
    ("policy", &["policy"], &["policy"], true),
    ("care", &["orders"], &[], true),
];

fn password(role: &str) -> String {
    format!("the {role}'s own")
}

/// Starts a server with every role's password in its environment.
async fn server_with(configuration: &str) -> Server {
    let mut before = vec!["env".into()];
    for role in ALL.iter().map(|role| role.0).chain(["worker"]) {
        before.push(format!("WEIR_{}_PASSWORD={}", role.to_uppercase(), password(role)).into());
    }
    Server::launch(Launch { before, ..Launch::for_test(configuration) }).await.unwrap()
}

async fn server() -> Server {
    server_with(ROLES).await
}

/// A client of a role, and what the server complains of.
struct Role {
    name: &'static str,
    client: Client,
    complaints: mpsc::Receiver<String>,
}

impl Role {
    async fn connect(server: &Server, name: &'static str) -> Self {
        let (tell, complaints) = mpsc::channel(1024);
        let client = ConnectOptions::with_user_and_password(name.to_owned(), password(name))
            .custom_inbox_prefix(format!("_INBOX.{name}"))
            .event_callback(move |event| {
                if let Event::ServerError(error) = event {
                    tell.try_send(error.to_string().to_lowercase()).unwrap();
                }
                std::future::ready(())
            })
            .connect(server.url())
            .await
            .unwrap();
        Self { name, client, complaints }
    }

    /// The server's next complaint is of this.
    async fn is_refused(&mut self, what: &str) {
        let said =
            soon(&format!("{} to be refused {what}", self.name), self.complaints.recv()).await.unwrap();
        assert!(
            said.contains("permissions violation") && said.contains(&what.to_lowercase()),
            "{what}: {said}"
        );
    }

    async fn may_not_publish(&mut self, subject: &str) {
        self.client.publish(subject.to_owned(), "x".into()).await.unwrap();
        self.client.flush().await.unwrap();
        self.is_refused(&format!("publish to \"{subject}\"")).await;
    }

    async fn may_not_listen(&mut self, subject: &str) {
        let _listening = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.client.flush().await.unwrap();
        self.is_refused(&format!("subscription to \"{subject}\"")).await;
    }
}

/// Stands in for doors and for who answers queries: says by which subject it was asked, and counts.
async fn stand_in(server: &Server) -> Arc<AtomicUsize> {
    let worker = Role::connect(server, "worker").await;
    let asked = Arc::new(AtomicUsize::new(0));
    for subject in ["weir.submit.*", "weir.query.>"] {
        let mut requests = worker.client.queue_subscribe(subject, "stand-in".into()).await.unwrap();
        let (client, asked) = (worker.client.clone(), asked.clone());
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                asked.fetch_add(1, SeqCst);
                client.publish(request.reply.unwrap(), request.subject.to_string().into()).await.unwrap();
            }
        });
    }
    worker.client.flush().await.unwrap();
    asked
}

#[tokio::test]
async fn each_role_may_do_what_it_must_and_nothing_else() {
    let server = server().await;
    let worker_login = [
        ("NATS_USER", "worker"),
        ("NATS_PASSWORD", "the worker's own"),
        ("NATS_INBOX_PREFIX", "_INBOX.worker"),
    ];
    let url = server.url();
    let run = async |arguments: &[&str]| {
        let environment = [&worker_login[..], &[("NATS_URL", url.as_str())]].concat();
        let ended = Weir::spawn(arguments, &environment, "").finish().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    };
    run(&["setup"]).await;
    let environment = [&worker_login[..], &[("WEIR_ADMIN", "127.0.0.1:0")]].concat();
    let worker = Weir::worker_in(&url, &[], &environment).await;
    worker.until_readyz(200).await;
    run(&["submit", &receive("R-1", 5).to_string()]).await;

    let asked = stand_in(&server).await;
    let mut answered = 0;
    let mut sequence = 2;
    for (name, door, log, asks) in ALL {
        let mut role = Role::connect(&server, name).await;
        for family in FAMILIES {
            let subject = format!("weir.submit.{family}");
            if door.contains(&family) {
                let reply =
                    soon("an answer", role.client.request(subject.clone(), "x".into())).await.unwrap();
                assert_eq!(reply.payload, subject.as_bytes());
                answered += 1;
            } else {
                role.may_not_publish(&subject).await;
            }
            let subject = format!("weir.log.main.{family}");
            if log.contains(&family) {
                let context = async_nats::jetstream::new(role.client.clone());
                let ack = context.publish(subject, command(family).to_string().into()).await.unwrap();
                assert_eq!(
                    soon("the log's acknowledgement", async { ack.await }).await.unwrap().stream,
                    "WEIR_LOG_main"
                );
                sequence += 1;
            } else {
                role.may_not_publish(&subject).await;
            }
        }
        if asks {
            soon("an answer", role.client.request("weir.query.stock", "x".into())).await.unwrap();
            answered += 1;
        } else {
            role.may_not_publish("weir.query.stock").await;
        }
        for subject in [
            "weir.log.main",
            "weir.outcomes.main",
            "weir.dead.main",
            "weir.signals.main.stockout",
            "weir.notify.main.confirmed",
            "$JS.API.STREAM.PURGE.WEIR_LOG_main",
            "$JS.API.STREAM.MSG.GET.WEIR_OUTCOMES_main",
            "$JS.API.CONSUMER.CREATE.WEIR_OUTCOMES_main",
            "$KV.WEIR_LEASES.main",
            "$O.WEIR_SNAPSHOTS.M.x",
            "_INBOX.worker.x",
            "_INBOX.checkout.x",
            "anything",
        ] {
            role.may_not_publish(subject).await;
        }
        let others = ALL.iter().map(|role| role.0).chain(["worker"]).filter(|other| *other != name);
        let inboxes = others.map(|other| format!("_INBOX.{other}.>"));
        let all = [
            "_INBOX.>",
            "_INBOX.*.>",
            ">",
            "*.>",
            "weir.>",
            "weir.submit.>",
            "weir.log.>",
            "weir.outcomes.>",
        ];
        for subject in inboxes.chain(all.map(str::to_owned)) {
            role.may_not_listen(&subject).await;
        }
        // Nothing that was allowed was complained of.
        assert!(role.complaints.try_recv().is_err());
    }
    assert_eq!(asked.load(SeqCst), answered);

    // What the roles wrote into the log was decided; nothing else came.
    let audited = run(&["audit", "--json"]).await;
    let audited: Value = serde_json::from_str(&audited.stdout).unwrap();
    assert!(audited.to_string().contains("main"), "{audited}");
    let placed = run(&["submit", &place("O-last").to_string()]).await;
    let placed: Value = serde_json::from_str(placed.stdout.trim()).unwrap();
    assert_eq!(placed["outcome"], "confirmed");
    assert!(placed["sequence"].as_u64().unwrap() > sequence, "{placed}");

    let mut other = Role::connect(&server, "worker").await;
    for (name, ..) in ALL {
        other.may_not_listen(&format!("_INBOX.{name}.>")).await;
    }
    other.may_not_listen("_INBOX.>").await;
    other.may_not_publish("anything").await;
    other.may_not_publish("$SYS.REQ.SERVER.PING").await;
    worker.stop().await;
}

/// A command of a family that a shard takes.
fn command(family: &str) -> Value {
    match family {
        "orders" => place("O-1"),
        "payments" => json!({"pay": {"order_id": "O-1"}}),
        "fulfilment" => json!({"ship": {"order_id": "O-1"}}),
        "stock" => receive("R-2", 5),
        _ => json!({"policy": {"lines_max": 100}}),
    }
}

#[tokio::test]
async fn nobody_gets_in_without_a_role() {
    let server = server().await;
    let stranger = ConnectOptions::new().connect(server.url()).await;
    assert!(stranger.is_err());
    let wrong = ConnectOptions::with_user_and_password("worker".into(), password("checkout"))
        .connect(server.url())
        .await;
    assert!(wrong.is_err());
}

/// `deploy/nats/server.conf`, with the files of the test in the places of those that it names.
#[tokio::test]
async fn the_ready_server_lets_in_who_has_a_certificate_and_a_role() {
    let files = Files::of(&Authority::new());
    let configuration = include_str!("../../deploy/nats/server.conf")
        .replace("/etc/nats/tls/", &files.path(""))
        .replace("include roles.conf", ROLES);
    assert!(configuration.contains("verify: true") && !configuration.contains("/etc/"));
    let server = server_with(&configuration).await;
    let login = [
        ("NATS_USER", "worker"),
        ("NATS_PASSWORD", "the worker's own"),
        ("NATS_INBOX_PREFIX", "_INBOX.worker"),
    ];
    done(&run(&tls(&server), &["setup"], &files.all(), &login).await);
    fails(&run(&tls(&server), &["status"], &files.ca(), &login).await, "cannot connect to NATS");
    let other = [("NATS_USER", "worker"), ("NATS_PASSWORD", "the stock's own")];
    fails(&run(&tls(&server), &["status"], &files.all(), &other).await, "cannot connect to NATS");
}
