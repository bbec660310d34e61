//! Makes a call later, unless it is cancelled before.

use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(callback: &Closure<dyn FnMut()>, ms: u32) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
}

/// A call on its way; cancelled when it is dropped.
#[derive(Debug)]
pub(super) struct Timeout {
    timer: JsValue,
    _callback: Closure<dyn FnMut()>,
}

impl Timeout {
    pub(super) fn new(ms: u32, callback: impl FnMut() + 'static) -> Self {
        let callback = Closure::new(callback);
        Self { timer: set_timeout(&callback, ms), _callback: callback }
    }
}

impl Drop for Timeout {
    fn drop(&mut self) {
        clear_timeout(&self.timer);
    }
}
