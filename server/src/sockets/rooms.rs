//! Manages rooms: which sockets a user has on this server, and how to reach them (D-WS-3, D-WS-7).
//!
//! A socket enters its room before the server sends the acceptance. The client reads its snapshot after
//! that, so every change that the snapshot does not hold finds the socket here. Events that come before the
//! acceptance wait for it in the connection's outbox. Each connection is handed its events alone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_types::Revision;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::{EventLabel, Metrics};
use crate::sockets::connection::{Connection, log_line};
use crate::sockets::end_reason::EndReason;
use crate::sockets::memory::shrink;
use crate::sockets::message::Message;
use crate::sockets::outbox::Closed;
use crate::sockets::revisions::Revisions;
use crate::user::UserId;

/// A client that has owed an answer for this long may be gone. A live one owes it for a round trip.
const SILENT: Duration = Duration::from_secs(5);

/// The rooms of this server's users.
pub(crate) struct Rooms {
    by_user: Mutex<HashMap<UserId, Room>>,
    /// Notified when the first socket enters: the change log is worth watching closely now.
    pub(crate) occupied: Notify,
    metrics: Arc<Metrics>,
}

/// The room `user:<userId>`.
#[derive(Default)]
struct Room {
    members: Vec<Arc<Connection>>,
    revisions: Revisions,
    /// When its members were last pinged because the room was full.
    asked: Option<Instant>,
}

impl Room {
    /// Takes out the member that has owed an answer for longest, and for a while. If there is none, all are asked,
    /// so that the next attempt finds those that are gone.
    fn take_silent(&mut self) -> Option<Arc<Connection>> {
        let silences = self.members.iter().map(|member| member.silence());
        let longest =
            silences.enumerate().filter_map(|(place, silence)| Some((silence?, place))).max();
        match longest {
            Some((silence, place)) if silence >= SILENT => Some(self.members.remove(place)),
            // Not again and again: their answers count against their rate.
            _ if self.asked.is_some_and(|at| at.elapsed() < SILENT) => None,
            _ => {
                self.asked = Some(Instant::now());
                self.members.iter().for_each(|member| member.ask());
                None
            }
        }
    }
}

/// A user has as many sockets as one may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A user with sockets here, and what is known of how far they are.
pub(crate) struct Occupant {
    pub(crate) user: UserId,
    pub(crate) sent: Option<Revision>,
    pub(crate) seen: Option<Revision>,
}

impl Rooms {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Self {
        Self { by_user: Mutex::default(), occupied: Notify::new(), metrics }
    }

    /// Lets a socket in, unless its user has that many already and each of them seems to be alive. Of those that owe
    /// an answer for a while, the longest silent makes room.
    pub(crate) fn enter(
        &self,
        user: &UserId,
        connection: &Arc<Connection>,
        max_sockets: u32,
    ) -> Result<(), Full> {
        let mut rooms = lock(&self.by_user);
        let first = rooms.is_empty();
        let room = rooms.entry(user.clone()).or_default();
        let is_full = u32::try_from(room.members.len()).is_ok_and(|count| count >= max_sockets);
        let silent = if is_full { Some(room.take_silent().ok_or(Full)?) } else { None };
        room.members.push(Arc::clone(connection));
        drop(rooms);
        self.metrics.connections.inc();
        if let Some(silent) = silent {
            silent.cut(EndReason::Replaced);
            self.left(&silent, user, EndReason::Replaced);
        }
        if first {
            self.occupied.notify_one();
        }
        Ok(())
    }

    /// Lets a socket go. Safe to call twice.
    pub(crate) fn leave(&self, connection: &Connection, reason: EndReason) {
        let Some(session) = connection.session.get() else {
            return;
        };
        let mut rooms = lock(&self.by_user);
        let Some(room) = rooms.get_mut(&session.user) else {
            return;
        };
        let before = room.members.len();
        room.members.retain(|member| member.id != connection.id);
        let gone = room.members.len() < before;
        if room.members.is_empty() {
            rooms.remove(&session.user);
            shrink(&mut rooms);
        }
        drop(rooms);
        if gone {
            self.left(connection, &session.user, reason);
        }
    }

