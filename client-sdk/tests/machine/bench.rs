//! A machine on a workbench: the test plays the network, and time passes when the test says so.

use client_sdk::decode::Decoder;
use client_sdk::decode::json::JsonDecoder;
use client_sdk::last_view::LastView;
use client_sdk::machine::{Effect, EffectId, FetchFailure, Input, Loss, Machine, Response, Secret};
use client_sdk::state::{Code, Level, Publication, Reason, Source, Status};
use client_sdk::time::{Millis, Moment};
use serde_json::{Value, json};
use shared_types::ErrorBody;

pub(crate) const HANDSHAKE: &str =
    r#"0{"sid":"s","upgrades":[],"pingInterval":10000,"pingTimeout":5000,"maxPayload":100000}"#;
/// How often a server pings that says this.
pub(crate) const PING_EVERY: Millis = Millis::seconds(10);
pub(crate) const ACCEPTED: &str = r#"40/dashboard,{"sid":"s","tag":"e-0"}"#;
pub(crate) const AUTH_FAILED: &str = r#"44/dashboard,{"message":"AUTH_FAILED"}"#;
pub(crate) const TOKEN: &str = "token-of-the-test";

/// A machine, what it asked for, and what it said.
pub(crate) struct Bench<D = JsonDecoder> {
    pub(crate) machine: Machine<D>,
    pub(crate) now: Moment,
    /// The socket that is open, or opening.
    pub(crate) socket: Option<EffectId>,
    /// The request on its way, with its query.
    pub(crate) fetch: Option<(EffectId, Query)>,
    /// The request for the last view, and the view that is kept.
    pub(crate) recall: Option<EffectId>,
    pub(crate) kept: Option<LastView>,
    pub(crate) sockets: usize,
    pub(crate) fetches: usize,
    pub(crate) sent: Vec<String>,
    pub(crate) state: Publication,
    /// Every status that was published, without repetition.
    pub(crate) statuses: Vec<Status>,
    pub(crate) diagnostics: Vec<(Level, Reason)>,
    /// What the input that is being handled has ended; to give that up means nothing.
    ended: Option<EffectId>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::seeded(1)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self::with(JsonDecoder, seed)
    }

    /// Started, and as far as the given status by the shortest way.
    pub(crate) fn at(status: Status) -> Self {
        let mut bench = Self::new();
        if status == Status::Idle {
            return bench;
        }
        bench.input(Input::Start);
        match status {
            Status::Idle | Status::Connecting => {}
            Status::Syncing => bench.accept(),
            Status::Live => bench.go_live(10),
            Status::Backoff => bench.lose(),
            Status::Degraded => bench.fail_until_degraded(),
            Status::AuthRequired => {
                bench.open();
                bench.frame(AUTH_FAILED);
            }
            Status::Closed => bench.input(Input::Stop),
        }
        assert_eq!(bench.state.status, status);
        bench
    }
}

impl<D: Decoder> Bench<D> {
    pub(crate) fn with(decoder: D, seed: u64) -> Self {
        Self {
            machine: Machine::new(decoder, seed),
            now: Moment(1_000),
            socket: None,
            fetch: None,
            recall: None,
            kept: None,
            sockets: 0,
            fetches: 0,
            sent: Vec::new(),
            state: Publication::idle(),
            statuses: vec![Status::Idle],
            diagnostics: Vec::new(),
            ended: None,
        }
    }

