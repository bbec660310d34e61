//! Implements the handshake of the namespace `/dashboard`: who may enter, and why others may not (D-WS-1 to D-WS-4).

use std::pin::Pin;
use std::sync::Arc;

use serde_json::Value;
use shared_types::SnapshotTag;
use shared_types::event::{AUTH_FAILED, TOO_MANY_SOCKETS};

use crate::auth::{AuthError, Session, TokenKind};
use crate::metrics::Limit;
use crate::sockets::connection::{Connection, Cookie, log_line};
use crate::sockets::context::SocketContext;
use crate::sockets::end_reason::EndReason;
use crate::sockets::rooms::Full;
use crate::user::UserId;

/// A session that is being checked, and then the tag of its user's snapshot, if it could be read. Dropped,
/// it accepts no socket.
pub(crate) type Admission =
    Pin<Box<dyn Future<Output = Result<Option<SnapshotTag>, Refused>> + Send>>;

/// What the client learns: never why (D-WS-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// To come back with another session, or not at all.
    Session,
    /// To come back later.
    TooManySockets,
    /// To come back soon. Only by how the connection closes: official clients take a refusal as final,
    /// and this is no fault of the session.
    NotNow,
}

impl Refused {
    /// The text of the contract.
    pub(crate) fn message(self) -> Option<&'static str> {
        match self {
            Self::Session => Some(AUTH_FAILED),
            Self::TooManySockets => Some(TOO_MANY_SOCKETS),
            Self::NotNow => None,
        }
    }
}

impl SocketContext {
    /// Checks the session that a client has to show. Lets the socket into its user's room before it sends
    /// the client the acceptance.
    pub(crate) fn admit(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        auth: Option<Value>,
    ) -> Admission {
        let (context, connection) = (Arc::clone(self), Arc::clone(connection));
        // What else came along is not kept while keys are asked for.
        let shown = shown(connection.take_cookie(), auth);
        Box::pin(async move {
            let session = match shown {
                Ok((token, kind)) => context.authenticator.verify(&token, kind).await,
                Err(error) => Err(error),
            };
            let user = context.enter(&connection, session)?;
            // Only now: a change before the read is in the tag, and one after it finds the socket in its room.
            connection.accepting();
            let tag = context.tags.soon(&user).await;
            connection.accepted();
            if let Some(tag) = &tag {
                context.rooms.told(&user, tag.revision);
            }
            Ok(tag)
        })
    }

    fn enter(
        &self,
        connection: &Arc<Connection>,
        session: Result<Session, AuthError>,
    ) -> Result<UserId, Refused> {
        let session = session.map_err(|error| self.refuse(connection, error))?;
        let user = session.user.clone();
        if connection.session.set(session).is_err() {
            return Err(Refused::Session);
        }
        let max = self.limiter.limits.max_sockets_per_user;
        if self.rooms.enter(&user, connection, max) == Err(Full) {
            self.metrics.limited(Limit::SocketsPerUser);
            self.turn_away(connection, "sockets_per_user", EndReason::Refused);
            return Err(Refused::TooManySockets);
        }
        // Logged before the client learns of it, which may be gone again a moment later.
        self.metrics.connects.inc();
        log_line!(
            connection,
            user = %user,
            "socket connected"
        );
        Ok(user)
    }

    fn refuse(&self, connection: &Arc<Connection>, error: AuthError) -> Refused {
        let is_attempt = !matches!(error, AuthError::Missing | AuthError::KeysUnavailable);
        if is_attempt && self.limiter.auth_failure(connection.address).is_err() {
            // An address that tries so often gets no more lines in the log. Each of its sockets gets
            // the answer all the same: the honest ones among them would have to guess.
            self.metrics.refused(error.label());
            connection.close_soon(EndReason::AuthFailures);
            Refused::Session
        } else if error == AuthError::KeysUnavailable {
            self.turn_away(connection, error.label(), EndReason::KeysUnavailable);
            Refused::NotNow
        } else {
            self.turn_away(connection, error.label(), EndReason::Refused);
            Refused::Session
        }
    }

    fn turn_away(&self, connection: &Arc<Connection>, refusal: &'static str, end: EndReason) {
        self.metrics.refused(refusal);
        log_line!(
            connection,
            // Known where it is not the session that is refused.
            user = connection.session.get().map(|session| tracing::field::display(&session.user)),
            reason = refusal,
            "socket refused"
        );
        connection.close_soon(end);
    }
}

/// The token of the handshake, else the cookie of the request (D-WS-2).
fn shown(cookie: Cookie, auth: Option<Value>) -> Result<(String, TokenKind), AuthError> {
    let token = auth.and_then(|mut auth| auth.as_object_mut()?.remove("token"));
    match (token, cookie) {
        (Some(Value::String(token)), _) => Ok((token, TokenKind::Access)),
        (None | Some(Value::Null), Cookie::Token(token)) => Ok((token, TokenKind::Id)),
        (None | Some(Value::Null), Cookie::Refused(error)) => Err(error),
        (None | Some(Value::Null), Cookie::Absent) => Err(AuthError::Missing),
        (Some(_), _) => Err(AuthError::Malformed),
    }
}
