//! Defines the errors that keep the server from its database. Each says what to do, and none holds a password.

use std::io;

use sqlx::postgres::PgConnectOptions;

use crate::source::{InstallError, SourceError};

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address cannot be read. Not shown: it may hold a password.
    #[error("DATABASE_URL is not an address such as postgres://user:password@host:5432/name")]
    Url,
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The private cluster cannot be started.
    #[error(
        "no DATABASE_URL is set, and a private PostgreSQL cannot be started: {0}; set DATABASE_URL \
         to use one of your own"
    )]
    Private(#[from] private_postgres::Error),
    /// The task that starts the private cluster was ended.
    #[error("starting the private PostgreSQL was interrupted")]
    Interrupted,
    /// The database cannot be used as it is.
    #[error("the database at {address} {cause}")]
    Unusable {
        /// Host, port and name, without user and password.
        address: String,
        /// What is wrong with it.
        cause: Cause,
    },
}

/// What is wrong with a database.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// No server listens.
    #[error(
        "does not answer: nothing listens there; start PostgreSQL, or correct host and port in \
         DATABASE_URL"
    )]
    Refused,
    /// The host's name leads nowhere.
    #[error("does not answer: its host name is unknown; correct it in DATABASE_URL ({0})")]
    UnknownHost(io::Error),
    /// The network, or the program at that address, does not let us through.
    #[error("does not answer ({0}); is it running, and does a firewall let this machine through?")]
    Unreachable(sqlx::Error),
    /// 28…: wrong password, no such role, or the role may not come from here.
    #[error(
        "refuses the log-in ({0}); correct user and password in DATABASE_URL, or allow the role in \
         pg_hba.conf"
    )]
    LogIn(String),
    /// It takes encrypted connections only.
    #[error("takes only encrypted connections ({0}); add ?sslmode=require to DATABASE_URL")]
    TlsRequired(String),
    /// It does not do TLS, or not as asked.
    #[error(
        "cannot be reached by TLS ({0}); replace its certificate, or change sslmode in DATABASE_URL"
    )]
    Tls(String),
    /// 3D000.
    #[error("does not exist ({0}); create it, or correct the name in DATABASE_URL")]
    NoDatabase(String),
    /// 53300: no connection is free.
    #[error(
        "has no connection to spare ({0}); raise max_connections, or close what other programs hold"
    )]
    TooManyConnections(String),
    /// 57P03: starting, recovering or stopping.
    #[error(
        "is not ready yet ({0}); try again when it is, or wait longer: DASHBOARD_DATABASE_WAIT_S"
    )]
    NotReady(String),
    /// Too old for what is installed.
    #[error("is PostgreSQL {0}; version 14 or later is required")]
    Version(i32),
    /// A standby cannot tell which transactions were in progress on the primary.
    #[error(
        "is a standby, and changes can be followed on the primary only; set DATABASE_URL to the \
         primary, or promote this one"
    )]
    Standby,
    /// A pooler gives a session to another client after each transaction.
    #[error(
        "is reached through a pooler that lends its sessions by the transaction, so the settings and \
         prepared statements of this server would be other programs'; let DATABASE_URL lead to \
         PostgreSQL itself, or to a pool in session mode (PgBouncer: pool_mode=session)"
    )]
    Pooler,
    /// 25006: the schema is not up to date, and nothing may be written.
    #[error(
        "may only be read, but its schema \"dashboard\" has to be brought up to date first; let this \
         server write once (default_transaction_read_only)"
    )]
    ReadOnly,
    /// 42501: a right is missing.
    #[error(
        "does not let this user install the schema \"dashboard\" ({0}): grant CREATE on the database, or \
         make the schema with this user as its owner; dashboard-server check says more"
    )]
    Denied(String),
    /// 42501: what is installed is another role's, and may not be read.
    #[error(
        "does not let this user read what is installed ({0}): run the server as the role that made the \
         schema, or grant what dashboard-server source install prints; dashboard-server check names \
         what is missing"
    )]
    Closed(String),
    /// Another version of this server made it.
    #[error(
        "has a schema \"dashboard\" of another version of this server, or one that is no longer whole: \
         remove it (dashboard-server source uninstall, or drop schema dashboard cascade), which loses \
         nothing of the application's, and start again"
    )]
    Foreign,
    /// Another program made it.
    #[error(
        "has a schema \"dashboard\" that this server has not made: rename it, or use another database, \
         or, if nothing in it is needed, drop it (drop schema dashboard cascade); nothing was changed"
    )]
    NotOurs,
    /// A source has to be chosen.
    #[error(
        "holds tables of another application, and DASHBOARD_SOURCE does not say what dashboards come \
         from: set it to \"moc-instructions\" or to the folder of a source of your own (docs/adoption.md), \
         or to \"standalone\" to have a collection made beside those tables; nothing was changed"
    )]
    NoSource,
    /// It is not installed, and a start does not do that.
    #[error(
        "does not have the source \"{0}\" installed, or not this version of it; see what it would do and \
         do it: dashboard-server source install --dry-run, dashboard-server source install"
    )]
    NotInstalled(String),
    /// Another one is installed.
    #[error(
        "has the source \"{0}\" installed: set DASHBOARD_SOURCE to it, or remove it first \
         (dashboard-server source uninstall)"
    )]
    OtherSource(String),
    /// The source does not fit the database.
    #[error("cannot be read: {0}")]
    Source(InstallError),
    /// 55P03: a lock is held by another session.
    #[error(
        "cannot be brought up to date, because another session holds a lock ({0}): wait for the node \
         that brings it up to date, or end the transaction that was left open (pg_stat_activity and \
         pg_locks name both), and start again"
    )]
    Locked(String),
    /// 53100.
    #[error("has no room left on its disk ({0}); free some and start again")]
    DiskFull(String),
    /// Anything else.
    #[error("failed: {0}")]
    Failed(sqlx::Error),
}

