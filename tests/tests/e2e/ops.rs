//! What operators get, held against a running server: the alerts, the Grafana dashboard and the
//! handbook speak of what `/metrics` has, and of nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dashboard_server::auth::AuthError;
use dashboard_server::metrics::Limit;
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Credential, TestApp, Wire, pause, within};
use serde_json::Value;

const USER: &str = "operators@example.test";
/// Labels that Prometheus adds, or that a query makes.
const ADDED: [&str; 3] = ["instance", "job", "le"];

/// The labels of each metric, by the metric's name.
type Labels = BTreeMap<String, BTreeSet<String>>;

#[tokio::test]
async fn d_nfr_4_the_handbook_tells_of_every_metric_with_its_labels() {
    let metrics = metrics().await;
    let handbook = handbook();
    let (there, told) = (families(&metrics), handbook.keys().cloned().collect());
    let untold: Vec<_> = there.difference(&told).collect();
    let absent: Vec<_> = told.difference(&there).collect();
    assert!(
        untold.is_empty() && absent.is_empty(),
        "in /metrics, but not in docs/operations.md: {untold:#?}; the other way round: {absent:#?}"
    );
    for (name, labels) in samples(&metrics) {
        let family = family(&name, &handbook).unwrap_or_else(|| panic!("{name} is of no family"));
        assert_eq!(handbook[family], labels, "labels of {name}");
    }
}

#[tokio::test]
async fn d_nfr_4_every_metric_of_the_grafana_dashboard_and_the_alerts_is_there() {
    let metrics = metrics().await;
    let (families, handbook) = (families(&metrics), handbook());
    let dashboard = queries_of_dashboard(&dashboard());
    let alerts = expressions(&read("ops/prometheus/alerts.yml"));
    let page = read("docs/operations.md");
    let run_book: Vec<_> =
        run_book(&page).into_values().flat_map(queries).map(ToOwned::to_owned).collect();
    let counts = [&dashboard, &alerts, &run_book].map(Vec::len);
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
    let mut missing = BTreeSet::new();
    for query in dashboard.iter().chain(&alerts).chain(&run_book) {
        for used in metrics_of(query) {
            match family(&used.name, &handbook).filter(|family| families.contains(*family)) {
                None => missing.extend([used.name]),
                Some(family) => missing.extend(
                    used.labels
                        .difference(&handbook[family])
                        .filter(|label| !ADDED.contains(&label.as_str()))
                        .map(|label| format!("{}{{{label}}}", used.name)),
                ),
            }
        }
    }
    assert!(missing.is_empty(), "asked for, but not in /metrics: {missing:#?}");
}

/// A counter that first appears at 1 has never grown, as far as Prometheus can tell.
#[tokio::test]
async fn d_nfr_4_counters_whose_first_step_raises_an_alert_begin_at_zero() {
    let app = TestApp::start().await;
    let metrics = scrape(&app).await;
    let limits = [
        "connections",
        "connections_per_address",
        "sockets",
        "sockets_per_user",
        "arriving_sockets",
        "auth_timeout",
        "auth_attempts",
        "auth_failures",
        "message_size",
        "message_rate",
        "request_rate",
        "header_size",
        "body_size",
        "idle_timeout",
        "tls_timeout",
        "write_stall",
    ];
    let limits = limits.map(|limit| format!("dashboard_limited_total{{limit=\"{limit}\"}}"));
    let results = ["dashboard_tls_reloads_total", "dashboard_jwks_fetches_total"];
    let results = results.map(|name| format!("{name}{{result=\"error\"}}"));
    let reasons = ["superseded", "closed"];
    let reasons =
        reasons.map(|reason| format!("dashboard_events_unsent_total{{reason=\"{reason}\"}}"));
    let others = ["panics", "stalls", "capture_gaps"].map(|name| format!("dashboard_{name}_total"));
    let wanted = limits.into_iter().chain(results).chain(reasons).chain(others);
    let missing: Vec<_> = wanted
        .filter(|series| !metrics.lines().any(|line| *line == format!("{series} 0")))
        .collect();
    assert!(missing.is_empty(), "not at zero after the start: {missing:#?}");
}

