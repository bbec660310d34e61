//! Implements the HTTP side: each endpoint in a separate file, the [`router`] that leads to them, the
//! [`edge`] that all of them share, and the one [`error`] type that they answer with.

pub(crate) mod admin;
pub(crate) mod admit;
pub(crate) mod app;
pub(crate) mod assets;
pub(crate) mod conditional;
pub(crate) mod dashboard;
pub(crate) mod edge;
pub(crate) mod error;
pub(crate) mod fresh;
pub(crate) mod host;
pub(crate) mod origin;
pub(crate) mod query;
pub(crate) mod router;
pub(crate) mod socket;
pub(crate) mod user_dashboard;
