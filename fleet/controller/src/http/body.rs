//! Request bodies: bounded in size and time.

use std::fmt;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, StatusCode, header};
use futures::StreamExt;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::ApiError;

/// Largest body, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// How much of a body that is not wanted is read and thrown away, so that its sender gets to read the answer
/// before the connection is closed.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a body that is not wanted is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads a JSON body; `None` for an empty one.
///
/// # Errors
/// 413, 415 or 400.
pub(super) async fn json(headers: &HeaderMap, body: Body) -> Result<Option<Value>, ApiError> {
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse::<usize>().ok());
    if length.is_some_and(|length| length > BODY_BYTES_MAX) {
        drain(headers, body).await;
        return Err(too_large());
    }
    // A body that is not there has no type to be wrong.
    if body.is_end_stream() {
        return Ok(None);
    }
    if let Err(error) = check_type(headers) {
        drain(headers, body).await;
        return Err(error);
    }
    let bytes = tokio::time::timeout(BODY_TIMEOUT, read(body))
        .await
        .map_err(|_| {
            ApiError::bad_request(format!(
                "the body did not arrive within {} s",
                BODY_TIMEOUT.as_secs()
            ))
        })??;
    if bytes.is_empty() {
        return Ok(None);
    }
    let Unambiguous(value) = serde_json::from_slice(&bytes).map_err(|error: serde_json::Error| {
        let problem = if error.is_data() {
            "is ambiguous"
        } else {
            "is not JSON"
        };
        ApiError::bad_request(format!("the body {problem}: {error}"))
    })?;
    Ok(Some(value))
}

/// JSON in which every field is there once: of two, readers would not agree on which one is meant (RFC 8259 §4).
struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Unambiguous, E> {
        Ok(Unambiguous(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unambiguous, A::Error> {
        let mut values = Vec::new();
        while let Some(Unambiguous(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(Unambiguous(values.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Unambiguous, A::Error> {
        const SHOWN_CHARS_MAX: usize = 100;
        let mut fields = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if fields.contains_key(&name) {
                let shown: String = name.chars().take(SHOWN_CHARS_MAX).collect();
                return Err(A::Error::custom(format!(
                    "the field {shown:?} is there twice; give it once"
                )));
            }
            let Unambiguous(value) = object.next_value()?;
            fields.insert(name, value);
        }
        Ok(Unambiguous(fields.into()))
    }
}

/// Reads a body and throws it away.
pub(super) async fn drain(headers: &HeaderMap, body: Body) {
    // Who waits for a word before sending is not going to send after an answer.
    if headers.contains_key(header::EXPECT) {
        return;
    }
    let mut left = DRAINED_BYTES_MAX;
    let mut chunks = body.into_data_stream();
    let all = async {
        while let Some(Ok(chunk)) = chunks.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whatever has not come by then makes the server close the connection.
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
}

async fn read(body: Body) -> Result<Vec<u8>, ApiError> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| ApiError::bad_request(format!("the body broke off: {error}")))?;
        if bytes.len() + chunk.len() > BODY_BYTES_MAX {
            drain(&HeaderMap::new(), Body::from_stream(chunks)).await;
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let named = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("unreadable").trim())
    };
    if let Some(coding) = named(header::CONTENT_ENCODING)
        && !coding.eq_ignore_ascii_case("identity")
    {
        return Err(wrong_type("the body is encoded; send it as it is"));
    }
    let essence = |kind: &str| {
        kind.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    match named(header::CONTENT_TYPE) {
        Some(kind) if essence(kind) != "application/json" => Err(wrong_type(
            "the body has another type; send Content-Type: application/json",
        )),
        _ => Ok(()),
    }
}

fn too_large() -> ApiError {
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("the body is larger than {BODY_BYTES_MAX} bytes"),
    )
}

fn wrong_type(text: &str) -> ApiError {
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Value, String> {
        let read: Result<Unambiguous, _> = serde_json::from_str(text);
        read.map(|Unambiguous(value)| value)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_field_that_is_there_twice_is_refused_by_name_at_any_depth() {
        for (text, name) in [
            (r#"{"servers":["a"],"servers":["b"]}"#, "servers"),
            (r#"{"servers":[{"name":"a","nts":true,"nts":false}]}"#, "nts"),
            (r#"{"a":{"b":1,"\u0062":1}}"#, "b"),
        ] {
            let refused = read(text).unwrap_err();
            let wanted = format!("the field \"{name}\" is there twice; give it once");
            assert!(refused.starts_with(&wanted), "{refused}");
        }
    }

    #[test]
    fn everything_else_is_read_as_it_is() {
        for text in [
            r#"{"servers":[{"name":"a"},{"name":"a"}],"x":{"servers":[]}}"#,
            "[1,-1,1.5,18446744073709551615,true,null,\"\\n\",{}]",
            "null",
            "\"a\"",
            "1e400",
            "{",
            "[1] 2",
        ] {
            let plain: Result<Value, _> = serde_json::from_str(text);
            assert_eq!(read(text), plain.map_err(|error| error.to_string()), "{text}");
        }
        // Nesting is bounded as it was.
        assert!(
            read(&"[".repeat(100_000))
                .unwrap_err()
                .contains("recursion limit")
        );
    }
}
