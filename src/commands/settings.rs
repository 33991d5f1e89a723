//! The configuration's layers: file, environment, flags.

use std::path::{Path, PathBuf};

use async_nats::ServerAddr;
use clap::Args;

use crate::words::config::{Config, Nats};
use crate::words::security::Secret;

/// The options of every command that talks to NATS.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Common {
    /// Read the configuration from this TOML file
    #[arg(long, value_name = "FILE", env = "WEIR_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// The servers' URLs, separated by commas [default: the configuration's, else localhost's standard port]
    #[arg(long, value_name = "URL", env = "NATS_URL", value_delimiter = ',', hide_env_values = true)]
    pub(super) nats: Vec<String>,
    /// The first word of every subject [default: the configuration's, else weir]
    #[arg(long, value_name = "WORD", env = "WEIR_PREFIX")]
    pub(super) prefix: Option<String>,
    #[command(flatten)]
    pub(super) security: SecurityFlags,
}

/// How the broker is logged in to, under the names that NATS's own command line has. A password and a token come from files and the
/// environment only (`NATS_PASSWORD`, `NATS_TOKEN`): others on the machine can read a command line.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Connection (NATS_PASSWORD and NATS_TOKEN are read too)")]
pub(super) struct SecurityFlags {
    /// Log in with this file of credentials
    #[arg(long, value_name = "FILE", env = "NATS_CREDS")]
    creds: Option<String>,
    /// Log in with the nkey whose seed this file has
    #[arg(long, value_name = "FILE", env = "NATS_NKEY")]
    nkey: Option<String>,
    /// Log in as this user
    #[arg(long, value_name = "NAME", env = "NATS_USER")]
    user: Option<String>,
    /// Trust servers whose certificates these vouch for, in place of the system's
    #[arg(long, value_name = "FILE", env = "NATS_CA")]
    tlsca: Option<String>,
    /// Show the server this certificate
    #[arg(long, value_name = "FILE", env = "NATS_CERT")]
    tlscert: Option<String>,
    /// The certificate's key
    #[arg(long, value_name = "FILE", env = "NATS_KEY")]
    tlskey: Option<String>,
    /// What the subjects begin with on which answers come back
    #[arg(long, value_name = "SUBJECT", env = "NATS_INBOX_PREFIX")]
    inbox_prefix: Option<String>,
}

impl SecurityFlags {
    /// Puts what is given in the place of what the file says. `variable` reads the environment.
    fn apply(&self, nats: &mut Nats, variable: impl Fn(&str) -> Option<String>) {
        let set = |place: &mut String, given: Option<&String>| {
            // What is empty is not set.
            if let Some(given) = given.filter(|given| !given.is_empty()) {
                place.clone_from(given);
            }
        };
        let secret = |name: &str| variable(name).filter(|text| !text.is_empty()).map(Secret::new);
        let login = &mut nats.login;
        let (password, token) = (secret("NATS_PASSWORD"), secret("NATS_TOKEN"));
        let given = |flag: &Option<String>| flag.as_ref().is_some_and(|text| !text.is_empty());
        // A way to log in that a nearer layer names takes the place of the file's, whichever that was.
        let mut from_file = std::mem::take(login);
        if given(&self.user) {
            login.password_file = from_file.password_file;
        } else if !given(&self.creds) && !given(&self.nkey) && token.is_none() {
            *login = std::mem::take(&mut from_file);
        }
        if password.is_some() {
            login.password_file.clear();
        }
        set(&mut login.credentials_file, self.creds.as_ref());
        set(&mut login.nkey_file, self.nkey.as_ref());
        set(&mut login.user, self.user.as_ref());
        login.password = password.unwrap_or_default();
        login.token = token.unwrap_or_default();
        set(&mut nats.tls.ca_file, self.tlsca.as_ref());
        set(&mut nats.tls.certificate_file, self.tlscert.as_ref());
        set(&mut nats.tls.key_file, self.tlskey.as_ref());
        set(&mut nats.inbox_prefix, self.inbox_prefix.as_ref());
    }
}

/// The configuration is wrong: exit code 78.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub(super) struct Misconfigured(pub(super) String);

