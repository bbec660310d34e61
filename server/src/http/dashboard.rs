//! Answers `GET /api/dashboard`: the caller's whole dashboard (D-API-1, D-API-2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use shared_types::SnapshotTag;

use crate::auth::Session;
use crate::dashboard::snapshots::Snapshot;
use crate::http::app::App;
use crate::http::conditional::Known;
use crate::http::error::ApiError;
use crate::http::fresh::Fresh;
use crate::http::origin::{self, Sender};
use crate::http::query::refuse_tokens;
use crate::user::UserId;

/// Shared caches keep nothing. The browser asks each time.
const CACHING: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Of an answer to one request, which is of no use for another.
const KEEP_NOTHING: HeaderValue = HeaderValue::from_static("no-store");

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers with the caller's dashboard.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let session = caller(&app, &uri, &headers).await?;
    respond(&app, &session.user, &uri, &headers).await
}

/// The session of the caller.
pub(crate) async fn caller(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Session, ApiError> {
    refuse_tokens(uri.query())?;
    let foreign = origin::sender(&app.config, uri, headers) == Sender::ForeignPage;
    Ok(app.authenticator.session(headers, foreign).await?)
}

/// Answers with a user's dashboard, or with 304 if the caller's copy is current. Where the request has a nonce
/// (see [`Fresh`]), with an answer that repeats it.
pub(crate) async fn respond(
    app: &App,
    user: &UserId,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    app.limiter.snapshot(user)?;
    let fresh = Fresh::of(uri.query())?;
    // A 304 has no body that could repeat the nonce, so beside a nonce the header is ignored.
    let known = fresh.as_ref().map_or_else(|| Known::of(headers), Fresh::known);
    let (tag, view) = read(app, user, &known).await?;
    app.limiter.arrivals.came_late(app.push.rooms().served(user, tag.revision));
    Ok(match (fresh, view) {
        (Some(fresh), view) => tagged(fresh.answer(&tag, view.as_deref()), &tag, KEEP_NOTHING),
        (None, Some(view)) => tagged(([(CONTENT_TYPE, JSON)], view).into_response(), &tag, CACHING),
        (None, None) => tagged(StatusCode::NOT_MODIFIED.into_response(), &tag, CACHING),
    })
}

/// Reads a user's dashboard and its tag. Reads only the tag if the caller's copy is current.
async fn read(
    app: &App,
    user: &UserId,
    known: &Known,
) -> Result<(SnapshotTag, Option<Bytes>), ApiError> {
    if !known.is_nothing() {
        let tag = app.tags.now(user).await?;
        if known.has(&tag) {
            return Ok((tag, None));
        }
    }
    let Snapshot { tag, view } = app.snapshots.read(user).await?;
    Ok((tag, Some(view)))
}

fn tagged(mut response: Response, tag: &SnapshotTag, caching: HeaderValue) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag.to_header()) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, caching);
    response
}
