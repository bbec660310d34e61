//! The contract's goldens, read by the native decoder: what is accepted, and what is refused.
#![cfg(test)]
#![cfg(all(feature = "native", not(target_arch = "wasm32")))]

use std::fs;
use std::path::{Path, PathBuf};

use client_sdk::decode::json::JsonDecoder;
use client_sdk::decode::{Decoder as _, Event};
use serde_json::{Value, json};

#[test]
fn every_accepted_golden_is_read_whole() {
    let (mut views, mut events) = (0, 0);
    for (name, text) in goldens("") {
        if name.ends_with("view") || name.starts_with("view-") {
            let view =
                JsonDecoder.snapshot(&text).unwrap_or_else(|error| panic!("{name}: {error:?}"));
            let golden: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_value(view).unwrap(), golden, "{name}");
            views += 1;
        } else if name.starts_with("event-") {
            let event = JsonDecoder.event(&array(&text));
            assert!(
                matches!(event, Ok(Event::Change { .. } | Event::Error(_))),
                "{name}: {event:?}"
            );
            events += 1;
        }
    }
    assert!(views >= 2 && events >= 8, "{views} views, {events} events");
}

#[test]
fn every_rejected_golden_is_refused() {
    let mut seen = 0;
    for (name, text) in goldens("rejected") {
        let refused = if name.starts_with("view-") {
            JsonDecoder.snapshot(&text).is_err()
        } else if name.starts_with("event-") {
            !matches!(JsonDecoder.event(&array(&text)), Ok(Event::Change { .. } | Event::Error(_)))
        } else {
            continue;
        };
        assert!(refused, "{name}");
        seen += 1;
    }
    assert!(seen >= 25, "{seen}");
}

#[test]
fn the_browsers_test_reads_the_same_goldens() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/goldens.rs");
    let carried = fs::read_to_string(path).unwrap();
    for (name, _) in goldens("").into_iter().chain(goldens("rejected")) {
        let is_ours =
            name.ends_with("view") || name.starts_with("view-") || name.starts_with("event-");
        assert!(!is_ours || carried.contains(&format!("\"{name}\"")), "{name} is missing");
    }
}

/// The event as Socket.IO sends it: its name, then the envelope.
fn array(envelope: &str) -> String {
    let envelope: Value = serde_json::from_str(envelope).unwrap();
    json!([envelope["type"], envelope]).to_string()
}

fn goldens(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared-types/goldens").join(folder);
    let mut paths: Vec<PathBuf> =
        fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let is_json = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "json");
    paths
        .into_iter()
        .filter(is_json)
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect()
}
