//! Defines the settings of `dashboard-server source …`: two of the server's.

use clap::Args;

use super::values::{secret, text, tidy};
use crate::secret::Secret;

/// Which database, and which source.
#[derive(Clone, Debug, Args)]
pub struct Place {
    /// The database of the application, as postgres://user:password@host:port/name.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_parser = tidy(secret))]
    pub database_url: Option<Secret>,
    /// A source that comes with this program, or the folder of another; standalone without it.
    #[arg(long, env = "DASHBOARD_SOURCE", value_parser = text())]
    pub source: Option<String>,
}

impl Place {
    /// The variables of these settings.
    pub const VARIABLES: [&str; 2] = ["DATABASE_URL", "DASHBOARD_SOURCE"];
}
