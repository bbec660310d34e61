//! What the proxies in front say of a request: that it came by TLS, and who sent it.
//!
//! There is a standard for it, `Forwarded` (RFC 7239), and few proxies speak it: each has words of its
//! own. All of them are understood, and none is preferred. Which one a proxy of ours has written, and
//! which one it has passed on from a stranger, nothing tells. So where two of them contradict each other,
//! the answer is the one that gives a stranger less.

mod client;
mod forwarded;
mod scheme;

pub(crate) use self::client::client;
pub(crate) use self::scheme::require_tls;
