//! Prometheus and Alertmanager of a test's own, and what asks them.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use weir_kit::process::{Ending, Input, Process};
use weir_kit::until;

/// A port of the loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// The body of an answer of 200; HTTP/1.0, so that it comes in one piece.
pub(crate) fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> Result<String, String> {
    let answer = (|| {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(weir_kit::PATIENCE))?;
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        connection.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice())?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    })();
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.contains(" 200 ") => Ok(body.to_owned()),
        _ => Err(answer),
    }
}

/// A Prometheus.
pub(crate) struct Prometheus {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Prometheus {
    /// Starts one in a folder, in which its configuration is written to; its series are kept in the folder `data` there.
    pub(crate) async fn start(home: &Path, configuration: &str) -> Self {
        std::fs::write(home.join("own.yml"), configuration).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", home.join("own.yml").display()));
        command.arg(format!("--storage.tsdb.path={}", home.join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let process = Process::start("prometheus", command, Input::None, Ending::Killed)
            .expect("\n\nTHERE IS NO prometheus ON PATH: run `tests/run --install`.\n");
        let prometheus = Self { _process: process, address };
        // It listens before it answers.
        until("Prometheus to answer", async || prometheus.ask("vector(1)").ok()).await;
        prometheus
    }

    /// Asks for an expression's value now.
    pub(crate) fn ask(&self, expr: &str) -> Result<Vec<Value>, String> {
        let mut escaped = String::new();
        for byte in expr.bytes() {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02x}");
        }
        let answer = self.get(&format!("/api/v1/query?query={escaped}"))?;
        Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default())
    }

    /// What its own interface answers.
    pub(crate) fn get(&self, path: &str) -> Result<Value, String> {
        let text = ask(self.address, "GET", path, "")?;
        let answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] != "success" {
            return Err(answer["error"].to_string());
        }
        Ok(answer)
    }
}

/// An Alertmanager.
pub(crate) struct Alertmanager {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Alertmanager {
    /// Starts one that keeps its own in a folder.
    pub(crate) async fn start(home: &Path, configuration: &Path) -> Self {
        let program = ["prometheus-alertmanager", "alertmanager"];
        let found = program.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok());
        let program = found.expect(
            "\n\nTHERE IS NO alertmanager ON PATH: Debian's package prometheus-alertmanager has it.\n",
        );
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", configuration.display()));
        command.arg(format!("--storage.path={}", home.join("alertmanager").display()));
        command.arg(format!("--web.listen-address={address}")).arg("--cluster.listen-address=");
        let process = Process::start("alertmanager", command, Input::None, Ending::Killed).unwrap();
        until("Alertmanager to be ready", async || ask(address, "GET", "/-/ready", "").ok()).await;
        Self { _process: process, address }
    }
}

/// The configuration of Alertmanager that is checked in.
pub(crate) fn routing() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/alertmanager/alertmanager.yml")
}
