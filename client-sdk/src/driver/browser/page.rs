//! Listens to the page's events: online, offline, visible again.

use js_sys::Reflect;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::EventTarget;

use crate::machine::Input;

#[wasm_bindgen]
extern "C" {
    /// The global object: everything's `valueOf` is itself. `js_sys::global` also looks for it
    /// where browsers of ten years ago had it.
    #[wasm_bindgen(js_namespace = globalThis, js_name = valueOf)]
    pub(super) fn global() -> JsValue;
}

/// Listens until it is dropped. A worker has no page, and goes without.
#[derive(Debug)]
pub(super) struct Page {
    listener: Closure<dyn Fn(web_sys::Event)>,
    targets: [(EventTarget, &'static str); 3],
}

impl Page {
    pub(super) fn listen(tell: impl Fn(Input) + 'static) -> Self {
        let listener = Closure::<dyn Fn(web_sys::Event)>::new(move |event: web_sys::Event| {
            match event.type_().as_str() {
                "online" => tell(Input::Online),
                "offline" => tell(Input::Offline),
                _ if is_visible() => tell(Input::Visible),
                _ => {}
            }
        });
        let global = global();
        let document = document();
        let targets = [
            (document.unchecked_into(), "visibilitychange"),
            (global.clone().unchecked_into(), "online"),
            (global.unchecked_into(), "offline"),
        ];
        for (target, name) in &targets {
            let target: &EventTarget = target;
            let listener = listener.as_ref().unchecked_ref();
            // Fails where there is no page.
            let _ = target.add_event_listener_with_callback(name, listener);
        }
        Self { listener, targets }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for (target, name) in &self.targets {
            let listener = self.listener.as_ref().unchecked_ref();
            let _ = target.remove_event_listener_with_callback(name, listener);
        }
    }
}

/// The page's document; undefined in a worker.
fn document() -> JsValue {
    Reflect::get(&global(), &JsValue::from_str("document")).unwrap_or_default()
}

fn is_visible() -> bool {
    let state = Reflect::get(&document(), &JsValue::from_str("visibilityState"));
    state.is_ok_and(|state| state == "visible")
}
