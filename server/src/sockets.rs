//! Runs sockets from the upgrade of a request to their end: Engine.IO 4 and Socket.IO 5, over either transport.
//!
//! ```text
//!                      what the client sends ──▶ packet ──▶ handshake (who may enter)
//! websocket, polling                     ▲                    │
//!                      └──▶ session ─────┘  replies, then the outbox's events, then the end
//! ```
//!
//! A [`session`] knows the protocol and no transport. A [`websocket`] is one task over a stream (see decision 59).
//! The SDK uses nothing else. [`polling`] answers the requests of a client that begins with HTTP long-polling, as
//! Socket.IO's clients do by default (see decision 67). [`upgrade`] moves such a session over to a WebSocket.
//!
//! The rest of the server reaches a socket through [`rooms`]. A [`message`] for a user goes into the [`outbox`]
//! of each of the user's [`connection`]s, and wakes the connection's task, which checks everything each time.
//! [`drain`] closes all of them before the server stops.

pub(crate) mod connection;
pub(crate) mod context;
pub(crate) mod drain;
pub(crate) mod end_reason;
pub mod frames;
pub(crate) mod handshake;
mod memory;
pub mod message;
mod outbox;
pub mod packet;
pub(crate) mod polling;
pub(crate) mod registry;
mod revisions;
pub(crate) mod rooms;
mod session;
#[cfg(test)]
mod testing;
pub(crate) mod upgrade;
mod websocket;

pub(crate) use self::polling::{Poller, Polling, Polls, Sid, Unanswered};
pub(crate) use self::session::Session;
pub(crate) use self::upgrade::upgrade;
pub(crate) use self::websocket::{Link, WebSocket};
