//! `weir-bench`, in short runs: that it measures, audits, compares, and leaves nothing behind. No figure is asserted that a
//! machine's speed could change.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::collections::BTreeSet;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use weir_kit::nats::{Server, binary};
use weir_kit::process::{Ended, Ending, Input, Process};
use weir_kit::{PATIENCE, folder, scratch, soon, until};

const BENCH: &str = env!("CARGO_BIN_EXE_weir-bench");

/// A folder of a test's own.
struct Folder(TempDir);

impl Folder {
    fn new(name: &str) -> Self {
        Self(folder(&scratch(), name).unwrap())
    }

    fn file(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// What is left in the store.
    fn left(&self) -> usize {
        std::fs::read_dir(self.file("store")).unwrap().count()
    }
}

/// The arguments of a short run of the load, unless they say otherwise.
fn short<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    let shorter = [("--rounds", "1"), ("--for", "400ms"), ("--warmup", "200ms"), ("--also", "none")];
    for (flag, value) in shorter {
        if !arguments.contains(&flag) {
            all.extend([flag, value]);
        }
    }
    [&["load"], &all[..]].concat()
}

fn spawn(arguments: &[&str]) -> Process {
    let mut command = Command::new(BENCH);
    command.args(arguments);
    Process::start("bench", command, Input::None, Ending::Killed).unwrap()
}

async fn ended(arguments: &[&str]) -> Ended {
    spawn(arguments).finish(2 * PATIENCE).await.unwrap()
}

/// Starts a short run on a server of its own, with its store in `folder`.
fn start(folder: &Folder, arguments: &[&str]) -> Process {
    let (server, store) = (binary(), folder.file("store"));
    let own = ["--nats-server", server.to_str().unwrap(), "--store-dir", &store];
    spawn(&[&short(arguments)[..], &own].concat())
}

