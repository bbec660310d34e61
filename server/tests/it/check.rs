//! Tests `dashboard-server check`: it says what is right and what to correct, and leaves everything as it was.

use std::net::TcpListener;
use std::process::Output;

use dashboard_server::database::Database;
use sqlx::ConnectOptions;

use crate::process::{Process, command};
use crate::support::{
    SECRET, TestDb, admin, config, create_database, drop_database, with_database,
};

type Settings<'a> = Vec<(&'a str, &'a str)>;

fn check(database_url: &str, settings: &[(&str, &str)]) -> (bool, String) {
    let output: Output = command()
        .arg("check")
        .env("DATABASE_URL", database_url)
        .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
        .envs(settings.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(!text.contains('\u{1b}'), "colours are for terminals: {text}");
    for secret in [SECRET, &password(database_url)] {
        assert!(secret.is_empty() || !text.contains(secret), "a secret in: {text}");
    }
    (output.status.success(), text)
}

fn password(url: &str) -> String {
    let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@'));
    user.and_then(|(user, _)| user.split_once(':')).unwrap_or_default().1.to_owned()
}

/// The lines of one verdict.
fn of<'a>(verdict: &str, text: &'a str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(verdict)).collect()
}

/// Expects exactly one failure, with these words.
fn assert_fails(database_url: &str, settings: &[(&str, &str)], words: &[&str]) {
    let (fit, text) = check(database_url, settings);
    let fails = of("FAIL", &text);
    assert!(!fit && fails.len() == 1, "{settings:?}:\n{text}");
    for word in words {
        assert!(fails[0].contains(word), "{word} is missing in: {text}");
    }
    assert!(text.ends_with("\nNot ready: 1 thing to correct.\n"), "{text}");
}