#[test]
fn every_alert_has_a_run_book_entry_and_both_kinds_of_test() {
    let alerts = read("ops/prometheus/alerts.yml");
    let tests = read("ops/prometheus/alerts.test.yml");
    let handbook = read("docs/operations.md");
    let tests: BTreeMap<&str, bool> = tests
        .split("\n  - name: ")
        .skip(1)
        .map(|test| (test.lines().next().unwrap(), test.trim_end().ends_with("exp_alerts: []")))
        .collect();
    let names: Vec<&str> = lines_after(&alerts, "- alert: ").collect();
    assert!(names.len() > 20, "{names:?}");
    let entries = run_book(&handbook);
    for name in &names {
        let entry = entries.get(name);
        let entry = entry.unwrap_or_else(|| panic!("docs/operations.md has no heading {name}"));
        assert!(queries(entry).count() > 0, "nothing to paste for {name}");
        let anchor = format!("runbook_url: docs/operations.md#{}", name.to_lowercase());
        assert!(alerts.contains(&anchor), "{anchor} is missing");
        assert_eq!(tests.get(format!("{name} fires").as_str()), Some(&false), "{name} fires");
        let quiet = format!("{name} stays quiet");
        assert_eq!(tests.get(quiet.as_str()), Some(&true), "{quiet}");
    }
    assert_eq!(tests.len(), 2 * names.len(), "tests of alerts that do not exist: {tests:?}");
    assert_eq!(entries.len(), names.len(), "run-book entries of no alert: {entries:?}");
}

#[test]
fn operators_are_told_of_every_reason_and_every_limit() {
    let first_cells = |page: &str, heading: &str| -> BTreeSet<String> {
        let section = page.split(&format!("## {heading}\n")).nth(1).unwrap();
        let rows = section.split("\n## ").next().unwrap().lines();
        let cells = rows.filter_map(|row| row.strip_prefix("| `")?.split('`').next());
        cells.map(ToOwned::to_owned).collect()
    };
    let names = |labels: &mut dyn Iterator<Item = &'static str>| -> BTreeSet<String> {
        labels.map(ToOwned::to_owned).collect()
    };
    let limits = names(&mut Limit::ALL.into_iter().map(Limit::label));
    assert_eq!(first_cells(&read("docs/operations.md"), "Limits"), limits);
    // Of the limits only these two refuse a socket; the others end its connection.
    let refusing = [Limit::AuthTimeout, Limit::SocketsPerUser].into_iter().map(Limit::label);
    let reasons = names(&mut AuthError::ALL.into_iter().map(AuthError::label).chain(refusing));
    assert_eq!(first_cells(&read("docs/logs.md"), "Why a socket is refused"), reasons);
}

/// The clauses of the requirements are the developers' words.
#[tokio::test]
async fn operators_are_not_told_the_codes_of_requirements() {
    let told = [
        "docs/operations.md",
        "docs/logs.md",
        "ops/prometheus/alerts.yml",
        "ops/grafana/dashboard.json",
        "ops/systemd/dashboard-server.service",
    ];
    for text in told.map(read).into_iter().chain([metrics().await]) {
        for family in ["API", "DM", "FR", "NFR", "RES", "WS"] {
            let code = format!("D-{family}-");
            let line = text.lines().find(|line| line.contains(&code));
            assert_eq!(line, None);
        }
    }
}

/// Cargo reads all members' manifests, whichever is built.
#[test]
fn the_image_is_built_from_every_member_of_the_workspace() {
    let (manifest, context) = (read("Cargo.toml"), read("ops/docker/Dockerfile.dockerignore"));
    let members = lines_after(&manifest, "members = ").next().unwrap();
    let members: Vec<String> = serde_json::from_str(members).unwrap();
    assert!(members.len() > 8, "{members:?}");
    for member in members {
        let line = format!("!{member}");
        assert!(context.lines().any(|have| have == line), "{member} is left out of the image");
    }
}

#[test]
fn the_grafana_dashboard_works_with_any_data_source() {
    let dashboard = dashboard();
    let mut sources = BTreeSet::new();
    visit(&dashboard, &mut |key, value| {
        if key == "datasource" {
            sources.insert(value["uid"].as_str().unwrap_or_default().to_owned());
        }
    });
    assert_eq!(sources, BTreeSet::from(["${datasource}".to_owned()]));
    let ids: Vec<i64> = panels(&dashboard).map(|panel| panel["id"].as_i64().unwrap()).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "ids of panels: {ids:?}");
}

/// What `/metrics` says after some of everything has happened.
async fn metrics() -> String {
    let app = TestApp::start().await;
    let mut wire = Wire::join(&app.url(), &app.bearer(USER)).await.unwrap();
    Wire::join(&app.url(), &Credential::Nobody).await.unwrap_err();
    writer::add_moc(app.db(), USER, &NewMoc::new("Lighthouse", "City")).await;
    wire.event().await;
    app.rest().snapshot(&app.bearer(USER)).await;
    drop(wire);
    within("the socket's end", async {
        loop {
            let metrics = scrape(&app).await;
            if metrics.contains("dashboard_disconnects_total{") {
                return metrics;
            }
            pause().await;
        }
    })
    .await
}

