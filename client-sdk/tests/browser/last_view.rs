//! The store of the last view: when it is asked, told and emptied, and that it may fail.

use js_sys::{Array, Object, Promise};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::world::{Scene, callback, callback0, get, options, set, summary_event, text, turn};

/// A store that records its calls, and finds what the test says.
struct Store {
    options: Object,
    /// `save: …` and `drop`, in order.
    told: Array,
}

impl Store {
    fn new(load: impl Fn() -> JsValue + 'static) -> Self {
        let (told, store, options) = (Array::new(), Object::new(), options());
        let (saved, dropped) = (told.clone(), told.clone());
        set(&store, "load", &callback0(load));
        set(&store, "save", &callback(move |record| note(&saved, &record)));
        let drop = callback0(move || {
            dropped.push(&"drop".into());
            JsValue::UNDEFINED
        });
        set(&store, "drop", &drop);
        set(&options, "lastView", &store);
        Self { options, told }
    }

    fn last(&self) -> String {
        self.told.at(-1).as_string().unwrap_or_default()
    }
}

fn note(told: &Array, record: &JsValue) {
    told.push(record);
}

fn found(record: &str) -> impl Fn() -> JsValue + 'static {
    let record = JsValue::from_str(record);
    move || Promise::resolve(&record).into()
}

#[wasm_bindgen_test]
async fn the_last_view_is_kept_and_shown_after_the_next_start() {
    let store = Store::new(|| Promise::resolve(&JsValue::NULL).into());
    let scene = Scene::with(&store.options);
    scene.live(11).await;
    let record = store.last();
    assert!(record.starts_with("1 17") || record.starts_with("1 18"), "{record}");
    assert!(record.contains("\"totalMocs\":11"), "{record}");
    drop(scene);

    let store = Store::new(found(&record));
    let scene = Scene::with(&store.options);
    scene.core.start();
    assert_eq!(scene.status(), "connecting");
    turn().await;
    let freshness = get(&scene.core.get_state(), "freshness");
    assert_eq!((text(&freshness, "source").as_str(), scene.total()), ("stale", 11.0));
    assert!(get(&freshness, "asOf").as_f64().is_some_and(|at| at > 1.7e12));
    let themes = get(&get(&scene.core.get_state(), "view"), "themeBreakdown");
    scene.accept().await;
    assert_eq!(scene.world.query("have"), None);
    scene.world.answer(200, "e-12", &crate::world::view(12));
    scene.until(Scene::is_answered).await;
    assert_eq!((scene.status().as_str(), scene.total()), ("live", 12.0));
    let same = get(&get(&scene.core.get_state(), "view"), "themeBreakdown");
    assert!(js_sys::Object::is(&themes, &same), "an equal section is the same object");
}

#[wasm_bindgen_test]
async fn stop_empties_the_store_although_a_write_was_waiting() {
    let store = Store::new(|| JsValue::NULL);
    let scene = Scene::with(&store.options);
    scene.live(11).await;
    scene.frame(&summary_event(12));
    scene.core.stop();
    assert_eq!(store.last(), "drop");
    turn().await;
    scene.core.free();
    assert_eq!(store.last(), "drop");
}

#[wasm_bindgen_test]
async fn a_failing_store_is_reported_and_costs_nothing() {
    let fail = || -> JsValue { Promise::reject(&"no disk".into()).into() };
    let store = Store::new(fail);
    let broken = js_sys::Function::new_no_args("throw new Error('full')");
    set(&get(&store.options, "lastView"), "save", &broken);
    set(&get(&store.options, "lastView"), "drop", &broken);
    let scene = Scene::with(&store.options);
    scene.live(11).await;
    assert!(scene.was_told("LAST_VIEW_FAILED"));
    scene.core.stop();
    assert_eq!(scene.status(), "closed");
}
