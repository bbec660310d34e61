//! Waits for a promise without an executor, which would be a tenth of the module.

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::RefCell;

use js_sys::Promise;
use wasm_bindgen::JsValue;
use wasm_bindgen::closure::Closure;

type Callback = Closure<dyn FnMut(JsValue)>;

/// Calls `done` once, when the promise is fulfilled or rejected.
///
/// The two closures own each other until then, so that neither is called after it was dropped, and
/// both go with the first call.
pub(super) fn settle(promise: &Promise, done: impl FnOnce(Result<JsValue, JsValue>) + 'static) {
    settle_boxed(promise, Box::new(done));
}

/// Once for all callers.
fn settle_boxed(promise: &Promise, done: Box<dyn FnOnce(Result<JsValue, JsValue>)>) {
    let kept: Rc<RefCell<Option<(Callback, Callback)>>> = Rc::default();
    let done = Rc::new(RefCell::new(Some(done)));
    let callback = |of: fn(JsValue) -> Result<JsValue, JsValue>| {
        let (kept, done) = (kept.clone(), done.clone());
        Closure::new(move |value| {
            let both = kept.borrow_mut().take();
            let done = done.borrow_mut().take();
            if let Some(done) = done {
                done(of(value));
            }
            drop(both);
        })
    };
    let (fulfilled, rejected) = (callback(Ok), callback(Err));
    let _ = promise.then2(&fulfilled, &rejected);
    *kept.borrow_mut() = Some((fulfilled, rejected));
}
