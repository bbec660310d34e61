//! The orderly end of a node: its sockets are closed one after the other, each told when to come
//! back, so that their clients do not storm whoever serves them next.

use std::time::Duration;

use shared_types::{ErrorEvent, ErrorEventCode};
use tokio::time::{Instant, sleep_until};

use crate::push::connection::Connection;
use crate::push::envelope;
use crate::push::room::Rooms;

/// Why the sockets end.
pub(crate) const REASON: &str = "server_stopping";

/// How to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Over how long to spread the closing of the sockets.
    pub(crate) window: Duration,
    /// When clients are to come back, on average.
    pub(crate) reconnect_after: Duration,
}

/// Tells each socket to come back and closes it, evenly over the window, in random order.
pub(crate) async fn drain(rooms: &Rooms, pace: Pace) {
    let (connections, start) = (rooms.connections(), Instant::now());
    let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    for (place, connection) in (0..count).zip(&connections) {
        // Of one socket alone, this is at once: nobody waits for a window that spreads nothing.
        sleep_until(start + pace.window * place / count).await;
        rooms.dismiss(connection, REASON, |revision| {
            let event = ErrorEvent {
                code: ErrorEventCode::ServerDraining,
                message: "The server is about to stop".to_owned(),
                reconnect_after_ms: Some(reconnect_after_ms(connection, pace.reconnect_after)),
            };
            envelope::error(revision, &event).ok()
        });
    }
}

/// Between half and one and a half times the average. The connection's name is random: it serves
/// as the die.
fn reconnect_after_ms(connection: &Connection, average: Duration) -> u32 {
    let average = u32::try_from(average.as_millis()).unwrap_or(u32::MAX);
    let (die, _) = connection.id.as_u64_pair();
    let share = u32::try_from(die >> 44).unwrap_or_default() % average.max(1);
    average / 2 + share
}
