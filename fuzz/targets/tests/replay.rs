//! Replays the corpora with every run of the tests: inputs that once found a bug, or that reach code
//! that no other input reaches.
#![cfg(test)]

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::TARGETS;

/// As much as a checkout should have to carry.
const MAX_BYTES: u64 = 600 * 1024;

#[test]
fn client_frames() {
    replay("client_frames");
}

#[test]
fn server_frames() {
    replay("server_frames");
}

#[test]
fn packet() {
    replay("packet");
}

#[test]
fn token() {
    replay("token");
}

#[test]
fn snapshot() {
    replay("snapshot");
}

#[test]
fn event() {
    replay("event");
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_replay() {
    let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    let listed = |folder: &str, ending: &str| {
        let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap());
        let mut listed: Vec<String> = entries
            .map(|entry| entry.file_name().into_string().unwrap().replace(ending, ""))
            .collect();
        listed.sort();
        listed
    };
    assert_eq!(listed("corpus", ""), names);
    assert_eq!(listed("fuzz_targets", ".rs"), names);
    let own = include_str!("replay.rs");
    for name in names {
        assert!(own.contains(&format!("replay(\"{name}\")")), "{name} is not replayed");
    }
}

#[test]
fn corpora_are_small() {
    let sizes = TARGETS.iter().flat_map(|(name, _)| files(name));
    let bytes: u64 = sizes.map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= MAX_BYTES, "{bytes} bytes; minimise with `cargo xtask fuzz --keep`");
}

fn replay(name: &str) {
    let (_, target) = TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let files = files(name);
    assert!(!files.is_empty(), "the corpus of {name} is gone");
    for path in files {
        let bytes = fs::read(&path).unwrap();
        let held = std::panic::catch_unwind(|| target(&bytes)).is_ok();
        assert!(held, "{} fails; its bytes: {}", path.display(), bytes.escape_ascii());
    }
}

fn files(name: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("corpus").join(name)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
