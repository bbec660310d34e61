//! Makes signals, to which the machine's states react: inputs that passed the gate, read and
//! checked.

use crate::prelude::*;
use shared_types::{DashboardView, ErrorCode, ErrorEvent, Revision, SnapshotTag};

use super::states::Terminal;
use super::{EXCERPT_CHARS, FetchFailure, Loss, Response, Secret};
use crate::codec::{self, Packet};
use crate::decode::{Answer, Change, DecodeError, Decoder, Event, Handshake, Refusal};
use crate::state::{Code, Reason};
use crate::time::Millis;

/// A run of characters that may be part of a token is cut from excerpts when it is longer than
/// this; the longest such thing that a frame of the protocol holds is a UUID of 36.
const LONGEST_WORD: usize = 64;

/// One of the columns of the machine's table.
#[derive(Debug)]
pub(super) enum Signal {
    Start,
    Stop,
    Reauthenticate {
        is_same_user: bool,
    },
    Refresh,
    Online,
    Offline,
    Visible,
    /// The state's own deadline has passed.
    Due,
    Opened(Option<Secret>),
    Handshake(Result<Handshake, DecodeError>),
    Ping,
    /// With how new the server's data are, where it says so.
    Accepted(Option<SnapshotTag>),
    Refused(Refusal),
    Change(Revision, Change),
    Told(ErrorEvent),
    Disconnected,
    Lost(Loss),
    Fetched(Fetched),
}

impl Signal {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Reauthenticate { .. } => "reauthenticate",
            Self::Refresh => "refresh",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Visible => "visible",
            Self::Due => "due",
            Self::Opened(_) => "opened",
            Self::Handshake(_) => "handshake",
            Self::Ping => "ping",
            Self::Accepted(_) => "accepted",
            Self::Refused(_) => "refused",
            Self::Change(..) => "event",
            Self::Told(_) => "error event",
            Self::Disconnected => "disconnected",
            Self::Lost(_) => "lost",
            Self::Fetched(_) => "fetched",
        }
    }
}

/// How a request for the snapshot ended.
#[derive(Debug)]
pub(super) enum Fetched {
    Full {
        tag: SnapshotTag,
        view: Box<DashboardView>,
        /// The server has made it for this request. Any other may be something that a cache has kept:
        /// from long ago, or another user's.
        is_confirmed: bool,
    },
    /// The server has nothing newer than the last snapshot.
    Unchanged,
    /// It may be something that a cache has kept, and nothing tells how old it is.
    Unconfirmed,
    /// 401 or 403, with the server's own body for this request: more requests would not help.
    Refused(Terminal),
    Failed {
        reason: Reason,
        retry_after: Option<Millis>,
    },
}

impl Fetched {
    /// The same, where nothing but the answer itself can vouch for it.
    pub(super) fn confirmed(self) -> Self {
        match self {
            Self::Full { is_confirmed: false, .. } => Self::Unconfirmed,
            fetched => fetched,
        }
    }

    pub(super) fn failed(code: Code, message: impl Into<String>) -> Self {
        Self::Failed { reason: Reason::new(code, message), retry_after: None }
    }
}

/// What a frame turned out to be.
pub(super) enum Read {
    Signal(Signal),
    Nothing,
    Skipped(Reason),
}

pub(super) fn read_frame<D: Decoder>(decoder: &D, namespace: &str, text: &str) -> Read {
    let packet = match codec::decode(namespace, text) {
        Ok(packet) => packet,
        Err(codec::Unreadable(why)) => return skipped(Code::FrameMalformed, why, text),
    };
    Read::Signal(match packet {
        Packet::Handshake(json) => Signal::Handshake(decoder.handshake(json)),
        Packet::Ping => Signal::Ping,
        Packet::Noop => return Read::Nothing,
        Packet::Connected(json) => Signal::Accepted(decoder.acceptance(json)),
        Packet::Disconnected | Packet::EngineClose => Signal::Disconnected,
        Packet::ConnectError(json) => match decoder.refusal(json) {
            Ok(refusal) => Signal::Refused(refusal),
            Err(DecodeError(why)) => return skipped(Code::FrameMalformed, &why, text),
        },
        Packet::Event(json) => match decoder.event(json) {
            Ok(Event::Change { revision, change }) => Signal::Change(revision, change),
            Ok(Event::Error(told)) => Signal::Told(told),
            Ok(Event::Unknown(_)) => {
                return skipped(Code::EventUnknown, "an event of an unknown type", text);
            }
            Err(DecodeError(why)) => return skipped(Code::EventMalformed, &why, text),
        },
    })
}

/// What a request has said of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    pub(super) fresh: &'a str,
    pub(super) have: Option<&'a SnapshotTag>,
}

