//! Connections that are encrypted, and who logs in how: the whole program against real servers, with certificates of the test's own.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use weir_kit::nats::Launch;
use weir_kit::{TempDir, folder, scratch};

use crate::nats::Server;
use crate::weir::{Ended, Weir, place, receive};

/// An authority of the test's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its own certificate, a server's and a client's, over those that are there.
    fn write(&self, folder: &Path) {
        std::fs::write(folder.join("ca.pem"), self.0.pem()).unwrap();
        for (name, usage) in
            [("server", ExtendedKeyUsagePurpose::ServerAuth), ("client", ExtendedKeyUsagePurpose::ClientAuth)]
        {
            let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
            params.extended_key_usages = vec![usage];
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.0).unwrap();
            std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
            std::fs::write(folder.join(format!("{name}-key.pem")), key.serialize_pem()).unwrap();
        }
    }
}

/// The files of one side, in a folder.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn of(authority: &Authority) -> Self {
        let files = Self(folder(&scratch(), "tls").unwrap());
        authority.write(files.0.path());
        files
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    /// What a server's configuration says of TLS.
    fn server(&self, more: &str) -> String {
        let [certificate, key, ca] = ["server.pem", "server-key.pem", "ca.pem"].map(|name| self.path(name));
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, ca_file: {ca:?}, {more} }}\n")
    }

    pub(crate) fn ca(&self) -> [String; 2] {
        ["--tlsca".to_owned(), self.path("ca.pem")]
    }

    pub(crate) fn all(&self) -> Vec<String> {
        let own = [
            "--tlscert".to_owned(),
            self.path("client.pem"),
            "--tlskey".to_owned(),
            self.path("client-key.pem"),
        ];
        [&self.ca()[..], &own[..]].concat()
    }
}

async fn launch(configuration: &str) -> Server {
    Server::launch(Launch::for_test(configuration)).await.unwrap()
}

pub(crate) fn tls(server: &Server) -> String {
    server.url().replace("nats://", "tls://")
}

/// Runs a command against servers of this URL, with more arguments and an environment.
pub(crate) async fn run(
    url: &str,
    arguments: &[&str],
    more: &[String],
    environment: &[(&str, &str)],
) -> Ended {
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let arguments = [arguments, &["--nats", url], &more].concat();
    Weir::spawn(&arguments, environment, "").finish().await
}

pub(crate) fn done(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[track_caller]
pub(crate) fn fails(ended: &Ended, said: &str) {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(said), "{said:?} is not in {ended:?}");
}

/// A worker that announces over encrypted connections, and the bytes of one order's way, as somebody in between sees them.
#[tokio::test]
async fn the_whole_way_is_encrypted() {
    let files = Files::of(&Authority::new());
    let server = launch(&files.server("timeout: 10")).await;
    let ca = files.ca();
    done(&run(&tls(&server), &["setup"], &ca, &[]).await);
    let between = Between::start(server.port()).await;
    let worker = Weir::worker(&format!("tls://127.0.0.1:{}", between.port), &[&ca[0], &ca[1]]).await;
    worker.until_readyz(200).await;
    done(&run(&tls(&server), &["submit", &receive("R-1", 5).to_string()], &ca, &[]).await);
    let placed = run(&tls(&server), &["submit", &place("O-in-secret").to_string()], &ca, &[]).await;
    done(&placed);
    assert!(placed.stdout.contains("\"confirmed\""), "{placed:?}");

    let seen = between.seen.lock().unwrap().clone();
    assert!(!seen.is_empty());
    for connection in &seen {
        assert!(
            connection.is_empty() || connection.starts_with(&[22, 3]),
            "no handshake of TLS: {:?}",
            &connection[..10]
        );
        for word in ["CONNECT {", "O-in-secret", "weir."] {
            assert!(!connection.windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
        }
    }
    worker.stop().await;
}

/// Somebody in between, who keeps what clients send.
struct Between {
    port: u16,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Between {
    async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::<Vec<u8>>::new()));
        let all = seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = {
                    let mut all = all.lock().unwrap();
                    all.push(Vec::new());
                    all.len() - 1
                };
                let all = all.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                    let mut buffer = vec![0; 1 << 16];
                    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                        all.lock().unwrap()[number].extend_from_slice(&buffer[..read]);
                        if to_server.write_all(&buffer[..read]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, seen }
    }
}

#[tokio::test]
async fn what_would_not_be_encrypted_or_is_not_known_is_refused() {
    let files = Files::of(&Authority::new());
    let plain = Server::start().await;
    // A server that speaks no TLS is not spoken to in the clear, whichever way it is asked for.
    for (url, more) in [(tls(&plain), vec![]), (plain.url(), files.ca().to_vec())] {
        fails(&run(&url, &["status"], &more, &[]).await, "cannot connect to NATS at 127.0.0.1:");
    }
    let both = format!("{},{}", plain.url(), tls(&plain));
    fails(&run(&both, &["status"], &[], &[]).await, "cannot connect to NATS at 127.0.0.1:");

    let server = launch(&files.server("timeout: 10")).await;
    // One that nobody known vouches for.
    let others = Files::of(&Authority::new());
    fails(&run(&tls(&server), &["status"], &others.ca(), &[]).await, "cannot connect to NATS at 127.0.0.1:");
    // Without being told to, too: a server that wants TLS gets it.
    done(&run(&server.url(), &["setup"], &files.ca(), &[]).await);
}

