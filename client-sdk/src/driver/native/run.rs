//! The loop that connects the machine with its socket, its requests and the time.

use std::iter;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::clock::{millis, seed, steady_clock, wall_clock};
use super::connection::Clients;
use super::journal::Journal;
use super::last_view::{Kept, ViewStore};
use super::options::Options;
use super::token::{NoToken, Tokens};
use super::{fetch, socket};
use crate::decode::Decoder;
use crate::driver::LONGEST_NAP;
use crate::endpoint::Endpoints;
use crate::machine::{Effect, EffectId, Input, Machine};
use crate::state::{
    Code, DashboardState, Diagnostic, Fault, Level, Publication, Reason, Source, Status,
};
use crate::time::{Clock, Millis, Moment};

/// How many inputs of sockets and requests may wait for the machine.
const INBOX: usize = 64;

pub(super) struct Driver<D> {
    last_view: Option<Kept>,
    tokens: Tokens,
    endpoints: Endpoints,
    clients: Clients,
    machine: Machine<D>,
    started: Instant,
    clock: Clock,
    states: watch::Sender<Arc<DashboardState>>,
    socket: Option<(EffectId, mpsc::UnboundedSender<String>)>,
    fetch: Option<(EffectId, AbortHandle)>,
    journal: Arc<Journal>,
    /// None where the program wants no view to be kept.
    view_store: Option<ViewStore>,
    /// What was behind the last snapshot's failure.
    snapshot_cause: Option<Cause>,
    /// When the last view came that was polled.
    polled: Option<Moment>,
}

/// What a handle wants.
pub(super) enum Command {
    Input(Input),
    /// To go on with a new session.
    Reauthenticate,
    /// The end, with all that is under way.
    Shutdown,
}

/// What a socket, a request or the store of the last view has to say.
pub(super) struct Answer {
    pub(super) input: Input,
    pub(super) cause: Option<Cause>,
}

/// What is behind a failure, beyond what the machine learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Fault(Fault),
    NoToken(NoToken),
}

impl From<Input> for Answer {
    fn from(input: Input) -> Self {
        Self { input, cause: None }
    }
}

