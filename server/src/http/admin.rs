//! Serves the admin port: what operators and their machines ask (D-NFR-4). Not for the public.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::http::app::App;
use crate::http::host;
use crate::metrics::PoolLabel;

const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// `/metrics`, `/healthz` and `/readyz`.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(from_fn(host::require))
        .with_state(app)
}

/// What Prometheus scrapes.
async fn metrics(State(app): State<Arc<App>>) -> Response {
    let used = app.database.pool.used();
    // Those that have not been opened yet are as good as idle: who needs one will have it.
    let most = usize::try_from(app.config.database_connections).unwrap_or_default();
    let idle = most.saturating_sub(used);
    for (state, count) in [("idle", idle), ("used", used)] {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        app.metrics.pool.get_or_create(&PoolLabel { state }).set(count);
    }
    app.metrics.projection_lag.set(app.push.lag().age().as_secs_f64());
    let tasks = Handle::current().metrics().num_alive_tasks();
    app.metrics.tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
    match app.metrics.encode() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether the process answers at all.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether requests should be sent here: the database answers, there are keys, and the server is
/// not about to stop.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.draining.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if !app.authenticator.is_ready() {
        return (StatusCode::SERVICE_UNAVAILABLE, "no keys of the token issuer\n").into_response();
    }
    let check = async {
        let mut connection = app.database.pool.get().await?;
        let is_ready = "select is_ready from dashboard.current_epoch";
        sqlx::query_scalar(is_ready).fetch_one(&mut *connection).await
    };
    let trouble = match timeout(READY_TIMEOUT, check).await {
        Ok(Ok(true)) if app.push.lag().is_stale() => {
            let waited_s = app.push.lag().age().as_secs();
            let text = format!("changes wait to be projected for {waited_s} s\n");
            return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
        }
        Ok(Ok(true)) => return "ready\n".into_response(),
        Ok(Ok(false)) => "the application's tables are still being read for the first time\n",
        Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some("42P01") => {
            "no source is installed in this database any more\n"
        }
        Ok(Err(_)) | Err(_) => "the database does not answer\n",
    };
    (StatusCode::SERVICE_UNAVAILABLE, trouble).into_response()
}
