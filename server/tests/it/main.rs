//! Tests the server's parts against a real database, and the whole server over real sockets.
//!
//! Needs `DATABASE_URL`: an address on a cluster where databases may be made. Each test makes its own
//! database and drops it.

#[cfg(test)]
mod acceptance;
#[cfg(test)]
mod arrivals;
#[cfg(test)]
mod capture;
#[cfg(test)]
mod check;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod disconnects;
#[cfg(test)]
mod edge;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod installing;
#[cfg(test)]
mod migrations;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod polling;
#[cfg(test)]
mod pool;
#[cfg(test)]
mod pooler;
#[cfg(test)]
mod process;
#[cfg(test)]
mod projector;
#[cfg(test)]
mod push;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod revision;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod snapshot;
#[cfg(test)]
mod source;
#[cfg(test)]
mod support;
#[cfg(test)]
mod telemetry;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod transports;
#[cfg(test)]
mod worlds;
#[cfg(test)]
mod writes;
