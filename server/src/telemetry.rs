//! Reports what the server does while it runs (D-NFR-4): [`logs`] has a line for each step and each fault,
//! and [`traces`] show where the time of a change or a request went. [`crate::metrics`] holds the counts.

pub mod logs;
pub(crate) mod traces;

pub use self::traces::TracesError;
