//! Tests the binary: its one line, its signals, its refusals.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::support::{SECRET, TestServer, access, with_database};

/// The binary, with free ports and without the settings of the test's own environment.
pub(crate) fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dashboard-server"));
    let ours = ["DASHBOARD_", "DATABASE_URL", "OTEL_"];
    let settings = std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| ours.iter().any(|prefix| name.starts_with(prefix)))
    });
    for (name, _) in settings {
        command.env_remove(name);
    }
    command
        .env("DASHBOARD_BIND", "127.0.0.1:0")
        .env("DASHBOARD_ADMIN_BIND", "127.0.0.1:0")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The binary, running.
pub(crate) struct Process {
    pub(crate) server: TestServer,
    child: Child,
    line: String,
    out: JoinHandle<String>,
    log: JoinHandle<String>,
}

/// The binary's last words.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) log: String,
}

impl Process {
    /// Starts it on a database and waits until it listens.
    pub(crate) fn start(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut child = command()
            .env("DATABASE_URL", database_url)
            .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
            .envs(settings.iter().copied())
            .spawn()
            .unwrap();
        // The log is long at some levels: it must be read, or the server would wait.
        let log = read(child.stderr.take().unwrap());
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let Some((public, admin)) = addresses(line.trim()) else {
            child.wait().unwrap();
            panic!("{line}{}", log.join().unwrap())
        };
        let server = TestServer::at(public, admin);
        Self { server, child, out: read(out), log, line }
    }

    /// The memory that it holds.
    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks it to stop, and waits for its end.
    pub(crate) fn stop(mut self) -> Ended {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        let out = self.line.clone() + &self.out.join().unwrap();
        Ended { status, out, log: self.log.join().unwrap() }
    }
}