    /// Gives an input and does its effects, as far as a driver would; holds the two invariants
    /// that make a driver simple.
    pub(crate) fn input(&mut self, input: Input) {
        self.ended = None;
        match &input {
            Input::Closed { epoch, .. } if self.socket == Some(*epoch) => {
                self.ended = self.socket.take();
            }
            Input::Snapshot { epoch, .. }
                if self.fetch.as_ref().is_some_and(|(asked, _)| asked == epoch) =>
            {
                self.ended = self.fetch.take().map(|(asked, _)| asked);
            }
            _ => {}
        }
        self.machine.handle(input, self.now);
        while let Some(effect) = self.machine.poll_effect() {
            self.perform(effect);
        }
        if let Some(due) = self.machine.next_timeout() {
            assert!(due > self.now, "a deadline of the past would spin");
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::OpenSocket { epoch } => {
                assert_eq!(self.socket, None, "a second socket");
                self.socket = Some(epoch);
                self.sockets += 1;
            }
            Effect::Send { epoch, text } => {
                assert_eq!(self.socket, Some(epoch), "sent on a socket that is gone");
                self.sent.push(text.expose().to_owned());
            }
            Effect::CloseSocket { epoch } => {
                let closed = self.socket.take_if(|open| *open == epoch);
                assert_eq!(closed.or(self.ended), Some(epoch), "closed another socket");
            }
            Effect::FetchSnapshot { epoch, query } => {
                assert_eq!(self.fetch, None, "a second request");
                self.fetch = Some((epoch, Query::read(&query)));
                self.fetches += 1;
            }
            Effect::AbortFetch { epoch } => {
                let aborted = self.fetch.take_if(|(asked, _)| *asked == epoch);
                let aborted = aborted.map(|(asked, _)| asked).or(self.ended);
                assert_eq!(aborted, Some(epoch), "aborted another request");
            }
            Effect::LoadLastView { epoch } => self.recall = Some(epoch),
            Effect::SaveLastView(last) => self.kept = Some(*last),
            Effect::DropLastView => self.kept = None,
            Effect::State(state) => {
                assert_ne!(*state, self.state, "published without a change");
                if self.statuses.last() != Some(&state.status) {
                    self.statuses.push(state.status);
                }
                self.state = *state;
            }
            Effect::Diagnostic { level, reason } => self.diagnostics.push((level, reason)),
        }
    }

    /// Lets time pass, with a tick whenever the machine asked for one.
    pub(crate) fn pass(&mut self, span: Millis) {
        let end = self.now + span;
        while let Some(due) = self.machine.next_timeout().filter(|due| *due <= end) {
            self.now = due;
            self.input(Input::Tick);
        }
        self.now = end;
        self.input(Input::Tick);
    }

    /// Lets time pass until the machine acts without an input; returns how long that was.
    pub(crate) fn pass_until_due(&mut self) -> Millis {
        let due = self.machine.next_timeout().expect("nothing is due");
        let span = due.since(self.now);
        self.pass(span);
        span
    }

    /// The same at a server that is there, and pings meanwhile: until the next ping at most.
    pub(crate) fn pass_until_due_or_pinged(&mut self) {
        let due = self.machine.next_timeout().expect("nothing is due");
        self.pass(due.since(self.now).min(PING_EVERY));
        if matches!(self.state.status, Status::Syncing | Status::Live) {
            self.frame("2");
        }
    }

    /// Lets time pass until a socket is being opened; tells how long that was.
    pub(crate) fn pass_until_socket(&mut self) -> Millis {
        let start = self.now;
        while self.socket.is_none() {
            self.pass_until_due();
        }
        self.now.since(start)
    }

    /// Lets time pass until a snapshot is asked for; tells how long that was. A server that is
    /// there pings meanwhile, and one that is not refuses what is tried.
    pub(crate) fn pass_until_request(&mut self) -> Millis {
        let start = self.now;
        while self.fetch.is_none() {
            self.pass_until_due_or_pinged();
            if self.state.status == Status::Degraded && self.socket.is_some() {
                self.lose();
            }
        }
        self.now.since(start)
    }

    pub(crate) fn open(&mut self) {
        let epoch = self.socket.expect("no socket to open");
        self.input(Input::Opened { epoch, token: Some(Secret::new(TOKEN)) });
        self.frame(HANDSHAKE);
    }

    pub(crate) fn accept(&mut self) {
        self.open();
        self.frame(ACCEPTED);
    }

    /// Accepted with these words about how new the server's data are: a tag in quotes, or null.
    pub(crate) fn accept_with(&mut self, tag: &str) {
        self.open();
        self.frame(&accepted(tag));
    }

    pub(crate) fn go_live(&mut self, revision: u64) {
        self.accept();
        self.answer(revision);
        assert_eq!(self.state.status, Status::Live);
    }

    pub(crate) fn frame(&mut self, text: &str) {
        let epoch = self.socket.expect("no socket");
        self.input(Input::Frame { epoch, text: text.to_owned() });
    }

    pub(crate) fn lose(&mut self) {
        let epoch = self.socket.expect("no socket to lose");
        self.input(Input::Closed { epoch, loss: loss(None) });
    }

    /// Loses the socket and all that follow, as often as it takes.
    pub(crate) fn fail_until_degraded(&mut self) {
        while self.state.status != Status::Degraded {
            self.pass_until_socket();
            self.lose();
        }
    }

