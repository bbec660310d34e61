//! Fifty users over a hundred sockets, in every kind of turmoil: not one byte goes to the wrong
//! user.
//!
//! Every text of a user contains a mark that cannot be guessed, and so does the user's id. The test
//! searches each frame and each snapshot for the marks of all other users. A seed determines what
//! happens. A failure shows the seed, and `ISOLATION_SEED` leads the same lives again.

use client_sdk::random::Random;
use client_sdk::time::Millis;
use e2e_tests::writer::{self, NewMoc};
use e2e_tests::{Credential, Payload, Received, Rest, TestApp, Wire};
use futures_util::future::join_all;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::assert_texts_are_marked;

const USERS: usize = 50;
const SOCKETS: usize = 2 * USERS;
/// Changes of each user in each round; one more ends it.
const CHANGES: usize = 6;
/// Changes of the one whose room is flooded, by several writers at once.
const FLOOD: usize = 400;
const FLOODERS: usize = 4;

#[tokio::test]
async fn d_ws_7_d_nfr_3_fifty_users_over_a_hundred_sockets_see_only_their_own() {
    let seed = std::env::var("ISOLATION_SEED").map_or_else(
        |_| u64::try_from(Uuid::new_v4().as_u128() >> 64).unwrap(),
        |seed| seed.parse().unwrap(),
    );
    println!("ISOLATION_SEED={seed}");
    let mut crowd = Crowd::gather(seed).await;
    crowd.round("plain", Turmoil::None).await;
    crowd.cut_and_reconnect().await;
    crowd.round("after reconnects", Turmoil::None).await;
    crowd.switch_tokens().await;
    crowd.round("after token switches", Turmoil::None).await;
    crowd.round("asking for others' rooms", Turmoil::Events).await;
    crowd.round("asking with others' tokens", Turmoil::Tokens).await;
    crowd.round("flooded", Turmoil::Flood).await;
    let frames: usize = crowd.readers.iter().map(|reader| reader.frames).sum();
    for (at, reader) in crowd.readers.iter().enumerate() {
        assert!(reader.texts > 0, "socket {at} has seen its user's texts");
    }
    println!(
        "{SOCKETS} sockets of {USERS} users: {frames} frames, each held against {USERS} marks"
    );
    assert!(frames > SOCKETS * 6 * 3, "there was something to hold: {frames}");
}

/// What some sockets do while all users' data changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turmoil {
    None,
    /// Half of them ask for the rooms of others.
    Events,
    /// Half of them show another user's token on a socket that is live.
    Tokens,
    /// One user's data changes without a pause.
    Flood,
}

struct Crowd {
    app: TestApp,
    rest: Rest,
    users: Vec<User>,
    marks: Vec<String>,
    readers: Vec<Reader>,
    random: Random,
}

struct User {
    id: String,
    mark: String,
    mocs: Vec<Uuid>,
    texts: usize,
    wishes: u32,
}

/// A socket, and whose it is.
struct Reader {
    user: usize,
    wire: Wire,
    frames: usize,
    /// How many frames bore the user's own mark. A round may have none: what is added and deleted
    /// in one window is no event, and the count that ends the round may come before the texts.
    texts: usize,
}

impl Crowd {
    async fn gather(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mark =
            |_| format!("{:016x}{:016x}", draw(&mut random, 1 << 63), draw(&mut random, 1 << 63));
        let marks: Vec<_> = (0..USERS).map(mark).collect();
        let user = |mark: &String| User {
            id: format!("{mark}@example.test"),
            mark: mark.clone(),
            mocs: Vec::new(),
            texts: 0,
            wishes: 0,
        };
        let users: Vec<_> = marks.iter().map(user).collect();
        let app = TestApp::start().await;
        // One by token, one by cookie.
        let joining = (0..SOCKETS).map(|at| {
            let user = &users[at / 2].id;
            join(&app, at / 2, if at % 2 == 0 { app.bearer(user) } else { app.cookie(user) })
        });
        let readers = join_all(joining).await;
        let rest = app.rest();
        Self { app, rest, users, marks, readers, random }
    }

