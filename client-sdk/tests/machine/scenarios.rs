//! Scripted lives of a client.

mod attacked;
mod auth;
mod cached;
mod degraded;
mod events;
mod found;
mod last_view;
mod life;
mod lost;
mod slow_line;
mod snapshot;
