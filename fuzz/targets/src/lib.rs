//! What is fuzzed: one function a target, which takes any bytes at all and panics where something
//! does not hold that must.
//!
//! libFuzzer's programs in `fuzz/` call these, and so does the replay of the corpora in `tests/`:
//! what was once found stays found. `cargo xtask fuzz` runs them. Decision 40 says how.

mod client_frames;
mod decoders;
#[cfg(feature = "server")]
mod packet;
#[cfg(feature = "server")]
mod server_frames;
#[cfg(feature = "server")]
mod token;

pub use client_frames::client_frames;
pub use decoders::{event, snapshot};
#[cfg(feature = "server")]
pub use packet::packet;
#[cfg(feature = "server")]
pub use server_frames::server_frames;
#[cfg(feature = "server")]
pub use token::token;

/// A target: its name, which is that of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("client_frames", client_frames),
    #[cfg(feature = "server")]
    ("server_frames", server_frames),
    #[cfg(feature = "server")]
    ("packet", packet),
    #[cfg(feature = "server")]
    ("token", token),
    ("snapshot", snapshot),
    ("event", event),
];
