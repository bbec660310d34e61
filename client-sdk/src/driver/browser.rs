//! The driver of browsers: web-sys for the socket and the requests.
//!
//! It exports one class, `DashboardCore`, which the npm package wraps. Every call is short and
//! synchronous, and no borrow is held while the app's callbacks run, so a callback may throw or
//! call the client again.

mod callbacks;
mod clock;
mod convert;
mod page;
mod promise;
mod request;
mod run;
mod settings;
mod socket;
mod timer;

use alloc::rc::Rc;
use core::cell::RefCell;

use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::machine::Input;

use self::run::Inner;
use self::settings::Settings;

/// A dashboard client in a browser.
///
/// Options: `{ socketUrl, snapshotUrl, getToken?, cookies, onState, onDiagnostic, lastView? }`. They
/// are not checked: the npm package has done that, and its `CoreOptions` is their type. `lastView`
/// keeps one text between two lives of the client:
/// `{ load(): Promise<string | null>, save(record: string): void, drop(): void }`.
#[wasm_bindgen]
#[derive(Debug)]
pub struct DashboardCore {
    /// None once freed.
    inner: RefCell<Option<Rc<Inner>>>,
    /// The state once freed.
    last_state: RefCell<JsValue>,
}

#[wasm_bindgen]
impl DashboardCore {
    /// A client that is idle.
    #[wasm_bindgen(constructor)]
    #[must_use]
    pub fn new(options: &JsValue) -> Self {
        let inner = Rc::new(Inner::new(Settings::read(options)));
        let last_state = RefCell::new(inner.state());
        Self { inner: RefCell::new(Some(inner)), last_state }
    }

    /// Connects, and stays connected until `stop`.
    pub fn start(&self) {
        self.input(Input::Start);
    }

    /// Disconnects, and forgets what was shown.
    pub fn stop(&self) {
        self.input(Input::Stop);
    }

    /// Says that there is a new session. Nothing that was shown is kept, unless it is certain that the
    /// user is the same.
    pub fn reauthenticate(&self, is_same_user: bool) {
        self.input(Input::Reauthenticate { is_same_user });
    }

    /// Asks for fresh data now.
    pub fn refresh(&self) {
        self.input(Input::Refresh);
    }

    /// The state: the identical object until something changes.
    #[wasm_bindgen(js_name = getState)]
    #[must_use]
    pub fn get_state(&self) -> JsValue {
        let inner = self.inner.borrow().clone();
        inner.map_or_else(|| self.last_state.borrow().clone(), |inner| inner.state())
    }

    /// Stops, and lets go of everything; may be called twice, and within a callback.
    ///
    /// Takes the place of the method that wasm-bindgen makes, which throws on a second call. The
    /// few bytes that are left go when the object is collected.
    pub fn free(&self) {
        let inner = self.inner.borrow_mut().take();
        if let Some(inner) = inner {
            inner.free();
            *self.last_state.borrow_mut() = inner.state();
        }
    }

    fn input(&self, input: Input) {
        let inner = self.inner.borrow().clone();
        if let Some(inner) = inner {
            inner.input(input);
        }
    }
}

impl Drop for DashboardCore {
    fn drop(&mut self) {
        self.free();
    }
}
