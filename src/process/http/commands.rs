//! Commands by HTTP: what is checked before they go to the door, and what its answers are here.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::LengthLimitError;
use serde::Deserialize;
use serde_json::Value;

use super::problem::Problem;
use super::routes::json_response;
use super::{Api, BODY_BYTES_MAX};
use crate::edges::requests::Said;
use crate::motion::door::{Answer, Submission};
use crate::words::codec::{self, Format};
use crate::words::codes::Family;
use crate::words::command::Command;
use crate::words::policy::RULES_NEWEST;
use crate::words::reply::ReplyKind;

/// When to try again where nobody says, in milliseconds.
const RETRY_AFTER_MS: u32 = 1_000;

/// Answers a POST of commands.
pub(super) async fn post(
    api: &Api,
    family: Family,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let submit = api.submit.as_ref().filter(|_| api.families.contains(&family));
    let Some(submit) = submit else {
        let detail =
            "commands of this family are not taken by HTTP here: the configuration names those that are";
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "commands_off", detail));
    };
    check_head(headers)?;
    let body = read(api, body).await?;
    check_text(&body)?;
    check_key(headers, &body)?;
    let submission = Submission { family, said: Said::default(), payload: body };
    answered(&submit.submit(submission).await)
}

/// What the head of a request says of its body.
fn check_head(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |detail: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let is_json = match (types.next(), types.next()) {
        (Some(value), None) => value.to_str().ok().and_then(Format::of_content_type) == Some(Format::Json),
        _ => false,
    };
    if !is_json {
        return Err(unsupported("a body is JSON, and Content-Type: application/json must say so"));
    }
    let is_plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if !is_plain {
        return Err(unsupported("a body is not compressed"));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    Ok(())
}

fn too_large() -> Problem {
    let detail = format!("a body has at most {BODY_BYTES_MAX} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
}

async fn read(api: &Api, body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(api.limits.request, to_bytes(body, BODY_BYTES_MAX)).await {
        Err(_) => {
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the body did not come in time"))
        }
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error);
            if source.is_some_and(<dyn std::error::Error>::is::<LengthLimitError>) {
                Err(too_large())
            } else {
                Err(malformed("the body ended early, or its chunks cannot be read"))
            }
        }
        Ok(Ok(body)) => Ok(body),
    }
}

fn malformed(detail: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed_payload", detail)
}

/// Whether a body may be JSON in UTF-8 at all; what is wrong with it by name, where it is something known.
fn check_text(body: &[u8]) -> Result<(), Problem> {
    let detail = match body.trim_ascii_start() {
        [] => return Err(Problem::new(StatusCode::BAD_REQUEST, "empty_payload", "there is no body")),
        [0xef, 0xbb, 0xbf, ..] => "the body begins with a byte order mark",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, b'{' | b'[', ..] | [b'{' | b'[', 0, ..] => {
            "the body is UTF-16: send UTF-8"
        }
        [0x1f, 0x8b, ..] => "the body is compressed",
        [b'{' | b'[', ..] if std::str::from_utf8(body).is_ok() => return Ok(()),
        [b'{' | b'[', ..] => "the body is not UTF-8",
        _ => "the body is neither an object nor an array",
    };
    Err(malformed(detail))
}

/// An `Idempotency-Key` must be the id by which the command is told from others anyway.
fn check_key(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(()) };
    let mismatch =
        |detail: &str| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_mismatch", detail);
    if keys.next().is_some() {
        return Err(mismatch("there is more than one Idempotency-Key"));
    }
    let mut commands = codec::commands(Some(Format::Json), body, RULES_NEWEST);
    let (Some(Ok(command)), None) = (commands.next(), commands.next()) else {
        return Err(mismatch("an Idempotency-Key goes with one command alone, that can be read"));
    };
    let key = key.as_bytes();
    let key = key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")).unwrap_or(key);
    if id_of(&command).is_some_and(|id| id.as_bytes() == key) {
        return Ok(());
    }
    Err(mismatch("the Idempotency-Key is not the id of the command, by which a retry is told: leave it out"))
}

/// The id by which a retry of a command is told; that of its subject, where it has none of its own.
fn id_of(command: &Command<'_>) -> Option<String> {
    let content = command.content();
    let own = content.told_by().map(ToOwned::to_owned);
    own.or_else(|| content.subject().map(|subject| subject.id().to_owned()))
}

