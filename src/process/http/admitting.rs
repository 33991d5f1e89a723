//! Who may ask: whoever shows the token; or, where there is none, whoever asks loopback by a name of loopback's.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use axum::http::{HeaderMap, StatusCode, header};
use subtle::ConstantTimeEq as _;

use super::Api;
use super::problem::Problem;

/// The fewest bytes of a token: 128 bits as hexadecimal digits have 32.
const TOKEN_BYTES_MIN: usize = 16;
/// The most.
const TOKEN_BYTES_MAX: usize = 512;

/// What a client must show. It is never written anywhere.
#[derive(Clone)]
pub struct Token(Vec<u8>);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It is no token.
    #[error("a token has 16 to 512 printable ASCII characters without blanks")]
    Malformed,
    /// Its file cannot be read.
    #[error("{0}")]
    Unreadable(std::io::Error),
}

impl Token {
    /// A token as it stands in a file or a variable, without the blanks around it.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let well = (TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if well { Ok(Self(text.as_bytes().to_vec())) } else { Err(TokenError::Malformed) }
    }

    /// Reads a file that holds nothing else.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        use std::io::Read as _;
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(TokenError::Unreadable)?;
        let limit = u64::try_from(2 * TOKEN_BYTES_MAX).unwrap_or(u64::MAX);
        file.take(limit).read_to_string(&mut text).map_err(TokenError::Unreadable)?;
        Self::new(&text)
    }

    /// Whether this is it; how long that takes tells nothing of it but its length.
    fn is(&self, shown: &[u8]) -> bool {
        self.0.ct_eq(shown).into()
    }
}

/// Admits a request, or says why not.
pub(super) fn admit(api: &Api, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = &api.token else { return admit_on_loopback(headers) };
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let is_shown = match (shown.next(), shown.next()) {
        (Some(value), None) => bearer(value.as_bytes()).is_some_and(|shown| token.is(shown)),
        _ => false,
    };
    if is_shown {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "a bearer token is needed (Authorization: Bearer …)",
    ))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

fn admit_on_loopback(headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let is_loopback = match (hosts.next(), hosts.next()) {
        // HTTP/1.0 has none, and browsers do not speak it.
        (None, _) => true,
        (Some(host), None) => host.to_str().is_ok_and(is_loopback),
        _ => false,
    };
    if is_loopback {
        return Ok(());
    }
    let detail = "without a token, only loopback may be asked, by its address or as localhost";
    Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", detail))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_is_never_shown() {
        let text = "0123456789abcdef";
        let token = Token::new(&format!(" {text}\n")).unwrap();
        assert!(token.is(text.as_bytes()));
        for other in ["", "0123456789abcde", "0123456789abcdefg", "0123456789abcdeF"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert!(!format!("{token:?}").contains('0'));
        for (length, well) in [(15, false), (16, true), (512, true), (513, false)] {
            assert_eq!(Token::new(&"x".repeat(length)).is_ok(), well, "{length}");
        }
        for bad in ["0123456789 abcdef", "0123456789abcde\u{e9}", "0123456789\nabcdef"] {
            assert!(Token::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bearers_are_read_whatever_the_case_of_their_scheme() {
        assert_eq!(bearer(b"Bearer abc"), Some(&b"abc"[..]));
        assert_eq!(bearer(b"bearer  abc "), Some(&b"abc"[..]));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer"), None);
    }

    #[test]
    fn loopback_has_its_names() {
        for host in ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.8.0.1", "[::1]:80", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "shop.example", "localhost.example", "10.0.0.1", "[::2]:80", "127.0.0.1.example"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