    /// A snapshot of that revision arrives.
    pub(crate) fn answer(&mut self, revision: u64) {
        self.answer_with(snapshot("e", revision));
    }

    /// What a request without a query would get arrives, as this one gets it.
    pub(crate) fn answer_with(&mut self, response: Response) {
        let (_, query) = self.fetch.as_ref().expect("nothing was asked");
        let response = query.answered(response);
        self.answer_as_it_is(response);
    }

    /// Something arrives that the server has not made for this request.
    pub(crate) fn answer_as_it_is(&mut self, response: Response) {
        let (epoch, _) = self.fetch.clone().expect("nothing was asked");
        self.input(Input::Snapshot { epoch, result: Ok(response) });
    }

    pub(crate) fn answer_nothing(&mut self) {
        let (epoch, _) = self.fetch.clone().expect("nothing was asked");
        let result = Err(FetchFailure::Network("unreachable".to_owned()));
        self.input(Input::Snapshot { epoch, result });
    }

    /// The tag that the request on its way says to have.
    pub(crate) fn condition(&self) -> Option<&str> {
        self.fetch.as_ref().expect("nothing was asked").1.have.as_deref()
    }

    /// What is shown as the number of MOCs, which the tests set to the revision.
    pub(crate) fn total(&self) -> Option<u32> {
        self.state.view.as_ref().map(|view| view.summary.total_mocs)
    }

    pub(crate) fn recent_titles(&self) -> Vec<String> {
        let view = self.state.view.as_ref().expect("no view");
        view.recent_mocs.iter().map(|moc| moc.title.to_string()).collect()
    }

    pub(crate) fn reason(&self) -> Option<Code> {
        self.state.reason.as_ref().map(|reason| reason.code)
    }

    pub(crate) fn source(&self) -> Source {
        self.state.source
    }

    pub(crate) fn told(&self, code: Code) -> usize {
        self.diagnostics.iter().filter(|(_, reason)| reason.code == code).count()
    }
}

/// What a request for the snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    pub(crate) fresh: String,
    pub(crate) have: Option<String>,
}

impl Query {
    fn read(text: &str) -> Self {
        let mut members = text.split('&').filter_map(|member| member.split_once('='));
        let (name, fresh) = members.next().expect("a request names itself");
        assert_eq!(name, "fresh");
        let have = members.next().map(|(name, tag)| {
            assert_eq!(name, "have");
            tag.to_owned()
        });
        assert_eq!(members.next(), None);
        Self { fresh: fresh.to_owned(), have }
    }

