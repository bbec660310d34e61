//! Tests worlds in which a server is to start, sound and broken. In each, `dashboard-server check` says beforehand
//! what a start does then, and changes nothing.

use std::io::{BufRead, BufReader, Read};

use dashboard_server::database::Database;
use sqlx::PgPool;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::process::command;
use crate::support::{
    PATIENCE, SECRET, TestDb, TestServer, access, admin, config, create_database, drop_database,
    installed, with_application, with_database,
};

/// What becomes of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// It serves dashboards, and shows changes.
    Serves,
    /// It serves dashboards that do not change.
    Answers,
    /// It starts, and no dashboard is right for long: as bad as none.
    Idles,
    /// It ends.
    Ends,
}

use Start::{Answers, Ends, Idles, Serves};

/// A database to which something was done, and what a server makes of it.
#[derive(Clone, Copy)]
struct World {
    /// What a superuser has done. `DATABASE` and `ROLE` stand for the names.
    done: &'static str,
    /// Whether the standalone source was installed before that.
    is_installed: bool,
    /// Whether the server comes as `ROLE`, and not as the superuser.
    is_role: bool,
    start: Start,
    /// Words of one line: of a failure, or of a warning where it serves all the same.
    said: &'static [&'static str],
}

/// What `check` said in a world, and what a server did there then.
struct Seen {
    is_fit: bool,
    report: String,
    has_changed: bool,
    /// It came as far as the world promises.
    has_come: bool,
    log: String,
}

