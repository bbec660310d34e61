use std::sync::Mutex;
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tungstenite::Message;
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::*;
use crate::gate::{Address, Arrival};
use crate::net::Stream;
use crate::push::connection::{CLOSING, Cookie, LAST_WRITES};
use crate::push::outbox::{Batch, Unsent};

/// A ping without content and without a mask worth the name.
const EARLY: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const LATE: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
const LIMITS: FrameLimits = FrameLimits { max_message_bytes: 64, messages_per_s: 100_000 };
/// What the library accepts a client with.
const ACCEPTANCE: &str = r#"40/dashboard,{"sid":"a"}"#;
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);

type Parts<S, F> = (Arc<Connection>, Guarded<S, F>, oneshot::Receiver<()>);

fn guarded<S>(stream: S) -> Parts<S, impl Fn(&Arc<Connection>) + Unpin> {
    let (sender, over) = oneshot::channel();
    let sender = Mutex::new(Some(sender));
    let address = Address::of([127, 0, 0, 1].into());
    let connection = Connection::new(Cookie::Absent, address, "c-1".into(), Arrival::unlimited());
    let call_back = move |_: &Arc<Connection>| {
        sender.lock().unwrap().take().unwrap().send(()).ok();
    };
    let prefix = Bytes::from_static(&EARLY);
    let stream = Guarded::new(
        stream,
        prefix,
        Arc::clone(&connection),
        LIMITS,
        Arc::new(Metrics::new()),
        Slot::unlimited(),
        call_back,
    );
    (connection, stream, over)
}

/// A stream whose client has been accepted, and has read so.
async fn accepted(
    space: usize,
) -> (DuplexStream, Arc<Connection>, Guarded<DuplexStream, impl Fn(&Arc<Connection>) + Unpin>) {
    let (mut client, server) = duplex(space);
    let (connection, mut stream, _) = guarded(server);
    stream.prefix.clear();
    let acceptance = text(ACCEPTANCE);
    let (sent, got) = tokio::join!(stream.write_all(&acceptance), next(&mut client));
    sent.unwrap();
    assert_eq!(got, ACCEPTANCE);
    (client, connection, stream)
}

/// A frame as a server sends it.
fn text(payload: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frame = Frame::message(payload.to_owned(), OpCode::Data(Data::Text), true);
    frame.format(&mut bytes).unwrap();
    bytes
}

fn event(payload: &str) -> Batch {
    Batch::of_one(text(payload))
}

/// The payload of the next frame that a client gets.
async fn next(client: &mut DuplexStream) -> String {
    let get = async {
        assert_eq!(client.read_u8().await.unwrap(), 0x81);
        let length = match client.read_u8().await.unwrap() {
            126 => client.read_u16().await.unwrap().into(),
            short => usize::from(short),
        };
        let mut payload = vec![0; length];
        client.read_exact(&mut payload).await.unwrap();
        String::from_utf8(payload).unwrap()
    };
    timeout(PATIENCE, get).await.expect("a frame")
}

#[tokio::test]
async fn what_came_with_the_request_is_read_first() {
    let (mut client, server) = duplex(64);
    let (_, mut stream, over) = guarded(server);
    client.write_all(&LATE).await.unwrap();
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(bytes, *[EARLY, LATE].concat());
    drop(stream);
    over.await.unwrap();
}

#[tokio::test]
async fn what_goes_too_far_is_not_handed_on_and_answered_with_a_close() {
    let (mut client, server) = duplex(64);
    let (connection, mut stream, _over) = guarded(server);
    // The head of a text message of 65 bytes, one more than is allowed.
    client.write_all(&[0x81, 0x80 | 0x41]).await.unwrap();
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes[..6]).await.unwrap();
    assert!(stream.read_exact(&mut bytes).await.is_err());
    assert_eq!(connection.reason(), Some("message_size"));
    let mut close = [0; 4];
    client.read_exact(&mut close).await.unwrap();
    assert_eq!((close[0], u16::from_be_bytes([close[2], close[3]])), (0x88, 1009));
}