/// What became of commands, as a response. An array is answered by an array, of which each element says what became of it.
fn answered(answer: &Answer) -> Result<Response, Problem> {
    let Answer { kind, payload, retry_after_ms, .. } = answer;
    if payload.trim_ascii_start().starts_with(b"[") {
        return Ok(json_response(StatusCode::OK, payload.clone()));
    }
    let again = u64::from(retry_after_ms.unwrap_or(RETRY_AFTER_MS));
    let (status, code, detail) = match kind {
        ReplyKind::Decided if !is_busy(payload) => return Ok(json_response(StatusCode::OK, payload.clone())),
        ReplyKind::Accepted => return Ok(json_response(StatusCode::ACCEPTED, payload.clone())),
        ReplyKind::Decided | ReplyKind::Busy => {
            (StatusCode::TOO_MANY_REQUESTS, "busy", "there is too much to do")
        }
        ReplyKind::Refused => {
            (StatusCode::BAD_REQUEST, "not_taken", "the command was not stored, and never will be")
        }
        ReplyKind::Unknown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "unknown",
            "the command may be stored: send it again under its id",
        ),
        ReplyKind::Unavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the command was not stored")
        }
    };
    let reply = serde_json::from_slice(payload).unwrap_or(Value::Null);
    let problem = Problem::new(status, code, detail).with("reply", reply);
    Err(if *kind == ReplyKind::Refused { problem } else { problem.again_after_ms(again) })
}

/// Whether the outcome of a single command is that the shard is at a cap.
fn is_busy(outcome: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Refused<'a> {
        outcome: &'a str,
        reason: Option<&'a str>,
    }
    matches!(serde_json::from_slice(outcome), Ok(Refused { outcome: "refused", reason: Some("busy") }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_no_json_are_named() {
        for (body, expected) in [
            (&b""[..], "empty_payload"),
            (b" \n", "empty_payload"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\0{\0}", "UTF-16"),
            (b"{\0}\0", "UTF-16"),
            (b"\x1f\x8b\x08", "compressed"),
            (b"{\"a\":\"\xff\"}", "not UTF-8"),
            (b"42", "neither an object nor an array"),
        ] {
            let problem = format!("{:?}", check_text(body).unwrap_err());
            assert!(problem.contains(expected), "{body:?}: {problem}");
        }
        check_text(b" {}").unwrap();
        check_text(b"[]").unwrap();
    }

    #[test]
    fn keys_agree_with_ids() {
        let place = br#"{"place":{"order_id":"O-1","lines":[{"sku":"A","quantity":1}]}}"#;
        let cancel = br#"{"cancel":{"order_id":"O-1","cancel_id":"N-1"}}"#;
        let two = br#"[{"tick":{}},{"tick":{}}]"#;
        let cases: [(&[u8], &[&str], bool); 9] = [
            (place, &[], true),
            (place, &["O-1"], true),
            (place, &["\"O-1\""], true),
            (place, &["O-2"], false),
            (place, &["O-1", "O-1"], false),
            (cancel, &["N-1"], true),
            (cancel, &["O-1"], false),
            (two, &["O-1"], false),
            (b"{", &["O-1"], false),
        ];
        for (body, keys, well) in cases {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append("Idempotency-Key", key.parse().unwrap());
            }
            assert_eq!(check_key(&headers, body).is_ok(), well, "{keys:?}");
        }
    }

    /// For each line of the frozen file.
    #[test]
    fn ids_by_which_retries_are_told() {
        let frozen = include_str!("../../../tests/golden/frame-v1.jsonl").lines();
        let ids: Vec<_> = frozen.map(|line| id_of(&serde_json::from_str(line).unwrap())).collect();
        let ids: Vec<_> = ids.iter().map(|id| id.as_deref().unwrap_or("none")).collect();
        let expected = [
            "O-1 O-1 O-1 O-1 O-1 O-1 O-1 O-1 T-1 T-1 T-1 O-1 S-1 O-1 S-1 X-1 X-1 R-1 R-1 C-1 C-1 none none none",
            "O-2 N-1 V-1 C-2 J-1 J-1 X-1 M-1 E-1",
        ];
        assert_eq!(ids.join(" "), expected.join(" "));
    }

    #[test]
    fn a_shard_at_its_cap_is_busy_and_any_other_refusal_is_an_outcome() {
        let busy = br#"{"outcome":"refused","command":"place","reason":"busy","sequence":1,"index":0}"#;
        assert!(is_busy(busy));
        assert!(!is_busy(br#"{"outcome":"refused","reason":"unknown_sku"}"#));
        assert!(!is_busy(br#"{"outcome":"confirmed"}"#));
        assert!(!is_busy(b"[]"));
    }
}
