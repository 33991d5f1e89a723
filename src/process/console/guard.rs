//! Who may look. Without a token, whoever asks by a loopback name; with one, whoever shows it, or the cookie that it was exchanged for.
//!
//! An `EventSource` can send no header, so the token is exchanged once for a cookie that scripts cannot read and that other sites'
//! pages cannot send. The cookie is the time at which it ends, and a keyed hash of that: nothing is kept for it, and it ends with
//! the worker. Everything is compared in constant time.

use std::time::Duration;

use axum::http::{HeaderMap, header};
use ring::hmac;
use ring::rand::SystemRandom;

/// How long a cookie holds.
const COOKIE_HOLDS: Duration = Duration::from_hours(12);
/// Tokens shorter than this, in bytes, could be guessed.
pub(crate) const TOKEN_BYTES_MIN: usize = 16;
/// Longer ones are no tokens.
pub(crate) const TOKEN_BYTES_MAX: usize = 512;

/// A secret that opens the console. It never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token of 16 to 512 printable characters of ASCII, blanks around it cut; else what is wrong with it.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len())
            || !text.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err("a token has 16 to 512 printable characters without blanks");
        }
        Ok(Self(text.to_owned()))
    }
}

/// What a request is answered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may look.
    Granted,
    /// It has to show the token first.
    TokenNeeded,
    /// It came by a name that is not this machine's: perhaps a page of another site, by a name that it had point here.
    ForeignName,
}

/// Says who may look.
pub(super) struct Guard {
    token: Option<Token>,
    cookie_name: String,
    key: hmac::Key,
}

impl Guard {
    /// With a key of its own; the cookie is named after the port, since cookies are shared by all ports of a host.
    pub(super) fn new(token: Option<Token>, port: u16) -> Self {
        let random = SystemRandom::new();
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &random).expect("the system gives random bytes");
        Self { token, cookie_name: format!("weir_console_{port}"), key }
    }

    /// Whether a request may look, at this time in seconds since 1970.
    pub(super) fn admit(&self, headers: &HeaderMap, now: i64) -> Admission {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        if self.token.is_none() {
            let host = text(header::HOST).unwrap_or_default();
            return if is_loopback_name(host) { Admission::Granted } else { Admission::ForeignName };
        }
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        if bearer.is_some_and(|shown| self.is_token(shown)) {
            return Admission::Granted;
        }
        let cookies = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut cookies =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let holds = cookies.any(|(name, value)| name == self.cookie_name && self.is_cookie(value, now));
        if holds { Admission::Granted } else { Admission::TokenNeeded }
    }

    /// Whether this is the token.
    pub(super) fn is_token(&self, shown: &str) -> bool {
        // Hashed with a key that nobody knows, so that how far two texts agree shows in no time.
        self.token.as_ref().is_some_and(|token| {
            let tag = hmac::sign(&self.key, token.0.as_bytes());
            hmac::verify(&self.key, shown.trim().as_bytes(), tag.as_ref()).is_ok()
        })
    }

    /// The header that sets the cookie.
    pub(super) fn cookie(&self, now: i64, secure: bool) -> String {
        let ends = now.saturating_add(i64::try_from(COOKIE_HOLDS.as_secs()).unwrap_or(0));
        let value = self.sealed(ends);
        let secure = if secure { "; Secure" } else { "" };
        let Self { cookie_name, .. } = self;
        format!(
            "{cookie_name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
            COOKIE_HOLDS.as_secs()
        )
    }

    fn sealed(&self, ends: i64) -> String {
        use base64::Engine as _;
        let tag = hmac::sign(&self.key, format!("cookie {ends}").as_bytes());
        format!("{ends}.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    fn is_cookie(&self, value: &str, now: i64) -> bool {
        use base64::Engine as _;
        let Some((ends, tag)) = value.split_once('.') else { return false };
        let Ok(ends) = ends.parse::<i64>() else { return false };
        let Ok(tag) = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(tag) else { return false };
        now < ends && hmac::verify(&self.key, format!("cookie {ends}").as_bytes(), &tag).is_ok()
    }
}

/// Whether a `Host` header names this machine itself.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(name, _)| name),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn headers(pairs: &[(header::HeaderName, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    fn guarded() -> Guard {
        Guard::new(Some(Token::new(TOKEN).unwrap()), 9465)
    }

    #[test]
    fn tokens_have_bounds_and_never_show() {
        assert_eq!(Token::new(&format!(" {TOKEN}\n")).unwrap(), Token::new(TOKEN).unwrap());
        for bad in ["", &TOKEN[1..], &"a".repeat(513), "0123456789 abcdef", "0123456789abcdeé"] {
            Token::new(bad).unwrap_err();
        }
        Token::new(&"a".repeat(512)).unwrap();
        assert!(!format!("{:?}", Token::new(TOKEN)).contains("0123"));
    }

    #[test]
    fn without_a_token_only_a_loopback_name_is_answered() {
        let guard = Guard::new(None, 9465);
        let admit = |host: &str| guard.admit(&headers(&[(header::HOST, host)]), 0);
        for host in ["localhost", "LocalHost:9465", "127.0.0.1:9465", "127.9.9.9", "[::1]:9465", "[::1]"] {
            assert_eq!(admit(host), Admission::Granted, "{host}");
        }
        for host in ["", "example.org", "localhost.example.org", "10.0.0.1:9465", "[::2]", "[::1", "::1"] {
            assert_eq!(admit(host), Admission::ForeignName, "{host}");
        }
        assert_eq!(guard.admit(&HeaderMap::new(), 0), Admission::ForeignName);
    }

    #[test]
    fn the_token_is_exchanged_for_a_cookie_that_ends() {
        let guard = guarded();
        assert_eq!(guard.admit(&headers(&[(header::HOST, "localhost")]), 0), Admission::TokenNeeded);
        assert!(guard.is_token(TOKEN) && !guard.is_token("0123456789abcdeg") && !guard.is_token(""));
        let bearer = headers(&[(header::AUTHORIZATION, &format!("Bearer {TOKEN}"))]);
        assert_eq!(guard.admit(&bearer, 0), Admission::Granted);
        let set = guard.cookie(1_000, false);
        assert!(set.contains("; HttpOnly; SameSite=Strict; ") && !set.contains("Secure"), "{set}");
        assert!(guard.cookie(1_000, true).ends_with("; Secure"));
        assert!(!set.contains(TOKEN), "{set}");
        let pair = set.split(';').next().unwrap();
        let shown = headers(&[(header::COOKIE, &format!("other=1; {pair}"))]);
        assert_eq!(guard.admit(&shown, 1_000 + 12 * 3_600 - 1), Admission::Granted);
        assert_eq!(guard.admit(&shown, 1_000 + 12 * 3_600), Admission::TokenNeeded);
        assert_eq!(guarded().admit(&shown, 1_000), Admission::TokenNeeded, "another worker's");
        for broken in ["weir_console_9465=", "weir_console_9465=9999999999999.AAAA", "weir_console_9465=x.y"]
        {
            let shown = headers(&[(header::COOKIE, broken)]);
            assert_eq!(guard.admit(&shown, 0), Admission::TokenNeeded, "{broken}");
        }
        // Another port's, with the same value.
        let other = headers(&[(header::COOKIE, &pair.replace("9465", "9466"))]);
        assert_eq!(guard.admit(&other, 1_000), Admission::TokenNeeded);
    }
}
