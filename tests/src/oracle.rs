//! Programs that judge: a process of Node.js or Python that speaks JSON lines over its standard streams.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::waiting::within;

type Replies = Arc<Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>>;

/// The two kinds of client that `python-socketio` has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Python {
    /// `socketio.Client`
    Sync,
    /// `socketio.AsyncClient`
    Async,
}

/// A running oracle; ends with this value.
#[derive(Debug)]
pub struct Oracle {
    _child: Child,
    stdin: ChildStdin,
    asked: u64,
    replies: Replies,
    happenings: UnboundedReceiver<Value>,
    seen: Vec<Value>,
}

impl Oracle {
    /// The official Socket.IO client; see `tests/oracles/client.mjs`.
    pub async fn client() -> Self {
        Self::node("client.mjs").await
    }

    /// `python-socketio`'s client of that kind, with the same actions; see `tests/oracles/client.py`.
    pub async fn python(kind: Python) -> Self {
        let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles/site-packages");
        assert!(
            packages.is_dir(),
            "python-socketio is not installed; run `cargo xtask test`, or: python3 -m pip install \
             --no-deps --require-hashes --target tests/oracles/site-packages --requirement \
             tests/oracles/requirements.txt"
        );
        let mut python = Command::new("python3");
        python.arg("client.py").env("PYTHONPATH", packages);
        if kind == Python::Async {
            python.arg("async");
        }
        Self::start(python, "Python 3.11 or newer").await
    }

    /// The official Socket.IO server with a snapshot endpoint; see `tests/oracles/server.mjs`.
    pub async fn server() -> Self {
        Self::node("server.mjs").await
    }

    /// A file of an npm package that the oracles use, such as `axe-core/axe.min.js`.
    #[must_use]
    pub fn package_file(name: &str) -> String {
        let path = modules().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    async fn node(script: &str) -> Self {
        modules();
        let mut node = Command::new("node");
        node.arg(script);
        Self::start(node, "Node 20").await
    }

    async fn start(mut program: Command, needed: &str) -> Self {
        let mut child = program
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program:?} could not be run ({error}); install {needed}")
            });
        let stdin = child.stdin.take().expect("standard input is piped");
        let stdout = child.stdout.take().expect("standard output is piped");
        let replies = Replies::default();
        let (sender, happenings) = unbounded_channel();
        tokio::spawn(listen(stdout, Arc::clone(&replies), sender));
        let seen = Vec::new();
        let mut oracle = Self { _child: child, stdin, asked: 0, replies, happenings, seen };
        oracle.until("ready", |_| true).await;
        oracle
    }

    /// Asks for an action and returns its answer.
    pub async fn ask(&mut self, action: &str, arguments: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        let mut question = arguments;
        question["id"] = json!(id);
        question["do"] = json!(action);
        let (sender, answer) = oneshot::channel();
        self.replies.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        let line = format!("{question}\n");
        self.stdin.write_all(line.as_bytes()).await.expect("the oracle listens");
        let what = format!("the oracle's answer to {action}");
        match within(&what, answer).await.expect("the oracle lives") {
            Ok(value) => value,
            Err(error) => panic!("{action}: {error}"),
        }
    }

    /// The next happening of that name that fits; those before it are only noted in
    /// [`seen`](Self::seen).
    pub async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = tokio::time::timeout(crate::DEADLINE, async {
            while let Some(happening) = self.happenings.recv().await {
                self.seen.push(happening.clone());
                if happening["happened"] == name && fits(&happening) {
                    return happening;
                }
            }
            panic!("the oracle has ended; it saw {:#?}", self.seen)
        });
        let Ok(happening) = found.await else {
            panic!("waited in vain for {name:?}; the oracle saw {:#?}", self.seen);
        };
        happening
    }

    /// All events of that name so far, also those that no call waited for.
    pub fn seen(&mut self, name: &str) -> Vec<Value> {
        while let Ok(happening) = self.happenings.try_recv() {
            self.seen.push(happening);
        }
        self.seen.iter().filter(|happening| happening["happened"] == name).cloned().collect()
    }
}

async fn listen(stdout: ChildStdout, replies: Replies, happenings: UnboundedSender<Value>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(message) = serde_json::from_str::<Value>(&line) else { continue };
        let Some(id) = message["reply"].as_u64() else {
            // A test that has ended listens no more.
            let _ = happenings.send(message);
            continue;
        };
        let waiting = replies.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(sender) = waiting {
            let answer = match message["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(message["value"].clone()),
            };
            let _ = sender.send(answer);
        }
    }
}

/// The installed packages, which a command of ours installs and a test never does.
fn modules() -> PathBuf {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("oracles/node_modules");
    assert!(
        modules.is_dir(),
        "the oracles' packages are not installed; run `cargo xtask test`, or: npm ci --prefix \
         tests/oracles"
    );
    modules
}
