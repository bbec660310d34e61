//! Keeps what was measured as JSON lines, and prints it as a table of medians beside the promised figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde_json::json;

use crate::contender::Kind;
use crate::scenario::Scenario;

/// One number.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    pub(crate) promise: Promise,
    /// What it was worked out from, if that is worth keeping: seconds since the start, and the
    /// value then.
    pub(crate) samples: Vec<(f64, f64)>,
}

/// What a figure of the server is held against.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Promise {
    None,
    AtMost(f64),
    AtLeast(f64),
    /// As a multiple of what the other contender of the same scenario has.
    RatioAtMost(f64),
    RatioAtLeast(f64),
}

/// A figure without a promise.
pub(crate) fn figure(name: &'static str, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, value, promise: Promise::None, samples: Vec::new() }
}

impl Figure {
    pub(crate) fn promised(self, promise: Promise) -> Self {
        Self { promise, ..self }
    }

    pub(crate) fn sampled(self, samples: Vec<(f64, f64)>) -> Self {
        Self { samples, ..self }
    }
}

/// All figures of a run.
pub(crate) struct Figures {
    file: File,
    /// By scenario and name, in the order of their coming.
    rows: Vec<Row>,
}

struct Row {
    scenario: Scenario,
    name: &'static str,
    unit: &'static str,
    promise: Promise,
    values: BTreeMap<Kind, Vec<f64>>,
}

impl Figures {
    /// Adds to that file.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| path.display().to_string())?;
        Ok(Self { file, rows: Vec::new() })
    }

    /// Keeps the figures of one measurement and prints them.
    pub(crate) fn add(
        &mut self,
        round: u32,
        scenario: Scenario,
        kind: Kind,
        figures: Vec<Figure>,
    ) -> anyhow::Result<()> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        for Figure { name, unit, value, promise, samples } in figures {
            println!("    {name:<42} {:>12} {unit}", shown(value));
            let mut line = json!({
                "at": at, "round": round, "scenario": scenario.to_string(),
                "contender": kind.to_string(), "figure": name, "unit": unit, "value": value,
            });
            if !samples.is_empty() {
                line["samples"] = json!(samples);
            }
            writeln!(self.file, "{line}")?;
            let known =
                self.rows.iter().position(|row| row.scenario == scenario && row.name == name);
            let place = known.unwrap_or(self.rows.len());
            if known.is_none() {
                let values = BTreeMap::new();
                self.rows.push(Row { scenario, name, unit, promise, values });
            }
            self.rows[place].values.entry(kind).or_default().push(value);
        }
        Ok(())
    }

    /// Medians, ratios and promises.
    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<14} {:<42} {:>11} {:>11} {:>7}  {}\n",
            "scenario", "figure (median)", "server", "other", "ratio", "promised"
        );
        for row in &self.rows {
            let server = row.values.get(&Kind::Server).map(|values| median(values));
            let other = row.values.iter().find(|(kind, _)| **kind != Kind::Server);
            let other = other.map(|(_, values)| median(values));
            // Where the other has none, such as of missed changes, there is nothing to compare.
            let ratio = server.zip(other).map(|(server, other)| server / other);
            let ratio = ratio.filter(|ratio| ratio.is_finite());
            let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), shown);
            let _ = writeln!(
                text,
                "{:<14} {:<42} {:>11} {:>11} {:>7}  {}",
                row.scenario.to_string(),
                format!("{}, {}", row.name, row.unit),
                number(server),
                number(other),
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
                verdict(row.promise, server, ratio),
            );
        }
        text
    }
}

fn verdict(promise: Promise, server: Option<f64>, ratio: Option<f64>) -> String {
    let (text, kept) = match promise {
        Promise::None => return String::new(),
        Promise::AtMost(most) => (format!("<= {}", shown(most)), server.map(|it| it <= most)),
        Promise::AtLeast(least) => (format!(">= {}", shown(least)), server.map(|it| it >= least)),
        Promise::RatioAtMost(most) => (format!("<= {most} x"), ratio.map(|it| it <= most)),
        Promise::RatioAtLeast(least) => (format!(">= {least} x"), ratio.map(|it| it >= least)),
    };
    match kept {
        Some(true) => text + "  kept",
        Some(false) => text + "  BROKEN",
        None => text,
    }
}

/// The middle value. 0 if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The value below which that share lies. 0 if there are no values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
pub(crate) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

fn shown(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size < 1.0 => format!("{value:.3}"),
        size if size < 100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((quantile(&[1.0, 2.0, 3.0, 4.0], 1.0) - 4.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn promises_are_held_against_medians() {
        let file = std::env::temp_dir().join(format!("figures-{}", std::process::id()));
        let mut figures = Figures::open(&file).unwrap();
        let promise = Promise::RatioAtMost(0.35);
        for (kind, value) in [(Kind::Server, 0.3), (Kind::Node, 1.0), (Kind::Server, 0.2)] {
            let figure = figure("cpu", "ms", value).promised(promise);
            figures.add(1, Scenario::Connect, kind, vec![figure]).unwrap();
        }
        assert!(figures.table().contains("<= 0.35 x  kept"), "{}", figures.table());
        let worse = figure("cpu", "ms", 9.0);
        figures.add(2, Scenario::Connect, Kind::Server, vec![worse.clone(), worse]).unwrap();
        assert!(figures.table().contains("BROKEN"), "{}", figures.table());
        let lines = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(lines.lines().count(), 5);
    }
}
