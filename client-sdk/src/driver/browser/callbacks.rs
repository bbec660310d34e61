//! Calls the app's callbacks, which may throw or call the client again.

use crate::prelude::*;
use js_sys::{Function, Promise};
use wasm_bindgen::{JsCast as _, JsValue};

use super::promise;
use crate::machine::Secret;

/// Asks the app for a token; without a provider there is none, and the session is in a cookie.
///
/// Answers later, never within this call; an error where the app threw, refused, or gave something
/// else than a text or null.
pub(super) fn ask_token(
    provider: Option<&Function>,
    answer: impl FnOnce(Result<Option<Secret>, ()>) + 'static,
) {
    let given = match provider {
        Some(provider) => provider.call0(&JsValue::UNDEFINED),
        None => Ok(JsValue::NULL),
    };
    let promise = match given {
        Ok(value) => Promise::resolve(&value),
        Err(thrown) => Promise::reject(&thrown),
    };
    promise::settle(&promise, |settled| {
        answer(settled.map_err(drop).and_then(|value| {
            if value.is_null() || value.is_undefined() {
                Ok(None)
            } else {
                value.as_string().map(|token| Some(Secret::new(token))).ok_or(())
            }
        }));
    });
}

/// What an exception tells of itself.
pub(super) fn message_of(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => error.message().into(),
        None => thrown.as_string().unwrap_or_else(|| "unknown".to_owned()),
    }
}
