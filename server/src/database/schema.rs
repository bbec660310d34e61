//! Makes sure that the source is installed.
//!
//! It reads what is already there before it requires any rights. So a server whose schema is there can use a
//! read-only database, or a role that may not create a schema.

use std::str::FromStr as _;
use std::sync::atomic::AtomicI32;
use std::time::{Duration, Instant};

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::time::{sleep, timeout};

use crate::database::error::{Cause, DatabaseError};
use crate::postgres::pooler;
use crate::postgres::session::{self, Purpose};
use crate::source::{self, Choice, State};

/// The first that replaces triggers in one step.
const OLDEST_VERSION: i32 = 14;
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// How long it may take to see what is missing.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// Servers that start at the same time wait for this lock, one behind the other.
const INSTALL_LOCK: i64 = 0x6461_7368_626f_6172;

/// Reads the database's address.
pub(crate) fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| DatabaseError::Url)?;
    // PgBouncer refuses a session that names settings at its start which it does not know, such as this one.
    // No number is read as text here.
    Ok(options.application_name("dashboard-server").extra_float_digits(None))
}

/// Waits for the database, and makes sure that the source is installed there. Installs standalone where it
/// is missing. For tables of another application, that is the operator's decision, and a command.
pub(super) async fn prepare(
    options: &PgConnectOptions,
    choice: &Choice,
    wait: Duration,
) -> Result<(), DatabaseError> {
    let fail = |cause| DatabaseError::of(options, cause);
    let start = Instant::now();
    loop {
        let connection = connect(options, Purpose::Install, wait).await?;
        match bring_up(options, connection, choice).await {
            // A step holds up later users of a table while it waits for earlier ones: it gives way,
            // and is tried again.
            Err(cause @ Cause::Locked(_)) if start.elapsed() < wait => {
                tracing::warn!(error = %fail(cause), "trying again");
                sleep(RETRY_INTERVAL).await;
            }
            brought_up => return brought_up.map_err(fail),
        }
    }
}

/// Does what is missing.
async fn bring_up(
    options: &PgConnectOptions,
    mut connection: PgConnection,
    choice: &Choice,
) -> Result<(), Cause> {
    let looked = async {
        check_server(options, &mut connection).await?;
        needs_installation(&mut connection, choice).await
    };
    let looked = timeout(LOOK_TIMEOUT, looked).await;
    if !looked.unwrap_or_else(|_| Err(session::silence(LOOK_TIMEOUT).into()))? {
        return Ok(());
    }
    let own = sqlx::query_scalar("select pg_backend_pid()").fetch_one(&mut connection).await?;
    let session = AtomicI32::new(own);
    let installing = install_alone(&mut connection, choice);
    session::while_at_work(options, &session, installing).await??;
    connection.close().await.ok();
    Ok(())
}

/// Whether a start has to install the source, or why it would refuse.
pub(crate) async fn needs_installation(
    connection: &mut PgConnection,
    choice: &Choice,
) -> Result<bool, Cause> {
    let source = &choice.source;
    match source::state(connection, source).await.map_err(unseen)? {
        State::NotOurs => Err(Cause::NotOurs),
        State::Foreign => Err(Cause::Foreign),
        State::Other => {
            let name = sqlx::query_scalar("select name from dashboard.meta");
            Err(Cause::OtherSource(name.fetch_one(connection).await?))
        }
        State::Current => Ok(false),
        State::Absent if !choice.is_asked && source::holds_other_tables(connection).await? => {
            Err(Cause::NoSource)
        }
        State::Absent | State::Outdated | State::Disarmed if source.is_standalone() => Ok(true),
        State::Absent | State::Outdated => Err(Cause::NotInstalled(source.name.clone())),
        State::Disarmed => {
            tracing::error!(
                source = source.name,
                "triggers are missing or switched off, so changes are missed; see dashboard-server check"
            );
            Ok(false)
        }
    }
}

/// A right that is missing for a look is another than those for an installation.
fn unseen(error: sqlx::Error) -> Cause {
    match Cause::from(error) {
        Cause::Denied(told) => Cause::Closed(told),
        cause => cause,
    }
}

/// Installs while no other server does.
async fn install_alone(connection: &mut PgConnection, choice: &Choice) -> Result<(), Cause> {
    // Ends with the session.
    sqlx::query("select pg_advisory_lock($1)").bind(INSTALL_LOCK).execute(&mut *connection).await?;
    // Another server may have been quicker.
    if needs_installation(connection, choice).await? {
        let source = &choice.source;
        source::make_collection(connection).await?;
        let mut tell = |step: String| tracing::debug!(step, "installing");
        source::install(connection, source, &mut tell).await?;
        tracing::info!(source = source.name, "source installed");
    }
    Ok(())
}

/// Refuses a database of which changes could not be followed, or the way to it.
pub(crate) async fn check_server(
    options: &PgConnectOptions,
    connection: &mut PgConnection,
) -> Result<(), Cause> {
    // First: behind such a pooler other questions fail now and then.
    if pooler::lends_sessions(options, connection).await? {
        return Err(Cause::Pooler);
    }
    let (version, is_standby): (i32, bool) = sqlx::query_as(
        "select current_setting('server_version_num')::int / 10000, pg_is_in_recovery()",
    )
    .fetch_one(connection)
    .await?;
    if version < OLDEST_VERSION {
        return Err(Cause::Version(version));
    }
    if is_standby { Err(Cause::Standby) } else { Ok(()) }
}

/// A database that is about to start deserves some patience.
pub(crate) async fn connect(
    options: &PgConnectOptions,
    purpose: Purpose,
    wait: Duration,
) -> Result<PgConnection, DatabaseError> {
    let start = Instant::now();
    loop {
        let cause = match session::open(options, purpose).await {
            Ok(connection) => return Ok(connection),
            Err(error) => Cause::from(error),
        };
        let error = DatabaseError::of(options, cause);
        if error.is_lasting() || start.elapsed() >= wait {
            return Err(error);
        }
        tracing::warn!(%error, "waiting for the database");
        sleep(RETRY_INTERVAL).await;
    }
}
