//! The page's world, played by the test: `WebSocket` and `fetch` are put in place of the browser's.

use js_sys::{Array, Object, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

use client_sdk::driver::browser::DashboardCore;

pub(crate) const HANDSHAKE: &str = r#"0{"sid":"s","pingInterval":10000,"pingTimeout":5000}"#;
pub(crate) const ACCEPTED: &str = r#"40/dashboard,{"sid":"s","tag":"e-0"}"#;

#[wasm_bindgen(inline_js = r#"
const real = { WebSocket: globalThis.WebSocket, fetch: globalThis.fetch }

export class World {
  constructor() {
    this.sockets = []
    this.requests = []
    this.errors = 0
    this.onError = () => { this.errors += 1 }
    globalThis.addEventListener('error', this.onError)
    const world = this
    globalThis.WebSocket = class {
      constructor(url) {
        this.url = url
        this.sent = []
        this.isClosed = false
        world.sockets.push(this)
      }
      send(text) { this.sent.push(text) }
      close() { this.isClosed = true }
    }
    globalThis.fetch = (url, init) => new Promise((resolve, reject) => {
      init.signal.addEventListener('abort', () => reject(init.signal.reason))
      world.requests.push({ url, init, resolve, reject })
    })
  }
  get socket() { return this.sockets[this.sockets.length - 1] }
  get request() { return this.requests[this.requests.length - 1] }
  leave() {
    globalThis.removeEventListener('error', this.onError)
    Object.assign(globalThis, real)
  }
  errorCount() { return this.errors }
  socketCount() { return this.sockets.length }
  openSocketCount() { return this.sockets.filter((socket) => !socket.isClosed).length }
  requestCount() { return this.requests.length }
  url() { return this.socket.url }
  sent() { return this.socket.sent }
  open() { this.socket.onopen?.({}) }
  receive(data) { this.socket.onmessage?.({ data }) }
  close(code) { const { onclose } = this.socket; this.socket.isClosed = true; onclose?.({ code }) }
  error() { this.socket.isClosed = true; this.socket.onerror?.({}) }
  requestUrl() { return this.request.url }
  header(name) { return new Headers(this.request.init.headers).get(name) ?? undefined }
  option(name) { return this.request.init[name] }
  isAborted() { return this.request.init.signal.aborted }
  query(name) { return new URL(this.request.url).searchParams.get(name) ?? undefined }
  answer(status, tag, view) {
    const fresh = this.query('fresh')
    const refusal = view.replace('{"success"', `{"fresh":"${fresh}","success"`)
    const body = tag ? `{"fresh":"${fresh}","tag":"${tag}","view":${view}}` : refusal
    this.request.resolve(new Response(body, { status }))
  }
  fail() { this.request.reject(new TypeError('Failed to fetch')) }
}
"#)]
extern "C" {
    #[derive(Clone)]
    pub(crate) type World;

    #[wasm_bindgen(constructor)]
    pub(crate) fn new() -> World;
    #[wasm_bindgen(method)]
    pub(crate) fn leave(this: &World);
    /// Uncaught exceptions.
    #[wasm_bindgen(method, js_name = errorCount)]
    pub(crate) fn error_count(this: &World) -> u32;
    #[wasm_bindgen(method, js_name = socketCount)]
    pub(crate) fn socket_count(this: &World) -> u32;
    #[wasm_bindgen(method, js_name = openSocketCount)]
    pub(crate) fn open_socket_count(this: &World) -> u32;
    #[wasm_bindgen(method, js_name = requestCount)]
    pub(crate) fn request_count(this: &World) -> u32;
    #[wasm_bindgen(method)]
    pub(crate) fn url(this: &World) -> String;
    #[wasm_bindgen(method)]
    fn sent(this: &World) -> Array;
    #[wasm_bindgen(method)]
    pub(crate) fn open(this: &World);
    #[wasm_bindgen(method)]
    pub(crate) fn receive(this: &World, data: &JsValue);
    #[wasm_bindgen(method)]
    pub(crate) fn close(this: &World, code: u32);
    /// The socket's last event, or the one before its close, as the runtime has it.
    #[wasm_bindgen(method)]
    pub(crate) fn error(this: &World);
    #[wasm_bindgen(method, js_name = requestUrl)]
    pub(crate) fn request_url(this: &World) -> String;
    #[wasm_bindgen(method)]
    pub(crate) fn header(this: &World, name: &str) -> Option<String>;
    #[wasm_bindgen(method)]
    pub(crate) fn option(this: &World, name: &str) -> JsValue;
    #[wasm_bindgen(method, js_name = isAborted)]
    pub(crate) fn is_aborted(this: &World) -> bool;
    #[wasm_bindgen(method)]
    pub(crate) fn query(this: &World, name: &str) -> Option<String>;
    /// With a tag, the server's answer to this request, around a view or null; without one, just the body.
    #[wasm_bindgen(method)]
    pub(crate) fn answer(this: &World, status: u32, tag: &str, view: &str);
    #[wasm_bindgen(method)]
    pub(crate) fn fail(this: &World);
}

/// A client in its own world.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) core: DashboardCore,
    /// Every state that `onState` got.
    pub(crate) states: Array,
    /// Every entry that `onDiagnostic` got.
    pub(crate) diagnostics: Array,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::with(&options())
    }

    pub(crate) fn with(options: &Object) -> Self {
        let (states, diagnostics) = (Array::new(), Array::new());
        for (name, list) in [("onState", &states), ("onDiagnostic", &diagnostics)] {
            if get(options, name).is_undefined() {
                let list = list.clone();
                set(
                    options,
                    name,
                    &callback(move |entry| {
                        list.push(&entry);
                    }),
                );
            }
        }
        let world = World::new();
        let core = DashboardCore::new(options);
        Self { world, core, states, diagnostics }
    }

    /// As far as live, with a snapshot of that revision.
    pub(crate) async fn live(&self, revision: u32) {
        self.core.start();
        turn().await;
        self.accept().await;
        self.world.answer(200, &format!("e-{revision}"), &view(revision));
        self.until(Self::is_answered).await;
        assert_eq!(self.status(), "live");
    }

    /// Whether the answer has come through: the browser reads bodies in its own time.
    pub(crate) fn is_answered(&self) -> bool {
        self.status() != "syncing"
    }

    pub(crate) async fn accept(&self) {
        self.world.open();
        self.frame(HANDSHAKE);
        self.frame(ACCEPTED);
        turn().await;
    }

    pub(crate) fn frame(&self, text: &str) {
        self.world.receive(&text.into());
    }

    pub(crate) fn status(&self) -> String {
        text(&self.core.get_state(), "status")
    }

    pub(crate) fn reason(&self) -> String {
        text(&get(&get(&self.core.get_state(), "freshness"), "reason"), "code")
    }

    pub(crate) fn total(&self) -> f64 {
        let view = get(&self.core.get_state(), "view");
        get(&get(&view, "summary"), "totalMocs").as_f64().expect("a number")
    }

    pub(crate) fn sent(&self) -> Vec<String> {
        self.world.sent().iter().map(|text| text.as_string().unwrap()).collect()
    }

    pub(crate) fn was_told(&self, code: &str) -> bool {
        self.diagnostics.iter().any(|entry| text(&entry, "code") == code)
    }

    /// Waits until the condition holds, for ten seconds at most.
    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if condition(self) {
                return;
            }
            pause(20).await;
        }
        panic!("it never came; the status is {}", self.status());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.core.free();
        self.world.leave();
    }
}

