//! Who is connected to this node, and the way to reach them (D-WS-3, D-WS-7).
//!
//! A socket enters before its acceptance is sent: the client reads its snapshot after that, so
//! every change that the snapshot does not hold finds the socket here. Events that come before the
//! acceptance wait for it in the connection's outbox. Each connection is handed its events by itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_types::Revision;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use crate::metrics::{EventLabel, Limit, Metrics};
use crate::sockets::connection::{Connection, Transport, log_line};
use crate::sockets::end_reason::EndReason;
use crate::sockets::message::Message;
use crate::sockets::outbox::Closed;
use crate::sockets::packet;
use crate::user::UserId;

/// A client that owes an answer for so long may be gone: a live one owes it for a round trip.
const SILENT: Duration = Duration::from_secs(5);
/// Maps keep room for so many entries, once they have had it.
const SMALL: usize = 1024;

/// The sockets of this node.
pub(crate) struct Rooms {
    by_user: Mutex<HashMap<UserId, Room>>,
    connections: Mutex<HashMap<Uuid, Arc<Connection>>>,
    /// Told when the first socket enters: the change log is worth watching closely now.
    pub(crate) occupied: Notify,
    /// Told when the last connection is over.
    pub(crate) emptied: Notify,
    metrics: Arc<Metrics>,
}

/// The room `user:<userId>`.
#[derive(Default)]
struct Room {
    members: Vec<Arc<Connection>>,
    /// The revision up to which everything has been sent to everyone here.
    sent: Option<Revision>,
    /// The highest revision that anyone here may have seen.
    seen: Option<Revision>,
    /// How often to say yet that a snapshot or an acceptance, which went out while the change log was lost,
    /// may have grown old. Twice: the first may overtake the snapshot.
    stale_notices: u8,
    /// When its members were last asked whether they are there, for want of room.
    asked: Option<Instant>,
}

