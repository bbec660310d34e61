//! Implements `dashboard-server source …`: what an operator does with a source. Each command writes lines for
//! people, and says what to do next.

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::sleep;

use crate::database::{Cause, DatabaseError, schema};
use crate::postgres::message_of;
use crate::postgres::session::Purpose;
use crate::source::script::script;
use crate::source::uninstall::{DROP_SCHEMA, drops};
use crate::source::{
    BUILT_IN, Choice, Finding, InstallError, Source, SourceError, State, check, check_installed,
    holds_other_tables, install, load, make_collection, owe_sweeps, state, uninstall,
};

/// How often to look how far a reconciliation is.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It cannot be installed or removed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The database failed.
    #[error("the database failed: {}", message_of(.0))]
    Query(#[from] sqlx::Error),
    /// Something is in the way. The message has been printed.
    #[error("{0}")]
    Unfit(String),
    /// The folder for a new source is there.
    #[error("{0} is there already: name a new folder")]
    Exists(String),
    /// A file, or the output, cannot be written.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// There is no database.
    #[error("set DATABASE_URL to the database of the application")]
    NoDatabase,
}

/// Where a command works, and on what.
#[derive(Debug)]
pub struct Place {
    options: PgConnectOptions,
    choice: Choice,
}

impl Place {
    /// Reads the settings.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn new(database_url: Option<&str>, source: Option<&str>) -> Result<Self, CommandError> {
        let options = schema::options(database_url.ok_or(CommandError::NoDatabase)?)?;
        Ok(Self { options, choice: Choice::of(source)? })
    }

    async fn connect(&self) -> Result<PgConnection, CommandError> {
        let mut connection =
            schema::connect(&self.options, Purpose::Install, Duration::ZERO).await?;
        let looked = schema::check_server(&self.options, &mut connection).await;
        looked.map_err(|cause| DatabaseError::of(&self.options, cause))?;
        Ok(connection)
    }

    /// How far the database is from having the source, which has to be chosen beside another application's tables.
    async fn state(&self, connection: &mut PgConnection) -> Result<State, CommandError> {
        let choice = &self.choice;
        let state = state(connection, &choice.source).await?;
        if state == State::Absent && !choice.is_asked && holds_other_tables(connection).await? {
            return Err(DatabaseError::of(&self.options, Cause::NoSource).into());
        }
        match state {
            State::NotOurs => Err(InstallError::NotOurs.into()),
            State::Foreign => Err(InstallError::Foreign.into()),
            State::Other => Err(InstallError::of_another(connection).await?.into()),
            State::Absent | State::Outdated | State::Disarmed | State::Current => Ok(state),
        }
    }

    fn source(&self) -> &Source {
        &self.choice.source
    }
}

/// The sources that come with the server.
///
/// # Errors
/// Where nothing can be written.
pub fn list(out: &mut impl Write) -> Result<(), CommandError> {
    for (name, files) in BUILT_IN {
        let manifest = files.iter().find(|(file, _)| *file == "source.toml");
        let about = manifest.and_then(|(_, text)| text.lines().next()).unwrap_or_default();
        writeln!(out, "{name:<18}{}", about.trim_start_matches("# "))?;
    }
    writeln!(
        out,
        "\nChoose one by DASHBOARD_SOURCE, or set that to a folder with a source of your own. To begin with \
         one of these: dashboard-server source show NAME"
    )?;
    Ok(())
}

/// Shows the files of a source that comes with the server, one after the other. Or writes them into a new folder,
/// to begin another source with.
///
/// # Errors
/// Where there is no such source, or the folder cannot be made.
pub fn show(name: &str, into: Option<&Path>, out: &mut impl Write) -> Result<(), CommandError> {
    let known = BUILT_IN.iter().find(|(known, _)| *known == name);
    let (_, files) = known.ok_or_else(|| SourceError::Unknown(name.to_owned()))?;
    let Some(folder) = into else {
        for (file, text) in *files {
            writeln!(out, "==> {file} <==\n{text}")?;
        }
        return Ok(());
    };
    std::fs::create_dir(folder).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => CommandError::Exists(folder.display().to_string()),
        _ => error.into(),
    })?;
    let own = folder.file_name().map(|name| name.to_string_lossy().into_owned());
    for (file, text) in *files {
        // Another source has another name.
        let text = text.replacen(
            &format!("name = \"{name}\""),
            &format!("name = {:?}", own.as_deref().unwrap_or("mine")),
            1,
        );
        std::fs::write(folder.join(file), text)?;
        writeln!(out, "{}", folder.join(file).display())?;
    }
    Ok(())
}

