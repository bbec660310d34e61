//! Holds the parts of the server that every handler may use.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::dashboard::snapshots::Snapshots;
use crate::dashboard::tags::Tags;
use crate::database::Database;
use crate::limits::Limiter;
use crate::metrics::Metrics;
use crate::push::Push;
use crate::telemetry::traces::Traces;

/// The parts of one server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) database: Arc<Database>,
    pub(crate) tags: Arc<Tags>,
    pub(crate) snapshots: Snapshots,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
    pub(crate) push: Push,
    /// Cancelled when the server is to stop: nothing new should come here any more.
    pub(crate) draining: CancellationToken,
}
