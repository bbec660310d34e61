//! Two users at once, and a crowd: no user ever receives a byte of another's data.

mod crowd;

use std::collections::BTreeSet;

use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Payload, Received, Screen, TestApp, Wire};
use serde_json::Value;
use shared_types::EventType;
use sqlx::PgPool;

/// What every text of a user's data contains, and no other user's text does.
const MARKS: [&str; 2] = ["amber", "birch"];
const ROUNDS: u32 = 8;

#[tokio::test]
async fn d_ws_3_d_ws_7_d_nfr_3_two_users_never_see_each_others_data() {
    let app = TestApp::start().await;
    let users = MARKS.map(|mark| format!("{mark}@example.test"));
    let mut wires = Vec::new();
    for user in &users {
        wires.push(Wire::join(&app.url(), &app.bearer(user)).await.unwrap());
        wires.push(Wire::join(&app.url(), &app.cookie(user)).await.unwrap());
    }
    let screens = users.each_ref().map(|user| Screen::open(&app, user));
    for (screen, user) in screens.iter().zip(&users) {
        screen.until_it_shows(&app.rest(), &app.bearer(user)).await;
    }

    // Alone in its refresh, a MOC is announced as new.
    let mut readers: Vec<_> = wires
        .into_iter()
        .enumerate()
        .map(|(at, wire)| Reader {
            wire,
            own: MARKS[at / 2],
            other: MARKS[1 - at / 2],
            types: BTreeSet::new(),
        })
        .collect();
    let mut first = Vec::new();
    for (user, mark) in users.iter().zip(MARKS) {
        let (title, theme) = (format!("{mark} first"), format!("{mark} theme 0"));
        first.push(writer::add_moc(app.db(), user, &NewMoc::new(&title, &theme)).await);
    }
    for reader in &mut readers {
        reader.read_until(|event| event.event_type == EventType::RecentMocAdded).await;
    }
    // With another title the list has changed otherwise; what follows may be additions only.
    for (moc, mark) in first.into_iter().zip(MARKS) {
        writer::rename_moc(app.db(), moc, &format!("{mark} first, renamed")).await;
    }
    for reader in &mut readers {
        reader.read_until(|event| event.event_type == EventType::RecentMocsUpdated).await;
    }

    // Both at once, over everything else that can change; the last change is known by its count.
    let (amber, birch) = (users[0].clone(), users[1].clone());
    tokio::join!(
        live_through(app.db(), &amber, MARKS[0]),
        live_through(app.db(), &birch, MARKS[1])
    );
    let wishes = ROUNDS + 1;
    for reader in &mut readers {
        reader
            .read_until(|event| {
                matches!(&event.payload, Payload::Summary(s) if s.total_wishlist_items == wishes)
            })
            .await;
        // Of one refresh, the events of other sections may follow.
        let missing =
            EventType::ALL.into_iter().filter(|event_type| *event_type != EventType::Error);
        for event_type in missing {
            if !reader.types.contains(event_type.name()) {
                reader.read_until(|event| event.event_type == event_type).await;
            }
        }
    }
    app.projected().await;
    for (screen, user) in screens.iter().zip(&users) {
        let view = screen.until_it_shows(&app.rest(), &app.bearer(user)).await;
        let own = user.split('@').next().unwrap();
        let text = serde_json::to_string(&view).unwrap();
        assert!(MARKS.iter().all(|mark| *mark == own || !text.contains(mark)), "{own}: {text}");
        // The first, and of each round all but the one that was deleted.
        assert_eq!(view.summary.total_mocs, 1 + 2 * ROUNDS);
    }
}

#[tokio::test]
async fn d_ws_7_a_moc_that_changes_hands_leaves_one_user_and_reaches_the_other() {
    let app = TestApp::start().await;
    let moc = writer::add_moc(app.db(), "amber", &NewMoc::new("Heirloom", "Castle")).await;
    // A MOC that changes hands before the server reads it was never the first user's.
    app.projected().await;
    let (mut amber, mut birch) = (
        Wire::join(&app.url(), &app.bearer("amber")).await.unwrap(),
        Wire::join(&app.url(), &app.bearer("birch")).await.unwrap(),
    );
    sqlx::query("update collection.mocs set user_id = 'birch' where id = $1")
        .bind(moc)
        .execute(app.db())
        .await
        .unwrap();
    let total = |event: &Received| match &event.payload {
        Payload::Summary(summary) => Some(summary.total_mocs),
        _ => None,
    };
    amber.events_until(|event| total(event) == Some(0)).await;
    birch.events_until(|event| total(event) == Some(1)).await;
    for (user, count) in [("amber", 0), ("birch", 1)] {
        let (view, _) = app.rest().snapshot(&app.bearer(user)).await;
        assert_eq!((view.summary.total_mocs, view.recent_mocs.len()), (count, count as usize));
    }
}

/// A socket, and whose texts it may carry.
struct Reader {
    wire: Wire,
    own: &'static str,
    other: &'static str,
    /// Of the events so far.
    types: BTreeSet<&'static str>,
}

impl Reader {
    /// Reads events up to the one that fits, holding every frame against its marks.
    async fn read_until(&mut self, fits: impl Fn(&Received) -> bool) {
        loop {
            let frame = self.wire.frame().await.unwrap();
            assert!(!frame.contains(self.other), "{} received {frame}", self.own);
            assert_texts_are_marked(&frame, self.own);
            let event = Received::read(&frame);
            self.types.insert(event.event_type.name());
            if fits(&event) {
                return;
            }
        }
    }
}

/// Every kind of change, several times over; each text contains the mark.
async fn live_through(db: &PgPool, user: &str, mark: &str) {
    for round in 0..ROUNDS {
        let title = |what: &str| format!("{mark} {what} {round}");
        let theme = format!("{mark} theme {}", round % 3);
        let part = format!("{mark}-{round}");
        let kept = writer::add_moc(db, user, &NewMoc::new(&title("kept"), &theme)).await;
        let gone = writer::add_moc(db, user, &NewMoc::new(&title("gone"), &theme)).await;
        let built = writer::add_moc(db, user, &NewMoc::new(&title("built"), &theme)).await;
        writer::add_parts(db, kept, &[(&part, 1, 10)]).await;
        writer::order_parts(db, user, (&part, 1, 3)).await;
        writer::rename_moc(db, kept, &title("renamed")).await;
        writer::set_build_status(db, built, "BUILT").await;
        writer::delete_moc(db, gone).await;
        writer::add_set(db, user, &title("set"), &theme).await;
        let wish = writer::add_wish(db, user, &title("wish")).await;
        writer::remove_wish(db, wish).await;
        writer::add_wish(db, user, &title("wish again")).await;
        writer::own_parts(db, user, (&part, 1, i32::try_from(round).unwrap() + 1)).await;
    }
    writer::add_wish(db, user, "the last one").await;
}

/// Each text in a frame that a person wrote contains the mark.
fn assert_texts_are_marked(frame: &str, mark: &str) {
    fn walk(value: &Value, mark: &str) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(key, value)| match value {
                Value::String(text) if ["title", "theme"].contains(&key.as_str()) => {
                    assert!(text.contains(mark), "{mark}: {text}");
                }
                value => walk(value, mark),
            }),
            Value::Array(values) => values.iter().for_each(|value| walk(value, mark)),
            _ => {}
        }
    }
    let body = frame.strip_prefix("42/dashboard,").unwrap();
    walk(&serde_json::from_str(body).unwrap(), mark);
}
