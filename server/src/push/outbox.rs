//! The events that wait for one socket, already in the form that they leave in.
//!
//! What is put in here is shared by all of a user's sockets: encoded once, and never copied into a
//! buffer of a socket's own, which would stay as large as the largest event ever (see decision 53).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::push::envelope::Message;
use crate::push::packet;

/// So many events wait for a slow client; then it is cut off.
pub(crate) const MAX_EVENTS: usize = 128;

/// Events that go out together: whole WebSocket frames, one behind the other. A clone shares them.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    frames: Bytes,
    events: usize,
}

/// What waits for one socket, in order. Empty, it holds no memory of its own.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    events: usize,
    is_closed: bool,
}

/// Why events are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsent {
    /// The client has not taken those before.
    Full,
    /// The connection is over, or about to be.
    Closed,
}

impl Unsent {
    /// The name in metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Closed => "closed",
        }
    }
}

impl Batch {
    /// These events, copied behind each other once for all sockets. None without any.
    pub(crate) fn new(messages: &[Message]) -> Option<Self> {
        let frames = match messages {
            [] => return None,
            [message] => message.frame.clone(),
            several => {
                let frames: Vec<&[u8]> = several.iter().map(|message| &*message.frame).collect();
                frames.concat().into()
            }
        };
        Some(Self { frames, events: messages.len() })
    }

    /// A packet that is no event, in its place among them.
    pub(crate) fn of_packet(packet: String) -> Result<Self, packet::Failed> {
        let mut frames = Vec::new();
        packet::frame(packet, &mut frames)?;
        Ok(Self { frames: frames.into(), events: 0 })
    }
}

impl Outbox {
    /// Puts events behind those that wait.
    pub(crate) fn push(&self, batch: &Batch) -> Result<(), Unsent> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(Unsent::Closed);
        }
        if waiting.events + batch.events > MAX_EVENTS {
            return Err(Unsent::Full);
        }
        waiting.events += batch.events;
        waiting.batches.push_back(batch.clone());
        Ok(())
    }

    /// Takes out the frames that are to go next. Never empty.
    pub(crate) fn next(&self) -> Option<Bytes> {
        let mut waiting = self.lock();
        let batch = waiting.batches.pop_front()?;
        waiting.events -= batch.events;
        if waiting.batches.is_empty() {
            waiting.batches = VecDeque::new();
        }
        Some(batch.frames)
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

#[cfg(test)]
impl Batch {
    /// A batch of one event.
    pub(crate) fn of_one(frame: impl Into<Bytes>) -> Self {
        Self { frames: frame.into(), events: 1 }
    }
}

#[cfg(test)]
mod tests {
    use shared_types::EventType;

    use super::*;

    fn message(frame: &'static [u8]) -> Message {
        Message { event_type: EventType::SummaryUpdated, frame: Bytes::from_static(frame) }
    }

    #[test]
    fn what_is_put_in_comes_out_in_order_and_is_not_copied_for_each() {
        let outbox = Outbox::default();
        let one = Batch::new(&[message(b"one")]).unwrap();
        let two = Batch::new(&[message(b"two"), message(b"three")]).unwrap();
        assert!(Batch::new(&[]).is_none());
        outbox.push(&one).unwrap();
        outbox.push(&two).unwrap();
        let (first, second) = (outbox.next().unwrap(), outbox.next().unwrap());
        assert_eq!((&*first, &*second, outbox.next()), (&b"one"[..], &b"twothree"[..], None));
        assert_eq!((first.as_ptr(), second.as_ptr()), (one.frames.as_ptr(), two.frames.as_ptr()));
    }

    #[test]
    fn it_takes_so_many_events_and_no_more() {
        let outbox = Outbox::default();
        let two = Batch::new(&[message(b"a"), message(b"b")]).unwrap();
        for _ in 0..MAX_EVENTS / 2 {
            outbox.push(&two).unwrap();
        }
        assert_eq!(outbox.push(&Batch::of_one("c")), Err(Unsent::Full));
        // There is room for as many as have been taken out.
        outbox.next().unwrap();
        assert_eq!(outbox.push(&two), Ok(()));
        assert_eq!(outbox.push(&Batch::of_one("c")), Err(Unsent::Full));
    }

    #[test]
    fn it_holds_no_memory_while_it_is_empty() {
        let outbox = Outbox::default();
        let held = || outbox.lock().batches.capacity();
        assert_eq!(held(), 0);
        for _ in 0..MAX_EVENTS {
            outbox.push(&Batch::of_one("event")).unwrap();
        }
        assert!(held() >= MAX_EVENTS);
        while outbox.next().is_some() {}
        assert_eq!(held(), 0);
        assert!(size_of::<Outbox>() <= 56, "{}", size_of::<Outbox>());
    }

    #[test]
    fn closed_it_drops_what_it_has_and_takes_nothing() {
        let outbox = Outbox::default();
        let batch = Batch::of_one(vec![b'x'; 9]);
        outbox.push(&batch).unwrap();
        outbox.close();
        assert!(batch.frames.is_unique());
        assert_eq!((outbox.push(&batch), outbox.next()), (Err(Unsent::Closed), None));
    }
}
