//! Tests what strangers get of the server's edge: no more than their rate, no line of the log for each
//! request, no file that is not for browsers. Tests also that no client can hold up the end.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Process, command};
use crate::support::{
    Frozen, LOOK, PATIENCE, SECRET, TestDb, TestServer, config, start, with_database,
};

const ORIGIN: &str = "https://app.example.org";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// As long as a connection that is to end may take without any progress, and less than a request that
/// is under way is given.
const END: Duration = Duration::from_secs(2);

#[tokio::test]
async fn all_requests_count_against_the_rate() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        (config.behind_proxy, config.limits.requests_per_s) = (true, 1);
        config.allowed_origins = vec![ORIGIN.to_owned()];
        let (server, test) = start(config).await;
        let plain = [("x-forwarded-for", "192.0.2.1")];
        let preflight = [
            ("x-forwarded-for", "192.0.2.2"),
            ("x-forwarded-proto", "https"),
            ("origin", ORIGIN),
            ("access-control-request-method", "GET"),
        ];
        let client = reqwest::Client::new();
        for (method, headers, usual) in
            [(Method::GET, &plain[..], 400), (Method::OPTIONS, &preflight, 200)]
        {
            let ask = async || {
                let address = format!("{}/api/dashboard", test.base);
                let mut request = client.request(method.clone(), address);
                for (name, value) in headers {
                    request = request.header(*name, *value);
                }
                request.send().await.unwrap().status().as_u16()
            };
            let (mut answered, begun) = (0, Instant::now());
            let refused = loop {
                match ask().await {
                    status if status == usual => answered += 1,
                    status => break status,
                }
                assert!(begun.elapsed() < PATIENCE, "{method} is never refused");
            };
            assert_eq!((refused, answered >= 10), (429, true), "{method}: {answered}");
        }
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn refused_requests_do_not_fill_the_log() {
    with_database(|db| async move {
        let settings = [("DASHBOARD_BEHIND_PROXY", "true"), ("DASHBOARD_LOG_FORMAT", "json")];
        let process = Process::start(&db.url, &settings);
        let flood = [("x-forwarded-for", "192.0.2.1")];
        for _ in 0..300 {
            let status = process.server.get("/api/dashboard", &flood).await.status();
            assert_eq!(status, StatusCode::BAD_REQUEST);
        }
        // A request from another address is logged all the same.
        let other = [("x-forwarded-for", "192.0.2.2"), ("x-correlation-id", "c-other")];
        process.server.get("/api/dashboard", &other).await;
        let log = process.stop().log;
        let lines = log.lines().filter(|line| line.contains("HTTPS is required")).count();
        assert!((1..200).contains(&lines), "{lines} lines");
        assert!(log.contains("c-other"));
    })
    .await;
}

