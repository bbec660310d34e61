//! Implements `cargo xtask psql`: opens a shell on a running private database.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use anyhow::{Context, bail};

use crate::workspace::{self, command, find};

/// Where a running cluster may be: the demo's, else that of a server started by hand.
const DATA: [&str; 2] = [".data/demo/postgres", ".data/postgres"];

/// Runs psql in this process's place.
///
/// # Errors
///
/// Where no database runs, or there is no psql.
pub(crate) fn run(arguments: &[String]) -> anyhow::Result<()> {
    let url = DATA
        .iter()
        .find_map(|data| private_postgres::running_url(&workspace::path(data)))
        .context("no private PostgreSQL is running; start one with `cargo xtask demo`")?;
    let Some(psql) = psql_program() else {
        bail!("psql was not found; install PostgreSQL's client programs, or use your own on {url}");
    };
    let mut shell = command(psql);
    // By environment: arguments can be read by every user of the machine.
    for (variable, value) in connection(&url).context("the address of the database is odd")? {
        shell.env(variable, value);
    }
    shell.env("PGOPTIONS", "--search_path=collection,dashboard,public").args(arguments);
    Err(shell.exec()).context("cannot run psql")
}

fn psql_program() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os(private_postgres::BINARIES_VARIABLE) {
        let psql = PathBuf::from(folder).join("psql");
        if psql.is_file() {
            return Some(psql);
        }
    }
    find("psql").or_else(|| {
        let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
        let mut found: Vec<PathBuf> = versions
            .filter_map(Result::ok)
            .map(|version| version.path().join("bin/psql"))
            .filter(|psql| psql.is_file())
            .collect();
        found.sort();
        found.pop()
    })
}

/// `postgres://user:password@host:port/database` as libpq's variables. Ours need no decoding: the
/// parts are made of letters and digits.
fn connection(url: &str) -> Option<[(&'static str, &str); 5]> {
    let rest = url.strip_prefix("postgres://")?;
    let (credentials, place) = rest.split_once('@')?;
    let (user, password) = credentials.split_once(':')?;
    let (address, database) = place.split_once('/')?;
    let (host, port) = address.split_once(':')?;
    Some([
        ("PGUSER", user),
        ("PGPASSWORD", password),
        ("PGHOST", host),
        ("PGPORT", port),
        ("PGDATABASE", database),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_becomes_variables() {
        let parts = connection("postgres://me:secret@127.0.0.1:5433/dashboard").unwrap();
        let values = parts.map(|(_, value)| value);
        assert_eq!(values, ["me", "secret", "127.0.0.1", "5433", "dashboard"]);
        assert!(connection("http://x").is_none());
    }
}
