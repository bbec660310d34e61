//! Private clusters, started for real. Needs `PostgreSQL`'s binaries, as whoever runs it needs them
//! anyway.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod life;
mod support;
mod trouble;
