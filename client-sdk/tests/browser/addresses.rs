//! Where the token goes: to the address that the app named, or nowhere.

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_test::wasm_bindgen_test;

use client_sdk::driver::browser::DashboardCore;

use crate::table::{ACCEPTED, REFUSED_BASE_PATHS, REFUSED_URLS};
use crate::world::{Scene, World, callback, callback0, options, set, text, turn};

#[wasm_bindgen_test]
async fn impossible_and_unsuitable_addresses_are_refused_and_nothing_is_connected() {
    let world = World::new();
    let asked = Rc::new(Cell::new(0));
    let must_be_refused = |name: &str, url: &str, base_path: &str, rule: &str| {
        let [url, base_path] = [url, base_path].map(|text| text.replace("HERE", "127.0.0.1:9112"));
        let options = options();
        let counter = asked.clone();
        let get_token = callback0(move || {
            counter.set(counter.get() + 1);
            "secret-token".into()
        });
        for (name, value) in [
            ("url", url.as_str().into()),
            ("basePath", base_path.as_str().into()),
            ("getToken", get_token),
            ("onState", callback(drop)),
            ("onDiagnostic", callback(drop)),
        ] {
            set(&options, name, &value);
        }
        let what = format!("{url:?} {base_path:?}");
        let thrown = match DashboardCore::new(&options) {
            Ok(core) => {
                core.start();
                panic!("not refused: {what}");
            }
            Err(thrown) => thrown,
        };
        assert!(thrown.is_instance_of::<js_sys::TypeError>(), "{what}");
        let told = text(&thrown, "message");
        assert!(told.starts_with(&format!("{name} {rule}")), "{what}: {told}");
        assert!(!told.contains("hidden"), "{what}: {told}");
    };
    for (url, rule) in REFUSED_URLS {
        must_be_refused("url", url, "/api", rule);
    }
    for (base_path, rule) in REFUSED_BASE_PATHS {
        must_be_refused("basePath", "http://HERE", base_path, rule);
    }
    turn().await;
    let connected = (world.socket_count(), world.request_count(), asked.get());
    world.leave();
    assert_eq!(connected, (0, 0, 0));
}

#[wasm_bindgen_test]
async fn one_reading_of_an_address_makes_both() {
    for [url, base_path, socket, snapshot] in ACCEPTED {
        let options = options();
        set(&options, "url", &JsValue::from_str(url));
        set(&options, "basePath", &JsValue::from_str(base_path));
        let scene = Scene::with(&options);
        scene.core.start();
        turn().await;
        scene.accept().await;
        let expected = [socket, "/socket.io/?EIO=4&transport=websocket"].concat();
        assert_eq!(scene.world.url(), expected, "{url:?} {base_path:?}");
        assert_eq!(scene.world.request_url(), *snapshot, "{url:?} {base_path:?}");
    }
}
