//! Which address leads where.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::header::{AUTHORIZATION, COOKIE, ETAG, IF_NONE_MATCH, ORIGIN, RETRY_AFTER};
use shared_types::error::CORRELATION_ID_HEADER;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::app::App;
use crate::error::ApiError;
use crate::http::{admit, assets, dashboard, edge, socket, user_dashboard};

/// The public side: the API below its base path, the socket, the web root.
pub(crate) fn router(app: Arc<App>) -> Router {
    let prefix = app.config.prefix();
    let api = Router::new()
        .route(&format!("{prefix}/dashboard"), get(dashboard::get))
        .route(&format!("{prefix}/users/{{userId}}/dashboard"), get(user_dashboard::get))
        .layer(from_fn_with_state(Arc::clone(&app), admit::admit))
        // Outside, so that pages of other origins can read why they were turned away.
        .layer(cors(&app.config.allowed_origins))
        .layer(from_fn_with_state(Arc::clone(&app), admit::admit_preflight));
    let others = Router::new()
        .route("/socket.io/", get(socket::upgrade))
        .route("/socket.io", get(socket::upgrade));
    let others = match &app.config.web_root {
        Some(root) => assets::with_assets(others, root),
        None => others.fallback(async || ApiError::NotFound),
    };
    let others = others.layer(from_fn_with_state(Arc::clone(&app), admit::admit));
    api.merge(others).layer(from_fn_with_state(Arc::clone(&app), edge::edge)).with_state(app)
}

/// Exactly the configured origins, with their cookies; nobody else. And what an answer of the API
/// depends on besides its address, said once, whatever the answer is.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<_> =
        origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    let layer = CorsLayer::new().vary([AUTHORIZATION, COOKIE, ORIGIN]);
    if origins.is_empty() {
        return layer;
    }
    let correlation_id = HeaderName::from_static(CORRELATION_ID_HEADER);
    layer
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([Method::GET])
        .allow_headers([AUTHORIZATION, IF_NONE_MATCH, correlation_id.clone()])
        .expose_headers([ETAG, RETRY_AFTER, correlation_id])
}
