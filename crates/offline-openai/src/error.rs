//! Errors as OpenAI's API reports them.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::engine::EngineError;

/// An error response: a status and the body `{"error": {message, type, param, code}}`.
///
/// Source: OpenAI API reference, "Error codes"; the fields as async-openai 0.43 reads them.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: Option<&'static str>,
    param: Option<&'static str>,
    message: String,
    retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            retry_after_s: None,
        }
    }

    /// 400: the request itself is wrong.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// 401: no key, or another one. The key that came is not repeated.
    pub(crate) fn wrong_key() -> Self {
        let message = "Incorrect API key provided. This stand-in was started with --api-key; \
                       send that key as `Authorization: Bearer <key>`.";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_request_error", message)
            .with_code("invalid_api_key")
    }

    /// 404: the model is not in the list.
    pub(crate) fn unknown_model(model: &str) -> Self {
        let message = format!("The model `{model}` does not exist here; see GET /v1/models.");
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .with_code("model_not_found")
            .with_param("model")
    }

    /// 404 or 405: no such address.
    pub(crate) fn no_route(status: StatusCode, method: &str, path: &str) -> Self {
        let message = format!("The stand-in does not answer {method} {path}.");
        Self::new(status, "invalid_request_error", message).with_code("unknown_url")
    }

    /// 413: more bytes than are taken.
    pub(crate) fn too_large() -> Self {
        let message = "The request body is larger than this endpoint takes.";
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            message,
        )
    }

    /// 429, either for the moment or, with `insufficient_quota`, for good.
    pub(crate) fn too_many(code: &'static str, retry_after_s: Option<u64>) -> Self {
        let message = match code {
            "insufficient_quota" => "You exceeded your current quota (a fault asked for).",
            _ => "Rate limit reached (a fault asked for, or too many requests wait).",
        };
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "requests", message);
        error.retry_after_s = retry_after_s;
        error.with_code(code)
    }

    /// 500: something here failed.
    pub(crate) fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// Names what the error is, for programs.
    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Names the parameter that is wrong.
    pub(crate) fn with_param(mut self, param: &'static str) -> Self {
        self.param = Some(param);
        self
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full { .. } => Self::too_many("rate_limit_exceeded", Some(1)),
            _ => Self::server(error.to_string()),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }});
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
