//! Scripted lives of a client.

mod auth;
mod degraded;
mod events;
mod life;
mod lost;
mod snapshot;