impl DatabaseError {
    pub(crate) fn of(options: &PgConnectOptions, cause: Cause) -> Self {
        Self::Unusable { address: address(options), cause }
    }

    /// Whether waiting would not help: a wrong password or name will not become right.
    pub(super) fn is_lasting(&self) -> bool {
        !matches!(
            self,
            Self::Unusable {
                cause: Cause::Refused
                    | Cause::UnknownHost(_)
                    | Cause::Unreachable(_)
                    | Cause::TooManyConnections(_)
                    | Cause::NotReady(_)
                    | Cause::Failed(_),
                ..
            }
        )
    }
}

/// Host, port and name, without user and password.
pub(crate) fn address(options: &PgConnectOptions) -> String {
    let name = options.get_database().unwrap_or("(default)");
    format!("{}:{}/{name}", options.get_host(), options.get_port())
}

impl From<sqlx::Error> for Cause {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Self::Refused
            }
            // The standard library has no kind for it.
            sqlx::Error::Io(error) if error.to_string().contains("failed to lookup address") => {
                Self::UnknownHost(error)
            }
            sqlx::Error::Tls(error) => Self::Tls(error.to_string()),
            sqlx::Error::Database(error) => {
                let (code, told) = (error.code().unwrap_or_default(), error.message().to_owned());
                match &*code {
                    "28000" if told.contains("no encryption") || told.contains("SSL off") => {
                        Self::TlsRequired(told)
                    }
                    _ if code.starts_with("28") => Self::LogIn(told),
                    "3D000" => Self::NoDatabase(told),
                    "53300" => Self::TooManyConnections(told),
                    "57P03" => Self::NotReady(told),
                    "25006" => Self::ReadOnly,
                    "42501" => Self::Denied(told),
                    "53100" => Self::DiskFull(told),
                    "55P03" => Self::Locked(told),
                    _ => Self::Failed(sqlx::Error::Database(error)),
                }
            }
            error @ (sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut) => {
                Self::Unreachable(error)
            }
            error => Self::Failed(error),
        }
    }
}

impl From<InstallError> for Cause {
    fn from(error: InstallError) -> Self {
        match error {
            InstallError::Database(error) => error.into(),
            InstallError::Locked(table) => Self::Locked(table),
            InstallError::Foreign => Self::Foreign,
            InstallError::NotOurs => Self::NotOurs,
            error => Self::Source(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What cannot be made real on a machine with one `PostgreSQL`.
    #[test]
    fn an_old_version_is_reported_with_the_one_that_is_needed() {
        let options = PgConnectOptions::new().host("db").port(1).database("d").password("hunter2");
        let error = DatabaseError::of(&options, Cause::Version(12));
        let text = "the database at db:1/d is PostgreSQL 12; version 14 or later is required";
        assert_eq!(error.to_string(), text);
        assert!(error.is_lasting());
    }

    #[test]
    fn only_what_may_pass_is_waited_for() {
        let options = PgConnectOptions::new();
        let lasting = |cause| DatabaseError::of(&options, cause).is_lasting();
        let told = String::new;
        for passing in [Cause::Refused, Cause::TooManyConnections(told()), Cause::NotReady(told())]
        {
            assert!(!lasting(passing));
        }
        for lasts in [Cause::LogIn(told()), Cause::NoDatabase(told()), Cause::Standby] {
            assert!(lasting(lasts));
        }
    }
}
