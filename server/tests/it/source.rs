//! Tests `dashboard-server source …` and `DASHBOARD_SOURCE`: an application's own tables, from its empty database
//! to a dashboard that changes, and back.

use std::process::Output;

use dashboard_server::source::Source;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};

use crate::process::{Process, command};
use crate::support::{admin, drop_database, pause, with_application};

const MOC: &str = "insert into public.moc_instructions (user_id, title, type, theme)
                   values ('ada', 'Castle', 'moc', 'City')";
/// All that is in a database, by name.
const CONTENT: &str = "
    select coalesce(string_agg(thing, E'\\n' order by thing), '') from (
        select 'schema ' || nspname as thing from pg_namespace where nspname !~ '^pg_'
        union all select 'trigger ' || tgname from pg_trigger where not tgisinternal
        union all select 'table ' || oid::regclass::text from pg_class
                  where relkind in ('r', 'p', 'v', 'S')
                    and relnamespace not in ('pg_catalog'::regnamespace,
                                             'information_schema'::regnamespace)
        union all select 'function ' || oid::regprocedure::text from pg_proc
                  where pronamespace not in ('pg_catalog'::regnamespace,
                                             'information_schema'::regnamespace)
    ) as things";

/// Runs a command. Returns whether it succeeded, and all that it said.
fn source(url: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = command();
    command.arg("source").args(arguments).env("DATABASE_URL", url);
    said(command.env("DASHBOARD_SOURCE", "moc-instructions").output().unwrap())
}

fn said(output: Output) -> (bool, String) {
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.success(), text)
}

