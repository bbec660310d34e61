//! What a request has to pass before anything is done for it: its rate, its way here and its size;
//! and what one address may cost in refused sessions.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

use super::origin;
use crate::app::App;
use crate::auth::AuthError;
use crate::error::ApiError;
use crate::gate::Address;
use crate::metrics::Limit;

const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// What TLS is called in it.
const TLS_SCHEMES: [&[u8]; 2] = [b"https", b"wss"];

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
        // Not 403, which ends a session: this is no fault of it.
        return Err(bad("HTTPS is required"));
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

/// Whether the proxies in front say that the request came by TLS. Some name the scheme of a socket,
/// `wss`, where it asks for one. Where several of them say something, in one header or in several, all
/// have to say so: which of them to believe, nothing tells, and one may be the client's own.
fn is_forwarded_https(headers: &HeaderMap) -> bool {
    let mut schemes = headers
        .get_all(FORWARDED_PROTO)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .peekable();
    let is_secure =
        |scheme: &[u8]| TLS_SCHEMES.iter().any(|secure| scheme.eq_ignore_ascii_case(secure));
    schemes.peek().is_some() && schemes.all(is_secure)
}

/// What the head announces. A body that comes in pieces is not read, and ends the connection.
fn body_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_https(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(FORWARDED_PROTO, HeaderValue::from_static(value));
        }
        is_forwarded_https(&headers)
    }

    #[test]
    fn tls_counts_by_the_name_of_either_scheme() {
        for secure in ["https", "wss", "HTTPS", "Wss", " https "] {
            assert!(is_https(&[secure]), "{secure}");
        }
        for plain in ["", "http", "ws", "httpss", "https:", "https/wss", "wss;", "on", "\"wss\""] {
            assert!(!is_https(&[plain]), "{plain}");
        }
        assert!(!is_https(&[]), "nothing is said");
    }

    #[test]
    fn of_several_proxies_all_have_to_say_tls() {
        for secure in [&["https, https"][..], &["wss,https"], &["https", "wss"]] {
            assert!(is_https(secure), "{secure:?}");
        }
        for plain in [
            &["https, http"][..],
            &["http, https"],
            &["wss,ws"],
            &["https,"],
            &["https", "http"],
            &["http", "https"],
            &["https", ""],
        ] {
            assert!(!is_https(plain), "{plain:?}");
        }
    }
}
