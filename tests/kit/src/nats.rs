//! A real `nats-server` of one's own: on a free port of the loopback, with a folder of its own, gone when it is dropped.

use std::ffi::OsString;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use async_nats::jetstream::stream::Config;
use serde_json::Value;
use tempfile::TempDir;
use weir::edges::jetstream::{Connection, Connections};

/// How often three servers are started where a port of theirs was taken.
const TRIES_MAX: u32 = 5;

use crate::process::{Ending, Input, Process};
use crate::{PATIENCE, folder, scratch, until};

/// The server that the tests run against unless [`SERVER_VARIABLE`] names another.
pub const SERVER_VERSION: &str = "2.15.1";
/// Names another server binary, such as one of the oldest supported version.
pub const SERVER_VARIABLE: &str = "WEIR_TEST_NATS_SERVER";

/// Streams reserve their room before they fill it, and a server offers three quarters of the free disk unless told: tests
/// would fail where it is small, though they write little.
const ROOMY: &str = "\njetstream { max_file_store: 1TB }\n";

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub binary: PathBuf,
    /// Words that are put before it: a program that becomes it.
    pub before: Vec<OsString>,
    /// Whether it has a process group of its own, which a Ctrl-C on the terminal does not reach.
    pub own_group: bool,
    /// Where its folder is made.
    pub parent: PathBuf,
    /// What its configuration file says, beside the store and the port.
    pub configuration: String,
}

impl Launch {
    /// As the tests start it: with more room than they reserve, unless the configuration has a `jetstream` of its own.
    #[must_use]
    pub fn for_test(configuration: impl Into<String>) -> Self {
        let mut configuration = configuration.into();
        if !configuration.contains("jetstream") {
            configuration.push_str(ROOMY);
        }
        Self { binary: binary(), before: Vec::new(), own_group: false, parent: scratch(), configuration }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    process: Option<Process>,
    port: u16,
    launch: Launch,
    // The last to go.
    folder: TempDir,
}

impl Server {
    /// Starts a server with an empty store and waits until it answers.
    pub async fn start() -> Self {
        Self::start_with("").await
    }

    /// The same, with a configuration of its own.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start_with(configuration: &str) -> Self {
        let server = Self::launch(Launch::for_test(configuration)).await.expect("a nats-server");
        server.wait_until_ready().await;
        server
    }

    /// Starts three servers of one cluster and waits until they can keep three copies.
    ///
    /// # Panics
    /// If they cannot be started.
    pub async fn start_three() -> [Self; 3] {
        let mut tries = 0;
        let servers = loop {
            tries += 1;
            match Self::launch_three().await {
                Ok(servers) => break servers,
                // The ports of a cluster must be known before: somebody may take one in between.
                Err(error)
                    if tries < TRIES_MAX && format!("{error:#}").contains("address already in use") => {}
                Err(error) => panic!("a nats-server: {error:#}"),
            }
        };
        for server in &servers {
            server.wait_until_ready().await;
        }
        let context =
            async_nats::jetstream::new(async_nats::connect(servers[0].url()).await.expect("it answers"));
        until("three copies of a stream", async || {
            let probe = Config { name: "PROBE".to_owned(), num_replicas: 3, ..Config::default() };
            context.create_stream(probe).await.ok()
        })
        .await;
        context.delete_stream("PROBE").await.expect("it was there");
        servers.try_into().expect("three")
    }

    async fn launch_three() -> Result<Vec<Self>> {
        let mut servers = Vec::new();
        for configuration in cluster(3, "")? {
            servers.push(Self::launch(Launch::for_test(configuration)).await?);
        }
        Ok(servers)
    }