#[tokio::test]
async fn a_good_installation_is_fit_line_by_line() {
    with_database(|db: TestDb| async move {
        let (fit, text) = check(&db.url, &[]);
        assert!(fit, "{text}");
        for line in [
            "settings     fit together",
            "keys         a shared secret (HS256), for development",
            "public side  http://127.0.0.1:0 is free",
            "database     PostgreSQL ",
            "clocks       this machine and the database agree",
            "rights       this role may use",
            "schema       the source \"standalone\" is installed",
        ] {
            let line = format!("ok    {line}");
            assert!(text.lines().any(|have| have.starts_with(&line)), "{line} not in:\n{text}");
        }
        assert!(of("FAIL", &text).is_empty() && text.contains("\nReady to start"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn an_empty_database_stays_empty() {
    let (name, url) = create_database().await;
    let (fit, text) = check(&url, &[]);
    let schema =
        "ok    schema       a start would make the schemas \"dashboard\" and \"collection\"";
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    let pool = sqlx::PgPool::connect_lazy_with(options);
    let schemas: i64 = sqlx::query_scalar(
        "select count(*) from pg_namespace where nspname in ('dashboard', 'collection')",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    pool.close().await;
    drop_database(&name).await;
    assert!(fit && text.lines().any(|line| line.starts_with(schema)), "{text}");
    assert_eq!(schemas, 0);
}

#[tokio::test]
async fn wrong_settings_are_reported_with_what_to_do() {
    with_database(|db: TestDb| async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        let folder = std::env::temp_dir().join(format!("check-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let written = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (empty, broken) = (written("keys.json", r#"{"keys":[]}"#), written("broken.pem", "no"));
        let certificate = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/tls-cert.pem");
        let published = [
            ("DASHBOARD_JWT_HS256_SECRET", ""),
            ("DASHBOARD_JWT_ISSUER", "https://idp.example.org"),
            ("DASHBOARD_JWT_CLIENT_IDS", "app"),
        ];
        let with = |name, value| [published.as_slice(), &[(name, value)]].concat();
        let cases: [(Settings<'_>, &[&str]); 9] = [
            (vec![published[0]], &["settings", "DASHBOARD_JWT_JWKS_URL"]),
            (vec![("DASHBOARD_BASE_PATH", "api")], &["settings", "DASHBOARD_BASE_PATH"]),
            (vec![("DASHBOARD_LOG", "a=b=c")], &["settings", "DASHBOARD_LOG"]),
            (vec![("DASHBOARD_WEB_ROOT", "/nowhere")], &["web root", "build the app first"]),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")], &["traces", "4318"]),
            (with("DASHBOARD_JWT_JWKS_FILE", &empty), &["keys", "no key for RS256 or ES256"]),
            (with("DASHBOARD_JWT_JWKS_URL", "http://127.0.0.1:1/k"), &["keys", "does not answer"]),
            (vec![("DASHBOARD_BIND", &taken)], &["public side", &taken, "another address"]),
            (
                vec![("DASHBOARD_TLS_CERT", certificate), ("DASHBOARD_TLS_KEY", &broken)],
                &["TLS", "DASHBOARD_TLS_KEY", "broken.pem holds no private key: a PEM file"],
            ),
        ];
        for (settings, words) in cases {
            assert_fails(&db.url, &settings, words);
        }
        drop(listener);
        std::fs::remove_dir_all(&folder).unwrap();
        let (fit, text) = check(&db.url, &[("DASHBOARD_BEHIND_PROXY", "true")]);
        assert!(fit && of("warn", &text).iter().any(|line| line.contains("HS256")), "{text}");
    })
    .await;
}

#[tokio::test]
async fn all_wrong_settings_are_reported_at_once() {
    with_database(|db: TestDb| async move {
        let settings = [
            ("DASHBOARD_JWT_HS256_SECRET", "too short"),
            ("DASHBOARD_LOG_FORMAT", "jsn"),
            ("DASHBOARD_LOG", "verbose"),
            ("DASHBOARD_MAX_SOCKETS", "0"),
            ("DASHBOARD_BASE_PATH", "api"),
            ("DASHBOARD_WEB_ROOT", "/nowhere"),
        ];
        let (fit, text) = check(&db.url, &settings);
        let fails = of("FAIL", &text);
        assert!(!fit && fails.len() == settings.len(), "{text}");
        for (name, _) in settings {
            assert_eq!(
                fails.iter().filter(|l| l.contains(&format!("{name} "))).count(),
                1,
                "{text}"
            );
        }
        assert!(
            text.contains("DASHBOARD_LOG_FORMAT is \"jsn\", and must be pretty or json"),
            "{text}"
        );
        assert!(!text.contains("keys"), "a secret that is refused is not praised: {text}");
        assert!(text.contains("holds for the defaults of what could not be read"), "{text}");
        assert!(text.contains("ok    database"), "the rest is looked at all the same: {text}");
    })
    .await;
}

#[tokio::test]
async fn white_space_around_a_secret_is_warned_of() {
    with_database(|db: TestDb| async move {
        let secret = format!("{SECRET}\n");
        let (fit, text) =
            check(&format!("{}\n", db.url), &[("DASHBOARD_JWT_HS256_SECRET", &secret)]);
        let warnings = of("warn  settings", &text);
        let said = "white space around DASHBOARD_JWT_HS256_SECRET is left out: what signs tokens";
        assert!(fit && warnings.len() == 1 && warnings[0].contains(said), "{text}");
        assert!(text.contains("ok    settings     the white space around DATABASE_URL"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn what_is_set_to_nothing_is_not_set() {
    with_database(|db: TestDb| async move {
        let blank =
            ["TLS_CERT", "TLS_KEY", "LOG_FORMAT", "MAX_SOCKETS", "BEHIND_PROXY", "BASE_PATH"];
        let names = blank.map(|name| format!("DASHBOARD_{name}"));
        let settings = names.each_ref().map(|name| (name.as_str(), ""));
        let (fit, text) = check(&db.url, &settings);
        assert!(fit && text.contains("ok    settings     fit together"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn names_that_are_no_settings_are_warned_of() {
    with_database(|db: TestDb| async move {
        let settings = [("DASHBOARD_TLS_CERTIFICATE", "a.pem"), ("DASHBOARD_COLOUR", "blue")];
        let (fit, text) = check(&db.url, &settings);
        let warnings = of("warn  settings", &text);
        assert!(fit && warnings.len() == 2, "{text}");
        let said = "DASHBOARD_COLOUR is not a setting, and has no effect";
        assert!(warnings[0].ends_with(said), "{text}");
        assert!(warnings[1].ends_with("; did you mean DASHBOARD_TLS_CERT?"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_database_that_cannot_be_used_is_reported() {
    with_database(|db: TestDb| async move {
        let name: String = db.one("select current_database()::text").await;
        let port = db.url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
        let away = db.url.replace(port, "1");
        assert_fails(&away, &[], &["127.0.0.1:1/", "does not answer"]);
        assert_fails(&db.url.replace(&name, "not_here"), &[], &["/not_here", "does not exist"]);
        assert_fails("postgres//u:hunter2@h/d", &[], &["DATABASE_URL is not an address"]);
        db.run("update dashboard.meta set schema = 'x' || schema").await;
        let advice = ["schema", "another version", "drop schema dashboard cascade"];
        assert_fails(&db.url, &[], &advice);
        db.run("update dashboard.meta set schema = substr(schema, 2)").await;
        db.run("alter table dashboard.meta rename to other").await;
        assert_fails(&db.url, &[], &advice);
        db.run("alter table dashboard.other rename to meta").await;
        db.run(&format!("alter database {name} set default_transaction_read_only = on")).await;
        let (fit, text) = check(&db.url, &[]);
        let warned = of("warn", &text).iter().any(|line| line.contains("read-only"));
        assert!(fit && warned, "dashboards can be served all the same: {text}");
        admin(&format!("alter database {name} reset default_transaction_read_only")).await;
        db.run("alter table collection.mocs disable trigger user").await;
        let (fit, text) = check(&db.url, &[]);
        let said = "of collection.mocs is disabled: changes are missed; a start puts it back";
        let warnings = of("warn  source", &text);
        assert!(fit && warnings.len() == 5, "{text}");
        assert!(warnings.iter().all(|line| line.ends_with(said)), "{text}");
        Database::open(&config(&db.url)).await.unwrap().close().await;
        let (fit, text) = check(&db.url, &[]);
        assert!(fit && !text.contains("collection.mocs"), "the start has put them back: {text}");
        db.run("update dashboard.meta set source = 'another'").await;
        let (fit, text) = check(&db.url, &[]);
        let would = "schema       a start would install this version of \"standalone\"";
        assert!(fit && text.contains(would), "{text}");
        let greedy = [("DASHBOARD_DATABASE_CONNECTIONS", "1000")];
        let (fit, text) = check(&db.url, &greedy);
        assert!(fit && of("warn", &text).iter().any(|l| l.contains("1003 are needed")), "{text}");
    })
    .await;
}

#[tokio::test]
async fn the_report_names_the_rights_that_a_role_lacks() {
    with_database(|db: TestDb| async move {
        let role = format!("check_{}", uuid::Uuid::new_v4().simple());
        admin(&format!("create role {role} login password 'stranger'")).await;
        let (_, place) = db.url.split_once('@').unwrap();
        let stranger = format!("postgres://{role}:stranger@{place}");
        let denied = ["rights", "the schema dashboard", "dashboard.changes", "dashboard.mocs"];
        assert_fails(&stranger, &[], &denied);
        db.run("drop schema dashboard cascade; drop schema collection cascade").await;
        assert_fails(&stranger, &[], &["schema", "grant CREATE on the database"]);
        admin(&format!("drop role {role}")).await;
    })
    .await;
}

#[tokio::test]
async fn each_right_that_is_missing_is_named() {
    with_database(|db: TestDb| async move {
        let role = format!("check_{}", uuid::Uuid::new_v4().simple());
        admin(&format!("create role {role} login password 'stranger'")).await;
        let (_, place) = db.url.split_once('@').unwrap();
        let url = format!("postgres://{role}:stranger@{place}");
        db.run(&format!(
            "grant usage on schema dashboard, collection to {role};
             grant select, insert, update, delete on all tables in schema dashboard to {role};
             grant usage, update on sequence dashboard.changes_id_seq to {role};
             grant select on all tables in schema collection to {role}"
        ))
        .await;
        assert!(check(&url, &[]).0);
        let tables = "select array_agg(relname::text order by relname) from pg_class
                      where relnamespace = 'dashboard'::regnamespace and relkind = 'r'";
        let tables: Vec<String> = db.one(tables).await;
        assert!(tables.len() > 10, "{tables:?}");
        let rights = ["select", "insert", "update", "delete"];
        for (table, right) in tables.iter().zip(rights.into_iter().cycle()) {
            db.run(&format!("revoke {right} on dashboard.{table} from {role}")).await;
            assert_fails(&url, &[], &["rights", &format!("may not use dashboard.{table}: ")]);
            db.run(&format!("grant {right} on dashboard.{table} to {role}")).await;
        }
        db.run(&format!("drop owned by {role}")).await;
        admin(&format!("drop role {role}")).await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_not_in_utf8_is_warned_of() {
    for (encoding, is_warned) in [("UTF8", false), ("LATIN1", true), ("SQL_ASCII", true)] {
        let name = format!("dash_test_{}", uuid::Uuid::new_v4().simple());
        let made = format!("create database {name} encoding '{encoding}' template template0");
        admin(&format!("{made} lc_collate 'C' lc_ctype 'C'")).await;
        let base = std::env::var("DATABASE_URL").unwrap();
        let options: sqlx::postgres::PgConnectOptions = base.parse().unwrap();
        let url = options.database(&name).to_url_lossy().to_string();
        let (fit, text) = check(&url, &[]);
        drop_database(&name).await;
        let said = format!("its encoding is {encoding}, and dashboards are in UTF-8");
        assert!(fit && text.contains(&said) == is_warned, "{text}");
    }
}

#[tokio::test]
async fn an_address_that_only_an_admin_side_of_ours_has_is_taken() {
    with_database(|db: TestDb| async move {
        let process = Process::start(&db.url, &[]);
        let taken = process.server.admin.strip_prefix("http://").unwrap().to_owned();
        assert_fails(&db.url, &[("DASHBOARD_ADMIN_BIND", &taken)], &["admin side", &taken]);
        assert!(process.stop().status.success());
    })
    .await;
}

#[tokio::test]
async fn beside_a_running_server_its_addresses_are_known_for_ours() {
    with_database(|db: TestDb| async move {
        let process = Process::start(&db.url, &[]);
        let at = |base: &str| base.strip_prefix("http://").unwrap().to_owned();
        let (bind, admin_bind) = (at(&process.server.base), at(&process.server.admin));
        let settings =
            [("DASHBOARD_BIND", bind.as_str()), ("DASHBOARD_ADMIN_BIND", admin_bind.as_str())];
        let (fit, text) = check(&db.url, &settings);
        assert!(process.stop().status.success());
        let warnings = of("warn", &text);
        let ours = warnings.iter().filter(|line| line.ends_with("a dashboard-server runs here"));
        assert!(fit && ours.count() == 2, "{text}");
    })
    .await;
}