    /// Notes that a socket is in its room no more.
    fn left(&self, connection: &Connection, user: &UserId, reason: EndReason) {
        let reason = connection.reason().unwrap_or(reason);
        self.metrics.connections.dec();
        self.metrics.disconnected(reason.label());
        log_line!(
            connection,
            %user,
            reason = reason.label(),
            lived_s = connection.since.elapsed().as_secs_f32(),
            "socket disconnected"
        );
    }

    /// Whether the user has a socket here.
    pub(crate) fn contains(&self, user: &UserId) -> bool {
        lock(&self.by_user).contains_key(user)
    }

    /// Up to where the user's sockets have been sent everything.
    pub(crate) fn sent(&self, user: &UserId) -> Option<Revision> {
        lock(&self.by_user).get(user)?.revisions.sent()
    }

    /// Whether no socket is in any room.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.by_user).is_empty()
    }

    /// Everyone who is here.
    pub(crate) fn occupants(&self) -> Vec<Occupant> {
        let occupant = |(user, room): (&UserId, &Room)| Occupant {
            user: user.clone(),
            sent: room.revisions.sent(),
            seen: room.revisions.seen(),
        };
        lock(&self.by_user).iter().map(occupant).collect()
    }

    /// Notes the revision of a snapshot that went out to the user. Returns how many of the user's sockets
    /// had lost their place among the arriving ones before it.
    pub(crate) fn served(&self, user: &UserId, revision: Revision) -> u32 {
        let mut rooms = lock(&self.by_user);
        let Some(room) = rooms.get_mut(user) else { return 0 };
        room.revisions.show(revision);
        room.members.iter().map(|member| u32::from(member.served())).sum()
    }

    /// Notes the revision that a socket of the user's gets when it is accepted. Its client takes nothing
    /// older from then on, and may treat a copy of that revision from a cache as current. No snapshot has
    /// gone out: every socket keeps its place among those who arrive.
    pub(crate) fn told(&self, user: &UserId, revision: Revision) {
        if let Some(room) = lock(&self.by_user).get_mut(user) {
            room.revisions.show(revision);
        }
    }

    /// Forgets how far each user is: the revisions were of another epoch of the changes.
    pub(crate) fn forget_revisions(&self) {
        for room in lock(&self.by_user).values_mut() {
            room.revisions.forget();
        }
    }

    /// Returns all users, because the server can no longer vouch for any user's snapshots.
    pub(crate) fn take_all_stale(&self) -> Vec<UserId> {
        let mut rooms = lock(&self.by_user);
        rooms.values_mut().for_each(|room| room.revisions.clear_stale_notices());
        rooms.keys().cloned().collect()
    }

    /// Users who were shown something since then, and have to learn that it may be stale.
    pub(crate) fn take_stale_again(&self) -> Vec<UserId> {
        let mut rooms = lock(&self.by_user);
        let stale = rooms
            .iter_mut()
            .filter_map(|(user, room)| room.revisions.take_stale_notice().then(|| user.clone()));
        stale.collect()
    }

    /// Hands all events up to that revision to all of the user's sockets. How many they are.
    pub(crate) fn deliver(&self, user: &UserId, revision: Revision, messages: &[Message]) -> usize {
        let connections = {
            let mut rooms = lock(&self.by_user);
            let Some(room) = rooms.get_mut(user) else {
                return 0;
            };
            room.revisions.deliver(revision);
            room.members.clone()
        };
        self.hand_over(&connections, messages);
        connections.len()
    }

    /// Hands a message to all of the user's sockets that says nothing about revisions.
    pub(crate) fn notify(&self, user: &UserId, make: impl FnOnce(Revision) -> Option<Message>) {
        let (connections, seen) = match lock(&self.by_user).get(user) {
            Some(room) => (room.members.clone(), room.revisions.seen().unwrap_or_default()),
            None => return,
        };
        self.hand_over(&connections, make(seen).as_slice());
    }

    /// Sends a socket a message, if it is in its room.
    pub(super) fn tell(
        &self,
        connection: &Arc<Connection>,
        make: impl FnOnce(Revision) -> Option<Message>,
    ) {
        let seen = connection.session.get().and_then(|session| {
            let rooms = lock(&self.by_user);
            let room = rooms.get(&session.user)?;
            let mut members = room.members.iter();
            members.find(|member| member.id == connection.id)?;
            Some(room.revisions.seen().unwrap_or_default())
        });
        let message = seen.and_then(make);
        self.hand_over(std::slice::from_ref(connection), message.as_slice());
    }

    /// Puts messages into outboxes.
    fn hand_over(&self, connections: &[Arc<Connection>], messages: &[Message]) {
        let (mut count, mut superseded, mut closed) = (0, 0, 0);
        for connection in connections {
            match connection.send(messages) {
                Ok(waiting) => (count, superseded) = (count + 1, superseded + waiting),
                Err(Closed) => closed += messages.len(),
            }
        }
        self.metrics.unsent("superseded", superseded);
        self.metrics.unsent("closed", closed);
        for message in messages {
            let label = EventLabel { r#type: message.event_type.name() };
            self.metrics.events.get_or_create(&label).inc_by(count);
        }
    }
}