/// Runs a short load that must succeed and leave its store empty, and gives what it printed and its figures.
async fn run(folder: &Folder, arguments: &[&str]) -> (String, Value) {
    let json = folder.file("figures.json");
    let started = start(folder, &[arguments, &["--json", &json]].concat());
    let ended = started.finish(2 * PATIENCE).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(folder.left(), 0);
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

/// The child of a bench whose command line ends with this text.
async fn child(bench: &Process, text: &str) -> u32 {
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
    assert!(text.contains("  aim: p99 at most 2 times the ceiling's; not known"), "{text}");
    for worker in ["weir", "ceiling"] {
        let pass = &round(&figures)[worker];
        let number = |figure: &Value| figure.as_f64().unwrap();
        assert!(number(&pass["orders_per_second"]) > 1_000.0, "{pass}");
        let latency = &pass["latency"];
        assert!(
            0.0 < number(&latency["p50"]) && number(&latency["p50"]) <= number(&latency["max"]),
            "{latency}"
        );
        // Some 31 messages carry no such percentile.
        assert_eq!((&latency["p99"], &latency["p99_99"]), (&Value::Null, &Value::Null));
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
    let commit = figures["conditions"]["commit"].as_str().unwrap();
    assert!(text.contains(&format!("commit {commit}, compared with {commit} of ")), "{text}");
    assert!(text.contains("  20000: orders/s "), "{text}");
    assert!(
        text.contains("WARNING: the conditions differ (") && text.contains("skus: 10000 then, 500 now"),
        "{text}"
    );
    assert_eq!(round(&figures)["ceiling"], Value::Null);
}

#[tokio::test]
async fn beside_the_rates_there_are_json_a_standby_and_scarce_stock() {
    let folder = Folder::new("beside");
    let arguments = [
        "--rate",
        "max,80%",
        "--no-ceiling",
        "--for",
        "1s",
        "--also",
        "json,standby,scarce",
        "--in-flight",
        "20000",
    ];
    let (text, figures) = run(&folder, &arguments).await;
    assert!(text.contains("so each waits ") && text.contains("(80% of the max)"), "{text}");
    let also = |name: &str| figures["also"].as_array().unwrap().iter().find(|it| it["what"] == name).unwrap();
    assert!(also("json")["pass"]["bytes_in_per_order"].as_f64().unwrap() > 80.0);
    // How many there were hangs on the machine's speed.
    assert!(also("standby")["pass"]["snapshots"].is_u64());
    let scarce = &also("scarce")["pass"]["audit"];
    assert!(scarce["refused"]["insufficient_stock"].as_u64().unwrap() > 1_000, "{scarce}");
    assert_eq!((&scarce["lost"], &scarce["oversold"]), (&0.into(), &0.into()));
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
        ["--rate", "90000000", "--orders", "20000", "--warmup", "0s", "--no-ceiling", "--lines", "shop"];
    let (text, figures) = run(&folder, &arguments).await;
    assert!(text.contains("NOT HELD by weir in 1 of 1 rounds"), "{text}");
    assert_eq!(round(&figures)["weir"]["held"], false);
    assert!(round(&figures)["weir"]["generated"]["orders"].as_u64().unwrap() >= 10_000);
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
    let measured = ended(&short(&given)).await;
    assert_eq!(measured.code, Some(0), "{measured:?}");
    assert!(measured.stdout.contains("given: when it syncs is not known"), "{}", measured.stdout);
    let context = async_nats::jetstream::new(async_nats::connect(&url).await.unwrap());
    let streams = async || context.query_account().await.unwrap().streams;
    assert_eq!(streams().await, 0);

    let bench = spawn(&short(&[&given[..], &["--for", "60s"]].concat()));
    child(&bench, "part generate").await;
    bench.signal(Signal::TERM);
    fails(&bench.finish(PATIENCE).await.unwrap(), &["interrupted"]);
    assert_eq!(streams().await, 0);
}

#[tokio::test]
async fn an_interrupt_keeps_the_finished_rounds_and_leaves_no_child_and_no_file() {
    let folder = Folder::new("interrupt");
    let json = folder.file("figures.json");
    let bench = start(&folder, &["--rate", "1000", "--no-ceiling", "--rounds", "100", "--json", &json]);
    let first = child(&bench, "part generate").await;
    // The first round has ended once another generator is there.
    until("the second round", async || {
        let generators =
            children(bench.id()).into_iter().filter(|it| command_line(*it).contains("part generate"));
        generators.into_iter().find(|generator| *generator != first)
    })
    .await;
    let processes = children(bench.id());
    bench.signal(Signal::INT);
    let ended = bench.finish(PATIENCE).await.unwrap();
    fails(&ended, &["interrupted"]);
    assert!(ended.stdout.contains("1,000 orders/s planned"), "{ended:?}");
    assert!(ended.stdout.contains("NOT ALL: it was ended early"), "{ended:?}");
    let figures: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    assert_eq!(figures["interrupted"], true);
    assert!((1..100).contains(&figures["rates"][0]["rounds"].as_array().unwrap().len()));
    for process in processes {
        assert_eq!(command_line(process), "");
    }
    assert_eq!(folder.left(), 0);
}

#[tokio::test]
async fn children_end_with_a_bench_that_is_killed() {
    let folder = Folder::new("killed");
    let mut bench = start(&folder, &["--rate", "1000", "--for", "60s"]);
    child(&bench, "part generate").await;
    let processes = children(bench.id());
    assert_eq!(processes.len(), 3, "{:?}", processes.iter().copied().map(command_line).collect::<Vec<_>>());
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
    child(&bench, "part generate").await;
    let worker = child(&bench, "run --name").await;
    let killed = Command::new("kill").args(["-s", "KILL", &worker.to_string()]).status().unwrap();
    assert!(killed.success());
    let ended = soon("the end of the bench", bench.finish(PATIENCE)).await.unwrap();
    fails(&ended, &["1000, round 1 of 1, weir: the worker has ended (signal: 9"]);
}

#[tokio::test]
async fn rivals_that_are_not_there_are_left_out_and_the_others_compared() {
    let folder = Folder::new("rivals");
    let (server, json, store) = (binary(), folder.file("rivals.json"), folder.file("store"));
    let arguments = ["rivals", "--for", "300ms", "--warmup", "200ms", "--rounds", "1", "--fsync", "lazy"];
    let places = ["--nats-server", server.to_str().unwrap(), "--store-dir", &store, "--json", &json];
    // What is installed may be compared too.
    let nowhere = ["--redis-server", "/no/such/server"];
    let ended = ended(&[&arguments[..], &places, &nowhere].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.contains("LEFT OUT: Debian's package redis-server has it"), "{}", ended.stdout);
    let figures: Value = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    let series = figures["series"].as_array().unwrap();
    for key in [
        "weir_1_door",
        "weir_1_json",
        "naive_1_json",
        "weir_256_bincode",
        "naive_256_bincode",
        "naive_256_json",
    ] {
        let one = series.iter().find(|series| series["contender"] == key).unwrap();
        assert!(one["orders_per_second"]["median"].as_f64().unwrap() > 100.0, "{one}");
        let scarce = &one["scarce"][0]["measured"]["findings"];
        assert!(scarce["refused"].as_object().unwrap().len() == 1 && scarce["oversold"] == 0, "{one}");
        assert!(one["latency"][0]["latency_ms"]["p50"].as_f64().is_some(), "{one}");
        let is_measure = key.starts_with("weir") && key != "weir_1_json";
        assert_eq!(one["weir_is_times_this"].is_null(), is_measure, "{one}");
    }
    assert_eq!(folder.left(), 0);
}

#[tokio::test]
async fn storms_and_snapshots_run() {
    for command in ["storms", "snapshots"] {
        let ended = ended(&[command, "--test"]).await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert!(ended.stdout.contains("planned to announced"), "{ended:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_run_is_named() {
    let folder = Folder::new("named");
    let missing = ended(&["load", "--nats-server", "/no/such/server"]).await;
    fails(&missing, &["/no/such/server is no nats-server that can be run"]);
    let worker = ended(&["load", "--weir", "/no/such/weir"]).await;
    fails(&worker, &["there is no /no/such/weir"]);
    let no_figures = folder.file("no-figures.json");
    std::fs::write(&no_figures, "{}").unwrap();
    let compared = ended(&["load", "--compare", &no_figures]).await;
    fails(&compared, &["no-figures.json holds no figures of this bench"]);
    let unreachable = ended(&["load", "--server", "nats://127.0.0.1:1"]).await;
    fails(&unreachable, &["cannot connect to NATS at 127.0.0.1:1"]);
    let batch = ended(&["load", "--batch", "4096"]).await;
    assert_eq!(batch.code, Some(2));
    assert!(batch.stderr.contains("4096 is not in 1..=2048"), "{}", batch.stderr);
}

#[test]
fn a_machine_without_a_server_or_worker_is_told_how_to_get_one() {
    // Away from the folder where the tests' own server lies.
    let elsewhere = folder(&std::env::temp_dir(), "bench-test").unwrap();
    let bench = elsewhere.path().join("weir-bench");
    std::fs::copy(BENCH, &bench).unwrap();
    let store = elsewhere.path().join("store");
    let run = || {
        let mut command = Command::new(&bench);
        command
            .args(["load", "--store-dir"])
            .arg(&store)
            .current_dir(&elsewhere)
            .env("PATH", elsewhere.path());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let stderr = run();
    assert!(stderr.contains("weir: build it (cargo build --release --workspace --bins)"), "{stderr}");
    std::fs::write(elsewhere.path().join("weir"), "").unwrap();
    let stderr = run();
    for way in ["--nats-server", "PATH", "tests/run", "--server URL"] {
        assert!(stderr.contains(way), "{stderr}");
    }
    assert_eq!(std::fs::read_dir(&store).unwrap().count(), 0);
}
