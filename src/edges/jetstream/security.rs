//! Who a connection says it is, and what it trusts: files, read anew for each connection that is made.
//!
//! The client itself opens the certificates at every attempt to connect. What it is logged in with goes through a callback, which reads the
//! file each time: what is renewed on disk is in use from the next connection on, without a restart.

use std::io;
use std::path::Path;
use std::sync::Arc;

use async_nats::rustls::crypto::ring::default_provider;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use async_nats::rustls::{ClientConfig, RootCertStore};
use async_nats::{Auth, ConnectOptions, ServerAddr};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::words::config::Nats;
use crate::words::security::{FILE_BYTES_MAX, Login, Secret, Tls};

/// What keeps a connection secret, and who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Encryption.
    pub tls: Tls,
    /// Who we are.
    pub login: Login,
    /// What the subjects begin with on which answers come back; empty for the client's default.
    pub inbox_prefix: String,
}

/// Why something that the configuration names does not serve. No secret is in it.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {path}: {why}")]
pub struct SecurityError {
    name: &'static str,
    path: String,
    why: String,
}

impl Security {
    /// Looks at every file that is named: that it is there, and is what it should be.
    pub fn verify(&self) -> Result<(), SecurityError> {
        if self.tls != Tls::default() {
            self.client_config()?;
        }
        // A nonce that no server has sent: only whether it can be signed counts.
        authenticate(&self.login, None, b"nonce").map(drop)
    }

    /// What a configuration says.
    #[must_use]
    pub fn of(nats: &Nats) -> Self {
        let Nats { inbox_prefix, tls, login, .. } = nats.clone();
        Self { tls, login, inbox_prefix }
    }

