//! The drivers: they carry out what the machine decides, and do not know its reasons.
//!
//! - `native`: on tokio, for programs
//! - `browser`: on web-sys, for the npm package
//!
//! Each is compiled only with its feature and for its kind of target.

#[cfg(all(feature = "browser", target_arch = "wasm32"))]
pub mod browser;
#[cfg(all(feature = "native", not(target_arch = "wasm32")))]
pub mod native;

/// Longest wait of a driver for the machine's next timeout. Timers stand still during sleep; with
/// this, the gap is noticed within seconds of waking.
#[cfg(any(
    all(feature = "browser", target_arch = "wasm32"),
    all(feature = "native", not(target_arch = "wasm32"))
))]
pub const LONGEST_NAP: crate::time::Millis = crate::time::Millis::seconds(15);