/// Whether a source fits the database, and whether it hears of changes.
///
/// # Errors
/// [`CommandError::Unfit`] where something is in the way.
pub async fn run_check(place: &Place, out: &mut impl Write) -> Result<(), CommandError> {
    let mut connection = place.connect().await?;
    let source = place.source();
    let state = place.state(&mut connection).await?;
    writeln!(out, "{}: {}", source.name, told(state))?;
    let mut findings = check(&mut connection, source).await?;
    if matches!(state, State::Current | State::Disarmed) {
        let installed = load(&mut connection, source).await?;
        findings.extend(check_installed(&mut connection, &installed).await?);
    }
    for Finding { is_fatal, what, fix } in &findings {
        let verdict = if *is_fatal { "FAIL" } else { "warn" };
        writeln!(out, "{verdict}  {what}")?;
        if let Some(fix) = fix {
            writeln!(out, "      {fix}")?;
        }
    }
    if findings.is_empty() {
        writeln!(out, "ok    all tables, keys, rights and queries are as they should be")?;
    }
    if !findings.iter().any(|finding| finding.is_fatal) && owns_schema(&mut connection).await? {
        write_grants(source, out)?;
    }
    connection.close().await.ok();
    match findings.iter().filter(|finding| finding.is_fatal).count() {
        0 => Ok(()),
        1 => Err(CommandError::Unfit("1 thing is in the way".to_owned())),
        count => Err(CommandError::Unfit(format!("{count} things are in the way"))),
    }
}

/// Installs a source, or only says how.
///
/// # Errors
/// [`CommandError::Unfit`] where something is in the way. Nothing is changed then.
pub async fn run_install(
    place: &Place,
    is_dry_run: bool,
    out: &mut (impl Write + Send),
) -> Result<(), CommandError> {
    let mut connection = place.connect().await?;
    let source = place.source();
    place.state(&mut connection).await?;
    if source.is_standalone() && !is_dry_run {
        make_collection(&mut connection).await?;
    }
    let (in_the_way, odd): (Vec<_>, Vec<_>) =
        check(&mut connection, source).await?.into_iter().partition(|finding| finding.is_fatal);
    if !in_the_way.is_empty() {
        for Finding { what, fix, .. } in &in_the_way {
            writeln!(out, "FAIL  {what}\n      {}", fix.as_deref().unwrap_or_default())?;
        }
        return Err(CommandError::Unfit("nothing was changed".to_owned()));
    }
    if is_dry_run {
        for statement in script(&mut connection, source).await? {
            writeln!(out, "{};\n", statement.trim().trim_end_matches(';'))?;
        }
        return Ok(());
    }
    for Finding { what, fix, .. } in &odd {
        writeln!(out, "warn  {what}\n      {}", fix.as_deref().unwrap_or_default())?;
    }
    let mut tell = |step: String| {
        writeln!(out, "{step}").ok();
    };
    let installed = install(&mut connection, source, &mut tell).await?;
    writeln!(
        out,
        "\n{} is installed. A server with DASHBOARD_SOURCE set to it looks at all rows once ({} queries), and \
         serves dashboards when it has.",
        source.name,
        installed.feeds.len()
    )?;
    write_grants(source, out)?;
    connection.close().await.ok();
    Ok(())
}

