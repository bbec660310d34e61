//! Handles every request on its way in and out: correlation, panics, the standard error body, security
//! headers, logs and metrics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, RETRY_AFTER, STRICT_TRANSPORT_SECURITY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use shared_types::error::CORRELATION_ID_HEADER;
use shared_types::{ErrorBody, ErrorDetail};
use tracing::Instrument;

use crate::clock;
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::fresh;
use crate::metrics::Metrics;
use crate::net::Peer;
use crate::telemetry::traces::Answered;

/// What pages from here may do: run our scripts and modules, talk to us, show pictures.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
     img-src 'self' https: data:; connect-src 'self'; object-src 'none'; base-uri 'none'; \
     frame-ancestors 'none'; form-action 'self'",
);
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const CORRELATION_ID: HeaderName = HeaderName::from_static(CORRELATION_ID_HEADER);
const CORRELATION_ID_MAX: usize = 128;

/// What the lines of a request, and of the socket that it opened, have in common.
#[derive(Clone)]
pub(crate) struct CorrelationId(pub(crate) Arc<str>);

/// Passes a request on, and makes the answer fit to leave the server. Handlers find the sender's
/// [`Address`](crate::limits::Address) in the request's extensions.
pub(crate) async fn edge(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    let (start, version) = (Instant::now(), request.version());
    let correlation_id: Arc<str> = correlation_id(request.headers()).into();
    request.extensions_mut().insert(CorrelationId(Arc::clone(&correlation_id)));
    let peer = request.extensions().get().copied();
    let address = peer.map(|Peer(peer)| app.limiter.address(peer, request.headers()));
    if let Some(address) = address {
        request.extensions_mut().insert(address);
    }
    let nonce = fresh::nonce_of_error(request.uri().query());
    let parent = app.traces.parent(request.headers());
    let method = method_label(request.method());
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "static".to_owned(), |path| path.as_str().to_owned());
    let span = tracing::info_span!("request", method, route, correlation_id = &*correlation_id);
    let response = async {
        let response = contain(next.run(request), &app.metrics).await;
        let may_tell = || address.is_none_or(|address| app.limiter.may_tell(address));
        let mut response = standardise(response, &correlation_id, nonce, may_tell);
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&correlation_id) {
            headers.insert(CORRELATION_ID, value);
        }
        secure(headers, app.config.is_https());
        if app.draining.is_cancelled() && version < Version::HTTP_2 {
            // The next request should not be on its way when this connection is closed.
            headers.entry(CONNECTION).or_insert(HeaderValue::from_static("close"));
        }
        let status = response.status().as_u16();
        tracing::debug!(status, took_ms = start.elapsed().as_secs_f64() * 1e3, "answered");
        response
    }
    .instrument(span)
    .await;
    let status = response.status().as_u16();
    app.metrics.request(method, &route, status, start.elapsed());
    let (route, correlation_id) = (route.as_str(), &*correlation_id);
    let answered = Answered { method, route, status, correlation_id, started: start };
    app.traces.request(parent.as_ref(), &answered);
    response
}

/// Makes of a panic an answer like any other.
async fn contain(answer: impl Future<Output = Response>, metrics: &Metrics) -> Response {
    AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| {
        metrics.panics.inc();
        ApiError::Panic.into_response()
    })
}

/// Gives every response that is not a success the standard body, no matter which layer made it, and logs it.
fn standardise(
    mut response: Response,
    correlation_id: &str,
    nonce: Option<String>,
    may_tell: impl FnOnce() -> bool,
) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let error = response.extensions_mut().remove::<ApiError>().unwrap_or_else(|| plain(status));
    match &error {
        ApiError::Internal(_) | ApiError::Panic => tracing::error!(%error, "request failed"),
        ApiError::Unavailable(_) => tracing::warn!(%error, "request failed"),
        // Counted, not logged: a line for each would be a second way to flood.
        ApiError::TooMany { limit, .. } => {
            tracing::debug!(%error, status = status.as_u16(), limit = limit.label(), "request refused");
        }
        _ if !may_tell() => tracing::debug!(%error, status = status.as_u16(), "request refused"),
        _ => tracing::info!(%error, status = status.as_u16(), "request refused"),
    }
    let body = ErrorBody {
        success: false,
        error: ErrorDetail { code: error.code(), message: error.message().to_owned() },
        correlation_id: correlation_id.to_owned(),
        timestamp: clock::timestamp_now(),
        fresh: nonce,
    };
    // The headers stay, such as those that let a page of another origin read the error.
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_TYPE, JSON);
    parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let headers = &mut parts.headers;
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = error.retry_after_s() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    // Types of the contract can always be written as JSON.
    let body = serde_json::to_vec(&body).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}

/// The error for a response that a library made.
fn plain(status: StatusCode) -> ApiError {
    match status {
        StatusCode::NOT_FOUND => ApiError::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => {
            ApiError::Invalid(status, "This method is not allowed here")
        }
        status if status.is_client_error() => ApiError::Invalid(status, "Invalid request"),
        _ => ApiError::Internal(Arc::new(std::io::Error::other(status.to_string()))),
    }
}

fn secure(headers: &mut HeaderMap, https: bool) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    if https {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(STRICT_TRANSPORT_SECURITY, year);
    }
}

/// The caller's own id if it is harmless in logs and headers, else a fresh one.
fn correlation_id(headers: &HeaderMap) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    headers
        .get(CORRELATION_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=CORRELATION_ID_MAX).contains(&id.len()) && id.chars().all(harmless))
        .map_or_else(|| clock::random_id().to_string(), ToOwned::to_owned)
}

/// A label of a fixed list: clients may invent methods.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(id: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_ID, HeaderValue::from_str(id).unwrap());
        correlation_id(&headers)
    }

    #[tokio::test]
    async fn a_panic_is_answered_with_the_standard_body_and_counted() {
        let metrics = Metrics::new();
        let response = contain(async { panic!("secret") }, &metrics).await;
        let response = standardise(response, "c-1", Some("a1".to_owned()), || true);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
        let body: ErrorBody = serde_json::from_slice(&body).unwrap();
        assert_eq!(body.error.message, "Unable to load dashboard");
        assert_eq!(body.correlation_id, "c-1");
        assert_eq!(body.fresh.as_deref(), Some("a1"));
        assert_eq!(metrics.panics.get(), 1);
    }

    #[tokio::test]
    async fn errors_that_a_library_made_get_the_standard_body_too() {
        for (status, code) in
            [(404, "NOT_FOUND"), (413, "VALIDATION_ERROR"), (500, "INTERNAL_ERROR")]
        {
            let plain = StatusCode::from_u16(status).unwrap().into_response();
            let response = standardise(plain, "c-1", None, || true);
            assert_eq!(response.status().as_u16(), status);
            let body = axum::body::to_bytes(response.into_body(), 4096).await.unwrap();
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["error"]["code"], code);
            assert!(body.get("fresh").is_none(), "{body}");
        }
        let fine = standardise(StatusCode::NOT_MODIFIED.into_response(), "c-1", None, || true);
        assert_eq!(fine.status(), StatusCode::NOT_MODIFIED);
    }

    #[test]
    fn harmless_correlation_ids_are_kept() {
        assert_eq!(given("req-1.a_B"), "req-1.a_B");
        let longest = "a".repeat(128);
        assert_eq!(given(&longest), longest);
        for bad in ["", "a b", "<script>", "a;b", &"a".repeat(129)] {
            assert!(uuid::Uuid::parse_str(&given(bad)).is_ok(), "{bad}");
        }
    }
}
