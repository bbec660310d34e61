//! `GET /api/dashboard`: the whole dashboard of whoever asks (D-API-1, D-API-2).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use shared_types::SnapshotTag;

use crate::app::App;
use crate::auth::Session;
use crate::error::ApiError;
use crate::http::origin::{self, Sender};
use crate::http::query::refuse_tokens;
use crate::push::query;
use crate::push::user::UserId;

/// The shared caches' part: nothing; the browser's part: ask each time.
const CACHING: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Answers with the caller's dashboard.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let session = caller(&app, &uri, &headers).await?;
    respond(&app, &session.user, &headers).await
}

/// Whoever asks.
pub(crate) async fn caller(app: &App, uri: &Uri, headers: &HeaderMap) -> Result<Session, ApiError> {
    refuse_tokens(uri.query())?;
    let foreign = origin::sender(&app.config, uri, headers) == Sender::ForeignPage;
    Ok(app.authenticator.session(headers, foreign).await?)
}

/// Answers with a user's dashboard, or with 304 if the caller's copy is current: then only the
/// revision is read.
pub(crate) async fn respond(
    app: &App,
    user: &UserId,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    app.gate.snapshot(user)?;
    let known: Vec<SnapshotTag> = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|tag| tag.parse().ok())
        .collect();
    let reads = async {
        let _turn = app.database.turn().await?;
        if !known.is_empty() {
            let tag = query::tag(&app.database.pool, user.as_str()).await?;
            if known.contains(&tag) {
                return Ok((tag, None));
            }
        }
        let (tag, view) = query::snapshot(&app.database.pool, user.as_str()).await?;
        Ok((tag, Some(view)))
    };
    let (tag, view) = query::in_time(reads).await?;
    app.push.rooms().served(user, tag.revision);
    let response = match view {
        Some(view) => Json(view).into_response(),
        None => StatusCode::NOT_MODIFIED.into_response(),
    };
    Ok(tagged(response, &tag))
}

fn tagged(mut response: Response, tag: &SnapshotTag) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag.to_string()) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, CACHING);
    response
}
