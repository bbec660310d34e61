//! From a committed change to the browsers of the user concerned.
//!
//! ```text
//! capture ──▶ coalesce ──▶ query ──▶ envelope ──▶ room
//! ```
//!
//! [`capture`] follows the change log and names users; [`coalesce`] decides when each is refreshed;
//! [`query`] reads what changed, with its revision; [`envelope`] makes events of it; [`room`] hands
//! them to the user's sockets. [`refresh`] is the task that drives them, [`compact`] keeps the log
//! short. Nothing here remembers what was last sent: see [`envelope`] for why that would be wrong.

pub mod capture;
pub mod coalesce;
pub mod compact;
pub(crate) mod connection;
pub mod cursor;
pub mod envelope;
mod namespace;
pub mod query;
mod refresh;
pub(crate) mod room;
pub mod section;
mod supervise;
pub mod user;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::service::Service;
use shared_types::{ErrorEvent, ErrorEventCode, Revision};
use socketioxide::service::SocketIoService;
use socketioxide::{SocketIo, TransportType};
use sqlx::PgConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::clock;
use crate::config::Config;
use crate::database::Database;
use crate::metrics::Metrics;
use crate::push::capture::{Capture, CaptureError, Position, Signal};
use crate::push::coalesce::{Coalescer, Pace};
use crate::push::connection::{Connection, Guarded};
use crate::push::envelope::Message;
use crate::push::refresh::{Reader, Refresher};
use crate::push::room::Rooms;
use crate::push::supervise::Supervisor;

/// Clients have nothing to say but a token and pongs.
const INBOUND_MAX_BYTES: usize = 16 * 1024;
/// Events wait here for a slow client; then it is cut off.
const OUTBOUND_MAX_PACKETS: usize = 128;
/// Room for a few batches of changes.
const SIGNALS: usize = 64;
/// How soon after its end a session's sockets are closed.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(250);
/// How long sockets may take to close when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long clients should wait before they come back to a server that restarts.
const RECONNECT_AFTER_MS: u32 = 1_000;

/// The push side of a server.
pub(crate) struct Push {
    rooms: Arc<Rooms>,
    service: SocketIoService<()>,
    stall_timeout: Duration,
    stop: CancellationToken,
    tasks: Supervisor,
}

