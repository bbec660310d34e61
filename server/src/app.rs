//! What every handler may use.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::database::Database;
use crate::error::ApiError;
use crate::gate::Gate;
use crate::http::dashboard::Snapshot;
use crate::metrics::Metrics;
use crate::push::Push;
use crate::reads::flights::Flights;
use crate::reads::tags::Tags;
use crate::telemetry::traces::Traces;

/// The parts of one server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) database: Arc<Database>,
    pub(crate) tags: Arc<Tags>,
    pub(crate) snapshots: Arc<Flights<Result<Snapshot, ApiError>>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) traces: Traces,
    pub(crate) push: Push,
    /// Cancelled when the server is told to stop: nothing new should come here any more.
    pub(crate) draining: CancellationToken,
}
