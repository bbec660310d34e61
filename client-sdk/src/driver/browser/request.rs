//! Sends one request for the snapshot: from the moment that its token is known to its last byte.

use crate::prelude::*;
use js_sys::{Date, Promise};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::AbortController;

use super::callbacks::message_of;
use super::clock::{wall_clock, whole_ms};
use super::convert::object;
use super::promise::settle;
use crate::backoff;
use crate::machine::{FetchFailure, Response, Secret};

#[wasm_bindgen]
extern "C" {
    /// The global function, looked up at each call, as every script of the page does.
    #[wasm_bindgen(js_name = fetch, catch)]
    fn fetch_global(url: &str, init: &JsValue) -> Result<Promise, JsValue>;
}

/// A request on its way; given up when it is dropped.
#[derive(Debug)]
pub(super) struct Request(AbortController);

type Answer = Result<Response, FetchFailure>;

impl Request {
    /// Sends the request. The answer comes later, never within this call, and not after the
    /// request was dropped: the caller sees to that by the request's epoch.
    pub(super) fn send(
        url: &str,
        token: Option<&Secret>,
        cookies: bool,
        answer: impl FnOnce(Answer) + 'static,
    ) -> Result<Self, FetchFailure> {
        let abort = AbortController::new().map_err(|thrown| failed(&thrown))?;
        let bearer = token.map(|token| ["Bearer ", token.expose()].concat().into());
        let bearer = bearer.map(|bearer| ("Authorization", bearer));
        let init = object(&[
            ("headers", object(bearer.as_slice())),
            ("signal", abort.signal().into()),
            // A copy that the browser kept would hide the server's answer.
            ("cache", "no-store".into()),
            // A redirect leads to a login page, not to a snapshot.
            ("redirect", "error".into()),
            ("credentials", if cookies { "include" } else { "same-origin" }.into()),
        ]);
        let promise = fetch_global(url, &init).map_err(|thrown| failed(&thrown))?;
        settle(&promise, |settled| match settled {
            Ok(response) => read(&response.unchecked_into(), answer),
            Err(thrown) => answer(Err(failed(&thrown))),
        });
        Ok(Self(abort))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn read(response: &web_sys::Response, answer: impl FnOnce(Answer) + 'static) {
    let headers = response.headers();
    let header = |name| headers.get(name).ok().flatten();
    let mut made = Response {
        status: response.status(),
        etag: header("ETag"),
        retry_after: header("Retry-After")
            .and_then(|header| backoff::retry_after(&header, wall_clock(), date)),
        body: String::new(),
    };
    // The bodies that the machine reads.
    if !matches!(made.status, 200 | 401 | 403) {
        return answer(Ok(made));
    }
    match response.text() {
        Ok(text) => settle(&text, |settled| {
            answer(match settled {
                Ok(body) => {
                    made.body = body.as_string().unwrap_or_default();
                    Ok(made)
                }
                Err(thrown) => Err(failed(&thrown)),
            });
        }),
        Err(thrown) => answer(Err(failed(&thrown))),
    }
}

/// In ms since 1970.
fn date(text: &str) -> Option<u64> {
    Some(Date::parse(text)).filter(|date| !date.is_nan()).map(whole_ms)
}

fn failed(thrown: &JsValue) -> FetchFailure {
    FetchFailure::Network(message_of(thrown))
}
