//! The native SDK over TLS: wss and https with roots of the program's own, and none without trust.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use client_sdk::Options;
use client_sdk::state::{Code, Source, Status};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Screen, TestApp};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

const USER: &str = "tls@example.test";

#[tokio::test]
async fn d_nfr_3_the_sdk_goes_live_over_tls_and_only_where_it_trusts() {
    let (certificate, key) = (keys().join("tls-cert.pem"), keys().join("tls-key.pem"));
    let flags = ["--tls-cert", &text(&certificate), "--tls-key", &text(&key)];
    let app = TestApp::start_with(&flags).await;
    assert!(app.url().starts_with("https://"), "{}", app.url());
    writer::add_moc(app.db(), USER, &NewMoc::new("Behind a lock", "Castle")).await;
    let options = || {
        let token = app.tokens.access(USER);
        Options::new(app.url()).token(move || std::future::ready(token.clone()))
    };

    let screen = Screen::open_options(options().tls(Arc::new(trusting(&certificate))));
    let state = screen.until_status(Status::Live).await;
    let view = state.view.as_ref().expect("live has a view");
    assert_eq!(view.recent_mocs[0].title.as_str(), "Behind a lock");
    writer::add_moc(app.db(), USER, &NewMoc::new("Pushed", "Castle")).await;
    screen.until("pushed", |state| state.view.as_ref().unwrap().summary.total_mocs == 2).await;

    let wary = Screen::open_options(options());
    let state = wary.until_status(Status::Backoff).await;
    assert_eq!((state.view.as_ref(), state.freshness.source), (None, Source::None));
    assert_eq!(state.freshness.reason.as_ref().map(|reason| reason.code), Some(Code::SocketFailed));
}

fn trusting(certificate: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/keys")
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
