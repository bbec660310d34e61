//! One socket, from its opening to its end: Engine.IO 4 and Socket.IO 5, over either transport.
//!
//! ```text
//!                      what the client says ──▶ packet ──▶ door (who may enter)
//! websocket, polling                    ▲                    │
//!                      └──▶ session ────┘  replies, then the outbox's events, then the end
//! ```
//!
//! A [`session`] knows the protocol and no transport. A [`websocket`] is one task over a stream (see decision 59);
//! the SDK uses nothing else. [`polling`] answers the requests of a client that begins with HTTP
//! long-polling, as Socket.IO's clients do by default (see decision 67), and [`upgrade`] carries such a
//! session over to a WebSocket. What other parts of the server have for a socket they leave in its
//! [`Connection`](super::connection::Connection), and wake the task, which looks at everything each time.

mod polling;
mod session;
#[cfg(test)]
mod testing;
mod upgrade;
mod websocket;

pub(crate) use self::polling::{Poller, Polling, Polls, Sid, Unanswered};
pub(crate) use self::session::Session;
pub(crate) use self::upgrade::upgrade;
pub(crate) use self::websocket::{Link, WebSocket};
