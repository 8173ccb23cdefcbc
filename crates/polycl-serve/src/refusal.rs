//! Answers to requests that are not met.

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use polycl_base::{Error, Kind};
use serde_json::json;

pub type Answer<T> = Result<T, Refusal>;

/// A code for the page, and sentences for a person.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), hint: None }
    }

    /// Something that cannot be done as things are.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// A request that makes no sense.
    pub fn senseless(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub fn missing(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = if is_full(&error) { "disk_full" } else { "failed" };
        let (message, hint) = (error.to_string(), error.hint);
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code, message, hint }
    }
}

impl From<anyhow::Error> for Refusal {
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => error.into(),
            Err(error) => Self::new(StatusCode::INTERNAL_SERVER_ERROR, "failed", format!("{error:#}")),
        }
    }
}

/// True if there was no room on the disk.
pub fn is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    let cause = error.source.as_deref().and_then(|cause| cause.downcast_ref::<std::io::Error>());
    error.kind == Kind::Io && cause.is_some_and(|e| [StorageFull, QuotaExceeded].contains(&e.kind()))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = json!({"error": self.code, "message": self.message, "hint": self.hint});
        let mut response =
            (self.status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response();
        let hint = self.hint.map(|hint| format!(" Hint: {hint}.")).unwrap_or_default();
        response.extensions_mut().insert(Detail(self.message + &hint));
        response
    }
}

/// A refusal in a sentence.
#[derive(Clone)]
struct Detail(String);

/// A response whose refusal is told as `{"detail": …}`, as clients of other programs want it.
pub async fn detailed(response: Response) -> Response {
    let Some(Detail(text)) = response.extensions().get() else { return response };
    let body = json!({"detail": text}).to_string();
    (response.status(), [(CONTENT_TYPE, "application/json")], body).into_response()
}