/// Both sides show certificates. While a worker runs, all are renewed, by another authority: it goes on with those that are there now.
#[tokio::test]
async fn certificates_are_renewed_while_a_worker_runs() {
    let (ours, servers) = {
        let authority = Authority::new();
        (Files::of(&authority), Files::of(&authority))
    };
    // Both folders are of one authority, but have certificates and keys of their own.
    let mut server = launch(&servers.server("verify: true, timeout: 10")).await;
    fails(&run(&tls(&server), &["status"], &ours.ca(), &[]).await, "cannot connect to NATS");
    let all = ours.all();
    done(&run(&tls(&server), &["setup"], &all, &[]).await);
    let flags: Vec<&str> = all.iter().map(String::as_str).collect();
    let worker = Weir::worker(&tls(&server), &flags).await;
    worker.until_readyz(200).await;
    done(&run(&tls(&server), &["submit", &receive("R-1", 5).to_string()], &all, &[]).await);

    let old = Files(folder(&scratch(), "tls").unwrap());
    for name in ["ca.pem", "client.pem", "client-key.pem"] {
        std::fs::copy(ours.path(name), old.path(name)).unwrap();
    }
    let renewed = Authority::new();
    renewed.write(ours.0.path());
    renewed.write(servers.0.path());
    server.stop();
    server.resume();
    let placed = run_until(&tls(&server), &place("O-1").to_string(), &all).await;
    assert!(placed.stdout.contains("\"confirmed\""), "{placed:?}");
    // Whoever has only the old ones is not let in any more.
    fails(&run(&tls(&server), &["status"], &old.all(), &[]).await, "cannot connect to NATS");
    worker.stop().await;
}

/// Submits until the server listens again, and the worker has come back to it.
async fn run_until(url: &str, command: &str, more: &[String]) -> Ended {
    weir_kit::until("the worker to answer", async || {
        let ended = run(url, &["submit", command], more, &[]).await;
        (ended.code == Some(0)).then_some(ended)
    })
    .await
}

/// A file with a secret.
fn secret_file(files: &TempDir, name: &str, text: &str) -> String {
    let path = files.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A way to log in: arguments, and an environment.
type Way = (Vec<String>, Vec<(&'static str, &'static str)>);

/// Every way to log in, right and wrong, from files, the environment and the URL; and no secret in what is printed.
#[tokio::test]
async fn every_way_to_log_in_lets_in_who_belongs() {
    let files = folder(&scratch(), "login").unwrap();
    let pair = nkeys::KeyPair::new_user();
    let stranger = nkeys::KeyPair::new_user();
    let seed = secret_file(&files, "seed", &format!("{}\n", pair.seed().unwrap()));
    let strange = secret_file(&files, "strange", &stranger.seed().unwrap());
    let password = secret_file(&files, "password", "hunter2\n");
    let token_config = secret_file(
        &files,
        "token.toml",
        &format!("[nats.login]\ntoken_file = {:?}\n", secret_file(&files, "token", "hunter2")),
    );
    let password_config = secret_file(
        &files,
        "password.toml",
        &format!("[nats.login]\nuser = \"u\"\npassword_file = {password:?}\n"),
    );
    let (operator, good, bad) = credentials(&files);
    let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let cases: Vec<(String, Vec<Way>, Vec<Way>)> = vec![
        (
            "authorization { user: u, password: hunter2 }".into(),
            vec![
                (owned(&["--user", "u"]), vec![("NATS_PASSWORD", "hunter2")]),
                (owned(&["--config", &password_config]), vec![]),
                (vec![], vec![("NATS_USER", "u"), ("NATS_PASSWORD", "hunter2")]),
                (owned(&["u:hunter2@"]), vec![]),
            ],
            vec![(owned(&["--user", "u"]), vec![("NATS_PASSWORD", "hunter3")]), (vec![], vec![])],
        ),
        (
            "authorization { token: hunter2 }".into(),
            vec![
                (vec![], vec![("NATS_TOKEN", "hunter2")]),
                (owned(&["--config", &token_config]), vec![]),
                (owned(&["hunter2@"]), vec![]),
            ],
            vec![(vec![], vec![("NATS_TOKEN", "hunter3")])],
        ),
        (
            format!("authorization {{ users: [{{nkey: {}}}] }}", pair.public_key()),
            vec![(owned(&["--nkey", &seed]), vec![])],
            vec![(owned(&["--nkey", &strange]), vec![])],
        ),
        (operator, vec![(owned(&["--creds", &good]), vec![])], vec![(owned(&["--creds", &bad]), vec![])]),
    ];
    let secrets = [
        "hunter2".to_owned(),
        "hunter3".to_owned(),
        pair.seed().unwrap(),
        stranger.seed().unwrap(),
        std::fs::read_to_string(&good).unwrap().lines().nth(1).unwrap().to_owned(),
    ];
    let no_secret = |text: &str| {
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret} in {text}");
        }
    };
    for (configuration, right, wrong) in cases {
        let server = launch(&configuration).await;
        let of = |way: &[String]| match way {
            [user] if user.ends_with('@') => (server.url().replace("//", &format!("//{user}")), vec![]),
            _ => (server.url(), way.to_vec()),
        };
        for (way, environment) in &right {
            let (url, more) = of(way);
            let ended = run(&url, &["setup"], &more, environment).await;
            done(&ended);
            let checked = run(&url, &["check"], &more, environment).await;
            done(&checked);
            no_secret(&format!("{ended:?}{checked:?}"));
            // All that a worker says of itself, at its most talkative.
            let flags: Vec<&str> = more.iter().map(String::as_str).collect();
            let environment =
                [&environment[..], &[("WEIR_LOG", "trace"), ("WEIR_ADMIN", "127.0.0.1:0")]].concat();
            let worker = Weir::worker_in(&url, &flags, &environment).await;
            worker.until_readyz(200).await;
            for path in ["/metrics", "/status", "/readyz"] {
                no_secret(&worker.get(path).1);
            }
            no_secret(&worker.log());
            worker.stop().await;
        }
        for (way, environment) in &wrong {
            let (url, more) = of(way);
            let ended = run(&url, &["status"], &more, environment).await;
            fails(&ended, "cannot connect to NATS at 127.0.0.1:");
            no_secret(&format!("{ended:?}"));
        }
    }
}

