//! Serves `/socket.io/`: opens sockets over either transport of Engine.IO 4, and takes the requests of
//! clients that poll.

mod polling;
mod websocket;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, Uri};

use crate::auth::AuthError;
use crate::http::app::App;
use crate::http::edge::CorrelationId;
use crate::http::error::ApiError;
use crate::http::origin::{self, Sender};
use crate::http::query::refuse_tokens;
use crate::limits::Slot;
use crate::sockets::connection::{Connection, Cookie, Opening, Transport};
use crate::sockets::{Poller, Sid};

/// For developers whose client begins with a transport that is switched off: which option to set, as their
/// clients name it.
const POLLING_OFF: &str = "Only the websocket transport is served here; the client has to begin \
                           with it. Socket.IO in JavaScript: transports: ['websocket']; \
                           python-socketio: transports=['websocket']; rust_socketio: \
                           .transport_type(TransportType::Websocket)";
const TRANSPORT: &str = "Unknown transport: set transport to websocket or polling";
const VERSION: &str = "Engine.IO version 4 is required (EIO=4): socket.io-client 3 or newer, \
                       python-socketio 5 or newer";
const SESSION: &str = "Unknown session: it is over, or it is another server's. Connect again. With several \
                       servers, all requests of a client that polls have to reach the same one \
                       (session affinity); clients with transports: ['websocket'] need none";

const FULL: ApiError = ApiError::Busy("No more sockets can be served; try again later");
const CROWDED: ApiError = ApiError::Busy("Too many sockets come at once; try again later");
const STOPPING: ApiError = ApiError::Busy("The server is about to stop; try again later");

/// What an address asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    transport: Transport,
    /// The session that the request names. A new one, if it names none.
    session: Option<Sid>,
    /// What tells the request from others of its session: `t`, as clients set it.
    mark: Option<String>,
}

/// Opens a socket, fetches packets for one, or takes it over to a WebSocket.
pub(crate) async fn get(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = Asked::read(request.uri().query(), app.config.polling)?;
    match (asked.transport, asked.session) {
        (Transport::WebSocket, None) => websocket::open(app, request).await,
        (Transport::WebSocket, Some(sid)) => {
            let poller = poller(&app, sid)?;
            websocket::upgrade(app, request, poller)
        }
        (Transport::Polling, None) => polling::open(&app, request).await,
        (Transport::Polling, Some(sid)) => {
            polling::poll(&app, &poller(&app, sid)?, asked.mark.as_deref()).await
        }
    }
}

/// Takes packets of a client that polls.
pub(crate) async fn post(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, ApiError> {
    let asked = Asked::read(request.uri().query(), app.config.polling)?;
    match (asked.transport, asked.session) {
        (Transport::Polling, Some(sid)) => {
            let poller = poller(&app, sid)?;
            polling::post(&app, &poller, request).await
        }
        (Transport::Polling, None) => Err(invalid("A session is needed: sid is missing")),
        (Transport::WebSocket, _) => Err(invalid(websocket::NO_UPGRADE)),
    }
}

/// Answers HEAD, which would take packets and not deliver them.
pub(crate) async fn head() -> ApiError {
    ApiError::Invalid(StatusCode::METHOD_NOT_ALLOWED, "This method is not allowed here")
}

impl Asked {
    fn read(query: Option<&str>, is_polling_served: bool) -> Result<Self, ApiError> {
        refuse_tokens(query)?;
        let parameter = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
            pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
        };
        if parameter("EIO").as_deref() != Some("4") {
            return Err(invalid(VERSION));
        }
        let transport = match parameter("transport").as_deref() {
            Some("websocket") => Transport::WebSocket,
            Some("polling") if is_polling_served => Transport::Polling,
            Some("polling") => return Err(invalid(POLLING_OFF)),
            None | Some(_) => return Err(invalid(TRANSPORT)),
        };
        let session = match parameter("sid") {
            Some(sid) => Some(Sid::parse(&sid).ok_or(invalid(SESSION))?),
            None => None,
        };
        Ok(Self { transport, session, mark: parameter("t") })
    }
}

