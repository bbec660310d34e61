//! The door of the namespace `/dashboard`: who may enter (D-WS-1 to D-WS-4).

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::Value;
use shared_types::event::{AUTH_FAILED, NAMESPACE, TOO_MANY_SOCKETS};
use socketioxide::SocketIo;
use socketioxide::extract::{SocketRef, TryData};
use socketioxide::handler::ConnectHandler;
use socketioxide::socket::DisconnectReason;

use crate::auth::{AuthError, Authenticator, Session, TokenKind};
use crate::gate::Gate;
use crate::metrics::{Limit, Metrics};
use crate::push::connection::{Connection, Cookie};
use crate::push::room::{NoEntry, Rooms};

/// What is needed to let sockets in.
pub(crate) struct Door {
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Arc<Metrics>,
}

/// Opens the namespace.
pub(crate) fn install(io: &SocketIo, door: Door) {
    let door = Arc::new(door);
    let check = move |socket: SocketRef, auth: TryData<Value>| {
        let door = Arc::clone(&door);
        async move {
            let admitted = door.admit(&socket, auth.0.ok());
            door.contain(&socket, admitted).await.unwrap_or(Err(Refused::Session))
        }
    };
    // Whoever is let in has all that is needed already.
    let greet = async || {};
    io.ns(NAMESPACE, greet.with(check));
}

/// What the client is told: never why (D-WS-4).
#[derive(Debug)]
enum Refused {
    /// To come back with another session, or not at all.
    Session,
    /// To come back later.
    TooManySockets,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Session => AUTH_FAILED,
            Self::TooManySockets => TOO_MANY_SOCKETS,
        })
    }
}

impl Door {
    /// Checks the session and lets the socket into its user's room, before it is told so.
    async fn admit(
        self: &Arc<Self>,
        socket: &SocketRef,
        auth: Option<Value>,
    ) -> Result<(), Refused> {
        let connection = connection(socket).ok_or(Refused::Session)?;
        if connection.reason().is_some() {
            // One attempt a connection: who was refused is on the way out. Who was accepted does not
            // get here again, as the library passes over a second attempt.
            self.metrics.limited(Limit::AuthAttempts);
            connection.cut("auth_attempts");
            return Err(Refused::Session);
        }
        let session = match self.session(&connection, auth).await {
            Ok(session) => session,
            Err(error) => return Err(self.refuse(&connection, error)),
        };
        let user = session.user.clone();
        if connection.session.set(session).is_err() {
            return Err(Refused::Session);
        }
        let max = self.gate.limits.max_sockets_per_user;
        match self.rooms.enter(&user, socket, &connection, max) {
            Ok(()) => {}
            Err(NoEntry::Over) => return Err(Refused::Session),
            Err(NoEntry::Full) => {
                self.metrics.limited(Limit::SocketsPerUser);
                self.turn_away(&connection, "sockets_per_user");
                return Err(Refused::TooManySockets);
            }
        }
        // Said before the client learns of it, which may be gone again a moment later.
        self.metrics.connects.inc();
        tracing::info!(
            socket = %connection.id.simple(),
            correlation_id = &*connection.correlation_id,
            user = %user,
            "socket connected"
        );
        let door = Arc::clone(self);
        socket.on_disconnect(move |reason: DisconnectReason| {
            let (door, connection) = (Arc::clone(&door), Arc::clone(&connection));
            async move {
                // Without the namespace the connection has no purpose. Said first, so that every line
                // of its end names the same reason.
                connection.close_soon(label(reason));
                door.rooms.leave(&connection, label(reason));
            }
        });
        Ok(())
    }

    /// Makes of a panic the end of the connection that it concerns, and of no other.
    async fn contain<T>(&self, socket: &SocketRef, work: impl Future<Output = T>) -> Option<T> {
        let done = AssertUnwindSafe(work).catch_unwind().await.ok();
        if done.is_none() {
            self.metrics.panics.inc();
            if let Some(connection) = connection(socket) {
                connection.cut("panic");
            }
        }
        done
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
        let is_attempt = !matches!(error, AuthError::Missing | AuthError::KeysUnavailable);
        if is_attempt && self.gate.auth_failure(connection.address).is_err() {
            // Whoever tries so often gets no answer, and no line in the log.
            self.metrics.refused(error.label());
            connection.cut("auth_failures");
        } else if error == AuthError::KeysUnavailable {
            // Not the session's fault: a broken connection is tried again, a refusal is not.
            self.turn_away(connection, error.label());
            connection.cut(error.label());
        } else {
            self.turn_away(connection, error.label());
        }
        Refused::Session
    }

    fn turn_away(&self, connection: &Arc<Connection>, reason: &'static str) {
        self.metrics.refused(reason);
        tracing::info!(
            socket = %connection.id.simple(),
            correlation_id = &*connection.correlation_id,
            // Known where it is not the session that is refused.
            user = connection.session.get().map(|session| tracing::field::display(&session.user)),
            reason,
            "socket refused"
        );
        connection.close_soon("refused");
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
