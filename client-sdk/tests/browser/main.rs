//! The browser driver in a real browser, with its socket and its requests played by the test.
#![cfg(test)]
#![cfg(target_arch = "wasm32")]

mod decoder;
mod goldens;
mod last_view;
mod life;
mod reentrancy;
mod world;

wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);