fn poller(app: &App, sid: Sid) -> Result<Poller, ApiError> {
    app.push.poller(sid).ok_or(invalid(SESSION))
}

/// What is kept of a request that opens a socket: it may have to wait for its turn.
fn opening(app: &App, transport: Transport, mut request: Request) -> Result<Opening, ApiError> {
    let cookie = cookie(app, transport, request.uri(), request.headers());
    let extensions = request.extensions_mut();
    let address = extensions.get().copied().ok_or(invalid("Unknown sender"))?;
    let correlation_id = extensions.remove::<CorrelationId>().map_or_else(|| "".into(), |id| id.0);
    let is_logged = app.limiter.may_tell(address);
    Ok(Opening { transport, cookie, address, correlation_id, is_logged })
}

/// A new connection, once it is this socket's turn, and its place among the sockets.
async fn arrive(app: &App, opening: Opening) -> Result<(Arc<Connection>, Slot), ApiError> {
    if app.draining.is_cancelled() {
        return Err(STOPPING);
    }
    let slot = app.limiter.socket().ok_or(FULL)?;
    let arrival = app.draining.run_until_cancelled(app.limiter.arrival()).await;
    let arrival = arrival.ok_or(STOPPING)?.ok_or(CROWDED)?;
    Ok((Connection::new(opening, arrival), slot))
}

/// The session cookie, if the page that opens the socket may use it. Browsers send cookies with
/// a WebSocket of any page, and no other rule stops a foreign page from reading what comes back: the
/// page must be named, as every browser does. What comes back of other requests, foreign pages cannot
/// read.
fn cookie(app: &App, transport: Transport, uri: &Uri, headers: &HeaderMap) -> Cookie {
    let may_use = |sender| match transport {
        Transport::WebSocket => sender == Sender::TrustedPage,
        Transport::Polling => sender != Sender::ForeignPage,
    };
    match app.authenticator.cookie_token(headers) {
        Ok(None) => Cookie::Absent,
        Ok(Some(token)) if may_use(origin::sender(&app.config, uri, headers)) => {
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
    use super::*;

    const SID: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn sockets_are_opened_over_either_transport() {
        let read = |query: &str| Asked::read(Some(query), true).unwrap();
        let asked = read("EIO=4&transport=websocket&t=abc");
        assert_eq!((asked.transport, asked.session), (Transport::WebSocket, None));
        let asked = read("EIO=4&transport=polling");
        assert_eq!((asked.transport, asked.session, asked.mark), (Transport::Polling, None, None));
        let asked = read(&format!("transport=polling&EIO=4&t=a%20b&%73id={SID}"));
        assert_eq!((asked.session, asked.mark.as_deref()), (Sid::parse(SID), Some("a b")));
        assert!(asked.session.is_some());
    }

    #[test]
    fn what_cannot_be_served_is_refused_in_words() {
        for (bad, message) in [
            (None, VERSION),
            (Some(""), VERSION),
            (Some("EIO=3&transport=websocket"), VERSION),
            (Some("EIO=4"), TRANSPORT),
            (Some("EIO=4&transport=polling"), POLLING_OFF),
            (Some("EIO=4&transport=webtransport"), TRANSPORT),
            (Some("EIO=4&transport=websocket&sid=x"), SESSION),
            (Some("EIO=4&transport=websocket&%73id="), SESSION),
        ] {
            let refused = Asked::read(bad, false);
            assert!(
                matches!(&refused, Err(ApiError::Invalid(_, said)) if *said == message),
                "{bad:?}: {refused:?}"
            );
        }
        let refused = Asked::read(Some("EIO=4&transport=websocket&%74oken=x"), true);
        assert!(matches!(refused, Err(ApiError::Invalid(..))));
    }
}
