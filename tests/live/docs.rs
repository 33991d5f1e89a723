//! What the README and the docs tell people to type: every shell block is run as it stands, or stands on a list with the reason
//! why not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use weir_kit::process::{Ending, Input, Process};
use weir_kit::{folder, scratch};

use crate::nats::Server;
use crate::weir::OWN;

/// How long the tour may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// The shell blocks that are not run here, by a line of each, and why.
const NOT_RUN: [(&str, &str); 13] = [
    ("cargo run --release -- demo", "the demo has a test of its own, and this is what tests/run runs"),
    ("target/release/weir-bench load", "the bench has tests of its own"),
    ("target/release/weir-bench --help", "the same"),
    (
        "nats stream backup",
        "it wants NATS's own command line; `restore` in these tests does the same by the client",
    ),
    ("nats stream restore", "the same"),
    ("127.0.0.1:9466/v1/orders", "`clients` in these tests runs it, on a free port"),
    ("nats request", "`clients` in these tests runs it where there is a `nats` on the PATH"),
    (
        "target/release/weir-bench door",
        "it takes minutes, and its figures mean something on a quiet machine only",
    ),
    ("weir epoch --shard main", "`epoch` in these tests runs it, on a log that was rewritten"),
    ("cargo +nightly fuzz run", "fuzzing wants a nightly compiler"),
    (
        "weir eval ",
        "the tests of `commands::eval` judge small files; the public data sets are not part of the project",
    ),
    ("weir dashboards eyes", "the tests of `monitoring` run the command, the rules' tests, and a Prometheus"),
    ("cargo run --release --example online_retail", "the tests on real data run the mapping"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<(String, String)> {
    let mut pages = vec![("README.md".to_owned(), root().join("README.md"))];
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push((path.file_name().unwrap().to_string_lossy().into_owned(), path));
        }
    }
    pages.into_iter().map(|(name, path)| (name, std::fs::read_to_string(path).unwrap())).collect()
}

/// The blocks of a language, each with the heading above it.
pub(crate) fn blocks(page: &str, language: &str) -> Vec<(String, String)> {
    let (mut found, mut heading, mut block) = (Vec::new(), String::new(), None::<String>);
    for line in page.lines() {
        match &mut block {
            Some(_) if line == "```" => found.push((heading.clone(), block.take().unwrap_or_default())),
            Some(text) => {
                text.push_str(line);
                text.push('\n');
            }
            None if line == format!("```{language}") => block = Some(String::new()),
            None => {
                if let Some(title) = line.strip_prefix('#') {
                    title.trim_start_matches('#').trim().clone_into(&mut heading);
                }
            }
        }
    }
    found
}

/// The README's tour, in one piece.
fn tour() -> String {
    let (_, readme) = &pages()[0];
    let parts = blocks(readme, "sh").into_iter().filter(|(heading, _)| heading == "A tour");
    parts.map(|(_, block)| block).collect()
}

#[test]
fn every_shell_block_is_run_or_said_not_to_be() {
    for (name, page) in pages() {
        for (heading, block) in blocks(&page, "sh") {
            let is_tour = name == "README.md" && heading == "A tour";
            let excused = NOT_RUN.iter().any(|(line, why)| block.contains(line) && !why.is_empty());
            assert!(is_tour || excused, "{name}, {heading}: nobody runs\n{block}");
        }
    }
    assert!(tour().lines().count() > 15, "the tour is somewhere else");
}

/// Writes a program of the test's own.
fn program(folder: &Path, name: &str, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// As pasted into a shell, but for two things: the server takes a free port, as another may hold the usual one, and so does the
/// first worker's admin server.
#[tokio::test]
async fn the_tour_works_as_pasted() {
    let folder = folder(&scratch(), "tour").unwrap();
    let (home, bin) = (folder.path(), folder.path().join("bin"));
    std::fs::create_dir(&bin).unwrap();
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let server = weir_kit::nats::binary();
    program(
        &bin,
        "nats-server",
        &format!("#!/bin/sh\nexec {} -a 127.0.0.1 -p {port} \"$@\"\n", server.display()),
    );
    // What is measured is that no line fails, so whoever is asked first may still be starting.
    let connects = format!("until (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done\n");
    let script = tour().replace("\nweir setup", &format!("\n{connects}weir setup")).replace(
        "127.0.0.1:9464/metrics",
        "\"$(sed -n 's/.*admin server listens address=//p' one.log)\"/metrics",
    );
    let weir = Path::new(OWN).parent().unwrap().display();
    let path = format!("{}:{weir}:{}", bin.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("bash");
    command
        .args(["-m", "-e", "-o", "pipefail", "-c", &script])
        .current_dir(home)
        .env("PATH", path)
        .env("NATS_URL", format!("nats://127.0.0.1:{port}"));
    for name in ["WEIR_CONFIG", "WEIR_PREFIX", "WEIR_ADMIN", "WEIR_CONSOLE", "WEIR_NAME", "WEIR_LOG"] {
        command.env_remove(name);
    }
    let shell = Process::start("tour", command, Input::None, Ending::Asked).unwrap();
    let ended = shell.finish(PATIENCE).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for said in [
        "\"duplicate\":true",
        "\"insufficient_stock\"",
        "refused, so its exit code is 1",
        "receipts: 1 new",
        "\"O-3\"",
    ] {
        assert!(ended.stdout.contains(said), "{said:?} is not in {ended:?}");
    }
}

/// The README's checkout, where Python's client for NATS is there (`pip install nats-py`).
#[tokio::test]
async fn the_checkout_hears_its_answer() {
    let (_, readme) = &pages()[0];
    let (_, program) = blocks(readme, "python").remove(0);
    let known = Command::new("python3").args(["-c", "import nats"]).output();
    if !known.is_ok_and(|output| output.status.success()) {
        weir_kit::skipped("python3 has no nats-py");
        return;
    }
    let server = Server::start().await;
    crate::weir::Weir::setup(&server).await;
    let _worker = crate::weir::Weir::ready(&server, &[]).await;
    let stock = r#"{"receive":{"receipt_id":"R","lines":[{"sku":"85123A","quantity":1}]}}"#;
    crate::weir::Weir::on(&server, &["submit", stock]).await;
    let mut command = Command::new("python3");
    command.args(["-c", &program, &server.url()]);
    let checkout = Process::start("checkout", command, Input::None, Ending::Killed).unwrap();
    let ended = checkout.finish(PATIENCE).await.unwrap();
    assert_eq!(ended.stdout, "confirmed O-1001\n", "{ended:?}");
}
