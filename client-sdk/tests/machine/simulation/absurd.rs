//! Messages that no server of ours sends.

use client_sdk::random::Random;
use client_sdk::time::Millis;

/// Frames that must change nothing of what is shown; none of them is an event of the contract.
const FRAMES: &[&str] = &[
    "",
    "4",
    "3",
    "5",
    "9",
    "🧱",
    "42",
    "42/dashboard,",
    "42/dashboard,{}",
    "42/dashboard,[]",
    "42/dashboard,[null,1e999]",
    "42/elsewhere,[\"dashboard:summaryUpdated\",{}]",
    "42/dashboard,[\"dashboard:newThing\",{\"a\":1}]",
    "42/dashboard,[\"dashboard:error\",{\"type\":\"dashboard:error\",\"payload\":{\"code\":\"NEW\"}}]",
    "43/dashboard,1[]",
    "45/dashboard,1-[\"a\",{\"_placeholder\":true}]",
    "40/dashboard,{\"sid\":\"again\"}",
    "0{\"sid\":\"again\",\"pingInterval\":1,\"pingTimeout\":1}",
    "0{\"sid\":\"again\",\"pingInterval\":0,\"pingTimeout\":-1}",
];

/// Payloads that break the contract, in an envelope that does not.
const PAYLOADS: &[&str] = &[
    "null",
    "\"text\"",
    "[]",
    "{\"totalMocs\":-1}",
    "{\"totalMocs\":1e308}",
    "{\"totalMocs\":99999999999999999999999999}",
    "{\"totalMocs\":\"1\",\"totalWishlistItems\":[]}",
];

/// An absurd text, or none for a binary message.
pub(super) fn frame(dice: &mut Random) -> Option<String> {
    let mut draw = |below: usize| {
        usize::try_from(dice.span(Millis(0), Millis(below as u64 - 1)).0).unwrap_or_default()
    };
    match draw(6) {
        0 => None,
        1 => Some(format!("42/dashboard,{}", "[".repeat(20_000))),
        2 | 3 => {
            let payload = PAYLOADS[draw(PAYLOADS.len())];
            let revision = ["500", "-1", "1.5", "9007199254740993", "1e400"][draw(5)];
            Some(format!(
                r#"42/dashboard,["dashboard:summaryUpdated",{{"eventId":"0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60","type":"dashboard:summaryUpdated","timestamp":"2026-11-23T09:30:00Z","revision":{revision},"payload":{payload}}}]"#
            ))
        }
        _ => Some(FRAMES[draw(FRAMES.len())].to_owned()),
    }
}

/// A snapshot's body that breaks the contract.
pub(super) fn body(whole: &str, dice: &mut Random) -> String {
    match dice.span(Millis(0), Millis(5)).0 {
        0 => String::new(),
        1 => "{\"summary\":".repeat(20_000),
        2 => whole[..whole.len() / 2].to_owned(),
        3 => whole.replacen("\"totalMocs\":", "\"totalMocs\":1e9999", 1),
        4 => whole.replacen("\"recentMocs\":[", "\"recentMocs\":[{\"id\":7},", 1),
        _ => whole.replacen("\"themeBreakdown\":[", "\"themeBreakdown\":null,\"other\":[", 1),
    }
}

/// A record of the last view that must not be shown, or none where it is never found.
pub(super) fn record(whole: Option<String>, dice: &mut Random) -> Option<String> {
    let whole = whole.unwrap_or_default();
    let (_, json) = whole.split_once('\n').unwrap_or_default();
    match dice.span(Millis(0), Millis(4)).0 {
        0 => None,
        1 => Some(whole[..whole.len() / 2].to_owned()),
        2 => Some(format!("1 9999999999999999 7\n{json}")),
        3 => Some(format!("2 1 7\n{json}")),
        _ => Some(format!("1 1 7\n{}", "[".repeat(20_000))),
    }
}