    /// Changes all users' data at once, and reads every socket up to its user's last change.
    async fn round(&mut self, name: &str, turmoil: Turmoil) {
        println!("{name}");
        let intruders = match turmoil {
            Turmoil::Events | Turmoil::Tokens => self.half(),
            Turmoil::None | Turmoil::Flood => Vec::new(),
        };
        for (place, at) in intruders.iter().enumerate() {
            let reader = &mut self.readers[*at];
            let victim = &self.users[(reader.user + 1 + draw(&mut self.random, USERS - 1)) % USERS];
            for frame in intrusions(turmoil, place % 2 == 0, &self.app, &victim.id) {
                // The server may already have cut off a client that talks too much.
                reader.wire.try_send(&frame).await;
            }
        }
        let flooded = (turmoil == Turmoil::Flood).then(|| draw(&mut self.random, USERS));
        let plans = self.plans();
        let (db, app, marks) = (self.app.db(), &self.app, &self.marks);
        let last: Vec<_> = self.users.iter().map(|user| user.wishes + 1).collect();
        let living = join_all(self.users.iter_mut().zip(plans).enumerate().map(
            async |(at, (user, plan))| {
                user.live_through(db, &plan).await;
                if flooded == Some(at) {
                    user.flood(db).await;
                }
                user.wish(db).await;
            },
        ));
        let reading = join_all(self.readers.iter_mut().enumerate().map(async |(at, reader)| {
            let last = last[reader.user];
            if reader.read_until(marks, last).await.is_none() {
                assert!(intruders.contains(&at), "socket {at} was closed");
                let user = user_id(marks, reader.user);
                reader.wire = join(app, reader.user, app.bearer(&user)).await.wire;
            }
        }));
        tokio::join!(living, reading);
        self.app.projected().await;
        let expected = self.users.iter().enumerate();
        join_all(expected.map(|(at, user)| self.assert_snapshot_is(at, user))).await;
    }

    /// Half of the sockets break off, miss changes, and come back.
    async fn cut_and_reconnect(&mut self) {
        let cut = self.half();
        let mut kept = Vec::new();
        for (at, reader) in self.readers.drain(..).enumerate() {
            if cut.contains(&at) {
                drop(reader.wire);
                kept.push(Err((reader.user, reader.frames, reader.texts)));
            } else {
                kept.push(Ok(reader));
            }
        }
        let plans = self.plans();
        let (db, app, marks) = (self.app.db(), &self.app, &self.marks);
        let living = join_all(self.users.iter_mut().zip(&plans).map(async |(user, plan)| {
            user.live_through(db, plan).await;
        }));
        let back = join_all(kept.into_iter().map(async |reader| match reader {
            Ok(reader) => reader,
            Err((user, frames, texts)) => {
                let back = join(app, user, app.bearer(&user_id(marks, user))).await;
                Reader { frames, texts, ..back }
            }
        }));
        (_, self.readers) = tokio::join!(living, back);
    }

    /// Half of the sockets are taken over by other users, each by a new connection with that
    /// user's token, as when another user logs in at the same browser.
    async fn switch_tokens(&mut self) {
        let switched = self.half();
        let owners: Vec<_> = switched.iter().map(|at| self.readers[*at].user).collect();
        for (place, at) in switched.iter().enumerate() {
            let next = owners[(place + 1) % owners.len()];
            let who = self.app.bearer(&self.users[next].id);
            // The old one ends first, or the page would have two.
            let Reader { frames, texts, .. } = self.readers[*at];
            self.readers[*at].wire.send("41/dashboard,").await;
            self.readers[*at] = Reader { frames, texts, ..join(&self.app, next, who).await };
        }
    }

    /// What each user does next, in numbers.
    fn plans(&mut self) -> Vec<Vec<usize>> {
        let mut plan = || (0..CHANGES).map(|_| draw(&mut self.random, usize::MAX >> 1)).collect();
        (0..USERS).map(|_| plan()).collect()
    }

    /// Half of the sockets, in any order.
    fn half(&mut self) -> Vec<usize> {
        let mut all: Vec<_> = (0..SOCKETS).collect();
        for last in (1..SOCKETS).rev() {
            all.swap(last, draw(&mut self.random, last + 1));
        }
        all.truncate(SOCKETS / 2);
        all
    }

    async fn assert_snapshot_is(&self, at: usize, user: &User) {
        let who = self.app.bearer(&user.id);
        let answer = self.rest.get_when_served("/api/dashboard", &who, &[]).await;
        assert_eq!(answer.status, 200);
        assert_only_own(&answer.body, at, &self.marks);
        let view: shared_types::DashboardView = answer.json();
        assert_eq!(view.summary.total_wishlist_items, user.wishes);
        assert_eq!(view.summary.total_mocs as usize, user.mocs.len());
    }
}

impl User {
    /// Makes the changes that the numbers name. The first adds a MOC, so that there are texts.
    async fn live_through(&mut self, db: &PgPool, plan: &[usize]) {
        for (step, number) in plan.iter().enumerate() {
            let (kind, pick) = (number % 8, number / 8);
            let text = self.text();
            let moc = (!self.mocs.is_empty()).then(|| pick % self.mocs.len());
            match (kind, moc) {
                (1, Some(moc)) if step > 0 => writer::rename_moc(db, self.mocs[moc], &text).await,
                (2, Some(moc)) if step > 0 => {
                    let status = ["ADDED", "IN_PROGRESS", "BUILT"][pick % 3];
                    writer::set_build_status(db, self.mocs[moc], status).await;
                }
                (3, Some(moc)) if step > 0 => {
                    writer::add_parts(db, self.mocs[moc], &[(&text, 1, 10)]).await;
                    writer::order_parts(db, &self.id, (&text, 1, 3)).await;
                }
                (4, Some(moc)) if step > 0 => {
                    writer::delete_moc(db, self.mocs.swap_remove(moc)).await;
                }
                (5, _) if step > 0 => {
                    let theme = self.theme(pick);
                    writer::add_set(db, &self.id, &text, &theme).await;
                }
                (6, _) if step > 0 => writer::own_parts(db, &self.id, (&text, 1, 2)).await,
                _ => {
                    let theme = self.theme(pick);
                    let moc = NewMoc::new(&text, &theme);
                    self.mocs.push(writer::add_moc(db, &self.id, &moc).await);
                }
            }
        }
    }

