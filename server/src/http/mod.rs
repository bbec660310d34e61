//! The HTTP side: one endpoint a file, and the edge that all of them share.

pub(crate) mod admin;
pub(crate) mod admit;
pub(crate) mod assets;
pub(crate) mod conditional;
pub(crate) mod dashboard;
pub(crate) mod edge;
pub(crate) mod fresh;
pub(crate) mod host;
pub(crate) mod origin;
pub(crate) mod query;
pub(crate) mod socket;
pub(crate) mod user_dashboard;
