//! Starts and stops the tasks behind the sockets together: the projector, capture, refreshes, retention, and the
//! sweep that ends what has expired.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sqlx::PgConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::changes::capture::{Capture, CaptureError, Position, Signal};
use crate::changes::coalesce::{CoalesceConfig, Coalescer};
use crate::changes::refresh::{Reader, Refresher};
use crate::changes::retention;
use crate::clock;
use crate::config::Config;
use crate::dashboard::tags::Tags;
use crate::database::{Database, Lag};
use crate::limits::{Limiter, Slot};
use crate::metrics::Metrics;
use crate::projector;
use crate::sockets::connection::Connection;
use crate::sockets::context::{SocketConfig, SocketContext};
use crate::sockets::drain::{self, DrainConfig};
use crate::sockets::end_reason::EndReason;
use crate::sockets::frames::FrameLimits;
use crate::sockets::packet::Heartbeat;
use crate::sockets::registry::Registry;
use crate::sockets::rooms::Rooms;
use crate::sockets::{Link, Poller, Polling, Polls, Session, Sid, WebSocket, upgrade};
use crate::supervisor::{Progress, Supervisor};
use crate::telemetry::traces::Traces;

/// Room for a few batches of changes.
const SIGNALS: usize = 64;
/// How many users to refresh together. Sixteen share a statement at a third of the cost of their own.
/// More gain little, and would wait longer for each other.
const REFRESH_BATCH: usize = 16;
/// How soon after its end a session's sockets are closed, and how often the other times are checked.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);
/// The same while sockets wait for a place among the arriving ones.
const CROWDED_INTERVAL: Duration = Duration::from_millis(50);
/// A task that has made no progress for this long hangs: each of its steps has a limit of seconds.
const STALLED_AFTER: Duration = Duration::from_mins(1);
/// How long sockets may take to close when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// The push side of a server.
pub(crate) struct Push {
    registry: Arc<Registry>,
    rooms: Arc<Rooms>,
    polls: Arc<Polls>,
    context: Arc<SocketContext>,
    lag: Arc<Lag>,
    drain: DrainConfig,
    stop: CancellationToken,
    tasks: Supervisor,
}

impl Push {
    /// Takes up the change log and gets ready for sockets.
    pub(crate) async fn start(
        config: &Config,
        database: &Database,
        tags: Arc<Tags>,
        authenticator: Arc<Authenticator>,
        limiter: Arc<Limiter>,
        metrics: Arc<Metrics>,
        traces: &Traces,
    ) -> Result<Self, CaptureError> {
        let rooms = Arc::new(Rooms::new(Arc::clone(&metrics)));
        let registry = Arc::new(Registry::new(Arc::clone(&metrics)));
        let (signals, receiver) = mpsc::channel(SIGNALS);
        let (projected, lag) = (Arc::new(Notify::new()), Arc::clone(&database.lag));
        let projector = projector::Task {
            pool: database.pool.clone(),
            source: database.source.clone(),
            reconcile_interval: Duration::from_secs(config.reconcile_interval_s),
            interval: config.poll_interval(),
            projected: Arc::clone(&projected),
            lag: Arc::clone(&lag),
            metrics: Arc::clone(&metrics),
        };
        let capture = Capture {
            pool: database.pool.clone(),
            interval: config.poll_interval(),
            projected,
            lag: Arc::clone(&lag),
            rooms: Arc::clone(&rooms),
            metrics: Arc::clone(&metrics),
            signals,
        };
        let reader = Reader {
            pool: database.pool.clone(),
            registry: Arc::clone(&registry),
            rooms: Arc::clone(&rooms),
            metrics: Arc::clone(&metrics),
            traces: traces.clone(),
        };
        let (connection, position) = capture.open().await?;
        let stop = CancellationToken::new();
        let tasks = Supervisor::new(stop.clone(), Arc::clone(&metrics));
        let context = Arc::new(SocketContext {
            registry: Arc::clone(&registry),
            rooms: Arc::clone(&rooms),
            tags,
            authenticator,
            limiter,
            metrics,
            config: socket_config(config),
        });
        let push = Self {
            registry,
            rooms,
            polls: Arc::default(),
            context,
            lag,
            drain: DrainConfig {
                window: Duration::from_millis(config.drain_window_ms),
                reconnect_after: Duration::from_millis(config.reconnect_after_ms.into()),
            },
            stop,
            tasks,
        };
        push.spawn(config, reader, projector, (capture, connection, position), receiver);
        Ok(push)
    }

    /// How many sockets are open.
    pub(crate) fn sockets(&self) -> usize {
        self.registry.count()
    }

    /// The rooms of the users who are connected.
    pub(crate) fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// How far behind the projector is.
    pub(crate) fn lag(&self) -> &Lag {
        &self.lag
    }

