//! The native driver against a scripted server on real sockets.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

mod addresses;
mod attacked;
mod last_view;
mod life;
mod server;
#[path = "../addresses/table.rs"]
mod table;
