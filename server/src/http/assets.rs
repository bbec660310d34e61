//! The static web root: the built dashboard app, beside the API.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL};
use http::{HeaderValue, Method, StatusCode};
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::error::ApiError;

/// Built files are named by their content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// Adds the web root: files as they are; for any other address that a browser navigates to, the
/// app's page, which knows its own routes.
pub(crate) fn with_assets<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    root: &Path,
) -> Router<S> {
    let files = ServeDir::new(root).precompressed_gzip();
    let page = ServeFile::new(root.join("index.html"));
    router.fallback(move |request: Request| serve(files.clone(), page.clone(), request))
}

async fn serve(files: ServeDir, page: ServeFile, request: Request) -> Response {
    let navigates = request.method() == Method::GET
        && request
            .headers()
            .get(ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
    let hashed = request.uri().path().starts_with("/assets/");
    let (parts, _) = request.into_parts();
    let again = http::Request::from_parts(parts.clone(), axum::body::Body::empty());
    let request = http::Request::from_parts(parts, axum::body::Body::empty());
    let Ok(mut response) = files.oneshot(request).await.map(IntoResponse::into_response);
    // A name that no file system could hold is an error to the library; to us it is not there.
    if response.status() == StatusCode::NOT_FOUND || response.status().is_server_error() {
        // A built file that is gone belongs to an older build: a page in its place would be kept.
        if !navigates || hashed {
            return ApiError::NotFound.into_response();
        }
        let Ok(found) = page.oneshot(again).await.map(IntoResponse::into_response);
        response = found;
    }
    if response.status().is_success() {
        let caching = if hashed { FOREVER } else { REVALIDATE };
        response.headers_mut().insert(CACHE_CONTROL, caching);
    }
    response
}
