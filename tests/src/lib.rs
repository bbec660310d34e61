//! The one harness of the end-to-end tests: a real server on a real `PostgreSQL`, and real clients.
//!
//! A test starts a [`TestApp`], changes data with [`writer`], and looks through the eyes of a
//! client: the SDK ([`Screen`]), the bare protocol ([`Wire`]), the official JavaScript client and
//! server ([`Oracle`]) or Chromium ([`Browser`]). A [`Proxy`] between them fails on demand. Each
//! `TestApp` has its own database, so tests run in any order and at once. Waiting is always for
//! a condition, with a deadline: what was written can be read a moment later, once it is
//! [`projected`].
//!
//! The harness fails a test by panicking, with a message that says what was awaited and what was
//! there instead. Only [`Browser`] returns errors, because the demo drives it too.

#![expect(clippy::missing_panics_doc, reason = "a harness fails the test by panicking")]

pub mod browser;
pub mod proxy;
pub mod writer;

mod app;
mod balancer;
mod cluster;
mod database;
mod issuer;
mod link;
mod metrics;
mod oracle;
mod process;
mod projection;
mod rest;
mod screen;
mod site;
mod tokens;
mod waiting;
mod wire;

pub use app::TestApp;
pub use balancer::Balancer;
pub use browser::Browser;
pub use cluster::{OwnCluster, Standby};
pub use database::Database;
pub use issuer::Issuer;
pub use link::{Caught, DatabaseLink};
pub use metrics::Metrics;
pub use oracle::{Oracle, Python};
pub use process::{Process, program};
pub use projection::projected;
pub use proxy::Proxy;
pub use rest::{Answer, Credential, Rest};
pub use screen::Screen;
pub use site::Site;
pub use tokens::{Signature, Tokens};
pub use waiting::{DEADLINE, pause, within};
pub use wire::{Payload, Received, Refused, Wire};
