//! Encodes a message for sockets once, down to its WebSocket frame: an event's envelope (D-WS-5).

use bytes::Bytes;
use serde::Serialize;
use shared_types::event::NAMESPACE;
use shared_types::{DashboardEvent, ErrorEvent, EventType, Revision};

use crate::clock;
use crate::sockets::packet;

/// How an event's packet begins: a message of Engine.IO, an event of Socket.IO.
const EVENT: &str = "42";

/// An event, encoded once for all sockets of a user. A clone shares the frame.
#[derive(Clone, Debug)]
pub struct Message {
    /// The type of the event, which is also the Socket.IO event name.
    pub event_type: EventType,
    /// The whole WebSocket frame, with the Socket.IO packet that holds the envelope.
    pub frame: Bytes,
}

impl Message {
    /// An event of now.
    ///
    /// # Errors
    /// If the payload cannot be written as JSON, which no type of the contract allows.
    pub fn new<T: Serialize>(
        event_type: EventType,
        revision: Revision,
        payload: T,
    ) -> Result<Self, serde_json::Error> {
        let (event_id, timestamp) = (clock::event_id(), clock::timestamp_now());
        Self::encode(&DashboardEvent { event_id, event_type, timestamp, revision, payload })
    }

    /// The event that tells a client of an error.
    ///
    /// # Errors
    /// As [`Message::new`].
    pub fn error(revision: Revision, error: &ErrorEvent) -> Result<Self, serde_json::Error> {
        Self::new(EventType::Error, revision, error)
    }

    fn encode<T: Serialize>(event: &DashboardEvent<T>) -> Result<Self, serde_json::Error> {
        let event_type = event.event_type;
        let mut packet = format!("{EVENT}{NAMESPACE},").into_bytes();
        serde_json::to_writer(&mut packet, &(event_type.name(), event))?;
        let mut frame = Vec::new();
        packet::frame(packet, &mut frame)?;
        Ok(Self { event_type, frame: frame.into() })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Cursor;

    use http::Request;
    use hyper::service::Service as _;
    use serde_json::{Value, json};
    use shared_types::{DashboardView, ErrorEventCode, Timestamp};
    use socketioxide::SocketIo;
    use socketioxide::extract::SocketRef;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio::sync::mpsc;
    use tungstenite::protocol::frame::coding::{Data, OpCode};
    use tungstenite::protocol::frame::{Frame, FrameHeader};
    use uuid::Uuid;

    use super::*;

    /// What is in a message, taken apart as a client does it.
    pub(crate) fn envelope(message: &Message) -> Value {
        let mut cursor = Cursor::new(&message.frame);
        let (_, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
        let start = usize::try_from(cursor.position()).unwrap();
        let packet = std::str::from_utf8(&message.frame[start..]).unwrap();
        assert_eq!(packet.len() as u64, length);
        let packet = packet.strip_prefix("42/dashboard,").unwrap();
        let (name, envelope): (String, Value) = serde_json::from_str(packet).unwrap();
        assert_eq!(name, message.event_type.name());
        envelope
    }

    /// The next frame as it comes, with its header.
    async fn frame(client: &mut DuplexStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let mut cursor = Cursor::new(&bytes);
            if let Some((_, length)) = FrameHeader::parse(&mut cursor).unwrap() {
                let header = usize::try_from(cursor.position()).unwrap();
                bytes.resize(header + usize::try_from(length).unwrap(), 0);
                client.read_exact(&mut bytes[header..]).await.unwrap();
                return bytes;
            }
            bytes.push(client.read_u8().await.unwrap());
        }
    }

    fn event<T>(payload: T) -> DashboardEvent<T> {
        DashboardEvent {
            event_id: clock::id(Uuid::from_u128(1)),
            event_type: EventType::SummaryUpdated,
            timestamp: Timestamp::try_from("2026-11-23T09:30:00.5Z").unwrap(),
            revision: Revision::try_from(42).unwrap(),
            payload,
        }
    }

    #[test]
    fn envelopes_have_the_contract_s_shape() {
        let event = event(DashboardView::default().summary);
        let expected = json!({
            "eventId": "00000000-0000-0000-0000-000000000001",
            "type": "dashboard:summaryUpdated",
            "timestamp": "2026-11-23T09:30:00.5Z",
            "revision": 42,
            "payload": {
                "totalMocs": 0,
                "totalWishlistItems": 0,
                "mocsByBuildStatus": { "ADDED": 0, "IN_PROGRESS": 0, "BUILT": 0 },
                "mocsByCoverageStatus": { "FULL_INVENTORY": 0, "PARTIAL_ORDERED": 0, "NONE": 0 }
            }
        });
        assert_eq!(envelope(&Message::encode(&event).unwrap()), expected);
    }

    #[tokio::test]
    async fn frames_are_those_of_the_library_byte_for_byte() {
        let (mut client, server) = tokio::io::duplex(1024);
        let (sender, mut sockets) = mpsc::unbounded_channel();
        let (service, io) = SocketIo::builder().build_with_inner_svc(());
        io.ns(NAMESPACE, async move |socket: SocketRef| sender.send(socket).unwrap());
        let uri = "/socket.io/?EIO=4&transport=websocket";
        let request = Request::builder().uri(uri).body(()).unwrap();
        service.call((server, request)).into_inner().unwrap();
        let mut connect = Frame::message("40/dashboard,", OpCode::Data(Data::Text), true);
        connect.header_mut().mask = Some([0; 4]);
        let mut bytes = Vec::new();
        connect.format(&mut bytes).unwrap();
        client.write_all(&bytes).await.unwrap();
        let socket = sockets.recv().await.unwrap();
        let least = Message::encode(&event("")).unwrap().frame.len() - 4;
        // The largest packet whose length takes two bytes, the smallest that takes eight, and
        // letters of any kind.
        let [most, more] = [65_535, 65_536].map(|length| "x".repeat(length - least));
        for text in ["", &most, &more, "\"é\u{1f9f1}\u{2028}\n\\</"] {
            let event = event(text);
            socket.emit(event.event_type.name(), &event).unwrap();
            let ours = Message::encode(&event).unwrap().frame;
            let theirs = loop {
                let frame = frame(&mut client).await;
                // Before it come the handshake's, and a heartbeat.
                if frame.len() >= least {
                    break frame;
                }
            };
            assert!(ours == theirs, "{} letters", text.len());
        }
    }

    #[test]
    fn errors_carry_a_code_and_a_message() {
        let event = ErrorEvent {
            code: ErrorEventCode::TokenExpired,
            message: "Session expired".to_owned(),
            reconnect_after_ms: None,
        };
        let message = Message::error(Revision::default(), &event).unwrap();
        let value = envelope(&message);
        let payload = json!({ "code": "TOKEN_EXPIRED", "message": "Session expired" });
        assert_eq!((&value["payload"], &value["type"]), (&payload, &json!("dashboard:error")));
    }
}
