//! Maps the values of a watch to the feeds that they lead to: the source, with its numbers in the database.

use std::collections::HashMap;

use super::lane::Subject;
use super::statements;
use crate::source::columns::columns;
use crate::source::{Feed, Installed, Kind, Origin, Watch};

/// A source, ready to be projected.
#[derive(Debug)]
pub(super) struct Map {
    /// Facts first, and at the end those that are not of the source any more.
    feeds: Vec<Feed>,
    numbers: Vec<i16>,
    watches: HashMap<Watch, i16>,
    /// The statement that projects rows, for each feed.
    statements: Vec<String>,
}

impl Map {
    pub(super) fn new(installed: Installed) -> Self {
        let feeds = installed.source.feeds;
        let number = |name: &str| {
            let place = feeds.iter().position(|feed| feed.name == name)?;
            installed.feeds.get(place).copied()
        };
        let statements = feeds.iter().map(|feed| statements::project(feed, number)).collect();
        Self { feeds, numbers: installed.feeds, watches: installed.watches, statements }
    }

    /// Takes up a feed that an earlier version of the source had. Nothing of it is left to be shown.
    pub(super) fn retire(&mut self, number: i16, name: String, kind: Kind) {
        let columns = ["id", "user_id"].into_iter().chain(columns(kind));
        let columns: Vec<_> = columns.map(|column| format!("null as {column}")).collect();
        let query = format!("select {} where false", columns.join(", "));
        let home = Watch { table: String::new(), key: Vec::new() };
        let feed = Feed { name, kind, query, home, routes: Vec::new() };
        self.statements.push(statements::project(&feed, |_| None));
        self.feeds.push(feed);
        self.numbers.push(number);
    }

    /// All feeds: facts first.
    pub(super) fn feeds(&self) -> &[Feed] {
        &self.feeds
    }

    /// The number of the feed at that place.
    pub(super) fn number(&self, place: usize) -> i16 {
        self.numbers[place]
    }

    /// The place of the feed with that number. None if the number is unknown.
    pub(super) fn place(&self, number: i16) -> Option<usize> {
        self.numbers.iter().position(|known| *known == number)
    }

    pub(super) fn feed(&self, number: i16) -> Option<&Feed> {
        self.place(number).map(|place| &self.feeds[place])
    }

    /// The statement that projects rows of the feed at that place.
    pub(super) fn statement(&self, place: usize) -> &str {
        &self.statements[place]
    }

    /// The feeds, by place, that a watch concerns, and the query that leads from noted values to the keys
    /// of rows. No query where a noted value is the key.
    pub(super) fn routes(&self, watch: i16) -> Vec<(usize, Option<&str>)> {
        let is_it = |known| self.watches.get(known) == Some(&watch);
        let mut routes = Vec::new();
        for (place, feed) in self.feeds().iter().enumerate() {
            if is_it(&feed.home) {
                routes.push((place, None));
            }
            for route in &feed.routes {
                if matches!(&route.from, Origin::Table(from) if is_it(from)) {
                    routes.push((place, route.to.as_deref()));
                }
            }
        }
        routes
    }

    /// The same for the owners of facts of the feed at that place.
    pub(super) fn routes_of_fact(&self, fact: usize) -> Vec<(usize, &str)> {
        let fact = &self.feeds()[fact].name;
        let mut routes = Vec::new();
        for (place, feed) in self.feeds().iter().enumerate() {
            for route in &feed.routes {
                if let (Origin::Fact(from), Some(to)) = (&route.from, &route.to)
                    && from == fact
                {
                    routes.push((place, to.as_str()));
                }
            }
        }
        routes
    }

    /// How many values are noted of each row.
    pub(super) fn width(&self, subject: Subject) -> usize {
        let Subject::Watch(number) = subject else { return 1 };
        let watch = self.watches.iter().find(|(_, known)| **known == number);
        watch.map_or(1, |(watch, _)| watch.key.len())
    }
}
