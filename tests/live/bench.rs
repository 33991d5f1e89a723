//! `weir bench`, in short runs: that it measures, audits, compares, and leaves nothing behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::nats::{Server, binary, soon, until};
use crate::weir::{Ended, Weir, plain};

/// A folder of a test's own.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The arguments of a short bench, unless they say otherwise.
fn short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    for (flag, value) in [("--rounds", "1"), ("--for", "400ms"), ("--warmup", "200ms")] {
        if !arguments.contains(&flag) {
            all.extend([flag, value]);
        }
    }
    [&["bench"], &all[..]].concat()
}

/// Starts a short bench on a server of its own, with its store in `folder`.
fn start(folder: &Folder, arguments: &[&str]) -> Weir {
    let (server, store) = (binary(), folder.file("store"));
    let own = ["--nats-server", server.to_str().unwrap(), "--store-dir", &store];
    Weir::spawn(&[&short(arguments)[..], &own].concat(), &[], "")
}

/// Runs a short bench that must succeed and leave its store empty, and gives what it printed and its figures.
async fn run(folder: &Folder, arguments: &[&str]) -> (String, Value) {
    let json = folder.file("figures.json");
    let ended = start(folder, &[arguments, &["--json", &json]].concat()).finish().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(std::fs::read_dir(folder.file("store")).unwrap().count(), 0);
    (ended.stdout, serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap())
}

/// The only round of the first rate.
fn round(figures: &Value) -> &Value {
    &figures["rates"][0]["rounds"][0]
}

#[track_caller]
fn fails(ended: &Ended, texts: &[&str]) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for text in texts {
        assert!(ended.stderr.contains(text), "{text:?} is not in {}", ended.stderr);
    }
}

/// The processes whose parent is `parent`.
fn children(parent: u32) -> BTreeSet<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
    };
    numbers.filter(is_child).collect()
}

/// What a process was started as.
fn command_line(process: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// The child of a bench whose command line has this text.
async fn child(bench: &Weir, text: &str) -> u32 {
    until(text, async || children(bench.id()).into_iter().find(|it| command_line(*it).contains(text))).await
}

#[tokio::test]
async fn it_measures_audits_and_compares() {
    let folder = Folder::new("measures");
    let hgrm = folder.file("hgrm");
    let arguments = ["--rate", "20000", "--shards", "2", "--mix", "pay=20,cancel=5,ship=10", "--hgrm", &hgrm];
    let (text, figures) = run(&folder, &arguments).await;
    assert!(text.contains("\nlost 0, duplicated 0, oversold 0\n"), "{text}");
    assert!(text.contains("20,000 orders/s planned"), "{text}");
    for worker in ["weir", "ceiling"] {
        let pass = &round(&figures)[worker];
        let number = |figure: &Value| figure.as_f64().unwrap();
        assert!(number(&pass["orders_per_second"]) > 1_000.0, "{pass}");
        let latency = &pass["latency"];
        let (p50, p99, max) = (number(&latency["p50"]), number(&latency["p99"]), number(&latency["max"]));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{latency}");
        for part in ["worker", "server", "generator"] {
            assert!(number(&pass["cpu"][part]) > 0.0, "{part}: {pass}");
        }
        assert!(number(&pass["worker_rss_bytes"]) > 1e6, "{pass}");
        // What the ceiling publishes is as large as what Weir does.
        assert!((25.0..80.0).contains(&number(&pass["bytes_out_per_order"])), "{pass}");
        let percentiles = std::fs::read_to_string(format!("{hgrm}/20000-{worker}.hgrm")).unwrap();
        assert!(percentiles.contains("#[Max     = "), "{percentiles}");
    }
    let bytes_out = |worker: &str| round(&figures)[worker]["bytes_out_per_order"].as_f64().unwrap();
    let share = bytes_out("ceiling") / bytes_out("weir");
    assert!((0.85..1.15).contains(&share), "{share}");
    let audit = &round(&figures)["weir"]["audit"];
    assert_eq!(audit["confirmed"], round(&figures)["weir"]["generated"]["orders"]);
    for step in ["paid", "cancelled", "shipped"] {
        assert!(audit["others"][step].as_u64().unwrap() > 100, "{audit}");
    }

    let earlier = folder.file("earlier.json");
    std::fs::rename(folder.file("figures.json"), &earlier).unwrap();
    let again = ["--rate", "20000", "--shards", "2", "--skus", "500", "--no-ceiling", "--compare", &earlier];
    let (text, figures) = run(&folder, &again).await;
    assert!(text.contains("  20000: orders/s "), "{text}");
    assert!(
        text.contains("WARNING: the conditions differ (") && text.contains("skus: 10000 then, 500 now"),
        "{text}"
    );
    assert_eq!(round(&figures)["ceiling"], Value::Null);
}

#[tokio::test]
async fn stock_that_runs_out_is_refused_and_never_oversold() {
    let folder = Folder::new("runs-out");
    let arguments = ["--rate", "max", "--orders", "20000", "--format", "json", "--fsync", "always"];
    let scarce = ["--stock", "50", "--skus", "100", "--skew", "0.64", "--lines", "1-4", "--batch", "16"];
    let (text, figures) = run(&folder, &[&arguments[..], &scarce].concat()).await;
    assert!(text.contains("fsync always"), "{text}");
    assert!(text.contains("latency from the actual sending"), "{text}");
    let audit = &round(&figures)["weir"]["audit"];
    // No more units than there were, and nearly all of them.
    assert!((500..5_000).contains(&audit["confirmed"].as_u64().unwrap()), "{audit}");
    assert!(audit["refused"]["insufficient_stock"].as_u64().unwrap() > 1_000, "{audit}");
    assert_eq!((&audit["lost"], &audit["duplicated"], &audit["oversold"]), (&0.into(), &0.into(), &0.into()));
    assert!(round(&figures)["weir"]["generated"]["orders"].as_u64().unwrap() >= 1_000);
}

#[tokio::test]
async fn a_rate_that_was_not_held_is_said() {
    let folder = Folder::new("not-held");
    // No machine does so many.
    let arguments =
        ["--rate", "90000000", "--orders", "20000", "--warmup", "0", "--no-ceiling", "--lines", "shop"];
    let (text, figures) = run(&folder, &arguments).await;
    assert!(text.contains("NOT HELD by weir in 1 of 1 rounds"), "{text}");
    assert_eq!(round(&figures)["weir"]["held"], false);
    assert!(round(&figures)["weir"]["generated"]["orders"].as_u64().unwrap() >= 20_000);
}

#[tokio::test]
async fn three_servers_keep_three_copies() {
    let folder = Folder::new("replicas");
    let arguments = ["--rate", "5000", "--replicas", "3", "--no-ceiling"];
    let (text, figures) = run(&folder, &arguments).await;
    assert!(text.contains("3 copies"), "{text}");
    assert!(round(&figures)["weir"]["audit"]["confirmed"].as_u64().unwrap() > 1_000);
}

#[tokio::test]
async fn a_given_server_is_left_as_it_was() {
    let server = Server::start().await;
    let url = server.url();
    let given = ["--rate", "5000", "--server", &url];
    let ended = Weir::command(&short(&given)).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("given: when it syncs is not known"), "{}", ended.stdout);
    let streams = async || plain(&server).await.query_account().await.unwrap().streams;
    assert_eq!(streams().await, 0);

    let bench = Weir::spawn(&short(&[&given[..], &["--for", "60s"]].concat()), &[], "");
    child(&bench, "bench-part generate").await;
    bench.signal("TERM");
    fails(&bench.finish().await, &["interrupted"]);
    assert_eq!(streams().await, 0);
}

