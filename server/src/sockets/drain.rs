//! Drains a server: closes its sockets one after the other, and sends each the time to reconnect, so
//! that the clients do not storm the next server.

use std::time::Duration;

use shared_types::{ErrorEvent, ErrorEventCode};
use tokio::time::{Instant, sleep_until};

use crate::sockets::connection::Connection;
use crate::sockets::end_reason::EndReason;
use crate::sockets::message::Message;
use crate::sockets::registry::Registry;
use crate::sockets::rooms::Rooms;

/// How a server's sockets are closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainConfig {
    /// Over how long to spread the closing of the sockets.
    pub(crate) window: Duration,
    /// When clients are to come back, on average.
    pub(crate) reconnect_after: Duration,
}

/// Tells each socket to come back and closes it, evenly over the window, in random order.
pub(crate) async fn drain(registry: &Registry, rooms: &Rooms, config: DrainConfig) {
    let (connections, start) = (registry.all(), Instant::now());
    let count = u32::try_from(connections.len()).unwrap_or(u32::MAX);
    for (place, connection) in (0..count).zip(&connections) {
        // A single socket closes at once: no window is needed where there is nothing to spread.
        sleep_until(start + config.window * place / count).await;
        rooms.tell(connection, |revision| {
            let event = ErrorEvent {
                code: ErrorEventCode::ServerDraining,
                message: "The server is about to stop".to_owned(),
                reconnect_after_ms: Some(reconnect_after_ms(connection, config.reconnect_after)),
            };
            Message::error(revision, &event).ok()
        });
        connection.close_soon(EndReason::ServerStopping);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::sleep;

    use super::*;
    use crate::limits::Arrival;
    use crate::metrics::Metrics;
    use crate::sockets::connection::{Opening, Transport};

    const SOCKETS: usize = 1_000;
    const BIN: Duration = Duration::from_millis(100);
    const BINS: usize = 50;
    const CONFIG: DrainConfig =
        DrainConfig { window: Duration::from_secs(5), reconnect_after: Duration::from_millis(400) };

    fn crowded() -> Registry {
        let registry = Registry::new(Arc::new(Metrics::new()));
        for _ in 0..SOCKETS {
            let opening = Opening::local(Transport::WebSocket);
            registry.opened(&Connection::new(opening, Arrival::unlimited()));
        }
        registry
    }

    #[tokio::test(start_paused = true)]
    async fn sockets_are_sent_away_evenly_over_the_window() {
        let registry = Arc::new(crowded());
        let sent_away = || {
            let connections = registry.all().into_iter();
            connections
                .filter(|connection| connection.reason() == Some(EndReason::ServerStopping))
                .count()
        };
        let draining = tokio::spawn({
            let (registry, rooms) = (Arc::clone(&registry), Rooms::new(Arc::new(Metrics::new())));
            async move { drain(&registry, &rooms, CONFIG).await }
        });
        let mut before = 0;
        for _ in 0..BINS {
            sleep(BIN).await;
            let now = sent_away();
            assert!((18..=22).contains(&(now - before)), "{before}, then {now}");
            before = now;
        }
        draining.await.unwrap();
        assert_eq!(sent_away(), SOCKETS);
    }

    #[test]
    fn clients_get_different_times_to_reconnect() {
        let mut halves = [0, 0];
        for connection in crowded().all() {
            let wait = reconnect_after_ms(&connection, CONFIG.reconnect_after);
            assert!((200..600).contains(&wait), "{wait} ms");
            halves[usize::from(wait >= 400)] += 1;
        }
        assert!(halves.iter().all(|half| *half > SOCKETS / 3), "{halves:?}");
    }
}
