//! Turns a committed change into messages for the browsers of the user concerned.
//!
//! ```text
//! capture ──▶ coalesce ──▶ refresh: dashboard::query ──▶ events ──▶ sockets::rooms
//! ```
//!
//! [`capture`] follows the table of changes and names users. [`coalesce`] decides when each user is refreshed.
//! [`refresh`] is the task that reads what changed, with its revision, and hands the [`events`] to the rooms.
//! [`retention`] removes changes that are no longer needed.
//!
//! The server keeps no copy of what was sent, and does not hold back an event for being equal to the last one.
//! [`events`] explains why that would be wrong. The server keeps only numbers. A room knows up to which
//! revision its user has been sent everything, and which one a client may have seen. With these numbers the
//! server finds out after an outage which users have missed changes. [`coalesce`] knows the cursor of a user's
//! last refresh.

pub mod capture;
pub mod coalesce;
pub mod events;
pub(crate) mod refresh;
pub mod retention;