#[tokio::test]
async fn an_interrupt_leaves_no_child_and_no_file() {
    let folder = Folder::new("interrupt");
    let bench = start(&folder, &["--rate", "1000", "--for", "60s"]);
    child(&bench, "bench-part generate").await;
    let processes = children(bench.id());
    assert_eq!(processes.len(), 3, "{:?}", processes.iter().copied().map(command_line).collect::<Vec<_>>());
    bench.signal("INT");
    fails(&bench.finish().await, &["interrupted"]);
    for process in processes {
        assert_eq!(command_line(process), "");
    }
    assert_eq!(std::fs::read_dir(folder.file("store")).unwrap().count(), 0);
}

#[tokio::test]
async fn children_end_with_a_bench_that_is_killed() {
    let folder = Folder::new("killed");
    let mut bench = start(&folder, &["--rate", "1000", "--for", "60s"]);
    child(&bench, "bench-part generate").await;
    let processes = children(bench.id());
    bench.kill();
    until("the children's end", async || {
        processes.iter().all(|process| command_line(*process).is_empty()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_dies_ends_the_bench() {
    let folder = Folder::new("dies");
    let bench = start(&folder, &["--rate", "1000", "--for", "60s", "--no-ceiling"]);
    child(&bench, "bench-part generate").await;
    let worker = child(&bench, "run --config").await;
    let killed =
        std::process::Command::new("kill").args(["-s", "KILL", &worker.to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = soon("the end of the bench", bench.finish()).await;
    fails(&ended, &["1000, round 1 of 1, weir: the worker has ended (signal: 9", "the admin server listens"]);
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let folder = Folder::new("named");
    let missing = Weir::command(&["bench", "--nats-server", "/no/such/server"]).await;
    fails(&missing, &["/no/such/server is no nats-server that can be run"]);
    let no_figures = folder.file("no-figures.json");
    std::fs::write(&no_figures, "{}").unwrap();
    let compared = Weir::command(&["bench", "--compare", &no_figures]).await;
    fails(&compared, &["no-figures.json holds no figures of this bench"]);
    let unreachable = Weir::command(&["bench", "--server", "nats://127.0.0.1:1"]).await;
    fails(&unreachable, &["cannot connect to NATS at 127.0.0.1:1"]);
    assert_eq!(Weir::command(&["bench", "--way", "door"]).await.code, Some(2));
}

#[test]
fn a_machine_without_a_server_is_told_how_to_get_one() {
    // Away from the folder where the tests' own server lies.
    let elsewhere = std::env::temp_dir().join(format!("weir-bench-test-{}", std::process::id()));
    std::fs::create_dir_all(&elsewhere).unwrap();
    let weir = elsewhere.join("weir");
    std::fs::copy(env!("CARGO_BIN_EXE_weir"), &weir).unwrap();
    let mut command = std::process::Command::new(&weir);
    command.arg("bench").current_dir(&elsewhere).env("PATH", &elsewhere).env("TMPDIR", &elsewhere);
    let output = command.output().unwrap();
    std::fs::remove_file(&weir).unwrap();
    let left = std::fs::read_dir(&elsewhere).unwrap().count();
    std::fs::remove_dir_all(&elsewhere).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), left), (Some(1), 0), "{stderr}");
    for way in ["--nats-server", "PATH", "tests/run", "--server URL"] {
        assert!(stderr.contains(way), "{stderr}");
    }
}
