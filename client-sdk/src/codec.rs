//! Reads and writes the frames of Socket.IO 5, over Engine.IO 4 on a WebSocket.
//!
//! Reading is strict and total: every text is either a [`Packet`] or an [`Unreadable`] with the
//! reason, never a panic and never a guess. This module passes JSON on as text; the
//! [`Decoder`](crate::decode::Decoder) reads it. Binary packets, polling and the client's own
//! events are left out, because the dashboard's protocol has none (D-WS-1).

use crate::prelude::*;

/// Path and query of the WebSocket.
pub const SOCKET_PATH: &str = "/socket.io/?EIO=4&transport=websocket";
/// The whole answer to a ping.
pub const PONG: &str = "3";

/// One WebSocket message, read as far as the codec can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Engine.IO's handshake, with its JSON.
    Handshake(&'a str),
    /// Engine.IO closes the connection.
    EngineClose,
    /// The server asks whether we are there.
    Ping,
    /// Nothing; Engine.IO allows it at any time.
    Noop,
    /// The namespace accepted us, with its JSON; empty where it says nothing.
    Connected(&'a str),
    /// The namespace refused us, with its JSON (D-WS-4).
    ConnectError(&'a str),
    /// An event: a JSON array, the event's name first.
    Event(&'a str),
    /// The server put us out of the namespace.
    Disconnected,
}

/// Why a text is not a packet of this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// The packet that asks the namespace to let us in, with the token if there is one (D-WS-2).
///
/// The token travels here only, never in a URL: URLs end up in access logs.
#[must_use]
pub fn connect(namespace: &str, token: Option<&str>) -> String {
    let mut packet = String::with_capacity(64);
    packet.push_str("40");
    packet.push_str(namespace);
    packet.push(',');
    if let Some(token) = token {
        packet.push_str("{\"token\":\"");
        push_escaped(&mut packet, token);
        packet.push_str("\"}");
    }
    packet
}

/// Reads one WebSocket message that is meant for `namespace`.
///
/// # Errors
///
/// Where the text is not a packet of the protocol, or not for this namespace.
pub fn decode<'a>(namespace: &str, text: &'a str) -> Result<Packet<'a>, Unreadable> {
    let (kind, rest) = split_first(text).ok_or(Unreadable("an empty frame"))?;
    match kind {
        b'0' if rest.starts_with('{') => Ok(Packet::Handshake(rest)),
        b'0' => Err(Unreadable("a handshake without its object")),
        b'1' if rest.is_empty() => Ok(Packet::EngineClose),
        b'2' if rest.is_empty() => Ok(Packet::Ping),
        b'6' if rest.is_empty() => Ok(Packet::Noop),
        b'4' => decode_message(namespace, rest),
        b'3' | b'5' => Err(Unreadable("an Engine.IO packet that only clients send")),
        b'1' | b'2' | b'6' => Err(Unreadable("an Engine.IO packet with too much in it")),
        _ => Err(Unreadable("not an Engine.IO packet")),
    }
}

/// Writes a text as the inside of a JSON string, in ASCII: browsers read that several times as
/// fast, and keep it in half the memory.
pub fn push_escaped(into: &mut String, text: &str) {
    let needs_escape = |byte| matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f..);
    let mut rest = text;
    // From escape to escape, because there are few and copying a run is quick.
    while let Some(at) = rest.bytes().position(needs_escape) {
        into.push_str(rest.get(..at).unwrap_or_default());
        let Some(escaped) = rest.get(at..).and_then(|after| after.chars().next()) else { return };
        if matches!(escaped, '"' | '\\') {
            into.push('\\');
            into.push(escaped);
        } else {
            for unit in escaped.encode_utf16(&mut [0; 2]) {
                into.push_str("\\u");
                for shift in [12, 8, 4, 0] {
                    into.push(char::from_digit(u32::from(*unit >> shift & 15), 16).unwrap_or('0'));
                }
            }
        }
        rest = rest.get(at + escaped.len_utf8()..).unwrap_or_default();
    }
    into.push_str(rest);
}

