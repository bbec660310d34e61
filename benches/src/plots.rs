//! Draws pictures of what was measured, from the file of figures.

use std::fs;
use std::path::Path;

use anyhow::Context;
use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::drawing::IntoDrawingArea;
use plotters::element::{PathElement, Rectangle, Text};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle};
use serde_json::Value;

use crate::figures::median;

/// Readable on white and on black: the pictures have no ground of their own.
const INK: RGBColor = RGBColor(128, 128, 128);
const OURS: RGBColor = RGBColor(43, 122, 184);
const LIMIT: RGBColor = RGBColor(214, 93, 14);
const FONT: &str = "sans-serif";

/// The figures that are shown as a part of the peer's: scenario, figure, label, and the promised part.
const AGAINST_NODE: [(&str, &str, &str, Option<f64>); 10] = [
    ("connect", "CPU per connect", "CPU for a connect", Some(0.35)),
    ("connect", "memory per idle connection", "memory of an idle connection", None),
    ("connect-tls", "memory per idle connection", "the same with TLS", None),
    ("latency", "CPU per delivered event", "CPU for an event", Some(0.35)),
    ("latency", "change to client, p99", "change to client, p99", None),
    ("snapshot", "CPU per 1,000", "CPU for a snapshot", Some(0.4)),
    ("snapshot", "p99 at 16 connections", "snapshot, p99", None),
    ("snapshot", "10,000 MOCs, p95", "snapshot of 10,000 MOCs, p95", None),
    ("storm", "all live again after", "all live after a restart", None),
    ("storm", "snapshot meanwhile, p95", "snapshot meanwhile, p95", None),
];

/// Draws what the file holds into that folder. Says which pictures.
///
/// # Errors
///
/// Where the file cannot be read, or a picture not be written.
pub(crate) fn draw(figures: &Path, folder: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(figures).with_context(|| figures.display().to_string())?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    fs::create_dir_all(folder)?;
    let bars: Vec<_> = AGAINST_NODE
        .iter()
        .filter_map(|&(scenario, figure, label, promise)| {
            let of = |contender| values(&lines, scenario, contender, figure);
            let (ours, theirs) = (median(&of("server")), median(&of("node")));
            (ours > 0.0 && theirs > 0.0).then(|| Bar { label, ratio: ours / theirs, promise })
        })
        .collect();
    if !bars.is_empty() {
        against_node(&bars, &folder.join("against-node.svg"))?;
    }
    let mut soaked = lines.iter().rev().filter(|line| line["scenario"] == "soak");
    if let Some(samples) = soaked.find_map(|line| line["samples"].as_array()) {
        let number = |pair: &Value, place: usize| pair[place].as_f64().unwrap_or_default();
        let samples = samples.iter().map(|pair| (number(pair, 0) / 60.0, number(pair, 1)));
        memory_over_time(&samples.collect::<Vec<_>>(), &folder.join("soak.svg"))?;
    }
    Ok(())
}

struct Bar {
    label: &'static str,
    ratio: f64,
    promise: Option<f64>,
}

fn values(lines: &[Value], scenario: &str, contender: &str, figure: &str) -> Vec<f64> {
    let wanted = |line: &&Value| {
        line["scenario"] == scenario && line["contender"] == contender && line["figure"] == figure
    };
    lines.iter().filter(wanted).filter_map(|line| line["value"].as_f64()).collect()
}

/// A bar for each figure, as long as its part of the peer's.
fn against_node(bars: &[Bar], path: &Path) -> anyhow::Result<()> {
    const ROW: u32 = 30;
    let count = u32::try_from(bars.len())?;
    let area = SVGBackend::new(path, (760, count * ROW + 50)).into_drawing_area();
    let longest = bars.iter().map(|bar| bar.ratio).fold(1.2, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin_right(60)
        .set_left_and_bottom_label_area_size(0)
        .x_label_area_size(40)
        .y_label_area_size(230)
        .build_cartesian_2d(0.0..longest, 0.0..f64::from(count))?;
    let label = (FONT, 13).into_font().color(&INK);
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .disable_x_mesh()
        .axis_style(INK)
        .x_desc("as a part of what the Node peer takes; orange: at most so much is promised")
        .x_label_style(label.clone())
        .draw()?;
    let one = [(1.0, 0.0), (1.0, f64::from(count))];
    chart.draw_series([PathElement::new(one, INK)])?;
    for (row, bar) in (0_u32..).zip(bars) {
        // The first at the top.
        let (low, middle) = (f64::from(count - row) - 0.8, f64::from(count - row) - 0.5);
        chart.draw_series([Rectangle::new([(0.0, low), (bar.ratio, low + 0.6)], OURS.filled())])?;
        let right = label.clone().pos(Pos::new(HPos::Right, VPos::Center));
        let left = label.clone().pos(Pos::new(HPos::Left, VPos::Center));
        let gap = longest / 100.0;
        let name = format!("{}\u{a0}\u{a0}", bar.label);
        chart.draw_series([Text::new(name, (0.0, middle), right)])?;
        let ratio = format!("{:.2}", bar.ratio);
        chart.draw_series([Text::new(ratio, (bar.ratio + gap, middle), left)])?;
        if let Some(promise) = bar.promise {
            let mark = [(promise, low - 0.1), (promise, low + 0.7)];
            chart.draw_series([PathElement::new(mark, ShapeStyle::from(LIMIT).stroke_width(3))])?;
        }
    }
    area.present()?;
    println!("drew {}", path.display());
    Ok(())
}

/// The server's memory (MiB) by minutes.
fn memory_over_time(samples: &[(f64, f64)], path: &Path) -> anyhow::Result<()> {
    let area = SVGBackend::new(path, (760, 300)).into_drawing_area();
    let end = samples.iter().map(|sample| sample.0).fold(0.0, f64::max);
    let most = samples.iter().map(|sample| sample.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(&area)
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..end, 0.0..most * 1.2)?;
    chart
        .configure_mesh()
        .light_line_style(INK.mix(0.0))
        .bold_line_style(INK.mix(0.2))
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .x_desc("minutes")
        .y_desc("memory of the server, MiB")
        .draw()?;
    let line = samples.iter().copied();
    chart.draw_series(LineSeries::new(line, ShapeStyle::from(OURS).stroke_width(2)))?;
    area.present()?;
    println!("drew {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_holds_is_drawn() {
        let folder = std::env::temp_dir().join(format!("plots-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("figures.jsonl");
        let line = |scenario, contender, figure, value: f64| {
            serde_json::json!({
                "scenario": scenario, "contender": contender, "figure": figure, "value": value,
                "samples": if scenario == "soak" { vec![[5.0, 40.0], [10.0, 41.0]] } else { vec![] },
            })
        };
        let lines = [
            line("latency", "server", "CPU per delivered event", 0.2),
            line("latency", "server", "CPU per delivered event", 0.1),
            line("latency", "server", "CPU per delivered event", 0.9),
            line("latency", "node", "CPU per delivered event", 0.4),
            line("soak", "server", "memory, median", 40.5),
        ];
        fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();
        draw(&file, &folder).unwrap();
        let bars = fs::read_to_string(folder.join("against-node.svg")).unwrap();
        assert!(bars.contains("CPU for an event") && bars.contains("0.50"), "{bars}");
        assert!(!bars.contains("CPU for a connect"), "it was not measured");
        assert!(fs::read_to_string(folder.join("soak.svg")).unwrap().contains("minutes"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
