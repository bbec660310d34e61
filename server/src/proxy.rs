//! Reads what the proxies in front report about a request: that it came by TLS, and who sent it.
//!
//! There is a standard for it, `Forwarded` (RFC 7239), but few proxies use it. Most have their own
//! headers. The server understands all of them, and prefers none. It cannot know which header one of our
//! proxies has written, and which one the proxy has passed on from a stranger. So where two of them
//! contradict each other, the answer is the one that gives a stranger less.

mod client;
mod forwarded;
mod scheme;

pub(crate) use self::client::client;
pub(crate) use self::scheme::require_tls;