/// Requests that all rows are read again, and waits for it.
///
/// # Errors
/// See [`CommandError`].
pub async fn run_reconcile(
    place: &Place,
    out: &mut (impl Write + Send),
) -> Result<(), CommandError> {
    let mut connection = place.connect().await?;
    let installed = load(&mut connection, place.source()).await?;
    owe_sweeps(&mut connection, &installed).await?;
    let servers: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity
         where datname = current_database() and application_name = 'dashboard-server'
           and pid <> pg_backend_pid()",
    )
    .fetch_one(&mut connection)
    .await?;
    if servers == 0 {
        writeln!(
            out,
            "All rows will be looked at again once a server runs: none is connected now."
        )?;
        return Ok(());
    }
    let mut told = String::new();
    loop {
        let waiting: Vec<(String, bool, Option<String>, Option<String>)> = sqlx::query_as(
            "select f.name, s.is_at_model, s.after, s.error
             from dashboard.sweeps as s join dashboard.feeds as f on f.number = s.feed
             order by f.name",
        )
        .fetch_all(&mut connection)
        .await?;
        if waiting.is_empty() {
            break;
        }
        let lines = waiting.into_iter().map(|(name, is_at_model, after, error)| {
            let side = if is_at_model { "rows that may be gone" } else { "the application's rows" };
            let at = after.map_or(String::new(), |after| format!(", after {after}"));
            let error = error.map_or(String::new(), |error| format!(": {error}"));
            format!("{name}: {side}{at}{error}\n")
        });
        let lines: String = lines.collect();
        if lines != told {
            write!(out, "{lines}")?;
            told = lines;
        }
        sleep(LOOK_INTERVAL).await;
    }
    writeln!(out, "All rows have been looked at.")?;
    Ok(())
}

/// Removes a source, or only says how.
///
/// # Errors
/// See [`CommandError`].
pub async fn run_uninstall(
    place: &Place,
    is_dry_run: bool,
    out: &mut (impl Write + Send),
) -> Result<(), CommandError> {
    let mut connection = place.connect().await?;
    if is_dry_run {
        for statement in drops(&mut connection).await?.into_iter().flat_map(|(_, drops)| drops) {
            writeln!(out, "{statement};")?;
        }
        writeln!(out, "{DROP_SCHEMA};")?;
        return Ok(());
    }
    let mut tell = |step: String| {
        writeln!(out, "{step}").ok();
    };
    uninstall(&mut connection, &mut tell).await?;
    writeln!(
        out,
        "\nNothing of ours is left. Stop the servers: they have nothing to read any more."
    )?;
    connection.close().await.ok();
    Ok(())
}

/// Whether this role has installed what is there.
async fn owns_schema(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let query = "
        select exists (
            select from pg_namespace
            where nspname = 'dashboard' and pg_get_userbyid(nspowner) = current_user
        )";
    sqlx::query_scalar(query).fetch_one(connection).await
}

fn told(state: State) -> &'static str {
    match state {
        State::Absent | State::NotOurs | State::Foreign | State::Other => "is not installed",
        State::Outdated => "is installed in another version, or not to the end",
        State::Disarmed => "is installed, and lacks triggers",
        State::Current => "is installed",
    }
}

/// What a role needs that runs servers and did not install.
fn write_grants(source: &Source, out: &mut impl Write) -> Result<(), CommandError> {
    let mut tables: Vec<_> = source.watches().iter().map(|watch| watch.table.clone()).collect();
    tables.dedup();
    let mut schemas: Vec<_> =
        tables.iter().filter_map(|table| table.split('.').next()).map(str::to_owned).collect();
    schemas.sort();
    schemas.dedup();
    writeln!(
        out,
        "\nServers may run as a role of their own, here \"dashboard_server\", with these rights and no other:\n\n  \
         grant usage on schema dashboard, {schemas} to dashboard_server;\n  \
         grant select, insert, update, delete on all tables in schema dashboard to dashboard_server;\n  \
         grant usage, update on all sequences in schema dashboard to dashboard_server;\n  \
         grant select on {tables} to dashboard_server;\n\n\
         and select on whatever else the queries read.",
        schemas = schemas.join(", "),
        tables = tables.join(", ")
    )?;
    Ok(())
}
