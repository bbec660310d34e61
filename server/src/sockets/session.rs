//! Implements the protocol's part of a socket, which is the same over each transport: who is in, what is
//! sent next, and when a client has been silent for too long.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use shared_types::event::{INVALID_NAMESPACE, NAMESPACE};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::Slot;
use crate::metrics::Limit;
use crate::sockets::connection::{Connection, State, Transport};
use crate::sockets::context::SocketContext;
use crate::sockets::end_reason::EndReason;
use crate::sockets::handshake::Admission;
use crate::sockets::packet::{self, ClientPacket};

/// How many bytes of replies may wait for a client that asks without reading. Beyond, it is cut off.
const MAX_REPLIES: usize = 4 * 1024;

/// What ends a socket whose client said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no packet, or none that a client may send.
    Malformed,
    /// Only a client that is in the namespace may say it.
    Forbidden,
    /// It is the end for that reason.
    Over(EndReason),
}

/// One socket's session. Dropping it is the socket's end.
pub(crate) struct Session {
    pub(super) connection: Arc<Connection>,
    pub(super) context: Arc<SocketContext>,
    /// The client's right to enter is being checked.
    pub(super) admission: Option<Admission>,
    /// The client is in the namespace: events may go out.
    is_admitted: bool,
    /// Frames that answer the client.
    replies: Vec<u8>,
    pub(super) phase: Phase,
    /// The client has been given the last ping: only then can it have answered.
    is_ping_out: bool,
    /// What the phase waits for comes too late.
    deadline: Pin<Box<Sleep>>,
    /// Its place among the sockets.
    slot: Option<Slot>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Until the next ping is due.
    Idle,
    /// Until the answer to a ping is due.
    Asked,
    /// Closing: what waits has yet to go out.
    Emptying,
    /// Closing: the client has received the end, and may close as well.
    Leaving,
    /// Closing: nothing more is written.
    Shut,
}

impl Phase {
    fn is_closing(self) -> bool {
        matches!(self, Self::Emptying | Self::Leaving | Self::Shut)
    }
}

impl Session {
    pub(crate) fn new(
        connection: Arc<Connection>,
        slot: Slot,
        context: Arc<SocketContext>,
    ) -> Self {
        Self {
            connection,
            admission: None,
            is_admitted: false,
            replies: Vec::new(),
            phase: Phase::Idle,
            is_ping_out: false,
            deadline: Box::pin(sleep(context.config.heartbeat.interval)),
            slot: Some(slot),
            context,
        }
    }

    /// Tells the client the rules, the session's name for its transport, and which transports it
    /// may change to.
    pub(super) fn open(&mut self, sid: &str, upgrades: &[&str]) {
        let config = self.context.config;
        let max_payload = config.frames.max_message_bytes;
        if let Err(reason) = self.reply(packet::open(sid, upgrades, config.heartbeat, max_payload))
        {
            self.connection.cut(reason);
        }
    }

    /// The name under which the logs know the socket, and its client in the namespace.
    pub(super) fn name(&self) -> String {
        self.connection.id.simple().to_string()
    }

    /// Does what the rest of the server has decided about the connection. `patience` limits how long a
    /// closing connection may take to send what waits.
    pub(super) fn apply_state(&mut self, patience: Duration) -> Result<(), EndReason> {
        match self.connection.state() {
            State::Cut => Err(EndReason::TransportError),
            State::Closing if !self.phase.is_closing() => {
                self.admission = None;
                // Before the client learns of it, so that it is gone from the room when the client comes back.
                self.context.rooms.leave(&self.connection, EndReason::ServerDisconnect);
                self.wait(Phase::Emptying, patience);
                Ok(())
            }
            _ if self.connection.take_ask() && self.phase == Phase::Idle => self.ask(),
            _ => Ok(()),
        }
    }

    /// Answers the client once its right to enter has been checked. Whether it has.
    pub(super) fn admit(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        let Some(admission) = &mut self.admission else { return Ok(false) };
        let Poll::Ready(admitted) = admission.as_mut().poll(cx) else { return Ok(false) };
        self.admission = None;
        match admitted {
            Ok(tag) => {
                self.is_admitted = true;
                self.reply(packet::accept(&self.name(), tag.as_ref()))?;
            }
            Err(refused) => {
                if let Some(why) = refused.message() {
                    self.reply(Ok(packet::refuse(NAMESPACE, why, why)))?;
                }
            }
        }
        Ok(true)
    }

    /// The frames that go out next, if any: nothing before the client is in the namespace but what
    /// answers it.
    pub(super) fn next_frames(&mut self) -> Option<Bytes> {
        if !self.replies.is_empty() {
            if self.phase == Phase::Asked && !self.is_ping_out {
                self.connection.asked();
            }
            self.is_ping_out = true;
            return Some(std::mem::take(&mut self.replies).into());
        }
        if self.is_admitted { self.connection.outbox.next() } else { None }
    }

