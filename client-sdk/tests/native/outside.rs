//! The README's programs, in a project of their own outside this workspace, built as their readers
//! would build them.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tokio::sync::mpsc;

use crate::connection::Proxy;
use crate::server::{PATIENCE, Server, snapshot, summary_event};
use crate::tls::{Authority, Terminator};

const README: &str = include_str!("../../README.md");
/// What the README's programs say the server is.
const URL: &str = "https://dashboard.example.org";
const PROXY: &str = "http://proxy.example.org:3128";

/// The README's blocks in that language that are whole files.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let blocks = README.split(&fence).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A cargo project of the README's blocks; gone when dropped, except for what was compiled.
struct Project {
    root: PathBuf,
    target: PathBuf,
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

impl Project {
    /// With a program of each name.
    fn new(programs: &[(&str, String)]) -> Self {
        let root = std::env::temp_dir().join(format!("client-sdk-outside-{}", std::process::id()));
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let [dependencies] = blocks("toml")[..] else { panic!("one block for Cargo.toml") };
        let clone = "../moc-dashboard/client-sdk";
        assert!(dependencies.contains(clone), "{dependencies}");
        let dependencies = dependencies.replace(clone, &here.to_string_lossy());
        let package = "[package]\nname = \"outside\"\nedition = \"2024\"\n\n[workspace]\n\n";
        let programs_folder = root.join("src/bin");
        fs::create_dir_all(&programs_folder).unwrap();
        fs::write(root.join("Cargo.toml"), [package, &dependencies].concat()).unwrap();
        // The versions that this workspace was tried with, which are at hand without a network.
        fs::copy(here.join("../Cargo.lock"), root.join("Cargo.lock")).unwrap();
        for (name, text) in programs {
            fs::write(programs_folder.join(name).with_extension("rs"), text).unwrap();
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outside");
        Self { root, target }
    }

    fn build(&self) {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet"]).current_dir(&self.root);
        cargo.env("CARGO_TARGET_DIR", &self.target);
        // It is kept for the next run, and needs no debug information.
        cargo.env("CARGO_PROFILE_DEV_DEBUG", "0");
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn run(&self, program: &str) -> Program {
        let mut command = Command::new(self.target.join("debug").join(program));
        command.current_dir(&self.root).env("DASHBOARD_TOKEN", "secret-token");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, lines) = mpsc::unbounded_channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                // The test may be over.
                let _ = sender.send(line);
            }
        });
        Program { input: child.stdin.take().unwrap(), child, lines }
    }
}

/// A program that runs; ended when dropped.
struct Program {
    child: Child,
    input: ChildStdin,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Program {
    /// Reads until that line.
    async fn says(&mut self, wished: &str) {
        let mut said = Vec::new();
        let found = tokio::time::timeout(PATIENCE, async {
            while let Some(line) = self.lines.recv().await {
                if line == wished {
                    return true;
                }
                said.push(line);
            }
            false
        });
        assert_eq!(found.await, Ok(true), "not {wished:?}, but {said:?}");
    }

    fn hears(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// As Ctrl-C does.
    #[cfg(unix)]
    fn is_interrupted(&self) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &process]).status().unwrap().success());
    }

    async fn ends_well(mut self) {
        // The end of what it says is the end of it.
        while self.lines.recv().await.is_some() {}
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_readmes_programs_work_in_a_project_of_their_own() {
    let [quick_start, session, without_runtime, company] = blocks("rust,no_run")[..] else {
        panic!("other programs than are tried here");
    };
    let mut server = Server::start().await;
    let authority = Authority::new();
    let front = Terminator::start(&server, &authority.issue("dashboard.example.org"), None).await;
    let proxy = Proxy::start(front.port, "").await;
    let here = |program: &str| {
        assert!(program.contains(URL), "{program}");
        program.replace(URL, &server.url)
    };
    assert!(company.contains(PROXY), "{company}");
    let project = Project::new(&[
        ("quick_start", here(quick_start)),
        ("session", here(session)),
        ("without_runtime", here(without_runtime)),
        ("company", company.replace(PROXY, &format!("http://{}", proxy.address))),
    ]);
    project.build();

    // Live, and live again after the connection was lost.
    let mut program = project.run("quick_start");
    let mut socket = server.accepted().await;
    program.says("live: 10 MOCs").await;
    socket.send(&summary_event(11)).await;
    program.says("live: 11 MOCs").await;
    drop(socket);
    program.says("backoff: 11 MOCs").await;
    server.answer_snapshots(snapshot(12));
    let socket = server.accepted().await;
    program.says("live: 12 MOCs").await;
    drop((program, socket));

    // Refused, logged in again, and stopped.
    let mut program = project.run("session");
    program.says("A token, please:").await;
    program.hears("old");
    let (mut socket, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"old"}"#);
    socket.send(r#"44/dashboard,{"message":"AUTH_FAILED"}"#).await;
    program.says("authRequired").await;
    program.says("A token, please:").await;
    program.hears("new");
    let (mut socket, connect) = server.connected().await;
    assert_eq!(connect, r#"40/dashboard,{"token":"new"}"#);
    socket.send(r#"40/dashboard,{"sid":"s","tag":"e-0"}"#).await;
    program.says("live").await;
    program.is_interrupted();
    program.says("stopped").await;
    program.ends_well().await;
    assert!(socket.is_closed_with_a_frame().await);

    let mut program = project.run("without_runtime");
    let mut socket = server.accepted().await;
    program.says("12 MOCs").await;
    program.ends_well().await;
    assert!(socket.is_closed_with_a_frame().await);

    // Behind a private authority and a proxy.
    fs::write(project.root.join("authority.pem"), authority.pem()).unwrap();
    let mut program = project.run("company");
    let _socket = server.accepted().await;
    program.says("live").await;
    program.ends_well().await;
    let heads = proxy.heads();
    assert!(heads.iter().all(|head| head.starts_with("CONNECT dashboard.example.org:443 ")));

    // Nothing is linked that no program loads.
    for made in fs::read_dir(project.target.join("debug/deps")).unwrap() {
        let made = made.unwrap().path();
        let is_ours = made.to_string_lossy().contains("libclient_sdk");
        let kind = made.extension().unwrap_or_default();
        assert!(!is_ours || kind == "rlib" || kind == "rmeta", "{}", made.display());
    }
}
