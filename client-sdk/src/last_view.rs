//! Writes and reads the last view as a text, which is kept between two lives of the client.
//!
//! The client shows it at once after a start, as stale and with its age, until the first snapshot
//! replaces it. It has no authority: the client never compares it with a snapshot, and never sends
//! its tag to the server. So a damaged or manipulated record can neither stay on the screen nor
//! keep the client from the true view.
//!
//! The driver decides where the text is kept. The app decides whose it is.

use crate::prelude::*;
use shared_types::Revision;

use crate::decode::Decoder;
use crate::encode::ToJson as _;
use crate::reducer::View;
use crate::state::{Code, Reason};
use crate::time::{Clock, Moment};

/// The first word of a record. Another version's record is not read.
const VERSION: &str = "1";

/// A view, and how fresh it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastView {
    /// What was shown.
    pub view: View,
    /// The newest revision that any of its sections showed.
    pub revision: Revision,
    /// When it was last known to be the server's.
    pub as_of: Moment,
}

impl LastView {
    /// The text to keep: `1 <asOf in ms since 1970> <revision>`, a line break, the view's JSON.
    #[must_use]
    pub fn to_record(&self, clock: &Clock) -> String {
        let (as_of, revision) =
            (clock.wall(self.as_of).to_string(), self.revision.get().to_string());
        let mut record = [VERSION, " ", &as_of, " ", &revision, "\n"].concat();
        self.view.write_json(&mut record);
        record
    }

    /// Reads a text that was kept.
    ///
    /// # Errors
    ///
    /// [`Code::LastViewFailed`] where it is not a record of this version, breaks the contract,
    /// or claims to be of the future: its age is unknown then.
    pub fn from_record(decoder: &impl Decoder, record: &str, now: Moment) -> Result<Self, Reason> {
        let (head, json) = record.split_once('\n').ok_or_else(|| unreadable("no record"))?;
        let mut words = head.split(' ');
        let (version, as_of, revision) = (words.next(), words.next(), words.next());
        if version != Some(VERSION) || words.next().is_some() {
            return Err(unreadable("of another version"));
        }
        let number = |word: Option<&str>| word.and_then(|word| word.parse::<u64>().ok());
        let as_of = number(as_of).map(Moment).ok_or_else(|| unreadable("without its age"))?;
        if as_of > now {
            return Err(unreadable("from the future"));
        }
        let revision = number(revision).and_then(|count| Revision::try_from(count).ok());
        let revision = revision.ok_or_else(|| unreadable("without its revision"))?;
        let view = decoder.snapshot(json).map_err(|error| unreadable(&error.0))?;
        Ok(Self { view: view.into(), revision, as_of })
    }
}

fn unreadable(why: &str) -> Reason {
    Reason::new(Code::LastViewFailed, ["the last view that was kept is not shown: ", why].concat())
}
