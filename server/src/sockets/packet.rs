//! Reads and writes the packets of Engine.IO 4 and Socket.IO 5, as far as this server uses them.
//! Socketioxide's parser reads and writes those of Socket.IO.

use std::io::Cursor;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};
use shared_types::SnapshotTag;
use shared_types::event::NAMESPACE;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{Parse, ParseConfig, ParserState};
use socketioxide_core::{Str, Value};
use socketioxide_parser_common::CommonParser;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{Frame, FrameHeader};

/// The kinds of Engine.IO's packets: the first letter of each.
const OPEN: char = '0';
const CLOSE: char = '1';
const PONG: char = '3';
const MESSAGE: char = '4';
const NOOP: char = '6';

/// Asks a client whether it is there.
pub(crate) const PING: &str = "2";
/// Ends a client's request for packets while there are none, so that it can change its transport.
pub(crate) const EMPTY: &str = "6";
/// Ends the session of a client that polls.
pub(crate) const END: &str = "1";
/// The question of a client over a WebSocket that it may change to, and the answer.
pub(crate) const PROBE: &str = "2probe";
pub(crate) const PROBED: &str = "3probe";
/// The client has changed over to that WebSocket.
pub(crate) const UPGRADED: &str = "5";
/// Stands between the packets in a body.
const SEPARATOR: char = '\u{1e}';

/// What a client said.
#[derive(Debug, PartialEq)]
pub enum ClientPacket {
    /// It is there.
    Pong,
    /// It wants to enter the namespace, with what it has to show for it: `{"token":…}`, or nothing
    /// that can be read.
    Connect(Option<Json>),
    /// It wants to enter another namespace, which there is not.
    ConnectElsewhere(String),
    /// It leaves the namespace.
    Disconnect,
    /// Something to the namespace, which expects nothing.
    Event,
    /// It ends the connection.
    Close,
    /// Nothing that matters here.
    Nothing,
}

/// What a client said is no packet, or none that a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads a message of the WebSocket.
///
/// # Errors
/// If it is no packet, or none that this server takes: binary ones, those of other namespaces.
pub fn read(text: &str) -> Result<ClientPacket, Malformed> {
    let mut rest = text.chars();
    match rest.next() {
        Some(PONG) => Ok(ClientPacket::Pong),
        Some(MESSAGE) => read_message(rest.as_str()),
        Some(CLOSE) => Ok(ClientPacket::Close),
        Some(NOOP) => Ok(ClientPacket::Nothing),
        _ => Err(Malformed),
    }
}

fn read_message(text: &str) -> Result<ClientPacket, Malformed> {
    // One that announces binary attachments is complete only with them, and is not taken.
    let (config, state) = (ParseConfig::default(), ParserState::default());
    let packet = CommonParser.decode_str(&config, &state, Str::copy_from_slice(text));
    let packet = packet.map_err(|_| Malformed)?;
    let is_ours = packet.ns == NAMESPACE;
    match packet.inner {
        PacketData::Connect(auth) if is_ours => {
            let auth = auth.and_then(|auth| CommonParser.decode_default(Some(&auth)).ok());
            Ok(ClientPacket::Connect(auth))
        }
        PacketData::Connect(_) => Ok(ClientPacket::ConnectElsewhere(packet.ns.as_str().to_owned())),
        PacketData::Disconnect if is_ours => Ok(ClientPacket::Disconnect),
        PacketData::Disconnect => Ok(ClientPacket::Nothing),
        PacketData::Event(..) | PacketData::EventAck(..) if is_ours => Ok(ClientPacket::Event),
        _ => Err(Malformed),
    }
}

/// How often clients are asked whether they are there, and for how long after that a client goes on
/// believing in a server that does not ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heartbeat {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl Heartbeat {
    /// How long a client may take to answer: longer than it waits itself. One that has given up says so
    /// by closing, and one that is gone holds little. But one on a slow line that is cut off comes back for
    /// another snapshot, over the same line.
    pub(crate) fn patience(self) -> Duration {
        self.timeout * 4
    }
}

/// The first packet, which tells the rules: the name of the session for its transport, and which
/// transports it may change to.
pub(crate) fn open(
    sid: &str,
    upgrades: &[&str],
    heartbeat: Heartbeat,
    max_payload: u32,
) -> Result<String, Failed> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Open<'a> {
        sid: &'a str,
        upgrades: &'a [&'a str],
        ping_interval: u128,
        ping_timeout: u128,
        max_payload: u32,
    }
    let rules = Open {
        sid,
        upgrades,
        ping_interval: heartbeat.interval.as_millis(),
        ping_timeout: heartbeat.timeout.as_millis(),
        max_payload,
    };
    Ok(format!("{OPEN}{}", serde_json::to_string(&rules)?))
}

/// Lets a client into the namespace, and tells the tag that its user's snapshot has now, where the database
/// says so: it is for the client to see that a snapshot is not an older one. Where it does not, `null` keeps
/// that apart from a server that does not tell tags.
pub(crate) fn accept(sid: &str, tag: Option<&SnapshotTag>) -> Result<String, Failed> {
    #[derive(Serialize)]
    struct Accepted<'a> {
        sid: &'a str,
        tag: Option<String>,
    }
    let data = serde_json::to_string(&Accepted { sid, tag: tag.map(SnapshotTag::to_text) })?;
    Ok(message(Packet::connect(NAMESPACE, Some(Value::Str(data.into(), None)))))
}

