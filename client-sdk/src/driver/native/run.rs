//! The loop that joins the machine to its socket, its requests and the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::clock::{millis, seed, steady_clock, wall_clock};
use super::journal::Journal;
use super::last_view::Keeper;
use super::options::Options;
use super::{fetch, socket};
use crate::decode::Decoder;
use crate::driver::LONGEST_NAP;
use crate::endpoint::Endpoints;
use crate::machine::{Effect, EffectEpoch, Input, Machine};
use crate::state::{Code, DashboardState, Diagnostic, Publication, Reason, Status};
use crate::time::{Clock, Millis, Moment};

/// How many inputs of sockets and requests may wait for the machine.
const INBOX: usize = 64;

pub(super) struct Driver<D> {
    options: Options,
    endpoints: Endpoints,
    tls: Arc<rustls::ClientConfig>,
    http: reqwest::Client,
    machine: Machine<D>,
    started: Instant,
    clock: Clock,
    states: watch::Sender<Arc<DashboardState>>,
    socket: Option<(EffectEpoch, mpsc::UnboundedSender<String>)>,
    fetch: Option<(EffectEpoch, AbortHandle)>,
    journal: Arc<Journal>,
    /// None where the program wants no view to be kept.
    keeper: Option<Keeper>,
}

impl<D: Decoder + Send + 'static> Driver<D> {
    pub(super) fn new(
        options: Options,
        endpoints: Endpoints,
        tls: Arc<rustls::ClientConfig>,
        http: reqwest::Client,
        journal: Arc<Journal>,
        decoder: D,
    ) -> Self {
        let started = steady_clock();
        let clock = Clock::new(0, wall_clock());
        let idle = DashboardState::new(&Publication::idle(), &clock);
        Self {
            options,
            endpoints,
            tls,
            http,
            machine: Machine::new(decoder, seed()),
            started,
            clock,
            states: watch::Sender::new(Arc::new(idle)),
            socket: None,
            fetch: None,
            journal,
            keeper: None,
        }
    }

    pub(super) fn states(&self) -> watch::Receiver<Arc<DashboardState>> {
        self.states.subscribe()
    }

    /// Runs until the client is dropped.
    pub(super) async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Input>) {
        let (answers, mut inbox) = mpsc::channel(INBOX);
        self.keeper = self
            .options
            .last_view
            .clone()
            .map(|kept| Keeper::start(kept, answers.clone(), Arc::clone(&self.journal)));
        loop {
            let input = tokio::select! {
                command = commands.recv() => match command {
                    Some(input) => input,
                    None => break,
                },
                Some(input) = inbox.recv() => input,
                () = tokio::time::sleep(self.nap()) => Input::Tick,
            };
            self.handle(input, &answers);
        }
        // The program ends, which is no reason to forget: only its own word is.
        self.keeper = None;
        self.handle(Input::Stop, &answers);
    }

    fn handle(&mut self, input: Input, answers: &mpsc::Sender<Input>) {
        let now = self.read_clock();
        self.machine.handle(input, now);
        while let Some(effect) = self.machine.poll_effect() {
            self.perform(effect, answers);
        }
    }

    fn perform(&mut self, effect: Effect, answers: &mpsc::Sender<Input>) {
        match effect {
            Effect::OpenSocket { epoch } => {
                let (sender, outbox) = mpsc::unbounded_channel();
                self.socket = Some((epoch, sender));
                let socket = socket::Socket {
                    epoch,
                    url: self.endpoints.socket.clone(),
                    token: self.options.token.clone(),
                    tls: self.tls.clone(),
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
            Effect::FetchSnapshot { epoch, if_none_match } => {
                let request = fetch::Fetch {
                    epoch,
                    if_none_match,
                    url: self.endpoints.snapshot.clone(),
                    token: self.options.token.clone(),
                    http: self.http.clone(),
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
                if let Some(keeper) = &mut self.keeper {
                    keeper.load(epoch);
                }
            }
            Effect::SaveLastView(last) => {
                if let Some(keeper) = &self.keeper {
                    keeper.save(&last, &self.clock);
                }
            }
            Effect::DropLastView => {
                if let Some(keeper) = &mut self.keeper {
                    keeper.drop_kept();
                }
            }
            Effect::State(publication) => {
                let state = DashboardState::new(&publication, &self.clock);
                self.states.send_replace(Arc::new(state));
            }
            Effect::Diagnostic { level, reason } => {
                let at = self.clock.wall(self.clock.now());
                let Reason { code, message } = reason;
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
        if self.states.borrow().status != Status::Closed {
            let reason = Some(Reason::new(Code::Stopped, "the client's task ended"));
            let closed = Publication { status: Status::Closed, reason, ..Publication::idle() };
            self.states.send_replace(Arc::new(DashboardState::new(&closed, &self.clock)));
        }
    }
}
