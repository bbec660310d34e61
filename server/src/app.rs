//! What every handler may use.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::auth::Authenticator;
use crate::config::Config;
use crate::database::Database;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::push::Push;

/// The parts of one server.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) authenticator: Arc<Authenticator>,
    pub(crate) database: Database,
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) push: Push,
    /// Cancelled when the server is told to stop: nothing new should come here any more.
    pub(crate) draining: CancellationToken,
}
