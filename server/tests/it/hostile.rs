//! Tests that a role that may only write rows runs no code with this server's rights, and keeps no other
//! writer waiting (promise 4).

use std::str::FromStr;

use dashboard_server::Environment;
use dashboard_server::database::Database;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};

use crate::support::{
    TestDb, access, config, create_database, drop_database, pause, start, with_database,
    with_server,
};

const WISH: &str = "insert into collection.wishlist_items (user_id, title) values ('ada', 'x')";

/// What fires every trigger there is, in one session. No operator is used by its bare name.
const WRITES: [&str; 14] = [
    "insert into collection.mocs (user_id, title, theme) values ('ada', 'a', 'x')",
    "insert into collection.mocs (user_id, title, theme) values ('ada', 'b', 'x'), ('bob', 'c', 'x')",
    "insert into collection.moc_parts select id, 'p', 1, 10 from collection.mocs",
    "insert into collection.inventory values ('ada', 'p', 1, 5, 0), ('bob', 'p', 1, 10, 0)",
    "update collection.mocs set title = 'd', build_status = 'BUILT', theme = 'z'",
    "update collection.moc_parts set quantity = 8",
    "update collection.inventory set owned_quantity = 6",
    "update collection.mocs set user_id = 'eve' where title operator(pg_catalog.=) 'd'",
    "insert into collection.sets (user_id, title, theme) values ('ada', 'a', 'x'), ('bob', 'b', 'x')",
    "update collection.sets set theme = 'y'",
    "insert into collection.wishlist_items (user_id, title) values ('ada', 'a'), ('bob', 'b')",
    "update collection.wishlist_items set user_id = 'eve'",
    "delete from collection.inventory",
    "delete from collection.mocs",
];

/// Each operator of the language on each pair of the types that are used here. Exact where the
/// system's own is not, and in the way where that is: one that is called fails.
const TRAPS: &str = "
    do $$
    declare
        types constant text[] :=
            '{int2,int4,int8,bool,text,uuid,timestamptz,interval,xid8}';
        trap record;
    begin
        for trap in
            select symbol, l, r, row_number() over () as number
            from unnest('{=,<>,<,<=,>,>=,&,|,||,+,-,*}'::text[]) as symbol,
                 unnest(types) as l, unnest(types) as r
        loop
            execute format(
                'create function public.trap_%s(%s, %s) returns %s language plpgsql as '
                || '$trap$ begin raise ''trapped by an operator''; end $trap$',
                trap.number, trap.l, trap.r,
                case when trap.symbol in ('&', '|', '||', '+', '-', '*') then trap.l else 'bool' end);
            execute format(
                'create operator public.%s (function = public.trap_%s, leftarg = %s, rightarg = %s)',
                trap.symbol, trap.number, trap.l, trap.r);
        end loop;
    end $$";

/// A role that may write rows, and nothing else of ours.
struct Writer {
    role: String,
    session: PgConnection,
}

impl Writer {
    async fn login(db: &TestDb) -> Self {
        let role = format!("hostile_{}", uuid::Uuid::new_v4().simple());
        db.run(&format!(
            "create role {role};
             grant usage on schema collection to {role};
             grant select, insert, update, delete on collection.mocs, collection.moc_parts,
                 collection.inventory, collection.sets, collection.wishlist_items to {role}"
        ))
        .await;
        let mut session = db.connection().await;
        run(&mut session, &format!("set role {role}")).await.unwrap();
        Self { role, session }
    }

    async fn run(&mut self, statement: &str) -> Result<(), sqlx::Error> {
        run(&mut self.session, statement).await
    }

    /// Makes a function that gives its role all rights, if it is ever called by one that may.
    async fn prepare_to_grab(&mut self, schema: &str, arguments: &str, result: &str, value: &str) {
        let role = &self.role;
        let grab = format!(
            "create function {schema}.grab({arguments}) returns {result} language plpgsql as $$
             begin
                 begin
                     execute 'alter role {role} superuser';
                 exception when others then null;
                 end;
                 return {value};
             end $$"
        );
        run(&mut self.session, &grab).await.unwrap();
    }

    /// Fails if the role has become one that may do anything.
    async fn assert_harmless(self, db: &TestDb) {
        let role = &self.role;
        let superuser = format!("select rolsuper from pg_roles where rolname = '{role}'");
        let superuser = db.one::<bool>(&superuser).await;
        drop(self.session);
        db.run(&format!("drop owned by {role} cascade; drop role {role}")).await;
        assert!(!superuser, "a writer has become superuser");
    }
}

async fn run(session: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    session.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.map(drop)
}

