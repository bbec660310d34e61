//! Admits requests: checks a request's rate, its way here and its size before the server works for it.
//! Limits how many refused sessions one address may cause.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::host;
use crate::auth::AuthError;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::limits::Address;
use crate::metrics::Limit;
use crate::proxy;

/// What a router's requests have to pass.
#[derive(Clone)]
pub(crate) struct Admission {
    pub(crate) app: Arc<App>,
    pub(crate) body: BodyLimit,
}

/// The largest body that a request may announce.
#[derive(Clone, Copy)]
pub(crate) struct BodyLimit {
    pub(crate) max_bytes: u32,
    /// What a larger one is counted as.
    pub(crate) limit: Limit,
    /// What its sender is answered.
    pub(crate) refusal: &'static str,
}

impl BodyLimit {
    /// Of requests that only ask.
    pub(crate) fn of_questions(app: &App) -> Self {
        Self {
            max_bytes: app.limiter.limits.max_body_bytes,
            limit: Limit::BodySize,
            refusal: "Requests have no body here",
        }
    }

    /// Of requests that may hold a client's packets.
    pub(crate) fn of_packets(app: &App) -> Self {
        Self {
            max_bytes: app.limiter.limits.max_message_bytes,
            limit: Limit::MessageSize,
            refusal: "The packets are larger than maxPayload",
        }
    }
}

/// Passes a request on that is within the limits.
pub(crate) async fn admit(
    State(admission): State<Admission>,
    request: Request,
    next: Next,
) -> Response {
    let Admission { app, body } = admission;
    let address = match pass(&app, body, &request) {
        Ok(address) => address,
        Err(error) => return refuse(&app, request.version(), error),
    };
    let response = next.run(request).await;
    match response.extensions().get() {
        // Not to have signed in yet is no attempt to do so.
        Some(ApiError::Unauthorized(error)) if *error != AuthError::Missing => {
            match app.limiter.auth_failure(address) {
                Ok(()) => response,
                Err(too_many) => ApiError::from(too_many).into_response(),
            }
        }
        _ => response,
    }
}

/// The same for the questions that browsers ask before a request to another origin: the library that
/// answers them stands outside of [`admit`].
pub(crate) async fn admit_preflight(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::OPTIONS
        && let Err(error) = pass(&app, BodyLimit::of_questions(&app), &request)
    {
        return refuse(&app, request.version(), error);
    }
    next.run(request).await
}

/// Who sends the request, if the request passes.
fn pass(app: &App, body: BodyLimit, request: &Request) -> Result<Address, ApiError> {
    let bad = |message| ApiError::Invalid(StatusCode::BAD_REQUEST, message);
    let address = request.extensions().get().copied().ok_or(bad("Unknown sender"))?;
    app.limiter.request(address)?;
    if app.config.behind_proxy {
        // Not 403, which ends a session: this is no fault of it.
        proxy::require_tls(request.headers()).map_err(bad)?;
    }
    host::check(request.version(), request.uri(), request.headers()).map_err(bad)?;
    if body_length(request.headers()) > body.max_bytes.into() {
        app.metrics.limited(body.limit);
        return Err(ApiError::Invalid(StatusCode::PAYLOAD_TOO_LARGE, body.refusal));
    }
    Ok(address)
}

/// Refuses a request. A client over its rate has to reconnect: on a connection that is kept, the next
/// request would cost less than the answer. A proxy's connections are kept, because others use them, too.
fn refuse(app: &App, version: Version, error: ApiError) -> Response {
    let hangs_up = matches!(error, ApiError::TooMany { .. })
        && !app.config.behind_proxy
        && version < Version::HTTP_2;
    let mut response = error.into_response();
    if hangs_up {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// What the head announces. A body that comes in pieces is not read, and ends the connection.
fn body_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}