    /// Makes a connection that is open encrypted. Files are read now.
    pub(super) async fn encrypt(
        &self,
        stream: TcpStream,
        host: &str,
    ) -> Result<TlsStream<TcpStream>, io::Error> {
        let config = self.client_config().map_err(io::Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// What TLS is spoken with.
    fn client_config(&self) -> Result<ClientConfig, SecurityError> {
        let Tls { ca_file, certificate_file, key_file, .. } = &self.tls;
        let mut roots = RootCertStore::empty();
        if ca_file.is_empty() {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        } else {
            for certificate in certificates("nats.tls.ca_file", ca_file)? {
                roots.add(certificate).map_err(wrong("nats.tls.ca_file", ca_file))?;
            }
        }
        let config = ClientConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(wrong("nats.tls.ca_file", ca_file))?
            .with_root_certificates(roots);
        if certificate_file.is_empty() {
            return Ok(config.with_no_client_auth());
        }
        let chain = certificates("nats.tls.certificate_file", certificate_file)?;
        let bytes = read("nats.tls.key_file", key_file)?;
        // Nothing of the file is repeated: it is a key.
        let unreadable = |_| wrong("nats.tls.key_file", key_file)("no private key in PEM");
        let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(unreadable)?;
        config.with_client_auth_cert(chain, key).map_err(wrong("nats.tls.certificate_file", certificate_file))
    }

    /// The fields of NATS's CONNECT that say who we are, to a server that has sent this nonce.
    pub(super) fn credentials(
        &self,
        in_url: Option<&UserInfo>,
        nonce: &str,
    ) -> Result<impl Iterator<Item = (&'static str, String)>, SecurityError> {
        let auth = authenticate(&self.login, in_url, nonce.as_bytes())?;
        let signature = auth.signature.map(|signature| URL_SAFE_NO_PAD.encode(signature));
        let fields = [
            ("user", auth.username),
            ("pass", auth.password),
            ("auth_token", auth.token),
            ("jwt", auth.jwt),
            ("nkey", auth.nkey),
            ("sig", signature),
        ];
        Ok(fields.into_iter().filter_map(|(name, value)| Some((name, value?))))
    }

    /// The options of a connection to these servers, which must have no user in their URLs.
    pub(super) fn options(&self, encrypted: bool, in_url: Option<UserInfo>) -> ConnectOptions {
        let login = self.login.clone();
        let mut options = if login.is_none() && in_url.is_none() {
            ConnectOptions::new()
        } else {
            ConnectOptions::with_auth_callback(move |nonce| {
                // A few hundred bytes from a local file, once for each connection.
                let auth = authenticate(&login, in_url.as_ref(), &nonce);
                std::future::ready(auth.map_err(async_nats::AuthError::new))
            })
        };
        // So that servers of which others tell are not spoken to in the clear either.
        options = options.require_tls(encrypted);
        if self.tls.handshake_first {
            options = options.tls_first();
        }
        if !self.tls.ca_file.is_empty() {
            options = options.add_root_certificates(self.tls.ca_file.clone().into());
        }
        if !self.tls.certificate_file.is_empty() {
            let (certificate, key) = (&self.tls.certificate_file, &self.tls.key_file);
            options = options.add_client_certificate(certificate.into(), key.into());
        }
        if !self.inbox_prefix.is_empty() {
            options = options.custom_inbox_prefix(&self.inbox_prefix);
        }
        options
    }
}

/// Makes ring the process's cryptography: should another be linked in too, the client could not choose.
pub(super) fn choose_cryptography() {
    // It was chosen before, otherwise.
    let _ = default_provider().install_default();
}

fn wrong<E: ToString>(name: &'static str, path: &str) -> impl Fn(E) -> SecurityError {
    let path = path.to_owned();
    move |error| SecurityError { name, path: path.clone(), why: error.to_string() }
}

fn read(name: &'static str, path: &str) -> Result<Vec<u8>, SecurityError> {
    let length = std::fs::metadata(Path::new(path)).map_err(wrong(name, path))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong(name, path)(format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(wrong(name, path))
}

fn read_text(name: &'static str, path: &str) -> Result<Secret, SecurityError> {
    let text = String::from_utf8(read(name, path)?).map_err(|_| wrong(name, path)("not text"))?;
    let text = text.trim_end();
    if text.is_empty() {
        return Err(wrong(name, path)("empty"));
    }
    Ok(Secret::new(text.to_owned()))
}

fn certificates(name: &'static str, path: &str) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let bytes = read(name, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|_| wrong(name, path)("no certificates in PEM"))?;
    if found.is_empty() { Err(wrong(name, path)("no certificate in it")) } else { Ok(found) }
}

/// What a URL says before its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserInfo {
    user: Secret,
    password: Option<Secret>,
}

/// Takes what a URL says of a user from it.
pub(super) fn take_user(server: ServerAddr) -> Result<(ServerAddr, Option<UserInfo>), String> {
    let found = server.username().map(|user| UserInfo {
        user: Secret::new(unescaped(user)),
        password: server.password().map(|password| Secret::new(unescaped(password))),
    });
    let mut url = server.into_inner();
    if url.set_username("").is_err() || url.set_password(None).is_err() {
        return Err("no host is named".to_owned());
    }
    let server = ServerAddr::from_url(url).map_err(|error| error.to_string())?;
    Ok((server, found))
}

/// A part of a URL, in which bytes may stand as `%41`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escaped = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &behind[2..] } else { behind };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What a server is told, which has sent this nonce.
fn authenticate(login: &Login, in_url: Option<&UserInfo>, nonce: &[u8]) -> Result<Auth, SecurityError> {
    let mut auth = Auth::new();
    let revealed = |secret: &Secret| Some(secret.reveal().to_owned());
    if !login.credentials_file.is_empty() {
        let (name, path) = ("nats.login.credentials_file", &login.credentials_file);
        let file = read_text(name, path)?;
        let mut sections = sections(file.reveal());
        let (Some(jwt), Some(seed)) = (sections.next(), sections.next()) else {
            return Err(wrong(name, path)("not a JWT and a seed, each between lines of dashes"));
        };
        auth.jwt = Some(jwt.to_owned());
        auth.signature = Some(sign(name, path, seed, nonce)?.1);
    } else if !login.nkey_file.is_empty() {
        let (name, path) = ("nats.login.nkey_file", &login.nkey_file);
        let file = read_text(name, path)?;
        // A seed alone, or between lines of dashes as in a file of credentials.
        let seed = sections(file.reveal()).last().unwrap_or_else(|| file.reveal().trim());
        let (public, signature) = sign(name, path, seed, nonce)?;
        (auth.nkey, auth.signature) = (Some(public), Some(signature));
    } else if !login.user.is_empty() {
        auth.username = Some(login.user.clone());
        auth.password = match login.password_file.as_str() {
            "" => revealed(&login.password),
            path => revealed(&read_text("nats.login.password_file", path)?),
        };
    } else if !login.token_file.is_empty() {
        auth.token = revealed(&read_text("nats.login.token_file", &login.token_file)?);
    } else if !login.token.is_empty() {
        auth.token = revealed(&login.token);
    } else if let Some(UserInfo { user, password }) = in_url {
        match password {
            Some(password) => (auth.username, auth.password) = (revealed(user), revealed(password)),
            // As other clients have it: a name alone is a token.
            None => auth.token = revealed(user),
        }
    }
    Ok(auth)
}

/// The public key of a seed, and what it signs.
fn sign(
    name: &'static str,
    path: &str,
    seed: &str,
    nonce: &[u8],
) -> Result<(String, Vec<u8>), SecurityError> {
    let pair = KeyPair::from_seed(seed).map_err(|_| wrong(name, path)("no nkey's seed"))?;
    let signature = pair.sign(nonce).map_err(|_| wrong(name, path)("a seed that cannot sign"))?;
    Ok((pair.public_key(), signature))
}

/// The lines that stand between lines of dashes.
fn sections(text: &str) -> impl Iterator<Item = &str> {
    let is_dashes = |line: &str| line.starts_with("---");
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    std::iter::from_fn(move || {
        loop {
            if is_dashes(lines.next()?) {
                let inner = lines.next()?;
                if !is_dashes(inner) && lines.next().is_some_and(is_dashes) {
                    return Some(inner);
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_taken_from_urls() {
        let taken = |url: &str| {
            let (server, user) = take_user(url.parse().unwrap()).unwrap();
            let user = user.map(|user| {
                (user.user.reveal().to_owned(), user.password.map(|password| password.reveal().to_owned()))
            });
            (server.as_url_str().to_owned(), user)
        };
        assert_eq!(taken("nats://a:1"), ("nats://a:1".to_owned(), None));
        assert_eq!(
            taken("tls://u%40x:p%3a%@a:1"),
            ("tls://a:1".to_owned(), Some(("u@x".to_owned(), Some("p:%".to_owned()))))
        );
        assert_eq!(
            taken("nats://t0ken@[::1]:2"),
            ("nats://[::1]:2".to_owned(), Some(("t0ken".to_owned(), None)))
        );
    }

    #[test]
    fn files_of_credentials_are_read_as_others_write_them() {
        let text = "-----BEGIN NATS USER JWT-----\r\neyJ.a-b_c=\r\n------END NATS USER JWT------\r\n\n\
                    *** IMPORTANT ***\nNKEY Seed printed below\n\n-----BEGIN USER NKEY SEED-----\nSUAM\n------END USER NKEY SEED------\n";
        assert_eq!(sections(text).collect::<Vec<_>>(), ["eyJ.a-b_c=", "SUAM"]);
        assert_eq!(sections("SUAM\n").count(), 0);
        assert_eq!(sections("---\n---\n---\n").count(), 0);
    }

    #[test]
    fn what_a_file_holds_is_never_in_an_error() {
        let folder = std::env::temp_dir().join(format!("weir-security-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("secret");
        std::fs::write(&path, "SUAhunter2\n").unwrap();
        let path = path.to_str().unwrap().to_owned();
        let of_login = |login: Login| Security { login, ..Security::default() };
        let of_tls = |tls: Tls| Security { tls, ..Security::default() };
        let wrong = [
            of_login(Login { nkey_file: path.clone(), ..Login::default() }),
            of_login(Login { credentials_file: path.clone(), ..Login::default() }),
            of_tls(Tls { ca_file: path.clone(), ..Tls::default() }),
            of_tls(Tls { certificate_file: path.clone(), key_file: path.clone(), ..Tls::default() }),
            of_login(Login { token_file: format!("{path}.none"), ..Login::default() }),
        ];
        for security in wrong {
            let error = security.verify().unwrap_err().to_string();
            assert!(error.starts_with("nats.") && !error.contains("hunter2"), "{error}");
        }
        of_login(Login { token_file: path.clone(), ..Login::default() }).verify().unwrap();
        std::fs::write(&path, vec![b'x'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1]).unwrap();
        let large =
            of_login(Login { token_file: path, ..Login::default() }).verify().unwrap_err().to_string();
        assert!(large.ends_with("larger than 262144 bytes"), "{large}");
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nkeys_sign_what_the_server_sends() {
        let pair = KeyPair::new_user();
        let (public, signature) = sign("nats.login.nkey_file", "f", &pair.seed().unwrap(), b"nonce").unwrap();
        assert_eq!(public, pair.public_key());
        pair.verify(b"nonce", &signature).unwrap();
    }
}
