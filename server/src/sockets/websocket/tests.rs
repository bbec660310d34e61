use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use shared_types::{EventType, Revision};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::*;
use crate::dashboard::tags::{self, Tags};
use crate::limits::{LONGEST_ARRIVAL, Slot};
use crate::metrics::{LimitLabel, Reason as ReasonLabel};
use crate::net::Stream;
use crate::sockets::connection::Transport;
use crate::sockets::context::SocketContext;
use crate::sockets::end_reason::EndReason;
use crate::sockets::handshake::Refused;
use crate::sockets::message::Message as Event;
use crate::sockets::outbox::Closed;
use crate::sockets::packet;
use crate::sockets::testing::{
    HEARTBEAT, PATIENCE, REFUSAL, TAG, acceptance, connect, connection, context, context_reading,
    token,
};
use crate::user::UserId;

/// How long a stream's client may take nothing.
const STALL: Duration = Duration::from_secs(10);
const TEXT: OpCode = OpCode::Data(Data::Text);

fn socket<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    prefix: impl Into<Bytes>,
    context: &Arc<SocketContext>,
) -> (Arc<Connection>, WebSocket<S>) {
    let connection = connection(Transport::WebSocket);
    context.registry.opened(&connection);
    let session = Session::new(Arc::clone(&connection), Slot::unlimited(), Arc::clone(context));
    (connection, WebSocket::open(stream, prefix.into(), session))
}

/// A socket that is served, and its client.
struct Scene {
    context: Arc<SocketContext>,
    connection: Arc<Connection>,
    client: DuplexStream,
    task: JoinHandle<()>,
}

impl Scene {
    /// Over a pipe that holds `space` bytes. The client has received the handshake's rules.
    async fn begin(space: usize) -> Self {
        let (client, server) = duplex(space);
        Self::over(client, server).await
    }

    async fn over<S>(client: DuplexStream, server: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        Self::behind(context().await, client, server).await
    }

    async fn behind<S>(context: Arc<SocketContext>, client: DuplexStream, server: S) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (connection, socket) = socket(server, Vec::new(), &context);
        let task = tokio::spawn(socket.run());
        let mut scene = Self { context, connection, client, task };
        let open = scene.next().await;
        assert!(open.starts_with("0{"), "{open}");
        scene
    }

    /// The client is in the namespace.
    async fn admitted(space: usize) -> Self {
        let mut scene = Self::begin(space).await;
        scene.enter().await;
        scene
    }

    async fn enter(&mut self) {
        self.say(&connect(&token())).await;
        assert_eq!(self.next().await, self.acceptance());
    }

    fn acceptance(&self) -> String {
        acceptance(&self.connection)
    }

    async fn say(&mut self, packet: &str) {
        self.client.write_all(&masked(packet)).await.unwrap();
    }

    /// The next packet that the client gets.
    async fn next(&mut self) -> String {
        let (head, payload) = self.frame().await;
        assert_eq!(head, 0x81, "{payload:?}");
        String::from_utf8(payload).unwrap()
    }

    /// The next frame that the client gets: its first byte and its payload.
    async fn frame(&mut self) -> (u8, Vec<u8>) {
        let client = &mut self.client;
        let get = async {
            let head = client.read_u8().await.unwrap();
            let length = match client.read_u8().await.unwrap() {
                126 => client.read_u16().await.unwrap().into(),
                short => usize::from(short),
            };
            let mut payload = vec![0; length];
            client.read_exact(&mut payload).await.unwrap();
            (head, payload)
        };
        timeout(PATIENCE, get).await.expect("a frame")
    }

    /// The code of the closing frame, which is the last.
    async fn close_code(&mut self) -> u16 {
        let (head, payload) = self.frame().await;
        assert_eq!(head, 0x88, "{payload:?}");
        assert_eq!(self.rest().await, 0);
        u16::from_be_bytes(payload.try_into().unwrap())
    }

    /// How many bytes come to the end.
    async fn rest(&mut self) -> usize {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.client.read_to_end(&mut rest)).await.expect("an end").unwrap()
    }

    /// Why the socket ended.
    async fn reason(self) -> EndReason {
        timeout(PATIENCE, self.task).await.expect("an end").unwrap();
        assert_eq!(self.context.registry.count(), 0);
        assert!(self.context.rooms.is_empty());
        assert_eq!(self.connection.send_packet("late"), Err(Closed));
        self.connection.reason().unwrap()
    }

    fn limited(&self, limit: &'static str) -> u64 {
        self.context.metrics.limited.get_or_create(&LimitLabel { limit }).get()
    }
}