#[tokio::test]
async fn a_stalled_client_is_no_longer_listened_to_either() {
    let (connection, mut stream, _over) = guarded(Stalled);
    stream.prefix.clear();
    assert!(stream.write_all(b"event").await.is_err());
    assert_eq!(connection.reason(), Some("slow_consumer"));
    assert!(stream.read_u8().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn closing_lets_the_last_frames_out() {
    let (mut client, server) = duplex(64);
    let (connection, stream, _over) = guarded(server);
    let (mut read, mut write) = tokio::io::split(stream);
    let mut prefix = [0; 6];
    read.read_exact(&mut prefix).await.unwrap();
    let reader = tokio::spawn(async move { read.read_u8().await });
    connection.close_soon("refused");
    assert!(reader.await.unwrap().is_err());
    write.write_all(&text("goodbye")).await.unwrap();
    assert_eq!((&*next(&mut client).await, connection.reason()), ("goodbye", Some("refused")));
    tokio::time::sleep(LAST_WRITES * 2).await;
    assert!(write.write_all(b"more").await.is_err());
}

#[tokio::test]
async fn events_wait_for_the_acceptance_however_it_is_cut() {
    let acceptance = text(ACCEPTANCE);
    for cut in 0..acceptance.len() {
        let (mut client, server) = duplex(256);
        let (connection, mut stream, _over) = guarded(server);
        stream.prefix.clear();
        connection.send(&event("event")).unwrap();
        stream.write_all(&[text("0{}"), text("2")].concat()).await.unwrap();
        for piece in [&acceptance[..cut], &acceptance[cut..]] {
            assert!(stream.read_u8().now_or_never().is_none());
            stream.flush().await.unwrap();
            stream.write_all(piece).await.unwrap();
        }
        stream.flush().await.unwrap();
        for expected in ["0{}", "2", ACCEPTANCE, "event"] {
            assert_eq!(next(&mut client).await, expected, "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn who_only_reads_is_sent_events_and_keeps_none_of_them() {
    let (mut client, connection, mut stream) = accepted(64).await;
    let frame = Bytes::from(text("event"));
    let reader = tokio::spawn(async move { stream.read_u8().await.map(|_| stream) });
    tokio::task::yield_now().await;
    connection.send(&Batch::of_one(frame.clone())).unwrap();
    assert_eq!(next(&mut client).await, "event");
    client.write_all(&LATE).await.unwrap();
    let _stream = reader.await.unwrap().unwrap();
    assert!(frame.is_unique());
}

#[tokio::test]
async fn events_do_not_break_into_a_frame_and_go_before_the_next() {
    let (mut client, connection, mut stream) = accepted(64).await;
    // The library has written half a frame, and has two by the time that it can go on.
    let frame = text(&"x".repeat(100));
    let taken = stream.write(&frame).await.unwrap();
    assert!(taken < frame.len());
    connection.send(&event("last words")).unwrap();
    let mut got = vec![0; frame.len()];
    client.read_exact(&mut got[..taken]).await.unwrap();
    assert!(stream.read_u8().now_or_never().is_none());
    let rest = [&frame[taken..], &text("41/dashboard,")].concat();
    let writer = tokio::spawn(async move { stream.write_all(&rest).await.map(|()| stream) });
    client.read_exact(&mut got[taken..]).await.unwrap();
    assert_eq!(got, frame);
    for expected in ["last words", "41/dashboard,"] {
        assert_eq!(next(&mut client).await, expected);
    }
    drop(writer.await.unwrap().unwrap());
}

#[tokio::test]
async fn the_library_s_frames_do_not_break_into_an_event() {
    let (mut client, connection, mut stream) = accepted(64).await;
    let long = "x".repeat(100);
    connection.send(&event(&long)).unwrap();
    assert!(stream.read_u8().now_or_never().is_none());
    let writer = tokio::spawn(async move { stream.write_all(&text("2")).await.map(|()| stream) });
    assert_eq!((next(&mut client).await, &*next(&mut client).await), (long, "2"));
    drop(writer.await.unwrap().unwrap());
}

#[tokio::test]
async fn what_was_put_in_before_the_end_goes_out() {
    let (mut client, connection, stream) = accepted(64).await;
    let (mut read, mut write) = tokio::io::split(stream);
    let long = "x".repeat(100);
    connection.send(&event("bye")).unwrap();
    connection.send(&event(&long)).unwrap();
    connection.advance(CLOSING);
    // The reader ends at once, and what it could not send is sent by the writer's last flush.
    assert!(read.read_u8().await.is_err());
    drop(read);
    assert_eq!(next(&mut client).await, "bye");
    assert_eq!(connection.send(&event("late")), Err(Unsent::Closed));
    let writer = tokio::spawn(async move {
        write.flush().await?;
        write.write_all(&text("1")).await.map(|()| write)
    });
    assert_eq!((next(&mut client).await, &*next(&mut client).await), (long, "1"));
    drop(writer.await.unwrap().unwrap());
}

#[tokio::test]
async fn who_is_gone_is_sent_nothing() {
    let (_client, connection, stream) = accepted(64).await;
    drop(stream);
    assert_eq!(connection.send(&event("late")), Err(Unsent::Closed));
    let (mut client, connection, mut stream) = accepted(64).await;
    connection.send(&event("event")).unwrap();
    connection.cut("panic");
    assert_eq!(connection.send(&event("late")), Err(Unsent::Closed));
    assert!(stream.read_u8().await.is_err() && stream.flush().await.is_err());
    drop(stream);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn what_the_stream_keeps_of_an_event_is_flushed_when_it_can_be() {
    // As TLS does: it takes all that it is given, and cannot pass it on at once.
    let (mut client, server) = duplex(8);
    let (connection, mut stream, _over) = guarded(BufWriter::new(server));
    stream.prefix.clear();
    let reader = tokio::spawn(async move {
        let (sent, got) = (stream.write_all(&text(ACCEPTANCE)).await, stream.flush().await);
        sent.and(got).unwrap();
        stream.read_u8().await
    });
    assert_eq!(next(&mut client).await, ACCEPTANCE);
    for _ in 0..3 {
        let long = "x".repeat(100);
        connection.send(&event(&long)).unwrap();
        assert_eq!(next(&mut client).await, long);
    }
    drop(client);
    assert!(reader.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_of_events_is_found_by_the_reader() {
    // The second stream has a buffer of its own, as with TLS: that it takes more proves nothing.
    let (client, server) = duplex(64);
    stall(client, server).await;
    let (client, server) = duplex(64);
    stall(client, BufWriter::new(server)).await;
}

async fn stall<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    mut client: DuplexStream,
    server: S,
) {
    const STALL: Duration = Duration::from_secs(10);
    let metrics = Arc::new(Metrics::new());
    let (connection, mut stream, _over) = guarded(Stream::new(server, None, STALL, metrics));
    stream.prefix.clear();
    stream.write_all(&text(ACCEPTANCE)).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(next(&mut client).await, ACCEPTANCE);
    let start = Instant::now();
    let reader = tokio::spawn(async move { stream.read_u8().await });
    for _ in 0..3 {
        connection.send(&event(&"x".repeat(100))).unwrap();
        tokio::time::sleep(STALL / 4).await;
    }
    assert!(timeout(PATIENCE, reader).await.unwrap().unwrap().is_err());
    assert_eq!((connection.reason(), start.elapsed()), (Some("slow_consumer"), STALL));
}

/// The library's own stack above, in two tasks with one stream of a few bytes below: the reader
/// answers pings, the writer writes, events come in between, and the client takes its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_whole_and_in_order_whoever_writes() {
    const COUNT: usize = 2_000;
    for space in [5, 64, 1_000] {
        let (client, server) = duplex(space);
        let (connection, mut stream, _over) = guarded(server);
        stream.prefix.clear();
        let stream = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
        let (mut writer, mut reader) = stream.split();
        let reader = tokio::spawn(async move { while reader.next().await.is_some() {} });
        let writer = tokio::spawn(async move {
            writer.send(Message::text(ACCEPTANCE)).await.unwrap();
            for (number, length) in lengths(1).take(COUNT).enumerate() {
                writer.feed(Message::text(payload("library", number, length))).await.unwrap();
                if length % 3 == 0 {
                    writer.flush().await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
            writer.flush().await.unwrap();
            writer
        });
        let places = Arc::new(Semaphore::new(100));
        let pusher = tokio::spawn({
            let places = Arc::clone(&places);
            async move {
                for (number, length) in lengths(2).take(COUNT).enumerate() {
                    places.acquire().await.unwrap().forget();
                    connection.send(&event(&payload("event", number, length))).unwrap();
                    if length % 5 == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        let client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        let (mut out, mut incoming) = client.split();
        let pinger = tokio::spawn(async move {
            for length in lengths(3).take(COUNT) {
                let ping = Message::Ping(vec![b'p'; length % 60].into());
                out.send(ping).await.unwrap();
            }
            out
        });
        let mut expected = [("library", lengths(1), 0), ("event", lengths(2), 0)];
        let receive = async {
            while expected.iter().any(|(_, _, count)| *count < COUNT) {
                let Message::Text(got) = incoming.next().await.unwrap().unwrap() else { continue };
                if got == ACCEPTANCE {
                    assert!(expected.iter().all(|(_, _, count)| *count == 0));
                    continue;
                }
                let kind = usize::from(got.starts_with("event"));
                let (name, lengths, count) = &mut expected[kind];
                assert_eq!(got, payload(name, *count, lengths.next().unwrap()));
                *count += 1;
                places.add_permits(kind);
            }
        };
        timeout(PATIENCE, receive).await.expect("nothing gets stuck");
        pusher.await.unwrap();
        // Whoever still sends pings is still answered.
        drop((timeout(PATIENCE, pinger).await.unwrap(), writer.await.unwrap(), incoming));
        timeout(PATIENCE, reader).await.unwrap().unwrap();
    }
}

fn payload(name: &str, number: usize, length: usize) -> String {
    format!("{name} {number} {}", "x".repeat(length))
}

/// The same random lengths for the same seed.
fn lengths(seed: u64) -> impl Iterator<Item = usize> {
    let step = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    std::iter::successors(Some(seed), step).skip(1).map(|state| (state >> 33) as usize % 200)
}

/// What the stream of a client that takes nothing says in the end.
struct Stalled;

impl AsyncRead for Stalled {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stalled {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
