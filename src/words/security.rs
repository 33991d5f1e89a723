//! How a connection to the broker is kept secret, and who it says it is: files and names, never a secret in a file of ours.
//!
//! The configuration names the files that hold secrets. A secret itself comes from such a file, from the environment, or in a URL, and is
//! kept as a [`Secret`], which nothing prints.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::config::ConfigError;

/// The longest path, user's name or inbox prefix that the configuration takes, in bytes.
pub const NAME_BYTES_MAX: usize = 1024;

/// The largest file with a secret, certificates or a key that is read, in bytes.
pub const FILE_BYTES_MAX: u64 = 256 << 10;

/// What must never be shown. It is printed as `***`, and is in nothing that is serialized.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret, for whoever logs in with it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "none" } else { "***" })
    }
}

/// Encryption. Files are PEM, and are read again for each connection that is made: a renewed certificate needs no restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Whether every connection must be encrypted. It must be too where a URL begins with `tls://`, or anything else is set here.
    pub required: bool,
    /// Whether TLS begins before the server has said anything (`handshake_first` in the server's configuration).
    pub handshake_first: bool,
    /// The certificates of those who may vouch for the server, in place of the system's.
    pub ca_file: String,
    /// This side's own certificate, where the server asks for one.
    pub certificate_file: String,
    /// The key that belongs to it.
    pub key_file: String,
}

impl Tls {
    /// Whether connections to servers of these URLs must be encrypted.
    #[must_use]
    pub fn is_required(&self, urls: &[String]) -> bool {
        *self != Self::default() || urls.iter().any(|url| url.starts_with("tls://"))
    }
}

/// Who the broker is told that we are: one of credentials, an nkey, a user with a password, or a token. Files are read again for each
/// connection that is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Login {
    /// A file of credentials (`.creds`): a JWT and its nkey's seed.
    pub credentials_file: String,
    /// A file with an nkey's seed.
    pub nkey_file: String,
    /// A user's name.
    pub user: String,
    /// A file with the user's password; white space at its end does not count.
    pub password_file: String,
    /// A file with a token; white space at its end does not count.
    pub token_file: String,
    /// The user's password, where the environment has it.
    #[serde(skip)]
    pub password: Secret,
    /// A token, where the environment has it.
    #[serde(skip)]
    pub token: Secret,
}

impl Login {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn wrong(text: impl Into<String>) -> ConfigError {
    ConfigError::new(text)
}

/// Checks what belongs together, and every value against its bounds. Files are not looked at.
pub(super) fn check(tls: &Tls, login: &Login, inbox_prefix: &str) -> Result<(), ConfigError> {
    let named = [
        ("nats.tls.ca_file", &tls.ca_file),
        ("nats.tls.certificate_file", &tls.certificate_file),
        ("nats.tls.key_file", &tls.key_file),
        ("nats.login.credentials_file", &login.credentials_file),
        ("nats.login.nkey_file", &login.nkey_file),
        ("nats.login.user", &login.user),
        ("nats.login.password_file", &login.password_file),
        ("nats.login.token_file", &login.token_file),
    ];
    for (name, text) in named {
        if text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(wrong(format!("{name}: at most {NAME_BYTES_MAX} bytes without control characters")));
        }
    }
    if tls.certificate_file.is_empty() != tls.key_file.is_empty() {
        return Err(wrong("nats.tls: certificate_file and key_file go together"));
    }
    if !login.password_file.is_empty() && !login.password.is_empty() {
        return Err(wrong(
            "nats.login: the environment has a password, and password_file names one: choose one",
        ));
    }
    if !login.token_file.is_empty() && !login.token.is_empty() {
        return Err(wrong("nats.login: the environment has a token, and token_file names one: choose one"));
    }
    let password = !login.password_file.is_empty() || !login.password.is_empty();
    if login.user.is_empty() && password {
        return Err(wrong("nats.login: a password needs a user"));
    }
    if !login.user.is_empty() && !password {
        return Err(wrong(
            "nats.login: a user needs a password, from password_file or the environment (NATS_PASSWORD)",
        ));
    }
    let ways = [
        !login.credentials_file.is_empty(),
        !login.nkey_file.is_empty(),
        !login.user.is_empty(),
        !login.token_file.is_empty() || !login.token.is_empty(),
    ];
    if ways.into_iter().filter(|way| *way).count() > 1 {
        return Err(wrong("nats.login: choose one of credentials, nkey, user with password, token"));
    }
    let token = |token: &str| {
        !token.is_empty() && !token.contains(['*', '>']) && token.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if inbox_prefix.len() > NAME_BYTES_MAX || !inbox_prefix.split('.').all(token) {
        return Err(wrong(
            "nats.inbox_prefix: words of printable ASCII without wildcards, with dots between them",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::config::Config;

    #[test]
    fn secrets_are_not_shown() {
        let secret = Secret::new("hunter2".to_owned());
        let login =
            Login { user: "u".to_owned(), password: secret.clone(), token: secret, ..Login::default() };
        assert!(!format!("{login:?}").contains("hunter2"), "{login:?}");
        let mut config = Config::default();
        config.nats.login = login;
        assert!(!config.to_toml().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn one_tls_url_encrypts_all() {
        let urls = |urls: &[&str]| urls.iter().map(|&url| url.to_owned()).collect::<Vec<_>>();
        assert!(!Tls::default().is_required(&urls(&["nats://a"])));
        assert!(Tls::default().is_required(&urls(&["nats://a", "tls://b"])));
        let with_ca = Tls { ca_file: "ca".to_owned(), ..Tls::default() };
        assert!(with_ca.is_required(&urls(&["nats://a"])));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let long = format!("[nats.tls]\nca_file = \"{}\"", "x".repeat(NAME_BYTES_MAX + 1));
        let cases = [
            (long.as_str(), "nats.tls.ca_file: at most 1024"),
            ("[nats.tls]\nkey_file = \"k\"", "nats.tls: certificate_file and key_file"),
            ("[nats.tls]\ncertificate_file = \"c\"", "nats.tls: certificate_file and key_file"),
            ("[nats.login]\nuser = \"u\"", "nats.login: a user needs"),
            ("[nats.login]\npassword_file = \"p\"", "nats.login: a password needs"),
            ("[nats.login]\nnkey_file = \"n\"\ntoken_file = \"t\"", "nats.login: choose one of"),
            ("[nats]\ninbox_prefix = \"_INBOX.\"", "nats.inbox_prefix: words"),
            ("[nats]\ninbox_prefix = \"a.*\"", "nats.inbox_prefix: words"),
            ("[nats.login]\npassword = \"p\"", "line 2: unknown field `password`"),
        ];
        for (text, expected) in cases {
            let error = Config::parse(text).and_then(|config| config.check()).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text:?} gave {error:?}");
        }
        let longest = format!("[nats.tls]\nca_file = \"{}\"", "x".repeat(NAME_BYTES_MAX));
        Config::parse(&longest).unwrap().check().unwrap();
        Config::parse("[nats]\ninbox_prefix = \"_INBOX.worker\"").unwrap().check().unwrap();
    }
}
