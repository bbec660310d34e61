//! Holds the events that wait for one socket, already in the form that they leave in.
//!
//! All of a user's sockets share an event in here. It is encoded once, and not copied into a buffer of each
//! socket, which would stay as large as the largest event ever (see decision 68).
//!
//! A slow client gets the newest state, not all that it has missed. An event replaces earlier ones that
//! describe an older state of the same part. So the size of a dashboard bounds what waits.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use shared_types::EventType;
use shared_types::view::RECENT_MOCS_LIMIT;

use crate::sockets::message::Message;

/// Small events that wait go out together, up to this number of bytes.
const TOGETHER: usize = 16 * 1024;

/// How many errors wait.
const ERRORS: usize = 4;

/// The messages that wait for one socket, in order. An empty outbox holds no memory.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    is_closed: bool,
}

/// A whole WebSocket frame. A clone shares it.
#[derive(Debug)]
struct Item {
    /// None for a packet that is no event.
    event_type: Option<EventType>,
    frame: Bytes,
}

/// The connection is over, or about to be, and takes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed;

impl Outbox {
    /// Puts events behind those that wait. How many of those they take the place of.
    pub(crate) fn push(&self, messages: &[Message]) -> Result<usize, Closed> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(Closed);
        }
        let before = waiting.items.len() + messages.len();
        for Message { event_type, frame } in messages {
            waiting.make_room(*event_type);
            let item = Item { event_type: Some(*event_type), frame: frame.clone() };
            waiting.items.push_back(item);
        }
        Ok(before - waiting.items.len())
    }

    /// Puts a packet that is no event behind what waits.
    pub(crate) fn push_packet(&self, frame: Bytes) -> Result<(), Closed> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(Closed);
        }
        waiting.items.push_back(Item { event_type: None, frame });
        Ok(())
    }

    /// Takes out the frames that are to go next. Never empty.
    pub(crate) fn next(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let first = waiting.items.pop_front()?.frame;
        let mut length = first.len();
        let fits = |item: &&Item| {
            length += item.frame.len();
            length <= TOGETHER
        };
        let more = waiting.items.iter().take_while(fits).count();
        let frames = if more == 0 {
            first
        } else {
            let more: Vec<_> = waiting.items.drain(..more).map(|item| item.frame).collect();
            [&[first], more.as_slice()].concat().concat().into()
        };
        if waiting.items.is_empty() {
            waiting.items = VecDeque::new();
        }
        Some(frames)
    }

    /// Drops what waits, and takes nothing more.
    pub(crate) fn close(&self) {
        *self.lock() = Waiting { is_closed: true, ..Waiting::default() };
    }

    /// A panic elsewhere does not leave the queue in a state that would be wrong.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Drops what an event of that type says anew.
    fn make_room(&mut self, event_type: EventType) {
        match event_type {
            // Each is prepended to a list of ten: those before would be pushed out.
            EventType::RecentMocAdded => self.keep(RECENT_MOCS_LIMIT, event_type),
            // The last one says why the socket ends, and one before it something else.
            EventType::Error => self.keep(ERRORS, event_type),
            EventType::RecentMocsUpdated => {
                self.drop_all(&[EventType::RecentMocAdded, EventType::RecentMocsUpdated]);
            }
            EventType::SummaryUpdated
            | EventType::ThemeBreakdownUpdated
            | EventType::PartialPartsUpdated => self.drop_all(&[event_type]),
        }
    }

    /// Drops the oldest event of that type, if there is no room for one more.
    fn keep(&mut self, limit: usize, event_type: EventType) {
        let is_one = |item: &Item| item.event_type == Some(event_type);
        if self.items.iter().filter(|item| is_one(item)).count() >= limit
            && let Some(oldest) = self.items.iter().position(is_one)
        {
            self.items.remove(oldest);
        }
    }

    fn drop_all(&mut self, types: &[EventType]) {
        self.items.retain(|item| item.event_type.is_none_or(|of| !types.contains(&of)));
    }
}

#[cfg(test)]
mod tests {
    use shared_types::EventType::{
        PartialPartsUpdated, RecentMocAdded, RecentMocsUpdated, SummaryUpdated,
        ThemeBreakdownUpdated,
    };

