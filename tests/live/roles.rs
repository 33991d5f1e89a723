//! The ready configuration of roles (`deploy/nats/roles.conf`), on a real server: what each role must do works, and what it must not do is
//! refused by the server.

use async_nats::{Client, ConnectOptions, Event};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use weir_kit::nats::Launch;

use crate::nats::{Server, soon, until};
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
        before.push(format!("WEIR_{}_PASSWORD=\"{}\"", role.to_uppercase(), password(role)).into());
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

    /// What is for workers alone, and others' answers.
    async fn may_do_nothing_else(&mut self) {
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
            self.may_not_publish(subject).await;
        }
        let name = self.name;
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
            self.may_not_listen(&subject).await;
        }
    }
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
    until("the door", async || worker.log().contains("the door is open").then_some(())).await;
    run(&["submit", &receive("R-1", 5).to_string()]).await;

    let mut sequence = 2;
    for (name, door, log, asks) in ALL {
        let mut role = Role::connect(&server, name).await;
        for family in FAMILIES {
            let subject = format!("weir.submit.{family}");
            if door.contains(&family) {
                let request = role.client.request(subject.clone(), command(family).to_string().into());
                let reply = soon("the door's answer", request).await.unwrap();
                let reply: Value = serde_json::from_slice(&reply.payload).unwrap();
                assert!(
                    reply["sequence"].is_u64() && reply["outcome"] != "refused",
                    "{name}, {family}: {reply}"
                );
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
            let question = json!({"site": "main", "sku": "A"}).to_string();
            let request = role.client.request("weir.query.stock", question.into());
            let answer = soon("an answer", request).await.unwrap();
            assert!(answer.payload.starts_with(b"{"), "{name}: {answer:?}");
        } else {
            role.may_not_publish("weir.query.stock").await;
        }
        role.may_do_nothing_else().await;
        // Nothing that was allowed was complained of.
        assert!(role.complaints.try_recv().is_err());
    }

    // What the roles wrote into the log was decided; what was refused has not come: it would be a dead letter.
    let audited = run(&["audit", "--json"]).await;
    assert!(!audited.stdout.contains("dead_lettered"), "{audited:?}");
    let dead = run(&["dead", "list", "--json"]).await;
    assert!(!dead.stdout.contains("not_a_command") && !dead.stdout.contains("malformed"), "{dead:?}");
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
        // The server's own folder, which the test gives it.
        .replace("  store_dir: /data\n", "")
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
