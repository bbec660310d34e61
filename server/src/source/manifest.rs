//! Reads `source.toml` strictly, with errors that name the section.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;

use super::{Feed, Kind, MAX_KEY_COLUMNS, Origin, Route, Source, Watch};

/// Why a source cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file that is not there, or not text.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// Neither a source that comes with the server, nor a folder.
    #[error(
        "DASHBOARD_SOURCE {0:?} is neither a folder nor one of the sources that come with the server \
         ({names})", names = Source::names().join(", ")
    )]
    Unknown(String),
    /// Not TOML, or not what is expected there. Names the line.
    #[error("source.toml: {0}")]
    Toml(#[from] toml::de::Error),
    /// A section that contradicts itself.
    #[error("source.toml, [{feed}]: {what}")]
    Feed {
        /// The section's name.
        feed: String,
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The feeds do not make a dashboard.
    #[error("source.toml: {0}")]
    Whole(&'static str),
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    #[serde(flatten)]
    feeds: BTreeMap<String, Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    kind: Option<String>,
    table: String,
    key: String,
    #[serde(default)]
    watch: Vec<WatchSection>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchSection {
    table: Option<String>,
    key: Option<OneOrMore>,
    fact: Option<String>,
    to: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

pub(super) fn read(
    manifest: &str,
    query: impl Fn(&str) -> Result<Option<String>, SourceError>,
) -> Result<Source, SourceError> {
    let Manifest { name, feeds: sections } = toml::from_str(manifest)?;
    let mut feeds = Vec::new();
    for (name, section) in sections {
        let wrong = |what: String| SourceError::Feed { feed: name.clone(), what };
        let query = query(&name)?
            .ok_or_else(|| wrong(format!("there is no {name}.sql beside it with its query")))?;
        feeds.push(feed(&name, section, query).map_err(wrong)?);
    }
    feeds.sort_by(|a, b| (a.kind, &a.name).cmp(&(b.kind, &b.name)));
    if feeds.iter().filter(|feed| feed.kind == Kind::Mocs).count() != 1 {
        return Err(SourceError::Whole("exactly one section has to be of the kind \"mocs\""));
    }
    let facts: BTreeSet<_> = feeds
        .iter()
        .filter(|feed| feed.kind == Kind::Fact)
        .map(|feed| feed.name.as_str())
        .collect();
    for feed in &feeds {
        for route in &feed.routes {
            if let Origin::Fact(fact) = &route.from
                && !facts.contains(fact.as_str())
            {
                let what = format!("there is no section [{fact}] of the kind \"fact\" to watch");
                return Err(SourceError::Feed { feed: feed.name.clone(), what });
            }
        }
    }
    Ok(Source { name, feeds })
}

fn feed(name: &str, section: Section, query: String) -> Result<Feed, String> {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    if !is_plain {
        return Err("a section's name is letters, digits, - and _".to_owned());
    }
    let kind = Kind::named(section.kind.as_deref().unwrap_or(name))
        .ok_or("kind is one of \"mocs\", \"sets\", \"wishlist\", \"fact\"")?;
    let home = watch(section.table, vec![section.key])?;
    let routes: Result<_, _> = section.watch.into_iter().map(|watch| route(kind, watch)).collect();
    Ok(Feed { name: name.to_owned(), kind, query, home, routes: routes? })
}

fn route(kind: Kind, section: WatchSection) -> Result<Route, String> {
    let WatchSection { table, key, fact, to } = section;
    let from = match (table, key, fact) {
        (Some(table), Some(key), None) => Origin::Table(watch(
            table,
            match key {
                OneOrMore::One(column) => vec![column],
                OneOrMore::More(columns) => columns,
            },
        )?),
        (None, None, Some(fact)) => Origin::Fact(fact),
        _ => return Err("a watch has a table and a key, or a fact".to_owned()),
    };
    match (&from, &to) {
        (Origin::Fact(_), _) if kind == Kind::Fact => {
            Err("facts cannot depend on facts; let the query read the tables".to_owned())
        }
        (Origin::Fact(fact), None) => {
            Err(format!("the watch of {fact} needs a `to`: the keys of the rows of owners $1"))
        }
        (Origin::Table(watch), None) if watch.key.len() > 1 => Err(format!(
            "the watch of {} notes several columns and needs a `to` that makes keys of them",
            watch.table
        )),
        _ => Ok(Route { from, to }),
    }
}

fn watch(table: String, key: Vec<String>) -> Result<Watch, String> {
    if key.is_empty() || key.len() > MAX_KEY_COLUMNS {
        return Err(format!("a key has 1 to {MAX_KEY_COLUMNS} columns"));
    }
    // Nothing is found by a search path: what it holds is up to others.
    match table.split_once('.') {
        Some((schema, name)) if !schema.is_empty() && !name.is_empty() && !name.contains('.') => {
            Ok(Watch { table, key })
        }
        _ => Err(format!("write the table {table:?} with its schema, such as \"public.{table}\"")),
    }
}
