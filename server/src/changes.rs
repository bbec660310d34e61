//! From a committed change to the messages for the browsers of the user concerned.
//!
//! ```text
//! capture ──▶ coalesce ──▶ refresh: dashboard::query ──▶ events ──▶ sockets::rooms
//! ```
//!
//! [`capture`] follows the table of changes and names users; [`coalesce`] decides when each is refreshed;
//! [`refresh`] is the task that reads what changed, with its revision, and hands the [`events`] to the rooms.
//! [`retention`] keeps the changes few.
//!
//! No copy of what was sent is kept, and nothing is held back for being equal to it: see [`events`] for why that
//! would be wrong. What is kept are numbers: a room knows up to which revision its user has been sent
//! everything, and which one a client may have seen, to find out after an outage who has missed something;
//! [`coalesce`] knows the cursor of a user's last refresh.

pub mod capture;
pub mod coalesce;
pub mod events;
pub(crate) mod refresh;
pub mod retention;
