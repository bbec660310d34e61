//! Defines a source: which of an application's tables the dashboards come from, and how.
//!
//! A source is a folder. Its `source.toml` names the tables that matter. Beside it lies a query for each
//! *feed*, which returns what rows with given keys show. The queries are the adopter's own SQL. Everything else
//! is the same for all sources, from the triggers that note what was touched to the comparison with what is
//! already shown.
//!
//! The names in this module:
//!
//! - A **feed** is a query whose rows are MOCs, sets, wishes or facts.
//! - A **watch** is a table and columns whose values triggers note.
//! - A **route** leads from what was noted to the keys of a feed's rows.

mod check;
pub(crate) mod columns;
mod install;
mod manifest;
pub(crate) mod script;
mod state;
mod triggers;
pub(crate) mod uninstall;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

pub use self::check::{Finding, check, check_installed};
pub(crate) use self::check::{is_armed, marks};
pub use self::install::{InstallError, install, make_collection};
pub(crate) use self::install::{collection_obstacle, has_collection, owe_sweeps, owner};
pub use self::manifest::SourceError;
pub use self::state::{Installed, load};
pub(crate) use self::state::{State, holds_other_tables, state};
pub(crate) use self::triggers::{KEY_TYPES, MAX_KEY_BYTES};
pub use self::uninstall::uninstall;

/// The source whose tables are made by the server.
const STANDALONE: &str = "standalone";
/// How many values of a row may be noted together.
pub(crate) const MAX_KEY_COLUMNS: usize = 8;

/// The sources that come with the server, file by file.
pub(crate) const BUILT_IN: [(&str, &[(&str, &str)]); 2] = [
    (
        "moc-instructions",
        &[
            ("source.toml", include_str!("../sources/moc-instructions/source.toml")),
            ("built_sets.sql", include_str!("../sources/moc-instructions/built_sets.sql")),
            ("mocs.sql", include_str!("../sources/moc-instructions/mocs.sql")),
            ("old_wishlist.sql", include_str!("../sources/moc-instructions/old_wishlist.sql")),
            ("sets.sql", include_str!("../sources/moc-instructions/sets.sql")),
            ("stock.sql", include_str!("../sources/moc-instructions/stock.sql")),
            ("wishlist.sql", include_str!("../sources/moc-instructions/wishlist.sql")),
        ],
    ),
    (
        "standalone",
        &[
            ("source.toml", include_str!("../sources/standalone/source.toml")),
            ("mocs.sql", include_str!("../sources/standalone/mocs.sql")),
            ("sets.sql", include_str!("../sources/standalone/sets.sql")),
            ("wishlist.sql", include_str!("../sources/standalone/wishlist.sql")),
        ],
    ),
];

/// What a feed's rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Something that rows of other feeds depend on. Shown nowhere. Projected before the others.
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

/// The source of a server, as it was configured.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The source.
    pub source: Source,
    /// It was named, and not taken because none was.
    pub is_asked: bool,
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
    /// SQL that yields the keys of the feed's rows. `$1`, `$2` … are arrays of the noted values, a column
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

    /// The kind of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let all = [Self::Fact, Self::Mocs, Self::Sets, Self::Wishlist];
        all.into_iter().find(|kind| kind.name() == name)
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

impl Feed {
    /// Its query, in which the facts that it watches are tables of their names: what `rows` selects, with the
    /// columns `key`, `user_id` and `content`.
    pub(crate) fn query_over(&self, rows: impl Fn(&str) -> String) -> String {
        // A separate line ends a comment at the query's end.
        let query = format!("\n{}\n", self.query.trim_end().trim_end_matches(';'));
        let facts = self.routes.iter().filter_map(|route| match &route.from {
            Origin::Fact(fact) => Some(fact.as_str()),
            Origin::Table(_) => None,
        });
        let facts: Vec<_> = facts
            .collect::<BTreeSet<_>>()
            .into_iter()
            .map(|fact| format!("{} as not materialized ({})", identifier(fact), rows(fact)))
            .collect();
        if facts.is_empty() {
            return query;
        }
        format!("with {} select own.* from ({query}) as own", facts.join(", "))
    }
}

impl Choice {
    /// The source that a setting names. Standalone without a setting.
    ///
    /// # Errors
    /// See [`Source::chosen`].
    pub fn of(setting: Option<&str>) -> Result<Self, SourceError> {
        let source = Source::chosen(setting.unwrap_or(STANDALONE))?;
        Ok(Self { source, is_asked: setting.is_some() })
    }
}

