//! Fuzzes the decoders of snapshots and events, which a server, a proxy or a stranger may send.
//!
//! The client reads JSON with serde in native programs and with its own decoder in browsers. Both
//! must accept the same texts and read the same from them. What they accept must survive being
//! written and read again.

use std::fmt::Debug;

use client_sdk::View;
use client_sdk::decode::checked::CheckedDecoder;
use client_sdk::decode::json::JsonDecoder;
use client_sdk::decode::{Change, DecodeError, Decoder, Event};
use client_sdk::encode::ToJson;
use serde_json::json;
use shared_types::{DashboardView, EventType};

/// The body of an answer to a request for a snapshot: a view, or an error.
///
/// # Panics
/// Where the decoders disagree, or a view does not come back as it was written.
pub fn snapshot(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    agree(text, |decoder| decoder.rest_refusal(text));
    let Some(view) = agree(text, |decoder| decoder.snapshot(text)) else { return };
    // As the client keeps it, and as the server sends it.
    let ours = written(&View::from(view.clone()));
    let serdes = serde_json::to_string(&view).expect("a view has nothing that JSON lacks");
    for again in [ours, serdes] {
        let read: Option<DashboardView> = agree(&again, |decoder| decoder.snapshot(&again));
        assert_eq!(read.as_ref(), Some(&view), "{again}");
    }
}

/// An event: the array of its name and its envelope.
///
/// # Panics
/// Where the decoders disagree, or an event does not come back as it was written.
pub fn event(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Some(event) = agree(text, |decoder| decoder.event(text)) else { return };
    let (event_type, revision, payload) = match &event {
        Event::Change { revision, change } => {
            let (event_type, payload) = match change {
                Change::Summary(summary) => (EventType::SummaryUpdated, written(summary)),
                Change::ThemeBreakdown(themes) => {
                    (EventType::ThemeBreakdownUpdated, written(themes))
                }
                Change::RecentMocAdded(moc) => (EventType::RecentMocAdded, written(moc)),
                Change::RecentMocs(mocs) => (EventType::RecentMocsUpdated, written(mocs)),
                Change::PartialParts(mocs) => (EventType::PartialPartsUpdated, written(mocs)),
            };
            (event_type, revision.get(), payload)
        }
        Event::Error(told) => (EventType::Error, 1, json!(told).to_string()),
        Event::Unknown(name) => {
            assert_eq!(EventType::from_name(name), None);
            return;
        }
    };
    let name = event_type.name();
    let again = format!(
        "[\"{name}\",{{\"eventId\":\"0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60\",\"type\":\"{name}\",\
         \"timestamp\":\"2026-11-23T09:30:00Z\",\"revision\":{revision},\"payload\":{payload}}}]"
    );
    assert_eq!(agree(&again, |decoder| decoder.event(&again)).as_ref(), Some(&event), "{again}");
}

/// What both decoders read from a text, if they accept it.
pub(crate) fn agree<T: PartialEq + Debug>(
    text: &str,
    read: impl Fn(&dyn Decoder) -> Result<T, DecodeError>,
) -> Option<T> {
    match (read(&JsonDecoder), read(&CheckedDecoder)) {
        // What is optional is read as absent where serde refuses the rest.
        (Ok(native), Ok(browser)) if native != browser && is_refused_by_serde_alone(text) => None,
        (Ok(native), Ok(browser)) => {
            assert_eq!(native, browser, "{text}");
            Some(native)
        }
        (Err(_), Err(_)) => None,
        (Err(_), Ok(_)) if is_refused_by_serde_alone(text) => None,
        (native, browser) => panic!("native: {native:?}\nbrowser: {browser:?}\n{text}"),
    }
}

/// What the two are allowed to see differently, all of it in parts that the contract has no use
/// for: `serde_json` bounds the depth, and wants the names of unknown members to be text.
fn is_refused_by_serde_alone(text: &str) -> bool {
    let deep = text.bytes().filter(|byte| b"[{".contains(byte)).count() > 120;
    deep || text.contains("\\ud") || text.contains("\\uD")
}

fn written(value: &impl ToJson) -> String {
    let mut json = String::new();
    value.write_json(&mut json);
    json
}
