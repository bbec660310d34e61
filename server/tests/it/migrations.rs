//! Tests the application's own migrations, while a server reads its tables and others write to them. No migration
//! is held up, and none makes a write fail. What is shown afterwards is right, or is called stale until it is.

mod list;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dashboard_server::commands;
use dashboard_server::source::{Source, check, check_installed, install, load, uninstall};
use dashboard_server::{Server, projector};
use futures_util::{FutureExt, StreamExt, stream};
use serde_json::Value;
use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::list::COLLECTION;
use self::list::{BEFORE, MIGRATIONS, STREAM};
use crate::support::{
    Client, PATIENCE, TestDb, TestServer, admin, config, pause, start, with_application,
};

/// How many migrations go on at a time: most of the time they wait until a server calls itself stale.
const AT_A_TIME: usize = 6;
/// How often each application writes to each table. Without a pause they would keep all processors busy.
const ROUND: Duration = Duration::from_millis(20);
/// As the application's own migrations are run: they give up where they would hold up its writes for longer.
const LOCK_TIMEOUT: &str = "lock_timeout = '2s'";
/// What dashboards are read from.
const READ_MODEL: &str = "
    select string_agg(line, E'\\n' order by line) from (
        select concat_ws(' ', f.name, to_jsonb(row) - 'feed') as line
        from (select feed, to_jsonb(mocs) as row from dashboard.mocs
              union all select feed, to_jsonb(sets) from dashboard.sets
              union all select feed, to_jsonb(wishlist_items) from dashboard.wishlist_items) as row
        join dashboard.feeds as f on f.number = row.feed
    ) as lines";

/// A migration, and what is to become of it.
struct Migration {
    name: &'static str,
    ddl: &'static [&'static str],
    is_one_transaction: bool,
    /// The server runs as a role with the rights that it needs, and no other.
    has_role: bool,
    /// The table that is no longer there by its name.
    ends: Option<&'static str>,
    /// What the application writes afterwards: one after the other, each to a row or more.
    writes: &'static [&'static str],
    /// What its user sees then, at once or once it is cured: see [`digest`].
    seen: &'static str,
    outcome: Outcome,
}