#[tokio::test]
async fn who_asks_too_often_has_to_come_back_for_it() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.limits.requests_per_s = 1;
        let (server, test) = start(config).await;
        let mut stream = connect(&test).await;
        for _ in 0..40 {
            stream.write_all(b"GET /api/dashboard HTTP/1.1\r\nHost: x\r\n\r\n").await.ok();
        }
        let said = read_to_end(&mut stream).await;
        let answers: Vec<_> = said.match_indices("HTTP/1.1 ").collect();
        assert!((11..40).contains(&answers.len()), "ten or so, and the one that says no: {said}");
        let last = &said[answers.last().unwrap().0..];
        assert!(last.starts_with("HTTP/1.1 429 ") && last.contains("connection: close"), "{last}");
        assert!(last.contains("RATE_LIMITED"), "{last}");
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    with_database(|db: TestDb| async move {
        let (server, test) = start(config(&db.url)).await;
        let public = test.base.strip_prefix("http://").unwrap();
        let private = test.admin.strip_prefix("http://").unwrap();
        for (address, path, fine) in [(public, "/api/dashboard", 401), (private, "/healthz", 200)] {
            let own = format!("Host: {address}\r\n");
            let twice = format!("{own}{own}");
            let foreign = format!("{own}Host: evil.test\r\nOrigin: http://evil.test\r\n");
            let (whole, evil) =
                (format!("http://{address}{path}"), format!("http://evil.test{path}"));
            for (target, version, hosts, status) in [
                (path, "1.1", own.as_str(), fine),
                (&whole, "1.1", &own, fine),
                (path, "1.0", "", fine),
                (path, "1.0", &own, fine),
                (path, "1.1", "", 400),
                (&whole, "1.1", "", 400),
                (&evil, "1.1", &own, 400),
                (path, "1.1", &twice, 400),
                (path, "1.0", &twice, 400),
                (path, "1.1", &foreign, 400),
                (path, "1.1", "Host: a b\r\n", 400),
                (path, "1.0", "Host: user@a.test\r\n", 400),
            ] {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let request =
                    format!("GET {target} HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
                stream.write_all(request.as_bytes()).await.unwrap();
                let said = read_to_end(&mut stream).await;
                let line = said.lines().next().unwrap_or_default();
                assert_eq!(line.split(' ').nth(1), Some(&*status.to_string()), "{request}{said}");
            }
        }
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn behind_a_proxy_only_what_came_by_tls_is_served() {
    with_database(|db: TestDb| async move {
        let mut config = config(&db.url);
        config.behind_proxy = true;
        let (server, test) = start(config).await;
        let socket = "/socket.io/?EIO=4&transport=websocket";
        for (path, served) in [("/api/dashboard", 401), (socket, 101)] {
            for (lines, is_tls) in [
                (&[][..], false),
                (&["X-Forwarded-Proto: https"], true),
                (&["X-Forwarded-Proto: wss"], true),
                (&["X-Forwarded-Proto: WSS"], true),
                (&["X-Forwarded-Proto: http"], false),
                (&["X-Forwarded-Proto: ws"], false),
                (&["X-Forwarded-Proto: https, http"], false),
                (&["X-Forwarded-Proto: https", "X-Forwarded-Proto: http"], false),
                (&["X-Forwarded-Proto: http", "X-Forwarded-Proto: wss"], false),
                (&["Forwarded: for=192.0.2.1;proto=https"], true),
                (&["Forwarded: for=192.0.2.1;proto=http"], false),
                (&["Forwarded: for=192.0.2.1"], false),
                (&["X-Forwarded-Ssl: on"], true),
                (&["CF-Visitor: {\"scheme\":\"https\"}"], true),
                (&["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"], false),
                (&["X-Forwarded-Port: 443"], false),
            ] {
                let mut stream = connect(&test).await;
                let mut head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n");
                for line in lines {
                    head.extend([line, "\r\n"]);
                }
                let is_socket = path == socket;
                head.push_str(if is_socket { UPGRADE } else { "Connection: close\r\n\r\n" });
                stream.write_all(head.as_bytes()).await.unwrap();
                let line = read_line(&mut stream).await;
                let status = if is_tls { served } else { 400 };
                assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{lines:?}: {line}");
            }
        }
        server.shutdown().await;
    })
    .await;
}

#[tokio::test]
async fn what_begins_with_a_dot_is_not_served() {
    with_database(|db: TestDb| async move {
        let root = std::env::temp_dir().join(format!("web-{}", uuid::Uuid::new_v4()));
        for folder in ["assets", ".git", ".well-known"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
            std::fs::write(root.join(folder).join("config"), "in a folder").unwrap();
        }
        std::fs::write(root.join("index.html"), "<!doctype html>").unwrap();
        std::fs::write(root.join(".env"), "hidden").unwrap();
        let mut config = config(&db.url);
        config.web_root = Some(root.clone());
        let (server, test) = start(config).await;
        for path in ["/.env", "/%2eenv", "/.git/config", "//assets", "/assets/..%2f.env"] {
            for accept in ["*/*", "text/html"] {
                let answer = test.get(path, &[("accept", accept)]).await;
                assert_eq!(answer.status(), 404, "{path} {accept}");
                assert!(!answer.headers().contains_key("location"), "{path}");
            }
        }
        for path in ["/.well-known/config", "/assets/config"] {
            assert_eq!(test.get(path, &[]).await.text().await.unwrap(), "in a folder", "{path}");
        }
        server.shutdown().await;
        std::fs::remove_dir_all(root).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_built_file_is_sent_in_the_smallest_form_that_the_browser_takes() {
    with_database(|db: TestDb| async move {
        let root = std::env::temp_dir().join(format!("web-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(root.join("assets")).unwrap();
        for (name, text) in [("a.js", "as it is"), ("a.js.br", "brotli"), ("a.js.gz", "gzip")] {
            std::fs::write(root.join("assets").join(name), text).unwrap();
        }
        std::fs::write(root.join("index.html"), "<!doctype html>").unwrap();
        let mut config = config(&db.url);
        config.web_root = Some(root.clone());
        let (server, test) = start(config).await;
        for (accepted, encoding, sent) in [
            ("gzip, deflate, br, zstd", Some("br"), "brotli"),
            ("gzip", Some("gzip"), "gzip"),
            ("br;q=0, gzip", Some("gzip"), "gzip"),
            ("identity", None, "as it is"),
            ("zstd", None, "as it is"),
        ] {
            let answer = test.get("/assets/a.js", &[("accept-encoding", accepted)]).await;
            let header = |name: &str| {
                let values = answer.headers().get_all(name).iter();
                values.map(|value| value.to_str().unwrap().to_owned()).collect::<Vec<_>>()
            };
            let encodings: Vec<_> = encoding.into_iter().map(str::to_owned).collect();
            assert_eq!(header("content-encoding"), encodings, "{accepted}");
            assert!(header("content-type")[0].starts_with("text/javascript"), "{accepted}");
            assert_eq!(header("cache-control"), ["public, max-age=31536000, immutable"]);
            assert_eq!(header("vary"), ["accept-encoding"], "{accepted}");
            assert_eq!(answer.text().await.unwrap(), sent, "{accepted}");
        }
        server.shutdown().await;
        std::fs::remove_dir_all(root).unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_never_asks_does_not_hold_up_the_end() {
    with_database(|db: TestDb| async move {
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
        let handshake = &b"\x16\x03\x01\x02\x00\x01"[..];
        for (tls, begun) in [(false, &b"GET / HTTP/1.1\r\nHo"[..]), (true, handshake)] {
            let mut config = config(&db.url);
            if tls {
                config.tls_cert = Some(keys.join("tls-cert.pem"));
                config.tls_key = Some(keys.join("tls-key.pem"));
            }
            let (server, test) = start(config).await;
            let (mut silent, mut slow) = (connect(&test).await, connect(&test).await);
            slow.write_all(begun).await.unwrap();
            // And the one that asks for this.
            test.await_metric("dashboard_http_connections 3").await;
            // The time that a request under way is given never comes while the clock stands still.
            let time = Frozen::start();
            let end = tokio::spawn(server.shutdown());
            time.pass(Duration::from_millis(1)).await;
            read_to_end(&mut silent).await;
            time.pass(END).await;
            read_to_end(&mut slow).await;
            drop(time);
            end.await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_hangs_does_not_hold_up_the_end() {
    with_database(|db| async move {
        let folder = std::env::temp_dir().join(format!("tls-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/keys");
        let [certificate, key, pipe] = ["cert.pem", "key.pem", "pipe"].map(|at| folder.join(at));
        std::fs::copy(keys.join("tls-cert.pem"), &certificate).unwrap();
        std::fs::copy(keys.join("tls-key.pem"), &key).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut server = command()
            .env("DATABASE_URL", &db.url)
            .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
            .env("DASHBOARD_TLS_CERT", &certificate)
            .env("DASHBOARD_TLS_KEY", &key)
            .env("DASHBOARD_TLS_RELOAD_INTERVAL_MS", "10")
            .env("DASHBOARD_DRAIN_WINDOW_MS", "0")
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("https://"), "{line}");
        let _endless = swap_until_read(&certificate, &pipe);
        assert!(Command::new("kill").args(["-TERM", &pid(&server)]).status().unwrap().success());
        let asked = Instant::now();
        let status = loop {
            if let Some(status) = server.try_wait().unwrap() {
                break status;
            }
            if asked.elapsed() > PATIENCE {
                server.kill().unwrap();
                panic!("it does not end");
            }
            #[expect(
                clippy::disallowed_methods,
                reason = "a child is only asked whether it has ended"
            )]
            std::thread::sleep(LOOK);
        };
        assert!(status.success(), "{status}");
        std::fs::remove_dir_all(folder).unwrap();
    })
    .await;
}

/// Puts a pipe in the place of a file and back, until a reader has opened the pipe. What it reads has no
/// end while the result is held.
fn swap_until_read(file: &Path, pipe: &Path) -> File {
    let begun = Instant::now();
    let aside = file.with_extension("aside");
    loop {
        std::fs::copy(file, &aside).unwrap();
        for _ in 0..1_000 {
            std::fs::hard_link(pipe, file.with_extension("new")).unwrap();
            std::fs::rename(file.with_extension("new"), file).unwrap();
            std::fs::hard_link(&aside, file.with_extension("new")).unwrap();
            std::fs::rename(file.with_extension("new"), file).unwrap();
        }
        // Without waiting, a pipe can be opened for writing only if it has a reader.
        let nonblocking = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap();
        let mut options = OpenOptions::new();
        if let Ok(writer) = options.write(true).custom_flags(nonblocking).open(pipe) {
            return writer;
        }
        assert!(begun.elapsed() < PATIENCE, "the file was never met in a change");
    }
}

fn pid(child: &Child) -> String {
    child.id().to_string()
}

async fn connect(test: &TestServer) -> TcpStream {
    TcpStream::connect(test.base.split_once("://").unwrap().1).await.unwrap()
}

async fn read_line(stream: &mut TcpStream) -> String {
    let mut line = String::new();
    let mut reader = tokio::io::BufReader::new(stream);
    let read = reader.read_line(&mut line);
    tokio::time::timeout(PATIENCE, read).await.expect("an answer").unwrap();
    line
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    tokio::time::timeout(PATIENCE, read).await.expect("the connection ends").ok();
    String::from_utf8(bytes).unwrap()
}
