//! Holds what the groups of one run share: the builder, a folder for what is thrown away, and one database.

use std::path::Path;

use anyhow::Context;
use private_postgres::{Cluster, Options};

use super::scratch::Scratch;
use crate::build::Builder;
use crate::steps;

/// One run of the tests. Dropping it stops the database.
pub(super) struct Session {
    /// Builds what the groups need.
    pub(super) builder: Builder,
    cluster: Option<Cluster>,
    /// Dropped after the cluster in it.
    scratch: Scratch,
}

impl Session {
    pub(super) fn new(builder: Builder) -> anyhow::Result<Self> {
        steps::end_on_signal()?;
        let scratch = Scratch::create().context("there is no room for what the tests write")?;
        Ok(Self { builder, cluster: None, scratch })
    }

    /// Where tests put what they throw away: the value of `TMPDIR`.
    pub(super) fn scratch(&self) -> &Path {
        self.scratch.folder()
    }

    /// The address of a database of this run's own cluster. The first caller starts the cluster.
    pub(super) fn database_url(&mut self) -> anyhow::Result<String> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.url("postgres"));
        }
        self.builder.steps.note("Start a private PostgreSQL for the tests");
        let folder = self.scratch().join("postgres");
        let cluster = Cluster::start(&Options::throwaway(folder), &mut |sentence| {
            println!("     {sentence}");
        })
        .context("cannot start a private PostgreSQL")?;
        let url = cluster.url("postgres");
        self.cluster = Some(cluster);
        Ok(url)
    }

    /// Stops the database, and says so only if that failed: the results stand either way.
    pub(super) fn end(&mut self) {
        if let Some(Err(error)) = self.cluster.take().map(Cluster::stop) {
            eprintln!("the private PostgreSQL could not be stopped: {error}");
        }
    }
}