/// Settings, how a start with them ends, and what it reports.
type Case<'a> = (Vec<(&'a str, &'a str)>, Start, &'a [&'a str]);

/// What `source install` prints for the servers' role.
const GRANTS: &str = "
    grant usage on schema dashboard, collection to ROLE;
    grant select, insert, update, delete on all tables in schema dashboard to ROLE;
    grant usage, update on all sequences in schema dashboard to ROLE;
    grant select on all tables in schema collection to ROLE;";

/// All that has been made, and when.
const FINGERPRINT: &str = "
    select md5(string_agg(line, ' ' order by line)) from (
        select concat('n', oid, xmin, nspacl) as line from pg_namespace where nspname !~ '^pg_'
        union all select concat('c', oid, xmin) from pg_class where relnamespace >= 16384
        union all select concat('t', oid, xmin) from pg_trigger
        union all select concat('p', oid, xmin) from pg_proc where pronamespace >= 16384
        union all select concat('s', schemaname, sequencename, last_value) from pg_sequences
    ) as made";

/// An installation, where the server comes as the role that made it.
const fn owned(done: &'static str, start: Start, said: &'static [&'static str]) -> World {
    World { done, is_installed: true, is_role: false, start, said }
}

/// An installation that another role has made.
const fn granted(done: &'static str, start: Start, said: &'static [&'static str]) -> World {
    World { done, is_installed: true, is_role: true, start, said }
}

/// No installation, for a superuser.
const fn bare(done: &'static str, start: Start, said: &'static [&'static str]) -> World {
    World { done, is_installed: false, is_role: false, start, said }
}

/// No installation, for a role.
const fn poor(done: &'static str, start: Start, said: &'static [&'static str]) -> World {
    World { done, is_installed: false, is_role: true, start, said }
}

async fn visit(world: World) -> Seen {
    let (name, url) = create_database().await;
    let role = format!("world_{}", uuid::Uuid::new_v4().simple());
    admin(&format!("create role {role} login password 'stranger'")).await;
    let db = TestDb { pool: PgPool::connect_lazy(&url).unwrap(), url: url.clone() };
    if world.is_installed {
        Database::open(&config(&url)).await.unwrap().close().await;
        db.settle().await;
    }
    let done = world.done.replace("GRANTS", GRANTS).replace("DATABASE", &name);
    db.run(&done.replace("ROLE", &role)).await;
    let (_, place) = url.split_once('@').unwrap();
    let own = if world.is_role { format!("postgres://{role}:stranger@{place}") } else { url };
    let seen = look(&db, &[("DATABASE_URL", &own)], world.start).await;
    db.pool.close().await;
    drop_database(&name).await;
    admin(&format!("drop role {role}")).await;
    seen
}

/// Checks and starts with these settings, and with a secret unless they name a key.
async fn look(db: &TestDb, settings: &[(&str, &str)], expected: Start) -> Seen {
    let before: String = db.one(FINGERPRINT).await;
    let server = || {
        let mut server = command();
        server.env("DASHBOARD_JWT_HS256_SECRET", SECRET).env("DASHBOARD_DATABASE_WAIT_S", "0");
        server.envs(settings.iter().copied());
        server
    };
    let mut check = server();
    check.arg("check");
    let checked = spawn_blocking(move || check.output()).await.unwrap().unwrap();
    let has_changed = db.one::<String>(FINGERPRINT).await != before;
    let mut child = server().spawn().unwrap();
    let mut log = child.stderr.take().unwrap();
    let log = spawn_blocking(move || {
        let mut text = Vec::new();
        log.read_to_end(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    });
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let line = spawn_blocking(move || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line
    });
    let line = line.await.unwrap();
    let addresses = line.trim().strip_prefix("dashboard-server listening on ");
    let addresses = addresses.and_then(|addresses| addresses.split_once(", admin "));
    let has_come = match (addresses, expected) {
        (None, _) => expected == Ends,
        (Some((base, admin)), Serves | Answers) => {
            let server = TestServer::at(base.to_owned(), admin.to_owned());
            timeout(PATIENCE, shows(db, &server, expected == Serves)).await.is_ok()
        }
        (Some(_), Idles | Ends) => expected == Idles,
    };
    child.kill().ok();
    spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    Seen {
        is_fit: checked.status.success(),
        report: String::from_utf8(checked.stdout).unwrap(),
        has_changed,
        has_come,
        log: log.await.unwrap(),
    }
}

/// Waits for a dashboard, and for one with a change if `is_changing`.
async fn shows(db: &TestDb, server: &TestServer, is_changing: bool) {
    if is_changing {
        db.run("insert into collection.mocs (user_id, title, theme) values ('ada', 'New', 'T')")
            .await;
    }
    let bearer = format!("Bearer {}", access("ada"));
    loop {
        let answer = server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        let is_there = answer.status() == 200;
        if is_there && (!is_changing || answer.text().await.unwrap().contains("\"New\"")) {
            return;
        }
    }
}

/// Visits each world.
async fn agree(worlds: &[World]) {
    for world in worlds {
        let seen = visit(*world).await;
        seen.agrees(world.done, world.start, world.said);
    }
}

impl Seen {
    /// That `check` was content is as good as that the server started and can be used.
    fn agrees(&self, world: &str, start: Start, said: &[&str]) {
        let told = format!("{world}\n{}\n{}", self.report, self.log);
        assert!(self.has_come, "not {start:?}: {told}");
        assert_eq!(self.is_fit, matches!(start, Serves | Answers), "check: {told}");
        assert!(!self.has_changed, "check has changed something: {told}");
        let verdict = if self.is_fit { "warn" } else { "FAIL" };
        let is_said =
            |line: &str| line.starts_with(verdict) && said.iter().all(|words| line.contains(words));
        assert!(said.is_empty() || self.report.lines().any(is_said), "not said: {told}");
        assert!(!self.report.contains("stranger"), "a secret");
    }
}

#[tokio::test]
async fn an_installation_that_is_not_whole_is_reported_before_a_start() {
    const NOT_WHOLE: &[&str] = &["schema", "no longer whole", "dashboard-server source uninstall"];
    const BACK: &[&str] = &["source", "collection.mocs", "a start puts it back"];
    agree(&[
        owned("", Serves, &[]),
        owned("truncate dashboard.changes", Serves, &[]),
        owned("truncate dashboard.meta", Ends, NOT_WHOLE),
        owned("truncate dashboard.turn", Ends, NOT_WHOLE),
        owned("truncate dashboard.watches", Ends, NOT_WHOLE),
        owned("truncate dashboard.feeds", Ends, NOT_WHOLE),
        owned("drop table dashboard.failed", Ends, NOT_WHOLE),
        owned("drop view dashboard.current_epoch", Ends, NOT_WHOLE),
        owned("alter table dashboard.changes drop column nonce", Ends, NOT_WHOLE),
        owned("alter table dashboard.mocs drop column title", Ends, NOT_WHOLE),
        owned("alter table dashboard.outbox rename column keys to them", Ends, NOT_WHOLE),
        owned("update dashboard.meta set schema = 'other'", Ends, NOT_WHOLE),
        owned("update dashboard.meta set name = 'other'", Ends, &["the source \"other\""]),
        owned("update dashboard.meta set source = 'other'", Serves, &[]),
        owned("alter table collection.mocs disable trigger user", Serves, BACK),
        owned("alter table collection.mocs enable trigger user", Serves, BACK),
        owned("drop function dashboard.note_3_update cascade", Serves, BACK),
        owned("drop table collection.sets", Idles, &["source", "no table collection.sets"]),
    ])
    .await;
}

#[tokio::test]
async fn missing_rights_of_a_role_are_reported_before_a_start() {
    const RIGHTS: &[&str] = &["rights", "dashboard.changes_id_seq", "source install prints"];
    const OWNED: &[&str] = &["source", "collection.mocs belongs to", "cannot put triggers on it"];
    const MAKE: &[&str] = &["schema", "this role may not make it", "grant CREATE on the database"];
    const SCHEMA: &[&str] = &["schema", "the schema dashboard belongs to"];
    agree(&[
        granted("GRANTS", Serves, &[]),
        granted("", Ends, &["rights", "the schema dashboard", "dashboard.turn"]),
        granted(
            "GRANTS revoke usage on schema collection from ROLE",
            Ends,
            &["rights", "the schema collection", "grant usage on schema collection to \"world_"],
        ),
        granted(
            "GRANTS revoke select on collection.mocs from ROLE",
            Idles,
            &["source", "grant select on collection.mocs"],
        ),
        granted("GRANTS revoke all on dashboard.changes_id_seq from ROLE", Idles, RIGHTS),
        granted(
            "GRANTS revoke all on dashboard.changes_id_seq from ROLE;
             update dashboard.meta set started = '2000-01-01'",
            Ends,
            RIGHTS,
        ),
        granted(
            "GRANTS alter table collection.mocs enable row level security",
            Idles,
            &["source", "row-level security policy for table \"mocs\""],
        ),
        granted("GRANTS alter table collection.mocs disable trigger user", Ends, SCHEMA),
        granted("GRANTS update dashboard.meta set source = 'other'", Ends, SCHEMA),
        granted("drop schema dashboard cascade", Ends, &["rights", "the schema collection"]),
        granted(
            "GRANTS drop schema dashboard cascade; grant create on database DATABASE to ROLE",
            Ends,
            OWNED,
        ),
        granted(
            "GRANTS drop schema dashboard cascade; create schema dashboard authorization ROLE",
            Ends,
            OWNED,
        ),
        poor("", Ends, MAKE),
        poor("grant create on database DATABASE to ROLE", Serves, &[]),
        poor("create schema dashboard authorization ROLE", Ends, MAKE),
        poor(
            "grant create on database DATABASE to ROLE; create schema dashboard;
             grant usage on schema dashboard to ROLE",
            Ends,
            SCHEMA,
        ),
        poor(
            "grant create on database DATABASE to ROLE; create schema collection",
            Ends,
            &["rights", "the schema collection"],
        ),
        poor(
            "grant create on database DATABASE to ROLE; create schema collection;
             grant usage on schema collection to ROLE",
            Ends,
            &["schema", "may not make tables in it", "create on schema collection to world_"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn an_unfit_database_is_reported_before_a_start() {
    agree(&[
        bare("", Serves, &[]),
        bare("create table public.parts (n int)", Ends, &["schema", "DASHBOARD_SOURCE"]),
        bare(
            "create schema dashboard; create table dashboard.parts (n int)",
            Ends,
            &["schema", "this server has not made"],
        ),
        bare(
            "create schema collection; create type collection.build_status as enum ('NEW')",
            Ends,
            &["schema", "has build_status, which a start would make"],
        ),
        bare(
            "create schema collection; create table collection.mocs (id uuid primary key)",
            Ends,
            &["source", "no table collection.sets"],
        ),
        owned(
            "alter database DATABASE set default_transaction_read_only = on",
            Answers,
            &["database", "read-only", "nothing can be projected"],
        ),
        owned(
            "alter table collection.mocs disable trigger user;
             alter database DATABASE set default_transaction_read_only = on",
            Ends,
            &["schema", "may only be read"],
        ),
        // Of the pool four, one that follows the changes, and one that projects.
        granted("GRANTS alter role ROLE connection limit 1", Ends, &["connections", "needs 6"]),
        granted("GRANTS alter role ROLE connection limit 4", Ends, &["connections", "needs 6"]),
        granted("GRANTS alter role ROLE connection limit 5", Idles, &["connections", "needs 6"]),
        granted("GRANTS alter role ROLE connection limit 6", Serves, &["connections", "13 are"]),
    ])
    .await;
}

#[tokio::test]
async fn beside_an_application_check_and_start_agree_too() {
    with_application(|db, _| async move {
        let place = [("DATABASE_URL", db.url.as_str()), ("DASHBOARD_SOURCE", "moc-instructions")];
        let unchosen = look(&db, &place[..1], Ends).await;
        unchosen.agrees("not chosen", Ends, &["schema", "DASHBOARD_SOURCE"]);
        let absent = look(&db, &place, Ends).await;
        absent.agrees("not installed", Ends, &["schema", "dashboard-server source install"]);
        installed(&db).await;
        look(&db, &place, Answers).await.agrees("installed", Answers, &[]);
        // It starts, and says in its log that changes are missed.
        db.run("alter table public.sets disable trigger user").await;
        let said = ["source", "of public.sets is disabled", "dashboard-server source install"];
        look(&db, &place, Idles).await.agrees("disarmed", Idles, &said);
        db.run("update dashboard.meta set source = 'other'").await;
        let outdated = look(&db, &place, Ends).await;
        outdated.agrees("outdated", Ends, &["schema", "dashboard-server source install"]);
    })
    .await;
}

#[tokio::test]
async fn unfit_settings_are_reported_before_a_start() {
    with_database(|db| async move {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = listener.local_addr().unwrap().to_string();
        let folder = std::env::temp_dir().join(format!("worlds-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let no_keys = folder.join("keys.json");
        std::fs::write(&no_keys, r#"{"keys":[]}"#).unwrap();
        let key = |name: &str| format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        let (certificate, own, other) = (key("tls-cert.pem"), key("tls-key.pem"), key("ec.pem"));
        let tls = ["DASHBOARD_TLS_CERT", "DASHBOARD_TLS_KEY"];
        let published = [
            ("DASHBOARD_JWT_HS256_SECRET", ""),
            ("DASHBOARD_JWT_ISSUER", "https://idp.example.org"),
            ("DASHBOARD_JWT_CLIENT_IDS", "app"),
        ];
        let keys = |name, value| [&published[..], &[(name, value)]].concat();
        let quoted = format!("\"{SECRET}\"");
        let data = folder.join("data").to_str().unwrap().to_owned();
        let proxy = ("DASHBOARD_BEHIND_PROXY", "true");
        let nowhere = ("DASHBOARD_PG_BIN", "/nowhere");
        let cases: [Case<'_>; 15] = [
            (vec![("DATABASE_URL", ""), nowhere], Ends, &["database", "no PostgreSQL to start"]),
            (vec![("DASHBOARD_BIND", &taken)], Ends, &["public side", "another address"]),
            (vec![("DASHBOARD_ADMIN_BIND", &taken)], Ends, &["admin side", "another address"]),
            (vec![("DASHBOARD_BIND", "192.0.2.1:0"), proxy], Ends, &["public side", "192.0.2.1"]),
            (vec![("DASHBOARD_WEB_ROOT", "/nowhere")], Ends, &["web root", "build the app first"]),
            (vec![(tls[0], &certificate)], Ends, &["settings", "set both or neither"]),
            (vec![(tls[0], &certificate), (tls[1], "/nowhere")], Ends, &["TLS", "cannot be read"]),
            (vec![(tls[0], &certificate), (tls[1], &other)], Ends, &["TLS", "ec.pem"]),
            (vec![(tls[0], &own), (tls[1], &own)], Ends, &["TLS", "tls-key.pem"]),
            (keys("DASHBOARD_JWT_JWKS_FILE", "/nowhere"), Ends, &["keys", "cannot be read"]),
            (keys("DASHBOARD_JWT_JWKS_FILE", no_keys.to_str().unwrap()), Ends, &["keys", "RS256"]),
            // A server asks again until it has some, and refuses all sessions until then.
            (keys("DASHBOARD_JWT_JWKS_URL", "http://127.0.0.1:1/k"), Idles, &["keys", "answer"]),
            (vec![("DASHBOARD_SOURCE", "/nowhere")], Ends, &["source", "/nowhere"]),
            (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "x:4317")], Ends, &["traces", "4318"]),
            (vec![("DASHBOARD_JWT_HS256_SECRET", &quoted)], Ends, &["settings", "quotation marks"]),
        ];
        for (settings, start, said) in cases {
            let place = [("DATABASE_URL", db.url.as_str()), ("DASHBOARD_DATA_DIR", &data)];
            let all = [&place, &settings[..]].concat();
            look(&db, &all, start).await.agrees(&format!("{settings:?}"), start, said);
        }
        drop(listener);
        std::fs::remove_dir_all(&folder).unwrap();
    })
    .await;
}
