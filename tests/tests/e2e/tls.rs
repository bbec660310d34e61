//! TLS: the native SDK with roots of the program's own, and none without trust; HTTP/2; certificates
//! that change while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use client_sdk::Options;
use client_sdk::state::{Code, Source, Status};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Screen, TestApp, within};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use reqwest::Version;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

const USER: &str = "tls@example.test";

#[tokio::test]
async fn d_nfr_3_the_sdk_goes_live_over_tls_and_only_where_it_trusts() {
    let (certificate, key) = (keys().join("tls-cert.pem"), keys().join("tls-key.pem"));
    let flags = ["--tls-cert", &text(&certificate), "--tls-key", &text(&key)];
    let app = TestApp::start_with(&flags).await;
    assert!(app.url().starts_with("https://"), "{}", app.url());
    writer::add_moc(app.db(), USER, &NewMoc::new("Behind a lock", "Castle")).await;
    app.projected().await;
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

#[tokio::test]
async fn d_nfr_3_http_2_and_1_are_spoken_and_browsers_are_told_to_stay_with_https() {
    let (certificate, key) = (keys().join("tls-cert.pem"), keys().join("tls-key.pem"));
    let flags = ["--tls-cert", &text(&certificate), "--tls-key", &text(&key)];
    let app = TestApp::start_with(&flags).await;
    let trusted = reqwest::Certificate::from_pem(&std::fs::read(&certificate).unwrap()).unwrap();
    let client = |builder: reqwest::ClientBuilder| {
        builder.tls_certs_only([trusted.clone()]).build().unwrap()
    };
    let own_choice = client(reqwest::Client::builder());
    let only_1 = client(reqwest::Client::builder().http1_only());
    for (client, version) in [(own_choice, Version::HTTP_2), (only_1, Version::HTTP_11)] {
        let address = format!("{}/api/dashboard", app.url());
        let request = client.get(address).bearer_auth(app.tokens.access(USER));
        let answer = within("an answer", request.send()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.headers()["strict-transport-security"], "max-age=31536000");
        let policy = answer.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self'; script-src 'self'"), "{policy}");
    }
    // Sockets are HTTP/1.1's: over HTTP/2 an upgrade is refused in the words of every error.
    let client = client(reqwest::Client::builder().http2_prior_knowledge());
    let address = format!("{}/socket.io/?EIO=4&transport=websocket", app.url());
    let answer = within("an answer", client.get(address).send()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (400, Version::HTTP_2));
    let body: serde_json::Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "VALIDATION_ERROR");
}

#[tokio::test]
async fn a_certificate_that_changes_is_used_and_one_that_cannot_be_used_is_not() {
    let folder = std::env::temp_dir().join(format!("e2e-tls-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let [first, second] = [2040, 2050].map(until);
    std::fs::write(&certificate, first.cert.pem()).unwrap();
    std::fs::write(&key, first.signing_key.serialize_pem()).unwrap();
    let flags = ["--tls-cert", &text(&certificate), "--tls-key", &text(&key)];
    let app =
        TestApp::start_with(&[&flags[..], &["--tls-reload-interval-ms", "20"]].concat()).await;
    assert_eq!(presented(&app, &[&first, &second]).await, *first.cert.der());
    let expires = "dashboard_tls_certificate_expires_timestamp_seconds";
    assert_eq!(app.metrics().await.count(expires), 2_208_988_800);
    let options = || {
        let token = app.tokens.access(USER);
        Options::new(app.url()).token(move || std::future::ready(token.clone()))
    };
    let screen = Screen::open_options(options().tls(Arc::new(trusting(&certificate))));
    screen.until_status(Status::Live).await;

    // Half of a renewal: the new certificate with the old key.
    std::fs::write(&certificate, second.cert.pem()).unwrap();
    let result = |result| format!("dashboard_tls_reloads_total{{result=\"{result}\"}}");
    let metrics =
        app.metrics_until("the refusal", |metrics| metrics.count(&result("error")) >= 1).await;
    assert_eq!(metrics.count(expires), 2_208_988_800, "of the one that is served with");
    assert_eq!(presented(&app, &[&first, &second]).await, *first.cert.der());

    std::fs::write(&key, second.signing_key.serialize_pem()).unwrap();
    let metrics =
        app.metrics_until("the reload", |metrics| metrics.count(&result("ok")) == 1).await;
    assert_eq!(metrics.count(expires), 2_524_608_000);
    assert_eq!(presented(&app, &[&first, &second]).await, *second.cert.der());
    // Who was connected stays so.
    writer::add_moc(app.db(), USER, &NewMoc::new("Pushed", "Castle")).await;
    screen.until("pushed", |state| state.view.as_ref().unwrap().summary.total_mocs == 1).await;
    assert_eq!(app.metrics().await.count("dashboard_connects_total"), 1);
    drop(screen);
    std::fs::remove_dir_all(folder).unwrap();
}

/// A certificate that runs out with the beginning of that year.
fn until(year: i32) -> CertifiedKey<KeyPair> {
    let mut parameters = CertificateParams::new(["127.0.0.1".into()]).unwrap();
    parameters.not_after = date_time_ymd(year, 1, 1);
    let signing_key = KeyPair::generate().unwrap();
    CertifiedKey { cert: parameters.self_signed(&signing_key).unwrap(), signing_key }
}

/// The certificate that the server shows to a client that trusts them all.
async fn presented(app: &TestApp, trusted: &[&CertifiedKey<KeyPair>]) -> CertificateDer<'static> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.cert.der().clone()).unwrap();
    }
    let connector = TlsConnector::from(Arc::new(config(roots)));
    let address = app.url().strip_prefix("https://").unwrap().to_owned();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let stream = within("a handshake", connector.connect(name, stream)).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

fn trusting(certificate: &Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    config(roots)
}

fn config(roots: RootCertStore) -> ClientConfig {
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
