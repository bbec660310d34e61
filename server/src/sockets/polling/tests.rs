use std::future::Future;

use futures_util::SinkExt as _;
use futures_util::StreamExt as _;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::Role;

use super::*;
use crate::limits::Slot;
use crate::metrics::LimitLabel;
use crate::sockets::connection::Transport;
use crate::sockets::context::SocketContext;
use crate::sockets::end_reason::EndReason;
use crate::sockets::testing::{
    HEARTBEAT, PATIENCE, REFUSAL, acceptance, connect, connection, context, context_with, token,
};
use crate::sockets::{Link, upgrade};
use crate::user::UserId;

/// A session that is served, and the way of its client's requests.
struct Scene {
    context: Arc<SocketContext>,
    polls: Arc<Polls>,
    poller: Poller,
    sid: Sid,
    task: JoinHandle<()>,
}

impl Scene {
    /// The client has received the rules.
    async fn begin() -> Self {
        Self::with(context().await).await
    }

    async fn with(context: Arc<SocketContext>) -> Self {
        let (connection, polls) = (connection(Transport::Polling), Arc::new(Polls::default()));
        context.registry.opened(&connection);
        let session = Session::new(connection, Slot::unlimited(), Arc::clone(&context));
        let (polling, poller) = Polling::open(session, &polls);
        let task = tokio::spawn(polling.run());
        let open = poller.poll(None).await.unwrap();
        let open: serde_json::Value =
            serde_json::from_slice(open.strip_prefix(b"0").unwrap()).unwrap();
        assert_eq!(open["upgrades"], serde_json::json!(["websocket"]));
        let sid = Sid::parse(open["sid"].as_str().unwrap()).unwrap();
        assert_ne!(open["sid"].as_str().unwrap(), poller.connection.id.simple().to_string());
        Self { context, polls, poller, sid, task }
    }

    /// The client is in the namespace.
    async fn admitted() -> Self {
        let scene = Self::begin().await;
        scene.say(&connect(&token())).await.unwrap();
        assert_eq!(scene.next().await.unwrap(), acceptance(&scene.poller.connection));
        scene
    }

    async fn say(&self, packets: &str) -> Result<(), Unanswered> {
        within(self.poller.post(packets.to_owned())).await
    }

    /// The next body that the client gets.
    async fn next(&self) -> Result<String, Unanswered> {
        within(self.poller.poll(None)).await.map(|body| String::from_utf8(body).unwrap())
    }

    /// A request for packets that waits for them.
    async fn waiting(&self) -> JoinHandle<Result<Vec<u8>, Unanswered>> {
        let poller = self.poller.clone();
        let poll = tokio::spawn(async move { poller.poll(None).await });
        // Behind it in the queue: once this is answered, the other has been taken.
        self.say("6").await.unwrap();
        assert!(!poll.is_finished());
        poll
    }

    /// Why the socket ended.
    async fn reason(self) -> EndReason {
        within(self.task).await.unwrap();
        assert_eq!(self.context.registry.count(), 0);
        assert!(self.context.rooms.is_empty() && self.polls.get(self.sid).is_none());
        assert_eq!(self.context.metrics.polling.get(), 0);
        assert_eq!(self.poller.post("3".into()).await, Err(Unanswered::Over));
        self.poller.connection.reason().unwrap()
    }

    fn limited(&self, limit: &'static str) -> u64 {
        self.context.metrics.limited.get_or_create(&LimitLabel { limit }).get()
    }

