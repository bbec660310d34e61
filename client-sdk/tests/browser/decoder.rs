//! The checks by hand accept and refuse what the contract does.

use client_sdk::decode::checked::CheckedDecoder;
use client_sdk::decode::{Change, Decoder as _, Event};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::goldens::{ACCEPTED, REJECTED};

#[wasm_bindgen_test]
fn every_accepted_golden_is_read() {
    for (name, text) in ACCEPTED {
        if name.starts_with("event-") {
            let event = CheckedDecoder.event(&array(text));
            assert!(
                matches!(event, Ok(Event::Change { .. } | Event::Error(_))),
                "{name}: {event:?}"
            );
        } else {
            let view = CheckedDecoder.snapshot(text);
            assert!(view.is_ok(), "{name}: {view:?}");
        }
    }
}

#[wasm_bindgen_test]
fn every_rejected_golden_is_refused() {
    for (name, text) in REJECTED {
        let refused = if name.starts_with("view-") {
            CheckedDecoder.snapshot(text).is_err()
        } else {
            !matches!(
                CheckedDecoder.event(&array(text)),
                Ok(Event::Change { .. } | Event::Error(_))
            )
        };
        assert!(refused, "{name}");
    }
}

#[wasm_bindgen_test]
fn a_breach_of_the_contract_is_reported_with_its_place() {
    let view = ACCEPTED.iter().find(|(name, _)| *name == "view").unwrap().1;
    for (from, to, place) in [
        ("\"ADDED\": 2", "\"ADDED\": 2.5", "summary.mocsByBuildStatus.ADDED: "),
        ("\"theme\": \"Space\"", "\"theme\": 7", "themeBreakdown[1].theme: "),
        ("\"themeBreakdown\"", "\"themes\"", "themeBreakdown: "),
    ] {
        let error = CheckedDecoder.snapshot(&view.replacen(from, to, 1)).unwrap_err();
        assert!(error.0.starts_with(place), "{}", error.0);
    }
}

#[wasm_bindgen_test]
fn no_json_makes_it_throw() {
    let deep = "[".repeat(200_000);
    for text in [
        "",
        "null",
        "7",
        "\"a\"",
        "[]",
        "[null]",
        "[{}]",
        "{",
        "[\"dashboard:error\"]",
        "[\"dashboard:error\",null]",
        "[\"dashboard:summaryUpdated\",[]]",
        &deep,
    ] {
        assert!(CheckedDecoder.event(text).is_err(), "{text:.40}");
        assert!(CheckedDecoder.snapshot(text).is_err(), "{text:.40}");
        assert!(CheckedDecoder.handshake(text).is_err(), "{text:.40}");
        assert!(CheckedDecoder.refusal(text).is_err(), "{text:.40}");
    }
    let unknown = CheckedDecoder.event("[\"dashboard:new\",1,2]");
    assert_eq!(unknown, Ok(Event::Unknown("dashboard:new".to_owned())));
}

#[wasm_bindgen_test]
fn handshakes_and_refusals_are_read() {
    let handshake =
        CheckedDecoder.handshake(r#"{"sid":"a","pingInterval":25000,"pingTimeout":20000}"#);
    assert_eq!(handshake.unwrap().patience.0, 45_000);
    assert!(CheckedDecoder.handshake(r#"{"pingInterval":0,"pingTimeout":20000}"#).is_err());
    let refused = |json| CheckedDecoder.refusal(json).unwrap().is_auth_failed();
    assert!(refused(r#"{"message":"AUTH_FAILED"}"#));
    assert!(refused(r#"{"message":"no","data":{"code":"AUTH_FAILED"}}"#));
    assert!(!refused(r#"{"message":"no","data":"AUTH_FAILED"}"#));
}

#[wasm_bindgen_test]
fn revisions_beyond_32_bits_are_exact() {
    let text = ACCEPTED.iter().find(|(name, _)| *name == "event-summary-updated").unwrap().1;
    let event = array(&text.replacen("\"revision\": 18", "\"revision\": 9007199254740991", 1));
    let Ok(Event::Change { revision, change: Change::Summary(_) }) = CheckedDecoder.event(&event)
    else {
        panic!("not read");
    };
    assert_eq!(revision.get(), 9_007_199_254_740_991);
}

/// The event as Socket.IO sends it: its name, then the envelope.
fn array(envelope: &str) -> String {
    let key = "\"type\": \"";
    let name = envelope.split_once(key).map_or("", |(_, rest)| rest.split('"').next().unwrap());
    format!("[\"{name}\",{envelope}]")
}
