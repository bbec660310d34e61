//! The whole system: real server, real `PostgreSQL`, real clients.
//!
//! One program, because linking the server once is what takes the time. A module a topic; the
//! names of tests that hold a requirement begin with its clause.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod auth;
mod calm;
mod changes;
mod chromium;
mod chromium_faults;
mod crash;
mod faults;
mod gallery;
mod hostile_clients;
mod isolation;
mod limits;
mod node_client;
mod node_server;
mod operations;
mod ops;
mod outage;
mod page;
mod replication;
mod rest;
mod rolling;
mod socket;
mod stock_clients;
mod tls;
mod virtual_time;
mod watched;