/// Does not let a client into a namespace: `why` for people, and a code of a fixed list for programs,
/// where a server in Node puts one too.
#[must_use]
pub fn refuse(namespace: &str, why: &str, code: &'static str) -> String {
    let packet = message(Packet::connect_error(Str::copy_from_slice(namespace), why));
    // The parser knows of the message only, which ends its object.
    match packet.strip_suffix('}') {
        Some(open) => format!("{open},\"data\":{}}}", json!({ "code": code })),
        None => packet,
    }
}

/// Takes a client out of the namespace. The official clients do not reconnect automatically then.
pub(crate) fn disconnect() -> String {
    message(Packet::disconnect(NAMESPACE))
}

fn message(packet: Packet) -> String {
    match CommonParser.encode(packet) {
        Value::Str(text, _) => format!("{MESSAGE}{}", text.as_str()),
        // None of ours has attachments.
        Value::Bytes(_) => String::new(),
    }
}

/// The packets in the body of a request, between separators.
pub(crate) fn split(body: &str) -> impl Iterator<Item = &str> {
    body.split(SEPARATOR)
}

/// Puts the packets of whole frames, as [`frame`] writes them, behind those of a body.
pub(crate) fn unframe(frames: &[u8], body: &mut Vec<u8>) {
    let mut frames = Cursor::new(frames);
    while let Ok(Some((_, length))) = FrameHeader::parse(&mut frames) {
        let rest = &frames.get_ref()[usize::try_from(frames.position()).unwrap_or(usize::MAX)..];
        let packet = &rest[..usize::try_from(length).unwrap_or(usize::MAX).min(rest.len())];
        add(packet, body);
        frames.set_position(frames.position() + packet.len() as u64);
    }
}

/// Puts a packet behind those of a body.
pub(crate) fn add(packet: &[u8], body: &mut Vec<u8>) {
    if !body.is_empty() {
        // One byte, in either encoding.
        body.push(SEPARATOR as u8);
    }
    body.extend_from_slice(packet);
}

/// A packet that could not be written.
pub(crate) type Failed = serde_json::Error;

/// Puts a packet's WebSocket frame behind others.
pub(crate) fn frame(packet: impl Into<bytes::Bytes>, frames: &mut Vec<u8>) -> Result<(), Failed> {
    use serde::ser::Error as _;
    let frame = Frame::message(packet, OpCode::Data(Data::Text), true);
    frame.format(frames).map_err(Failed::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say_is_understood() {
        for (text, said) in [
            ("3", ClientPacket::Pong),
            ("3probe", ClientPacket::Pong),
            ("1", ClientPacket::Close),
            ("6", ClientPacket::Nothing),
            ("40/dashboard", ClientPacket::Connect(None)),
            ("40/dashboard,", ClientPacket::Connect(None)),
            (r#"40/dashboard,{"token":"t"}"#, ClientPacket::Connect(Some(json!({ "token": "t" })))),
            ("40/dashboard,{", ClientPacket::Connect(None)),
            ("40/dashboard,[]", ClientPacket::Connect(Some(json!([])))),
            ("40", ClientPacket::ConnectElsewhere("/".into())),
            (r#"40{"token":"t"}"#, ClientPacket::ConnectElsewhere("/".into())),
            ("40/else,{}", ClientPacket::ConnectElsewhere("/else".into())),
            ("41/dashboard,", ClientPacket::Disconnect),
            ("41/else,", ClientPacket::Nothing),
            (r#"42/dashboard,["a"]"#, ClientPacket::Event),
            (r#"42/dashboard,7["a"]"#, ClientPacket::Event),
            ("43/dashboard,7[]", ClientPacket::Event),
        ] {
            assert_eq!(read(text), Ok(said), "{text}");
        }
    }

    #[test]
    fn what_clients_may_not_say_is_refused() {
        for text in [
            "",
            "0{}",
            "2",
            "2probe",
            "5",
            "7",
            "é",
            "4",
            "4é",
            "48",
            "44/dashboard,{}",
            r#"42["a"]"#,
            r#"42/else,["a"]"#,
            "43/dashboard,[]",
            r#"451-/dashboard,["a",{"_placeholder":true,"num":0}]"#,
            "450-/dashboard,[]",
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn clients_get_errors_in_the_protocol_s_words() {
        let heartbeat =
            Heartbeat { interval: Duration::from_secs(10), timeout: Duration::from_secs(5) };
        let open = open("s", &["websocket"], heartbeat, 100).unwrap();
        let rules = json!({
            "sid": "s", "upgrades": ["websocket"], "pingInterval": 10_000, "pingTimeout": 5_000,
            "maxPayload": 100
        });
        assert_eq!(serde_json::from_str::<Json>(open.strip_prefix('0').unwrap()).unwrap(), rules);
        let tag = "e-17".parse().unwrap();
        let accepted = r#"40/dashboard,{"sid":"s","tag":"e-17"}"#;
        assert_eq!(accept("s", Some(&tag)).unwrap(), accepted);
        assert_eq!(accept("s", None).unwrap(), r#"40/dashboard,{"sid":"s","tag":null}"#);
        let why = r#"{"message":"N}o","data":{"code":"NO"}}"#;
        assert_eq!(refuse(NAMESPACE, "N}o", "NO"), format!("44/dashboard,{why}"));
        assert_eq!(refuse("/é\"", "N}o", "NO"), format!("44/é\",{why}"));
        assert_eq!(refuse("/", "N}o", "NO"), format!("44{why}"));
        assert_eq!(disconnect(), "41/dashboard,");
        let mut frames = Vec::new();
        frame(PING, &mut frames).unwrap();
        assert_eq!(frames, b"\x81\x012");
    }
}
