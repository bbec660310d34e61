//! Writes `docs/asyncapi.json`: the Socket.IO side (D-WS-1 to D-WS-8).

use serde_json::{Map, Value, json};
use shared_types::EventType;
use shared_types::event::{AUTH_FAILED, NAMESPACE};

use crate::schemas::{self, envelope_name};

/// The whole document, `AsyncAPI` 3.0.
pub(crate) fn document() -> Value {
    let channel_messages: Map<String, Value> = EventType::ALL
        .into_iter()
        .map(|event_type| {
            let name = envelope_name(event_type);
            let target = json!({ "$ref": format!("#/components/messages/{name}") });
            (name, target)
        })
        .collect();
    let operation_messages: Vec<Value> = channel_messages
        .keys()
        .map(|name| json!({ "$ref": format!("#/channels/dashboard/messages/{name}") }))
        .collect();

    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Dashboard events",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT" },
            "description": "Every later change of one user's dashboard, pushed over Socket.IO 5 on \
                Engine.IO 4 (WebSocket, or HTTP long-polling). Fetch the snapshot of openapi.json after \
                each connect; `revision` orders the two."
        },
        "defaultContentType": "application/json",
        "servers": {
            "dashboard": {
                "host": "localhost:9112",
                "pathname": "/socket.io/",
                "protocol": "wss",
                "description": "`?EIO=4&transport=websocket`; usually behind the host's proxy. \
                    Plain `ws` is served on loopback only.",
                "security": [
                    { "$ref": "#/components/securitySchemes/connectToken" },
                    { "$ref": "#/components/securitySchemes/sessionCookie" }
                ]
            }
        },
        "channels": {
            "dashboard": {
                "address": NAMESPACE,
                "title": "The namespace",
                "description": "A Socket.IO namespace. Who is accepted is in the room \
                    `user:<userId>` of the token's `sub`, and receives nothing else (D-WS-3, \
                    D-WS-7). The acceptance is `{\"sid\":\"…\",\"tag\":\"<epoch>-<revision>\"}`, with the tag \
                    that the user's snapshot has now: later changes come as events. The tag is null where the \
                    database does not tell it within a second. Clients send nothing but CONNECT and pongs.",
                "servers": [{ "$ref": "#/servers/dashboard" }],
                "messages": channel_messages
            }
        },
        "operations": {
            "pushChanges": {
                "action": "send",
                "channel": { "$ref": "#/channels/dashboard" },
                "summary": "The server tells what changed",
                "description": "The Socket.IO event's name equals the envelope's `type`. Types \
                    that a client does not know are logged and ignored (D-WS-8).",
                "messages": operation_messages
            }
        },
        "components": {
            "securitySchemes": security_schemes(),
            "messages": messages(),
            "schemas": schemas::of_socket()
        }
    })
}

fn security_schemes() -> Value {
    let refusal = format!(
        "A refusal is a CONNECT_ERROR whose message, and the `code` in whose `data`, are exactly \
         `{AUTH_FAILED}` (D-WS-4); the server then closes the connection. Do not retry without a \
         new token."
    );
    json!({
        "connectToken": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": format!(
                "The access token, in the CONNECT packet: `40{NAMESPACE},{{\"token\":\"…\"}}`; \
                 never in the address. {refusal}"
            )
        },
        "sessionCookie": {
            "type": "httpApiKey",
            "in": "cookie",
            "name": "auth_token",
            "description": format!(
                "The ID token, in the cookie of the upgrade request, where CONNECT bears no \
                 token. {refusal}"
            )
        }
    })
}

fn messages() -> Map<String, Value> {
    EventType::ALL
        .into_iter()
        .map(|event_type| {
            let name = envelope_name(event_type);
            let message = json!({
                "name": event_type.name(),
                "title": name,
                "summary": summary(event_type),
                "contentType": "application/json",
                "payload": { "$ref": format!("{}{name}", schemas::PATH) }
            });
            (name, message)
        })
        .collect()
}

fn summary(event_type: EventType) -> &'static str {
    match event_type {
        EventType::SummaryUpdated => "A count may have changed (D-FR-5).",
        EventType::RecentMocAdded => {
            "A MOC is new at the head of the recent list: prepend it and trim (D-FR-11). Several \
             come one after the other, the oldest first."
        }
        EventType::RecentMocsUpdated => {
            "The recent list changed otherwise than by a new MOC: a rename, a status, a deletion."
        }
        EventType::PartialPartsUpdated => {
            "A row of the partial table entered, changed or left (D-FR-17)."
        }
        EventType::ThemeBreakdownUpdated => "A theme's counts may have changed (D-FR-8).",
        EventType::Error => "Something that the client must know of.",
    }
}
