//! The decoder of browsers and that of native programs accept the same texts, and read the same.
#![cfg(test)]
#![cfg(all(feature = "native", not(target_arch = "wasm32")))]

use std::fs;
use std::path::Path;

use client_sdk::decode::checked::CheckedDecoder;
use client_sdk::decode::json::JsonDecoder;
use client_sdk::decode::{DecodeError, Decoder};

#[derive(Clone, Copy)]
enum Kind {
    View,
    Answer,
    Event,
    Handshake,
    Acceptance,
    Refusal,
    ErrorBody,
}

/// What is put in the place of a piece of a text that was good.
const PIECES: [&str; 34] = [
    "",
    " ",
    "\n",
    ",",
    ":",
    "{}",
    "[]",
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1.0",
    "1e0",
    "01",
    "1.",
    "100",
    "101",
    "4294967295",
    "4294967296",
    "9007199254740991",
    "9007199254740992",
    "18446744073709551616",
    "1e999",
    "\"\"",
    "\"a\"",
    "\"\\u0041\\n\\/\"",
    "\"\\ud83e\\uddf1\"",
    "\"\\ud83e\"",
    "\"\\uddf1\"",
    "\"\\x\"",
    "\"\u{1}\"",
    "\"é\"",
    "\"id\":1,",
];

#[test]
fn goldens_are_read_alike() {
    let mut accepted = 0;
    for (kind, text) in goldens() {
        accepted += usize::from(compare(kind, &text));
    }
    assert!(accepted >= 10, "{accepted}");
}

#[test]
fn goldens_with_a_piece_exchanged_are_read_alike() {
    let (mut accepted, mut refused) = (0, 0);
    for (kind, text) in goldens() {
        for (at, cut) in tokens(&text).windows(2).enumerate() {
            // A fifth of all the pairs, another one at each place.
            for piece in PIECES.iter().skip(at % 5).step_by(5) {
                // serde refuses a stranger's name that is no text; `JSON.parse` and ours do not mind.
                if piece.contains("\\ud") && text[cut[1]..].starts_with(':') {
                    continue;
                }
                if compare(kind, &[&text[..cut[0]], piece, &text[cut[1]..]].concat()) {
                    accepted += 1;
                } else {
                    refused += 1;
                }
            }
        }
    }
    assert!(accepted >= 1_000 && refused >= 5_000, "{accepted} accepted, {refused} refused");
}

#[test]
fn names_may_be_escaped_and_strangers_are_ignored() {
    for (kind, text) in goldens() {
        compare(kind, &text.replacen("\"id\"", "\"\\u0069d\"", 1));
        compare(kind, &text.replacen('{', "{\"more\":[{\"a\":[[],{}]},\"\\ud800\",1e999],", 1));
    }
}

/// Whether both accept a text like that golden; fails where only one does, or where they read
/// different things.
fn compare(kind: Kind, text: &str) -> bool {
    match kind {
        Kind::View => agree(text, &JsonDecoder.snapshot(text), &CheckedDecoder.snapshot(text)),
        Kind::Answer => agree(text, &JsonDecoder.answer(text), &CheckedDecoder.answer(text)),
        Kind::Event => agree(text, &JsonDecoder.event(text), &CheckedDecoder.event(text)),
        Kind::Handshake => {
            agree(text, &JsonDecoder.handshake(text), &CheckedDecoder.handshake(text))
        }
        Kind::Acceptance => {
            let read = JsonDecoder.acceptance(text);
            assert_eq!(read, CheckedDecoder.acceptance(text), "{text}");
            read.is_some()
        }
        Kind::Refusal => agree(text, &JsonDecoder.refusal(text), &CheckedDecoder.refusal(text)),
        Kind::ErrorBody => {
            agree(text, &JsonDecoder.rest_refusal(text), &CheckedDecoder.rest_refusal(text))
        }
    }
}

fn agree<T: PartialEq + std::fmt::Debug>(
    text: &str,
    native: &Result<T, DecodeError>,
    browser: &Result<T, DecodeError>,
) -> bool {
    match (native, browser) {
        (Ok(native), Ok(browser)) => assert_eq!(native, browser, "{text}"),
        (Err(_), Err(_)) => {}
        _ => panic!("native: {native:?}\nbrowser: {browser:?}\n{text}"),
    }
    native.is_ok()
}

/// Where the tokens of a JSON text begin and end.
fn tokens(text: &str) -> Vec<usize> {
    let mut cuts = vec![0];
    let mut is_inside = false;
    for (at, character) in text.char_indices() {
        let is_quote = character == '"' && !text[..at].ends_with('\\');
        if is_quote && is_inside {
            cuts.push(at + 1);
        } else if is_quote || !is_inside && !character.is_ascii_alphanumeric() {
            cuts.push(at);
            if !is_quote {
                cuts.push(at + 1);
            }
        }
        is_inside ^= is_quote;
    }
    cuts.push(text.len());
    cuts.dedup();
    cuts
}

/// The contract's examples, events as Socket.IO sends them, and the two small objects of a
/// connection's beginning.
fn goldens() -> Vec<(Kind, String)> {
    let handshake = r#"{"sid":"a","upgrades":[],"pingInterval":10000,"pingTimeout":5000}"#;
    let refusal = r#"{"message":"no","data":{"code":"AUTH_FAILED","more":[1]}}"#;
    let mut texts = vec![
        (Kind::Handshake, handshake.to_owned()),
        (Kind::Acceptance, r#"{"sid":"a","tag":"e-17"}"#.to_owned()),
        (Kind::Acceptance, r#"{"sid":"a","tag":null}"#.to_owned()),
        (Kind::Answer, r#"{"fresh":"1","tag":"e-17","view":null}"#.to_owned()),
        (Kind::Refusal, refusal.to_owned()),
        (Kind::Event, r#"["dashboard:somethingNew",{"a":1},2]"#.to_owned()),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared-types/goldens");
    for folder in [root.clone(), root.join("rejected")] {
        let mut paths: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if name.starts_with("event-") {
                let (_, after) = text.split_once("\"type\": \"").unwrap();
                let (event_type, _) = after.split_once('"').unwrap();
                texts.push((Kind::Event, format!("[\"{event_type}\",{text}]")));
            } else if name.starts_with("error-body-") {
                texts.push((Kind::ErrorBody, text));
            } else if name.contains("view") {
                if name == "view" {
                    let answer = format!(r#"{{"fresh":"1","tag":"e-17","view":{text}}}"#);
                    texts.push((Kind::Answer, answer));
                }
                texts.push((Kind::View, text));
            }
        }
    }
    texts
}
