//! Reads that several requests share: of the same user ([`flights`]), or of many users at once
//! ([`batches`], by which [`tags`] are read). Nobody joins a read that has begun, as what it sees may be older than the asking.

pub(crate) mod batches;
pub(crate) mod flights;
pub(crate) mod tags;
