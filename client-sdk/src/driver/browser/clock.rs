//! Reads the clocks and the random numbers of browsers. No other module reads them.

use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// Milliseconds of a clock that is never set.
pub(super) fn steady_clock() -> u64 {
    whole_ms(performance_now())
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub(super) fn wall_clock() -> u64 {
    whole_ms(js_sys::Date::now())
}

#[expect(clippy::disallowed_methods, reason = "the one place that draws randomness")]
pub(super) fn seed() -> u64 {
    js_sys::Math::random().to_bits()
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds in whole numbers are wanted")]
#[expect(clippy::cast_sign_loss, reason = "a negative reading saturates to zero")]
pub(super) fn whole_ms(milliseconds: f64) -> u64 {
    milliseconds as u64
}
