//! The settings that the npm package makes a client with. The package has checked them, so this
//! module refuses none.

use crate::prelude::*;
use js_sys::{Function, Reflect};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

#[derive(Debug)]
pub(super) struct Settings {
    /// The WebSocket's address (D-WS-1). Holds no token: URLs end up in access logs.
    pub(super) socket_url: String,
    /// The snapshot's address (D-API-1), without a query.
    pub(super) snapshot_url: String,
    pub(super) get_token: Option<Function>,
    /// Whether cookies go to the server even where it is of another origin than the page.
    pub(super) cookies: bool,
    pub(super) on_state: Function,
    pub(super) on_diagnostic: Function,
    /// `{ load, save, drop }`, where the app wants the last view to be kept.
    pub(super) last_view: Option<LastViewStore>,
}

#[wasm_bindgen]
extern "C" {
    /// Keeps one record, and carries out the calls in their order.
    #[derive(Debug)]
    pub(super) type LastViewStore;

    /// A promise of the record as a text, or of null.
    #[wasm_bindgen(method, catch)]
    pub(super) fn load(this: &LastViewStore) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn save(this: &LastViewStore, record: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = drop)]
    pub(super) fn drop_kept(this: &LastViewStore) -> Result<(), JsValue>;
}

impl Settings {
    pub(super) fn read(options: &JsValue) -> Self {
        let get = |name| Reflect::get(options, &JsValue::from_str(name)).unwrap_or_default();
        let text = |name| get(name).as_string().unwrap_or_default();
        Self {
            socket_url: text("socketUrl"),
            snapshot_url: text("snapshotUrl"),
            get_token: get("getToken").dyn_into().ok(),
            cookies: get("cookies").is_truthy(),
            on_state: get("onState").unchecked_into(),
            on_diagnostic: get("onDiagnostic").unchecked_into(),
            last_view: Some(get("lastView")).filter(JsValue::is_object).map(JsCast::unchecked_into),
        }
    }
}
