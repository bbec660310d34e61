//! What a server counts, as Prometheus reads it.

use std::fmt;

/// The text of one scrape.
pub struct Metrics(String);

impl Metrics {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The value of the series of exactly that name and labels, such as `dashboard_connections` or
    /// `dashboard_limited_total{limit="sockets"}`; 0 if there is none.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        self.text(series).map_or(0.0, |number| number.parse().expect("a number"))
    }

    /// The same of what only comes in whole numbers.
    #[must_use]
    pub fn count(&self, series: &str) -> u64 {
        self.text(series).map_or(0, |number| number.parse().expect("a whole number"))
    }

    /// How often that limit turned someone away.
    #[must_use]
    pub fn limited(&self, limit: &str) -> u64 {
        self.count(&format!("dashboard_limited_total{{limit=\"{limit}\"}}"))
    }

    fn text(&self, series: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