pub(super) fn read_answer<D: Decoder>(
    decoder: &D,
    request: Request<'_>,
    result: Result<Response, FetchFailure>,
) -> Fetched {
    let response = match result {
        Ok(response) => response,
        Err(FetchFailure::TokenUnavailable) => {
            return Fetched::failed(Code::TokenUnavailable, "the app gave no token");
        }
        Err(FetchFailure::Network(told)) => {
            return Fetched::failed(Code::SnapshotFailed, excerpt(&told));
        }
    };
    match response.status {
        200 => read_snapshot(decoder, request, &response),
        status => {
            let may_refuse = matches!(status, 401 | 403);
            let refusal = may_refuse.then(|| decoder.rest_refusal(&response.body).ok()).flatten();
            // One of another request, which a cache has kept, says nothing about this session.
            let refusal = refusal.filter(|it| it.fresh.as_deref() == Some(request.fresh));
            match (status, refusal.map(|it| it.code)) {
                (401, Some(ErrorCode::Unauthorized)) => Fetched::Refused(Terminal::Unauthorized),
                (403, Some(ErrorCode::Forbidden)) => Fetched::Refused(Terminal::Forbidden),
                _ => {
                    let [before, after] = if may_refuse {
                        // The server would have said so in its own body. A firewall's page, or a
                        // proxy's, tells nothing about the session.
                        [
                            "something between the client and the server answered HTTP ",
                            " with a page that is not the server's answer to this request",
                        ]
                    } else {
                        ["the snapshot was answered with HTTP ", ""]
                    };
                    let message = [before, &status.to_string(), after].concat();
                    let reason = Reason::new(Code::SnapshotFailed, message);
                    Fetched::Failed { reason, retry_after: response.retry_after }
                }
            }
        }
    }
}

/// At most [`EXCERPT_CHARS`] characters of a text that came from elsewhere, fit for a log: without
/// control characters, and without anything long enough to be a token.
pub(super) fn excerpt(text: &str) -> String {
    let mut cut = String::new();
    let mut room = EXCERPT_CHARS;
    let mut rest = text;
    while room > 0 && !rest.is_empty() {
        // Words are ASCII, so their bytes are their characters.
        let word_end = rest.find(|next| !is_of_a_word(next)).unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(word_end).unwrap_or_default();
        if word.len() > LONGEST_WORD {
            cut.push('…');
            room -= 1;
        } else {
            let kept = word.get(..word.len().min(room)).unwrap_or_default();
            cut.push_str(kept);
            room -= kept.len();
        }
        rest = after;
        let mut chars = rest.chars();
        if let Some(next) = chars.next().filter(|_| room > 0) {
            cut.push(if next.is_control() { ' ' } else { next });
            room -= 1;
            rest = chars.as_str();
        }
    }
    cut
}

fn is_of_a_word(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' | '+' | '/' | '=' | '%' | '~')
}

fn read_snapshot<D: Decoder>(decoder: &D, request: Request<'_>, response: &Response) -> Fetched {
    let error = match decoder.answer(&response.body) {
        Ok(Answer { fresh, tag, view }) => {
            let is_confirmed = fresh == request.fresh;
            return match view {
                Some(view) => Fetched::Full { tag, view: Box::new(view), is_confirmed },
                None if !is_confirmed => Fetched::Unconfirmed,
                None if request.have == Some(&tag) => Fetched::Unchanged,
                None => Fetched::failed(
                    Code::SnapshotMalformed,
                    "the server has nothing newer than a snapshot that was not asked about",
                ),
            };
        }
        Err(error) => error,
    };
    // The query was lost on the way, and with it what tells the answer from a kept one.
    let Ok(view) = decoder.snapshot(&response.body) else {
        return Fetched::failed(Code::SnapshotMalformed, excerpt(&error.0));
    };
    let etag = response.etag.as_deref().unwrap_or_default();
    SnapshotTag::from_header(etag).map_or(Fetched::Unconfirmed, |tag| Fetched::Full {
        tag,
        view: Box::new(view),
        is_confirmed: false,
    })
}

/// Told of an answer that may be one that a cache has kept.
pub(super) fn unconfirmed() -> Reason {
    let why = "the answer was not made for this request: something between keeps answers";
    Reason::new(Code::SnapshotStale, why)
}

fn skipped(code: Code, why: &str, text: &str) -> Read {
    // Handshakes and acceptances contain the session id, which is a secret too.
    let told =
        if text.starts_with('0') || text.starts_with("40") { String::new() } else { excerpt(text) };
    Read::Skipped(Reason::new(code, ["skipped (", &excerpt(why), "): ", &told].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_short_and_printable() {
        assert_eq!(excerpt("a\nb\u{0}c 🧱"), "a b c 🧱");
        assert_eq!(excerpt(&"a b ".repeat(1_000)).chars().count(), EXCERPT_CHARS);
        assert_eq!(excerpt(""), "");
    }

    #[test]
    fn excerpts_contain_no_tokens() {
        let token = "eyJhbGciOiJIUzI1NiJ9.".repeat(8);
        let text = ["42/dashboard,[\"echo\",\"", &token, "\",\"after\"]"].concat();
        assert_eq!(excerpt(&text), "42/dashboard,[\"echo\",\"…\",\"after\"]");
        assert_eq!(excerpt(&token), "…");
        let id = "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60";
        assert_eq!(excerpt(id), id);
    }

    #[test]
    fn long_words_at_the_edge_do_not_break_the_count() {
        for before in 430..510 {
            let text = [" ".repeat(before).as_str(), &"x".repeat(200), " end"].concat();
            let told = excerpt(&text);
            assert!(told.chars().count() <= EXCERPT_CHARS);
            assert!(!told.contains(&"x".repeat(LONGEST_WORD + 1)));
        }
    }
}
