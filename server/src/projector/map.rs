//! Where the values of a watch lead: the source, with the numbers that it has in the database.

use super::lane::Subject;
use super::statements;
use crate::source::{Feed, Installed, Origin};

/// A source, ready to be projected.
#[derive(Debug)]
pub(super) struct Map {
    installed: Installed,
    /// The statement that projects rows, for each feed.
    statements: Vec<String>,
}

impl Map {
    pub(super) fn new(installed: Installed) -> Self {
        let statements = installed.source.feeds.iter().map(statements::project).collect();
        Self { installed, statements }
    }

    /// All feeds: facts first.
    pub(super) fn feeds(&self) -> &[Feed] {
        &self.installed.source.feeds
    }

    /// The number of the feed at that place.
    pub(super) fn number(&self, place: usize) -> i16 {
        self.installed.feeds[place]
    }

    /// The place of the feed with that number; none if the source has it no more.
    pub(super) fn place(&self, number: i16) -> Option<usize> {
        self.installed.feeds.iter().position(|known| *known == number)
    }

    pub(super) fn feed(&self, number: i16) -> Option<&Feed> {
        self.place(number).map(|place| &self.feeds()[place])
    }

    /// The statement that projects rows of the feed at that place.
    pub(super) fn statement(&self, place: usize) -> &str {
        &self.statements[place]
    }

    /// The feeds, by place, that a watch concerns; and the query that leads from noted values to the keys
    /// of rows. None where a noted value is the key.
    pub(super) fn routes(&self, watch: i16) -> Vec<(usize, Option<&str>)> {
        let is_it = |known| self.installed.watches.get(known) == Some(&watch);
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
        let watch = self.installed.watches.iter().find(|(_, known)| **known == number);
        watch.map_or(1, |(watch, _)| watch.key.len())
    }
}
