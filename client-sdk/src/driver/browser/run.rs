//! The loop that connects the machine with its socket, its requests, the page and the time.

use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use core::cell::{Cell, RefCell};

use js_sys::Promise;
use wasm_bindgen::JsValue;

use super::callbacks::{ask_token, message_of};
use super::clock::{seed, steady_clock, wall_clock};
use super::convert::{self, Converter};
use super::page::Page;
use super::promise::settle;
use super::request::Request;
use super::settings::Settings;
use super::socket::{self, Socket};
use super::timer::Timeout;
use crate::decode::checked::CheckedDecoder;
use crate::driver::LONGEST_NAP;
use crate::machine::{Effect, EffectId, FetchFailure, Input, Machine, Secret};
use crate::state::{Code, DashboardState, Diagnostic, Level, Publication, Reason};
use crate::time::{Clock, Millis, Moment};

/// Everything of one client. Each cell is borrowed for a statement at a time, and none while
/// JavaScript runs.
#[derive(Debug)]
pub(super) struct Inner {
    settings: Settings,
    machine: RefCell<Machine<CheckedDecoder>>,
    clock: Cell<Clock>,
    /// Inputs that came while another one was being handled, such as calls out of callbacks.
    inbox: RefCell<VecDeque<Input>>,
    is_running: Cell<bool>,
    is_freed: Cell<bool>,
    socket: RefCell<Slot<Socket>>,
    request: RefCell<Slot<Request>>,
    timer: RefCell<Option<Timeout>>,
    page: RefCell<Option<Page>>,
    converter: RefCell<Converter>,
    state: RefCell<JsValue>,
}

/// What an effect asked for: which one, and the thing itself once its token is known.
#[derive(Debug)]
struct Slot<T> {
    epoch: Option<EffectId>,
    thing: Option<T>,
}

impl Inner {
    pub(super) fn new(settings: Settings) -> Self {
        let clock = Clock::new(steady_clock(), wall_clock());
        let mut converter = Converter::default();
        let state = converter.state(&DashboardState::new(&Publication::idle(), &clock));
        Self {
            settings,
            machine: RefCell::new(Machine::new(CheckedDecoder, seed())),
            clock: Cell::new(clock),
            inbox: RefCell::default(),
            is_running: Cell::new(false),
            is_freed: Cell::new(false),
            socket: RefCell::default(),
            request: RefCell::default(),
            timer: RefCell::default(),
            page: RefCell::default(),
            converter: RefCell::new(converter),
            state: RefCell::new(state),
        }
    }

    pub(super) fn state(&self) -> JsValue {
        self.state.borrow().clone()
    }

    /// Takes an input. Called within itself, by way of a callback, it only queues.
    pub(super) fn input(self: &Rc<Self>, input: Input) {
        match input {
            Input::Start if self.page.borrow().is_none() => {
                let page = Page::listen(teller(Rc::downgrade(self)));
                *self.page.borrow_mut() = Some(page);
            }
            Input::Stop => drop(self.page.take()),
            _ => {}
        }
        self.inbox.borrow_mut().push_back(input);
        if self.is_running.replace(true) {
            return;
        }
        loop {
            let input = self.inbox.borrow_mut().pop_front();
            let Some(input) = input else { break };
            let now = self.read_clock();
            self.machine.borrow_mut().handle(input, now);
            loop {
                let effect = self.machine.borrow_mut().poll_effect();
                let Some(effect) = effect else { break };
                self.perform(effect);
            }
        }
        self.is_running.set(false);
        self.set_timer();
    }

    /// Stops; the app hears of it no more.
    pub(super) fn free(self: &Rc<Self>) {
        self.is_freed.set(true);
        self.input(Input::Stop);
    }

    fn perform(self: &Rc<Self>, effect: Effect) {
        match effect {
            Effect::OpenSocket { epoch } => {
                self.socket.borrow_mut().epoch = Some(epoch);
                let weak = Rc::downgrade(self);
                ask_token(self.settings.get_token.as_ref(), move |token| {
                    if let Some(inner) = weak.upgrade() {
                        inner.open_socket(epoch, token);
                    }
                });
            }
            Effect::Send { epoch, text } => {
                let handle = {
                    let slot = self.socket.borrow();
                    let is_its = slot.epoch == Some(epoch);
                    slot.thing.as_ref().filter(|_| is_its).map(Socket::handle)
                };
                if let Some(handle) = handle {
                    // Where that fails, the socket's close tells why.
                    let _ = handle.send_with_str(text.expose());
                }
            }
            Effect::CloseSocket { epoch } => drop(take(&self.socket, epoch)),
            Effect::FetchSnapshot { epoch, query } => {
                self.request.borrow_mut().epoch = Some(epoch);
                let weak = Rc::downgrade(self);
                ask_token(self.settings.get_token.as_ref(), move |token| {
                    if let Some(inner) = weak.upgrade() {
                        inner.send_request(epoch, token, &query);
                    }
                });
            }
            Effect::AbortFetch { epoch } => drop(take(&self.request, epoch)),
            Effect::LoadLastView { epoch } => self.load_last_view(epoch),
            Effect::SaveLastView(last) => {
                if let Some(store) = &self.settings.last_view {
                    self.kept(store.save(&last.to_record(&self.clock.get())));
                }
            }
            Effect::DropLastView => {
                if let Some(store) = &self.settings.last_view {
                    self.kept(store.drop_kept());
                }
            }
            Effect::State(publication) => {
                let state = DashboardState::new(&publication, &self.clock.get());
                let state = self.converter.borrow_mut().state(&state);
                *self.state.borrow_mut() = state.clone();
                if self.is_freed.get() {
                    return;
                }
                if let Err(thrown) = self.settings.on_state.call1(&JsValue::UNDEFINED, &state) {
                    let message = ["onState threw: ", &message_of(&thrown)].concat();
                    self.tell(Level::Error, Reason::new(Code::CallbackFailed, message));
                }
            }
            Effect::Diagnostic { level, reason } => self.tell(level, reason),
        }
    }