/// A frame as a client sends it.
fn masked(packet: &str) -> Vec<u8> {
    client_frame(Frame::message(packet.to_owned(), TEXT, true))
}

fn client_frame(mut frame: Frame) -> Vec<u8> {
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

#[tokio::test(start_paused = true)]
async fn who_answers_pings_stays_and_who_does_not_goes() {
    let mut scene = Scene::begin(256).await;
    let mut last = Instant::now();
    for _ in 0..3 {
        // WebSocket's own say nothing about the page behind them.
        scene.client.write_all(&client_frame(Frame::pong(Vec::new()))).await.unwrap();
        assert_eq!(scene.next().await, "2");
        assert_eq!(last.elapsed(), HEARTBEAT.interval);
        scene.say("3").await;
        last = Instant::now();
        tokio::time::sleep(Duration::from_secs(1)).await;
        // An answer that no ping asked for changes nothing.
        scene.say("3").await;
    }
    assert_eq!(scene.next().await, "2");
    scene.client.write_all(&client_frame(Frame::pong(Vec::new()))).await.unwrap();
    let asked = Instant::now();
    assert_eq!(scene.rest().await, 0);
    assert_eq!(asked.elapsed(), HEARTBEAT.patience());
    assert_eq!(scene.reason().await, EndReason::HeartbeatTimeout);
}

/// However long answers are on their way, the client hears from the server as often as it was promised.
#[tokio::test(start_paused = true)]
async fn a_slow_line_makes_neither_the_server_nor_its_client_give_up() {
    let mut scene = Scene::begin(256).await;
    let mut last = Instant::now();
    for round_trip in [2, 9, 4, 0, 9] {
        assert_eq!(scene.next().await, "2");
        assert_eq!(last.elapsed(), HEARTBEAT.interval);
        last = Instant::now();
        tokio::time::sleep(Duration::from_secs(round_trip)).await;
        scene.say("3").await;
    }
    // Longer than the interval: the next question follows the answer.
    for round_trip in [12, 19] {
        assert_eq!(scene.next().await, "2");
        tokio::time::sleep(Duration::from_secs(round_trip)).await;
        scene.say("3").await;
        last = Instant::now();
    }
    assert_eq!(scene.next().await, "2");
    assert_eq!(last.elapsed(), Duration::ZERO);
    assert_eq!(scene.rest().await, 0);
    assert_eq!(last.elapsed(), HEARTBEAT.patience());
    assert_eq!(scene.reason().await, EndReason::HeartbeatTimeout);
}

#[tokio::test]
async fn what_came_with_the_request_is_read_first() {
    let (client, server) = duplex(1_000);
    let context = context().await;
    let token = connect(&token());
    let (early, late) = token.split_at(9);
    let early = client_frame(Frame::message(early.to_owned(), TEXT, false));
    let late = client_frame(Frame::message(late.to_owned(), OpCode::Data(Data::Continue), true));
    let (connection, socket) = socket(server, early, &context);
    let task = tokio::spawn(socket.run());
    let mut scene = Scene { context, connection, client, task };
    scene.client.write_all(&late).await.unwrap();
    assert!(scene.next().await.starts_with("0{"));
    assert_eq!(scene.next().await, scene.acceptance());
}

#[tokio::test]
async fn events_wait_for_the_acceptance() {
    let mut scene = Scene::begin(1_000).await;
    scene.connection.send_packet("event").unwrap();
    scene.say("40/else,").await;
    assert_eq!(
        scene.next().await,
        r#"44/else,{"message":"Invalid namespace","data":{"code":"INVALID_NAMESPACE"}}"#
    );
    scene.enter().await;
    assert_eq!(scene.next().await, "event");
}

/// A change before the read is in the tag. One after it is an event, which needs the room.
#[tokio::test]
async fn the_tag_is_read_once_the_socket_is_in_its_room() {
    let (told, mut reads) = mpsc::unbounded_channel();
    let tags = Tags::by(move |users| {
        let (answer, answered) = oneshot::channel();
        told.send((users, answer)).unwrap();
        async move { vec![Ok(answered.await.unwrap())] }.boxed()
    });
    let (client, server) = duplex(1_000);
    let mut scene = Scene::behind(context_reading(tags).await, client, server).await;
    scene.say(&connect(&token())).await;
    let (users, answer) = timeout(PATIENCE, reads.recv()).await.expect("a read").unwrap();
    let ada = UserId::from("ada");
    assert!(users == [ada.clone()] && scene.context.rooms.contains(&ada));
    let mut frame = Vec::new();
    packet::frame("event", &mut frame).unwrap();
    let event = Event { event_type: EventType::SummaryUpdated, frame: frame.into() };
    assert_eq!(scene.context.rooms.deliver(&ada, Revision::default(), &[event]), 1);
    answer.send(TAG.parse().unwrap()).unwrap();
    assert_eq!(scene.next().await, scene.acceptance());
    assert_eq!(scene.next().await, "event");
    let seen = scene.context.rooms.occupants()[0].seen;
    assert_eq!(seen.map(Revision::get), Some(17), "the room knows what its client was told");
}

#[tokio::test(start_paused = true)]
async fn a_silent_database_keeps_no_socket_out() {
    let (client, server) = duplex(1_000);
    let tags = Tags::by(|_| std::future::pending().boxed());
    let mut scene = Scene::behind(context_reading(tags).await, client, server).await;
    let knocked = Instant::now();
    scene.say(&connect(&token())).await;
    let sid = scene.connection.id.simple().to_string();
    assert_eq!(scene.next().await, format!(r#"40/dashboard,{{"sid":"{sid}","tag":null}}"#));
    assert_eq!(knocked.elapsed(), tags::PATIENCE);
    // Nor does it cost the socket its place among those who arrive: the client has made no other wait.
    let sweep = |arrival| scene.context.sweep(arrival, PATIENCE, crate::clock::now());
    assert_eq!((sweep(LONGEST_ARRIVAL), sweep(Duration::ZERO)), (0, 1));
}

/// It is in its room already when it goes.
#[tokio::test]
async fn who_leaves_while_the_tag_is_read_is_in_no_room() {
    for is_by_client in [true, false] {
        let (told, mut reads) = mpsc::unbounded_channel();
        let tags = Tags::by(move |_| {
            told.send(()).unwrap();
            std::future::pending().boxed()
        });
        let (client, server) = duplex(1_000);
        let mut scene = Scene::behind(context_reading(tags).await, client, server).await;
        scene.say(&connect(&token())).await;
        timeout(PATIENCE, reads.recv()).await.expect("a read").unwrap();
        if is_by_client {
            scene.say("41/dashboard,").await;
        } else {
            scene.connection.close_soon(EndReason::ServerStopping);
        }
        assert_eq!(scene.close_code().await, 1000);
        scene.client.write_all(&client_frame(Frame::close(None))).await.unwrap();
        let reason =
            if is_by_client { EndReason::ClientDisconnect } else { EndReason::ServerStopping };
        // And that it is in no room.
        assert_eq!(scene.reason().await, reason);
    }
}

#[tokio::test]
async fn a_second_attempt_of_who_is_in_is_passed_over() {
    let mut scene = Scene::admitted(1_000).await;
    scene.say(&connect("nonsense")).await;
    scene.say("42/dashboard,[\"hello\"]").await;
    scene.say("40/else,").await;
    assert!(scene.next().await.starts_with("44/else,"));
    assert!(scene.context.rooms.contains(&UserId::from("ada")));
}

#[tokio::test]
async fn a_refused_client_gets_an_error_and_the_connection_ends() {
    let mut scene = Scene::begin(1_000).await;
    scene.say(&connect("nonsense")).await;
    assert_eq!(scene.next().await, REFUSAL);
    assert_eq!(scene.close_code().await, 1000);
    scene.say(&connect(&token())).await;
    assert_eq!((scene.limited("auth_attempts"), scene.reason().await), (0, EndReason::Refused));
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_cannot_try_again() {
    let mut scene = Scene::begin(1_000).await;
    scene.say(&connect("nonsense")).await;
    scene.next().await;
    scene.frame().await;
    scene.say(&connect(&token())).await;
    let tried = Instant::now();
    (&mut scene.task).await.unwrap();
    assert_eq!(tried.elapsed(), Duration::ZERO, "who only listens has longer");
    assert_eq!(
        (scene.limited("auth_attempts"), scene.connection.reason()),
        (1, Some(EndReason::Refused))
    );
}

/// Over the limit of its address, and of its connection.
#[tokio::test(start_paused = true)]
async fn beyond_the_limit_strangers_get_the_usual_refusal_and_sessions_enter() {
    let mut scene = Scene::begin(1_000).await;
    while scene.context.limiter.auth_failure(scene.connection.address).is_ok() {}
    let before = scene.limited("auth_failures");
    scene.say(&connect("nonsense")).await;
    assert_eq!(scene.next().await, REFUSAL);
    let (head, code) = scene.frame().await;
    assert_eq!((head, &code[..]), (0x88, &[0x03, 0xe8][..]));
    scene.say(&connect(&token())).await;
    assert_eq!((scene.limited("auth_failures"), scene.rest().await), (before + 1, 0));
    (&mut scene.task).await.unwrap();
    assert_eq!(
        (scene.limited("auth_attempts"), scene.connection.reason()),
        (1, Some(EndReason::AuthFailures))
    );
    let refused = ReasonLabel { reason: "malformed" };
    assert_eq!(scene.context.metrics.refusals.get_or_create(&refused).get(), 1);
    let (client, server) = duplex(1_000);
    let (connection, socket) = socket(server, Vec::new(), &scene.context);
    let mut neighbour =
        Scene { context: scene.context, connection, client, task: tokio::spawn(socket.run()) };
    neighbour.next().await;
    neighbour.enter().await;
}

/// A refusal would be final to official clients, and to ours the end of the session.
#[tokio::test]
async fn who_cannot_be_checked_now_is_not_refused_but_told_to_try_again() {
    let (client, server) = duplex(1_000);
    let context = context().await;
    let (connection, mut socket) = socket(server, Vec::new(), &context);
    let closed = Arc::clone(&connection);
    socket.session.admission = Some(Box::pin(async move {
        closed.close_soon(EndReason::KeysUnavailable);
        Err(Refused::NotNow)
    }));
    let mut scene = Scene { context, connection, client, task: tokio::spawn(socket.run()) };
    assert!(scene.next().await.starts_with("0{"));
    assert_eq!(scene.close_code().await, 1013);
    scene.client.write_all(&client_frame(Frame::close(None))).await.unwrap();
    assert_eq!(scene.reason().await, EndReason::KeysUnavailable);
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_gets_an_error() {
    let mut scene = Scene::begin(1_000).await;
    scene.context.sweep(Duration::ZERO, Duration::ZERO, crate::clock::now());
    assert_eq!(scene.close_code().await, 1008);
    scene.client.write_all(&client_frame(Frame::close(None))).await.unwrap();
    assert_eq!((scene.limited("auth_timeout"), scene.reason().await), (1, EndReason::AuthTimeout));
}

#[tokio::test]
async fn who_is_cut_while_the_session_is_checked_gets_no_answer() {
    let (mut client, server) = duplex(1_000);
    let context = context().await;
    let (connection, mut socket) = socket(server, Vec::new(), &context);
    socket.session.admission = Some(Box::pin(std::future::pending()));
    let task = tokio::spawn(socket.run());
    connection.cut(EndReason::ServerStopping);
    task.await.unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    let got = String::from_utf8_lossy(&got);
    assert!(!got.contains("44/"), "{got}");
    assert_eq!(connection.reason(), Some(EndReason::ServerStopping));
}

/// A second attempt and an event change nothing while the first one is checked.
#[tokio::test]
async fn who_leaves_while_the_session_is_checked_never_enters() {
    for is_by_client in [true, false] {
        let (client, server) = duplex(1_000);
        let context = context().await;
        let (connection, mut socket) = socket(server, Vec::new(), &context);
        let (verdict, checked) = oneshot::channel();
        socket.session.admission = Some(Box::pin(async move { checked.await.unwrap_or(Ok(None)) }));
        let task = tokio::spawn(socket.run());
        let mut scene = Scene { context, connection, client, task };
        scene.next().await;
        scene.say(&connect("nonsense")).await;
        scene.say("42/dashboard,[\"hello\"]").await;
        scene.say("40/else,").await;
        assert!(scene.next().await.starts_with("44/else,"));
        if is_by_client {
            scene.say("41/dashboard,").await;
        } else {
            scene.connection.close_soon(EndReason::ServerStopping);
        }
        assert_eq!(scene.close_code().await, 1000);
        assert!(verdict.is_closed(), "the session is still being checked");
        scene.client.write_all(&client_frame(Frame::close(None))).await.unwrap();
        let reason =
            if is_by_client { EndReason::ClientDisconnect } else { EndReason::ServerStopping };
        assert_eq!(scene.reason().await, reason);
    }
}

#[tokio::test]
async fn a_panic_ends_its_own_socket_and_is_counted() {
    let (_client, server) = duplex(1_000);
    let context = context().await;
    let (connection, mut socket) = socket(server, Vec::new(), &context);
    socket.session.admission = Some(Box::pin(async { panic!("on purpose") }));
    socket.run().await;
    assert_eq!((connection.reason(), context.metrics.panics.get()), (Some(EndReason::Panic), 1));
    assert_eq!(context.registry.count(), 0);
}

#[tokio::test]
async fn what_goes_too_far_is_answered_with_a_code() {
    let too_large = vec![0x81, 0xfe, 0x03, 0xe9];
    let binary = client_frame(Frame::message(vec![1], OpCode::Data(Data::Binary), true));
    let not_utf8 = client_frame(Frame::message(vec![0xff], TEXT, true));
    for (sent, code, reason) in [
        (too_large, 1009, EndReason::MessageSize),
        (b"\x81\x013".to_vec(), 1002, EndReason::MalformedFrame),
        (not_utf8, 1002, EndReason::MalformedFrame),
        (binary, 1003, EndReason::ParseError),
        (masked("hello"), 1002, EndReason::ParseError),
        (masked("42/dashboard,[\"hello\"]"), 1008, EndReason::ParseError),
    ] {
        let mut scene = Scene::begin(1_000).await;
        scene.client.write_all(&sent).await.unwrap();
        assert_eq!(scene.close_code().await, code, "{sent:?}");
        assert_eq!(scene.reason().await, reason, "{sent:?}");
    }
}

#[tokio::test]
async fn who_asks_without_listening_is_cut_off() {
    let mut scene = Scene::begin(64).await;
    while scene.client.write_all(&masked("40/else,")).await.is_ok() {}
    assert_eq!(scene.reason().await, EndReason::SlowConsumer);
}

#[tokio::test]
async fn who_leaves_is_taken_leave_of() {
    let mut scene = Scene::admitted(1_000).await;
    scene.say("41/dashboard,").await;
    assert_eq!(scene.close_code().await, 1000);
    assert_eq!(scene.reason().await, EndReason::ClientDisconnect);
    // A client that closes the WebSocket gets the same back.
    let mut scene = Scene::admitted(1_000).await;
    let close = CloseFrame { code: CloseCode::Away, reason: "".into() };
    scene.client.write_all(&client_frame(Frame::close(Some(close)))).await.unwrap();
    assert_eq!(scene.close_code().await, 1001);
    assert_eq!(scene.reason().await, EndReason::TransportClose);
    for said in ["1", ""] {
        let mut scene = Scene::admitted(1_000).await;
        if said.is_empty() {
            scene.client.shutdown().await.unwrap();
        } else {
            scene.say(said).await;
        }
        assert_eq!(scene.rest().await, 0);
        assert_eq!(scene.reason().await, EndReason::TransportClose);
    }
    let scene = Scene::begin(1_000).await;
    let Scene { context, connection, client, task } = scene;
    drop(client);
    task.await.unwrap();
    assert_eq!(
        (connection.reason(), context.registry.count()),
        (Some(EndReason::Unauthenticated), 0)
    );
}

#[tokio::test]
async fn what_was_put_in_before_the_end_goes_out() {
    let mut scene = Scene::admitted(64).await;
    let long = "x".repeat(500);
    scene.connection.send_packet(long.clone()).unwrap();
    scene.connection.send_packet("last words").unwrap();
    scene.connection.send_packet(packet::disconnect()).unwrap();
    scene.connection.close_soon(EndReason::TokenExpired);
    assert_eq!(scene.connection.send_packet("late"), Err(Closed));
    for expected in [&long, "last words", "41/dashboard,"] {
        assert_eq!(scene.next().await, expected);
    }
    let (head, _) = scene.frame().await;
    assert_eq!(head, 0x88);
    // A client that receives this, and comes back at once, finds nothing of the old socket in the room.
    assert!(!scene.context.rooms.contains(&UserId::from("ada")));
    let close = client_frame(Frame::close(None));
    scene.client.write_all(&close).await.unwrap();
    assert_eq!(scene.reason().await, EndReason::TokenExpired);
}

#[tokio::test]
async fn who_closes_while_the_last_words_go_out_gets_the_same_back() {
    let mut scene = Scene::admitted(64).await;
    let long = "x".repeat(500);
    scene.connection.send_packet(long.clone()).unwrap();
    scene.connection.close_soon(EndReason::ServerStopping);
    let close = CloseFrame { code: CloseCode::Away, reason: "".into() };
    scene.client.write_all(&client_frame(Frame::close(Some(close)))).await.unwrap();
    assert_eq!(scene.next().await, long);
    assert_eq!(scene.close_code().await, 1001);
    assert_eq!(scene.reason().await, EndReason::ServerStopping);
}

#[tokio::test(start_paused = true)]
async fn a_client_has_limited_time_to_take_the_last_packets_and_to_go() {
    for space in [64, 1_000] {
        let scene = Scene::admitted(space).await;
        scene.connection.send_packet("x".repeat(500)).unwrap();
        let begun = Instant::now();
        scene.connection.close_soon(EndReason::ServerStopping);
        let Scene { context, connection, client, task } = scene;
        task.await.unwrap();
        assert_eq!(begun.elapsed(), LAST_WRITES);
        assert_eq!(connection.reason(), Some(EndReason::ServerStopping));
        assert_eq!(context.registry.count(), 0);
        drop(client);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_is_gone_at_once() {
    let scene = Scene::admitted(64).await;
    scene.connection.send_packet("x".repeat(500)).unwrap();
    let begun = Instant::now();
    scene.connection.cut(EndReason::SlowConsumer);
    assert_eq!(scene.connection.send_packet("late"), Err(Closed));
    let Scene { connection, client: _client, task, .. } = scene;
    task.await.unwrap();
    assert_eq!(
        (begun.elapsed(), connection.reason()),
        (Duration::ZERO, Some(EndReason::SlowConsumer))
    );
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_events_is_found() {
    // The second stream has its own buffer, as with TLS. That it takes more proves nothing.
    let (client, server) = duplex(64);
    stall(client, server).await;
    let (client, server) = duplex(64);
    stall(client, BufWriter::new(server)).await;
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_and_pings_is_found_as_soon() {
    let (client, server) = duplex(64);
    let metrics = Arc::new(Metrics::new());
    let stream = Stream::new(BufWriter::new(server), None, STALL, metrics);
    let mut scene = Scene::over(client, stream).await;
    scene.enter().await;
    let start = Instant::now();
    scene.connection.send_packet("x".repeat(100)).unwrap();
    for _ in 0..3 {
        tokio::time::sleep(STALL / 4).await;
        scene.client.write_all(&client_frame(Frame::ping(vec![b'p'; 9]))).await.unwrap();
    }
    let Scene { connection, client: _client, task, .. } = scene;
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!((connection.reason(), start.elapsed()), (Some(EndReason::SlowConsumer), STALL));
}

async fn stall<S>(client: DuplexStream, server: S)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let metrics = Arc::new(Metrics::new());
    let mut scene = Scene::over(client, Stream::new(server, None, STALL, metrics)).await;
    scene.enter().await;
    let start = Instant::now();
    for _ in 0..3 {
        scene.connection.send_packet("x".repeat(100)).unwrap();
        tokio::time::sleep(STALL / 4).await;
    }
    let Scene { connection, client: _client, task, .. } = scene;
    timeout(PATIENCE, task).await.unwrap().unwrap();
    assert_eq!((connection.reason(), start.elapsed()), (Some(EndReason::SlowConsumer), STALL));
}

#[tokio::test]
async fn what_the_stream_keeps_of_an_event_is_flushed_when_it_can_be() {
    // As TLS does: it takes all that it is given, and cannot pass it on at once.
    let (client, server) = duplex(8);
    let mut scene = Scene::over(client, BufWriter::new(server)).await;
    scene.enter().await;
    for _ in 0..3 {
        let long = "x".repeat(100);
        scene.connection.send_packet(long.clone()).unwrap();
        assert_eq!(scene.next().await, long);
    }
}

#[tokio::test]
async fn nothing_is_kept_of_what_has_been_sent() {
    let mut scene = Scene::admitted(64).await;
    let event_type = shared_types::EventType::SummaryUpdated;
    let mut frame = Vec::new();
    packet::frame("x".repeat(500), &mut frame).unwrap();
    let frame = Bytes::from(frame);
    scene.connection.send(&[Event { event_type, frame: frame.clone() }]).unwrap();
    scene.next().await;
    // Answered by the library in the same task, so the event is out, and no frames came after it.
    scene.client.write_all(&client_frame(Frame::ping(Vec::new()))).await.unwrap();
    assert_eq!(scene.frame().await.0, 0x8a);
    assert!(frame.is_unique());
}

/// Pings of a client that listens to nothing: the last of them are answered once it does.
#[tokio::test]
async fn pings_of_a_client_that_does_not_read_are_answered_only_in_part() {
    let mut scene = Scene::admitted(64).await;
    scene.connection.send_packet("x".repeat(500)).unwrap();
    for _ in 0..1_000 {
        scene.client.write_all(&client_frame(Frame::ping(vec![b'p'; 100]))).await.unwrap();
    }
    scene.say("40/else,").await;
    assert_eq!(scene.next().await, "x".repeat(500));
    let mut pongs = 0;
    loop {
        match scene.frame().await {
            (0x8a, payload) if payload == [b'p'; 100] => pongs += 1,
            (0x81, _) => break,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=5).contains(&pongs), "{pongs} pongs were kept");
}

#[tokio::test]
async fn what_came_with_the_request_is_not_kept() {
    let (client, server) = duplex(1_000);
    let context = context().await;
    let early = Bytes::from(masked(&connect(&token())));
    let (connection, socket) = socket(server, early.clone(), &context);
    let task = tokio::spawn(socket.run());
    let mut scene = Scene { context, connection, client, task };
    scene.next().await;
    assert_eq!(scene.next().await, scene.acceptance());
    assert!(early.is_unique());
}

/// Its pings cross the goodbye, whole or half out, and are not answered behind it.
#[tokio::test(start_paused = true)]
async fn nothing_is_sent_after_the_close_frame() {
    for space in [2, 1_000] {
        let mut scene = Scene::admitted(space).await;
        scene.connection.close_soon(EndReason::ServerStopping);
        let begun = Instant::now();
        let mut half = [0; 2];
        scene.client.read_exact(&mut half).await.unwrap();
        scene.client.write_all(&client_frame(Frame::ping(vec![b'p'; 9]))).await.unwrap();
        scene.say("40/else,").await;
        scene.say("3").await;
        assert_eq!((half, scene.rest().await), ([0x88, 2], 2));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        // It has its time to say the same.
        (&mut scene.task).await.unwrap();
        assert_eq!(begun.elapsed(), LAST_WRITES);
    }
}

/// A client that opens a socket, or comes back over an old one, while the server ends it.
#[tokio::test]
async fn who_comes_too_late_has_not_tried_too_often() {
    let mut scene = Scene::begin(1_000).await;
    scene.connection.close_soon(EndReason::ServerStopping);
    scene.say(&connect(&token())).await;
    assert_eq!(scene.close_code().await, 1000);
    scene.client.write_all(&client_frame(Frame::close(None))).await.unwrap();
    assert_eq!(
        (scene.limited("auth_attempts"), scene.reason().await),
        (0, EndReason::ServerStopping)
    );
    let mut scene = Scene::admitted(1_000).await;
    scene.say("41/dashboard,").await;
    scene.say(&connect(&token())).await;
    assert_eq!(scene.close_code().await, 1000);
    scene.client.write_all(&client_frame(Frame::close(None))).await.unwrap();
    assert_eq!(
        (scene.limited("auth_attempts"), scene.reason().await),
        (0, EndReason::ClientDisconnect)
    );
}

/// Where the library reads to, it has no more than a short frame needs.
#[tokio::test]
async fn the_buffer_of_a_large_token_is_not_kept() {
    let (mut client, server) = duplex(10_000);
    let (_, mut socket) = socket(server, Vec::new(), &context().await);
    let large = format!("6{}", "x".repeat(900));
    client.write_all(&masked(&large)).await.unwrap();
    poll_fn(|cx| {
        assert!(socket.receive(cx).unwrap());
        // The second look finds nothing, and lets go of what the first one found.
        let heard = Bytes::from(socket.link.heard.clone());
        assert!(!socket.receive(cx).unwrap());
        assert!(heard.len() == large.len() && heard.is_unique());
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_socket_costs_little() {
    let (_client, server) = duplex(1);
    let (_, socket) = socket(server, Vec::new(), &context().await);
    let size = size_of_val(&socket.run());
    assert!(size <= 640, "{size} bytes");
}

/// Through a pipe of a few bytes: pings are answered, packets replied to, events come in between, and
/// the client takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_whole_and_in_order_with_several_writers() {
    const COUNT: usize = 2_000;
    for space in [5, 64, 1_000] {
        // It takes real time, and the client answers no ping of Engine.IO.
        let mut context = context().await;
        let config = &mut Arc::get_mut(&mut context).unwrap().config;
        config.heartbeat.interval = Duration::from_hours(1);
        let (client, server) = duplex(space);
        let mut scene = Scene::behind(context, client, server).await;
        scene.enter().await;
        let Scene { connection, client, task, .. } = scene;
        let (replies, events) = (Arc::new(Semaphore::new(10)), Arc::new(Semaphore::new(100)));
        let pusher = tokio::spawn({
            let places = Arc::clone(&events);
            async move {
                for (number, length) in lengths(2).take(COUNT).enumerate() {
                    places.acquire().await.unwrap().forget();
                    connection.send_packet(payload(number, length)).unwrap();
                    if length % 5 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let (mut out, mut incoming) = client.split();
        let asker = tokio::spawn({
            let places = Arc::clone(&replies);
            async move {
                for (number, length) in lengths(1).take(COUNT).enumerate() {
                    places.acquire().await.unwrap().forget();
                    let namespace = payload(number, length);
                    out.send(Message::text(format!("40/{namespace},"))).await.unwrap();
                    out.send(Message::Ping(vec![b'p'; length % 60].into())).await.unwrap();
                }
                out
            }
        });
        let (mut answered, mut told, mut pongs) = (0, 0, 0);
        let receive = async {
            // Of several pings that wait, the last may be answered for all.
            while answered < COUNT || told < COUNT || pongs == 0 {
                match incoming.next().await.unwrap().unwrap() {
                    Message::Text(text) => {
                        if let Some(reply) = text.strip_prefix("44/") {
                            let expected = payload(answered, lengths(1).nth(answered).unwrap());
                            assert!(reply.starts_with(&format!("{expected},")), "{reply}");
                            answered += 1;
                            replies.add_permits(1);
                        } else {
                            let expected = payload(told, lengths(2).nth(told).unwrap());
                            assert_eq!(text, expected);
                            told += 1;
                            events.add_permits(1);
                        }
                    }
                    Message::Pong(_) => pongs += 1,
                    other => panic!("{other:?}"),
                }
            }
        };
        timeout(PATIENCE, receive).await.expect("nothing gets stuck");
        pusher.await.unwrap();
        drop((asker.await.unwrap(), incoming));
        timeout(PATIENCE, task).await.unwrap().unwrap();
    }
}

fn payload(number: usize, length: usize) -> String {
    format!("{number} {}", "x".repeat(length))
}

/// The same random lengths for the same seed.
fn lengths(seed: u64) -> impl Iterator<Item = usize> {
    let step = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    std::iter::successors(Some(seed), step).skip(1).map(|state| (state >> 33) as usize % 200)
}
