//! Accepts connections, encrypts and limits them, hands their requests to the router, and ends them in order.
//!
//! ```text
//! listener ──▶ tls ──▶ stream ──▶ connection (HTTP/1.1 or 2) ──▶ router
//! ```

mod activity;
mod connection;
mod listener;
mod stream;
mod tls;

pub(crate) use self::connection::{Peer, below};
pub use self::listener::ListenError;
pub(crate) use self::listener::Listener;
#[cfg(test)]
pub(crate) use self::stream::Stream;
pub(crate) use self::tls::Tls;
