//! The WebAssembly module of the npm package: the class `DashboardCore` of `client-sdk`, with an
//! allocator and without the text of panics.
//!
//! On other targets it is empty.

#![cfg(target_arch = "wasm32")]
#![no_std]

// What it exports to JavaScript is exported by the crate that links it.
use client_sdk as _;
use talc::wasm::{WasmDynamicTalc, new_wasm_dynamic_allocator};

/// No one reads the text of a panic here. Without it the module is a tenth smaller.
#[panic_handler]
fn trap(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// The standard one would be a tenth of the module.
#[global_allocator]
static ALLOCATOR: WasmDynamicTalc = new_wasm_dynamic_allocator();
