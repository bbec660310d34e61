//! Which pages of other origins may read answers: exactly those that are allowed.

use e2e_tests::{Answer, Credential, TestApp};

use super::{ALLOW, ALLOWED, SNAPSHOT, USER};

/// What is not that origin, however much it looks like it.
const FOREIGN: [&str; 13] = [
    "https://evil.test",
    "null",
    "*",
    "",
    "https://app.example.test.evil.test",
    "https://evil-app.example.test",
    "https://sub.app.example.test",
    "https://example.test",
    "http://app.example.test",
    "https://app.example.test:443",
    "https://app.example.test:8443",
    "https://APP.example.test",
    "https://app.example.test/",
];

#[tokio::test]
async fn d_nfr_3_an_allowed_page_reads_answers_and_errors_with_its_cookie() {
    let app = TestApp::start_with(&ALLOW).await;
    for who in [app.bearer(USER), app.cookie(USER), Credential::Nobody] {
        let answer = app.rest().get(SNAPSHOT, &who, &[("origin", ALLOWED)]).await;
        let nobody = matches!(who, Credential::Nobody);
        assert_eq!(answer.status, if nobody { 401 } else { 200 });
        assert_eq!(answer.header("access-control-allow-origin"), ALLOWED);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        let exposed = answer.header("access-control-expose-headers").to_ascii_lowercase();
        for header in ["etag", "retry-after", "x-correlation-id"] {
            assert!(exposed.contains(header), "{exposed}");
        }
        assert!(varies_by_origin(&answer), "shared caches keep the answers apart");
    }
}

#[tokio::test]
async fn d_nfr_3_no_other_page_reads_anything() {
    for flags in [&ALLOW[..], &[]] {
        let app = TestApp::start_with(flags).await;
        let rest = app.rest();
        for origin in FOREIGN.into_iter().chain((flags.is_empty()).then_some(ALLOWED)) {
            let headers = [("origin", origin)];
            let answer = rest.get(SNAPSHOT, &app.bearer(USER), &headers).await;
            // Not a browser's business: the caller itself holds the token.
            assert_eq!(answer.status, 200, "{origin}");
            assert_allows_nobody(&answer, origin);
            let answer = rest.get(SNAPSHOT, &app.cookie(USER), &headers).await;
            assert_eq!(answer.status, 403, "{origin}");
            assert_allows_nobody(&answer, origin);
        }
    }
}

#[tokio::test]
async fn d_nfr_3_a_preflight_allows_what_the_sdk_sends_and_no_more() {
    let app = TestApp::start_with(&ALLOW).await;
    let rest = app.rest();
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", "authorization,if-none-match,x-correlation-id"),
        ];
        rest.request_with("OPTIONS", SNAPSHOT, &headers).await
    };
    let answer = ask(ALLOWED).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), ALLOWED);
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-methods"), "GET");
    let allowed = answer.header("access-control-allow-headers").to_ascii_lowercase();
    let mut allowed: Vec<_> = allowed.split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["authorization", "if-none-match", "x-correlation-id"]);
    assert!(varies_by_origin(&answer));
    for origin in FOREIGN {
        assert_allows_nobody(&ask(origin).await, origin);
    }
}

fn assert_allows_nobody(answer: &Answer, origin: &str) {
    let allowed = answer.header("access-control-allow-origin");
    assert!(allowed.is_empty(), "{origin:?} may read: {allowed:?}");
}

fn varies_by_origin(answer: &Answer) -> bool {
    let vary = answer.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok());
    vary.flat_map(|value| value.split(',')).any(|name| name.trim().eq_ignore_ascii_case("origin"))
}
