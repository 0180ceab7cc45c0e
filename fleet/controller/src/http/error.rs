//! Errors as answers: one type, one JSON shape.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bus::BusError;
use model::Invalid;
use model::error::ErrorResponse;

use crate::RetryError;
use crate::hosts::HostError;
use crate::jobs::SubmitError;
use crate::tokens::IssueError;

/// An answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ApiError {
    status: StatusCode,
    text: String,
}

impl ApiError {
    /// Makes an error of any status.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        ApiError {
            status,
            text: text.into(),
        }
    }

    /// The request is malformed.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// There is no good token.
    pub fn unauthorized(text: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, text)
    }

    /// The token does not allow it.
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    /// There is no such thing.
    pub fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// The controller failed.
    pub fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// Too much is under way.
    pub fn busy(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorResponse { error: self.text })).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"timeball\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
        }
        response
    }
}

impl From<Invalid> for ApiError {
    fn from(refused: Invalid) -> Self {
        ApiError::bad_request(refused.to_string())
    }
}

impl From<BusError> for ApiError {
    /// Also a full or locked store is 500: clients show the text of that, and not that of 503.
    fn from(error: BusError) -> Self {
        ApiError::internal(error.to_string())
    }
}

impl From<HostError> for ApiError {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Unknown(_) | HostError::Fingerprint { .. } => ApiError::not_found(error.to_string()),
            HostError::Ambiguous { .. } | HostError::NameTaken { .. } | HostError::WrongState { .. } => {
                ApiError::new(StatusCode::CONFLICT, error.to_string())
            }
            HostError::Bus(error) => error.into(),
        }
    }
}

impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Target(refused) => refused_target(&refused),
            SubmitError::TooLarge(_) | SubmitError::TooManyHosts { .. } => {
                ApiError::bad_request(error.to_string())
            }
            SubmitError::Busy { .. } => ApiError::busy(error.to_string()),
            SubmitError::Bus(error) => error.into(),
        }
    }
}

impl From<RetryError> for ApiError {
    fn from(error: RetryError) -> Self {
        match error {
            RetryError::Unknown(_) => ApiError::not_found(error.to_string()),
            RetryError::Submit(error) => error.into(),
        }
    }
}

impl From<IssueError> for ApiError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Invalid(refused) => refused.into(),
            IssueError::TooMany => ApiError::new(StatusCode::CONFLICT, error.to_string()),
            IssueError::Sign(_) => ApiError::internal(error.to_string()),
            IssueError::Bus(error) => error.into(),
        }
    }
}

/// A target that means nobody, in the words of the contract's validator and with what to do.
pub(super) fn refused_target(refused: &Invalid) -> ApiError {
    ApiError::bad_request(format!(
        "Field validation for 'Hostname' failed on the 'valid_target' tag: {refused}"
    ))
}