    /// What the server makes of the answer to a request without a query: the same, named.
    pub(crate) fn answered(&self, plain: Response) -> Response {
        let Self { fresh, have } = self;
        let (tag, view) = match (plain.status, plain.etag.as_deref(), have) {
            (200, Some(etag), _) if plain.body.starts_with('{') => (etag, plain.body.as_str()),
            // No server says that of nothing; but what if?
            (304, etag, have) => (etag.or(have.as_deref()).unwrap_or("e-1"), "null"),
            (401 | 403, ..) => {
                return Response { body: named_refusal(fresh, &plain.body), ..plain };
            }
            _ => return plain,
        };
        let tag = tag.trim_matches('"');
        let body = format!(r#"{{"fresh":"{fresh}","tag":"{tag}","view":{view}}}"#);
        Response { body, ..status(200) }
    }
}

/// The server accepts; the tag is JSON.
pub(crate) fn accepted(tag: &str) -> String {
    format!(r#"40/dashboard,{{"sid":"s","tag":{tag}}}"#)
}

pub(crate) fn loss(retry_after: Option<Millis>) -> Loss {
    Loss { reason: Reason::new(Code::SocketClosed, "code 1006"), retry_after }
}

/// A snapshot whose number of MOCs is its revision.
pub(crate) fn snapshot(epoch: &str, revision: u64) -> Response {
    Response {
        status: 200,
        etag: Some(format!("\"{epoch}-{revision}\"")),
        retry_after: None,
        body: json!({
            "summary": summary(revision),
            "themeBreakdown": [],
            "recentMocs": [],
            "partialPartsMocs": [],
        })
        .to_string(),
    }
}

pub(crate) fn status(status: u16) -> Response {
    Response { status, etag: None, retry_after: None, body: String::new() }
}

/// 401 or 403 as the server gives it: with its standard body.
pub(crate) fn refusal(code: u16) -> Response {
    let name = if code == 401 { "UNAUTHORIZED" } else { "FORBIDDEN" };
    Response { body: error_body(name), ..status(code) }
}

/// The standard error body (D-API-7).
pub(crate) fn error_body(code: &str) -> String {
    json!({
        "success": false,
        "error": { "code": code, "message": "told by the server" },
        "correlationId": "3b1f6f0e-52c7-4a77-9e4b-0d0a2f1c9b77",
        "timestamp": "2026-11-23T09:31:12.250Z",
    })
    .to_string()
}

/// The standard error body for that request; any other body as it is.
fn named_refusal(fresh: &str, body: &str) -> String {
    let Ok(mut refusal) = serde_json::from_str::<ErrorBody>(body) else { return body.to_owned() };
    refusal.fresh.get_or_insert_with(|| fresh.to_owned());
    serde_json::to_string(&refusal).expect("an error body is JSON")
}

/// The server's own refusals of other requests, which a cache has kept.
pub(crate) fn kept_refusals() -> Vec<Response> {
    let kept = [401, 403].map(|code| {
        let plain = refusal(code);
        let other = Response { body: named_refusal("0", &plain.body), ..plain.clone() };
        [plain, other]
    });
    kept.concat()
}

/// Bodies of a 401 or a 403 that are not the server's.
pub(crate) fn strangers_bodies() -> Vec<String> {
    let forbidden = error_body("FORBIDDEN");
    vec![
        String::new(),
        "<!doctype html><title>Access denied</title><h1>Blocked by your firewall</h1>".to_owned(),
        "Forbidden".to_owned(),
        "{}".to_owned(),
        "null".to_owned(),
        r#"{"message":"Unauthorized"}"#.to_owned(),
        r#"{"success":false,"error":"FORBIDDEN"}"#.to_owned(),
        r#"{"success":false,"error":{"code":"FORBIDDEN"}}"#.to_owned(),
        format!("<pre>{forbidden}</pre>"),
        format!("{forbidden}{forbidden}"),
        forbidden[..forbidden.len() - 1].to_owned(),
        forbidden.replace("false", "true"),
        forbidden.replace("FORBIDDEN", "BLOCKED"),
        forbidden.replace("2026-11-23T", "yesterday "),
        // Ours, but of another status than a refusal's.
        error_body("INTERNAL_ERROR"),
        error_body("NOT_FOUND"),
    ]
}

pub(crate) fn summary(total: u64) -> Value {
    json!({
        "totalMocs": total,
        "totalWishlistItems": 0,
        "mocsByBuildStatus": { "ADDED": total, "IN_PROGRESS": 0, "BUILT": 0 },
        "mocsByCoverageStatus": { "FULL_INVENTORY": 0, "PARTIAL_ORDERED": 0, "NONE": total },
    })
}

pub(crate) fn moc(number: u64) -> Value {
    json!({
        "id": format!("00000000-0000-7000-8000-{number:012}"),
        "title": format!("MOC {number}"),
        "theme": "Castle",
        "buildStatus": "ADDED",
        "coverImageUrl": null,
        "createdAt": "2026-11-23T09:30:00Z",
    })
}

/// The frame of an event.
pub(crate) fn event(name: &str, revision: u64, payload: &Value) -> String {
    let envelope = json!({
        "eventId": "0190f5a2-7c1e-7d3a-9b7e-2f1c5d8e4a60",
        "type": name,
        "timestamp": "2026-11-23T09:30:00Z",
        "revision": revision,
        "payload": payload,
    });
    format!("42/dashboard,{}", json!([name, envelope]))
}

pub(crate) fn summary_event(revision: u64) -> String {
    event("dashboard:summaryUpdated", revision, &summary(revision))
}

pub(crate) fn added_event(revision: u64, number: u64) -> String {
    event("dashboard:recentMocAdded", revision, &moc(number))
}

pub(crate) fn error_event(code: &str, reconnect_after_ms: Option<u32>) -> String {
    let mut payload = json!({ "code": code, "message": "told by the server" });
    if let Some(ms) = reconnect_after_ms {
        payload["reconnectAfterMs"] = ms.into();
    }
    event("dashboard:error", 1, &payload)
}
