//! What the app tells the client, read from a JavaScript object.

use crate::prelude::*;
use js_sys::{Function, Reflect, TypeError};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast, JsValue};

use super::page::global;
use crate::endpoint::{AddressOption, Endpoints, InvalidUrl};

#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoints: Endpoints,
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
    /// Keeps one record, in the order in which it is told to.
    #[derive(Debug)]
    pub(super) type LastViewStore;

    /// A promise of the record as a text, or of null.
    #[wasm_bindgen(method, catch)]
    pub(super) fn load(this: &LastViewStore) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(super) fn save(this: &LastViewStore, record: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch, js_name = drop)]
    pub(super) fn drop_kept(this: &LastViewStore) -> Result<(), JsValue>;

    /// The browser's parser, which reads the addresses of sockets and requests too.
    type URL;

    #[wasm_bindgen(constructor, catch)]
    fn new(text: &str) -> Result<URL, JsValue>;

    #[wasm_bindgen(method, getter)]
    fn href(this: &URL) -> String;
}

impl Settings {
    pub(super) fn read(options: &JsValue) -> Result<Self, JsValue> {
        if !options.is_object() {
            return Err(error("the options must be an object"));
        }
        let url = text(options, "url")?.unwrap_or_default();
        let url = if url.is_empty() { origin()? } else { url };
        let base_path = text(options, "basePath")?;
        let endpoints = Endpoints::new(&url, base_path.as_deref().unwrap_or("/api"), |text| {
            URL::new(text).ok().map(|url| url.href())
        })
        .map_err(|InvalidUrl { option, rule }| {
            let name = match option {
                AddressOption::Url => "url ",
                AddressOption::BasePath => "basePath ",
            };
            error(&[name, rule].concat())
        })?;
        Ok(Self {
            endpoints,
            get_token: function(options, "getToken")?,
            cookies: get(options, "cookies")?.is_truthy(),
            on_state: function(options, "onState")?
                .ok_or_else(|| error("onState must be a function"))?,
            on_diagnostic: function(options, "onDiagnostic")?
                .ok_or_else(|| error("onDiagnostic must be a function"))?,
            last_view: Some(get(options, "lastView")?)
                .filter(JsValue::is_object)
                .map(JsCast::unchecked_into),
        })
    }
}

fn origin() -> Result<String, JsValue> {
    let location = get(&global(), "location")?;
    text(&location, "origin")?.ok_or_else(|| error("url is missing"))
}

fn text(object: &JsValue, name: &str) -> Result<Option<String>, JsValue> {
    let value = get(object, name)?;
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    value.as_string().map(Some).ok_or_else(|| error(&[name, " must be a string"].concat()))
}

fn function(object: &JsValue, name: &str) -> Result<Option<Function>, JsValue> {
    let value = get(object, name)?;
    if value.is_undefined() || value.is_null() {
        return Ok(None);
    }
    let function = value.dyn_into::<Function>();
    function.map(Some).map_err(|_| error(&[name, " must be a function"].concat()))
}

fn get(object: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(object, &JsValue::from_str(name))
}

fn error(message: &str) -> JsValue {
    TypeError::new(message).into()
}
