//! The native driver against a scripted server on real sockets.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

mod addresses;
mod attacked;
mod blocking;
mod connection;
mod faults;
mod handle;
mod last_view;
mod life;
mod messages;
mod outside;
mod renewal;
mod server;
mod tls;
mod token;
