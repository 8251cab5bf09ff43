//! From what HTTP says to what we do about it: every failure becomes a [`CallError`].

use std::fmt;
use std::time::{Duration, SystemTime};

use async_openai::error::OpenAIError;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::error::{CallError, ErrorKind, Service};
use crate::redact::Pii;

/// Most of an error's body that is read; the rest says nothing more.
const ERROR_BODY_BYTES_MAX: usize = 64 * 1024;
/// How long the body of an error may take once its status is known.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(2);

/// Who was asked for what.
pub(super) type Asked = (Service, &'static str);

/// A request that got no answer.
pub(super) fn no_answer(asked: Asked, error: reqwest::Error) -> CallError {
    let kind = if error.is_builder() {
        ErrorKind::Rejected
    } else if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Unavailable
    };
    CallError::new(asked.0, asked.1, kind).because(error.without_url())
}

/// An answer that broke off or cannot be read.
pub(super) fn broken_answer(asked: Asked, error: reqwest::Error) -> CallError {
    let kind = if error.is_timeout() {
        ErrorKind::Timeout
    } else {
        ErrorKind::Malformed
    };
    CallError::new(asked.0, asked.1, kind).because(error.without_url())
}

/// Whether the connection failed under the request: not while connecting, and before any answer.
pub(super) fn is_dead_socket(error: &reqwest::Error) -> bool {
    error.is_request() && !error.is_connect() && !error.is_timeout()
}

/// An answer with a status other than success, and whether it was read to its end. Reads a bounded
/// part of its body.
pub(super) async fn refusal(asked: Asked, mut response: Response) -> (CallError, bool) {
    let (status, headers) = (response.status(), response.headers().clone());
    let (body, is_whole) = tokio::time::timeout(ERROR_BODY_TIMEOUT, read_some(&mut response))
        .await
        .unwrap_or_default();
    (refusal_of(asked, status, &headers, &body), is_whole)
}

/// The same of an answer that was read already.
pub(super) fn refusal_of(
    asked: Asked,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> CallError {
    let refusal = Refusal::read(status, body);
    CallError {
        retry_after: retry_after(headers, SystemTime::now()),
        ..CallError::new(asked.0, asked.1, refusal.kind())
    }
    .because(refusal)
}

/// The error object of a stream that began well: `{"error": {...}}` where data was expected.
pub(crate) fn refusal_in_stream(json: &str) -> (ErrorKind, Refusal) {
    let refusal = Refusal::read(StatusCode::INTERNAL_SERVER_ERROR, json.as_bytes());
    let kind = match refusal.code.as_str() {
        "rate_limit_exceeded" | "429" => ErrorKind::RateLimited,
        _ => refusal.kind(),
    };
    (kind, refusal)
}

/// What async-openai reports, back in our terms; our own errors pass through it unchanged.
pub(crate) fn from_openai(
    service: Service,
    operation: &'static str,
    error: OpenAIError,
) -> CallError {
    let asked = (service, operation);
    match error {
        OpenAIError::Boxed(inner) => match inner.downcast::<CallError>() {
            Ok(error) => *error,
            Err(other) => CallError::new(service, operation, ErrorKind::Unavailable).because(other),
        },
        OpenAIError::Reqwest(error) => broken_answer(asked, error),
        OpenAIError::InvalidArgument(_) => {
            CallError::new(service, operation, ErrorKind::Rejected).because(error)
        }
        // These carry the answer's text, which may be what a caller said.
        _ => CallError::new(service, operation, ErrorKind::Malformed),
    }
}

async fn read_some(response: &mut Response) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let room = ERROR_BODY_BYTES_MAX - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() >= room {
                    return (body, false);
                }
            }
            Ok(None) => return (body, true),
            Err(_) => return (body, false),
        }
    }
}

/// What a service said when it refused.
///
/// The text for logs has only short codes: the message itself may quote the request or a key.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// The service's own short code, such as `model_not_found`; empty without one.
    pub code: String,
    /// The service's own words.
    pub message: Pii<String>,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        if !self.code.is_empty() {
            write!(f, " ({})", self.code)?;
        }
        Ok(())
    }
}