    /// Takes what the client said.
    pub(super) fn receive(&mut self, packet: &str) -> Result<(), Fault> {
        match packet::read(packet).map_err(|_| Fault::Malformed)? {
            ClientPacket::Pong if self.phase == Phase::Asked && self.is_ping_out => {
                self.connection.answered();
                // From ping to ping: the client counts on the next one, however long its answer was on its way.
                let heartbeat = self.context.config.heartbeat;
                let asked = self.deadline.deadline() - heartbeat.patience();
                self.wait_until(Phase::Idle, asked + heartbeat.interval);
            }
            ClientPacket::Connect(auth) => self.authenticate(auth)?,
            ClientPacket::ConnectElsewhere(namespace) => {
                let refusal = packet::refuse(&namespace, "Invalid namespace", INVALID_NAMESPACE);
                self.reply(Ok(refusal)).map_err(Fault::Over)?;
            }
            ClientPacket::Disconnect if self.is_admitted || self.admission.is_some() => {
                // Without the namespace the connection has no purpose. Noted first, so that every
                // line of its end names the same reason.
                self.connection.close_soon(EndReason::ClientDisconnect);
                self.context.rooms.leave(&self.connection, EndReason::ClientDisconnect);
            }
            // No part of the server reads it. But only a client that is in, or about to be, may send it.
            ClientPacket::Event if !self.is_admitted && self.admission.is_none() => {
                return Err(Fault::Forbidden);
            }
            ClientPacket::Close => return Err(Fault::Over(EndReason::TransportClose)),
            ClientPacket::Pong
            | ClientPacket::Disconnect
            | ClientPacket::Event
            | ClientPacket::Nothing => {}
        }
        Ok(())
    }

    /// Keeps the phase's time. Whether it was up.
    pub(super) fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Result<bool, EndReason> {
        if self.deadline.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        match self.phase {
            Phase::Idle => self.ask().map(|()| true),
            Phase::Asked => Err(EndReason::HeartbeatTimeout),
            Phase::Emptying | Phase::Leaving | Phase::Shut => Err(EndReason::TransportError),
        }
    }

    /// Notes why the socket ends. Of a client that never said whose it is, that it is gone says
    /// nothing more.
    pub(super) fn ended(&self, reason: EndReason) {
        let is_stranger = self.connection.session.get().is_none();
        let is_gone = matches!(reason, EndReason::TransportClose | EndReason::TransportError);
        self.connection.ended_by(if is_stranger && is_gone {
            EndReason::Unauthenticated
        } else {
            reason
        });
    }

    /// Notes a panic, which ends the socket.
    pub(super) fn panicked(&self) -> EndReason {
        self.context.metrics.panics.inc();
        EndReason::Panic
    }

    /// Asks the client whether it is there.
    fn ask(&mut self) -> Result<(), EndReason> {
        // A client that polls and is gone never fetches the ping. Over a WebSocket it counts from when it goes out.
        if self.connection.transport() == Transport::Polling {
            self.connection.asked();
        }
        self.is_ping_out = false;
        self.wait(Phase::Asked, self.context.config.heartbeat.patience());
        self.reply(Ok(packet::PING.to_owned()))
    }

    fn wait(&mut self, phase: Phase, patience: Duration) {
        self.wait_until(phase, Instant::now() + patience);
    }

    fn wait_until(&mut self, phase: Phase, deadline: Instant) {
        self.phase = phase;
        self.deadline.as_mut().reset(deadline);
    }

    /// Puts a packet behind the other replies.
    fn reply(&mut self, packet: Result<String, packet::Failed>) -> Result<(), EndReason> {
        let framed = packet.and_then(|packet| packet::frame(packet, &mut self.replies));
        if let Err(error) = framed {
            tracing::error!(%error, "a reply cannot be written");
            return Err(EndReason::Encoding);
        }
        if self.replies.len() > MAX_REPLIES { Err(EndReason::SlowConsumer) } else { Ok(()) }
    }

    /// One attempt a connection: who was refused may not try again. A second one of who is in, or
    /// about to be, is passed over, as is one that comes while the socket ends for another reason.
    fn authenticate(&mut self, auth: Option<serde_json::Value>) -> Result<(), Fault> {
        match self.connection.reason() {
            Some(EndReason::Refused | EndReason::AuthFailures) => {
                self.context.metrics.limited(Limit::AuthAttempts);
                return Err(Fault::Over(EndReason::AuthAttempts));
            }
            None if !self.is_admitted && self.admission.is_none() => {
                self.admission = Some(self.context.admit(&self.connection, auth));
            }
            None | Some(_) => {}
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.connection.outbox.close();
        // A client that learns of the end may take the place at once.
        drop(self.slot.take());
        self.context.over(&self.connection);
    }
}