fn decode_message<'a>(namespace: &str, text: &'a str) -> Result<Packet<'a>, Unreadable> {
    let (kind, rest) = split_first(text).ok_or(Unreadable("an empty message"))?;
    if !matches!(kind, b'0'..=b'4') {
        return Err(Unreadable("a binary packet, or no Socket.IO packet"));
    }
    let data = after_namespace(namespace, rest).ok_or(Unreadable("for another namespace"))?;
    match kind {
        b'0' if data.is_empty() || data.starts_with('{') => Ok(Packet::Connected(data)),
        b'0' => Err(Unreadable("CONNECT with something else than an object")),
        b'1' if data.is_empty() => Ok(Packet::Disconnected),
        b'1' => Err(Unreadable("DISCONNECT with too much in it")),
        b'2' => {
            // An event may ask for an acknowledgement by a number; the dashboard's never do, and a
            // server must live without the answer.
            let array = data.trim_start_matches(|at: char| at.is_ascii_digit());
            if array.starts_with('[') {
                Ok(Packet::Event(array))
            } else {
                Err(Unreadable("an event without its array"))
            }
        }
        b'3' => Err(Unreadable("an acknowledgement that nobody asked for")),
        _ if data.starts_with('{') => Ok(Packet::ConnectError(data)),
        _ => Err(Unreadable("CONNECT_ERROR without its object")),
    }
}

/// What follows the namespace, which ends at the first comma or with the text; the namespace may
/// carry a query.
fn after_namespace<'a>(namespace: &str, text: &'a str) -> Option<&'a str> {
    let rest = text.strip_prefix(namespace)?;
    if rest.is_empty() {
        return Some(rest);
    }
    let (query, data) = rest.split_once(',')?;
    (query.is_empty() || query.starts_with('?')).then_some(data)
}

fn split_first(text: &str) -> Option<(u8, &str)> {
    let kind = *text.as_bytes().first()?;
    // A first byte outside ASCII begins a longer character, which cannot be split off.
    Some((kind, text.get(1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NS: &str = "/dashboard";

    #[test]
    fn frames_seen_on_the_wire_are_read() {
        let seen = [
            (r#"0{"sid":"a"}"#, Packet::Handshake(r#"{"sid":"a"}"#)),
            ("2", Packet::Ping),
            (r#"40/dashboard,{"sid":"b"}"#, Packet::Connected(r#"{"sid":"b"}"#)),
            ("40/dashboard", Packet::Connected("")),
            (
                r#"44/dashboard,{"message":"AUTH_FAILED"}"#,
                Packet::ConnectError(r#"{"message":"AUTH_FAILED"}"#),
            ),
            (r#"42/dashboard,["a",{}]"#, Packet::Event(r#"["a",{}]"#)),
            (r#"42/dashboard,17["a",{}]"#, Packet::Event(r#"["a",{}]"#)),
            (r#"42/dashboard?x=1,["a"]"#, Packet::Event(r#"["a"]"#)),
            ("41/dashboard,", Packet::Disconnected),
            ("1", Packet::EngineClose),
            ("6", Packet::Noop),
        ];
        for (text, packet) in seen {
            assert_eq!(decode(NS, text), Ok(packet), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for text in [
            "",
            "0",
            "0[]",
            "1x",
            "2probe",
            "3",
            "5",
            "6x",
            "7",
            "é",
            "4",
            "4é",
            "40",
            "40{}",
            "42[]",
            "40/dashboard,[]",
            "40/dashboards,{}",
            "41/dashboard,{}",
            "42/dashboard",
            "42/dashboard,",
            "42/dashboard,{}",
            "42/dashboard,17",
            "42/other,[]",
            "43/dashboard,1[]",
            "44/dashboard,",
            "44/dashboard,\"no\"",
            "45/dashboard,1-[]",
            "46",
            "4/dashboard,",
            "44/nope,{\"message\":\"x\"}",
        ] {
            assert!(decode(NS, text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        // Every string of up to four of the characters that steer the parser.
        let alphabet: Vec<char> = "0124/,[{?é\"d".chars().collect();
        let mut texts = vec![String::new()];
        for _ in 0..4 {
            texts = texts
                .iter()
                .flat_map(|text| alphabet.iter().map(move |next| format!("{text}{next}")))
                .collect();
            for text in &texts {
                let _ = decode("/d", text);
                let _ = decode("/", text);
            }
        }
    }

    #[test]
    fn tokens_are_escaped() {
        assert_eq!(connect(NS, Some("abc")), r#"40/dashboard,{"token":"abc"}"#);
        assert_eq!(connect(NS, None), "40/dashboard,");
        let odd = "a\"b\\c\n\u{1f}é🧱";
        let packet = connect(NS, Some(odd));
        let json: serde_json::Value =
            serde_json::from_str(packet.strip_prefix("40/dashboard,").unwrap()).unwrap();
        assert_eq!(json, serde_json::json!({ "token": odd }));
    }
}
