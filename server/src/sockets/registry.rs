//! Registers all connections of this server, authenticated or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::metrics::Metrics;
use crate::sockets::connection::{Connection, Transport, log_line};
use crate::sockets::end_reason::EndReason;
use crate::sockets::memory::shrink;

/// The connections of this server.
pub(crate) struct Registry {
    by_id: Mutex<HashMap<Uuid, Arc<Connection>>>,
    /// Notified when the last connection is over.
    emptied: Notify,
    metrics: Arc<Metrics>,
}

/// The connections for which something is due.
#[derive(Default)]
pub(super) struct Due {
    /// How many have just lost their place among the arriving sockets.
    pub(super) late: u32,
    /// They have been open for too long without authenticating.
    pub(super) unauthenticated: Vec<Arc<Connection>>,
    /// Their session has expired.
    pub(super) expired: Vec<Arc<Connection>>,
}

impl Registry {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { by_id: Mutex::default(), emptied: Notify::new(), metrics }
    }

    /// Notes a connection that begins.
    pub(crate) fn opened(&self, connection: &Arc<Connection>) {
        self.lock().insert(connection.id, Arc::clone(connection));
        let transport = connection.transport();
        self.metrics.transports.inc();
        if transport == Transport::Polling {
            self.metrics.polling.inc();
        }
        log_line!(connection, transport = transport.name(), "connection opened");
    }

    /// Notes that a WebSocket has taken over from polling.
    pub(super) fn upgraded(&self, connection: &Connection) {
        connection.upgraded();
        self.metrics.polling.dec();
        log_line!(connection, transport = connection.transport().name(), "connection upgraded");
    }

    /// Notes that a connection is over.
    pub(super) fn closed(&self, connection: &Connection, reason: EndReason) {
        let mut connections = self.lock();
        let is_known = connections.remove(&connection.id).is_some();
        let is_last = connections.is_empty();
        shrink(&mut connections);
        drop(connections);
        if is_known {
            self.metrics.transports.dec();
            if connection.transport() == Transport::Polling {
                self.metrics.polling.dec();
            }
            log_line!(
                connection,
                reason = reason.label(),
                lived_s = connection.since.elapsed().as_secs_f32(),
                "connection closed"
            );
        }
        if is_last {
            self.emptied.notify_waiters();
        }
    }

    /// How many connections are open.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    /// Waits until none is open.
    pub(crate) async fn emptied(&self) {
        while self.count() > 0 {
            let emptied = self.emptied.notified();
            if self.count() > 0 {
                emptied.await;
            }
        }
    }

    /// All connections, in random order.
    pub(super) fn all(&self) -> Vec<Arc<Connection>> {
        let mut connections: Vec<_> = self.lock().values().cloned().collect();
        connections.sort_by_key(|connection| connection.id);
        connections
    }

    /// Finds what is due, in one pass over all connections. A connection that has kept the server waiting for `arrival`
    /// loses its place among the arriving ones: it may have a view already, be silent, or be far away.
    /// One that has been open for `patience` has to have authenticated.
    pub(super) fn due(&self, arrival: Duration, patience: Duration, now: OffsetDateTime) -> Due {
        let (mut due, instant) = (Due::default(), Instant::now());
        for connection in self.lock().values() {
            let age = instant.saturating_duration_since(connection.since);
            due.late += u32::from(connection.take_away(arrival, instant));
            match connection.session.get() {
                _ if connection.reason().is_some() => {}
                Some(session) if session.expires_at <= now => {
                    due.expired.push(Arc::clone(connection));
                }
                None if age >= patience => due.unauthenticated.push(Arc::clone(connection)),
                _ => {}
            }
        }
        due
    }

    /// Closes every connection, once what waits for it has been sent.
    pub(crate) fn close_all(&self, reason: EndReason) {
        for connection in self.all() {
            connection.close_soon(reason);
        }
    }

    /// Ends every connection at once.
    pub(crate) fn cut_all(&self, reason: EndReason) {
        for connection in self.all() {
            connection.cut(reason);
        }
    }

    /// A panic elsewhere does not leave the map in a state that would be wrong.
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Arc<Connection>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
