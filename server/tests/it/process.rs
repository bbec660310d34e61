//! The binary: its one line, its signals, its refusals.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::support::{SECRET, with_database};

fn server() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dashboard-server"));
    let settings = std::env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| name.starts_with("DASHBOARD_") || name == "DATABASE_URL")
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

#[tokio::test]
async fn it_says_where_it_listens_and_stops_on_a_signal() {
    with_database(|db| async move {
        for format in ["pretty", "json"] {
            let mut child = server()
                .env("DATABASE_URL", &db.url)
                .env("DASHBOARD_JWT_HS256_SECRET", SECRET)
                .env("DASHBOARD_LOG", "trace")
                .env("DASHBOARD_LOG_FORMAT", format)
                .spawn()
                .unwrap();
            // The log is long at this level: it must be read, or the server would wait.
            let mut stderr = child.stderr.take().unwrap();
            let log = std::thread::spawn(move || {
                let mut text = String::new();
                stderr.read_to_string(&mut text).unwrap();
                text
            });
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            let addresses = line
                .trim()
                .strip_prefix("dashboard-server listening on http://")
                .and_then(|rest| rest.split_once(", admin http://"));
            let (public, admin) = addresses.unwrap_or_else(|| panic!("{line}"));
            let health = reqwest::get(format!("http://{admin}/healthz")).await.unwrap();
            assert_eq!(health.status(), 200);
            let token = crate::support::access("ada");
            let ask = reqwest::Client::new().get(format!("http://{public}/api/dashboard"));
            assert_eq!(ask.bearer_auth(&token).send().await.unwrap().status(), 200);
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
            assert!(child.wait().unwrap().success());
            let log = log.join().unwrap();
            assert!(!log.contains(SECRET) && !log.contains(&token), "a secret in the log");
            if format == "json" {
                let line = log.lines().last().unwrap();
                assert!(serde_json::from_str::<serde_json::Value>(line).is_ok(), "{line}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_task_that_panics_takes_the_process_along_as_a_failure() {
    with_database(|db| async move {
        for task in ["capture", "refresh", "compact", "expire"] {
            let output = server()
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
    let output = server().output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains("DASHBOARD_JWT_JWKS_URL"), "{text}");
    assert!(output.stdout.is_empty());
}

#[test]
fn help_explains_every_flag_with_its_variable() {
    let output = server().arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for heading in ["Database:", "Listening:", "Authentication:", "Push:", "Logs:"] {
        assert!(text.contains(heading), "{heading}");
    }
    let flags = text.lines().filter(|line| line.trim_start().starts_with("--")).count();
    let variables = text.matches("[env: ").count();
    assert_eq!(flags, variables, "{text}");
}

#[test]
fn a_server_may_be_started_on_any_thread() {
    fn is_send(_: &impl Send) {}
    is_send(&dashboard_server::Server::start(crate::support::config("postgres://h/d")));
}
