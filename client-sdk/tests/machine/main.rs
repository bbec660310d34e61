//! The machine on virtual time: every pair of state and input, scripted scenarios, and a simulated
//! world with seeded randomness.
#![cfg(test)]
#![cfg(not(target_arch = "wasm32"))]

mod bench;
mod scenarios;
mod simulation;
mod storm;
mod table;
