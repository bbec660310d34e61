//! Maps addresses to handlers.

use std::sync::Arc;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use http::header::{AUTHORIZATION, COOKIE, ETAG, IF_NONE_MATCH, ORIGIN, RETRY_AFTER};
use shared_types::error::CORRELATION_ID_HEADER;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::http::admit::{Admission, BodyLimit};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::http::origin::{self, Sender};
use crate::http::{admit, assets, dashboard, edge, socket, user_dashboard};

/// The public side: the API below its base path, the socket, the web root.
pub(crate) fn router(app: Arc<App>) -> Router {
    let prefix = app.config.prefix();
    let admission = |body| Admission { app: Arc::clone(&app), body };
    let questions = admission(BodyLimit::of_questions(&app));
    let packets = admission(BodyLimit::of_packets(&app));
    let correlation_id = HeaderName::from_static(CORRELATION_ID_HEADER);
    let api = Router::new()
        .route(&format!("{prefix}/dashboard"), get(dashboard::get))
        .route(&format!("{prefix}/users/{{userId}}/dashboard"), get(user_dashboard::get))
        .layer(from_fn_with_state(questions.clone(), admit::admit))
        // Outside, so that pages of other origins can read why they were refused.
        .layer(
            cors(&app)
                .allow_methods([Method::GET])
                .allow_headers([AUTHORIZATION, IF_NONE_MATCH, correlation_id.clone()])
                .expose_headers([ETAG, RETRY_AFTER, correlation_id.clone()]),
        )
        .layer(from_fn_with_state(Arc::clone(&app), admit::admit_preflight));
    let socket_route = get(socket::get).post(socket::post).head(socket::head);
    let sockets = Router::new()
        .route("/socket.io/", socket_route.clone())
        .route("/socket.io", socket_route)
        .layer(from_fn_with_state(packets, admit::admit))
        // For clients that poll. WebSockets need none of it. Any headers that an app adds may come.
        // Where polling is switched off, developers could not read what to set without it.
        .layer(
            cors(&app)
                .allow_methods([Method::GET, Method::POST])
                .allow_headers(AllowHeaders::mirror_request())
                .expose_headers([RETRY_AFTER, correlation_id]),
        )
        .layer(from_fn_with_state(Arc::clone(&app), admit::admit_preflight));
    let others = match &app.config.web_root {
        Some(root) => assets::with_assets(Router::new(), root),
        None => Router::new().fallback(async || ApiError::NotFound),
    };
    let others = others.layer(from_fn_with_state(questions, admit::admit));
    api.merge(sockets)
        .merge(others)
        .layer(from_fn_with_state(Arc::clone(&app), edge::edge))
        .with_state(app)
}

/// Allows the cookie to exactly these pages: those of the configured origins and our own. And states
/// once, for all answers, what an answer depends on besides its address.
fn cors(app: &Arc<App>) -> CorsLayer {
    let app = Arc::clone(app);
    let is_trusted = move |_: &HeaderValue, request: &Parts| {
        origin::sender(&app.config, &request.uri, &request.headers) == Sender::TrustedPage
    };
    CorsLayer::new()
        .vary([AUTHORIZATION, COOKIE, ORIGIN])
        .allow_origin(AllowOrigin::predicate(is_trusted))
        .allow_credentials(true)
}