enum Outcome {
    /// What is shown is right, and nothing has to be done.
    Right,
    /// It is called stale. The check names why.
    Stale { names: &'static str, cure: Cure },
}

/// What makes it right again.
enum Cure {
    /// The application's tables are as they were.
    PutBack(&'static str),
    /// The source is installed again.
    Installed,
    /// The source is written anew, and installed.
    Adapted(&'static [Edit]),
}

/// A change of a source's file.
struct Edit {
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

#[tokio::test]
async fn no_migration_is_held_up_and_what_is_shown_is_right_or_called_stale() {
    let judged: Vec<_> = stream::iter(MIGRATIONS)
        .map(|migration| AssertUnwindSafe(run(migration)).catch_unwind())
        .buffered(AT_A_TIME)
        .collect()
        .await;
    println!("| migration | DDL | writes | reads | heals |\n| --- | --- | --- | --- | --- |");
    let mut failed = Vec::new();
    for (migration, columns) in MIGRATIONS.iter().zip(judged) {
        match columns {
            Ok(columns) => println!("| {} | {} |", migration.name, columns.join(" | ")),
            Err(panic) => {
                let why = panic.downcast::<String>().map_or_else(|_| String::new(), |why| *why);
                failed.push(format!("{}: {why}", migration.name));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Runs in a separate database. Returns what is printed of each column.
async fn run(migration: &Migration) -> [String; 4] {
    let (mut columns, mut role) = (None, None);
    let (judged, made) = (&mut columns, &mut role);
    with_application(|db, name| async move {
        if migration.has_role {
            let role = made.insert(format!("{name}_server"));
            admin(&format!("create role {role} login password 'runs'")).await;
        }
        db.run(&format!("alter database {name} set timezone = 'America/New_York'")).await;
        *judged = Some(judge(&db, migration, made.as_deref()).await);
    })
    .await;
    if let Some(role) = role {
        admin(&format!("drop role {role}")).await;
    }
    columns.unwrap()
}

async fn judge(db: &TestDb, migration: &Migration, role: Option<&str>) -> [String; 4] {
    db.run(COLLECTION).await;
    let mut place = Place::new(db, migration, role).await;
    assert_eq!(digest(&place.test.snapshot("ada").await.0), BEFORE);

    let mut session = db.connection().await;
    let mut others = Others::start(db, migration);
    others.finish_a_round().await;
    let took = migrate(db, migration.ddl, migration.is_one_transaction).await;
    others.finish_a_round().await;
    for write in migration.writes {
        let written = sqlx::query(*write).execute(&mut session).await;
        let written =
            written.unwrap_or_else(|error| panic!("{}: {write}: {error}", migration.name));
        assert!(written.rows_affected() > 0, "{}: {write}", migration.name);
    }
    let written = others.stop().await;
    session.close().await.ok();

    let (reads, heals) = match &migration.outcome {
        Outcome::Right => ("right".to_owned(), "nothing to do"),
        Outcome::Stale { names, cure } => {
            place.be_told().await;
            let findings = place.findings().await;
            let what = findings.iter().find(|what| what.contains(names));
            let what = what.unwrap_or_else(|| panic!("{}: {findings:#?}", migration.name));
            let reads = format!("stale, told, 503: {}", what.replace('\n', " "));
            (reads, place.cure(db, cure).await)
        }
    };
    place.see(migration.seen).await;
    place.be_ready().await;
    // And so it goes on.
    db.run(
        "update public.moc_instructions set title = 'Keep'
         where user_id = 'ada' and title = 'Castle'",
    )
    .await;
    place.see(&migration.seen.replacen("Castle", "Keep", 1)).await;
    place.server.shutdown().await;
    judge_read_model(db, &place.source).await;
    [
        format!("passes, {} ms", took.as_millis()),
        format!("{} and {written} of others", migration.writes.len()),
        reads,
        heals.to_owned(),
    ]
}

/// What a server shows, and who looks.
struct Place {
    source: Source,
    folder: Option<Folder>,
    /// As the server connects.
    url: String,
    server: Server,
    test: TestServer,
    ada: Client,
}

impl Place {
    async fn new(db: &TestDb, migration: &Migration, role: Option<&str>) -> Self {
        let is_adapted =
            matches!(&migration.outcome, Outcome::Stale { cure: Cure::Adapted(_), .. });
        let folder = is_adapted.then(Folder::new);
        let setting = setting(folder.as_ref());
        let source = Source::chosen(&setting).unwrap();
        install(&mut db.node().await, &source, &mut |_| {}).await.unwrap();
        db.fill(&source).await;
        let mut url = db.url.clone();
        if let Some(role) = role {
            db.run(&format!(
                "grant usage on schema dashboard, public to {role};
                 grant select, insert, update, delete on all tables in schema dashboard to {role};
                 grant usage, update on all sequences in schema dashboard to {role};
                 grant select on all tables in schema public to {role}"
            ))
            .await;
            let options: PgConnectOptions = url.parse().unwrap();
            url = options.username(role).password("runs").to_url_lossy().to_string();
        }
        let (server, test, ada) = serve(&url, &setting).await;
        Self { source, folder, url, server, test, ada }
    }

    /// Waits until that is what she sees. While it is not, more is sent to her.
    async fn see(&mut self, digested: &str) {
        let mut shown = String::new();
        let seen = async {
            loop {
                shown = digest(&self.test.snapshot("ada").await.0);
                if shown == digested {
                    break;
                }
                self.ada.event().await;
            }
        };
        let seen = timeout(PATIENCE, seen).await;
        assert!(seen.is_ok(), "shown: {shown}\nexpected: {digested}");
    }

    /// Waits until her client learns that what it shows is stale, and load balancers as well.
    async fn be_told(&mut self) {
        let told = async {
            while self.ada.event().await["payload"]["code"] != "SNAPSHOT_UNAVAILABLE" {}
            while self.test.readiness().await.0 != 503 {
                pause().await;
            }
        };
        timeout(PATIENCE, told).await.expect("nothing is called stale");
    }

    /// Waits until all is well again, and nothing is found that is not.
    async fn be_ready(&self) {
        let ready = async {
            while self.test.readiness().await.0 != 200 {
                pause().await;
            }
        };
        timeout(PATIENCE, ready).await.expect("it is not ready");
        assert_eq!(self.findings().await, [""; 0]);
    }

    /// What `source check` says is in the way.
    async fn findings(&self) -> Vec<String> {
        let mut node = projector::connect(&self.url.parse().unwrap()).await.unwrap();
        let mut findings = check(&mut node, &self.source).await.unwrap();
        let installed = load(&mut node, &self.source).await.unwrap();
        findings.extend(check_installed(&mut node, &installed).await.unwrap());
        node.close().await.ok();
        findings
            .into_iter()
            .filter(|finding| finding.is_fatal)
            .map(|finding| finding.what)
            .collect()
    }

    /// Does what is to make it right. Returns what that was.
    async fn cure(&mut self, db: &TestDb, cure: &Cure) -> &'static str {
        match cure {
            Cure::PutBack(ddl) => {
                migrate(db, &[*ddl], true).await;
                "put back"
            }
            Cure::Installed => {
                install_again(db, &self.source).await;
                "source installed again"
            }
            Cure::Adapted(edits) => {
                let folder = self.folder.as_ref().unwrap();
                for edit in *edits {
                    folder.edit(edit);
                }
                self.source = Source::open(&folder.0).unwrap();
                install_again(db, &self.source).await;
                let next = serve(&self.url, &setting(Some(folder))).await;
                let last = std::mem::replace(&mut self.server, next.0);
                (self.test, self.ada) = (next.1, next.2);
                last.shutdown().await;
                "adapted source installed"
            }
        }
    }
}

/// With the patience of an operator's command: a server at work has some of what is written here.
async fn install_again(db: &TestDb, source: &Source) {
    let mut session = db.node().await;
    sqlx::raw_sql("set lock_timeout = '10s'").execute(&mut session).await.unwrap();
    install(&mut session, source, &mut |_| {}).await.unwrap();
}

/// What `DASHBOARD_SOURCE` is.
fn setting(folder: Option<&Folder>) -> String {
    folder.map_or("moc-instructions", |folder| folder.0.to_str().unwrap()).to_owned()
}

async fn serve(url: &str, setting: &str) -> (Server, TestServer, Client) {
    let mut config = config(url);
    config.source = Some(setting.to_owned());
    config.poll_interval_ms = 25;
    let (server, test) = start(config).await;
    let ada = test.connect("ada").await;
    (server, test, ada)
}

/// A source of one's own, begun with the one that comes with the server.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("source-{}", uuid::Uuid::new_v4()));
        commands::source::show("moc-instructions", Some(&folder), &mut Vec::new()).unwrap();
        Self(folder)
    }

    fn edit(&self, edit: &Edit) {
        let path = self.0.join(edit.file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(edit.from), "{text}");
        std::fs::write(path, text.replace(edit.from, edit.to)).unwrap();
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// Runs a migration as the application does. Returns how long it took.
async fn migrate(db: &TestDb, ddl: &[&str], is_one_transaction: bool) -> Duration {
    let mut session = db.connection().await;
    let began = Instant::now();
    let statements = if is_one_transaction {
        vec![format!("begin; set local {LOCK_TIMEOUT}; {}; commit", ddl.join(";\n"))]
    } else {
        let set = [format!("set {LOCK_TIMEOUT}")];
        set.into_iter().chain(ddl.iter().map(|statement| (*statement).to_owned())).collect()
    };
    for statement in statements {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut session).await;
        done.unwrap_or_else(|error| panic!("{ddl:#?}: {error}"));
    }
    let took = began.elapsed();
    session.close().await.ok();
    took
}

/// Others who write, one statement after the other.
struct Others {
    rounds: watch::Receiver<usize>,
    stop: CancellationToken,
    /// Says how many statements succeeded. Each has to.
    task: JoinHandle<usize>,
}

impl Others {
    fn start(db: &TestDb, migration: &Migration) -> Self {
        let (finished, rounds) = watch::channel(0);
        let stop = CancellationToken::new();
        let (url, name, ends, stopped) =
            (db.url.clone(), migration.name, migration.ends, stop.clone());
        let task = tokio::spawn(async move {
            let options: PgConnectOptions = url.parse().unwrap();
            let mut session = options.connect().await.unwrap();
            let (mut statements, mut count) = (STREAM.to_vec(), 0);
            let mut rounds = interval(ROUND);
            while !stopped.is_cancelled() {
                rounds.tick().await;
                let mut gone = None;
                for (table, statement) in &statements {
                    match sqlx::query(*statement).execute(&mut session).await {
                        Ok(_) => count += 1,
                        Err(error) if ends == Some(*table) && is_no_table(&error) => gone = ends,
                        Err(error) => panic!("{name}: {statement}: {error}"),
                    }
                }
                statements.retain(|(table, _)| Some(*table) != gone);
                finished.send_modify(|rounds| *rounds += 1);
            }
            session.close().await.ok();
            count
        });
        Self { rounds, stop, task }
    }

    /// Waits until each statement has been run once more.
    async fn finish_a_round(&mut self) {
        let whole = *self.rounds.borrow() + 2;
        // An error means that the task has failed: the end of the test reports it.
        self.rounds.wait_for(|rounds| *rounds >= whole).await.ok();
    }

    async fn stop(self) -> usize {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

fn is_no_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "42P01")
}

/// A dashboard in a line: recent MOCs with state and hour, wishes, themes with MOCs and sets, partial coverage.
fn digest(view: &Value) -> String {
    let list = |name: &str, line: fn(&Value) -> String| {
        let lines: Vec<_> = view[name].as_array().unwrap().iter().map(line).collect();
        lines.join(", ")
    };
    let recent = list("recentMocs", |moc| {
        let [title, status, at] =
            ["title", "buildStatus", "createdAt"].map(|name| moc[name].as_str().unwrap());
        format!("{title} {status} {}", &at[11..16])
    });
    let themes = list("themeBreakdown", |theme| {
        format!("{} {}+{}", theme["theme"].as_str().unwrap(), theme["mocCount"], theme["setCount"])
    });
    let partial = list("partialPartsMocs", |moc| format!("{} %", moc["coveragePercentage"]));
    format!("{recent} | {} wishes | {themes} | {partial}", view["summary"]["totalWishlistItems"])
}

/// What is projected equals what a new installation projects.
async fn judge_read_model(db: &TestDb, source: &Source) {
    db.settle_source(source).await;
    let shown: String = db.one(READ_MODEL).await;
    let mut node = db.node().await;
    uninstall(&mut node, &mut |_| {}).await.unwrap();
    install(&mut node, source, &mut |_| {}).await.unwrap();
    db.settle_source(source).await;
    assert_eq!(shown, db.one::<String>(READ_MODEL).await);
    node.close().await.ok();
}