    /// Returns once the push side has broken in a way that only a new process repairs.
    pub(crate) async fn failed(&self) {
        self.tasks.failed().await;
    }

    /// Serves a socket over a stream that has just been upgraded, of which `prefix` has been read
    /// already.
    pub(crate) fn open<S>(&self, stream: S, prefix: Bytes, connection: Arc<Connection>, slot: Slot)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let session = self.session(connection, slot);
        tokio::spawn(WebSocket::open(stream, prefix, session).run());
    }

    /// Serves a socket whose client polls, and which asks for its first packets.
    pub(crate) fn open_polling(&self, connection: Arc<Connection>, slot: Slot) -> Poller {
        let (polling, poller) = Polling::open(self.session(connection, slot), &self.polls);
        tokio::spawn(polling.run());
        poller
    }

    /// The way to the session of that name, while it polls.
    pub(crate) fn poller(&self, sid: Sid) -> Option<Poller> {
        self.polls.get(sid)
    }

    /// Takes a session that polls over to a stream that has just been upgraded, once the client says
    /// that it works.
    pub(crate) async fn upgrade<S>(&self, stream: S, prefix: Bytes, poller: Poller)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let link = Link::new(stream, prefix, self.context.config.frames);
        let upgraded = upgrade(link, poller, &self.context).await;
        if let Some(websocket) = upgraded {
            // In a separate task, which keeps nothing of the change.
            tokio::spawn(websocket.run());
        }
    }

    fn session(&self, connection: Arc<Connection>, slot: Slot) -> Session {
        self.registry.opened(&connection);
        Session::new(connection, slot, Arc::clone(&self.context))
    }

    /// Tells the sockets to come back later and closes them, one after the other. Then stops.
    pub(crate) async fn close(&self) {
        drain::drain(&self.registry, &self.rooms, self.drain).await;
        // Those that came while the others went.
        self.registry.close_all(EndReason::ServerStopping);
        self.stop.cancel();
        if timeout(CLOSE_TIMEOUT, self.registry.emptied()).await.is_err() {
            self.registry.cut_all(EndReason::ServerStopping);
        }
        self.tasks.ended_all().await;
    }

    fn spawn(
        &self,
        config: &Config,
        reader: Reader,
        projector: projector::Task,
        (capture, connection, position): (Capture, PgConnection, Position),
        signals: mpsc::Receiver<Signal>,
    ) {
        let (pool, metrics) = (reader.pool.clone(), Arc::clone(&reader.metrics));
        let coalescer = Coalescer::new(CoalesceConfig {
            window: config.coalesce_window(),
            batch: REFRESH_BATCH,
            retry_min: Duration::from_millis(200),
            retry_max: Duration::from_secs(5),
        });
        let concurrency = usize::try_from(config.refresh_concurrency).unwrap_or(1);
        let refresher = Refresher::new(reader, coalescer, concurrency, position.clone());
        let (tasks, stop) = (&self.tasks, || self.stop.clone());
        tasks.spawn("capture", STALLED_AFTER, |progress| {
            capture.run(connection, position, stop(), progress)
        });
        tasks.spawn("refresh", STALLED_AFTER, |progress| refresher.run(signals, stop(), progress));
        let keep_for = config.change_retention();
        tasks.spawn("retention", retention::STALLED_AFTER, |progress| {
            retention::run(pool, keep_for, metrics, stop(), progress)
        });
        tasks.spawn("projector", STALLED_AFTER, |progress| projector.run(stop(), progress));
        tasks.spawn("sweep", STALLED_AFTER, |progress| {
            sweep(Arc::clone(&self.context), stop(), progress)
        });
    }
}

fn socket_config(config: &Config) -> SocketConfig {
    SocketConfig {
        frames: FrameLimits {
            max_message_bytes: config.limits.max_message_bytes,
            messages_per_s: config.limits.messages_per_s,
        },
        heartbeat: Heartbeat {
            interval: Duration::from_millis(config.ping_interval_ms),
            timeout: Duration::from_millis(config.ping_timeout_ms),
        },
    }
}

/// Ends the sockets of sessions that run out, and those that never authenticate, and stops waiting for those
/// that are slow to arrive. Runs until it is stopped.
async fn sweep(context: Arc<SocketContext>, stop: CancellationToken, progress: Progress) {
    let arrivals = &context.limiter.arrivals;
    loop {
        progress.made();
        let interval = if arrivals.is_crowded() { CROWDED_INTERVAL } else { SWEEP_INTERVAL };
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(interval) => {
                let patience = context.limiter.limits.connect_timeout();
                let taken_away = context.sweep(arrivals.patience(), patience, clock::now());
                if arrivals.is_crowded() {
                    arrivals.taken_away(taken_away);
                }
            }
        }
    }
}