/// What a server says that refuses to start.
fn refusal(url: &str, source: Option<&str>) -> String {
    let mut command = command();
    command.env("DATABASE_URL", url).env("DASHBOARD_JWT_HS256_SECRET", crate::support::SECRET);
    let output = command.envs(source.map(|source| ("DASHBOARD_SOURCE", source))).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_sources_that_come_with_the_server_can_be_listed_and_read() {
    let (is_fine, text) = source("", &["list"]);
    assert!(is_fine && text.starts_with("moc-instructions  The collection of"), "{text}");
    assert!(text.contains("\nstandalone        The collection in schema"), "{text}");
    let (is_fine, text) = source("", &["show", "moc-instructions"]);
    assert!(is_fine && text.contains("==> source.toml <==") && text.contains("==> mocs.sql <=="));
    let (is_fine, text) = source("", &["show", "no-such-source"]);
    assert!(!is_fine && text.contains("(moc-instructions, standalone)"), "{text}");
    // One of one's own begins with another's files, under its own name.
    let folder = std::env::temp_dir().join(format!("source-{}", uuid::Uuid::new_v4()));
    let into = folder.to_str().unwrap();
    assert!(source("", &["show", "moc-instructions", "--into", into]).0);
    let mine = Source::open(&folder).unwrap();
    assert_eq!(mine.name, folder.file_name().unwrap().to_str().unwrap());
    assert_eq!(mine.feeds, Source::built_in("moc-instructions").unwrap().feeds);
    let manifest = std::fs::read_to_string(folder.join("source.toml")).unwrap();
    let taken = manifest.replace(&mine.name, "standalone");
    std::fs::write(folder.join("source.toml"), taken).unwrap();
    let error = Source::open(&folder).unwrap_err().to_string();
    assert!(error.contains("comes with the server"), "{error}");
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn another_applications_database_is_left_alone_until_a_source_is_chosen() {
    with_application(|db, _| async move {
        let before: String = db.one(CONTENT).await;
        let text = refusal(&db.url, None);
        assert!(text.contains("tables of another application"), "{text}");
        assert!(text.contains("set it to \"moc-instructions\""), "{text}");
        let text = refusal(&db.url, Some("moc-instructions"));
        assert!(text.contains("dashboard-server source install --dry-run"), "{text}");
        let text = refusal(&db.url, Some("./no-such-folder"));
        assert!(text.contains("neither a folder nor one of the sources"), "{text}");
        for arguments in [["source", "check"], ["source", "install"]] {
            let mut command = command();
            let (is_fine, text) =
                said(command.args(arguments).env("DATABASE_URL", &db.url).output().unwrap());
            assert!(!is_fine && text.contains("set it to \"moc-instructions\""), "{text}");
        }
        let (is_fine, sql) = source(&db.url, &["install", "--dry-run"]);
        assert!(is_fine && sql.contains("create schema if not exists dashboard;"), "{sql}");
        assert_eq!(db.one::<String>(CONTENT).await, before);
        // What was printed is what would be done: it can be run by hand.
        db.run(&sql).await;
        let (is_fine, text) = source(&db.url, &["check"]);
        assert!(is_fine && text.starts_with("moc-instructions: is installed\nok "), "{text}");
        let process = Process::start(&db.url, &[("DASHBOARD_SOURCE", "moc-instructions")]);
        let mut ada = process.server.connect("ada").await;
        db.run(MOC).await;
        ada.events(&["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"]).await;
        assert!(process.stop().status.success());
    })
    .await;
}

#[tokio::test]
async fn an_application_gets_dashboards_and_is_left_as_it_was() {
    with_application(|db, _| async move {
        let before: String = db.one(CONTENT).await;
        db.run(MOC).await;
        let (is_fine, text) = source(&db.url, &["check"]);
        assert!(is_fine && text.starts_with("moc-instructions: is not installed\nok "), "{text}");
        let (is_fine, text) = source(&db.url, &["install"]);
        assert!(is_fine && text.contains("public.moc_parts: changes are noted"), "{text}");
        let (is_fine, text) = source(&db.url, &["check"]);
        assert!(is_fine && text.starts_with("moc-instructions: is installed\nok "), "{text}");
        let settings = [("DASHBOARD_SOURCE", "moc-instructions")];
        let process = Process::start(&db.url, &settings);
        let mut ada = process.server.connect("ada").await;
        let (view, revision) = process.server.snapshot("ada").await;
        assert_eq!(view["recentMocs"][0]["title"], "Castle");
        db.run("update public.moc_instructions set title = 'Keep'").await;
        let event = ada.event_at(revision + 1).await;
        assert_eq!(event["payload"][0]["title"], "Keep", "{event}");
        // What no trigger heard of is found.
        db.run(
            "begin; set local session_replication_role = replica;
             alter table public.moc_instructions disable trigger user;
             update public.moc_instructions set title = 'Tower';
             alter table public.moc_instructions enable trigger user; commit",
        )
        .await;
        let (is_fine, text) = source(&db.url, &["reconcile"]);
        assert!(is_fine && text.ends_with("All rows have been looked at.\n"), "{text}");
        while ada.event().await["payload"][0]["title"] != "Tower" {}
        // A server for another source would read past it.
        let text = refusal(&db.url, Some("standalone"));
        assert!(text.contains("has the source \"moc-instructions\" installed"), "{text}");
        assert!(refusal(&db.url, None).contains("has the source \"moc-instructions\" installed"));
        assert!(process.stop().status.success());
        let (is_fine, sql) = source(&db.url, &["uninstall", "--dry-run"]);
        assert!(is_fine && sql.ends_with("drop schema if exists dashboard cascade;\n"), "{sql}");
        let (is_fine, text) = source(&db.url, &["uninstall"]);
        assert!(is_fine && text.contains("public.moc_instructions: is as it was"), "{text}");
        assert_eq!(db.one::<String>(CONTENT).await, before);
    })
    .await;
}

/// The tables are another's, so the server does not put its triggers back. It says so, and finds what it did not hear of.
#[tokio::test]
async fn triggers_that_are_gone_are_reported_and_what_was_missed_is_found() {
    with_application(|db, _| async move {
        assert!(source(&db.url, &["install"]).0);
        let process = Process::start(&db.url, &[("DASHBOARD_SOURCE", "moc-instructions")]);
        let mut ada = process.server.connect("ada").await;
        // A table that is another one has none of our triggers.
        db.run(
            "create table public.new (like public.wishlist_items including all);
             drop table public.wishlist_items; alter table public.new rename to wishlist_items;
             insert into public.wishlist_items (user_id) values ('ada')",
        )
        .await;
        let (mut is_told, mut is_shown) = (false, false);
        while !(is_told && is_shown) {
            let event = ada.event().await;
            is_told |= event["payload"]["code"] == "SNAPSHOT_UNAVAILABLE";
            is_shown |= event["payload"]["totalWishlistItems"] == 1;
        }
        assert_eq!(process.server.readiness().await.0, 503);
        let (is_fine, text) = source(&db.url, &["check"]);
        assert!(!is_fine && text.contains("public.wishlist_items lacks the trigger"), "{text}");
        assert!(source(&db.url, &["install"]).0);
        while process.server.readiness().await.0 != 200 {
            pause().await;
        }
        db.run("insert into public.wishlist_items (user_id) values ('ada')").await;
        while ada.event().await["payload"]["totalWishlistItems"] != 2 {}
        let log = process.stop().log;
        assert!(log.contains("triggers are missing or switched off"), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_schema_of_that_name_that_is_another_programs_is_left_alone() {
    with_application(|db, _| async move {
        db.run("create schema dashboard; create type dashboard.colour as enum ('red')").await;
        assert!(!source(&db.url, &["uninstall"]).0);
        db.run("create table dashboard.meta (schema text, chart dashboard.colour)").await;
        let before: String = db.one(CONTENT).await;
        let commands: [&[&str]; 5] = [
            &["check"],
            &["install"],
            &["install", "--dry-run"],
            &["uninstall"],
            &["uninstall", "--dry-run"],
        ];
        for arguments in commands {
            let (is_fine, text) = source(&db.url, arguments);
            assert!(!is_fine && text.contains("this server has not made"), "{text}");
        }
        let text = refusal(&db.url, Some("moc-instructions"));
        assert!(text.contains("this server has not made"), "{text}");
        assert_eq!(db.one::<String>(CONTENT).await, before);
    })
    .await;
}

/// A collation and the column that uses it, and what others have made of what is ours.
#[tokio::test]
async fn an_uninstallation_takes_nothing_of_others() {
    with_application(|db, _| async move {
        db.run(
            "create schema dashboard; create collation dashboard.german from \"C\";
             create table public.people (name text collate dashboard.german)",
        )
        .await;
        for arguments in [["check"], ["install"], ["uninstall"]] {
            let (is_fine, text) = source(&db.url, &arguments);
            assert!(!is_fine && text.contains("this server has not made"), "{text}");
        }
        db.run("drop table public.people; drop schema dashboard cascade").await;
        assert!(source(&db.url, &["install"]).0);
        let before: String = db.one(CONTENT).await;
        let others = [
            ("create table dashboard.settings (id int)", "drop table dashboard.settings"),
            ("create table public.report (s dashboard.build_status)", "drop table public.report"),
            ("create view public.cards as select key from dashboard.mocs", "drop view public.cards"),
            (
                "create trigger dashboard_other after insert on public.sets
                 for each statement execute function dashboard.touch()",
                "drop trigger dashboard_other on public.sets; drop function dashboard.touch()",
            ),
        ];
        db.run(
            "create function dashboard.touch() returns trigger language plpgsql as 'begin return null; end'",
        )
        .await;
        for (make, undo) in others {
            db.run(make).await;
            for arguments in [&["uninstall", "--dry-run"][..], &["uninstall"]] {
                let (is_fine, text) = source(&db.url, arguments);
                assert!(!is_fine && text.contains("which this server has not made"), "{text}");
            }
            db.run(undo).await;
        }
        assert_eq!(db.one::<String>(CONTENT).await, before);
        let (is_fine, text) = source(&db.url, &["uninstall"]);
        assert!(is_fine, "{text}");
    })
    .await;
}

#[tokio::test]
async fn what_is_left_of_an_installation_can_be_removed() {
    with_application(|db, _| async move {
        let before: String = db.one(CONTENT).await;
        assert!(source(&db.url, &["install"]).0);
        db.run("drop table dashboard.meta, dashboard.outbox cascade").await;
        let (is_fine, text) = source(&db.url, &["check"]);
        assert!(!is_fine && text.contains("dashboard-server source uninstall"), "{text}");
        let (is_fine, text) = source(&db.url, &["uninstall"]);
        assert!(is_fine, "{text}");
        assert_eq!(db.one::<String>(CONTENT).await, before);
    })
    .await;
}

/// The owner of the tables may not make a schema, unless it was given that right, or the schema.
#[tokio::test]
async fn who_installs_needs_the_right_to_make_the_schema_or_the_schema() {
    with_application(|db, name| async move {
        let role = format!("owns_{}", uuid::Uuid::new_v4().simple());
        admin(&format!("create role {role} login password 'owns'")).await;
        db.run(&format!(
            "do $$ declare mine regclass; begin
                 for mine in select oid from pg_class
                             where relnamespace = 'public'::regnamespace and relkind = 'r' loop
                     execute format('alter table %s owner to {role}', mine);
                 end loop;
             end $$"
        ))
        .await;
        let options: PgConnectOptions = db.url.parse().unwrap();
        let url = options.username(&role).password("owns").to_url_lossy().to_string();
        let advice = format!("create schema dashboard authorization {role}");
        for arguments in [["check"], ["install"]] {
            let (is_fine, text) = source(&url, &arguments);
            assert!(!is_fine && text.contains("lacks the right to make the schema"), "{text}");
            assert!(text.contains(&advice), "{text}");
        }
        db.run("create schema dashboard").await;
        let (is_fine, text) = source(&url, &["check"]);
        assert!(!is_fine && text.contains("the schema dashboard belongs to"), "{text}");
        db.run(&format!("drop schema dashboard; {advice}")).await;
        for arguments in [["check"], ["install"], ["check"]] {
            let (is_fine, text) = source(&url, &arguments);
            assert!(is_fine, "{text}");
        }
        db.run(&format!("drop owned by {role}")).await;
        drop_database(&name).await;
        admin(&format!("drop role {role}")).await;
    })
    .await;
}

/// One role installs. Another runs the server, with the rights that were printed and no other.
#[tokio::test]
async fn a_server_runs_as_a_role_that_cannot_write_the_applications_tables() {
    with_application(|db, name| async move {
        let (is_fine, text) = source(&db.url, &["install"]);
        assert!(is_fine, "{text}");
        let role = format!("runs_{}", uuid::Uuid::new_v4().simple());
        admin(&format!("create role {role} login password 'runs'")).await;
        let (_, grants) = text.split_once("no other:").unwrap();
        let (grants, _) = grants.split_once("and select").unwrap();
        db.run(&grants.replace("dashboard_server", &role)).await;
        // The check reports what else the queries read.
        let options: PgConnectOptions = db.url.parse().unwrap();
        let url = options.username(&role).password("runs").to_url_lossy().to_string();
        let (is_fine, text) = source(&url, &["check"]);
        assert!(is_fine, "{text}");
        let mut session = PgConnection::connect(&url).await.unwrap();
        for write in [MOC, "delete from public.moc_instructions", "create table dashboard.x ()"] {
            let write = AssertSqlSafe(write);
            let error = sqlx::raw_sql(write).execute(&mut session).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{error}");
        }
        let process = Process::start(&url, &[("DASHBOARD_SOURCE", "moc-instructions")]);
        let mut ada = process.server.connect("ada").await;
        db.run(MOC).await;
        let types = ["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"];
        ada.events(&types).await;
        // After a start of the database, too, which it accounts for.
        db.run("update dashboard.meta set started = started - interval '1 hour'").await;
        db.run(&format!(
            "select pg_terminate_backend(pid) from pg_stat_activity where usename = '{role}'"
        ))
        .await;
        db.run(MOC.replace("Castle", "Keep").as_str()).await;
        while ada.event().await["payload"]["totalMocs"] != 2 {}
        assert!(process.stop().status.success());
        session.close().await.ok();
        db.run(&format!("drop owned by {role}")).await;
        drop_database(&name).await;
        admin(&format!("drop role {role}")).await;
    })
    .await;
}

/// A subscriber of theirs would stop at the first note.
#[tokio::test]
async fn publications_for_all_tables_are_warned_of_before_and_by_an_installation() {
    with_application(|db, _| async move {
        db.run(
            "create publication few for table public.sets; create publication whole for all tables",
        )
        .await;
        for command in ["check", "install", "check"] {
            let (is_fine, text) = source(&db.url, &[command]);
            assert!(is_fine && text.contains("warn  the publication whole is for all"), "{text}");
            assert!(!text.contains("publication few"), "{text}");
        }
    })
    .await;
}

/// A table in partitions has no trigger for replicated rows itself. Its partitions have.
#[tokio::test]
async fn a_partitioned_table_is_listened_to_whole() {
    with_application(|db, _| async move {
        db.run(
            "drop table public.wishlist_items;
             create table public.wishlist_items (
                 id uuid not null default gen_random_uuid(), user_id text not null,
                 primary key (id, user_id)
             ) partition by hash (user_id);
             create table public.wishes_1 partition of public.wishlist_items
                 for values with (modulus 2, remainder 0);
             create table public.wishes_2 partition of public.wishlist_items
                 for values with (modulus 2, remainder 1)",
        )
        .await;
        let (is_fine, text) = source(&db.url, &["install"]);
        assert!(is_fine && text.contains("public.wishes_2: changes are noted by id"), "{text}");
        let (is_fine, text) = source(&db.url, &["check"]);
        assert!(is_fine && text.starts_with("moc-instructions: is installed\n"), "{text}");
        assert!(!text.contains("FAIL"), "{text}");
    })
    .await;
}

/// With triggers on it, each statement that reaches a partition in another database would fail.
#[tokio::test]
async fn a_table_with_a_part_in_another_database_is_refused() {
    with_application(|db, _| async move {
        db.run(
            "drop table public.wishlist_items;
             create foreign data wrapper nowhere;
             create server nowhere foreign data wrapper nowhere;
             create table public.wishlist_items (id uuid, user_id text) partition by list (user_id);
             create foreign table public.far_away partition of public.wishlist_items
                 for values in ('ada') server nowhere",
        )
        .await;
        let before: String = db.one(CONTENT).await;
        let (is_fine, text) = source(&db.url, &["install"]);
        assert!(!is_fine && text.contains("FAIL  public.far_away is a foreign table"), "{text}");
        assert_eq!(db.one::<String>(CONTENT).await, before);
    })
    .await;
}

#[tokio::test]
async fn obstacles_to_an_installation_are_reported_and_nothing_is_changed() {
    with_application(|db, _| async move {
        db.run("alter table public.sets rename column theme to topic").await;
        let before: String = db.one(CONTENT).await;
        let (is_fine, text) = source(&db.url, &["install"]);
        assert!(!is_fine && text.contains("FAIL  sets.sql: column \"theme\""), "{text}");
        assert!(text.ends_with("dashboard-server: nothing was changed\n"), "{text}");
        assert_eq!(db.one::<String>(CONTENT).await, before);
        let (is_fine, text) = source("postgres://u:hunter2@127.0.0.1:1/none", &["check"]);
        assert!(!is_fine && text.contains("does not answer"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    })
    .await;
}
