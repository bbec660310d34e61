//! Checks the machine: addresses, files, limits.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use private_postgres::Outlook;
use time::OffsetDateTime;

use crate::clock;
use crate::commands::check::Report;
use crate::config::Config;
use crate::database::DatabaseError;
use crate::metrics::process::open_files_limit;
use crate::net::{ListenError, Listener, Tls};

/// Open files besides the sockets: database connections, listeners, logs, requests in flight.
const OTHER_FILES: u64 = 256;
/// A certificate that runs out sooner is worth a warning.
const RENEW_BEFORE: Duration = Duration::from_hours(14 * 24);
/// A server that answers at all answers within this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether both addresses can be listened on, or both are by a server of ours that runs already, such as the one that
/// is to be replaced. Says whether that is so.
pub(super) async fn ports(config: &Config, report: &mut Report) -> bool {
    let scheme = if config.tls_cert.is_some() { "https" } else { "http" };
    let sides = [("public side", scheme, config.bind), ("admin side", "http", config.admin_bind)];
    let (public, admin) =
        (Listener::bind(config.bind).await, Listener::bind(config.admin_bind).await);
    let is_taken = |bound: &Result<Listener, ListenError>| {
        let Err(ListenError::Bind { source, .. }) = bound else { return false };
        source.kind() == ErrorKind::AddrInUse
    };
    let is_running = is_taken(&public) && is_taken(&admin) && is_ours(config.admin_bind).await;
    for ((subject, scheme, address), bound) in sides.into_iter().zip([public, admin]) {
        match bound {
            Ok(_) => report.ok(subject, format!("{scheme}://{address} is free")),
            Err(_) if is_running => report.warn(
                subject,
                format!(
                    "{address} is in use until a server has ended: a dashboard-server runs here"
                ),
            ),
            Err(error) => {
                let remedy = "choose another address, or stop what uses this one";
                report.fail(subject, format!("{error}; {remedy}"));
            }
        }
    }
    is_running
}

/// Whether certificate and key can be served with.
pub(super) async fn certificate(config: &Config, report: &mut Report) {
    let Some((certificate, key)) = config.tls_cert.as_deref().zip(config.tls_key.as_deref()) else {
        return;
    };
    match Tls::load(certificate, key).await {
        Ok(tls) => {
            report.ok("TLS", "certificate and key can be read and belong together");
            if let Some(end) = tls.expires_at() {
                expiry(end, clock::now(), report);
            }
        }
        Err(error) => report.fail("TLS", error),
    }
}

/// Whether a private `PostgreSQL` could be started, and keep its data where it should. A server of ours that runs
/// here may have it.
pub(super) fn private_database(config: &Config, is_running: bool, report: &mut Report) {
    let folder = &config.data_dir;
    // The nearest folder that is there is the one in which the others would be made.
    let own = folder.join("postgres");
    let nearest = own.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    if !nearest.is_dir() {
        report
            .fail("database", format!("DASHBOARD_DATA_DIR {} is not a folder", nearest.display()));
    } else if is_writable(nearest) {
        let fetched = match private_postgres::look(&private_postgres::Options::new(own)) {
            Ok(Outlook::Installed) => "",
            Ok(Outlook::Fetched) => ", and would be fetched by npm first",
            Err(private_postgres::Error::InUse { .. }) if is_running => {
                report
                    .warn("database", "a private PostgreSQL belongs to the server that runs here");
                return;
            }
            Err(error) => {
                report.fail("database", DatabaseError::Private(error));
                return;
            }
        };
        report.warn(
            "database",
            format!(
                "no DATABASE_URL is set: a private PostgreSQL would keep its data in {}{fetched}; good for \
                 trying things out, not for production",
                folder.display()
            ),
        );
    } else {
        report.fail(
            "database",
            format!(
                "no DATABASE_URL is set, and a private PostgreSQL could not keep its data in {}: \
                 this user may not write to {}; set DATABASE_URL or DASHBOARD_DATA_DIR",
                folder.display(),
                nearest.display()
            ),
        );
    }
}

/// Whether as many sockets as are allowed can be open.
pub(super) fn open_files(config: &Config, report: &mut Report) {
    let wanted = sockets_wanted(config) + OTHER_FILES;
    match open_files_limit() {
        None => {}
        Some(limit) if limit >= wanted => report.ok("open files", format!("{limit} are allowed")),
        Some(limit) => report.warn(
            "open files",
            format!(
                "{limit} are allowed, and {wanted} may be needed: raise the limit (LimitNOFILE of \
                 systemd, ulimits of a container, ulimit -n)"
            ),
        ),
    }
}

/// How many sockets there may be at the same time.
fn sockets_wanted(config: &Config) -> u64 {
    config.limits.max_connections.into()
}

fn expiry(end: OffsetDateTime, now: OffsetDateTime, report: &mut Report) {
    let date = end.date();
    if end <= now {
        report.fail("certificate", format!("has run out on {date}: renew it"));
    } else if end - now < RENEW_BEFORE {
        report.warn("certificate", format!("runs out on {date}: renew it"));
    } else {
        report.ok("certificate", format!("is good until {date}"));
    }
}

async fn is_ours(admin: SocketAddr) -> bool {
    let ask = async {
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build()?;
        client.get(format!("http://{admin}/healthz")).send().await?.text().await
    };
    ask.await.is_ok_and(|answer| answer == "ok\n")
}

/// Asks without trying: nothing is to be changed.
fn is_writable(folder: &Path) -> bool {
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn a_certificate_is_renewed_in_time() {
        let now = datetime!(2026-11-23 10:30 UTC);
        let mut report = Report::default();
        for end in [now, now + Duration::from_mins(1), now + RENEW_BEFORE] {
            expiry(end, now, &mut report);
        }
        let text = report.to_string();
        let lines: Vec<_> = text.lines().take(3).collect();
        let expected = [
            "FAIL  certificate  has run out on 2026-11-23: renew it",
            "warn  certificate  runs out on 2026-11-23: renew it",
            "ok    certificate  is good until 2026-12-07",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_private_database_needs_a_place() {
        let mut config = <Config as clap::Parser>::parse_from(["dashboard-server"]);
        config.data_dir = std::env::temp_dir().join("not/here/yet");
        let mut report = Report::default();
        private_database(&config, false, &mut report);
        assert!(report.is_fit() && report.to_string().contains("not for production"), "{report}");
        config.data_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml/x").into();
        private_database(&config, false, &mut report);
        assert!(report.to_string().contains("Cargo.toml is not a folder"), "{report}");
    }
}
