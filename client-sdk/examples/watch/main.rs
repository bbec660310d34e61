//! A live dashboard in the terminal.
//!
//! ```text
//! DASHBOARD_TOKEN=… cargo run -p client-sdk --example watch -- http://127.0.0.1:9112
//! ```
//!
//! The token comes from the environment, because arguments can be read by every user of the
//! machine. When the server refuses it, another one is asked for. Ctrl-C ends it.

#[cfg(not(target_arch = "wasm32"))]
mod terminal;

#[cfg(not(target_arch = "wasm32"))]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    terminal::run()
}

/// There is no terminal in a browser; cargo builds examples along with its tests all the same.
#[cfg(target_arch = "wasm32")]
fn main() {}
