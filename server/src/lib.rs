//! The dashboard's server: one user's collection as a snapshot (REST), and every later change of it
//! pushed to that user's browsers (Socket.IO).
//!
//! Use it as the binary `dashboard-server`, or in a test or another program through
//! [`Server::start`]. Data flows one way: any writer commits to the database, triggers note which
//! rows were touched, the [`projector`] reads those and writes what dashboards show, [`push`] finds
//! whose changed, reads the changed sections and hands events to the sockets; [`http`](crate) handlers
//! read the same sections as one snapshot.

mod app;
pub mod auth;
pub mod check;
mod clock;
pub mod config;
pub mod database;
pub mod error;
mod gate;
mod http;
pub mod metrics;
mod net;
pub mod projector;
mod proxy;
pub mod push;
mod reads;
mod router;
mod secret;
mod server;
pub mod source;
pub mod telemetry;

pub use config::{Config, Environment, LogFormat};
pub use net::ListenError;
pub use secret::Secret;
pub use server::{Server, StartError};
