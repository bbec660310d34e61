//! What a client says in a message of the WebSocket.

use dashboard_server::sockets::packet::{self, ClientPacket};
use serde_json::Value;

/// A packet, perhaps.
///
/// # Panics
/// Where something is understood that was not said, or an answer would not reach who asked.
pub fn packet(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(said) = packet::read(&text) else { return };
    match said {
        ClientPacket::Connect(auth) => {
            let rest = text.strip_prefix("40/dashboard").expect("the namespace");
            let shown = rest.strip_prefix(',').unwrap_or(rest);
            assert_eq!(auth, serde_json::from_str(shown).ok());
        }
        ClientPacket::ConnectElsewhere(namespace) => {
            assert_ne!(namespace, "/dashboard");
            let answer = packet::refuse(&namespace, "\"No\"", "NO");
            let named = answer.strip_prefix("44").expect("a refusal");
            let reason = if namespace == "/" {
                named
            } else {
                let rest = named.strip_prefix(&*namespace).expect("the namespace");
                rest.strip_prefix(',').expect("its end")
            };
            let reason: Value = serde_json::from_str(reason).expect("JSON");
            assert_eq!(
                (&reason["message"], &reason["data"]["code"]),
                (&"\"No\"".into(), &"NO".into())
            );
        }
        ClientPacket::Disconnect => assert!(text.starts_with("41/dashboard")),
        ClientPacket::Event => assert!(text.contains("/dashboard")),
        ClientPacket::Pong => assert!(text.starts_with('3')),
        ClientPacket::Close => assert!(text.starts_with('1')),
        ClientPacket::Nothing => assert!(text.starts_with('6') || text.starts_with("41")),
    }
}