impl Common {
    /// The effective configuration, checked. `flags` is the last layer.
    pub(super) fn load(&self, flags: impl FnOnce(&mut Config)) -> Result<Config, Misconfigured> {
        let mut config = self.config.as_deref().map_or_else(|| Ok(Config::default()), read)?;
        // An empty variable is one that is not set.
        let urls: Vec<_> = self.nats.iter().map(|url| url.trim()).filter(|url| !url.is_empty()).collect();
        if !urls.is_empty() {
            let whole =
                |url: &&str| if url.contains("://") { (*url).to_owned() } else { format!("nats://{url}") };
            config.nats.urls = urls.iter().map(whole).collect();
        }
        if let Some(prefix) = &self.prefix {
            config.nats.prefix.clone_from(prefix);
        }
        self.security.apply(&mut config.nats, |name| std::env::var(name).ok());
        flags(&mut config);
        config.check().map_err(|error| Misconfigured(error.to_string()))?;
        for (position, url) in (1..).zip(&config.nats.urls) {
            check_url(url).map_err(|why| Misconfigured(format!("nats.urls: number {position}: {why}")))?;
        }
        Ok(config)
    }
}

/// Checks that the client will understand a URL. What is wrong is said without it: it may hold a password.
fn check_url(url: &str) -> Result<(), String> {
    let server: ServerAddr = url.parse().map_err(|error: std::io::Error| error.to_string())?;
    if server.host().is_empty() {
        return Err("no host is named".to_owned());
    }
    Ok(())
}

/// A configuration larger than this is none.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn read(path: &Path) -> Result<Config, Misconfigured> {
    let wrong = |why: String| Misconfigured(format!("{}: {why}", path.display()));
    let length = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(wrong("larger than 1 MiB".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    Config::parse(&text).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::security::Login;

    fn load(nats: &[&str]) -> Result<Vec<String>, String> {
        let nats = nats.iter().map(|&url| url.to_owned()).collect();
        let common = Common { nats, ..Common::default() };
        common.load(|_| {}).map(|config| config.nats.urls).map_err(|error| error.to_string())
    }

    #[test]
    fn urls_are_understood_before_anything_starts() {
        assert_eq!(
            load(&["a", " tls://b:1 ", "[::1]:2"]).unwrap(),
            ["nats://a", "tls://b:1", "nats://[::1]:2"]
        );
        for url in ["nats://", "nats://:4222", "nats://host:99999", "nats://a b", "nats://[::1", "u:secret@"]
        {
            let error = load(&["nats://u:secret@good", url]).unwrap_err();
            assert!(error.starts_with("configuration: nats.urls: number 2: "), "{url}: {error}");
            assert!(!error.contains("secret") && !error.contains("99999"), "{url}: {error}");
        }
    }

    #[test]
    fn a_nearer_way_to_log_in_takes_the_place_of_the_files() {
        let text = |text: &str| Some(text.to_owned());
        let of_file = Login { user: "u".into(), password_file: "p".into(), ..Login::default() };
        let login = |flags: SecurityFlags, environment: &[(&str, &str)]| {
            let mut nats = Nats { login: of_file.clone(), ..Nats::default() };
            let variable = |name: &str| {
                environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            flags.apply(&mut nats, variable);
            nats.login
        };
        let none = SecurityFlags::default;
        let secret = |text: &str| Secret::new(text.to_owned());
        assert_eq!(login(none(), &[("NATS_TOKEN", "")]), of_file);
        let with_password = Login { user: "u".into(), password: secret("s"), ..Login::default() };
        assert_eq!(login(none(), &[("NATS_PASSWORD", "s")]), with_password);
        let token = Login { token: secret("t"), ..Login::default() };
        assert_eq!(login(none(), &[("NATS_TOKEN", "t")]), token);
        let credentials = Login { credentials_file: "c".into(), ..Login::default() };
        assert_eq!(login(SecurityFlags { creds: text("c"), ..none() }, &[]), credentials);
        let other = Login { user: "v".into(), ..of_file.clone() };
        assert_eq!(login(SecurityFlags { user: text("v"), ..none() }, &[]), other);
        assert_eq!(login(SecurityFlags { user: text(""), creds: text(""), ..none() }, &[]), of_file);
    }

    #[test]
    fn what_is_empty_is_not_set() {
        let default = Config::default().nats.urls;
        assert_eq!(load(&[""]).unwrap(), default);
        assert_eq!(load(&["", " "]).unwrap(), default);
        assert_eq!(load(&["", "a"]).unwrap(), ["nats://a"]);
    }
}
