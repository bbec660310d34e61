//! Holds what all sockets share, and does what concerns all of them.

use std::sync::Arc;
use std::time::Duration;

use shared_types::{ErrorEvent, ErrorEventCode, Revision};
use time::OffsetDateTime;

use crate::auth::Authenticator;
use crate::dashboard::tags::Tags;
use crate::limits::Limiter;
use crate::metrics::{Limit, Metrics};
use crate::sockets::connection::{Connection, log_line};
use crate::sockets::end_reason::EndReason;
use crate::sockets::frames::FrameLimits;
use crate::sockets::message::Message;
use crate::sockets::packet::{self, Heartbeat};
use crate::sockets::registry::Registry;
use crate::sockets::rooms::Rooms;

/// What all sockets share.
pub(crate) struct SocketContext {
    pub(crate) registry: Arc<Registry>,
    pub(crate) rooms: Arc<Rooms>,
    pub(crate) tags: Arc<Tags>,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) config: SocketConfig,
}

/// The settings of all sockets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketConfig {
    pub(crate) frames: FrameLimits,
    pub(crate) heartbeat: Heartbeat,
}

impl SocketContext {
    /// Notes that a connection is over.
    pub(super) fn over(&self, connection: &Connection) {
        connection.release_arrival();
        // Without a reason, if the server is torn down under it.
        let reason = connection.ended_by(EndReason::ServerStopping);
        self.rooms.leave(connection, reason);
        self.registry.closed(connection, reason);
    }

    /// Ends the sockets whose session has expired, and those that have not begun one within `patience`. Those that
    /// take longer than `arrival` to arrive lose their place. Returns how many.
    pub(crate) fn sweep(&self, arrival: Duration, patience: Duration, now: OffsetDateTime) -> u32 {
        let due = self.registry.due(arrival, patience, now);
        for connection in due.unauthenticated {
            let reason = EndReason::AuthTimeout;
            self.metrics.limited(Limit::AuthTimeout);
            self.metrics.refused(reason.label());
            // Logged before the client learns of it.
            log_line!(connection, reason = reason.label(), "socket refused");
            connection.close_soon(reason);
        }
        for connection in due.expired {
            self.rooms.tell(&connection, expired);
            // It tells the official clients not to reconnect automatically.
            connection.send_packet(packet::disconnect()).ok();
            connection.close_soon(EndReason::TokenExpired);
        }
        due.late
    }
}

fn expired(revision: Revision) -> Option<Message> {
    let event = ErrorEvent {
        code: ErrorEventCode::TokenExpired,
        message: "The session has ended; connect again with a fresh token".to_owned(),
        reconnect_after_ms: None,
    };
    Message::error(revision, &event).ok()
}
