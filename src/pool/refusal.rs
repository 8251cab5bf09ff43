//! A service's answer that it will not do what was asked, read for its meaning.
//!
//! Plain code. Services put a refusal into many forms (OpenAI's `error` object, FastAPI's `detail`,
//! a string, a page of HTML) and behind any status, also 200. The codes and words decide.

use std::fmt;

use reqwest::StatusCode;
use serde_json::Value;

use crate::error::ErrorKind;
use crate::redact::Pii;

/// Characters of a refusal that are searched for words: the explanation comes first, and a service
/// may repeat the whole request behind it.
const WORDS_CHARS_MAX: usize = 2_000;
/// Source: Groq's documentation, "Tool use", errors.
const TOOL_USE_FAILED: &str = "tool_use_failed";
/// Entries of a list of errors that are read.
const ENTRIES_MAX: usize = 8;

/// What a service said when it refused.
///
/// The text for logs has only short codes: the message itself may quote the request or a key.
#[derive(Debug)]
pub struct Refusal {
    /// The HTTP status; in a stream that began with 200, the status that the error names.
    pub status: StatusCode,
    /// The service's own short code, such as `model_not_found`; empty without one.
    pub code: String,
    /// The service's own words.
    pub message: Pii<String>,
    /// Codes, field names and words together, in lower case.
    words: Pii<String>,
    /// The same without the words: `code`, `type` and `status` as the service names them.
    codes: Pii<String>,
    /// The status in the body, which says more than that of a proxy in between.
    said_status: Option<u16>,
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

/// The kind and the refusal of an error inside a stream that began with status 200.
pub(crate) fn refusal_in_stream(text: &str) -> (ErrorKind, Refusal) {
    let mut refusal = Refusal::read(StatusCode::INTERNAL_SERVER_ERROR, text.as_bytes());
    let by_words = || kind_of_words(&squeezed(refusal.words.expose()));
    let kind = refusal.said().or_else(by_words);
    let kind = kind.unwrap_or(ErrorKind::Unavailable);
    let said = refusal.said_status.filter(|status| *status >= 400);
    let named = said.and_then(|status| StatusCode::from_u16(status).ok());
    refusal.status = match (named, kind) {
        (Some(status), _) => status,
        (None, ErrorKind::Rejected) => StatusCode::BAD_REQUEST,
        (None, _) => refusal.status,
    };
    (kind, refusal)
}

impl Refusal {
    /// Reads OpenAI's `{"error": {"message", "type", "code"}}`, the same without `error` around it as
    /// PostgREST writes it, with `msg` as Twirp does, FastAPI's `detail`, lists of these, or plain text.
    pub(super) fn read(status: StatusCode, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let json: Option<Value> = serde_json::from_str(&text).ok();
        let body = json.unwrap_or_else(|| Value::String(text.into_owned()));
        let error = innermost(&body);
        let of = |key: &str| plain(&error[key]);
        let code = match (of("code"), of("type")) {
            (code, kind) if code.is_empty() => kind,
            (code, _) => code,
        };
        let statuses = ["code", "status", "status_code"].map(of);
        let said_status = statuses.iter().find_map(|text| text.parse().ok());
        let codes = [&*code, &of("type"), &statuses[1]].join(" ");
        let message = message(error);
        let upstream = plain(&error["metadata"]["raw"]);
        let words = [&*codes, &of("param"), &message, &upstream].join(" ");
        Self {
            status,
            code: short(&code),
            message: Pii::new(message),
            words: Pii::new(lower(&words)),
            codes: Pii::new(lower(&codes)),
            said_status,
        }
    }

    pub(super) fn kind(&self) -> ErrorKind {
        match self.status.as_u16() {
            // Groq's word for a tool call that the model wrote wrongly: nothing is wrong with the request.
            400 if self.code == TOOL_USE_FAILED => ErrorKind::Empty,
            401 | 403 => ErrorKind::Unauthorized,
            408 | 504 => ErrorKind::Timeout,
            // An empty account stays empty however often it is asked.
            429 if self.code == "insufficient_quota" => ErrorKind::Rejected,
            429 => ErrorKind::RateLimited,
            // A redirect is not followed: the address has to be set right.
            300..500 => ErrorKind::Rejected,
            // Some servers answer 500 to what is the request's fault.
            _ if self.said() == Some(ErrorKind::Rejected) => ErrorKind::Rejected,
            _ => ErrorKind::Unavailable,
        }
    }

