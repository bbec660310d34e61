//! The state as programs print and pass it on.
#![cfg(all(test, feature = "json", not(target_arch = "wasm32")))]

use client_sdk::state::Publication;
use client_sdk::time::{Clock, Moment};
use client_sdk::{
    Code, DashboardState, DashboardView, Fault, Level, Reason, Revision, Source, Status,
};
use serde_json::json;

/// The contract of the npm package, `DashboardState` in TypeScript, so that a page can take it.
#[test]
fn a_state_is_written_as_the_npm_package_gives_it() {
    let view = DashboardView::default();
    let mut publication = Publication::idle();
    publication.status = Status::AuthRequired;
    publication.source = Source::Stale;
    publication.view = Some(view.clone().into());
    publication.revision = Some(Revision::try_from(7).unwrap());
    publication.as_of = Some(Moment(5));
    publication.attempt = 2;
    let mut reason = Reason::new(Code::SocketFailed, "no way");
    reason.fault = Some(Fault::Proxy);
    publication.reason = Some(reason);
    let state = DashboardState::new(&publication, &Clock::new(0, 10));
    let as_of = state.freshness.as_of.unwrap();
    let expected = json!({
        "view": view,
        "status": "authRequired",
        "freshness": {
            "source": "stale",
            "revision": 7,
            "asOf": as_of,
            "nextRetryAt": null,
            "attempt": 2,
            "reason": { "code": "SOCKET_FAILED", "message": "no way" },
        },
    });
    assert_eq!(serde_json::to_value(&state).unwrap(), expected);
}

#[test]
fn names_are_written_and_shown_alike() {
    let shown = [
        (json!(Status::AuthRequired), Status::AuthRequired.to_string()),
        (json!(Source::Polling), Source::Polling.to_string()),
        (json!(Level::Warn), Level::Warn.to_string()),
        (json!(Code::EventStale), Code::EventStale.to_string()),
    ];
    for (written, shown) in shown {
        assert_eq!(written, json!(shown));
    }
    assert_eq!(format!("{:>8}|{:<6}|", Status::Live, Source::None), "    live|none  |");
    let reason = Reason::new(Code::Offline, "the network is gone");
    assert_eq!(reason.to_string(), "OFFLINE: the network is gone");
}
