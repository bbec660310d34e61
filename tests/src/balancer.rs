//! A load balancer as in front of several nodes: it asks each whether it is ready, and hands new
//! connections to those that are.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::process::Process;

/// How often a node is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// A balancer; it ends with this value.
pub struct Balancer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

#[derive(Default)]
struct State {
    nodes: Vec<Node>,
    turn: usize,
    /// When each socket came.
    sockets: Vec<Instant>,
}

struct Node {
    public: SocketAddr,
    readiness: String,
    is_ready: bool,
}

impl Balancer {
    /// Starts one without nodes.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::new(Mutex::new(State::default()));
        let tasks = [
            tokio::spawn(accept(listener, Arc::clone(&state))),
            tokio::spawn(ask(Arc::clone(&state))),
        ];
        Self { address, state, _tasks: tasks.map(AbortOnDropHandle::new) }
    }

    /// Adds a node, which gets connections once it is ready.
    pub fn add(&self, process: &Process) {
        let public = process.url().trim_start_matches("http://").parse().expect("an address");
        let readiness = format!("{}/readyz", process.admin_url());
        lock(&self.state).nodes.push(Node { public, readiness, is_ready: false });
    }

    /// How many nodes are ready.
    #[must_use]
    pub fn ready(&self) -> usize {
        lock(&self.state).nodes.iter().filter(|node| node.is_ready).count()
    }

    /// When sockets were opened since the last call.
    #[must_use]
    pub fn take_sockets(&self) -> Vec<Instant> {
        std::mem::take(&mut lock(&self.state).sockets)
    }

    /// Where clients connect, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(hand_over(client, Arc::clone(&state)));
    }
}

async fn hand_over(mut client: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = [0; 16];
    if client.peek(&mut head).await.is_ok() && head.starts_with(b"GET /socket.io") {
        lock(&state).sockets.push(Instant::now());
    }
    for node in choices(&state) {
        if let Ok(mut server) = TcpStream::connect(node).await {
            copy_bidirectional(&mut client, &mut server).await.ok();
            return;
        }
    }
}

/// The nodes that are ready, each first in its turn; then the others, as balancers do where none is ready:
/// on a busy machine a node may be late with its answer.
fn choices(state: &Mutex<State>) -> Vec<SocketAddr> {
    let mut state = lock(state);
    let (mut ready, others): (Vec<&Node>, Vec<&Node>) =
        state.nodes.iter().partition(|node| node.is_ready);
    let first = (state.turn + 1) % ready.len().max(1);
    ready.rotate_left(first);
    let choices = ready.into_iter().chain(others).map(|node| node.public).collect();
    state.turn += 1;
    choices
}

async fn ask(state: Arc<Mutex<State>>) {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).timeout(INTERVAL * 10);
    let client = client.build().expect("a plain HTTP client can be built");
    loop {
        let nodes: Vec<_> = lock(&state).nodes.iter().map(|node| node.readiness.clone()).collect();
        for (place, address) in nodes.into_iter().enumerate() {
            let answer = client.get(address).send().await;
            let is_ready = answer.is_ok_and(|answer| answer.status().is_success());
            lock(&state).nodes[place].is_ready = is_ready;
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
