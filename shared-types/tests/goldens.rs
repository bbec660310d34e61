//! The JSON examples in `goldens/`, which the tests of every language read.
//!
//! Each accepted one survives decoding and encoding byte for byte; each rejected one is refused for
//! the reason that `rejected/reasons.json` gives. What a file holds is told by its name: `view-…`
//! or `…-view`, `event-…`, `error-body-…`.

#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared_types::{
    DashboardEvent, DashboardSummary, DashboardView, ErrorBody, ErrorEvent, EventType,
    PartialPartsMoc, RecentMoc, ThemeStats,
};

#[test]
fn accepted_examples_survive_a_round_trip() {
    let paths = json_files("");
    assert!(paths.len() >= 10, "the examples are missing");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let again = round_trip(&name(&path), &text).unwrap_or_else(|why| {
            panic!("{}: {why}", path.display());
        });
        assert_eq!(again + "\n", text, "{}", path.display());
    }
}

#[test]
fn every_type_of_event_has_an_example() {
    let types: BTreeSet<String> = json_files("")
        .iter()
        .filter(|path| name(path).starts_with("event-"))
        .map(|path| {
            let value: Value = read(path);
            value["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(types, EventType::ALL.map(|event_type| event_type.name().to_owned()).into());
}

#[test]
fn rejected_examples_are_refused_for_their_reason() {
    let mut reasons: BTreeMap<String, String> = read(&folder("rejected").join("reasons.json"));
    for path in json_files("rejected") {
        let name = name(&path);
        let reason = reasons.remove(&name).unwrap_or_else(|| panic!("{name} has no reason"));
        let text = std::fs::read_to_string(&path).unwrap();
        let error = round_trip(&name, &text).expect_err(&name).to_string();
        assert!(error.starts_with(&reason), "{name}: {error}");
    }
    assert_eq!(reasons, BTreeMap::new(), "reasons without a file");
}

/// As much of an event as tells what the rest is.
#[derive(serde::Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    event_type: EventType,
}

fn round_trip(name: &str, text: &str) -> serde_json::Result<String> {
    if name.starts_with("error-body") {
        return again::<ErrorBody>(text);
    }
    if name.contains("view") {
        return again::<DashboardView>(text);
    }
    match serde_json::from_str::<Typed>(text)?.event_type {
        EventType::SummaryUpdated => again::<DashboardEvent<DashboardSummary>>(text),
        EventType::RecentMocAdded => again::<DashboardEvent<RecentMoc>>(text),
        EventType::RecentMocsUpdated => again::<DashboardEvent<Vec<RecentMoc>>>(text),
        EventType::PartialPartsUpdated => again::<DashboardEvent<Vec<PartialPartsMoc>>>(text),
        EventType::ThemeBreakdownUpdated => again::<DashboardEvent<Vec<ThemeStats>>>(text),
        EventType::Error => again::<DashboardEvent<ErrorEvent>>(text),
    }
}

fn again<T: DeserializeOwned + Serialize>(text: &str) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&serde_json::from_str::<T>(text)?)
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn json_files(inner: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder(inner))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "json"))
        .filter(|path| name(path) != "reasons.json")
        .collect();
    paths.sort();
    paths
}

fn folder(inner: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens").join(inner)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}
