//! The dashboard's server. It serves one user's collection as a snapshot (REST), and pushes every later
//! change of it to that user's browsers (Socket.IO).
//!
//! Use it as the binary `dashboard-server`, or in a test or another program through [`Server::start`].
//! Data flows one way:
//!
//! 1. Any writer commits to the database, and triggers note which rows were touched.
//! 2. The [`projector`] reads those rows and writes what dashboards show.
//! 3. [`changes`] finds the users whose dashboard changed, reads the changed sections and hands events to
//!    the [`sockets`].
//!
//! [`http`](crate) handlers read the same sections as one snapshot ([`dashboard`]).
//!
//! A module imports only modules of its own paragraph or of an earlier one, and never in a circle. A test holds that.

// What everything else may use.
mod clock;
mod secret;
pub mod user;

// Settings, and what the server tells of itself.
pub mod config;
pub mod metrics;
mod supervisor;

// Who may ask, and for how much.
pub mod auth;
mod limits;
mod net;
mod proxy;

// From the application's tables to the read model.
pub mod database;
pub mod postgres;
pub mod projector;
pub mod source;

// From the read model to browsers.
pub mod changes;
pub mod dashboard;
mod http;
mod push;
pub mod sockets;
pub mod telemetry;

// The whole.
pub mod commands;
mod server;

pub use config::{Config, Environment, LogFormat};
pub use net::ListenError;
pub use secret::Secret;
pub use server::{Server, StartError};
