//! A real `nats-server` of a test's own: on a free port of the loopback, with a folder of its own, gone when it is
//! dropped.

#![allow(dead_code, reason = "not every test stops, kills and restarts")]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_nats::jetstream::stream::Config;
use serde_json::Value;
use weir::edges::jetstream::{Connection, Connections};

/// The server that the tests run against unless [`SERVER_VARIABLE`] names another.
pub(crate) const SERVER_VERSION: &str = "2.15.1";
/// Names another server binary, such as one of the oldest supported version.
pub(crate) const SERVER_VARIABLE: &str = "WEIR_TEST_NATS_SERVER";

/// How long anything may take before a test gives up on it: on a busy machine with a slow disk.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A running server.
pub(crate) struct Server {
    binary: PathBuf,
    folder: PathBuf,
    port: u16,
    process: Option<Child>,
}

impl Server {
    /// Starts a server with an empty store and waits until it answers.
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same, with a configuration of its own.
    pub(crate) async fn start_with(configuration: &str) -> Self {
        let server = Self::launch(configuration).await;
        server.wait_until_ready().await;
        server
    }

    /// Starts three servers of one cluster and waits until they can keep three copies.
    pub(crate) async fn start_three() -> [Self; 3] {
        // Each must know the others' ports beforehand.
        let listeners = [(); 3].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}"));
        let start = |number: usize| {
            Self::launch(format!(
                "server_name: s{number}\ncluster {{ name: c, listen: \"127.0.0.1:{}\", routes: {routes:?} }}",
                ports[number]
            ))
        };
        let (one, two, three) = tokio::join!(start(0), start(1), start(2));
        let servers = [one, two, three];
        for server in &servers {
            server.wait_until_ready().await;
        }
        let context = async_nats::jetstream::new(async_nats::connect(servers[0].url()).await.unwrap());
        until("three copies of a stream", async || {
            let probe = Config { name: "PROBE".to_owned(), num_replicas: 3, ..Config::default() };
            context.create_stream(probe).await.ok()
        })
        .await;
        context.delete_stream("PROBE").await.unwrap();
        servers
    }

    /// Starts a server and waits until it says where it listens.
    async fn launch(configuration: impl Into<String>) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nats-{}-{number}", std::process::id()));
        // A process of the same id may have left one.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config"), configuration.into()).unwrap();
        let mut server = Self { binary: binary(), folder, port: 0, process: None };
        // The server takes a free port itself and says which: nobody can take it in between.
        let process = server.spawn("-1");
        let ports = server.folder.join(format!("nats-server_{}.ports", process.id()));
        server.process = Some(process);
        server.port = until("the server's ports file", async || {
            let ports: Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
            ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
        })
        .await;
        server
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its streams.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join("store")
    }

    /// A folder for the files of a test; it goes with the server.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How a test connects to it.
    pub(crate) fn connection(&self) -> Connection {
        Connection { urls: vec![self.url()], name: "test".to_owned(), wait_for_server: false }
    }

    /// New connections to it.
    pub(crate) async fn connect(&self) -> Connections {
        Connections::open(&self.connection()).await.unwrap()
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let signalled = Command::new(&self.binary)
                .arg("--signal")
                .arg(format!("stop={}", process.id()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            if !signalled.is_ok_and(|status| status.success()) {
                let _ = process.kill();
            }
            process.wait().unwrap();
        }
    }

    /// Ends it without a chance to write anything down.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    /// Starts it again on the same port and store, after stopping it if it runs, and waits until it answers.
    pub(crate) async fn restart(&mut self) {
        self.stop();
        self.resume();
        self.wait_until_ready().await;
    }

    /// Starts it again on the same port and store, after it was killed, and does not wait: it may be one of a cluster that
    /// cannot answer yet.
    pub(crate) fn resume(&mut self) {
        assert!(self.process.is_none());
        self.process = Some(self.spawn(&self.port.to_string()));
    }

    fn spawn(&self, port: &str) -> Child {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("log")).unwrap();
        Command::new(&self.binary)
            .args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"])
            .arg(self.store())
            .arg("-c")
            .arg(self.folder.join("config"))
            .arg("--ports_file_dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap()
    }

    async fn wait_until_ready(&self) {
        until("JetStream", async || {
            let client = async_nats::connect(self.url()).await.ok()?;
            async_nats::jetstream::new(client).query_account().await.ok()
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // Kept for whoever looks into it.
            eprintln!("the server's folder: {}", self.folder.display());
        } else {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

pub(crate) fn binary() -> PathBuf {
    let path = std::env::var_os(SERVER_VARIABLE).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("target/tools/nats-server-{SERVER_VERSION}/nats-server"))
        },
        PathBuf::from,
    );
    assert!(
        path.is_file(),
        "\n\nTHERE IS NO NATS SERVER AT {}.\nRun tests/run, which fetches it; or name one in {SERVER_VARIABLE}.\n",
        path.display()
    );
    path
}

/// Tries again and again until `attempt` gives something, for at most [`PATIENCE`].
pub(crate) async fn until<T>(what: &str, attempt: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, attempt).await
}

/// The same, for what may take longer.
pub(crate) async fn within<T>(
    patience: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> T {
    let tries = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(patience, tries).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// Waits for `future`, for at most [`PATIENCE`].
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
