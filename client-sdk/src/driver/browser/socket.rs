//! Runs one WebSocket: from the moment that its token is known to its close.

use alloc::rc::Rc;
use core::cell::Cell;

use crate::prelude::*;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{CloseEvent, MessageEvent, WebSocket};

use super::callbacks::message_of;
use crate::machine::{EffectId, Input, Loss, Secret};
use crate::state::{Code, Reason};

/// An open or opening socket; closed when it is dropped, and silent from then on.
#[derive(Debug)]
pub(super) struct Socket {
    inner: WebSocket,
    _on_open: Closure<dyn FnMut()>,
    _on_message: Closure<dyn Fn(MessageEvent)>,
    _on_error: Closure<dyn FnMut()>,
    _on_close: Closure<dyn FnMut(CloseEvent)>,
}

impl Socket {
    /// Opens the socket. Every report about it carries its epoch.
    pub(super) fn open(
        url: &str,
        epoch: EffectId,
        token: Option<Secret>,
        tell: impl Fn(Input) + Clone + 'static,
    ) -> Result<Self, Loss> {
        let socket =
            WebSocket::new(url).map_err(|thrown| lost(Code::SocketFailed, message_of(&thrown)))?;
        let (opened, failed, heard) = (tell.clone(), tell.clone(), tell.clone());
        // Taken by what comes first: an opening, or an error instead of it.
        let token = Rc::new(Cell::new(Some(token)));
        let at_error = Rc::clone(&token);
        let on_open = Closure::<dyn FnMut()>::new(move || {
            if let Some(token) = token.take() {
                opened(Input::Opened { epoch, token });
            }
        });
        let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            heard(match event.data().as_string() {
                Some(text) => Input::Frame { epoch, text },
                None => Input::BinaryFrame { epoch },
            });
        });
        // Of a socket that cannot be opened, this is all that Node 22 tells. Elsewhere a close
        // follows, which says no more. It always follows where the socket was open.
        let unheard = socket.clone();
        let on_error = Closure::<dyn FnMut()>::new(move || {
            if at_error.take().is_some() {
                unheard.set_onclose(None);
                let loss = lost(Code::SocketFailed, "the socket could not be opened");
                failed(Input::Closed { epoch, loss });
            }
        });
        let on_close = Closure::<dyn FnMut(CloseEvent)>::new(move |event: CloseEvent| {
            let code = event.code().to_string();
            let message = ["the socket closed with code ", &code].concat();
            tell(Input::Closed { epoch, loss: lost(Code::SocketClosed, message) });
        });
        socket.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        socket.set_onerror(Some(on_error.as_ref().unchecked_ref()));
        socket.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        Ok(Self {
            inner: socket,
            _on_open: on_open,
            _on_message: on_message,
            _on_error: on_error,
            _on_close: on_close,
        })
    }

    /// The socket itself, to send on.
    pub(super) fn handle(&self) -> WebSocket {
        self.inner.clone()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.inner.set_onopen(None);
        self.inner.set_onmessage(None);
        self.inner.set_onerror(None);
        self.inner.set_onclose(None);
        let _: Result<(), JsValue> = self.inner.close();
    }
}

pub(super) fn lost(code: Code, message: impl Into<String>) -> Loss {
    Loss { reason: Reason::new(code, message), retry_after: None }
}