    /// A WebSocket that the client may change to.
    fn link(&self) -> (JoinHandle<()>, DuplexStream) {
        let (client, server) = duplex(1_000);
        let link = Link::new(server, bytes::Bytes::new(), self.context.config.frames);
        let (poller, context) = (self.poller.clone(), Arc::clone(&self.context));
        let task = async move {
            let upgraded = upgrade(link, poller, &context).await;
            if let Some(websocket) = upgraded {
                websocket.run().await;
            }
        };
        (tokio::spawn(task), client)
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("an answer")
}

async fn client(stream: DuplexStream) -> WebSocketStream<DuplexStream> {
    WebSocketStream::from_raw_socket(stream, Role::Client, None).await
}

async fn ask(client: &mut WebSocketStream<DuplexStream>, text: &str) {
    client.send(Message::text(text)).await.unwrap();
}

async fn told(client: &mut WebSocketStream<DuplexStream>) -> String {
    within(client.next()).await.unwrap().unwrap().into_text().unwrap().to_string()
}

#[tokio::test]
async fn several_packets_share_a_body_and_a_request_waits_for_the_next() {
    let scene = Scene::admitted().await;
    scene.poller.connection.send_packet("one").unwrap();
    scene.poller.connection.send_packet("two").unwrap();
    scene.say("40/else,\u{1e}6").await.unwrap();
    let refusal = r#"44/else,{"message":"Invalid namespace","data":{"code":"INVALID_NAMESPACE"}}"#;
    assert_eq!(scene.next().await.unwrap(), format!("{refusal}\u{1e}one\u{1e}two"));
    let poll = scene.waiting().await;
    scene.poller.connection.send_packet("three").unwrap();
    assert_eq!(within(poll).await.unwrap().unwrap(), b"three");
}

#[tokio::test]
async fn events_wait_for_the_acceptance() {
    let scene = Scene::begin().await;
    scene.poller.connection.send_packet("event").unwrap();
    let poll = scene.waiting().await;
    scene.say(&connect(&token())).await.unwrap();
    let body = String::from_utf8(within(poll).await.unwrap().unwrap()).unwrap();
    assert_eq!(body, format!("{}\u{1e}event", acceptance(&scene.poller.connection)));
    assert!(scene.context.rooms.contains(&UserId::from("ada")));
}

#[tokio::test]
async fn a_refused_client_gets_an_error_and_the_session_ends() {
    let scene = Scene::begin().await;
    scene.say(&connect("nonsense")).await.unwrap();
    assert_eq!(scene.next().await.unwrap(), REFUSAL);
    assert_eq!(scene.next().await.unwrap(), "1");
    assert_eq!((scene.limited("auth_attempts"), scene.reason().await), (0, EndReason::Refused));
}

#[tokio::test]
async fn a_client_that_is_refused_cannot_try_again() {
    let scene = Scene::begin().await;
    scene.say(&connect("nonsense")).await.unwrap();
    assert_eq!(scene.say(&connect(&token())).await, Err(Unanswered::Over));
    assert_eq!((scene.limited("auth_attempts"), scene.reason().await), (1, EndReason::Refused));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_pings_stays_and_one_that_does_not_goes() {
    let scene = Scene::admitted().await;
    for _ in 0..3 {
        assert_eq!(scene.next().await.unwrap(), "2");
        scene.say("3").await.unwrap();
    }
    let begun = Instant::now();
    // It fetches, and does not answer.
    assert_eq!(scene.next().await.unwrap(), "2");
    assert_eq!(scene.poller.poll(None).await, Err(Unanswered::Over));
    assert_eq!(begun.elapsed(), HEARTBEAT.interval + HEARTBEAT.patience());
    assert_eq!(scene.reason().await, EndReason::HeartbeatTimeout);
    // It says that it is there, and fetches nothing.
    let scene = Scene::admitted().await;
    let begun = Instant::now();
    while scene.say("3").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(begun.elapsed(), HEARTBEAT.interval + HEARTBEAT.patience());
    assert_eq!(scene.reason().await, EndReason::HeartbeatTimeout);
    // It is just gone.
    let scene = Scene::admitted().await;
    let begun = Instant::now();
    scene.poller.over().await;
    assert_eq!(begun.elapsed(), HEARTBEAT.interval + HEARTBEAT.patience());
    assert_eq!(scene.reason().await, EndReason::HeartbeatTimeout);
}

#[tokio::test]
async fn a_client_that_gives_up_a_request_may_have_lost_events_and_starts_over() {
    let scene = Scene::admitted().await;
    scene.waiting().await.abort();
    assert_eq!(scene.reason().await, EndReason::TransportError);
}

/// The client may have missed all that the first of the two was given.
#[tokio::test]
async fn a_request_that_comes_twice_ends_the_session() {
    let scene = Scene::admitted().await;
    scene.poller.connection.send_packet("one").unwrap();
    assert_eq!(within(scene.poller.poll(Some(7))).await.unwrap(), b"one");
    scene.poller.connection.send_packet("two").unwrap();
    assert_eq!(within(scene.poller.poll(Some(8))).await.unwrap(), b"two");
    scene.poller.connection.send_packet("three").unwrap();
    assert_eq!(within(scene.poller.poll(Some(8))).await, Err(Unanswered::Over));
    assert_eq!(scene.reason().await, EndReason::PollRepeated);
}

#[tokio::test]
async fn two_requests_for_packets_at_a_time_end_the_session() {
    let scene = Scene::admitted().await;
    let poll = scene.waiting().await;
    assert_eq!(scene.next().await, Err(Unanswered::Over));
    assert_eq!(within(poll).await.unwrap(), Err(Unanswered::Over));
    assert_eq!(scene.reason().await, EndReason::PollOverlap);
}

#[tokio::test]
async fn what_no_client_may_send_ends_the_session() {
    for bad in ["", "hello", "2probe", "5", "0{}", "bAQID", "6\u{1e}", "42/dashboard,[\"a\"]"] {
        let scene = Scene::begin().await;
        assert_eq!(scene.say(bad).await, Err(Unanswered::Malformed), "{bad}");
        assert_eq!(scene.reason().await, EndReason::ParseError, "{bad}");
    }
}

#[tokio::test(start_paused = true)]
async fn packets_are_paid_for_however_they_come() {
    for packets in [
        vec!["6\u{1e}6"; 4],
        vec!["6"; 8],
        vec!["6\u{1e}6\u{1e}6\u{1e}6\u{1e}6\u{1e}6\u{1e}6\u{1e}6"],
    ] {
        let scene = Scene::with(context_with(4).await).await;
        for body in packets {
            scene.say(body).await.unwrap();
        }
        assert_eq!(scene.say("6").await, Err(Unanswered::TooMany));
        assert_eq!(
            (scene.limited("message_rate"), scene.reason().await),
            (1, EndReason::MessageRate)
        );
    }
}

#[tokio::test]
async fn a_client_that_says_goodbye_gets_an_answer_to_its_request() {
    let scene = Scene::admitted().await;
    let poll = scene.waiting().await;
    scene.say("1").await.unwrap();
    assert_eq!(within(poll).await.unwrap().unwrap(), b"6");
    assert_eq!(scene.reason().await, EndReason::TransportClose);
    let scene = Scene::admitted().await;
    let poll = scene.waiting().await;
    scene.say("41/dashboard,").await.unwrap();
    assert_eq!(within(poll).await.unwrap().unwrap(), b"1");
    assert_eq!(scene.reason().await, EndReason::ClientDisconnect);
}

#[tokio::test(start_paused = true)]
async fn what_was_put_in_before_the_end_can_be_fetched_for_a_while() {
    let scene = Scene::admitted().await;
    scene.poller.connection.send_packet("last words").unwrap();
    scene.poller.connection.send_packet(packet::disconnect()).unwrap();
    scene.poller.connection.close_soon(EndReason::TokenExpired);
    tokio::time::sleep(LAST_WRITES / 2).await;
    assert_eq!(scene.next().await.unwrap(), "last words\u{1e}41/dashboard,");
    assert_eq!(scene.next().await.unwrap(), "1");
    assert_eq!(scene.reason().await, EndReason::TokenExpired);
    let scene = Scene::admitted().await;
    let begun = Instant::now();
    scene.poller.connection.close_soon(EndReason::ServerStopping);
    scene.poller.over().await;
    assert_eq!((begun.elapsed(), scene.reason().await), (LAST_WRITES, EndReason::ServerStopping));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_authenticates_gets_an_error_only_if_it_waits() {
    for waits in [false, true] {
        let scene = Scene::begin().await;
        let begun = Instant::now();
        let poll = if waits { Some(scene.waiting().await) } else { None };
        scene.context.sweep(Duration::ZERO, Duration::ZERO, crate::clock::now());
        if let Some(poll) = poll {
            assert_eq!(within(poll).await.unwrap().unwrap(), b"1");
        }
        scene.poller.over().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(scene.reason().await, EndReason::AuthTimeout);
    }
}

#[tokio::test]
async fn a_large_body_is_one_event_and_the_rest_stays_for_the_next() {
    let scene = Scene::admitted().await;
    let large = "x".repeat(FULL + 1);
    scene.poller.connection.send_packet(large.clone()).unwrap();
    scene.poller.connection.send_packet("small").unwrap();
    scene.poller.connection.close_soon(EndReason::ServerStopping);
    assert_eq!(scene.next().await.unwrap().len(), large.len());
    assert_eq!(scene.next().await.unwrap(), "small");
    assert_eq!(scene.next().await.unwrap(), "1");
    assert_eq!(scene.reason().await, EndReason::ServerStopping);
}

#[tokio::test]
async fn a_panic_ends_its_own_session_and_is_counted() {
    let context = context().await;
    let (connection, polls) = (connection(Transport::Polling), Arc::new(Polls::default()));
    context.registry.opened(&connection);
    let mut session = Session::new(connection, Slot::unlimited(), Arc::clone(&context));
    session.admission = Some(Box::pin(async { panic!("on purpose") }));
    let (polling, poller) = Polling::open(session, &polls);
    polling.run().await;
    assert_eq!(
        (poller.connection.reason(), context.metrics.panics.get()),
        (Some(EndReason::Panic), 1)
    );
    assert_eq!((context.registry.count(), polls.lock().len()), (0, 0));
}

#[tokio::test]
async fn a_session_moves_to_a_websocket_and_loses_nothing() {
    let scene = Scene::admitted().await;
    let poll = scene.waiting().await;
    let (task, stream) = scene.link();
    let mut client = client(stream).await;
    ask(&mut client, "2probe").await;
    assert_eq!(told(&mut client).await, "3probe");
    // The request is let go, for the client waits for its end.
    assert_eq!(within(poll).await.unwrap().unwrap(), b"6");
    scene.poller.connection.send_packet("meanwhile").unwrap();
    ask(&mut client, "5").await;
    assert_eq!(told(&mut client).await, "meanwhile");
    assert_eq!(scene.context.metrics.polling.get(), 0);
    assert_eq!(scene.context.metrics.transports.get(), 1);
    assert!(scene.polls.get(scene.sid).is_none());
    assert_eq!(scene.poller.poll(None).await, Err(Unanswered::Over));
    scene.poller.connection.send_packet("later").unwrap();
    assert_eq!(told(&mut client).await, "later");
    ask(&mut client, "1").await;
    within(task).await.unwrap();
    assert_eq!(scene.reason().await, EndReason::TransportClose);
}

#[tokio::test]
async fn a_session_may_enter_after_it_has_moved() {
    let scene = Scene::begin().await;
    let (task, stream) = scene.link();
    let mut client = client(stream).await;
    ask(&mut client, "2probe").await;
    assert_eq!(told(&mut client).await, "3probe");
    ask(&mut client, "5").await;
    ask(&mut client, &connect(&token())).await;
    assert!(told(&mut client).await.starts_with("40/dashboard,"));
    drop(client);
    within(task).await.unwrap();
    assert_eq!(scene.reason().await, EndReason::TransportClose);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_leads_nowhere_leaves_the_session_as_it_is() {
    for words in [&[][..], &["2probe"], &["hello"], &["2probe", "2probe"], &["5"]] {
        let begun = Instant::now();
        let scene = Scene::admitted().await;
        let (task, stream) = scene.link();
        let mut client = client(stream).await;
        for word in words {
            ask(&mut client, word).await;
        }
        // Time is up, or the client is refused.
        within(task).await.unwrap();
        if begun.elapsed() >= HEARTBEAT.interval {
            assert_eq!(scene.next().await.unwrap(), "2");
        }
        let poll = scene.waiting().await;
        scene.poller.connection.send_packet("event").unwrap();
        assert_eq!(within(poll).await.unwrap().unwrap(), b"event", "{words:?}");
        assert_eq!(scene.context.metrics.polling.get(), 1);
    }
}

#[tokio::test]
async fn a_websocket_ends_with_the_session_that_it_is_to_take_over() {
    let scene = Scene::admitted().await;
    let (task, stream) = scene.link();
    let mut client = client(stream).await;
    ask(&mut client, "2probe").await;
    assert_eq!(told(&mut client).await, "3probe");
    scene.poller.connection.cut(EndReason::SlowConsumer);
    within(task).await.unwrap();
    assert_eq!(scene.reason().await, EndReason::SlowConsumer);
}

/// Of two that were found to work, the first that asks gets the session.
#[tokio::test]
async fn a_session_moves_once() {
    let scene = Scene::admitted().await;
    let (one, two) = (scene.link(), scene.link());
    let (mut first, mut second) = (client(one.1).await, client(two.1).await);
    for client in [&mut first, &mut second] {
        ask(client, "2probe").await;
        assert_eq!(told(client).await, "3probe");
    }
    ask(&mut second, "5").await;
    within(one.0).await.unwrap();
    scene.poller.connection.send_packet("event").unwrap();
    assert_eq!(told(&mut second).await, "event");
    drop(second);
    within(two.0).await.unwrap();
    assert_eq!(scene.reason().await, EndReason::TransportClose);
}