    /// Starts a server and waits until it says where it listens.
    pub async fn launch(launch: Launch) -> Result<Self> {
        let folder = folder(&launch.parent, "nats")
            .with_context(|| format!("cannot make a folder in {}", launch.parent.display()))?;
        std::fs::write(folder.path().join("config"), &launch.configuration)?;
        let mut server = Self { process: None, port: 0, launch, folder };
        // The server takes a free port itself and says which: nobody can take it in between.
        let mut process = server.spawn("-1")?;
        let ports = server.folder.path().join(format!("nats-server_{}.ports", process.id()));
        server.port = process
            .until(PATIENCE, async || {
                let ports: Value = serde_json::from_slice(&std::fs::read(&ports).ok()?).ok()?;
                ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
            })
            .await?;
        server.process = Some(process);
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port on the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, while it runs.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Where it keeps its streams.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.folder().join("store")
    }

    /// A folder for the files of a test; it goes with the server.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How a test connects to it.
    #[must_use]
    pub fn connection(&self) -> Connection {
        Connection { urls: vec![self.url()], name: "test".to_owned(), ..Connection::default() }
    }

    /// New connections to it.
    ///
    /// # Panics
    /// If it does not answer.
    pub async fn connect(&self) -> Connections {
        Connections::open(&self.connection()).await.expect("a server that answers")
    }

    /// Stops it in good order.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            let signalled = Command::new(&self.launch.binary)
                .arg("--signal")
                .arg(format!("stop={}", process.id()))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            wait(process, signalled.is_ok_and(|status| status.success()));
        }
    }

    /// Ends it without a chance to write anything down.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Starts it again on the same port and store, after stopping it if it runs, and waits until it answers.
    pub async fn restart(&mut self) {
        self.stop();
        self.resume();
        self.wait_until_ready().await;
    }

    /// Starts it again on the same port and store, after it was killed, and does not wait: it may be one of a cluster that
    /// cannot answer yet.
    ///
    /// # Panics
    /// If it runs, or cannot be started.
    pub fn resume(&mut self) {
        assert!(self.process.is_none());
        self.process = Some(self.spawn(&self.port.to_string()).expect("it ran before"));
    }

    fn spawn(&self, port: &str) -> Result<Process> {
        let words: Vec<_> = self
            .launch
            .before
            .iter()
            .map(OsString::as_os_str)
            .chain([self.launch.binary.as_os_str()])
            .collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"])
            .arg(self.store())
            .arg("-c")
            .arg(self.folder().join("config"))
            .arg("--ports_file_dir")
            .arg(self.folder());
        if self.launch.own_group {
            command.process_group(0);
        }
        Process::start("nats-server", command, Input::None, Ending::Killed)
    }

    /// Waits until JetStream answers.
    pub async fn wait_until_ready(&self) {
        until("JetStream", async || {
            let client = async_nats::connect(self.url()).await.ok()?;
            async_nats::jetstream::new(client).query_account().await.ok()
        })
        .await;
    }
}

/// Waits for the end of a process that was asked to end; kills it where it was not.
fn wait(mut process: Process, asked: bool) {
    while asked && process.is_running() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    process.kill();
}

impl Drop for Server {
    fn drop(&mut self) {
        let log = self.process.as_ref().map(Process::log);
        self.kill();
        if std::thread::panicking() {
            // Kept for whoever looks into it.
            self.folder.disable_cleanup(true);
            let _ = std::fs::write(self.folder().join("log"), log.unwrap_or_default());
            eprintln!("the server's folder: {}", self.folder().display());
        }
    }
}

/// What the servers of a cluster are configured with: ports that nobody listens on now, as each must know the others' beforehand.
/// `more` goes into each.
pub fn cluster(servers: usize, more: &str) -> Result<Vec<String>> {
    let listeners =
        (0..servers).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<Result<Vec<_>, _>>()?;
    let ports =
        listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<Result<Vec<u16>>>()?;
    let routes: Vec<_> = ports.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let configure = |(number, port): (usize, &u16)| {
        format!(
            "server_name: s{number}\ncluster {{ name: c, listen: \"127.0.0.1:{port}\", routes: {routes:?} }}\n{more}"
        )
    };
    Ok(ports.iter().enumerate().map(configure).collect())
}

/// The server binary that the tests use.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os(SERVER_VARIABLE).map_or_else(
        || {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("../../target/tools/nats-server-{SERVER_VERSION}/nats-server"))
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
