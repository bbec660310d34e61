//! Implements `dashboard-server check`: reports what is right with an installation, and what to correct.
//!
//! The check reads everything that a start needs, with the code and the words of the start. It also checks
//! for what would otherwise show only after some time. It changes nothing in the database or on the disk.

mod database;
mod issuer;
mod machine;
mod report;
mod schema;

pub use self::report::{Finding, Report, Verdict};
use crate::auth::Keys;
use crate::config::{Config, ConfigError, Environment};
use crate::server::check_web_root;
use crate::telemetry::traces::Traces;

/// Checks everything that is configured.
pub async fn check(config: Config, environment: &Environment) -> Report {
    let config = config.without_blanks();
    let mut report = Report::default();
    settings(&config, environment, &mut report);
    keys(&config, &mut report).await;
    let is_running = machine::ports(&config, &mut report).await;
    machine::certificate(&config, &mut report).await;
    web_root(&config, &mut report);
    match &config.database_url {
        Some(url) => database::configured(url, &config, is_running, &mut report).await,
        None => machine::private_database(&config, is_running, &mut report),
    }
    machine::open_files(&config, &mut report);
    traces(&config, &mut report);
    report
}

fn settings(config: &Config, environment: &Environment, report: &mut Report) {
    let faults = environment.faults(config);
    if faults.is_empty() {
        report.ok("settings", "fit together");
    }
    for fault in faults {
        report.fail("settings", fault);
    }
    if !environment.misread().is_empty() {
        report.warn("settings", "what follows holds for the defaults of what could not be read");
    }
    for unknown in environment.unknown() {
        report.warn("settings", unknown);
    }
    for variable in environment.trimmed() {
        let text = format!("the white space around {variable} is left out");
        if variable == "DATABASE_URL" {
            report.ok("settings", text);
        } else {
            report.warn("settings", format!("{text}: what signs tokens must not use it either"));
        }
    }
}

fn web_root(config: &Config, report: &mut Report) {
    if let Some(root) = &config.web_root {
        match check_web_root(config) {
            Ok(()) => report.ok("web root", format!("an app is in {}", root.display())),
            Err(error) => report.fail("web root", error),
        }
    }
}

fn traces(config: &Config, report: &mut Report) {
    match (Traces::start(config), &config.otlp_endpoint) {
        (Ok(_), None) => report.ok("traces", "none: OTEL_EXPORTER_OTLP_ENDPOINT is not set"),
        (Ok(_), Some(endpoint)) => report.ok("traces", format!("would be sent to {endpoint}")),
        (Err(error), _) => report.fail("traces", error),
    }
}

async fn keys(config: &Config, report: &mut Report) {
    // What has been refused already is neither praised nor asked for.
    if config.key_faults().iter().any(|fault| *fault != ConfigError::OpenIssuer) {
        return;
    }
    let published = config.jwt_jwks_url.is_some() || config.jwt_jwks_file.is_some();
    if !published {
        if config.bind.ip().is_loopback() && !config.behind_proxy {
            report.ok("keys", "a shared secret (HS256), for development");
        } else {
            report.warn(
                "keys",
                "a shared secret (HS256) is for development: whoever knows it signs in as anyone; \
                 set DASHBOARD_JWT_JWKS_URL",
            );
        }
        return;
    }
    match Keys::count(config).await {
        Ok(1) => report.ok("keys", "1 key of the token issuer is usable"),
        Ok(count) => report.ok("keys", format!("{count} keys of the token issuer are usable")),
        Err(error) => return report.fail("keys", error),
    }
    if config.jwt_jwks_url.is_some() {
        issuer::compare(config, report).await;
    }
}
