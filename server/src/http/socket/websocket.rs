//! Upgrades a request to a WebSocket, for a new socket or one that polls.
//!
//! The socket gets the bare stream, so that neither headers nor read buffers of the HTTP connection
//! stay in memory for its life.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tungstenite::handshake::derive_accept_key;

use super::{arrive, invalid, opening};
use crate::http::app::App;
use crate::http::error::ApiError;
use crate::limits::{LONGEST_ARRIVAL, Slot};
use crate::net;
use crate::sockets::Poller;
use crate::sockets::connection::{Connection, Transport};

pub(super) const NO_UPGRADE: &str = "A WebSocket upgrade is required. If the client asked for one, a proxy on \
                                     the way has dropped its headers Connection and Upgrade";
/// How long a client of a session that polls may take to take the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers 101, once it is this socket's turn, and serves the stream.
pub(super) async fn open(app: Arc<App>, mut request: Request) -> Result<Response, ApiError> {
    let accept = accept_key(request.headers())?;
    let upgrade = on_upgrade(&mut request)?;
    let opening = opening(&app, Transport::WebSocket, request)?;
    let (connection, slot) = arrive(&app, opening).await?;
    tokio::spawn(run(app, connection, slot, upgrade));
    Ok(switching(accept))
}

/// Answers 101, and takes the session over once the client says so.
pub(super) fn upgrade(
    app: Arc<App>,
    mut request: Request,
    poller: Poller,
) -> Result<Response, ApiError> {
    let accept = accept_key(request.headers())?;
    let upgrade = on_upgrade(&mut request)?;
    tokio::spawn(async move {
        if let Ok(Ok(upgraded)) = timeout(PATIENCE, upgrade).await
            && let Some((stream, prefix)) = stream(upgraded)
        {
            app.push.upgrade(stream, prefix, poller).await;
        }
    });
    Ok(switching(accept))
}

async fn run(app: Arc<App>, connection: Arc<Connection>, slot: Slot, upgrade: OnUpgrade) {
    let upgraded = match taken(&connection, upgrade).await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a connection broke before its upgrade");
            return;
        }
    };
    if let Some((stream, prefix)) = stream(upgraded) {
        app.push.open(stream, prefix, connection, slot);
    }
}

/// The bare stream, and what has been read of it already.
fn stream(
    upgraded: Upgraded,
) -> Option<(impl AsyncRead + AsyncWrite + Send + Unpin + 'static, Bytes)> {
    let Some((stream, read)) = net::below(upgraded) else {
        tracing::error!("an upgraded connection is not one of this server's streams");
        return None;
    };
    // What is left of the HTTP connection's large buffer should not keep all of it alive.
    Some((stream, Bytes::copy_from_slice(&read)))
}

fn switching(accept: HeaderValue) -> Response {
    let headers = [
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn on_upgrade(request: &mut Request) -> Result<OnUpgrade, ApiError> {
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    upgrade.ok_or(invalid("This connection cannot be upgraded"))
}

/// The stream, once the client has taken the answer. A client that takes nothing loses its place among the arriving.
async fn taken<T>(connection: &Connection, upgrade: impl Future<Output = T>) -> T {
    let mut upgrade = pin!(upgrade);
    if let Ok(upgraded) = timeout(LONGEST_ARRIVAL, &mut upgrade).await {
        return upgraded;
    }
    connection.release_arrival();
    upgrade.await
}

fn accept_key(headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    let names = |name: HeaderName, what: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(what)))
    };
    if !names(UPGRADE, "websocket") || !names(CONNECTION, "upgrade") {
        return Err(invalid(NO_UPGRADE));
    }
    if !names(SEC_WEBSOCKET_VERSION, "13") {
        return Err(invalid("WebSocket version 13 is required"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or(invalid("Sec-WebSocket-Key is missing"))?;
    HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| invalid("Sec-WebSocket-Key is malformed"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::Config;
    use crate::limits::Limiter;
    use crate::metrics::Metrics;
    use crate::sockets::connection::Opening;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_take_the_answer_gives_up_its_place() {
        let mut limits = Config::parse_from(["dashboard-server"]).limits;
        limits.max_arriving_sockets = 1;
        let limiter = Limiter::new(limits, false, Arc::new(Metrics::new()));
        let arrival = limiter.arrival().await.unwrap();
        let connection = Connection::new(Opening::local(Transport::WebSocket), arrival);
        let (sender, upgrade) = oneshot::channel();
        let slow = tokio::spawn(async move { taken(&connection, upgrade).await });
        assert!(limiter.arrival().await.is_some());
        // Late, and let in all the same.
        sender.send(()).unwrap();
        slow.await.unwrap().unwrap();
    }

    #[test]
    fn the_handshake_is_checked() {
        let mut headers = HeaderMap::new();
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        headers.insert(SEC_WEBSOCKET_KEY, key);
        assert_eq!(accept_key(&headers).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.remove(CONNECTION);
        assert!(accept_key(&headers).is_err());
    }
}
