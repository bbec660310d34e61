//! The server's process stands still, as its machine is frozen or out of memory, and goes on.

use client_sdk::state::{Code, Status};
use e2e_tests::writer;

use super::{Site, USER};

/// What it had projected lacks what has been written meanwhile, and it was asked before it could know.
#[tokio::test]
async fn after_a_standstill_nothing_is_called_live_that_lacks_what_was_written_meanwhile() {
    // The client notices the silence only after the server has processed nothing for more than five
    // seconds.
    let flags = ["--ping-interval-ms", "500", "--ping-timeout-ms", "6000"];
    let mut site = Site::open(&flags).await;
    for wishes in 1..=3 {
        site.server.stand_still();
        site.screen.until("lost", |state| state.status != Status::Live).await;
        writer::add_wish(&mut site.db, USER, "Titanic").await;
        // Its connection waits in front of the server, which asks for nothing first.
        site.screen.until_status(Status::Connecting).await;
        site.server.go_on();
        let state = site.screen.until_status(Status::Live).await;
        let view = state.view.as_ref().unwrap();
        assert_eq!(view.summary.total_wishlist_items, wishes, "{:#?}", site.screen.timeline());
    }
    assert_eq!(site.screen.count(Code::HeartbeatMissed), 3);
}
