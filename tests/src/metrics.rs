//! What a server counts, as Prometheus reads it.

use std::fmt;
use std::str::FromStr;

/// The text of one scrape.
pub struct Metrics(String);

impl Metrics {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The value of a series such as `dashboard_limited_total{limit="sockets"}`; of a name without
    /// labels, the sum over them. 0 if there is none.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        self.values::<f64>(series).sum()
    }

    /// The same of what only comes in whole numbers.
    #[must_use]
    pub fn count(&self, series: &str) -> u64 {
        self.values::<u64>(series).sum()
    }

    /// How often that limit turned someone away.
    #[must_use]
    pub fn limited(&self, limit: &str) -> u64 {
        self.count(&format!("dashboard_limited_total{{limit=\"{limit}\"}}"))
    }

    fn values<T: FromStr>(&self, series: &str) -> impl Iterator<Item = T> {
        let lines = self.0.lines().filter(move |line| {
            line.strip_prefix(series).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines.map(|line| {
            let value = line.rsplit(' ').next().and_then(|number| number.parse().ok());
            value.unwrap_or_else(|| panic!("not such a number: {line}"))
        })
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