    fn tell(&self, level: Level, reason: Reason) {
        if self.is_freed.get() {
            return;
        }
        let clock = self.clock.get();
        let Reason { code, message } = reason;
        let diagnostic = Diagnostic { at: clock.wall(clock.now()), level, code, message };
        let entry = convert::diagnostic(&diagnostic);
        // The receiver of diagnostics itself threw: there is nowhere left to report it.
        let _ = self.settings.on_diagnostic.call1(&JsValue::UNDEFINED, &entry);
    }

    /// The token is known. Opens the socket, unless it was given up in that time.
    fn open_socket(self: &Rc<Self>, epoch: EffectId, token: Result<Option<Secret>, ()>) {
        if self.socket.borrow().epoch != Some(epoch) {
            return;
        }
        let tell = teller(Rc::downgrade(self));
        let opened = match token {
            Ok(token) => Socket::open(&self.settings.socket_url, epoch, token, tell),
            Err(()) => Err(socket::lost(Code::TokenUnavailable, "the app gave no token")),
        };
        match opened {
            Ok(socket) => self.socket.borrow_mut().thing = Some(socket),
            Err(loss) => self.input(Input::Closed { epoch, loss }),
        }
    }

    /// The token is known. Sends the request, unless it was given up in that time.
    fn send_request(
        self: &Rc<Self>,
        epoch: EffectId,
        token: Result<Option<Secret>, ()>,
        query: &str,
    ) {
        if self.request.borrow().epoch != Some(epoch) {
            return;
        }
        let weak = Rc::downgrade(self);
        let answer = move |result| {
            if let Some(inner) = weak.upgrade() {
                inner.input(Input::Snapshot { epoch, result });
            }
        };
        let sent = token.map_err(|()| FetchFailure::TokenUnavailable).and_then(|token| {
            let Settings { snapshot_url, cookies, .. } = &self.settings;
            let url = [snapshot_url, "?", query].concat();
            Request::send(&url, token.as_ref(), *cookies, answer)
        });
        match sent {
            Ok(request) => self.request.borrow_mut().thing = Some(request),
            Err(failure) => self.input(Input::Snapshot { epoch, result: Err(failure) }),
        }
    }

    fn load_last_view(self: &Rc<Self>, epoch: EffectId) {
        let Some(store) = &self.settings.last_view else { return };
        let weak = Rc::downgrade(self);
        let promise = store
            .load()
            .map_or_else(|thrown| Promise::reject(&thrown), |value| Promise::resolve(&value));
        settle(&promise, move |settled| {
            let Some(inner) = weak.upgrade() else { return };
            let record = inner.kept(settled).and_then(|value| value.as_string());
            inner.input(Input::LastView { epoch, record });
        });
    }

    /// A store that fails costs a view after the next start, and nothing now.
    fn kept<T>(&self, done: Result<T, JsValue>) -> Option<T> {
        done.map_err(|thrown| {
            let message = ["the last view's store threw: ", &message_of(&thrown)].concat();
            self.tell(Level::Warn, Reason::new(Code::LastViewFailed, message));
        })
        .ok()
    }

    fn read_clock(&self) -> Moment {
        let mut clock = self.clock.get();
        let now = clock.read(steady_clock(), wall_clock());
        self.clock.set(clock);
        now
    }

    fn set_timer(self: &Rc<Self>) {
        let due = self.machine.borrow().next_timeout();
        let timer = due.map(|due| {
            let Millis(nap) = due.since(self.clock.get().now()).min(LONGEST_NAP);
            let tell = teller(Rc::downgrade(self));
            Timeout::new(u32::try_from(nap).unwrap_or(u32::MAX), move || tell(Input::Tick))
        });
        // The old timer is cancelled by being dropped.
        drop(self.timer.replace(timer));
    }
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self { epoch: None, thing: None }
    }
}

/// Empties the slot, if it is still that effect's.
fn take<T>(slot: &RefCell<Slot<T>>, epoch: EffectId) -> Option<T> {
    let mut slot = slot.borrow_mut();
    if slot.epoch != Some(epoch) {
        return None;
    }
    slot.epoch = None;
    slot.thing.take()
}

/// Passes inputs on for as long as the client exists.
fn teller(inner: Weak<Inner>) -> impl Fn(Input) + Clone + 'static {
    move |input| {
        if let Some(inner) = inner.upgrade() {
            inner.input(input);
        }
    }
}
