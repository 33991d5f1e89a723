//! What `deploy/compose.yml` names, held against what there is, as far as that goes without containers: mounted files, the image's commands
//! and variables, hosts, and each configuration by the program that reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use weir_kit::{folder, scratch};

use crate::weir::Weir;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(deploy().join(name)).unwrap()
}

/// What is mounted from the project: where it stands in a container, and where here.
fn mounts(compose: &str) -> BTreeMap<String, PathBuf> {
    let mounts = compose.lines().filter_map(|line| line.trim().strip_prefix("- ."));
    let mounts = mounts.map(|mount| {
        let mut parts = mount.split(':');
        let (here, there) = (parts.next().unwrap(), parts.next().unwrap());
        assert_eq!((parts.next(), parts.next()), (Some("ro"), None), "{mount}");
        (there.to_owned(), deploy().join(format!(".{here}")))
    });
    mounts.collect()
}

/// What begins with a prefix, up to what cannot be part of a name.
fn named<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let found = text.match_indices(prefix).map(|(place, _)| &text[place..]);
    found
        .map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').next().unwrap()
        })
        .collect()
}

#[test]
fn what_is_mounted_is_there_and_each_program_finds_its_own() {
    let compose = text("compose.yml");
    let mounts = mounts(&compose);
    assert_eq!(mounts.len(), 6, "{mounts:?}");
    for (there, here) in &mounts {
        assert!(here.exists(), "{there} is to be {}", here.display());
    }
    // Where programs look within containers: Prometheus for rules, Grafana for dashboards and for its first page.
    let here = |there: &str| {
        let (mount, here) = mounts.iter().rev().find(|(mount, _)| there.starts_with(mount.as_str())).unwrap();
        here.join(there[mount.len()..].trim_start_matches('/'))
    };
    for rules in ["recording.yml", "alerts.yml"] {
        assert!(text("prometheus.yml").contains(&format!("- rules/{rules}\n")));
        assert!(here(&format!("/etc/prometheus/rules/{rules}")).exists());
    }
    let provider = std::fs::read_to_string(here("/etc/grafana/provisioning/dashboards/weir.yml")).unwrap();
    let boards = provider.split("path: ").nth(1).unwrap().trim();
    assert!(here(boards).join("weir-overview.json").exists());
    let first = compose.split("GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH: ").nth(1).unwrap();
    assert!(here(first.lines().next().unwrap()).exists());
    // Hosts are services.
    let source =
        std::fs::read_to_string(here("/etc/grafana/provisioning/datasources/prometheus.yml")).unwrap();
    let hosts = [
        ("alertmanager:9093", text("prometheus.yml")),
        ("worker-1:9464", text("prometheus.yml")),
        ("worker-2:9464", text("prometheus.yml")),
        ("prometheus:9090", source),
        ("nats:4222", compose.clone()),
    ];
    for (host, within) in hosts {
        let (name, _) = host.split_once(':').unwrap();
        assert!(within.contains(host) && compose.contains(&format!("\n  {name}:")), "{host}");
    }
}

#[tokio::test]
async fn the_image_runs_what_the_binary_knows() {
    let (compose, dockerfile) = (text("compose.yml"), text("Dockerfile"));
    let help = Weir::command(&["run", "--help"]).await.stdout;
    for variable in named(&format!("{compose}{dockerfile}"), "WEIR_").into_iter().chain(["NATS_URL"]) {
        let knows = [format!("[env: {variable}="), format!("[env: {variable}]")];
        assert!(knows.iter().any(|it| help.contains(it)), "`weir run` knows no {variable}: {help}");
    }
    assert!(dockerfile.contains("CMD [\"run\", \"--setup\"]") && help.contains("--setup"));
    assert!(dockerfile.contains("CMD [\"/usr/local/bin/weir\", \"probe\"]"));
    assert_eq!(Weir::command(&["probe", "--help"]).await.code, Some(0));
}

/// Runs a program that checks a configuration.
fn checks(mut command: Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; see tests/run --install"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
}

#[test]
fn each_program_reads_its_configuration() {
    let mut server = Command::new(weir_kit::nats::binary());
    server.arg("-t").arg("-c").arg(deploy().join("nats.conf"));
    checks(server);
    // As the compose file mounts them: the rules in a folder beside.
    let home = folder(&scratch(), "deploying").unwrap();
    std::fs::create_dir(home.path().join("rules")).unwrap();
    for (name, here) in [
        ("prometheus.yml", "prometheus.yml"),
        ("rules/recording.yml", "../dashboards/prometheus/recording.yml"),
        ("rules/alerts.yml", "../dashboards/prometheus/alerts.yml"),
    ] {
        std::fs::copy(deploy().join(here), home.path().join(name)).unwrap();
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "config", "prometheus.yml"]).current_dir(home.path());
    checks(promtool);
    let mut amtool = Command::new("amtool");
    amtool
        .arg("check-config")
        .arg(mounts(&text("compose.yml"))["/etc/alertmanager/alertmanager.yml"].as_path());
    checks(amtool);
}
