//! The door of the namespace `/dashboard`: who may enter (D-WS-1 to D-WS-4).

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use shared_types::event::{AUTH_FAILED, NAMESPACE};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;
use tokio::sync::mpsc;

use crate::auth::{AuthError, Authenticator, Session, TokenKind};
use crate::metrics::Metrics;
use crate::push::capture::Signal;
use crate::push::connection::{Connection, Cookie};
use crate::push::room::Rooms;

/// What is needed to let sockets in.
pub(crate) struct Door {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) signals: mpsc::Sender<Signal>,
}

/// Opens the namespace.
pub(crate) fn install(io: &SocketIo, door: Door) {
    let door = Arc::new(door);
    let keeper = Arc::clone(&door);
    let check = move |socket: SocketRef, auth: TryData<Value>| {
        let door = Arc::clone(&keeper);
        async move { door.admit(&socket, auth.0.ok()).await }
    };
    let greet = move |socket: SocketRef| {
        let door = Arc::clone(&door);
        async move { door.greet(&socket).await }
    };
    io.ns(NAMESPACE, greet.with(check));
}

/// What the client is told: never why (D-WS-4).
#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(AUTH_FAILED)
    }
}

impl Door {
    /// Checks the session and lets the socket into its user's room, before it is told so.
    async fn admit(
        self: &Arc<Self>,
        socket: &SocketRef,
        auth: Option<Value>,
    ) -> Result<(), Refused> {
        let connection = connection(socket).ok_or(Refused)?;
        if connection.reason().is_some() {
            // It is on its way out, and whoever asks again costs nothing.
            return Err(Refused);
        }
        let session = match self.session(&connection, auth).await {
            Ok(session) => session,
            Err(error) => return Err(self.refuse(&connection, error)),
        };
        let user = session.user.clone();
        if connection.session.set(session).is_err() {
            return Err(Refused);
        }
        if !self.rooms.enter(&user, socket, &connection) {
            return Err(Refused);
        }
        socket.join(user.room());
        let door = Arc::clone(self);
        socket.on_disconnect(move |reason: DisconnectReason| {
            let (door, connection) = (Arc::clone(&door), Arc::clone(&connection));
            async move {
                door.rooms.leave(&connection, label(reason));
                // Without the namespace the connection has no purpose.
                connection.close_soon(label(reason));
            }
        });
        Ok(())
    }

    /// The acceptance is on its way: events may follow it.
    async fn greet(&self, socket: &SocketRef) {
        let connection = connection(socket);
        let Some((connection, session)) = connection
            .as_ref()
            .and_then(|connection| Some((connection, connection.session.get()?)))
        else {
            return;
        };
        self.metrics.connects.inc();
        tracing::info!(
            socket = %connection.id.simple(),
            user = %session.user,
            "socket connected"
        );
        if self.rooms.accept(connection) {
            self.signals.send(Signal::Resend(session.user.clone())).await.ok();
        }
    }

    /// The token of the handshake, else the cookie of the request (D-WS-2).
    async fn session(
        &self,
        connection: &Connection,
        auth: Option<Value>,
    ) -> Result<Session, AuthError> {
        let cookie = connection.take_cookie();
        match auth.as_ref().and_then(|auth| auth.get("token")) {
            None | Some(Value::Null) => {}
            Some(Value::String(token)) => {
                return self.authenticator.verify(token, TokenKind::Access).await;
            }
            Some(_) => return Err(AuthError::Malformed),
        }
        match cookie {
            Cookie::Token(token) => self.authenticator.verify(&token, TokenKind::Id).await,
            Cookie::Refused(error) => Err(error),
            Cookie::Absent => Err(AuthError::Missing),
        }
    }

    fn refuse(&self, connection: &Arc<Connection>, error: AuthError) -> Refused {
        self.metrics.refused(error.label());
        tracing::info!(socket = %connection.id.simple(), reason = %error, "socket refused");
        if error == AuthError::KeysUnavailable {
            // Not the session's fault: a broken connection is tried again, a refusal is not.
            connection.cut(error.label());
        } else {
            connection.close_soon("refused");
        }
        Refused
    }
}

fn connection(socket: &SocketRef) -> Option<Arc<Connection>> {
    socket.req_parts().extensions.get::<Arc<Connection>>().cloned()
}

/// A label for metrics and logs.
fn label(reason: DisconnectReason) -> &'static str {
    match reason {
        DisconnectReason::TransportClose => "transport_close",
        DisconnectReason::MultipleHttpPollingError => "polling_error",
        DisconnectReason::PacketParsingError => "parse_error",
        DisconnectReason::TransportError => "transport_error",
        DisconnectReason::HeartbeatTimeout => "heartbeat_timeout",
        DisconnectReason::ClientNSDisconnect => "client_disconnect",
        DisconnectReason::ServerNSDisconnect => "server_disconnect",
        DisconnectReason::ClosingServer => "server_stopping",
    }
}
