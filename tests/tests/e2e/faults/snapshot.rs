//! The socket lives, and the snapshot does not come, or is none, or is overtaken.

use std::time::Duration;

use client_sdk::state::{Code, Source, Status};
use e2e_tests::proxy::{Canned, Fault, Lane};

use super::setting::Setting;
use crate::virtual_time::VirtualTime;

#[tokio::test]
async fn a_snapshot_that_fails_in_every_way_is_asked_for_again_and_the_socket_stays() {
    let setting = Setting::new().await;
    let faults = [
        (Fault::Answer(Canned::html(502)), Code::SnapshotFailed),
        // A firewall's page of any status is no refusal of the session.
        (Fault::Answer(Canned::html(403)), Code::SnapshotFailed),
        (Fault::Answer(Canned::new(401)), Code::SnapshotFailed),
        // And neither is the server's own that a cache has kept.
        (Fault::Answer(Canned::kept_refusal(401)), Code::SnapshotFailed),
        (Fault::Answer(Canned::kept_refusal(403)), Code::SnapshotFailed),
        (Fault::Answer(Canned::html(200)), Code::SnapshotMalformed),
        (Fault::Answer(Canned::new(200)), Code::SnapshotMalformed),
        (Fault::Answer(Canned::new(302).with("Location", "/login")), Code::SnapshotFailed),
        (Fault::Answer(Canned::new(500)), Code::SnapshotFailed),
        (Fault::Reset, Code::SnapshotFailed),
    ];
    setting.proxy.set(Lane::Rest, faults[0].0.clone());
    setting.until_status(Status::Syncing).await;
    for (number, (fault, code)) in faults.into_iter().enumerate() {
        setting.proxy.set(Lane::Rest, fault.clone());
        let failures = u32::try_from(number).unwrap() + 1;
        let what = format!("{fault:?}");
        let state = setting.screen.until(&what, |state| {
            // In a wait the person may ask for another try.
            setting.screen.client.refresh();
            state.freshness.attempt >= failures
                && state.freshness.reason.as_ref().is_some_and(|reason| reason.code == code)
        });
        let state = state.await;
        assert_eq!((state.status, state.freshness.source), (Status::Syncing, Source::None));
    }
    setting.proxy.set(Lane::Rest, Fault::Pass);
    setting.screen.client.refresh();
    setting.converge().await;
    assert_eq!(
        setting.screen.timeline(),
        [
            "idle -> connecting STARTED",
            "connecting -> syncing ACCEPTED",
            "syncing -> live SYNCHRONIZED",
        ]
    );
    assert_eq!(setting.proxy.traffic().attempts.len(), 1, "the socket stayed");
    setting.assert_one_of_each();
}

#[tokio::test]
async fn a_snapshot_that_hangs_is_given_up_after_ten_seconds() {
    let setting = Setting::new().await;
    setting.proxy.set(Lane::Rest, Fault::BlackHole);
    setting.proxy.until("a request", |traffic| traffic.in_flight.now == 1).await;
    let time = VirtualTime::start();
    time.pass(Duration::from_secs(9)).await;
    assert_eq!(setting.screen.count(Code::SnapshotTimeout), 0);
    time.pass(Duration::from_secs(1)).await;
    drop(time);
    setting.screen.until_told(Code::SnapshotTimeout).await;
    setting.proxy.set(Lane::Rest, Fault::Pass);
    setting.screen.client.refresh();
    setting.converge().await;
    assert_eq!(setting.proxy.traffic().attempts.len(), 1, "the socket stayed");
}

#[tokio::test]
async fn events_that_overtake_the_snapshot_wait_for_it_and_count() {
    let setting = Setting::new().await;
    setting.proxy.set(Lane::Rest, Fault::Hold);
    setting.proxy.keep_events(true);
    let answered = |traffic: &e2e_tests::proxy::Traffic| {
        traffic.requests.first().is_some_and(|request| request.status == Some(200))
    };
    setting.proxy.until("the snapshot at the proxy", answered).await;
    setting.add("Newer than the snapshot").await;
    let traffic = setting.proxy.until("its events", |traffic| traffic.kept.len() >= 3).await;
    setting.proxy.keep_events(false);
    for event in &traffic.kept {
        setting.proxy.say(event);
    }
    assert_eq!(setting.screen.view(), None, "events alone show nothing");
    setting.proxy.set(Lane::Rest, Fault::Pass);
    let view = setting.converge().await;
    assert_eq!(view.recent_mocs[0].title.as_str(), "Newer than the snapshot");
    assert_eq!(setting.proxy.traffic().requests.len(), 1, "nothing had to be asked for again");
    setting.assert_one_of_each();
}