    /// Whether the request has more words than the model takes.
    pub(crate) fn is_too_long(&self) -> bool {
        let words = squeezed(self.words.expose());
        let says_so = [
            "contextlength",
            "contextwindow",
            "contextsize",
            "contextlimit",
            "maximumcontext",
            "maxcontext",
            "toolong",
            "toomanytokens",
            "tokenlimit",
            "reducethelength",
            "reduceyourprompt",
            "stringabovemaxlength",
            "requesttoolarge",
            "maximumnumberoftokens",
            "maximumnumberofinputtokens",
            "exceedsthemaximumlength",
        ];
        let is_rate = self.status == StatusCode::TOO_MANY_REQUESTS;
        !is_rate
            && (self.status == StatusCode::PAYLOAD_TOO_LARGE
                || says_so.iter().any(|it| words.contains(it)))
    }

    /// Codes, names of fields and words in lower case, for finding out what of a request is meant. They may
    /// quote a caller and go nowhere else.
    pub(crate) fn words(&self) -> &str {
        self.words.expose()
    }

    /// What the codes say; `None` when they say nothing.
    fn said(&self) -> Option<ErrorKind> {
        if self.code == TOOL_USE_FAILED {
            return Some(ErrorKind::Empty);
        }
        if self.is_too_long() {
            return Some(ErrorKind::Rejected);
        }
        let by_status = || match self.said_status? {
            401 | 403 => Some(ErrorKind::Unauthorized),
            408 | 504 => Some(ErrorKind::Timeout),
            429 => Some(ErrorKind::RateLimited),
            400..500 => Some(ErrorKind::Rejected),
            500..600 => Some(ErrorKind::Unavailable),
            _ => None,
        };
        kind_of_codes(&squeezed(self.codes.expose())).or_else(by_status)
    }
}

/// The object that explains: inside `error`, `errors`, `detail` or a list of these.
fn innermost(body: &Value) -> &Value {
    let mut error = body;
    for _ in 0..4 {
        let inner = match error {
            Value::Array(entries) => entries.first(),
            _ => ["error", "errors", "base_resp"]
                .iter()
                .map(|key| &error[*key])
                .find(|inner| !inner.is_null()),
        };
        // A list of FastAPI's stays whole: each entry names one field.
        match inner {
            Some(inner) if inner.is_object() || inner.is_string() || inner.is_array() => {
                error = inner;
            }
            _ => return error,
        }
    }
    error
}

/// The words of an error object.
fn message(error: &Value) -> String {
    if let Value::String(message) = error {
        return message.clone();
    }
    let keys = [
        "message",
        "msg",
        "detail",
        "error_description",
        "status_msg",
        "description",
        "reason",
        "title",
    ];
    let texts = keys.iter().map(|key| match &error[*key] {
        Value::Array(entries) => {
            let entries = entries.iter().take(ENTRIES_MAX).map(|entry| {
                let place = match &entry["loc"] {
                    Value::Array(place) => place.iter().map(plain).collect::<Vec<_>>().join("."),
                    _ => String::new(),
                };
                let words = [plain(&entry["msg"]), plain(&entry["message"]), plain(entry)];
                format!("{place} {}", words.join(" "))
            });
            entries.collect::<Vec<_>>().join("; ")
        }
        Value::Object(inner) => inner.get("message").map(plain).unwrap_or_default(),
        text => plain(text),
    });
    texts
        .into_iter()
        .find(|text| !text.trim().is_empty())
        .unwrap_or_default()
}

/// Text or a number as text; empty for anything else.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

fn lower(text: &str) -> String {
    text.chars()
        .take(WORDS_CHARS_MAX)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Without what separates words: services write `rate_limit`, `RateLimit` and `rate limit`.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// What a service's code means: the first line that fits.
fn kind_of_codes(codes: &str) -> Option<ErrorKind> {
    let table: [(&[&str], ErrorKind); 6] = [
        (
            &["insufficientquota", "billing", "paymentrequired"],
            ErrorKind::Rejected,
        ),
        (
            &[
                "ratelimit",
                "toomanyrequests",
                "resourceexhausted",
                "throttl",
                "quotaexceeded",
            ],
            ErrorKind::RateLimited,
        ),
        (
            &[
                "authentication",
                "unauthorized",
                "unauthenticated",
                "apikey",
                "permission",
                "forbidden",
            ],
            ErrorKind::Unauthorized,
        ),
        (&["timeout", "deadline"], ErrorKind::Timeout),
        (
            &[
                "overload",
                "unavailable",
                "servererror",
                "internal",
                "capacity",
                "apierror",
            ],
            ErrorKind::Unavailable,
        ),
        (
            &[
                "invalid",
                "badrequest",
                "validation",
                "unprocessable",
                "notfound",
                "unsupported",
                "contentfilter",
                "contentpolicy",
                "failedprecondition",
                "unknownparameter",
                "missingrequired",
            ],
            ErrorKind::Rejected,
        ),
    ];
    let fits = |words: &&[&str]| words.iter().any(|word| codes.contains(word));
    let found = table.iter().find(|(words, _)| fits(words));
    found.map(|(_, kind)| *kind)
}

/// The same for words, which say less reliably what is meant.
fn kind_of_words(words: &str) -> Option<ErrorKind> {
    let table: [(&[&str], ErrorKind); 5] = [
        (
            &["ratelimit", "toomanyrequests", "quota"],
            ErrorKind::RateLimited,
        ),
        (
            &[
                "overload",
                "unavailable",
                "capacity",
                "tryagain",
                "retryyour",
                "internalserver",
                "badgateway",
                "temporar",
            ],
            ErrorKind::Unavailable,
        ),
        (&["timedout", "timeout"], ErrorKind::Timeout),
        (
            &[
                "apikey",
                "unauthorized",
                "authentication",
                "permission",
                "forbidden",
            ],
            ErrorKind::Unauthorized,
        ),
        (
            &[
                "invalid",
                "badrequest",
                "notsupported",
                "unsupported",
                "notpermitted",
                "mustbe",
                "mustalternate",
                "required",
                "unknownfield",
                "unrecognized",
                "doesnotexist",
            ],
            ErrorKind::Rejected,
        ),
    ];
    let fits = |it: &&[&str]| it.iter().any(|word| words.contains(word));
    let found = table.iter().find(|(it, _)| fits(it));
    found.map(|(_, kind)| *kind)
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
    fn an_error_in_a_stream_is_judged_by_what_it_says() {
        use ErrorKind::{RateLimited, Rejected, Timeout, Unauthorized, Unavailable};
        for (said, expected) in [
            (
                r#"{"error":{"message":"too long","type":"invalid_request_error","code":400}}"#,
                Rejected,
            ),
            (r#"{"error":{"code":"rate_limit_exceeded"}}"#, RateLimited),
            (
                r#"{"error":{"code":429,"message":"slow down"}}"#,
                RateLimited,
            ),
            (
                r#"{"error":{"code":503,"status":"UNAVAILABLE","message":"overloaded"}}"#,
                Unavailable,
            ),
            (
                r#"[{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"x"}}]"#,
                Rejected,
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#,
                Unavailable,
            ),
            (
                r#"{"object":"error","message":"m","type":"BadRequestError","code":400}"#,
                Rejected,
            ),
            (r#"{"error":"model is overloaded, try again"}"#, Unavailable),
            (r#"{"error":"invalid message role"}"#, Rejected),
            (r#"{"error":"prompt is too long: 9000 tokens"}"#, Rejected),
            (
                r#"{"detail":[{"loc":["body","messages"],"msg":"field required","type":"missing"}]}"#,
                Rejected,
            ),
            (r#"{"detail":"Rate limit reached"}"#, RateLimited),
            (
                r#"{"error":{"type":"authentication_error","message":"bad key"}}"#,
                Unauthorized,
            ),
            (r#"{"error":{"code":"timeout"}}"#, Timeout),
            ("<html><h1>502 Bad Gateway</h1></html>", Unavailable),
            (
                r#"{"error":{"message":"m","type":"server_error"}}"#,
                Unavailable,
            ),
            (r#"{"error":{}}"#, Unavailable),
        ] {
            assert_eq!(refusal_in_stream(said).0, expected, "{said}");
        }
    }

    #[test]
    fn a_long_request_is_told_from_a_long_answer_and_from_a_rate() {
        let is_too_long = |status: u16, body: &str| {
            Refusal::read(StatusCode::from_u16(status).unwrap(), body.as_bytes()).is_too_long()
        };
        for body in [
            r#"{"error":{"code":"context_length_exceeded"}}"#,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens."}}"#,
            r#"{"error":{"type":"exceed_context_size_error"}}"#,
            r#"{"error":{"message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#,
        ] {
            assert!(is_too_long(400, body), "{body}");
            assert!(!is_too_long(429, body), "{body}");
        }
        assert!(is_too_long(413, "<html>"));
        let answer = r#"{"error":{"message":"max_tokens is too large: 500000"}}"#;
        assert!(!is_too_long(400, answer));
    }

    #[test]
    fn a_500_that_is_the_requests_fault_is_no_outage() {
        let body = r#"{"error":{"code":500,"type":"invalid_request_error","message":"m"}}"#;
        assert_eq!(kind(500, body), ErrorKind::Rejected);
        let failed = r#"{"error":{"code":"tool_use_failed","type":"invalid_request_error"}}"#;
        assert_eq!(kind(400, failed), ErrorKind::Empty);
        assert_eq!(
            kind(500, r#"{"error":{"type":"server_error"}}"#),
            ErrorKind::Unavailable
        );
    }
}
