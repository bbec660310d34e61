//! What the server tells of itself while it runs (D-NFR-4): [`logs`], a line for each step and each
//! fault, and [`traces`], where the time of a change or a request went. What it counts is in
//! [`crate::metrics`].

pub mod logs;
pub(crate) mod traces;

pub use self::traces::TracesError;
