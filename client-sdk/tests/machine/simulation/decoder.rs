//! The native decoder, which remembers what it has read.
//!
//! Reading JSON would be most of a simulation's time, and schedules resemble each other so much
//! that the same texts come up again and again. Decoding is a function of the text alone, so what
//! was read once need not be read twice; to hold that, some schedules remember nothing.

use std::cell::RefCell;
use std::collections::HashMap;

use client_sdk::decode::json::JsonDecoder;
use client_sdk::decode::{Answer, DecodeError, Decoder, Event, Handshake, Refusal, RestRefusal};
use shared_types::{DashboardView, SnapshotTag};

/// How many texts are remembered. Each is at most [`LONGEST`] long.
const TEXTS: usize = 20_000;
const LONGEST: usize = 4_000;

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

#[derive(Default)]
struct Memory {
    handshakes: Known<Handshake>,
    events: Known<Event>,
    snapshots: Known<DashboardView>,
}

type Known<T> = HashMap<String, Result<T, DecodeError>>;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Remembering {
    pub(super) is_forgetful: bool,
}

impl Decoder for Remembering {
    fn handshake(&self, json: &str) -> Result<Handshake, DecodeError> {
        self.recall(json, |memory| &mut memory.handshakes, |json| JsonDecoder.handshake(json))
    }

    fn refusal(&self, json: &str) -> Result<Refusal, DecodeError> {
        JsonDecoder.refusal(json)
    }

    fn event(&self, json: &str) -> Result<Event, DecodeError> {
        self.recall(json, |memory| &mut memory.events, |json| JsonDecoder.event(json))
    }

    fn acceptance(&self, json: &str) -> Option<SnapshotTag> {
        JsonDecoder.acceptance(json)
    }

    /// No two answers are the same text, but their views are. The simulated server writes them in
    /// this form. Other texts are decoded unchanged.
    fn answer(&self, json: &str) -> Result<Answer, DecodeError> {
        let known = || {
            let rest = json.strip_prefix(r#"{"fresh":""#)?;
            let (fresh, rest) = rest.split_once(r#"","tag":""#)?;
            let (tag, rest) = rest.split_once(r#"","view":"#)?;
            let view = rest.strip_suffix('}').filter(|_| !self.is_forgetful)?;
            let view = if view == "null" { None } else { Some(self.snapshot(view).ok()?) };
            Some(Answer { fresh: fresh.to_owned(), tag: tag.parse().ok()?, view })
        };
        known().map_or_else(|| JsonDecoder.answer(json), Ok)
    }

    fn snapshot(&self, json: &str) -> Result<DashboardView, DecodeError> {
        self.recall(json, |memory| &mut memory.snapshots, |json| JsonDecoder.snapshot(json))
    }

    fn rest_refusal(&self, json: &str) -> Result<RestRefusal, DecodeError> {
        JsonDecoder.rest_refusal(json)
    }
}

impl Remembering {
    fn recall<T: Clone>(
        &self,
        json: &str,
        which: fn(&mut Memory) -> &mut Known<T>,
        read: fn(&str) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        if self.is_forgetful || json.len() > LONGEST {
            return read(json);
        }
        MEMORY.with_borrow_mut(|memory| {
            let known = which(memory);
            if let Some(value) = known.get(json) {
                return value.clone();
            }
            if known.len() >= TEXTS {
                known.clear();
            }
            let value = read(json);
            known.insert(json.to_owned(), value.clone());
            value
        })
    }
}
