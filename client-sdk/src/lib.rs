// The README is about the native client, and its programs are tried where there is one.
#![cfg_attr(
    all(feature = "native", not(target_arch = "wasm32")),
    doc = include_str!("../README.md")
)]
#![cfg_attr(
    not(all(feature = "native", not(target_arch = "wasm32"))),
    doc = "Keeps a correct dashboard on the screen, whatever the network does."
)]
#![cfg_attr(all(target_arch = "wasm32", not(test)), no_std)]

extern crate alloc;

// A driver reads frames of the socket and snapshots of the REST API. `codec` and `decode` parse them, the `machine`
// decides what they mean, `reducer` keeps the view that they make, and `state` is what the app sees. All but `driver`
// is pure: no clock, no I/O, no `async`, no randomness, which `tests/purity.rs` holds. A module imports only modules
// of its own paragraph or of an earlier one; `cargo xtask structure` prints that, and a test holds it.
//
// Public for our own tools, tests and fuzzers; no part of what programs may rely on.

// What everything else uses.
mod prelude;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod time;

// Text to values, values to the view, and what apps see of it.
#[doc(hidden)]
pub mod backoff;
#[doc(hidden)]
pub mod codec;
#[doc(hidden)]
pub mod decode;
#[doc(hidden)]
pub mod encode;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod endpoint;
#[doc(hidden)]
pub mod last_view;
#[doc(hidden)]
pub mod reducer;
#[doc(hidden)]
pub mod state;

// The rules of the client.
#[doc(hidden)]
pub mod machine;

// The only I/O.
#[doc(hidden)]
pub mod driver;

#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub use driver::native::{
    DashboardClient, IntoToken, InvalidOption, KEPT_DIAGNOSTICS, Options, RuntimeFault, StartError,
    TokenProvider, TokenRequest, TokenUnavailable,
};
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub use endpoint::{AddressOption, InvalidUrl};
pub use reducer::View;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub use rustls;
#[doc(inline)]
pub use shared_types::{
    BuildStatus, CoverImageUrl, CoverageStatus, DashboardSummary, DashboardView, Id,
    MocsByBuildStatus, MocsByCoverageStatus, PartialPartsMoc, Percentage, RecentMoc, Revision,
    Theme, ThemeStats, Timestamp, Title,
};
#[cfg(not(target_arch = "wasm32"))]
pub use state::Fault;
pub use state::{Code, DashboardState, Diagnostic, Freshness, Level, Reason, Source, Status};
