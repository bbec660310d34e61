//! What a request has to pass before anything is done for it: its rate and its size; and what one
//! address may cost in refused sessions.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};

use crate::app::App;
use crate::auth::AuthError;
use crate::error::ApiError;
use crate::metrics::Limit;
use crate::net::Peer;

/// Passes a request on that is within the limits. Handlers find the
/// [`Address`](crate::gate::Address) of its sender in its extensions.
pub(crate) async fn admit(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let Some(Peer(peer)) = request.extensions().get().copied() else {
        return Err(ApiError::Invalid(StatusCode::BAD_REQUEST, "Unknown sender"));
    };
    let address = app.gate.address(peer, request.headers());
    app.gate.request(address)?;
    if body_length(request.headers()) > app.gate.limits.max_body_bytes.into() {
        app.metrics.limited(Limit::BodySize);
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        return Err(ApiError::Invalid(status, "Requests have no body here"));
    }
    request.extensions_mut().insert(address);
    let response = next.run(request).await;
    match response.extensions().get() {
        // Not to have signed in yet is no attempt to do so.
        Some(ApiError::Unauthorized(error)) if *error != AuthError::Missing => {
            Ok(match app.gate.auth_failure(address) {
                Ok(()) => response,
                Err(too_many) => ApiError::from(too_many).into_response(),
            })
        }
        _ => Ok(response),
    }
}

/// What the head announces. A body that comes in pieces is not read, and ends the connection.
fn body_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}
