//! Twirp, the wire form of LiveKit's services: protobuf or JSON over POST, errors as JSON.
//!
//! Source: the Twirp wire protocol, version 7.

use std::borrow::Cow;
use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use livekit_protocol as wire;
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::redact::Pii;

/// What a request came in, and its answer goes out in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Protobuf,
    Json,
}

/// What is read of a `CreateAgentDispatchRequest`: the rest of its fields is for LiveKit's cloud. Unlike
/// the generated type this one reads JSON with fields that are newer than we are.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Create {
    #[serde(alias = "agentName")]
    pub(super) agent_name: String,
    pub(super) room: String,
    pub(super) metadata: Pii<String>,
    pub(super) deployment: String,
    pub(super) attributes: Pii<HashMap<String, String>>,
}

/// `ListAgentDispatchRequest` and `DeleteAgentDispatchRequest`: the same fields.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Name {
    #[serde(alias = "dispatchId")]
    pub(super) dispatch_id: String,
    pub(super) room: String,
}

/// A request that can be read from either encoding.
pub(super) trait Request: DeserializeOwned + From<Self::Wire> {
    /// Its protobuf message.
    type Wire: Message + Default;
}

impl Request for Create {
    type Wire = wire::CreateAgentDispatchRequest;
}

impl From<wire::CreateAgentDispatchRequest> for Create {
    fn from(request: wire::CreateAgentDispatchRequest) -> Self {
        Self {
            agent_name: request.agent_name,
            room: request.room,
            metadata: Pii::new(request.metadata),
            deployment: request.deployment,
            attributes: Pii::new(request.attributes),
        }
    }
}

impl Request for Name {
    type Wire = wire::ListAgentDispatchRequest;
}

impl From<wire::ListAgentDispatchRequest> for Name {
    fn from(request: wire::ListAgentDispatchRequest) -> Self {
        Self {
            dispatch_id: request.dispatch_id,
            room: request.room,
        }
    }
}

impl Encoding {
    const PROTOBUF: &'static str = "application/protobuf";
    const JSON: &'static str = "application/json";

    /// Its name in headers.
    pub(super) const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => Self::PROTOBUF,
            Self::Json => Self::JSON,
        }
    }

    /// The one of a request.
    ///
    /// # Errors
    /// When it is neither.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let value = headers.get(header::CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok());
        let media_type = value.unwrap_or_default().split(';').next();
        match media_type.unwrap_or_default().trim() {
            Self::PROTOBUF => Ok(Self::Protobuf),
            Self::JSON => Ok(Self::Json),
            _ => {
                let why = format!("Content-Type: must be {} or {}", Self::PROTOBUF, Self::JSON);
                Err(Failure::new(StatusCode::NOT_FOUND, "bad_route", why))
            }
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// When it cannot be read. The text says nothing of what it holds.
    pub(super) fn read<T: Request>(self, body: &[u8]) -> Result<T, Failure> {
        let read = match self {
            Self::Protobuf => T::Wire::decode(body).ok().map(T::from),
            Self::Json => serde_json::from_slice(body).ok(),
        };
        read.ok_or_else(|| {
            let why = "the request is no message of this method";
            Failure::new(StatusCode::BAD_REQUEST, "malformed", why)
        })
    }

    /// Writes an answer.
    ///
    /// # Errors
    /// When the message has no JSON form: a bug.
    pub(super) fn write(self, message: &(impl Message + Serialize)) -> Result<Response, Failure> {
        let body = match self {
            Self::Protobuf => message.encode_to_vec(),
            Self::Json => serde_json::to_vec(message).map_err(|error| {
                Failure::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    error.to_string(),
                )
            })?,
        };
        Ok(self.answer(body.into()))
    }

    /// An answer that is written already.
    pub(super) fn answer(self, body: Bytes) -> Response {
        ([(header::CONTENT_TYPE, self.media_type())], body).into_response()
    }
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Failure {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    is_relayed: bool,
}

impl Failure {
    /// `code` is one of the protocol's, `message` tells a person what to do.
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: Cow::Borrowed(code),
            message: message.into(),
            is_relayed: false,
        }
    }

    /// What another server of this protocol has answered.
    pub(super) fn relayed(status: StatusCode, code: &str, message: String) -> Self {
        Self {
            status,
            code: Cow::Owned(code.to_owned()),
            message,
            is_relayed: true,
        }
    }

    /// Whether LiveKit's server has answered so, and how it answers for a room that is not there.
    pub(super) fn says_that_there_is_no_room(&self) -> bool {
        self.is_relayed && matches!(&*self.code, "not_found" | "unavailable")
    }

    /// The same, with the reason why it came so far.
    pub(super) fn after(mut self, reason: &str) -> Self {
        self.message = format!("{reason}; {}", self.message);
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body<'a> {
            code: &'a str,
            msg: &'a str,
        }
        let body = Body {
            code: &self.code,
            msg: &self.message,
        };
        (self.status, Json(body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn encoding(media_type: &'static str) -> Result<Encoding, Failure> {
        let value = HeaderValue::from_static(media_type);
        Encoding::of(&HeaderMap::from_iter([(header::CONTENT_TYPE, value)]))
    }

    #[test]
    fn the_encoding_is_the_content_type() {
        assert_eq!(encoding("application/protobuf"), Ok(Encoding::Protobuf));
        assert_eq!(
            encoding("application/json; charset=utf-8"),
            Ok(Encoding::Json)
        );
        assert_eq!(encoding("text/plain").unwrap_err().code, "bad_route");
        assert_eq!(
            Encoding::of(&HeaderMap::new()).unwrap_err().code,
            "bad_route"
        );
    }

    #[test]
    fn json_is_read_in_both_spellings_and_with_fields_of_the_future() {
        let expected = Create {
            agent_name: "chef".to_owned(),
            room: "kitchen".to_owned(),
            attributes: Pii::new(HashMap::from([("lang".to_owned(), "en".to_owned())])),
            ..Create::default()
        };
        for json in [
            r#"{"agentName": "chef", "room": "kitchen", "attributes": {"lang": "en"}}"#,
            r#"{"agent_name": "chef", "room": "kitchen", "attributes": {"lang": "en"},
                "restartPolicy": "JRP_NEVER", "isNewerThanWe": {"are": [1]}}"#,
        ] {
            let read: Create = Encoding::Json.read(json.as_bytes()).unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn protobuf_is_read_field_by_field() {
        let body = wire::DeleteAgentDispatchRequest {
            dispatch_id: "AD_1".to_owned(),
            room: "kitchen".to_owned(),
        };
        let read: Name = Encoding::Protobuf.read(&body.encode_to_vec()).unwrap();
        let expected = Name {
            dispatch_id: "AD_1".to_owned(),
            room: "kitchen".to_owned(),
        };
        assert_eq!(read, expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic_or_tell_what_they_held(
            bytes in proptest::collection::vec(any::<u8>(), 0..256)
        ) {
            for encoding in [Encoding::Protobuf, Encoding::Json] {
                if let Err(failure) = encoding.read::<Create>(&bytes) {
                    prop_assert_eq!(failure.code, "malformed");
                }
            }
        }
    }
}
