//! Checks that the issuer's own name is the one in the settings. The server compares a token's `iss` letter by
//! letter. Many an issuer's address has a slash at the end in one place and none in another. Then the server
//! would refuse every session.

use std::time::Duration;

use serde::Deserialize;

use crate::commands::check::Report;
use crate::config::{Config, is_trusted_url};

/// It is a courtesy that not all issuers show.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_BYTES: usize = 256 * 1024;

/// The part of an issuer's own description that the check reads.
#[derive(Deserialize)]
struct Description {
    issuer: String,
}

/// Compares them, where the issuer publishes what it is called.
pub(super) async fn compare(config: &Config, report: &mut Report) {
    let Some(ours) = config.jwt_issuer.as_deref().filter(|issuer| is_trusted_url(issuer)) else {
        return;
    };
    match described(ours).await {
        Some(theirs) if theirs == ours => {
            report.ok("issuer", "calls itself what DASHBOARD_JWT_ISSUER says");
        }
        Some(theirs) => report.warn(
            "issuer",
            format!(
                "DASHBOARD_JWT_ISSUER is {ours:?}, and it calls itself {theirs:?}: they are compared letter \
                 by letter, so every session would be refused whose token has the latter"
            ),
        ),
        None => {}
    }
}

/// The name that the issuer at that address gives itself (`OpenID` Connect Discovery).
async fn described(issuer: &str) -> Option<String> {
    let client = reqwest::Client::builder()
        .timeout(ANSWER_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .ok()?;
    let place = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let mut response = client.get(place).send().await.ok()?.error_for_status().ok()?;
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_BYTES {
            return None;
        }
    }
    Some(serde_json::from_slice::<Description>(&text).ok()?.issuer)
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn an_issuer_with_another_slash_is_warned_of() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own = format!("http://{}/pool", listener.local_addr().unwrap());
        let described = serde_json::json!({ "issuer": own }).to_string();
        let place = "/pool/.well-known/openid-configuration";
        let router = Router::new().route(place, get(move || async { described }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = <Config as clap::Parser>::parse_from(["dashboard-server"]);
        let root = own.replace("/pool", "");
        for (issuer, start) in [
            (own.clone(), "ok    issuer  "),
            (format!("{own}/"), "warn  issuer  DASHBOARD_JWT_ISSUER is \"http://127.0.0.1:"),
            // One that says nothing of itself, and one that is no address.
            (root, "\nReady"),
            ("pool".to_owned(), "\nReady"),
        ] {
            config.jwt_issuer = Some(issuer.clone());
            let mut report = Report::default();
            compare(&config, &mut report).await;
            assert!(report.to_string().starts_with(start), "{issuer}: {report}");
        }
    }
}
