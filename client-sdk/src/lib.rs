//! Keeps a correct dashboard on the screen, whatever the network does.
//!
//! Use `DashboardClient` in a native program (feature `native`). In a browser, use the npm package,
//! which carries the class `DashboardCore` (feature `browser`).
//!
//! What flows through: frames of the socket and snapshots of the REST API come in through a
//! driver, [`codec`] and [`decode`] read them, the [`machine`] decides what they mean,
//! [`reducer`] keeps the view that they make, and [`state`] is what the app sees.
//!
//! All but [`driver`] is pure: no clock, no I/O, no `async`, no randomness, which
//! `tests/purity.rs` holds.

#![cfg_attr(all(target_arch = "wasm32", not(test)), no_std)]

extern crate alloc;

pub mod backoff;
pub mod codec;
pub mod decode;
pub mod driver;
pub mod encode;
pub mod endpoint;
pub mod last_view;
pub mod machine;
mod prelude;
pub mod random;
pub mod reducer;
pub mod state;
pub mod time;

#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub use driver::native::{DashboardClient, Options, StartError, TokenUnavailable};
pub use reducer::View;
pub use state::{Code, DashboardState, Diagnostic, Freshness, Level, Reason, Source, Status};
