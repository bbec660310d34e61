//! What operators see, and what it is about that is promised to be fast: the bench measures how fast.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use client_sdk::driver::native::Options;
use client_sdk::state::{DashboardState, Status};
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Credential, Payload, Screen, TestApp, Wire, pause, within};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

const USER: &str = "operations@example.test";

#[tokio::test]
async fn d_nfr_4_metrics_tell_of_connections_reasons_and_events() {
    let app = TestApp::start().await;
    let mut wire = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    let gone = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    Wire::join(&app.url(), &Credential::Nobody).await.unwrap_err();
    writer::add_moc(app.db(), USER, &NewMoc::new("Lighthouse", "City")).await;
    for _ in 0..3 {
        wire.event().await;
    }
    app.rest().snapshot(&app.bearer(USER)).await;
    app.rest().get("/api/dashboard", &Credential::Nobody, &[]).await;
    drop(gone);
    let metrics = metrics_until(&app, |metrics| value(metrics, "dashboard_connections") == 1).await;
    assert_eq!(value(&metrics, "dashboard_connects_total"), 2);
    assert_eq!(sum(&metrics, "dashboard_refusals_total"), 1);
    assert_eq!(sum(&metrics, "dashboard_disconnects_total"), 1);
    for event_type in ["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"] {
        let name = format!("dashboard_events_total{{type=\"dashboard:{event_type}\"}}");
        assert!(value(&metrics, &name) >= 1, "{name}\n{metrics}");
    }
    for status in [200, 401] {
        let name = format!(
            "dashboard_http_requests_total{{method=\"GET\",route=\"/api/dashboard\",status=\"{status}\"}}"
        );
        assert_eq!(value(&metrics, &name), 1, "{name}\n{metrics}");
    }
    let timed =
        "dashboard_http_request_duration_seconds_count{method=\"GET\",route=\"/api/dashboard\"}";
    assert_eq!(value(&metrics, timed), 2, "{metrics}");
    assert!(value(&metrics, "dashboard_change_to_emit_seconds_count") >= 1, "{metrics}");
    assert!(!metrics.contains(USER), "no user in a label");
}

#[tokio::test]
async fn d_nfr_4_metrics_tell_of_the_process_by_the_names_that_all_programs_use() {
    let app = TestApp::start().await;
    let metrics = app.admin().get("/metrics", &Credential::Nobody, &[]).await.body;
    let build = format!("dashboard_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(value(&metrics, &build), 1, "{metrics}");
    assert!(value(&metrics, "dashboard_tasks") > 0, "{metrics}");
    if cfg!(target_os = "linux") {
        for name in ["resident_memory_bytes", "virtual_memory_bytes", "open_fds", "threads"] {
            assert!(value(&metrics, &format!("process_{name}")) > 1, "{name}\n{metrics}");
        }
        let most = value(&metrics, "process_max_fds");
        assert!(value(&metrics, "process_open_fds") < most, "{metrics}");
        let float = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name}\n{metrics}")).parse::<f64>().unwrap()
        };
        assert!(float("process_cpu_seconds_total") > 0.0, "{metrics}");
        let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let age = now - float("process_start_time_seconds");
        // The kernel counts in hundredths, and tells its own start in whole seconds.
        assert!((-1.0..600.0).contains(&age), "{age} s");
    }
}

#[tokio::test]
async fn d_nfr_4_health_and_readiness_are_on_the_operators_side_only() {
    let app = TestApp::start().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = app.admin().get(path, &Credential::Nobody, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let answer = app.rest().get(path, &Credential::Nobody, &[]).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn d_nfr_3_plain_http_is_served_on_loopback_only() {
    for flag in ["--bind", "--admin-bind"] {
        let refused = TestApp::try_start_with(&[flag, "0.0.0.0:0"]).await.err().unwrap();
        assert!(refused.contains("plain HTTP is served on loopback only"), "{refused}");
    }
}

#[tokio::test]
async fn d_nfr_3_the_sdk_speaks_https_and_wss_to_a_server_with_a_certificate() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/keys");
    let (certificate, key) = (keys.join("tls-cert.pem"), keys.join("tls-key.pem"));
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let app = TestApp::start_with(&["--tls-cert", certificate, "--tls-key", key]).await;
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let tokens = app.tokens.clone();
    let options = Options::new(app.url()).tls(Arc::new(tls)).token(move || {
        let token = tokens.access(USER);
        async move { token }
    });
    let screen = Screen::open_options(options);
    screen.until_status(Status::Live).await;
    writer::add_wish(app.db(), USER, "Titanic").await;
    let wished = |state: &DashboardState| {
        state.view.as_ref().is_some_and(|view| view.summary.total_wishlist_items == 1)
    };
    let state = screen.until("the change, pushed", wished).await;
    assert_eq!(state.status, Status::Live);
    // A client that does not know the certificate does not talk to this server.
    let stranger = Screen::open(&app, USER);
    let state = stranger.until("a refusal", |state| state.freshness.attempt > 0).await;
    assert_eq!(state.view, None);
}

#[tokio::test]
async fn d_nfr_1_the_snapshot_of_a_large_collection_is_whole_each_time() {
    let app = TestApp::start().await;
    writer::add_mocs(app.db(), USER, "City", 2_000).await;
    app.projected().await;
    let (rest, who) = (app.rest(), app.bearer(USER));
    let mut times = Vec::new();
    for _ in 0..60 {
        let begun = Instant::now();
        let (view, _) = rest.snapshot(&who).await;
        times.push(begun.elapsed());
        assert_eq!(view.summary.total_mocs, 2_000);
    }
    println!("the snapshot of 2,000 MOCs: p95 {:?}", p95(&mut times));
}

#[tokio::test]
async fn d_nfr_2_each_change_reaches_the_client_by_itself() {
    let app = TestApp::start().await;
    let mut wire = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    let mut times = Vec::new();
    for wishes in 1..=60 {
        writer::add_wish(app.db(), USER, "Titanic").await;
        let committed = Instant::now();
        let event = wire.event().await;
        times.push(committed.elapsed());
        let Payload::Summary(summary) = event.payload else { panic!("{event}") };
        assert_eq!(summary.total_wishlist_items, wishes);
    }
    println!("from a commit to its event: p95 {:?}", p95(&mut times));
}

/// Reads the metrics until they fit: a disconnection is counted when its handler has run.
async fn metrics_until(app: &TestApp, fits: impl Fn(&str) -> bool) -> String {
    within("metrics", async {
        loop {
            let answer = app.admin().get("/metrics", &Credential::Nobody, &[]).await;
            assert_eq!(answer.status, 200);
            if fits(&answer.body) {
                return answer.body;
            }
            pause().await;
        }
    })
    .await
}

/// The value of the series of exactly that name and labels; 0 if there is none.
fn value(metrics: &str, series: &str) -> u64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.map_or(0, |number| number.parse().unwrap())
}

/// The sum of a metric over its labels.
fn sum(metrics: &str, name: &str) -> u64 {
    let series = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

fn p95(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() * 95 / 100]
}