async fn scrape(app: &TestApp) -> String {
    let answer = app.admin().get("/metrics", &Credential::Nobody, &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// The metrics by the names of their first series, such as `x_total`; a histogram by its own name.
/// A family in which nothing was counted yet is not declared.
fn families(metrics: &str) -> BTreeSet<String> {
    let declared = lines_after(metrics, "# TYPE ");
    declared
        .map(|line| match line.split_once(' ').unwrap() {
            (name, "counter") => format!("{name}_total"),
            (name, "info") => format!("{name}_info"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

/// Each series' name and its labels, but for those of histograms.
fn samples(metrics: &str) -> Vec<(String, BTreeSet<String>)> {
    let series = metrics.lines().filter(|line| !line.starts_with('#'));
    series
        .map(|line| {
            let used = metrics_of(line).into_iter().next();
            let used = used.unwrap_or_else(|| panic!("a line of another kind: {line}"));
            (used.name, used.labels.into_iter().filter(|label| label != "le").collect())
        })
        .collect()
}

/// The family that a series belongs to.
fn family<'a>(series: &str, families: &'a Labels) -> Option<&'a str> {
    let of_histogram = ["_bucket", "_count", "_sum"].iter();
    let mut names = of_histogram.filter_map(|end| series.strip_suffix(end)).chain([series]);
    names.find_map(|name| families.get_key_value(name)).map(|(name, _)| name.as_str())
}

/// The rows `` | `name{label,label}` | … `` of the handbook.
fn handbook() -> Labels {
    let page = read("docs/operations.md");
    let rows = lines_after(&page, "| `")
        .filter(|row| ["dashboard_", "process_"].iter().any(|prefix| row.starts_with(prefix)));
    rows.map(|row| {
        let (metric, _) = row.split_once('`').unwrap();
        let (name, labels) = metric.split_once('{').unwrap_or((metric, ""));
        let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
        (name.to_owned(), labels.map(ToOwned::to_owned).collect())
    })
    .collect()
}

/// The entries of the run-book, by the alerts' names.
fn run_book(handbook: &str) -> BTreeMap<&str, &str> {
    let entries = handbook.split("\n### ").filter(|entry| entry.starts_with("Dashboard"));
    entries.filter_map(|entry| entry.split_once('\n')).collect()
}

/// What an entry has for Prometheus: each line is a query.
fn queries(entry: &str) -> impl Iterator<Item = &str> {
    let blocks = entry.split("```promql\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

/// A metric in a query, and the labels that the query asks it for.
struct Used {
    name: String,
    labels: BTreeSet<String>,
}

/// The metrics of a query, or of a line of `/metrics`. What is named in `by (…)` is asked of each.
fn metrics_of(query: &str) -> Vec<Used> {
    let mut grouped = BTreeSet::new();
    for word in ["by (", "ignoring (", "on ("] {
        for part in query.split(word).skip(1) {
            let labels = part.split(')').next().unwrap_or_default().split(',');
            grouped.extend(labels.map(|label| label.trim().to_owned()));
        }
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut used = Vec::new();
    let mut rest = query;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = &rest[end..];
        let mut labels = grouped.clone();
        if let Some(inside) = rest.strip_prefix('{') {
            let (inside, after) = braces(inside);
            rest = after;
            labels.extend(label_names(inside));
        }
        if name.starts_with("dashboard_") || name.starts_with("process_") {
            used.push(Used { name: name.to_owned(), labels });
        }
    }
    used
}

/// What stands before the closing brace and after it; braces in quotes are text.
fn braces(text: &str) -> (&str, &str) {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '}' if !quoted => return (&text[..at], &text[at + 1..]),
            _ => {}
        }
    }
    (text, "")
}

/// `a="x",b=~"y"` → a, b.
fn label_names(matchers: &str) -> impl Iterator<Item = String> {
    // Every second part stands between quotes.
    let outside = matchers.split('"').step_by(2);
    outside
        .map(|part| part.trim_matches(|c: char| ",=!~ ".contains(c)).to_owned())
        .filter(|label| !label.is_empty())
}

/// What stands behind `expr:`, with the lines that continue it.
fn expressions(rules: &str) -> Vec<String> {
    let blocks = rules.split("expr: ").skip(1);
    blocks.map(|block| block.split("\n        labels:").next().unwrap().to_owned()).collect()
}

/// Every query of the panels and of the variables.
fn queries_of_dashboard(dashboard: &Value) -> Vec<String> {
    let mut queries = Vec::new();
    visit(dashboard, &mut |key, value| {
        if ["expr", "query", "definition"].contains(&key)
            && let Some(query) = value.as_str()
        {
            queries.push(query.to_owned());
        }
    });
    queries
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    dashboard["panels"].as_array().into_iter().flatten()
}

fn dashboard() -> Value {
    serde_json::from_str(&read("ops/grafana/dashboard.json")).unwrap()
}

/// Calls `look` with every key and value in there, however deep.
fn visit(value: &Value, look: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                look(key, value);
                visit(value, look);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| visit(value, look)),
        _ => {}
    }
}

fn lines_after<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| line.trim_start().strip_prefix(start))
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
