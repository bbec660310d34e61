//! Reads what a user's dashboard shows, out of the read model.
//!
//! [`query`] holds the statements: a whole dashboard, only its tag, or the sections that changed since a
//! [`cursor`]. [`snapshots`] and [`tags`] share reads among requests: of the same user
//! ([`single_flight`]), or of many users at once ([`batches`]). A request never joins a read that has
//! started: what that read sees may be older than the request.

pub(crate) mod batches;
pub mod cursor;
pub mod query;
pub mod section;
pub(crate) mod single_flight;
pub(crate) mod snapshots;
pub(crate) mod tags;