/// Options for a server elsewhere, with a token.
pub(crate) fn options() -> Object {
    let options = Object::new();
    set(&options, "socketUrl", &"ws://server.test/socket.io/?EIO=4&transport=websocket".into());
    set(&options, "snapshotUrl", &"http://server.test/api/dashboard".into());
    set(&options, "getToken", &callback0(|| "secret-token".into()));
    options
}

/// A function for JavaScript, kept for as long as the page.
pub(crate) fn callback(of: impl Fn(JsValue) + 'static) -> JsValue {
    Closure::<dyn Fn(JsValue)>::new(of).into_js_value()
}

pub(crate) fn callback0(of: impl Fn() -> JsValue + 'static) -> JsValue {
    Closure::<dyn Fn() -> JsValue>::new(of).into_js_value()
}

pub(crate) fn get(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

pub(crate) fn set(object: &JsValue, name: &str, value: &JsValue) {
    Reflect::set(object, &name.into(), value).unwrap();
}

pub(crate) fn text(object: &JsValue, name: &str) -> String {
    get(object, name).as_string().unwrap_or_default()
}

/// Lets every promise that is settled be heard.
pub(crate) async fn turn() {
    pause(0).await;
}

pub(crate) fn dispatch(name: &str) {
    let window: web_sys::EventTarget = js_sys::global().unchecked_into();
    window.dispatch_event(&web_sys::Event::new(name).unwrap()).unwrap();
}

pub(crate) fn view(revision: u32) -> String {
    format!(
        r#"{{"summary":{},"themeBreakdown":[{{"theme":"Castle","mocCount":1,"setCount":2}}],"recentMocs":[],"partialPartsMocs":[]}}"#,
        summary(revision)
    )
}

pub(crate) fn summary_event(revision: u32) -> String {
    event("dashboard:summaryUpdated", revision, &summary(revision))
}

pub(crate) fn event(name: &str, revision: u32, payload: &str) -> String {
    format!(
        r#"42/dashboard,["{name}",{{"eventId":"0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60","type":"{name}","timestamp":"2026-11-23T09:30:00Z","revision":{revision},"payload":{payload}}}]"#
    )
}

/// The standard error body (D-API-7).
pub(crate) fn error_body(code: &str) -> String {
    format!(
        r#"{{"success":false,"error":{{"code":"{code}","message":"no"}},"correlationId":"c","timestamp":"2026-11-23T09:30:00Z"}}"#
    )
}

fn summary(total: u32) -> String {
    format!(
        r#"{{"totalMocs":{total},"totalWishlistItems":0,"mocsByBuildStatus":{{"ADDED":0,"IN_PROGRESS":0,"BUILT":0}},"mocsByCoverageStatus":{{"FULL_INVENTORY":0,"PARTIAL_ORDERED":0,"NONE":0}}}}"#
    )
}

async fn pause(milliseconds: i32) {
    let promise = Promise::new(&mut |resolve, _| {
        let set_timeout: js_sys::Function = get(&js_sys::global(), "setTimeout").unchecked_into();
        set_timeout.call2(&JsValue::UNDEFINED, &resolve, &milliseconds.into()).unwrap();
    });
    JsFuture::from(promise).await.unwrap();
}
