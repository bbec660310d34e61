//! What must be absent from the core: clocks, I/O, `async`, randomness (D-RES-1 to D-RES-5 are only
//! as testable as this holds).
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

use std::fs;
use std::path::{Path, PathBuf};

/// Where the outside world may be touched.
const OUTSIDE: [&str; 2] = ["driver", "decode/json.rs"];

const ABSENT: [(&str, &str); 21] = [
    ("a clock", "std::time"),
    ("a clock", "Instant"),
    ("a clock", "SystemTime"),
    ("a clock", "performance"),
    ("a clock", "Date"),
    ("randomness", "RandomState"),
    ("randomness", "getrandom"),
    ("randomness", "rand::"),
    ("async", "async "),
    ("async", ".await"),
    ("async", "Future"),
    ("I/O", "std::net"),
    ("I/O", "std::fs"),
    ("I/O", "std::io"),
    ("I/O", "std::env"),
    ("I/O", "println!"),
    ("I/O", "tokio"),
    ("I/O", "js_sys"),
    ("I/O", "web_sys"),
    ("threads", "std::thread"),
    ("state outside the machine", "thread_local"),
];

#[test]
fn the_core_has_no_clock_io_async_or_randomness() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    let core: Vec<PathBuf> = files
        .into_iter()
        .filter(|file| {
            let name = file.strip_prefix(&source).unwrap().to_string_lossy().into_owned();
            !OUTSIDE.iter().any(|outside| name.starts_with(outside))
        })
        .collect();
    assert!(core.len() >= 18, "the core is elsewhere now: {core:?}");
    let mut faults = Vec::new();
    for file in core {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in code(&text) {
            for (what, word) in ABSENT {
                if line.contains(word) {
                    faults.push(format!("{}:{number}: {what}: {word}", file.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_core_depends_on_the_contract_only() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(path).unwrap();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section.ends_with("dependencies]")
            && !section.ends_with("dev-dependencies]")
            && line.contains("workspace")
        {
            let is_free = line.contains("optional = true") || line.starts_with("shared-types");
            assert!(is_free, "every build of the core would need: {line}");
        }
    }
}

/// Cargo builds every kind of library that a dependency names, for each program that uses it
/// (docs/decisions/0070-native-crate.md).
#[test]
fn programs_that_use_the_library_build_no_other_kind_of_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let manifest = fs::read_to_string(path).unwrap();
    assert!(!manifest.contains("crate-type"), "name it in client-module");
}

/// The lines that are neither comments nor tests, with their numbers.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}