impl Source {
    /// A source that comes with the server.
    ///
    /// # Panics
    /// Never: a test reads them all.
    #[must_use]
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, files) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        let file = |name: &str| {
            let found = files.iter().find(|(known, _)| *known == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        let manifest = file("source.toml").unwrap_or_default();
        let source = Self::read(&manifest, |name| Ok(file(&format!("{name}.sql"))));
        Some(source.expect("a built-in source can be read"))
    }

    /// The source that a setting names: one that comes with the server, or a folder.
    ///
    /// # Errors
    /// [`SourceError::Unknown`], and those of [`Source::open`].
    pub fn chosen(setting: &str) -> Result<Self, SourceError> {
        match Self::built_in(setting) {
            Some(source) => Ok(source),
            None if Path::new(setting).is_dir() => Self::open(Path::new(setting)),
            None => Err(SourceError::Unknown(setting.to_owned())),
        }
    }

    /// The names of those.
    #[must_use]
    pub fn names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
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
        let source =
            Self::read(&read("source.toml")?, |name| match read(&format!("{name}.sql")) {
                Ok(query) => Ok(Some(query)),
                Err(SourceError::File { error, .. }) if error.kind() == ErrorKind::NotFound => {
                    Ok(None)
                }
                Err(error) => Err(error),
            })?;
        if Self::built_in(&source.name).is_some() {
            return Err(SourceError::Whole(
                "`name` is that of a source that comes with the server",
            ));
        }
        Ok(source)
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

    /// Whether its tables are the server's to make.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        self.name == STANDALONE
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

/// A name for SQL. The name may hold any characters.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error for a manifest whose sections all have a query.
    fn error(manifest: &str) -> String {
        Source::read(manifest, |_| Ok(Some("select".to_owned()))).unwrap_err().to_string()
    }

    #[test]
    fn those_that_come_with_the_server_can_be_read() {
        for name in Source::names() {
            assert_eq!(Source::built_in(name).unwrap().name, name);
        }
        assert!(Source::built_in("other").is_none());
    }

    #[test]
    fn a_table_is_listened_to_once_however_many_feeds_it_concerns() {
        let source = Source::built_in("moc-instructions").unwrap();
        let watches = source.watches();
        let by_id = watches.iter().filter(|watch| watch.table == "public.moc_instructions");
        assert_eq!(by_id.count(), 1);
        assert_eq!(watches.len(), 7, "{watches:?}");
        assert_eq!(source.feeds[0].kind, Kind::Fact, "facts come first");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_section() {
        const MOCS: &str = "name = 'x'\n[mocs]\ntable = 'a.mocs'\nkey = 'id'\n";
        for (rest, part) in [
            ("colour = 'red'", "unknown field `colour`"),
            ("[sets]\nkey = 'id'", "missing field `table`"),
            (
                "[sets]\ntable = 'sets'\nkey = 'id'",
                "[sets]: write the table \"sets\" with its schema",
            ),
            ("[bricks]\ntable = 'a.b'\nkey = 'id'", "[bricks]: kind is one of \"mocs\""),
            ("[more]\nkind = 'mocs'\ntable = 'a.b'\nkey = 'id'", "exactly one section"),
            ("[[mocs.watch]]\ntable = 'a.parts'", "[mocs]: a watch has a table and a key"),
            ("[[mocs.watch]]\ntable = 'a.parts'\nkey = ['a', 'b']", "needs a `to`"),
            ("[[mocs.watch]]\ntable = 'a.parts'\nkey = []", "1 to 8 columns"),
            ("[[mocs.watch]]\nfact = 'gone'\nto = 'select'", "no section [gone]"),
            ("[[mocs.watch]]\nfact = 'gone'", "needs a `to`"),
            ("name", "TOML parse error"),
        ] {
            let error = error(&format!("{MOCS}{rest}"));
            assert!(error.contains(part), "{rest}: {error}");
        }
        let none = Source::read(MOCS, |_| Ok(None)).unwrap_err().to_string();
        assert!(none.contains("[mocs]: there is no mocs.sql"), "{none}");
        let folder = Source::open(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(folder.contains("/nowhere/source.toml"), "{folder}");
    }
}
