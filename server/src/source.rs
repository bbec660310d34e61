//! A source: which of an application's tables the dashboards come from, and how.
//!
//! It is a folder: `source.toml` says which tables matter, and beside it lies a query for each *feed*,
//! which says what rows with given keys show. The queries are the adopter's own SQL; everything else,
//! from the triggers that note what was touched to the comparison with what is shown already, is the same
//! for all sources.
//!
//! The names in this module: a **feed** is a query whose rows are MOCs, sets, wishes or facts; a **watch**
//! is a table and columns whose values triggers note; a **route** leads from what was noted to the keys of
//! a feed's rows.

mod install;
mod manifest;
mod triggers;

use std::io::ErrorKind;
use std::path::Path;

pub use self::install::{InstallError, Installed, install, uninstall};
pub use self::manifest::SourceError;

/// How many values of a row may be noted together.
pub(crate) const MAX_KEY_COLUMNS: usize = 8;

/// What a feed's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that rows of other feeds depend on; shown nowhere. Looked at before the others.
    Fact,
    /// MOCs (D-DM-1, D-DM-2).
    Mocs,
    /// Sets, which the theme breakdown counts (D-DM-4).
    Sets,
    /// Wishes, which the summary counts.
    Wishlist,
}

/// A source whose `source.toml` and queries have been read. Whether the database has what they name is not
/// known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, for people.
    pub name: String,
    /// Its feeds: facts first, else in the order of their names.
    pub feeds: Vec<Feed>,
}

/// A query of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Its name: of its section in `source.toml`, and of its file.
    pub name: String,
    /// What its rows are.
    pub kind: Kind,
    /// SQL whose `$1` is an array of keys as text.
    pub query: String,
    /// Where its rows live: a table and the column of their keys, by which a sweep finds them all.
    pub home: Watch,
    /// What else concerns its rows. The home is not among these.
    pub routes: Vec<Route>,
}

/// A table and columns of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// Schema and name, as in SQL.
    pub table: String,
    /// The columns whose values are noted.
    pub key: Vec<String>,
}

/// From something that changes to the rows of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What changes.
    pub from: Origin,
    /// SQL that yields the keys of the feed's rows; `$1`, `$2` … are arrays of the noted values, a column
    /// each. None where the noted value is the key itself.
    pub to: Option<String>,
}

/// What a feed's rows depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Rows of a table.
    Table(Watch),
    /// The facts of a feed, by the id of their owner.
    Fact(String),
}

impl Kind {
    /// As `source.toml` and the database name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Fact => "fact",
            Self::Mocs => "mocs",
            Self::Sets => "sets",
            Self::Wishlist => "wishlist",
        }
    }

    /// The table of the read model that holds its rows.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Fact => "facts",
            Self::Mocs => "mocs",
            Self::Sets => "sets",
            Self::Wishlist => "wishlist_items",
        }
    }
}

impl Source {
    /// The source for an application that keeps MOCs, sets and parts in schema `public`.
    ///
    /// # Panics
    /// Never: a test reads it.
    #[must_use]
    pub fn moc_instructions() -> Self {
        const QUERIES: [(&str, &str); 6] = [
            ("mocs", include_str!("../sources/moc-instructions/mocs.sql")),
            ("sets", include_str!("../sources/moc-instructions/sets.sql")),
            ("built_sets", include_str!("../sources/moc-instructions/built_sets.sql")),
            ("wishlist", include_str!("../sources/moc-instructions/wishlist.sql")),
            ("old_wishlist", include_str!("../sources/moc-instructions/old_wishlist.sql")),
            ("stock", include_str!("../sources/moc-instructions/stock.sql")),
        ];
        let query = |name: &str| {
            let found = QUERIES.iter().find(|(known, _)| *known == name);
            Ok(found.map(|(_, query)| (*query).to_owned()))
        };
        let manifest = include_str!("../sources/moc-instructions/source.toml");
        Self::read(manifest, query).expect("the source is checked by a test")
    }

    /// Reads a source from a folder.
    ///
    /// # Errors
    /// [`SourceError`], which names the file and the section.
    pub fn open(folder: &Path) -> Result<Self, SourceError> {
        let read = |file: &str| {
            let path = folder.join(file);
            std::fs::read_to_string(&path).map_err(|error| SourceError::File { path, error })
        };
        Self::read(&read("source.toml")?, |name| match read(&format!("{name}.sql")) {
            Ok(query) => Ok(Some(query)),
            Err(SourceError::File { error, .. }) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Reads a source from its parts: the text of `source.toml`, and what finds a query by its name.
    ///
    /// # Errors
    /// See [`SourceError`].
    pub fn read(
        manifest: &str,
        query: impl Fn(&str) -> Result<Option<String>, SourceError>,
    ) -> Result<Self, SourceError> {
        manifest::read(manifest, query)
    }

    /// What triggers have to note, each once.
    #[must_use]
    pub fn watches(&self) -> Vec<&Watch> {
        let routes = self.feeds.iter().flat_map(|feed| &feed.routes);
        let tables = routes.filter_map(|route| match &route.from {
            Origin::Table(watch) => Some(watch),
            Origin::Fact(_) => None,
        });
        let mut watches: Vec<_> = self.feeds.iter().map(|feed| &feed.home).chain(tables).collect();
        watches.sort();
        watches.dedup();
        watches
    }
}

/// A name for SQL, whatever it holds.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