impl Push {
    /// Takes up the change log and gets ready for sockets.
    pub(crate) async fn start(
        config: &Config,
        database: &Database,
        authenticator: Arc<Authenticator>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CaptureError> {
        let rooms = Arc::new(Rooms::new(Arc::clone(&metrics)));
        let (signals, receiver) = mpsc::channel(SIGNALS);
        let capture = Capture {
            pool: database.pool.clone(),
            interval: config.poll_interval(),
            rooms: Arc::clone(&rooms),
            metrics: Arc::clone(&metrics),
            signals: signals.clone(),
        };
        let (connection, position) = capture.open().await?;
        let stop = CancellationToken::new();
        let tasks = Supervisor::new(stop.clone(), Arc::clone(&metrics));
        let service = service(config, &rooms, authenticator, &metrics, signals);
        let push = Self {
            rooms,
            service,
            stall_timeout: Duration::from_millis(config.write_stall_timeout_ms),
            stop,
            tasks,
        };
        push.spawn(config, database, metrics, (capture, connection, position), receiver);
        Ok(push)
    }

    /// Who is connected.
    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Returns once the push side has broken in a way that only a new process mends.
    pub(crate) async fn failed(&self) {
        self.tasks.failed().await;
    }

    /// Hands a stream that has just been upgraded to the Socket.IO library.
    pub(crate) fn open<S>(
        &self,
        stream: S,
        prefix: Bytes,
        connection: Arc<Connection>,
        query: &'static str,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        self.rooms.opened(&connection);
        let rooms = Arc::clone(&self.rooms);
        let over = move |connection: &Arc<Connection>| rooms.over(connection);
        let guarded =
            Guarded::new(stream, prefix, Arc::clone(&connection), self.stall_timeout, over);
        let mut request = Request::new(());
        *request.uri_mut() = http::Uri::from_static(query);
        request.extensions_mut().insert(connection);
        if let Err(error) = Service::call(&self.service, (guarded, request)).into_inner() {
            tracing::error!(%error, "the Socket.IO library refused a socket");
        }
    }

    /// Tells the sockets to come back later and closes them; then stops.
    pub(crate) async fn close(&self) {
        for occupant in self.rooms.occupants() {
            self.rooms.notify(&occupant.user, draining);
        }
        self.rooms.close_all("server_stopping");
        self.stop.cancel();
        let gone = async {
            while self.rooms.open_connections() > 0 {
                let emptied = self.rooms.emptied.notified();
                if self.rooms.open_connections() > 0 {
                    emptied.await;
                }
            }
        };
        if timeout(CLOSE_TIMEOUT, gone).await.is_err() {
            self.rooms.cut_all("server_stopping");
        }
        self.tasks.ended().await;
    }

    fn spawn(
        &self,
        config: &Config,
        database: &Database,
        metrics: Arc<Metrics>,
        (capture, connection, position): (Capture, PgConnection, Position),
        signals: mpsc::Receiver<Signal>,
    ) {
        let pool = database.pool.clone();
        let reader = Reader {
            pool: pool.clone(),
            rooms: Arc::clone(&self.rooms),
            metrics: Arc::clone(&metrics),
        };
        let coalescer = Coalescer::new(Pace {
            window: config.coalesce_window(),
            concurrency: usize::try_from(config.refresh_concurrency).unwrap_or(1),
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(5),
        });
        let refresher = Refresher::new(reader, coalescer, position.clone());
        self.tasks.spawn("capture", capture.run(connection, position, self.stop.clone()));
        self.tasks.spawn("refresh", refresher.run(signals, self.stop.clone()));
        let retention = config.change_retention();
        let compaction = compact::run(pool, retention, metrics, self.stop.clone());
        self.tasks.spawn("compact", compaction);
        self.tasks.spawn("expire", expire(Arc::clone(&self.rooms), self.stop.clone()));
    }
}

fn service(
    config: &Config,
    rooms: &Arc<Rooms>,
    authenticator: Arc<Authenticator>,
    metrics: &Arc<Metrics>,
    signals: mpsc::Sender<Signal>,
) -> SocketIoService<()> {
    let (service, io) = SocketIo::builder()
        .transports([TransportType::Websocket])
        .connect_timeout(Duration::from_millis(config.connect_timeout_ms))
        .ping_interval(Duration::from_millis(config.ping_interval_ms))
        .ping_timeout(Duration::from_millis(config.ping_timeout_ms))
        .max_buffer_size(OUTBOUND_MAX_PACKETS)
        .max_payload(INBOUND_MAX_BYTES as u64)
        .ws_max_message_size(INBOUND_MAX_BYTES)
        .ws_max_frame_size(INBOUND_MAX_BYTES)
        .build_with_inner_svc(());
    let (rooms, metrics) = (Arc::clone(rooms), Arc::clone(metrics));
    namespace::install(&io, namespace::Door { rooms, authenticator, metrics, signals });
    service
}

/// Ends the sockets of sessions that run out, until told to stop.
async fn expire(rooms: Arc<Rooms>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(EXPIRY_INTERVAL) => rooms.expire(clock::now(), expired),
        }
    }
}

fn expired(revision: Revision) -> Option<Message> {
    let event = ErrorEvent {
        code: ErrorEventCode::TokenExpired,
        message: "The session has ended; connect again with a fresh token".to_owned(),
        reconnect_after_ms: None,
    };
    envelope::error(revision, &event).ok()
}

fn draining(revision: Revision) -> Option<Message> {
    let event = ErrorEvent {
        code: ErrorEventCode::ServerDraining,
        message: "The server is about to stop".to_owned(),
        reconnect_after_ms: Some(RECONNECT_AFTER_MS),
    };
    envelope::error(revision, &event).ok()
}