#[tokio::test]
async fn functions_look_names_up_in_the_system_first_and_nothing_of_ours_is_anothers() {
    const LOOSE: &str = "
        select coalesce(string_agg(oid::regprocedure::text, ', '), '')
        from pg_proc
        where pronamespace = 'dashboard'::regnamespace
          and (proconfig is distinct from '{\"search_path=pg_catalog, pg_temp\"}'
               or exists (
                   select from aclexplode(coalesce(proacl, acldefault('f', proowner))) as acl
                   where acl.grantee <> proowner
               ))";
    const OPEN: &str = "
        select coalesce(string_agg(oid::regclass::text, ', '), '')
        from pg_class, aclexplode(relacl) as acl
        where relnamespace = 'dashboard'::regnamespace and acl.grantee <> relowner";
    let (name, url) = create_database().await;
    let options = PgConnectOptions::from_str(&url).unwrap();
    let mut session = options.connect().await.unwrap();
    // To whom this role's own defaults open what is new.
    for what in ["functions", "tables", "sequences"] {
        let open = format!("alter default privileges grant all on {what} to pg_monitor");
        run(&mut session, &open).await.unwrap();
    }
    let database = Database::open(&config(&url)).await.unwrap();
    let loose: String = sqlx::query_scalar(LOOSE).fetch_one(&mut session).await.unwrap();
    let open: String = sqlx::query_scalar(OPEN).fetch_one(&mut session).await.unwrap();
    database.close().await;
    drop(session);
    drop_database(&name).await;
    assert_eq!((loose.as_str(), open.as_str()), ("", ""));
}

/// Another role's trigger would give our function a row of that role's type, and the type's cast runs the role's code.
#[tokio::test]
async fn another_role_cannot_make_a_trigger_of_our_functions() {
    with_database(|db: TestDb| async move {
        let mut writer = Writer::login(&db).await;
        let role = writer.role.clone();
        db.run(&format!(
            "create schema app_{role} authorization {role};
             grant usage on schema dashboard to {role}"
        ))
        .await;
        writer.run(&format!("set search_path = app_{role}")).await.unwrap();
        writer.run("create table trap (id uuid)").await.unwrap();
        let functions: Vec<String> = sqlx::query_scalar(
            "select 'dashboard.' || quote_ident(proname) from pg_proc
             where pronamespace = 'dashboard'::regnamespace and prorettype = 'trigger'::regtype",
        )
        .fetch_all(&db.pool)
        .await
        .unwrap();
        assert!(!functions.is_empty());
        for function in functions {
            let plant = format!(
                "create trigger trap after insert on trap referencing new table as new_rows
                 for each statement execute function {function}()"
            );
            let error = writer.run(&plant).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{error}");
        }
        writer.assert_harmless(&db).await;
    })
    .await;
}

#[tokio::test]
async fn a_writers_types_are_not_taken_for_the_systems() {
    with_database(|db: TestDb| async move {
        let mut writer = Writer::login(&db).await;
        writer.prepare_to_grab("pg_temp", "anyelement", "boolean", "true").await;
        for name in ["uuid", "text", "int2", "int4", "int8", "xid8", "timestamptz"] {
            let domain = format!(
                "create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.grab(value))"
            );
            writer.run(&domain).await.unwrap();
        }
        for table in ["old_rows", "new_rows", "changes", "mocs", "pg_class"] {
            writer.run(&format!("create temporary table {table} (id integer)")).await.unwrap();
        }
        for write in WRITES {
            writer.run(write).await.unwrap_or_else(|error| panic!("{write}: {error}"));
        }
        writer.assert_harmless(&db).await;
    })
    .await;
}

#[tokio::test]
async fn a_writers_operators_are_not_taken_for_the_systems() {
    with_server(|db, server| async move {
        let mut ada = server.connect("ada").await;
        // As every role could by default, before PostgreSQL 15.
        db.run("grant create on schema public to public").await;
        let mut writer = Writer::login(&db).await;
        writer.prepare_to_grab("public", "l int2, r int4", "int4", "l::int4 & r").await;
        let operator =
            "create operator public.& (function = public.grab, leftarg = int2, rightarg = int4)";
        writer.run(operator).await.unwrap();
        writer.run(WRITES[0]).await.unwrap();
        let events = ["summaryUpdated", "themeBreakdownUpdated", "recentMocAdded"];
        ada.events(&events).await;
        server.snapshot("ada").await;
        writer.assert_harmless(&db).await;
    })
    .await;
}

