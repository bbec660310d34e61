//! Serves the static web root: the built dashboard app, beside the API.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT, CACHE_CONTROL, VARY};
use http::{HeaderValue, Method, StatusCode};
use percent_encoding::percent_decode_str;
use tower::ServiceExt;
use tower_http::services::{ServeDir, ServeFile};

use crate::http::error::ApiError;

/// Built files are named by their content.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");

/// The one folder with a dot that is meant for everyone (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// Adds the web root: files as they are. Any other address that a browser navigates to gets the
/// app's page, which knows its own routes.
pub(crate) fn with_assets<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    root: &Path,
) -> Router<S> {
    let files = ServeDir::new(root).precompressed_br().precompressed_gzip();
    let page = ServeFile::new(root.join("index.html"));
    router.fallback(move |request: Request| serve(files.clone(), page.clone(), request))
}

async fn serve(files: ServeDir, page: ServeFile, request: Request) -> Response {
    if !is_public(request.uri().path()) {
        return ApiError::NotFound.into_response();
    }
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
    // A name that no file system could hold is an error to the library. To us it is not there.
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
        // There may be compressed forms, whether or not this is one.
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    response
}

/// Whether a path may name a file. What begins with a dot lies in the folder for others than
/// browsers (`.env`, `.git`), and a client that follows a redirect takes `//host` for another host.
fn is_public(path: &str) -> bool {
    // Decoded once, as the library does.
    let path = percent_decode_str(path).decode_utf8_lossy();
    let is_hidden = |name: &str| name.starts_with('.') && name != WELL_KNOWN;
    !path.contains("//") && !path.split('/').any(is_hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_files_and_foreign_hosts_are_not_public() {
        for path in ["/", "/index.html", "/a.b/c.js", "/.well-known/security.txt", "/%252eenv"] {
            assert!(is_public(path), "{path}");
        }
        for path in [
            "/.env",
            "/%2eenv",
            "/.git/config",
            "/assets/.hidden/a.js",
            "/assets%2f.env",
            "/../x",
            "//assets",
            "/%2fassets",
            "/assets//x",
            "/.well-known/.env",
            "/.well-known.old",
        ] {
            assert!(!is_public(path), "{path}");
        }
    }
}
