//! Defines the projector's errors, and what is to blame for each.

use crate::postgres::message_of;

/// Why a pass came to nothing. What it had taken is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The connection is of no use any more, or the database refuses to be written to.
    #[error("{}", message_of(.0))]
    Database(#[from] sqlx::Error),
    /// A home without its key.
    #[error("{table} has no column {column} of a type that can be a key: uuid, text or an integer")]
    NoKey {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// A feed's query yields a row twice.
    #[error("the query of {feed} yields the key {key} more than once")]
    Twice {
        /// The feed's name.
        feed: String,
        /// The key.
        key: String,
    },
}

/// What is to blame for work that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// A lock that another transaction has, or a deadlock with one.
    Locked,
    /// The query: it names what is not there, or what this role may not read. No row would succeed.
    Query,
    /// One of the rows, or how many there are.
    Rows,
}

impl ProjectorError {
    /// Whether the work is to blame, rather than the connection or the database.
    pub(super) fn is_the_works(&self) -> bool {
        match self {
            Self::Twice { .. } | Self::NoKey { .. } => true,
            Self::Database(sqlx::Error::Database(error)) => {
                // A session that is ended, a full disk, a database that may not be written to.
                let code = error.code().unwrap_or_default();
                let is_elsewhere = code.starts_with("57P") || code.starts_with("58");
                !is_elsewhere && code != "53100" && code != "25006"
            }
            Self::Database(error) => {
                use sqlx::Error::{ColumnDecode, ColumnNotFound, Decode};
                matches!(error, ColumnDecode { .. } | ColumnNotFound(_) | Decode(_))
            }
        }
    }

    /// Whether nothing may be written.
    pub(super) fn is_read_only(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("25006"))
    }

    pub(super) fn blame(&self) -> Blame {
        if matches!(self, Self::NoKey { .. }) {
            return Blame::Query;
        }
        let Self::Database(sqlx::Error::Database(error)) = self else { return Blame::Rows };
        match error.code().as_deref() {
            Some("55P03" | "40P01") => Blame::Locked,
            // A syntax error or access rule violation, or a missing feature. But an insertion that
            // would write a row twice (21000) is the row's.
            Some(code) if code.starts_with("42") || code.starts_with("0A") => Blame::Query,
            _ => Blame::Rows,
        }
    }
}