impl Refusal {
    /// Reads OpenAI's `{"error": {"message", "type", "code"}}`, or the same without `error` around
    /// it as PostgREST writes it, or with `msg` as Twirp does; other servers leave parts out.
    fn read(status: StatusCode, body: &[u8]) -> Self {
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let error = match &body["error"] {
            serde_json::Value::Null => &body,
            error => error,
        };
        let text = |key: &str| match &error[key] {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let code = Some(text("code")).filter(|code| !code.is_empty());
        Self {
            status,
            code: short(&code.unwrap_or_else(|| text("type"))),
            message: Pii::new(match error {
                serde_json::Value::String(message) => message.clone(),
                _ => Some(text("message"))
                    .filter(|message| !message.is_empty())
                    .unwrap_or_else(|| text("msg")),
            }),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self.status.as_u16() {
            401 | 403 => ErrorKind::Unauthorized,
            408 | 504 => ErrorKind::Timeout,
            // An empty account stays empty however often it is asked.
            429 if self.code == "insufficient_quota" => ErrorKind::Rejected,
            429 => ErrorKind::RateLimited,
            // A redirect is not followed: the address has to be set right.
            300..500 => ErrorKind::Rejected,
            _ => ErrorKind::Unavailable,
        }
    }
}

/// Keeps a code that looks like one: a server could put anything there.
fn short(code: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if code.len() <= 64 && code.chars().all(is_plain) {
        code.to_owned()
    } else {
        String::new()
    }
}

/// The wait a service asks for: OpenAI's milliseconds, else seconds, else a date.
///
/// Source: RFC 9110 section 10.2.3; `retry-after-ms` as OpenAI's own SDKs read it.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let number = |name: &str| text(name)?.trim().parse::<f64>().ok();
    if let Some(ms) = number("retry-after-ms") {
        return Duration::try_from_secs_f64(ms / 1000.0).ok();
    }
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text(RETRY_AFTER.as_str())?).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> ErrorKind {
        Refusal::read(StatusCode::from_u16(status).unwrap(), body.as_bytes()).kind()
    }

    #[test]
    fn the_status_decides_the_kind() {
        for (status, expected) in [
            (301, ErrorKind::Rejected),
            (400, ErrorKind::Rejected),
            (401, ErrorKind::Unauthorized),
            (403, ErrorKind::Unauthorized),
            (404, ErrorKind::Rejected),
            (408, ErrorKind::Timeout),
            (429, ErrorKind::RateLimited),
            (500, ErrorKind::Unavailable),
            (503, ErrorKind::Unavailable),
            (504, ErrorKind::Timeout),
        ] {
            assert_eq!(kind(status, "<html>"), expected, "{status}");
        }
    }

    #[test]
    fn an_empty_account_is_not_asked_again() {
        let body =
            r#"{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        assert!(!kind(429, body).is_retryable());
    }

    #[test]
    fn the_text_of_a_refusal_shows_codes_and_no_words() {
        let body = br#"{"error":{"message":"Incorrect key sk-1234","code":"invalid_api_key"}}"#;
        let refusal = Refusal::read(StatusCode::UNAUTHORIZED, body);
        assert_eq!(refusal.to_string(), "status 401 (invalid_api_key)");
        assert_eq!(refusal.message.expose(), "Incorrect key sk-1234");
        assert!(!format!("{refusal:?}").contains("sk-1234"));
    }

    #[test]
    fn a_code_is_found_without_an_error_around_it() {
        let body = br#"{"code":"42501","details":null,"hint":null,"message":"denied for John"}"#;
        let refusal = Refusal::read(StatusCode::FORBIDDEN, body);
        assert_eq!(refusal.to_string(), "status 403 (42501)");
        for body in ["", "null", "[]", "\"text\"", "3", "{}"] {
            let refusal = Refusal::read(StatusCode::FORBIDDEN, body.as_bytes());
            assert_eq!(refusal.to_string(), "status 403", "{body}");
        }
    }

    #[test]
    fn a_code_that_is_a_sentence_is_left_out() {
        let body = br#"{"error":{"code":"you said my name is John"}}"#;
        assert_eq!(
            Refusal::read(StatusCode::BAD_REQUEST, body).to_string(),
            "status 400"
        );
    }

    #[test]
    fn the_wait_is_read_in_all_its_forms() {
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 00:00:00 GMT").unwrap();
        let wait = |pairs: &[(&'static str, &'static str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            retry_after(&headers, now)
        };
        let ms = Duration::from_millis;
        assert_eq!(wait(&[("retry-after", "2")]), Some(ms(2000)));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(ms(500)));
        assert_eq!(
            wait(&[("retry-after", "9"), ("retry-after-ms", "250")]),
            Some(ms(250))
        );
        assert_eq!(
            wait(&[("retry-after", "Tue, 24 Nov 2026 00:00:07 GMT")]),
            Some(ms(7000))
        );
        assert_eq!(
            wait(&[("retry-after", "Mon, 23 Nov 2026 00:00:00 GMT")]),
            Some(ms(0))
        );
        assert_eq!(wait(&[("retry-after", "-3")]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(wait(&[]), None);
    }
}
