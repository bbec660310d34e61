//! `GET /api/dashboard`: the whole dashboard of whoever asks (D-API-1, D-API-2).

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use shared_types::SnapshotTag;

use crate::app::App;
use crate::auth::Session;
use crate::database::Database;
use crate::error::ApiError;
use crate::http::origin::{self, Sender};
use crate::http::query::refuse_tokens;
use crate::push::query::{self, QueryError};
use crate::push::user::UserId;
use crate::reads::flights::Ticket;

/// The shared caches' part: nothing; the browser's part: ask each time.
const CACHING: HeaderValue = HeaderValue::from_static("private, no-cache");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A dashboard as it is sent, however often.
#[derive(Clone)]
pub(crate) struct Snapshot {
    tag: SnapshotTag,
    body: Bytes,
}

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
    let tag = if known.is_empty() {
        None
    } else {
        let tag = app.tags.join(user.clone(), |users| tags(&app.database, users));
        Some(query::in_time(tag).await?).filter(|tag| known.contains(tag))
    };
    if let Some(tag) = tag {
        app.push.rooms().served(user, tag.revision);
        return Ok(tagged(StatusCode::NOT_MODIFIED.into_response(), &tag));
    }
    let (database, reader) = (Arc::clone(&app.database), user.clone());
    let read = |ticket: Ticket<_>| async move {
        let read = async {
            let _turn = database.turn().await?;
            ticket.depart();
            let mut connection = database.pool.get().await?;
            let read = query::snapshot(&mut *connection, reader.as_str()).await?;
            connection.done();
            Ok::<_, QueryError>(read)
        };
        let (tag, view) = read.await?;
        let body =
            serde_json::to_vec(&view).map_err(|error| ApiError::Internal(Arc::new(error)))?;
        Ok(Snapshot { tag, body: body.into() })
    };
    let Snapshot { tag, body } = query::in_time(app.snapshots.join(user, read)).await?;
    app.push.rooms().served(user, tag.revision);
    Ok(tagged(([(CONTENT_TYPE, JSON)], body).into_response(), &tag))
}

/// Reads the tags of several users; what fails does so for all of them.
async fn tags(database: &Database, users: Vec<UserId>) -> Vec<Result<SnapshotTag, ApiError>> {
    let read = async {
        let _turn = database.turn().await?;
        let mut connection = database.pool.get().await?;
        let tags = query::tags(&mut *connection, &users).await?;
        connection.done();
        Ok::<_, QueryError>(tags)
    };
    match read.await {
        Ok(tags) => tags.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(ApiError::from(error)); users.len()],
    }
}

fn tagged(mut response: Response, tag: &SnapshotTag) -> Response {
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&tag.to_string()) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, CACHING);
    response
}
