//! Callbacks that throw or call the client again, and clients that are freed at any time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::Object;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use client_sdk::driver::browser::DashboardCore;

use crate::world::{
    Scene, World, callback, dispatch, options, set, summary_event, text, turn, view,
};

/// Options whose `onState` calls what the test puts into the cell.
type Hook = Rc<RefCell<Option<Box<dyn Fn(&JsValue)>>>>;

fn hooked() -> (Object, Hook) {
    let hook: Hook = Rc::default();
    let options = options();
    let inner = hook.clone();
    set(
        &options,
        "onState",
        &callback(move |state| {
            // Taken out, as the callback may be called within itself.
            let hook = inner.borrow_mut().take();
            if let Some(hook) = hook {
                hook(&state);
                inner.borrow_mut().get_or_insert(hook);
            }
        }),
    );
    (options, hook)
}

#[wasm_bindgen_test]
async fn a_callback_that_throws_does_no_harm() {
    let (options, hook) = hooked();
    *hook.borrow_mut() = Some(Box::new(|_| wasm_bindgen::throw_str("the app's mistake")));
    let scene = Scene::with(&options);
    scene.core.start();
    turn().await;
    scene.accept().await;
    scene.world.answer(200, "e-10", &view(10));
    scene.until(Scene::is_answered).await;
    scene.frame(&summary_event(11));
    assert_eq!((scene.status().as_str(), scene.total()), ("live", 11.0));
    assert!(scene.was_told("CALLBACK_FAILED"));
}

#[wasm_bindgen_test]
async fn a_diagnostic_callback_that_throws_does_no_harm() {
    let options = options();
    set(&options, "onDiagnostic", &callback(|_| wasm_bindgen::throw_str("the app's mistake")));
    let scene = Scene::with(&options);
    scene.live(10).await;
    scene.frame("garbage");
    assert_eq!(scene.status(), "live");
}

#[wasm_bindgen_test]
async fn a_callback_may_call_the_client_again() {
    let (options, hook) = hooked();
    let scene = Rc::new(Scene::with(&options));
    let inner = Rc::downgrade(&scene);
    let calls = Rc::new(Cell::new(0));
    let counter = calls.clone();
    *hook.borrow_mut() = Some(Box::new(move |state| {
        let Some(scene) = inner.upgrade() else { return };
        counter.set(counter.get() + 1);
        match text(state, "status").as_str() {
            // Each of these comes while the client is busy telling of the state before.
            "connecting" => {
                scene.core.start();
                scene.core.refresh();
                assert_eq!(scene.status(), "connecting");
            }
            "live" => scene.core.stop(),
            _ => {}
        }
    }));
    scene.core.start();
    turn().await;
    scene.accept().await;
    scene.world.answer(200, "e-10", &view(10));
    scene.until(Scene::is_answered).await;
    assert_eq!(scene.status(), "closed");
    assert!(calls.get() >= 3, "{}", calls.get());
    assert_eq!(scene.world.open_socket_count(), 0);
}

#[wasm_bindgen_test]
async fn a_callback_is_never_called_within_itself() {
    let options = options();
    let scene: Rc<RefCell<Option<Rc<Scene>>>> = Rc::default();
    let (depth, seen) = (Rc::new(Cell::new(0)), Rc::new(RefCell::new(Vec::new())));
    let (client, inner_depth, inner_seen) = (scene.clone(), depth.clone(), seen.clone());
    set(
        &options,
        "onState",
        &callback(move |state| {
            inner_depth.set(inner_depth.get() + 1);
            let status = text(&state, "status");
            inner_seen.borrow_mut().push((inner_depth.get(), status.clone()));
            let client = client.borrow().clone();
            if let Some(scene) = client.filter(|_| status == "connecting") {
                scene.core.stop();
            }
            inner_depth.set(inner_depth.get() - 1);
        }),
    );
    *scene.borrow_mut() = Some(Rc::new(Scene::with(&options)));
    let client = scene.borrow().clone().unwrap();
    client.core.start();
    turn().await;
    let expected = [(1, "connecting".to_owned()), (1, "closed".to_owned())];
    assert_eq!(*seen.borrow(), expected);
    // The callback and the scene hold each other.
    scene.borrow_mut().take();
}

#[wasm_bindgen_test]
async fn a_callback_may_free_its_client() {
    let (options, hook) = hooked();
    let scene = Rc::new(Scene::with(&options));
    let inner = Rc::downgrade(&scene);
    *hook.borrow_mut() = Some(Box::new(move |state| {
        if text(state, "status") == "live"
            && let Some(scene) = inner.upgrade()
        {
            scene.core.free();
        }
    }));
    scene.core.start();
    turn().await;
    scene.accept().await;
    scene.world.answer(200, "e-10", &view(10));
    scene.until(Scene::is_answered).await;
    assert_eq!(scene.world.open_socket_count(), 0);
    dispatch("online");
    turn().await;
    assert_eq!(scene.world.socket_count(), 1, "nothing of it is left");
}

#[wasm_bindgen_test]
async fn freeing_twice_and_calling_afterwards_is_nothing() {
    let scene = Scene::new();
    scene.live(10).await;
    let told = scene.states.length();
    scene.core.free();
    scene.core.free();
    scene.core.start();
    scene.core.stop();
    scene.core.refresh();
    scene.core.reauthenticate(false);
    dispatch("offline");
    turn().await;
    assert_eq!((scene.world.socket_count(), scene.world.open_socket_count()), (1, 0));
    assert_eq!(scene.states.length(), told, "the app hears no more");
    assert_eq!(scene.world.error_count(), 0);
    assert_eq!(scene.status(), "closed");
}

#[wasm_bindgen_test]
async fn mounting_twice_leaves_one_client() {
    // As React's StrictMode does: create, start, free, and once more.
    let world = World::new();
    let make = || {
        let options = options();
        set(&options, "onState", &callback(drop));
        set(&options, "onDiagnostic", &callback(drop));
        DashboardCore::new(&options)
    };
    let first = make();
    first.start();
    first.free();
    let second = make();
    second.start();
    turn().await;
    assert_eq!((world.socket_count(), world.open_socket_count()), (1, 1));
    second.free();
    assert_eq!(world.open_socket_count(), 0);
    world.leave();
}