    use super::*;

    fn message(event_type: EventType, frame: impl Into<Bytes>) -> Message {
        Message { event_type, frame: frame.into() }
    }

    /// What waits, one after the other.
    fn waiting(outbox: &Outbox) -> Vec<String> {
        let items = outbox.lock();
        items.items.iter().map(|item| String::from_utf8(item.frame.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_large_event_goes_by_itself_and_is_not_copied_for_each() {
        let outbox = Outbox::default();
        let large = message(PartialPartsUpdated, vec![b'x'; TOGETHER]);
        outbox.push(&[message(SummaryUpdated, "a"), large.clone()]).unwrap();
        outbox.push(&[message(ThemeBreakdownUpdated, "b"), message(RecentMocAdded, "c")]).unwrap();
        outbox.push_packet("d".into()).unwrap();
        assert_eq!(outbox.next().unwrap(), "a");
        assert_eq!(outbox.next().unwrap().as_ptr(), large.frame.as_ptr());
        assert_eq!(outbox.next().unwrap(), "bcd");
        assert_eq!(outbox.next(), None);
    }

    #[test]
    fn an_event_takes_the_place_of_those_that_say_the_same_of_an_older_state() {
        let outbox = Outbox::default();
        let types = [SummaryUpdated, ThemeBreakdownUpdated, PartialPartsUpdated];
        let all = |state: &str| types.map(|of| message(of, format!("{} {state}", of.name())));
        assert_eq!(outbox.push(&all("old")), Ok(0));
        outbox.push_packet("packet".into()).unwrap();
        assert_eq!(outbox.push(&all("new")), Ok(3));
        let expected = types.map(|of| format!("{} new", of.name()));
        assert_eq!(waiting(&outbox), [&["packet".to_owned()][..], &expected].concat());
    }

    #[test]
    fn a_list_takes_the_place_of_additions_and_additions_come_after_a_list() {
        let outbox = Outbox::default();
        outbox.push(&[message(RecentMocAdded, "1"), message(RecentMocAdded, "2")]).unwrap();
        assert_eq!(outbox.push(&[message(RecentMocsUpdated, "list")]), Ok(2));
        assert_eq!(outbox.push(&[message(RecentMocAdded, "3")]), Ok(0));
        assert_eq!(waiting(&outbox), ["list", "3"]);
        assert_eq!(outbox.push(&[message(RecentMocsUpdated, "newer")]), Ok(2));
        assert_eq!(waiting(&outbox), ["newer"]);
    }

    #[test]
    fn additions_wait_as_far_as_a_list_can_show_them() {
        let outbox = Outbox::default();
        for number in 1..=RECENT_MOCS_LIMIT + 2 {
            let superseded = outbox.push(&[message(RecentMocAdded, number.to_string())]);
            assert_eq!(superseded, Ok(usize::from(number > RECENT_MOCS_LIMIT)));
        }
        let expected: Vec<_> =
            (3..=RECENT_MOCS_LIMIT + 2).map(|number| number.to_string()).collect();
        assert_eq!(waiting(&outbox), expected);
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_taken_out_leaves_no_memory() {
        let outbox = Outbox::default();
        let held = || outbox.lock().items.capacity();
        assert_eq!(held(), 0);
        for _ in 0..1_000 {
            for event_type in EventType::ALL {
                outbox.push(&[message(event_type, "event")]).unwrap();
            }
        }
        assert!(waiting(&outbox).len() <= EventType::ALL.len() + RECENT_MOCS_LIMIT + ERRORS);
        while outbox.next().is_some() {}
        assert_eq!(held(), 0);
        assert!(size_of::<Outbox>() <= 56, "{}", size_of::<Outbox>());
    }

    #[test]
    fn closed_it_drops_what_it_has_and_takes_nothing() {
        let outbox = Outbox::default();
        let message = message(SummaryUpdated, vec![b'x'; 9]);
        outbox.push(std::slice::from_ref(&message)).unwrap();
        outbox.close();
        assert!(message.frame.is_unique());
        assert_eq!(outbox.push(std::slice::from_ref(&message)), Err(Closed));
        assert_eq!((outbox.push_packet("p".into()), outbox.next()), (Err(Closed), None));
    }
}
