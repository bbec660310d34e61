//! The app in Chromium, with a network between it and the real server that fails on demand.
//!
//! Each scenario compares the whole story with the expected one: every state that the app's client
//! came to, what was on the screen, and in the end the server's own snapshot.

mod caches;
mod frames;
mod freshness;
mod lifecycle;
mod link;
mod session;
mod snapshot;
mod stage;
mod waits;
