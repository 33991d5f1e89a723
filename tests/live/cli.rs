//! The commands that people type: what they print, what they send, and how they end.

use std::path::PathBuf;

use serde_json::{Value, json};
use weir::edges::streams::Streams as _;

use crate::nats::{Server, until};
use crate::weir::{Ended, Load, OWN, Weir, audit, place, plain, receive, streams};
use weir_kit::{folder, scratch};

/// A server with streams and a worker.
pub(crate) async fn worker() -> (Server, Weir) {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::ready(&server, &[]).await;
    (server, worker)
}

/// Writes a file of a test's own.
pub(crate) fn file(server: &Server, name: &str, text: &str) -> String {
    let path = server.folder().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) async fn log_last(server: &Server) -> u64 {
    streams(server).await.log_state().await.unwrap().last_sequence
}

/// The JSON objects that a command has printed, one a line.
pub(crate) fn lines(ended: &Ended) -> Vec<Value> {
    lines_of(ended, 0)
}

/// The same, of a command that ended so.
pub(crate) fn lines_of(ended: &Ended, code: i32) -> Vec<Value> {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
pub(crate) fn fails(ended: &Ended, code: i32, texts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    for text in texts {
        assert!(ended.stderr.contains(text), "{text:?} is not in {:?}", ended.stderr);
    }
}

#[tokio::test]
async fn submit_sends_and_prints_the_outcomes() {
    let (server, _worker) = worker().await;
    let one = Weir::on(&server, &["submit", &receive("R-1", 2).to_string()]).await;
    let outcome = &lines(&one)[0];
    assert_eq!((&outcome["outcome"], &outcome["receipt_id"]), (&json!("received"), &json!("R-1")));

    let two = json!([place("O-1"), place("O-2")]).to_string();
    let two = lines(&Weir::on(&server, &["submit", &two]).await);
    assert_eq!(two.iter().map(|outcome| &outcome["order_id"]).collect::<Vec<_>>(), ["O-1", "O-2"]);

    let text = format!("{}\n\n{}\n", place("O-3"), place("O-1"));
    let path = file(&server, "commands", &text);
    // A refusal is no success.
    let from_file = lines_of(&Weir::on(&server, &["submit", "--file", &path]).await, 1);
    assert_eq!(from_file[0]["reason"], "insufficient_stock");
    assert_eq!(from_file[1]["duplicate"], true);

    let environment = [("NATS_URL", server.url())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let piped = Weir::spawn(&["submit", "--file", "-"], &environment, &text).finish().await;
    let piped = lines_of(&piped, 1);
    assert!(piped.iter().all(|outcome| outcome["duplicate"] == true), "{piped:?}");
    assert_eq!(audit(&server).await.len(), 1 + 1 + 2 + 2 + 2);
}

#[tokio::test]
async fn what_is_wrong_is_not_sent() {
    let server = Server::start().await;
    Weir::setup(&server).await;
    let unknown = r#"{"place":{"order_id":"O-1","lines":[],"colour":"red"}}"#;
    fails(&Weir::on(&server, &["submit", unknown]).await, 1, &["unknown field `colour`"]);
    let path = file(&server, "commands", &format!("{}\n{unknown}\n", place("O-1")));
    fails(&Weir::on(&server, &["submit", "--file", &path]).await, 1, &["line 2: unknown field `colour`"]);
    fails(&Weir::on(&server, &["submit", "[]"]).await, 1, &["an empty array"]);
    fails(&Weir::on(&server, &["submit", "--file", "/no/such/file"]).await, 1, &["/no/such/file"]);
    fails(&Weir::on(&server, &["submit"]).await, 2, &["Usage"]);
    let order = place("O-1").to_string();
    fails(&Weir::on(&server, &["submit", "--shard", "other", &order]).await, 1, &["no shard \"other\""]);
    fails(&Weir::on(&server, &["submit", r#"{"tick":{}}"#]).await, 1, &["only a shard's leader sends ticks"]);
    let newer = r#"{"policy":{"rules":2}}"#;
    fails(&Weir::on(&server, &["submit", newer]).await, 1, &["rules version 2 is not known", "would halt"]);
    let path = file(&server, "newer.toml", "rules = 2\n");
    let applied = Weir::on(&server, &["policy", "apply", &path]).await;
    fails(&applied, 1, &["newer.toml: rules version 2 is not known", "would halt"]);
    assert_eq!(log_last(&server).await, 1);

    let late = Weir::on(&server, &["submit", "--wait", "50ms", &order]).await;
    fails(&late, 3, &["stored, but not decided within 50ms", "is a worker running?"]);
    assert_eq!(late.stdout, "");
    assert_eq!(log_last(&server).await, 2);
}

#[tokio::test]
async fn a_command_without_a_server_fails_at_once() {
    let mut server = Server::start().await;
    server.kill();
    let order = place("O-1").to_string();
    let commands: [&[&str]; 4] = [&["submit", &order], &["status"], &["setup"], &["policy", "show"]];
    for command in commands {
        let ended = Weir::on(&server, command).await;
        fails(&ended, 1, &["cannot connect to NATS at 127.0.0.1:"]);
    }
}

#[tokio::test]
async fn stock_that_is_loaded_twice_counts_once() {
    let (server, _worker) = worker().await;
    let path = file(&server, "stock.csv", "sku,quantity\nA,3\nB,4\nA,2\n");
    let load = async |id: &str, arguments: &[&str]| {
        Weir::on(&server, &[&["stock", "load", &path, "--receive", "--id", id], arguments].concat()).await
    };
    let dry = lines(&load("today", &["--dry-run"]).await);
    let expected = json!([{"sku": "A", "quantity": 5}, {"sku": "B", "quantity": 4}]);
    assert_eq!(dry[0]["receive"]["lines"], expected);
    assert_eq!(log_last(&server).await, 1);
    let once = load("today", &[]).await;
    assert_eq!(once.stdout, "receipts: 1 new, 0 known before, 0 refused\n", "{once:?}");
    let twice = load("today", &["--json"]).await;
    assert_eq!(lines(&twice), [json!({"new": 0, "known": 1, "refused": 0, "unsent": 0})]);
    // The same file compressed, and from a pipe, is the same load.
    let zipped = Weir::on(&server, &["stock", "load", &gzip(&path), "--receive", "--id", "today"]).await;
    assert_eq!(zipped.stdout, "receipts: 0 new, 1 known before, 0 refused\n", "{zipped:?}");
    let again = load("tomorrow", &[]).await;
    assert_eq!(again.stdout, "receipts: 1 new, 0 known before, 0 refused\n", "{again:?}");
    // A file that has changed is not received on top of what it was.
    file(&server, "stock.csv", "sku,quantity\nA,3\nB,5\nA,2\n");
    let changed = load("today", &[]).await;
    fails(&changed, 1, &["the file differs from the one loaded under the id \"today\": give another --id"]);
    assert!(changed.stdout.contains("\"id_conflict\""), "{changed:?}");
    assert!(changed.stdout.ends_with("receipts: 0 new, 0 known before, 1 refused\n"), "{changed:?}");
    let rows = |more: &str| {
        let rows: Vec<_> = (0..2_000).map(|number| format!("S-{number:04},1")).collect();
        file(&server, "long.csv", &format!("sku,quantity\n{}\n{more}", rows.join("\n")))
    };
    let long = async |path: &str| {
        Weir::on(&server, &["stock", "load", path, "--receive", "--id", "long"]).await.stdout
    };
    assert_eq!(long(&rows("")).await, "receipts: 2 new, 0 known before, 0 refused\n");
    // The new row comes first, which moves a known one into a part of its own.
    let longer = long(&rows("A,1\n")).await;
    assert!(longer.ends_with("receipts: 0 new, 0 known before, 1 refused, 2 not sent\n"), "{longer}");
    let count = Weir::on(&server, &["stock", "load", &path, "--count", "--id", "c"]).await;
    fails(&count, 1, &["line 4: \"A\" is counted twice"]);
    let path = file(&server, "count.csv", "sku,quantity\nA,9\n");
    let count = Weir::on(&server, &["stock", "load", &path, "--count", "--id", "c"]).await;
    assert_eq!(count.stdout, "counts: 1 new, 0 known before, 0 refused\n", "{count:?}");
    let counted = audit(&server).await.pop().unwrap();
    assert_eq!(counted["adjustments"], json!([{"sku": "A", "before": 10, "after": 9}]));
}

#[tokio::test]
async fn bad_stock_is_named_by_its_line() {
    let server = Server::start().await;
    let cases = [
        ("sku,quantity\nA,1\nB,many\n", "line 3: quantity: not a whole number: \"many\""),
        ("sku,quantity\n\n\nA,1\nB,many\n", "line 5: quantity: not a whole number"),
        ("sku,quantity\n\"\n\nA\",1\nB,many\n", "line 5: quantity: "),
        ("sku,quantity\n\"A\nB\",1\n", "line 2: SKUs and sites"),
        ("sku,quantity\nA,0\n", "line 2: quantities are 1 to"),
        ("sku,quantity\nA,1,2\n", "line 2: 3 fields where the header has 2"),
        ("sku,amount\nA,1\n", "line 1: column \"amount\": not known"),
        ("sku\nA\n", "no column `quantity`"),
        ("sku,quantity\n", "no rows"),
        ("sku,quantity,site\nA,1,moon\n", "no shard of the configuration holds site \"moon\""),
    ];
    for (text, expected) in cases {
        let path = file(&server, "stock.csv", text);
        fails(&Weir::on(&server, &["stock", "load", &path, "--receive", "--id", "x"]).await, 1, &[expected]);
    }
    fails(&Weir::on(&server, &["stock", "load", "x.csv", "--id", "x"]).await, 2, &["--receive"]);
    fails(&Weir::on(&server, &["stock", "load", "x.csv", "--receive"]).await, 2, &["--id"]);
    // As Excel writes it.
    let path = file(&server, "stock.csv", "\u{feff}\"sku\",\"quantity\"\r\nA,1\r\n");
    let excel = Weir::on(&server, &["stock", "load", &path, "--receive", "--id", "x", "--dry-run"]).await;
    assert_eq!(lines(&excel)[0]["receive"]["lines"], json!([{"sku": "A", "quantity": 1}]));
}

#[tokio::test]
async fn a_policy_is_applied_once() {
    let (server, _worker) = worker().await;
    let shown = Weir::on(&server, &["policy", "show"]).await;
    assert!(
        shown.stdout.contains("rules = 1\n") && shown.stdout.contains("sites = [\"main\"]\n"),
        "{shown:?}"
    );
    // What is shown can be applied, and is no change.
    let path = file(&server, "shown.toml", &shown.stdout);
    let same = Weir::on(&server, &["policy", "apply", &path]).await;
    assert_eq!((same.stdout.as_str(), same.stderr.as_str()), ("", "no difference: nothing sent\n"));
    let path = file(&server, "policy.toml", "pay_within_ms = 60000\nsites = [\"north\", \"main\"]\n");
    let first = lines(&Weir::on(&server, &["policy", "apply", &path]).await);
    assert_eq!(first[0]["outcome"], "policy_applied");
    assert_eq!(log_last(&server).await, 2);
    let second = Weir::on(&server, &["policy", "apply", &path]).await;
    assert_eq!(second.stderr, "no difference: nothing sent\n", "{second:?}");
    assert_eq!(log_last(&server).await, 2);
    let shown = Weir::on(&server, &["policy", "show"]).await;
    assert!(shown.stdout.contains("pay_within_ms = 60000\n"), "{shown:?}");
    let path = file(&server, "wrong.toml", "pay_within = 1\n");
    fails(&Weir::on(&server, &["policy", "apply", &path]).await, 1, &["wrong.toml", "unknown field"]);

    // Refused by the fold.
    Weir::on(&server, &["submit", &receive("R-1", 2).to_string()]).await;
    for (text, reason) in [("lines_max = 0\n", "invalid_value"), ("sites = [\"north\"]\n", "site_in_use")] {
        let path = file(&server, "refused.toml", text);
        let refused = Weir::on(&server, &["policy", "apply", &path]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let outcome: Value = serde_json::from_str(refused.stdout.lines().last().unwrap()).unwrap();
        assert_eq!((&outcome["outcome"], &outcome["reason"]), (&json!("refused"), &json!(reason)));
    }
}

/// A file in the folder of temporary files, gone when it is dropped.
struct TemporaryFile(PathBuf);

impl TemporaryFile {
    fn new(name: &str, text: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn check_prints_what_is_in_force() {
    let text = "[nats]\nurls = [\"nats://file:secret@a:1\"]\nprefix = \"file\"\n[worker]\nname = \"file\"\n";
    let config = TemporaryFile::new("check.toml", text);
    let shown = async |environment: &[(&str, &str)], arguments: &[&str]| {
        let arguments = [&["check", "--config", config.path()], arguments].concat();
        let ended = Weir::spawn(&arguments, environment, "").finish().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
        assert!(!ended.stdout.contains("secret"), "{}", ended.stdout);
        ended.stdout.parse::<toml::Table>().unwrap()
    };
    let of_file = shown(&[], &[]).await;
    assert_eq!(of_file["nats"]["urls"][0].as_str(), Some("nats://***@a:1"));
    assert_eq!(of_file["nats"]["prefix"].as_str(), Some("file"));
    assert_eq!(of_file["admin"]["address"].as_str(), Some("127.0.0.1:9464"));
    let of_empty = shown(&[("NATS_URL", "")], &[]).await;
    assert_eq!(of_empty["nats"]["urls"], of_file["nats"]["urls"]);
    let environment = [
        ("NATS_URL", "tls://secret@b:2, c:3"),
        ("WEIR_PREFIX", "environment"),
        ("WEIR_NAME", "environment"),
        ("WEIR_ADMIN", "127.0.0.1:1"),
    ];
    let of_environment = shown(&environment, &[]).await;
    assert_eq!(of_environment["nats"]["urls"][0].as_str(), Some("tls://***@b:2"));
    assert_eq!(of_environment["nats"]["urls"][1].as_str(), Some("nats://c:3"));
    assert_eq!(of_environment["nats"]["prefix"].as_str(), Some("environment"));
    assert_eq!(of_environment["worker"]["name"].as_str(), Some("environment"));
    assert_eq!(of_environment["admin"]["address"].as_str(), Some("127.0.0.1:1"));
    let flags =
        ["--nats", "d", "--prefix", "flag", "--name", "flag", "--admin", "[::1]:2", "--outcomes", "bincode"];
    let of_flags = shown(&environment, &flags).await;
    assert_eq!(of_flags["nats"]["urls"].as_array().unwrap().len(), 1);
    assert_eq!(of_flags["nats"]["urls"][0].as_str(), Some("nats://d"));
    assert_eq!(of_flags["nats"]["prefix"].as_str(), Some("flag"));
    assert_eq!(of_flags["worker"]["name"].as_str(), Some("flag"));
    assert_eq!(of_flags["worker"]["outcomes"].as_str(), Some("bincode"));
    assert_eq!(of_flags["admin"]["address"].as_str(), Some("[::1]:2"));
}

#[tokio::test]
async fn check_names_what_is_wrong() {
    let cases = [
        ("[nats]\nurl = \"nats://secret@a\"", "line 2: unknown field `url`"),
        ("[nats", "line 1: "),
        ("[nats]\nurls = [\"http://secret@a\"]", "nats.urls: each begins"),
        ("[nats]\nurls = []", "nats.urls: at least one"),
        ("[admin]\naddress = \"here\"", "admin.address"),
        ("[worker]\ndrain_deadline_ms = 600001", "worker.drain_deadline_ms: 0 to 600000"),
        ("[worker]\noutcomes = \"xml\"", "line 2: unknown variant `xml`"),
        ("[streams]\nreplicas = 9", "streams.replicas: 1 to 5"),
        ("shards = []", "shards: 1 to 1024"),
        ("[[shards]]\nname = \"a b\"\nsites = [\"x\"]", "shards.name"),
    ];
    for (number, (text, expected)) in cases.into_iter().enumerate() {
        let config = TemporaryFile::new(&format!("wrong-{number}.toml"), text);
        let ended = Weir::command(&["check", "--config", config.path()]).await;
        fails(&ended, 78, &["weir: configuration: ", expected]);
        assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
    fails(&Weir::command(&["check", "--config", "/no/such/file"]).await, 78, &["/no/such/file: "]);
    for url in ["nats://", "nats://u:secret@a:99999", "nats://secret b"] {
        let ended = Weir::command(&["run", "--nats", url]).await;
        fails(&ended, 78, &["weir: configuration: nats.urls: number 1: "]);
        assert!(!ended.stderr.contains("secret"), "{}", ended.stderr);
    }
    fails(&Weir::command(&["check", "--prefix", "a.b"]).await, 78, &["nats.prefix"]);
    fails(&Weir::command(&["check", "--admin", "9464"]).await, 78, &["admin.address: \"9464\""]);
    fails(&Weir::command(&["check", "--outcomes", "xml"]).await, 2, &["[possible values: json, bincode]"]);
}

/// What `weir status --json` says of the only shard, whoever leads it.
fn status_of(ended: &Ended) -> Value {
    let printed: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(ended.code, Some(i32::from(!printed["unready"].is_null())), "{ended:?}");
    printed["shards"][0].clone()
}

/// A file beside it, compressed.
fn gzip(path: &str) -> String {
    let zipped = std::process::Command::new("gzip").args(["-k", "-f", path]).status().unwrap();
    assert!(zipped.success());
    format!("{path}.gz")
}

#[tokio::test]
async fn an_import_counts_its_own_commands_and_tells_duplicates() {
    let (server, _worker) = worker().await;
    Weir::on(&server, &["submit", &receive("R-0", 3).to_string()]).await;
    let path = file(&server, "orders.csv", "order_id,sku,quantity\nO-1,A,1\nO-2,A,1\nO-3,A,9000\n");
    let import = async || Weir::on(&server, &["import", &path, "--json"]).await;
    // Somebody else's orders meanwhile are not counted.
    let load = Load::start(&server).await;
    let first = lines_of(&import().await, 1).remove(0);
    load.stop().await;
    let expected = json!({"confirmed": 2, "refused place insufficient_stock": 1});
    assert_eq!(first["outcomes"], expected, "{first}");
    let again = lines(&import().await).remove(0);
    assert_eq!((&again["outcomes"], &again["duplicates"]), (&json!({}), &json!(3)), "{again}");
    let path = file(&server, "commands.json", &format!("{}\n{}\n", place("O-1"), place("O-4")));
    let commands = Weir::on(&server, &["import", &path, "--format", "commands", "--json"]).await;
    assert_eq!(lines(&commands)[0]["duplicates"], 1);
}

#[tokio::test]
async fn a_file_is_routed_command_by_command() {
    let server = Server::start().await;
    let text =
        "[[shards]]\nname = \"a\"\nsites = [\"main\"]\n[[shards]]\nname = \"b\"\nsites = [\"north\"]\n";
    let config = file(&server, "weir.toml", text);
    let made = Weir::on(&server, &["setup", "--json", "--config", &config]).await;
    assert!(lines(&made)[0].as_array().unwrap().len() > 4, "{made:?}");
    let _worker = Weir::ready(&server, &["--config", &config]).await;
    let north = r#"{"receive":{"receipt_id":"R-1","site":"north","lines":[{"sku":"A","quantity":1}]}}"#;
    let path = file(&server, "commands", &format!("{}\n{north}\n", receive("R-1", 2)));
    let outcomes = lines(&Weir::on(&server, &["submit", "--config", &config, "--file", &path]).await);
    // One each, so neither is a duplicate or of an unknown site.
    assert_eq!(
        outcomes.iter().map(|outcome| &outcome["outcome"]).collect::<Vec<_>>(),
        ["received", "received"]
    );
    let nowhere = r#"{"pay":{"order_id":"O-9"}}"#;
    fails(
        &Weir::on(&server, &["submit", "--config", &config, nowhere]).await,
        1,
        &["say its shard with --shard"],
    );
}

#[tokio::test]
async fn a_server_without_room_is_explained() {
    let server = Server::start_with("jetstream { max_file_store: 64MB }").await;
    fails(
        &Weir::on(&server, &["setup"]).await,
        1,
        &["not enough room", "max_file_store", "streams.log_bytes_max"],
    );
}

/// Whoever asks for encryption is not served without.
#[tokio::test]
async fn tls_is_never_left_out() {
    let server = Server::start().await;
    let url = format!("tls://127.0.0.1:{}", server.port());
    let ended = Weir::command(&["setup", "--nats", &url]).await;
    fails(&ended, 1, &["cannot connect to NATS at 127.0.0.1:"]);
    assert_eq!(plain(&server).await.query_account().await.unwrap().streams, 0);
}

#[tokio::test]
async fn help_groups_the_commands_and_ends_quietly_in_a_pipe() {
    let help = Weir::command(&["--help"]).await;
    let at = |text: &str| help.stdout.find(text).unwrap_or_else(|| panic!("no {text:?} in {}", help.stdout));
    assert!(
        at("\nRun:\n") < at("  demo ")
            && at("\nShop:\n") < at("  submit ")
            && at("\nRepair:\n") < at("  epoch ")
    );
    assert!(at("  submit ") < at("\nRepair:\n"));
    for command in [&["submit", "--help"][..], &["dead", "list", "--help"], &["--help"]] {
        let help = Weir::command(command).await.stdout;
        assert!(help.contains("Exit codes: 0 done;") && help.contains("78 wrong configuration"), "{help}");
    }
    let shell = Weir::command(&["completions", "bash"]).await;
    assert!(shell.stdout.contains("complete -F _weir"), "{shell:?}");
    let folder = weir_kit::folder(&weir_kit::scratch(), "man").unwrap();
    let pages = Weir::command(&["man", folder.path().to_str().unwrap()]).await;
    assert_eq!(pages.code, Some(0), "{pages:?}");
    let page = std::fs::read_to_string(folder.path().join("weir-stock-load.1")).unwrap();
    assert!(page.contains("delivery note"), "{page}");
    // More than a pipe holds, to somebody who reads one line.
    let script = format!("set -o pipefail; {OWN} demo --for 1s --rate 100 --admin 127.0.0.1:0 | head -n 1");
    let piped = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
    assert!(piped.stderr.is_empty() && piped.status.success(), "{piped:?}");
}

#[tokio::test]
async fn a_probe_tells_whether_a_worker_is_ready() {
    let (_server, worker) = worker().await;
    worker.until_readyz(200).await;
    let admin = worker.admin().to_string();
    let probe = async |arguments: &[&str]| Weir::command(&[&["probe"], arguments].concat()).await;
    // A busy machine may hold its first answers from NATS up.
    let ready = until("it to be ready", async || {
        let ready = probe(&["--admin", &admin]).await;
        (ready.code == Some(0)).then_some(ready)
    });
    assert_eq!(ready.await.stdout, "ready\n");
    let lives = lines(&probe(&["--admin", &admin, "--live", "--json"]).await);
    assert_eq!((&lives[0]["ok"], &lives[0]["said"]), (&json!(true), &json!("ok")));
    worker.stop().await;
    fails(&probe(&["--admin", &admin]).await, 1, &["no worker answers on"]);
}

#[tokio::test]
async fn a_second_worker_of_a_machine_listens_elsewhere() {
    // Whoever holds the usual place, the test or somebody else.
    let _held = std::net::TcpListener::bind(("127.0.0.1", 9464));
    let server = Server::start().await;
    Weir::setup(&server).await;
    let worker = Weir::spawn(&["run", "--nats", &server.url()], &[], "");
    until("another place", async || worker.log().contains("it takes a free port").then_some(())).await;
    until("the admin server", async || worker.log().contains("the admin server listens").then_some(())).await;
    let other = Weir::spawn(&["run", "--nats", &server.url(), "--admin", "127.0.0.1:9464"], &[], "");
    // It was told where, so it does not go elsewhere.
    fails(&other.finish().await, 1, &["cannot listen on 127.0.0.1:9464"]);
}

#[tokio::test]
async fn status_tells_with_and_without_a_worker() {
    let (server, worker) = worker().await;
    let orders = json!([receive("R-1", 2), place("O-1"), place("O-2")]).to_string();
    Weir::on(&server, &["submit", &orders]).await;
    let status: Value = serde_json::from_str(&worker.get("/status?digests").1).unwrap();
    until("the leader to say how far it is", async || {
        let led = status_of(&Weir::on(&server, &["status", "--json"]).await);
        let leader = led["leader"].as_str()?;
        let known = &led["workers"][0];
        assert_eq!(
            (&known["worker"], &known["role"], &known["ready"]),
            (&json!(leader), &json!("leader"), &json!(true))
        );
        (known["applied"] == 2 && known["lag_messages"] == 0).then_some(())
    })
    .await;
    worker.stop().await;
    // Nobody leads, which is no success.
    let plain = Weir::on(&server, &["status"]).await;
    assert_eq!(plain.code, Some(1), "{plain:?}");
    let rows: Vec<Vec<_>> = plain.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((rows[0][0], &rows[1][..5]), ("SHARD", &["main", "-", "0", "of", "0"][..]));
    let waited = Weir::on(&server, &["status", "--wait", "50ms", "--json"]).await;
    assert_eq!(lines_of(&waited, 1)[0]["unready"], "shard main has no leader");

    let ended = Weir::on(&server, &["status", "--json", "--digests"]).await;
    let shard = &status_of(&ended);
    assert_eq!((&shard["leader"], &shard["workers"]), (&Value::Null, &json!([])));
    assert_eq!((&shard["snapshot"], &shard["log_first"]), (&Value::Null, &json!(1)));
    let inspected = &status["shards"][0]["inspected"];
    assert_eq!(shard["announced"], "2.2.0");
    assert_eq!((&shard["lag_messages"], &shard["rules"]), (&json!(0), &json!(1)));
    assert_eq!((&shard["chain"], &shard["inspected"]), (&inspected["chain"], inspected));
    assert_eq!(inspected["books"], "hold");

    Weir::on(&server, &["submit", "--wait", "0ms", &place("O-3").to_string()]).await;
    let behind = status_of(&Weir::on(&server, &["status", "--json"]).await);
    assert_eq!(behind["lag_messages"], 1);
    assert!(behind["lag_seconds"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn the_demo_adds_up() {
    let ended = Weir::command(&["demo", "--for", "2s", "--json", "--admin", "127.0.0.1:0"]).await;
    let summary = lines(&ended).remove(0);
    assert_eq!(summary["problems"], json!([]));
    let figure = |name: &str| summary[name].as_u64().unwrap();
    let sum = |name: &str| -> u64 {
        summary[name].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum()
    };
    assert!(figure("orders") > 1000, "{summary}");
    assert_eq!(figure("orders"), figure("confirmed") + figure("waiting") + sum("refused"));
    assert!(figure("released") <= figure("waiting") && figure("confirmed_in_part") <= figure("confirmed"));
    assert!(figure("commands") >= figure("orders") + figure("repeats"));
    let latency = &summary["stored_to_announced_us"];
    let quantile = |name: &str| latency[name].as_u64().unwrap();
    assert!(quantile("p50") <= quantile("p99") && quantile("p99") <= quantile("max"), "{latency}");
}

/// Weeks are played in seconds, and add up; the other stories are played in `stories`.
#[tokio::test]
async fn a_story_adds_up_and_says_what_it_needs() {
    let quiet = ["demo", "--story", "quiet-night", "--for", "1s", "--json", "--admin", "127.0.0.1:0"];
    let ended = Weir::command(&[&quiet[..], &["--console", "127.0.0.1:0"]].concat()).await;
    let summary = lines(&ended).remove(0);
    assert_eq!(summary["problems"], json!([]));
    assert!(summary["orders"].as_u64().unwrap() > 2_000, "{summary}");
    assert!(summary["others"]["delivered"].as_u64().unwrap() > 1_000, "{summary}");
    for (arguments, code, says) in [
        (&["demo", "--story", "full-log"][..], 1, "--nats URL"),
        (&["demo", "--story", "quiet-night", "--nats", "nats://127.0.0.1:1"], 1, "without --nats"),
        (&["demo", "--story", "quiet-night", "--rate", "5"], 2, "cannot be used with"),
        (&["demo", "--nats", "nats://127.0.0.1:1"], 2, "--story"),
    ] {
        let ended = Weir::command(arguments).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(says), "{ended:?}");
    }
}

#[tokio::test]
async fn the_demo_can_be_interrupted() {
    let arguments = ["demo", "--for", "60s", "--rate", "500", "--admin", "127.0.0.1:0"];
    let demo = Weir::spawn(&arguments, &[], "");
    until("a line of figures", async || demo.printed().contains("% confirmed").then_some(())).await;
    demo.signal("INT");
    let ended = demo.finish().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("It adds up"), "{}", ended.stdout);
    assert!(ended.stdout.contains("orders placed, each decided once"), "{}", ended.stdout);
}

/// Both ways that a shop's past comes in, from the file to the figures.
#[tokio::test]
async fn a_past_is_judged() {
    let folder = folder(&scratch(), "eval").unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let rows = (1..=60).map(|number| {
        let day =
            |add: u32| format!("2026-0{}-{:02}T08:00:00Z", 1 + (number + add) / 28, 1 + (number + add) % 28);
        let late = 4 + 12 * u32::from(number % 10 == 0);
        format!("O-{number},{},{},{},{},{},main\n", day(0), day(0), day(1), day(late), day(9))
    });
    let orders =
        format!("order_id,placed,paid,shipped,delivered,promised_by,site\n{}", rows.collect::<String>());
    let judged = Weir::command(&["eval", &file("orders.csv", orders), "--json"]).await;
    assert_eq!(judged.code, Some(0), "{judged:?}");
    let figures: Value = serde_json::from_str(&judged.stdout).unwrap();
    assert_eq!(figures["orders"], 60, "{figures}");

    let receipt = json!({"receive": {"receipt_id": "R-1", "lines": [{"sku": "A", "quantity": 9}]}});
    let placed = json!({"place": {"order_id": "O-1", "submitted_at": "2026-01-01T08:00:00Z",
        "lines": [{"sku": "A", "quantity": 1}]}});
    let cancelled = json!({"cancel": {"order_id": "O-1", "by": "customer", "reason": "changed_mind"}});
    let commands = file("commands.jsonl", format!("{receipt}\n{placed}\n{cancelled}\n"));
    let judged = Weir::command(&["eval", "--format", "commands", &commands, "--json"]).await;
    assert_eq!(judged.code, Some(0), "{judged:?}");
    let figures: Value = serde_json::from_str(&judged.stdout).unwrap();
    let reason = &figures["cancellation"]["by_reason"][0];
    assert_eq!((&reason["reason"], &reason["orders"]), (&json!("changed_mind"), &json!(1)), "{figures}");

    let wrong = Weir::command(&["eval", &file("wrong.csv", "order_id,placed\nO-1,yesterday\n".into())]).await;
    assert_ne!(wrong.code, Some(0), "{wrong:?}");
    assert!(wrong.stderr.contains("yesterday") || wrong.stderr.contains("line 2"), "{wrong:?}");
}
