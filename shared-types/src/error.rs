//! The standard error body of the host application (D-API-7).

use crate::prelude::*;
use serde::{Deserialize, Serialize};

use crate::scalar::Timestamp;

/// The header that names a request in logs and error bodies.
pub const CORRELATION_ID_HEADER: &str = "x-correlation-id";

/// The body of every response that is not a success (D-API-7).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct ErrorBody {
    /// Always false.
    pub success: bool,
    /// What went wrong.
    pub error: ErrorDetail,
    /// Names the request in the server's logs; also in the header `X-Correlation-Id`.
    pub correlation_id: String,
    /// When the error was made.
    pub timestamp: Timestamp,
    /// The nonce `fresh` of the request, where it has one: this answer was made for that request, and is not
    /// a copy that something between has kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "codegen", ts(optional))]
    pub fresh: Option<String>,
}

/// What went wrong, for programs and for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub struct ErrorDetail {
    /// For programs.
    pub code: ErrorCode,
    /// For people; never holds internals.
    pub message: String,
}

/// The kinds of error, each with one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "codegen", derive(ts_rs::TS, schemars::JsonSchema))]
pub enum ErrorCode {
    /// 401: no valid session.
    Unauthorized,
    /// 403: a valid session, but for another user.
    Forbidden,
    /// 404: no such address.
    NotFound,
    /// 400, 405, 413, 414 or 431: the request itself is wrong.
    ValidationError,
    /// 429: too many requests; see `Retry-After`.
    RateLimited,
    /// 500 or 503: the server's fault; with 503, see `Retry-After`.
    InternalError,
}
