//! The state `backoff`: waits for the next attempt at a socket (D-RES-1).

use super::core::Core;
use super::signal::{Fetched, Signal, unconfirmed};
use super::states::{Backoff, Fetch, State};
use crate::backoff;
use crate::state::{Code, Reason};
use crate::time::Moment;

impl Core {
    pub(super) fn backoff(&mut self, waiting: Backoff, signal: Signal, now: Moment) -> State {
        let is_allowed = now >= waiting.pause.not_before;
        let code = match signal {
            Signal::Stop => return self.close(),
            Signal::Reauthenticate { is_same_user } => return self.begin_anew(is_same_user, now),
            Signal::Due if now >= waiting.pause.until => Code::Retrying,
            Signal::Due => return self.initially_fetched(waiting, Fetch::timed_out(), now),
            Signal::Fetched(fetched) => return self.initially_fetched(waiting, fetched, now),
            // Something speaks for an attempt now, unless the server asked to be left alone.
            Signal::Online if is_allowed => Code::Online,
            Signal::Visible if is_allowed => Code::Visible,
            Signal::Refresh if is_allowed => Code::Refreshed,
            Signal::Online
            | Signal::Visible
            | Signal::Refresh
            // Started already.
            | Signal::Start
            // Not believed so far as to stop trying: platforms err about it.
            | Signal::Offline
            // No socket.
            | Signal::Opened(_)
            | Signal::Handshake(_)
            | Signal::Ping
            | Signal::Accepted(_)
            | Signal::Refused(_)
            | Signal::Change(..)
            | Signal::Told(_)
            | Signal::Disconnected
            | Signal::Lost(_) => return self.ignore(State::Backoff(waiting), &signal),
        };
        self.connect(Reason::new(code, "trying again"), now)
    }

    /// The view that was asked for because there was none, or none of this session. It is shown as stale: no
    /// socket vouches for it, and it is not polled again.
    fn initially_fetched(&mut self, mut waiting: Backoff, fetched: Fetched, now: Moment) -> State {
        waiting.initial_fetch = None;
        match fetched.confirmed() {
            Fetched::Full { tag, view, .. } => {
                self.show(tag, *view, now);
            }
            Fetched::Unchanged => {
                self.show_unchanged(now);
            }
            Fetched::Unconfirmed => self.warn(&unconfirmed()),
            Fetched::Refused(why) => return self.require_auth(why),
            Fetched::Failed { reason, retry_after } => {
                self.warn(&reason);
                self.apply_retry_after(retry_after, now);
                if let Some(retry_after) = retry_after {
                    let pause = &mut waiting.pause;
                    pause.not_before = pause.not_before.max(now + backoff::capped(retry_after));
                    pause.until = pause.until.max(pause.not_before);
                }
            }
        }
        State::Backoff(waiting)
    }
}