/// Arguments, environment, and what is said.
type Case<'c> = (&'c [&'c str], &'c [(&'c str, &'c str)], &'c str);

#[tokio::test]
async fn what_cannot_be_logged_in_with_is_a_wrong_configuration() {
    let files = folder(&scratch(), "login").unwrap();
    let junk = secret_file(&files, "junk", "hunter2");
    let cases: [Case<'_>; 5] = [
        (&["--creds", &junk], &[], "nats.login.credentials_file: "),
        (&["--nkey", &junk], &[], "nats.login.nkey_file: "),
        (&["--tlsca", "/no/such/file"], &[], "nats.tls.ca_file: /no/such/file: "),
        (&["--user", "u"], &[], "nats.login: a user needs a password"),
        (
            &["--user", "u"],
            &[("NATS_PASSWORD", "hunter2"), ("NATS_TOKEN", "hunter2")],
            "nats.login: choose one of",
        ),
    ];
    for (flags, environment, said) in cases {
        for command in ["check", "status", "run"] {
            let ended = Weir::spawn(&[&[command], flags].concat(), environment, "").finish().await;
            assert_eq!(ended.code, Some(78), "{ended:?}");
            assert!(ended.stderr.contains(said), "{said:?} is not in {ended:?}");
            assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
        }
    }
}

/// A server that trusts an operator, as its configuration says so; credentials that it lets in, and some that it does not.
fn credentials(files: &TempDir) -> (String, String, String) {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
    use serde_json::json;
    let token = |issuer: &nkeys::KeyPair, subject: &str, name: &str, nats: serde_json::Value| {
        let head = BASE64.encode(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let claims = json!({
            "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject, "nats": nats,
        });
        let signed = format!("{head}.{}", BASE64.encode(claims.to_string()));
        format!("{signed}.{}", BASE64.encode(issuer.sign(signed.as_bytes()).unwrap()))
    };
    let [account, system] = [(); 2].map(|()| nkeys::KeyPair::new_account());
    let operator = nkeys::KeyPair::new_operator();
    let of_operator =
        token(&operator, &operator.public_key(), "O", json!({"type": "operator", "version": 2}));
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
        "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
    });
    let of_account = |pair: &nkeys::KeyPair, name: &str, limits: &serde_json::Value| {
        let permissions = json!({"pub": {}, "sub": {}});
        let claims =
            json!({"type": "account", "version": 2, "limits": limits, "default_permissions": permissions});
        format!("{}: {}", pair.public_key(), token(&operator, &pair.public_key(), name, claims))
    };
    // JetStream wants a system account, which has none itself.
    let mut of_system = limits.clone();
    of_system
        .as_object_mut()
        .unwrap()
        .retain(|limit, _| !["mem_storage", "disk_storage", "streams", "consumer"].contains(&limit.as_str()));
    let user = |name: &str, issuer: &nkeys::KeyPair| {
        let pair = nkeys::KeyPair::new_user();
        let claims = json!({"type": "user", "version": 2, "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1});
        let jwt = token(issuer, &pair.public_key(), name, claims);
        let seed = pair.seed().unwrap();
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        );
        secret_file(files, name, &text)
    };
    let configuration = format!(
        "operator: {of_operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}, {} }}\n",
        system.public_key(),
        of_account(&account, "A", &limits),
        of_account(&system, "SYS", &of_system),
    );
    let good = user("good.creds", &account);
    let bad = user("bad.creds", &nkeys::KeyPair::new_account());
    (configuration, good, bad)
}