    /// Many changes in quick succession, by several writers.
    async fn flood(&mut self, db: &PgPool) {
        let text = self.text();
        let moc = self.mocs[0];
        join_all((0..FLOODERS).map(async |writer| {
            for number in 0..FLOOD / FLOODERS {
                writer::rename_moc(db, moc, &format!("{text} {writer} {number}")).await;
            }
        }))
        .await;
    }

    /// The change that ends a round: sockets know it by its count.
    async fn wish(&mut self, db: &PgPool) {
        let text = self.text();
        writer::add_wish(db, &self.id, &text).await;
        self.wishes += 1;
    }

    fn text(&mut self) -> String {
        self.texts += 1;
        format!("{} {}", self.mark, self.texts)
    }

    fn theme(&self, pick: usize) -> String {
        format!("{} theme {}", self.mark, pick % 5)
    }
}

impl Reader {
    /// Reads frames up to the summary with that many wishes, and holds each against all marks.
    /// None if the server closed.
    async fn read_until(&mut self, marks: &[String], wishes: u32) -> Option<()> {
        loop {
            let frame = self.wire.frame().await?;
            self.frames += 1;
            if let Some(refusal) = frame.strip_prefix("44/") {
                // It begins with the name that the intruder asked for.
                let (_, said) = refusal.split_once(',').unwrap();
                assert_only_own(said, self.user, marks);
                continue;
            }
            assert_only_own(&frame, self.user, marks);
            if !frame.starts_with("42") {
                assert!(!frame.starts_with("40"), "let in a second time: {frame}");
                continue;
            }
            assert_texts_are_marked(&frame, &marks[self.user]);
            self.texts += usize::from(frame.contains(&marks[self.user]));
            if let Payload::Summary(summary) = Received::read(&frame).payload
                && summary.total_wishlist_items == wishes
            {
                return Some(());
            }
        }
    }
}

async fn join(app: &TestApp, user: usize, who: Credential) -> Reader {
    let wire = Wire::join(&app.url(), &who).await.unwrap();
    Reader { user, wire, frames: 0, texts: 0 }
}

/// The messages of an attacker who wants to read a user's data.
fn intrusions(turmoil: Turmoil, leaves: bool, app: &TestApp, victim: &str) -> Vec<String> {
    let room = format!("user:{victim}");
    let token = app.tokens.access(victim);
    if turmoil == Turmoil::Tokens {
        let enter = format!("40/dashboard,{}", json!({ "token": token }));
        // Some leave first, as if that made them strangers again.
        let leave = leaves.then(|| "41/dashboard,".to_owned());
        return [enter.clone()].into_iter().chain(leave).chain([enter]).collect();
    }
    let events = [
        json!(["join", room]),
        json!(["subscribe", { "room": room, "userId": victim }]),
        json!(["room", room, true]),
        json!(["authenticate", { "token": token }]),
        json!(["dashboard:summaryUpdated", { "to": room }]),
    ];
    let mut frames: Vec<_> = events.iter().map(|event| format!("42/dashboard,{event}")).collect();
    // One that asks for an answer, and namespaces that are none.
    frames.push(format!("42/dashboard,7{}", events[0]));
    frames.push(format!("40/{room},{}", json!({ "token": token })));
    frames
}

/// Holds what a user received against the marks of all others, wherever in the text they are.
fn assert_only_own(text: &str, user: usize, marks: &[String]) {
    let length = marks[user].len();
    // Nothing else in a frame is a run of such digits of that length: an id has hyphens.
    let runs = text.split(|c: char| !c.is_ascii_hexdigit()).filter(|run| run.len() >= length);
    for run in runs {
        for part in (0..=run.len() - length).map(|start| &run[start..start + length]) {
            let owner = marks.iter().position(|mark| mark == part);
            assert!(
                owner.is_none_or(|owner| owner == user),
                "user {user} received {owner:?}: {text}"
            );
        }
    }
}

fn user_id(marks: &[String], user: usize) -> String {
    format!("{}@example.test", marks[user])
}

/// A number below that bound.
fn draw(random: &mut Random, bound: usize) -> usize {
    let drawn = random.span(Millis(0), Millis(bound as u64 - 1));
    usize::try_from(drawn.0).unwrap()
}
