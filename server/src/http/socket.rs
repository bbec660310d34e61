//! `GET /socket.io/?EIO=4&transport=websocket`: opens a socket.
//!
//! The socket gets the bare stream, so that neither headers nor read buffers of the HTTP connection
//! stay in memory for its life.

use std::pin::pin;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tungstenite::handshake::derive_accept_key;

use crate::app::App;
use crate::auth::AuthError;
use crate::error::ApiError;
use crate::gate::{Address, Slot};
use crate::http::edge::CorrelationId;
use crate::http::origin::{self, Sender};
use crate::http::query::refuse_tokens;
use crate::net::Stream;
use crate::push::connection::{ARRIVAL, Connection, Cookie};

/// For developers whose client begins with another transport: what to set, in the words of the
/// clients that do so.
const TRANSPORT: &str = "Only the websocket transport is served here; the client has to begin with \
                         it. Socket.IO in JavaScript: transports: ['websocket']; python-socketio: \
                         transports=['websocket']; rust_socketio: \
                         .transport_type(TransportType::Websocket)";
const VERSION: &str = "Engine.IO version 4 is required (EIO=4): socket.io-client 3 or newer, \
                       python-socketio 5 or newer";
const SESSION: &str = "Unknown session: sid belongs to another transport, which is not served here; \
                       open a new socket without it";
const NO_UPGRADE: &str = "A WebSocket upgrade is required. If the client asked for one, a proxy on \
                          the way has dropped its headers Connection and Upgrade";

const FULL: ApiError = ApiError::Busy("No more sockets can be served; try again later");
const CROWDED: ApiError = ApiError::Busy("Too many sockets come at once; try again later");
const STOPPING: ApiError = ApiError::Busy("The server is about to stop; try again later");

/// Answers 101, once it is this socket's turn, and serves the stream.
pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    mut request: Request,
) -> Result<Response, ApiError> {
    check_query(request.uri().query().unwrap_or_default())?;
    let accept = accept_key(request.headers())?;
    if app.draining.is_cancelled() {
        return Err(STOPPING);
    }
    let slot = app.gate.socket().ok_or(FULL)?;
    let address = request.extensions().get::<Address>().copied();
    let address = address.ok_or(invalid("Unknown sender"))?;
    let cookie = cookie(&app, request.uri(), request.headers());
    let correlation_id = request.extensions_mut().remove::<CorrelationId>();
    let correlation_id = correlation_id.map_or_else(|| "".into(), |id| id.0);
    let upgrade = request.extensions_mut().remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or(invalid("This connection cannot be upgraded"))?;
    drop(request);
    let arrival = app.draining.run_until_cancelled(app.gate.arrival()).await;
    let arrival = arrival.ok_or(STOPPING)?.ok_or(CROWDED)?;
    let connection = Connection::new(cookie, address, correlation_id, arrival);
    tokio::spawn(run(app, connection, slot, upgrade));
    let headers = [
        (UPGRADE, HeaderValue::from_static("websocket")),
        (CONNECTION, HeaderValue::from_static("Upgrade")),
        (SEC_WEBSOCKET_ACCEPT, accept),
    ];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

/// Answers what only clients of another transport send, as they are answered elsewhere.
pub(crate) async fn post(uri: Uri) -> ApiError {
    check_query(uri.query().unwrap_or_default()).err().unwrap_or(invalid(NO_UPGRADE))
}

async fn run(app: Arc<App>, connection: Arc<Connection>, slot: Slot, upgrade: OnUpgrade) {
    let upgraded = match taken(&connection, upgrade).await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(%error, "a connection broke before its upgrade");
            return;
        }
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>() else {
        tracing::error!("an upgraded connection is not one of this server's streams");
        return;
    };
    // What is left of the HTTP connection's large buffer should not keep all of it alive.
    let prefix = Bytes::copy_from_slice(&parts.read_buf);
    app.push.open(parts.io.into_inner(), prefix, connection, slot);
}

/// The stream, once the client has taken the answer. One that takes nothing keeps nobody from arriving.
async fn taken<T>(connection: &Connection, upgrade: impl Future<Output = T>) -> T {
    let mut upgrade = pin!(upgrade);
    if let Ok(upgraded) = timeout(ARRIVAL, &mut upgrade).await {
        return upgraded;
    }
    connection.settle();
    upgrade.await
}

/// Polling is not offered: a client that begins with it is told so, and what to set.
fn check_query(query: &str) -> Result<(), ApiError> {
    refuse_tokens(Some(query))?;
    let parameter = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(key, value)| (key == name).then_some(value))
    };
    if parameter("EIO").as_deref() != Some("4") {
        return Err(invalid(VERSION));
    }
    if parameter("transport").as_deref() != Some("websocket") {
        return Err(invalid(TRANSPORT));
    }
    if parameter("sid").is_some() {
        return Err(invalid(SESSION));
    }
    Ok(())
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

/// The session cookie, if the page that opens the socket may use it. Browsers send cookies with
/// sockets of any page, and no other rule stops a foreign page from reading what comes back: the
/// page must be named, as every browser does.
fn cookie(app: &App, uri: &Uri, headers: &HeaderMap) -> Cookie {
    match app.authenticator.cookie_token(headers) {
        Ok(None) => Cookie::Absent,
        Ok(Some(token)) if origin::sender(&app.config, uri, headers) == Sender::TrustedPage => {
            Cookie::Token(token)
        }
        Ok(Some(_)) => Cookie::Refused(AuthError::Origin),
        Err(error) => Cookie::Refused(error),
    }
}

fn invalid(message: &'static str) -> ApiError {
    ApiError::Invalid(StatusCode::BAD_REQUEST, message)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::sync::oneshot;

    use super::*;
    use crate::config::Config;
    use crate::gate::Gate;
    use crate::metrics::Metrics;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_the_answer_keeps_nobody_from_arriving() {
        let mut limits = Config::parse_from(["dashboard-server"]).limits;
        limits.max_arriving_sockets = 1;
        let gate = Gate::new(limits, false, Arc::new(Metrics::new()));
        let arrival = gate.arrival().await.unwrap();
        let address = Address::of([127, 0, 0, 1].into());
        let connection = Connection::new(Cookie::Absent, address, "c-1".into(), arrival);
        let (sender, upgrade) = oneshot::channel();
        let slow = tokio::spawn(async move { taken(&connection, upgrade).await });
        assert!(gate.arrival().await.is_some());
        // Late, and let in all the same.
        sender.send(()).unwrap();
        slow.await.unwrap().unwrap();
    }

    #[test]
    fn only_fresh_websockets_are_opened() {
        assert!(check_query("EIO=4&transport=websocket&t=abc").is_ok());
        for bad in [
            "",
            "EIO=3&transport=websocket",
            "EIO=4&transport=polling",
            "EIO=4&transport=websocket&sid=x",
            "EIO=4&transport=websocket&%73id=x",
            "EIO=4&transport=websocket&%74oken=x",
        ] {
            assert!(matches!(check_query(bad), Err(ApiError::Invalid(..))), "{bad}");
        }
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