/// A panic elsewhere does not leave these maps in a state that would be wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;
    use tokio::time::advance;

    use super::*;
    use crate::auth::Session;
    use crate::limits::Arrival;
    use crate::sockets::connection::{Opening, Transport};

    /// A connection of that user's, opened now.
    fn connection(user: &UserId) -> Arc<Connection> {
        let opening = Opening::local(Transport::WebSocket);
        let connection = Connection::new(opening, Arrival::unlimited());
        let expires_at = OffsetDateTime::UNIX_EPOCH;
        connection.session.set(Session { user: user.clone(), expires_at }).unwrap();
        connection
    }

    fn revision(number: u64) -> Revision {
        number.try_into().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn of_too_many_sockets_the_longest_silent_makes_room() {
        let rooms = Rooms::new(Arc::new(Metrics::new()));
        let user = UserId::from("ada");
        let [one, two, three, four] = [(); 4].map(|()| connection(&user));
        assert_eq!(rooms.enter(&user, &one, 2), Ok(()));
        assert_eq!(rooms.enter(&user, &two, 2), Ok(()));
        // They owe nothing. Now they are asked.
        assert_eq!(rooms.enter(&user, &three, 2), Err(Full));
        assert!(one.take_ask() && two.take_ask());
        one.asked();
        advance(Duration::from_millis(10)).await;
        two.asked();
        advance(SILENT.saturating_sub(Duration::from_millis(11))).await;
        assert_eq!(rooms.enter(&user, &three, 2), Err(Full), "they have had too little time");
        assert!(!one.take_ask(), "once is enough for a while");
        advance(Duration::from_millis(1)).await;
        assert_eq!(rooms.enter(&user, &three, 2), Ok(()));
        assert_eq!((one.reason(), two.reason()), (Some(EndReason::Replaced), None));
        // The other one has answered in that time.
        two.answered();
        advance(SILENT).await;
        assert_eq!(rooms.enter(&user, &four, 2), Err(Full));
        assert!(two.take_ask() && three.take_ask());
        assert_eq!(rooms.metrics.connections.get(), 2);
        rooms.leave(&one, EndReason::ClientDisconnect);
        assert_eq!(rooms.metrics.connections.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_socket_that_gets_a_revision_has_seen_it_and_keeps_its_place() {
        let rooms = Rooms::new(Arc::new(Metrics::new()));
        let user = UserId::from("ada");
        let [one, late] = [(); 2].map(|()| connection(&user));
        rooms.told(&user, revision(1));
        assert!(rooms.is_empty(), "nobody was there to be told");
        rooms.enter(&user, &one, 2).unwrap();
        rooms.enter(&user, &late, 2).unwrap();
        assert!(late.take_away(Duration::ZERO, Instant::now()));
        rooms.told(&user, revision(17));
        rooms.told(&user, revision(16));
        let seen: Vec<_> = rooms.occupants().iter().map(|one| (one.sent, one.seen)).collect();
        assert_eq!(seen, [(None, Some(revision(17)))]);
        let stale_notices = [(); 3].map(|()| rooms.take_stale_again().len());
        assert_eq!(stale_notices, [1, 1, 0]);
        // Neither has asked for its snapshot yet.
        assert!(one.take_away(Duration::ZERO, Instant::now()));
        assert_eq!(rooms.served(&user, revision(17)), 2);
    }
}
