//! Defines the one error type at the HTTP edge (D-API-7).
//!
//! A handler returns [`ApiError`]. The edge ([`crate::http::edge`]) turns it into the standard body, with
//! the correlation id that only the edge knows, and logs it once. Texts are constant, so that nothing
//! internal reaches a client.

use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use shared_types::ErrorCode;

use crate::auth::AuthError;
use crate::dashboard::query::QueryError;
use crate::limits::TooMany;
use crate::metrics::Limit;

/// Seconds after which to try again when the server cannot answer. Short: clients wait at least this
/// long after the database is back, and spread themselves beyond it.
pub(crate) const RETRY_AFTER_S: u32 = 1;

/// Why a request is not answered as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// 401: no valid session.
    #[error("unauthorized: {0}")]
    Unauthorized(AuthError),
    /// 403: another user's dashboard, a page that may not use the cookie, or not by HTTPS.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// 404: nothing is there.
    #[error("not found")]
    NotFound,
    /// 400, or another status for a request that is wrong in itself.
    #[error("bad request: {1}")]
    Invalid(StatusCode, &'static str),
    /// 429: more than an address or a user may ask for.
    #[error("too many requests")]
    TooMany {
        /// Which limit says so.
        limit: Limit,
        /// When to ask again.
        retry_after: Duration,
    },
    /// 503: every place is taken, or the server is about to stop.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// 503: the database or the token issuer's keys cannot be reached.
    #[error("unavailable: {0}")]
    Unavailable(Arc<dyn std::error::Error + Send + Sync>),
    /// 500: a fault of this server.
    #[error("internal error: {0}")]
    Internal(Arc<dyn std::error::Error + Send + Sync>),
    /// 500: a fault of this server that ended a task.
    #[error("panic")]
    Panic,
}

impl ApiError {
    /// The status that it is answered with.
    #[must_use]
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid(status, _) => *status,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal(_) | Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The code in the standard body.
    #[must_use]
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthorized(_) => ErrorCode::Unauthorized,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::NotFound => ErrorCode::NotFound,
            Self::Invalid(..) => ErrorCode::ValidationError,
            Self::TooMany { .. } => ErrorCode::RateLimited,
            Self::Busy(_) | Self::Unavailable(_) | Self::Internal(_) | Self::Panic => {
                ErrorCode::InternalError
            }
        }
    }

    /// The text in the standard body.
    #[must_use]
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::Unauthorized(_) => "Authentication required",
            Self::Forbidden(message) | Self::Invalid(_, message) | Self::Busy(message) => message,
            Self::TooMany { .. } => "Too many requests; try again later",
            Self::NotFound => "Not found",
            Self::Unavailable(_) | Self::Internal(_) | Self::Panic => "Unable to load dashboard",
        }
    }

    /// How long to wait before another attempt, in whole seconds, if waiting is what helps.
    #[must_use]
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooMany { retry_after, .. } => Some(retry_after.as_secs() + 1),
            Self::Busy(_) | Self::Unavailable(_) => Some(RETRY_AFTER_S.into()),
            _ => None,
        }
    }
}

impl From<TooMany> for ApiError {
    fn from(TooMany { limit, retry_after }: TooMany) -> Self {
        Self::TooMany { limit, retry_after }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            // The session may be fine. To say otherwise would log the user out.
            AuthError::KeysUnavailable => Self::Unavailable(Arc::new(error)),
            // Signing in again would not help.
            AuthError::Origin => Self::Forbidden(
                "This page's origin may not use the session cookie; \
                 add it to DASHBOARD_ALLOWED_ORIGINS",
            ),
            _ => Self::Unauthorized(error),
        }
    }
}

impl From<Arc<QueryError>> for ApiError {
    fn from(error: Arc<QueryError>) -> Self {
        match &*error {
            QueryError::Slow | QueryError::Incomplete => Self::Unavailable(error),
            QueryError::Database(source) if is_outage(source) => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    /// A bare status that carries the error. The edge makes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Whether waiting helps: the database is away, starting, stopping, too slow or too busy.
fn is_outage(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        // Classes: connection, log-in, no such database or schema, resources, not in the right state,
        // cancelled or shut down, system. And a deadlock with another program, and rights or tables that are gone, as after an uninstallation.
        // Only the operator can put these right.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| {
            ["08", "28", "3D", "3F", "40P01", "42501", "42P01", "53", "55", "57", "58"]
                .iter()
                .any(|class| code.starts_with(class))
        }),
        _ => false,
    }
}
