//! What the page tells: online, offline, seen again.

use js_sys::Reflect;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::EventTarget;

use crate::machine::Input;

/// Listens until it is dropped. A worker has no page, and goes without.
#[derive(Debug)]
pub(super) struct Page {
    listener: Closure<dyn Fn(web_sys::Event)>,
    targets: Vec<(EventTarget, &'static str)>,
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
        let global: JsValue = js_sys::global().into();
        let mut targets = Vec::new();
        if let Some(document) = document() {
            targets.push((document, "visibilitychange"));
        }
        if let Ok(window) = global.dyn_into::<EventTarget>() {
            targets.push((window.clone(), "online"));
            targets.push((window, "offline"));
        }
        for (target, name) in &targets {
            let listener = listener.as_ref().unchecked_ref();
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

fn document() -> Option<EventTarget> {
    let document = Reflect::get(&js_sys::global(), &JsValue::from_str("document")).ok()?;
    document.dyn_into().ok()
}

fn is_visible() -> bool {
    let Some(document) = document() else {
        return false;
    };
    let state = Reflect::get(&document, &JsValue::from_str("visibilityState"));
    state.is_ok_and(|state| state == "visible")
}