/// As above for all operators, in a database whose own search path leads to them first: before the
/// schema is made, and for each of a server's kinds of session.
#[tokio::test]
async fn a_search_path_that_leads_astray_leads_no_session_astray() {
    let (name, url) = create_database().await;
    let straight =
        PgConnectOptions::from_str(&url).unwrap().options([("search_path", "pg_catalog")]);
    let pool = PgPoolOptions::new().max_connections(4).connect_lazy_with(straight);
    let db = TestDb { url: url.clone(), pool };
    db.run(TRAPS).await;
    db.run(&format!("alter database {name} set search_path = public, pg_catalog")).await;
    let mut astray = db.connection().await;
    for bare in ["select 1 = 1", "select 1::int2 & 1", "select 'x'::text || 'y'::text"] {
        let error = run(&mut astray, bare).await.unwrap_err().to_string();
        assert!(error.contains("trapped"), "{bare}: {error}");
    }

    let (node, server) = start(config(&url)).await;
    let mut ada = server.connect("ada").await;
    for write in WRITES {
        run(&mut astray, write).await.unwrap_or_else(|error| panic!("{write}: {error}"));
    }
    run(&mut astray, WISH).await.unwrap();
    while ada.event().await["payload"]["totalWishlistItems"] != 1 {}
    let bearer = format!("Bearer {}", access("ada"));
    let headers = [("authorization", bearer.as_str())];
    let tag = server.get("/api/dashboard", &headers).await.headers()["etag"].clone();
    let known = [headers[0], ("if-none-match", tag.to_str().unwrap())];
    assert_eq!(server.get("/api/dashboard", &known).await.status(), 304);
    // The log is lost, compared, and taken up again.
    db.run(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and application_name = 'dashboard-server'",
    )
    .await;
    server.await_metric("dashboard_capture_gaps_total 1").await;
    run(&mut astray, WISH).await.unwrap();
    while ada.event().await["payload"]["totalWishlistItems"] != 2 {}
    let report =
        dashboard_server::commands::check::check(config(&url), &Environment::default()).await;
    assert!(report.is_fit(), "{}", report.render(None));
    node.shutdown().await;
    // Another server removes what is old.
    let mut quick = config(&url);
    quick.change_retention_s = 1;
    let (node, _) = start(quick).await;
    let superfluous = "select count(*) - count(distinct user_id) from dashboard.changes";
    while db.one::<i64>(superfluous).await > 0 {
        pause().await;
    }
    node.shutdown().await;
    drop(astray);
    db.pool.close().await;
    drop_database(&name).await;
}

/// Keys that are long fill the outbox, and would take long to move, again and again.
#[tokio::test]
async fn a_writer_of_long_keys_keeps_no_others_changes() {
    const LONG: &str = "
        insert into collection.inventory
        select 'eve', repeat(chr(97 + i % 26), 200000) || i, 1, 1, 0 from generate_series(1, 50) as i";
    with_server(|db, server| async move {
        let mut writer = Writer::login(&db).await;
        let mut ada = server.connect("ada").await;
        for _ in 0..10 {
            writer.run(LONG).await.unwrap();
            writer.run("delete from collection.inventory").await.unwrap();
        }
        db.run(WISH).await;
        ada.event().await;
        let longest = "select coalesce(max(octet_length(key)), 0) from dashboard.mocs";
        assert!(db.one::<i32>(longest).await <= 1_000);
        let noted = "select coalesce(max(pg_column_size(keys)), 0) from dashboard.outbox";
        assert!(db.one::<i32>(noted).await < 100_000);
        writer.assert_harmless(&db).await;
    })
    .await;
}

#[tokio::test]
async fn a_writer_keeps_no_other_waiting() {
    /// Servers that install wait for this lock, which any role can have.
    const INSTALL_LOCK: &str = "select pg_advisory_lock(7233189368698986866)";
    with_server(|db, server| async move {
        let mut writer = Writer::login(&db).await;
        writer.run("begin").await.unwrap();
        writer.run(INSTALL_LOCK).await.unwrap();
        writer.run("savepoint here").await.unwrap();
        for call in [
            "select from dashboard.turn for update",
            "select from dashboard.meta for update",
            "lock table dashboard.turn in access exclusive mode",
            "lock table dashboard.outbox in access exclusive mode",
            "delete from dashboard.outbox",
            "insert into dashboard.pending (watch, keys, is_bulk) values (1, '{x}', false)",
        ] {
            let error = writer.run(call).await.unwrap_err().to_string();
            assert!(error.contains("permission denied"), "{call}: {error}");
            writer.run("rollback to savepoint here").await.unwrap();
        }
        // What other writers do about ada is committed and shown, and what is old is removed.
        let mut ada = server.connect("ada").await;
        for _ in 0..2 {
            for write in WRITES {
                db.run(write).await;
            }
            db.settle().await;
        }
        ada.event().await;
        let mut other = db.connection().await;
        let remove = dashboard_server::changes::retention::remove;
        assert!(remove(&mut other, std::time::Duration::ZERO, 1_000).await.unwrap().rows > 0);
        writer.assert_harmless(&db).await;
    })
    .await;
}
