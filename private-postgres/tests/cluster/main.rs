//! Tests of private clusters that really start. They need `PostgreSQL`'s binaries, as does all use of
//! the library.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod life;
mod support;
mod trouble;