/// Where the line on standard output says that it listens, for people or as an object.
fn addresses(line: &str) -> Option<(String, String)> {
    if let Ok(said) = serde_json::from_str::<Value>(line) {
        let of = |name: &str| said[name].as_str().map(ToOwned::to_owned);
        return of("address").zip(of("admin"));
    }
    let (public, admin) =
        line.strip_prefix("dashboard-server listening on ")?.split_once(", admin ")?;
    Some((public.to_owned(), admin.to_owned()))
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

#[tokio::test]
async fn it_says_where_it_listens_and_stops_on_a_signal() {
    with_database(|db| async move {
        for format in ["pretty", "json"] {
            let settings = [("DASHBOARD_LOG", "trace"), ("DASHBOARD_LOG_FORMAT", format)];
            let process = Process::start(&db.url, &settings);
            let health = reqwest::get(format!("{}/healthz", process.server.admin)).await.unwrap();
            assert_eq!(health.status(), 200);
            let token = access("ada");
            let bearer = format!("Bearer {token}");
            let answer = process.server.get("/api/dashboard", &[("authorization", &bearer)]).await;
            assert_eq!(answer.status(), 200);
            let ended = process.stop();
            assert!(ended.status.success());
            let objects = (ended.out.lines().chain(ended.log.lines()))
                .filter(|line| serde_json::from_str::<Value>(line).is_ok_and(|v| v.is_object()));
            let all = ended.out.lines().count() + ended.log.lines().count();
            let expected = if format == "json" { all } else { 0 };
            assert_eq!(objects.count(), expected, "{}{}", ended.out, ended.log);
            assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
            assert!(!ended.log.contains(SECRET) && !ended.log.contains(&token), "a secret");
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_that_panics_takes_the_process_along_as_a_failure() {
    with_database(|db| async move {
        for task in ["capture", "projector", "refresh", "retention", "sweep"] {
            let output = command()
                .env("DATABASE_URL", &db.url)
                .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
                .env("DASHBOARD_PANIC_IN", task)
                .output()
                .unwrap();
            let log = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{log}");
            assert!(log.contains("a task ended too early") && log.contains(task), "{log}");
            assert!(log.contains("stopped"), "in good order: {log}");
            println!("{}", log.lines().last().unwrap());
        }
    })
    .await;
}

#[test]
fn it_refuses_to_start_without_keys_and_says_what_to_set() {
    let output = command().output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("DASHBOARD_JWT_JWKS_URL"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn all_wrong_settings_are_reported_at_once_in_each_format() {
    for format in ["pretty", "json"] {
        let output = command()
            .env("DASHBOARD_LOG_FORMAT", format)
            .env("DASHBOARD_JWT_HS256_SECRET", "too short")
            .env("DASHBOARD_POLL_INTERVAL_MS", "soon")
            .env("DASHBOARD_BASE_PATH", "api")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        let lines: Vec<_> = text.lines().collect();
        let names = ["POLL_INTERVAL_MS is ", "JWT_HS256_SECRET must ", "BASE_PATH must "];
        assert_eq!(lines.len(), names.len(), "{text}");
        for (line, name) in lines.iter().zip(names) {
            assert!(line.contains(&format!("DASHBOARD_{name}")), "{name}: {text}");
            let is_object = serde_json::from_str::<serde_json::Value>(line).is_ok();
            assert_eq!(is_object, format == "json", "{line}");
        }
    }
}

#[tokio::test]
async fn a_name_that_is_no_setting_is_warned_of_and_what_is_set_to_nothing_is_not_set() {
    with_database(|db| async move {
        let settings = [
            ("DASHBOARD_JWT_HS265_SECRET", "hush"),
            ("DASHBOARD_LOG_FORMAT", "json"),
            ("DASHBOARD_TLS_CERT", ""),
            ("DASHBOARD_MAX_SOCKETS", ""),
        ];
        let ended = Process::start(&db.url, &settings).stop();
        let lines = ended.log.lines().map(|line| serde_json::from_str(line).unwrap());
        // A busy machine gives rise to other warnings.
        let is_of_a_name = |line: &serde_json::Value| {
            line["level"] == "WARN" && line["message"] == "an environment variable is not a setting"
        };
        let warnings: Vec<serde_json::Value> = lines.filter(is_of_a_name).collect();
        let [warning] = warnings.as_slice() else { panic!("{}", ended.log) };
        assert_eq!(warning["variable"], "DASHBOARD_JWT_HS265_SECRET");
        assert_eq!(warning["nearest"], "DASHBOARD_JWT_HS256_SECRET");
        assert!(!ended.log.contains("hush"), "values are not logged");
    })
    .await;
}

/// A secret of Kubernetes that was made with `echo` ends with a line.
#[tokio::test]
async fn white_space_around_settings_does_not_count_and_is_reported_where_it_may_matter() {
    with_database(|db| async move {
        let (secret, url) = (format!("{SECRET}\n"), format!(" {}\r\n", db.url));
        let settings = [
            ("DASHBOARD_JWT_HS256_SECRET", secret.as_str()),
            ("DASHBOARD_JWT_CLIENT_IDS", "other\n, app\n"),
            ("DASHBOARD_LOG_FORMAT", "json\n"),
            ("DASHBOARD_SOURCE", "standalone\n"),
            ("TOKIO_WORKER_THREADS", "\n"),
        ];
        let process = Process::start(&url, &settings);
        let bearer = format!("Bearer {}", access("ada"));
        let answer = process.server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(answer.status(), 200);
        let ended = process.stop();
        assert!(ended.status.success() && !ended.log.contains(SECRET), "{}", ended.log);
        let lines = ended.log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let is_told = |line: &Value| line["message"] == "white space around a secret was left out";
        let told: Vec<_> = lines.filter(is_told).map(|line| line["variable"].clone()).collect();
        assert_eq!(told, ["DATABASE_URL", "DASHBOARD_JWT_HS256_SECRET"]);
    })
    .await;
}

#[test]
fn what_stands_in_quotation_marks_is_refused_by_every_command_and_not_shown() {
    for (arguments, names) in [
        (&[][..], &["DATABASE_URL", "DASHBOARD_JWT_HS256_SECRET", "DASHBOARD_JWT_ISSUER"][..]),
        (&["check"], &["DATABASE_URL", "DASHBOARD_JWT_HS256_SECRET", "DASHBOARD_JWT_ISSUER"]),
        (&["source", "check"], &["DATABASE_URL"]),
        (&["source", "install"], &["DATABASE_URL"]),
    ] {
        let output = command()
            .args(arguments)
            .env("DATABASE_URL", "\"postgres://u:hunter2@127.0.0.1:1/d\"")
            .env("DASHBOARD_JWT_HS256_SECRET", format!("'{SECRET}'\n"))
            .env("DASHBOARD_JWT_ISSUER", "\"https://idp.example.org\"")
            .output()
            .unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        let code = if arguments == ["check"] { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(code), "{arguments:?} {text}");
        let told: Vec<_> = text.lines().filter(|l| l.contains("without quotation marks")).collect();
        assert_eq!(told.len(), names.len(), "{arguments:?} {text}");
        assert!(names.iter().all(|name| text.contains(&format!("{name} must "))), "{text}");
        assert!(!text.contains("hunter2") && !text.contains(SECRET), "a secret");
    }
}

/// The variables that take a number, with its bounds: what a start says when none is one.
fn numbers() -> Vec<(String, u64, u64)> {
    let help = command().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let names = help.split("[env: ").skip(1).filter_map(|rest| rest.split(['=', ']']).next());
    let odd = names.map(|name| (name, "no number"));
    let output = command().envs(odd).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let told = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(": ")?.1.split_once(" is \"no number\"")?;
        let (_, bounds) = rest.split_once("must be a whole number from ")?;
        let (least, most) = bounds.split_once(" to ")?;
        Some((name.to_owned(), least.parse().unwrap(), most.parse().unwrap()))
    });
    told.collect()
}

#[tokio::test]
async fn the_extremes_of_every_number_are_fit_to_run() {
    with_database(|db| async move {
        let numbers = numbers();
        assert!(numbers.len() > 25, "{numbers:?}");
        for which in [0, 1] {
            let values = numbers.iter().map(|(name, least, most)| match name.as_str() {
                // The one pair that contradicts itself.
                "DASHBOARD_REFRESH_CONCURRENCY" => (name, 1),
                // So that a request gets through, and the end does not take ten minutes.
                "DASHBOARD_IDLE_TIMEOUT_MS" => (name, 10_000),
                drain if drain.starts_with("DASHBOARD_DRAIN_") => (name, *least),
                _ => (name, [*least, *most][which]),
            });
            let values: Vec<_> = values.map(|(name, value)| (name, value.to_string())).collect();
            let settings: Vec<_> = values.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let process = Process::start(&db.url, &settings);
            let bearer = format!("Bearer {}", access("ada"));
            let answer = process.server.get("/api/dashboard", &[("authorization", &bearer)]).await;
            assert_eq!(answer.status(), 200, "{settings:?}");
            let resident = process.resident_kib();
            assert!(resident < 200 * 1024, "{resident} KiB with {settings:?}");
            let ended = process.stop();
            assert!(ended.status.success() && !ended.log.contains("panic"), "{}", ended.log);
        }
    })
    .await;
}

#[tokio::test]
async fn the_recipe_for_a_token_works_as_it_is_written() {
    const GUIDE: &str = include_str!("../../../docs/configuration.md");
    let recipe = GUIDE.split("```").find(|block| block.starts_with("sh\ntoken=")).unwrap();
    let (make, ask) = recipe.strip_prefix("sh\n").unwrap().split_once("\ncurl ").unwrap();
    assert!(ask.contains("\"Authorization: Bearer $token\" http://127.0.0.1:9112/api/dashboard"));
    let token = Command::new("sh")
        .args(["-c", &format!("{make}\nprintf %s \"$token\"")])
        .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
        .output()
        .unwrap();
    assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
    let bearer = format!("Bearer {}", String::from_utf8(token.stdout).unwrap());
    with_database(|db| async move {
        let process = Process::start(&db.url, &[]);
        let answer = process.server.get("/api/dashboard", &[("authorization", &bearer)]).await;
        assert_eq!(answer.status(), 200, "{bearer}");
        assert!(process.stop().status.success());
    })
    .await;
}

#[test]
fn help_explains_every_flag_with_its_variable() {
    let output = command().arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for heading in ["Database:", "Listening:", "Authentication:", "Push:", "Logs:"] {
        assert!(text.contains(heading), "{heading}");
    }
    let flags = text.lines().filter(|line| line.trim_start().starts_with("--")).count();
    let variables = text.matches("[env: ").count();
    assert_eq!(flags, variables, "{text}");
    // The flags are described in documentation comments, whose marks mean nothing on a terminal.
    for mark in ["`", "[`", "](", "<http", "**"] {
        let line = text.lines().find(|line| line.contains(mark));
        assert_eq!(line, None, "{mark}");
    }
}

#[test]
fn a_server_may_be_started_on_any_thread() {
    fn is_send(_: &impl Send) {}
    is_send(&dashboard_server::Server::start(crate::support::config("postgres://h/d")));
}
