//! From what HTTP says to what we do about it: every failure becomes a [`CallError`].

use std::time::{Duration, SystemTime};

use async_openai::error::OpenAIError;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use super::refusal::Refusal;
use crate::error::{CallError, ErrorKind, Service};

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