impl<D: Decoder + Send + 'static> Driver<D> {
    pub(super) fn new(
        options: Options,
        endpoints: Endpoints,
        clients: Clients,
        journal: Arc<Journal>,
        decoder: D,
    ) -> Self {
        let started = steady_clock();
        let clock = Clock::new(0, wall_clock());
        let idle = DashboardState::new(&Publication::idle(), &clock);
        Self {
            last_view: options.last_view,
            tokens: Tokens::new(options.tokens),
            endpoints,
            clients,
            machine: Machine::new(decoder, seed()),
            started,
            clock,
            states: watch::Sender::new(Arc::new(idle)),
            socket: None,
            fetch: None,
            journal,
            view_store: None,
            snapshot_cause: None,
            polled: None,
        }
    }

    pub(super) fn states(&self) -> watch::Receiver<Arc<DashboardState>> {
        self.states.subscribe()
    }

    /// Runs until all handles are dropped, or one wants the end. `commands` closes last.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let (answers, mut inbox) = mpsc::channel(INBOX);
        self.view_store = self
            .last_view
            .take()
            .map(|kept| ViewStore::start(kept, answers.clone(), Arc::clone(&self.journal)));
        if let Some(message) = self.clients.unused_proxy.take() {
            let (level, code) = (Level::Warn, Code::Started);
            self.journal.tell(Diagnostic {
                at: self.clock.wall(self.clock.now()),
                level,
                code,
                message,
            });
        }
        loop {
            let input = tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Input(input)) => {
                        if matches!(input, Input::Stop) {
                            self.tokens.begin_session();
                        }
                        input
                    }
                    Some(Command::Reauthenticate) => {
                        self.tokens.begin_session();
                        let is_same_user = self.view_store.as_mut().is_some_and(ViewStore::is_same_user);
                        Input::Reauthenticate { is_same_user }
                    }
                    Some(Command::Shutdown) | None => break,
                },
                Some(answer) = inbox.recv() => self.note(answer),
                () = tokio::time::sleep(self.nap()) => Input::Tick,
            };
            self.handle(input, &answers);
        }
        // The program ends, which is no reason to forget: only its own word is.
        self.view_store = None;
        self.handle(Input::Stop, &answers);
        self.tokens.end().await;
        // A socket that sends its close frame and a file that is being written hold a sender until
        // they are done.
        drop(answers);
        while inbox.recv().await.is_some() {}
    }

    fn note(&mut self, answer: Answer) -> Input {
        match answer.input {
            Input::Snapshot { .. } => self.snapshot_cause = answer.cause,
            // From now on a token that is missing is one that this socket wanted.
            Input::Closed { .. } => {
                self.snapshot_cause.take_if(|cause| matches!(cause, Cause::NoToken(_)));
            }
            _ => {}
        }
        answer.input
    }

    /// The machine's reason, with what the driver knows besides.
    fn explained(&self, mut reason: Reason) -> Reason {
        match (reason.code, self.snapshot_cause) {
            (Code::SnapshotFailed, Some(Cause::Fault(fault))) => reason.fault = Some(fault),
            (Code::TokenUnavailable, Some(Cause::NoToken(why))) => reason = why.reason(),
            _ => {}
        }
        reason
    }

    fn handle(&mut self, input: Input, answers: &mpsc::Sender<Answer>) {
        let now = self.read_clock();
        self.machine.handle(input, now);
        let effects: Vec<Effect> = iter::from_fn(|| self.machine.poll_effect()).collect();
        // First of all: a socket that is opened for a token that ran out asks for one at once, perhaps
        // on another thread.
        for effect in &effects {
            self.note_token(effect);
        }
        for effect in effects {
            self.perform(effect, answers);
        }
    }

    /// What an effect says of the last token.
    fn note_token(&mut self, effect: &Effect) {
        match effect {
            Effect::State(state)
                if state.source == Source::Polling && state.as_of != self.polled =>
            {
                self.polled = state.as_of;
                self.tokens.note(false);
            }
            Effect::Diagnostic { reason, .. } => match reason.code {
                Code::AuthFailed | Code::Unauthorized | Code::TokenExpired => {
                    self.tokens.note(true);
                }
                Code::Accepted => self.tokens.note(false),
                _ => {}
            },
            _ => {}
        }
    }

    fn perform(&mut self, effect: Effect, answers: &mpsc::Sender<Answer>) {
        match effect {
            Effect::OpenSocket { epoch } => {
                let (sender, outbox) = mpsc::unbounded_channel();
                self.socket = Some((epoch, sender));
                let socket = socket::Socket {
                    epoch,
                    url: self.endpoints.socket.clone(),
                    tokens: self.tokens.clone(),
                    http: self.clients.sockets.clone(),
                    answers: answers.clone(),
                };
                tokio::spawn(socket.run(outbox));
            }
            Effect::Send { epoch, text } => {
                if let Some((_, sender)) = self.socket.as_ref().filter(|(open, _)| *open == epoch) {
                    // A socket that has ended reports so itself.
                    let _ = sender.send(text.expose().to_owned());
                }
            }
            Effect::CloseSocket { epoch } => {
                // The socket closes when its outbox is gone.
                self.socket = self.socket.take().filter(|(open, _)| *open != epoch);
            }
            Effect::FetchSnapshot { epoch, query } => {
                let request = fetch::Fetch {
                    epoch,
                    url: [&self.endpoints.snapshot, "?", &query].concat(),
                    tokens: self.tokens.clone(),
                    http: self.clients.snapshots.clone(),
                    answers: answers.clone(),
                };
                self.fetch = Some((epoch, tokio::spawn(request.run()).abort_handle()));
            }
            Effect::AbortFetch { epoch } => {
                if let Some((_, task)) = self.fetch.take_if(|(asked, _)| *asked == epoch) {
                    task.abort();
                }
            }
            Effect::LoadLastView { epoch } => {
                if let Some(view_store) = &mut self.view_store {
                    view_store.load(epoch);
                }
            }
            Effect::SaveLastView(last) => {
                if let Some(view_store) = &mut self.view_store {
                    view_store.save(&last, &self.clock);
                }
            }
            Effect::DropLastView => {
                if let Some(view_store) = &self.view_store {
                    view_store.drop_kept();
                }
            }
            Effect::State(mut publication) => {
                publication.reason = publication.reason.map(|reason| self.explained(reason));
                let state = DashboardState::new(&publication, &self.clock);
                self.states.send_replace(Arc::new(state));
            }
            Effect::Diagnostic { level, reason } => {
                let at = self.clock.wall(self.clock.now());
                let Reason { code, message, .. } = self.explained(reason);
                self.journal.tell(Diagnostic { at, level, code, message });
            }
        }
    }

    fn read_clock(&mut self) -> Moment {
        let steady = millis(steady_clock().duration_since(self.started));
        self.clock.read(steady, wall_clock())
    }

    fn nap(&mut self) -> Duration {
        let now = self.read_clock();
        let due = self.machine.next_timeout().map_or(LONGEST_NAP, |at| at.since(now));
        let Millis(nap) = due.min(LONGEST_NAP);
        Duration::from_millis(nap)
    }
}

/// However the driver ends, with its runtime or by a panic in the program's code: what was shown
/// last would claim to be live for ever.
impl<D> Drop for Driver<D> {
    fn drop(&mut self) {
        self.tokens.abort();
        if self.states.borrow().status != Status::Closed {
            let reason = Some(Reason::new(Code::Stopped, "the client's task ended"));
            let closed = Publication { status: Status::Closed, reason, ..Publication::idle() };
            self.states.send_replace(Arc::new(DashboardState::new(&closed, &self.clock)));
        }
    }
}
