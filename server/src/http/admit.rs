//! What a request has to pass before anything is done for it: its rate, its way here and its size;
//! and what one address may cost in refused sessions.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};

use super::origin;
use crate::app::App;
use crate::auth::AuthError;
use crate::error::ApiError;
use crate::gate::Address;
use crate::metrics::Limit;

/// Passes a request on that is within the limits.
pub(crate) async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let address = match pass(&app, &request) {
        Ok(address) => address,
        Err(error) => return refuse(&app, request.version(), error),
    };
    let response = next.run(request).await;
    match response.extensions().get() {
        // Not to have signed in yet is no attempt to do so.
        Some(ApiError::Unauthorized(error)) if *error != AuthError::Missing => {
            match app.gate.auth_failure(address) {
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
        && let Err(error) = pass(&app, &request)
    {
        return refuse(&app, request.version(), error);
    }
    next.run(request).await
}

/// Who sends the request, if it may be looked at.
fn pass(app: &App, request: &Request) -> Result<Address, ApiError> {
    let bad = |message| ApiError::Invalid(StatusCode::BAD_REQUEST, message);
    let address = request.extensions().get().copied().ok_or(bad("Unknown sender"))?;
    app.gate.request(address)?;
    if app.config.behind_proxy && !is_forwarded_https(request.headers()) {
        return Err(ApiError::Forbidden("HTTPS is required"));
    }
    if origin::is_ambiguous(request.uri(), request.headers()) {
        return Err(bad("The request names more than one host"));
    }
    if body_length(request.headers()) > app.gate.limits.max_body_bytes.into() {
        app.metrics.limited(Limit::BodySize);
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(ApiError::Invalid(status, "Requests have no body here"));
    }
    Ok(address)
}

/// Says no. Whoever asks too often has to come back for it: on a connection that is kept, the next
/// request would cost less than the answer. A proxy's connections are others' as well.
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

fn is_forwarded_https(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https")
}

/// What the head announces. A body that comes in pieces is not read, and ends the connection.
fn body_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}
