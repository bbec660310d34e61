//! Answers `GET /api/users/{userId}/dashboard`: the caller's dashboard by the user's id. Answers 403 for
//! the id of another user (D-API-1, D-API-7).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, Uri};

use crate::http::app::App;
use crate::http::dashboard;
use crate::http::error::ApiError;

/// Answers with the dashboard of that user, who must be the caller.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    Path(user_id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let session = dashboard::caller(&app, &uri, &headers).await?;
    if session.user.as_str() != user_id {
        return Err(ApiError::Forbidden("This dashboard belongs to another user"));
    }
    dashboard::respond(&app, &session.user, &uri, &headers).await
}
