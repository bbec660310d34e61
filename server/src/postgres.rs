//! Connects to PostgreSQL. [`session`] opens a connection with the settings that each purpose needs. [`pool`]
//! keeps the connections for queries. [`pooler`] detects a pooler in between that this server cannot work behind.

pub(crate) mod pool;
pub(crate) mod pooler;
pub(crate) mod session;

pub use self::pool::{Lease, Pool};

/// An error of the database in its own words, without the code and the place in its source.
pub(crate) fn message_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        error => error.to_string(),
    }
}