impl Room {
    /// Notes that someone here is about to learn of that revision, by a snapshot or otherwise.
    fn shows(&mut self, revision: Revision) {
        self.seen = self.seen.max(Some(revision));
        self.stale_notices = 2;
    }

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
        Self {
            by_user: Mutex::default(),
            connections: Mutex::default(),
            occupied: Notify::new(),
            emptied: Notify::new(),
            metrics,
        }
    }

    /// Notes a connection that begins.
    pub(crate) fn opened(&self, connection: &Arc<Connection>) {
        lock(&self.connections).insert(connection.id, Arc::clone(connection));
        let transport = connection.transport();
        self.metrics.transports.inc();
        if transport == Transport::Polling {
            self.metrics.polling.inc();
        }
        log_line!(connection, transport = transport.name(), "connection opened");
    }

    /// Notes that a WebSocket has taken over from polling.
    pub(crate) fn upgraded(&self, connection: &Connection) {
        connection.upgraded();
        self.metrics.polling.dec();
        log_line!(connection, transport = connection.transport().name(), "connection upgraded");
    }

    /// Notes that a connection is over.
    pub(crate) fn over(&self, connection: &Connection) {
        connection.release_arrival();
        let mut connections = lock(&self.connections);
        let known = connections.remove(&connection.id).is_some();
        let last = connections.is_empty();
        give_back(&mut connections);
        drop(connections);
        // Without a reason, if the server is torn down under it.
        let reason = connection.ended_by(EndReason::ServerStopping);
        self.leave(connection, reason);
        if known {
            self.metrics.transports.dec();
            if connection.transport() == Transport::Polling {
                self.metrics.polling.dec();
            }
            log_line!(
                connection,
                reason = reason.label(),
                lived_s = connection.since.elapsed().as_secs_f32(),
                "connection closed"
            );
        }
        if last {
            self.emptied.notify_waiters();
        }
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
            give_back(&mut rooms);
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
        lock(&self.by_user).get(user)?.sent
    }

    /// Whether nobody is here.
    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.by_user).is_empty()
    }

    /// How many connections are open, authenticated or not.
    pub(crate) fn open_connections(&self) -> usize {
        lock(&self.connections).len()
    }

    /// Everyone who is here.
    pub(crate) fn occupants(&self) -> Vec<Occupant> {
        let occupant = |(user, room): (&UserId, &Room)| Occupant {
            user: user.clone(),
            sent: room.sent,
            seen: room.seen,
        };
        lock(&self.by_user).iter().map(occupant).collect()
    }

    /// Notes the revision of a snapshot that went out to the user. How many of the user's sockets
    /// had lost their place among those who arrive before it.
    pub(crate) fn served(&self, user: &UserId, revision: Revision) -> u32 {
        let mut rooms = lock(&self.by_user);
        let Some(room) = rooms.get_mut(user) else { return 0 };
        room.shows(revision);
        room.members.iter().map(|member| u32::from(member.served())).sum()
    }

    /// Notes the revision that a socket of the user's is told when it is accepted. Its client takes nothing older from
    /// then on, and may take a copy that is as new for current, which a cache has given it. No snapshot has gone out:
    /// every socket keeps its place among those who arrive.
    pub(crate) fn told(&self, user: &UserId, revision: Revision) {
        if let Some(room) = lock(&self.by_user).get_mut(user) {
            room.shows(revision);
        }
    }

    /// Forgets how far each user is: the revisions were of another life of the changes.
    pub(crate) fn forget_revisions(&self) {
        for room in lock(&self.by_user).values_mut() {
            (room.sent, room.seen) = (None, None);
        }
    }

    /// Whose snapshots nobody can vouch for any more: everyone's.
    pub(crate) fn take_all_stale(&self) -> Vec<UserId> {
        let mut rooms = lock(&self.by_user);
        rooms.values_mut().for_each(|room| room.stale_notices = 0);
        rooms.keys().cloned().collect()
    }

    /// Who has got a snapshot since then, and has to be told that it may have grown old.
    pub(crate) fn take_stale_again(&self) -> Vec<UserId> {
        let mut doubtful = Vec::new();
        for (user, room) in
            lock(&self.by_user).iter_mut().filter(|(_, room)| room.stale_notices > 0)
        {
            room.stale_notices -= 1;
            doubtful.push(user.clone());
        }
        doubtful
    }

    /// Hands all events up to that revision to all of the user's sockets. How many they are.
    pub(crate) fn deliver(&self, user: &UserId, revision: Revision, messages: &[Message]) -> usize {
        let connections = {
            let mut rooms = lock(&self.by_user);
            let Some(room) = rooms.get_mut(user) else {
                return 0;
            };
            room.sent = Some(revision);
            room.seen = room.seen.max(room.sent);
            room.members.clone()
        };
        self.hand_over(&connections, messages);
        connections.len()
    }

    /// Hands a message to all of the user's sockets that says nothing about revisions.
    pub(crate) fn notify(&self, user: &UserId, make: impl FnOnce(Revision) -> Option<Message>) {
        let (connections, seen) = match lock(&self.by_user).get(user) {
            Some(room) => (room.members.clone(), room.seen.unwrap_or_default()),
            None => return,
        };
        self.hand_over(&connections, make(seen).as_slice());
    }

    /// All connections, in an order that means nothing.
    pub(crate) fn connections(&self) -> Vec<Arc<Connection>> {
        let mut connections: Vec<_> = lock(&self.connections).values().cloned().collect();
        connections.sort_by_key(|connection| connection.id);
        connections
    }

    /// Sends a socket a last message, if it has entered, and ends its connection.
    pub(crate) fn dismiss(
        &self,
        connection: &Arc<Connection>,
        reason: EndReason,
        make: impl FnOnce(Revision) -> Option<Message>,
    ) {
        self.tell(connection, make);
        connection.close_soon(reason);
    }

    fn tell(&self, connection: &Arc<Connection>, make: impl FnOnce(Revision) -> Option<Message>) {
        let seen = connection.session.get().and_then(|session| {
            let rooms = lock(&self.by_user);
            let room = rooms.get(&session.user)?;
            let mut members = room.members.iter();
            members.find(|member| member.id == connection.id)?;
            Some(room.seen.unwrap_or_default())
        });
        let message = seen.and_then(make);
        self.hand_over(std::slice::from_ref(connection), message.as_slice());
    }

    /// Does what is due for each connection, in one look at all. One that has kept the server waiting for
    /// `arrival` on its way no longer holds up the rest: it may have a view and want no other, say nothing, or be far
    /// away. One that has been open for `patience` and has not authenticated is closed. One whose session has
    /// run out gets that message, and is ended. How many no longer arrive.
    pub(crate) fn sweep(
        &self,
        arrival: Duration,
        patience: Duration,
        now: OffsetDateTime,
        make: impl Fn(Revision) -> Option<Message>,
    ) -> u32 {
        let mut taken_away = 0;
        let (mut strangers, mut expired) = (Vec::new(), Vec::new());
        let instant = Instant::now();
        for connection in lock(&self.connections).values() {
            let age = instant.saturating_duration_since(connection.since);
            taken_away += u32::from(connection.take_away(arrival, instant));
            match connection.session.get() {
                _ if connection.reason().is_some() => {}
                Some(session) if session.expires_at <= now => expired.push(Arc::clone(connection)),
                None if age >= patience => strangers.push(Arc::clone(connection)),
                _ => {}
            }
        }
        for connection in strangers {
            self.metrics.limited(Limit::AuthTimeout);
            self.metrics.refused(EndReason::AuthTimeout.label());
            log_line!(connection, reason = EndReason::AuthTimeout.label(), "socket refused");
            // ClientPacket before the client learns of it.
            connection.close_soon(EndReason::AuthTimeout);
        }
        for connection in expired {
            self.tell(&connection, &make);
            // It tells the official clients not to come back by themselves.
            connection.send_packet(packet::disconnect()).ok();
            connection.close_soon(EndReason::TokenExpired);
        }
        taken_away
    }

    /// Ends every connection.
    pub(crate) fn close_all(&self, reason: EndReason) {
        for connection in self.connections() {
            connection.close_soon(reason);
        }
    }

    /// Ends every connection at once.
    pub(crate) fn cut_all(&self, reason: EndReason) {
        for connection in self.connections() {
            connection.cut(reason);
        }
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

/// Gives back memory that a map has no use for any more: a crowd comes once, and the server stays.
/// Moves entries only when half of them or more have gone, as twice their number is kept room for.
fn give_back<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    map.shrink_to(SMALL.max(2 * map.len()));
}

/// A panic elsewhere does not leave these maps in a state that would be wrong.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::auth::Session;
    use crate::limits::Arrival;
    use crate::sockets::connection::Opening;

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
        // The other one has answered meanwhile.
        two.answered();
        advance(SILENT).await;
        assert_eq!(rooms.enter(&user, &four, 2), Err(Full));
        assert!(two.take_ask() && three.take_ask());
        assert_eq!(rooms.metrics.connections.get(), 2);
        rooms.leave(&one, EndReason::ClientDisconnect);
        assert_eq!(rooms.metrics.connections.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_a_revision_has_seen_it_and_keeps_its_place() {
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

    #[test]
    fn a_map_that_most_have_left_gives_back_its_memory() {
        let mut map: HashMap<usize, usize> = (0..10 * SMALL).map(|key| (key, key)).collect();
        for key in 1..10 * SMALL {
            map.remove(&key);
            give_back(&mut map);
        }
        assert_eq!(map.get(&0), Some(&0));
        assert!(map.capacity() < 2 * SMALL, "there is room for {}", map.capacity());
    }
}
