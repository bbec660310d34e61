// The official Socket.IO server and a snapshot endpoint, both doing what the test says.

import { createServer } from 'node:http'
import { Server } from 'socket.io'
import { PacketType } from 'socket.io-parser'
import { serve, tell } from './lines.mjs'

let http
let io
let port = 0
let refuses = null
let snapshot = { status: 200, headers: {}, body: null, etag: null }
let held = null
let open = true

serve({
  listen,
  stop,
  sockets,
  accept,
  refuse,
  answer,
  hold,
  release,
  emit,
  frame,
  disconnect,
  cut,
  count,
})

/** Listens on a free port, later on the same one again. */
async function listen({ options = {} }) {
  http = createServer(handle)
  io = new Server(http, { allowRequest, ...options })
  io.of('/dashboard').use(admit)
  io.of('/dashboard').on('connection', (socket) => {
    tell('connection', { auth: socket.handshake.auth, cookie: socket.handshake.headers.cookie })
    socket.on('disconnect', (reason) => tell('disconnection', { reason }))
  })
  await new Promise((resolve, reject) => {
    http.once('error', reject)
    http.listen(port, '127.0.0.1', resolve)
  })
  port = http.address().port
  return { port }
}

/** Closes every connection and stops listening. */
async function stop() {
  http.closeAllConnections()
  await io.close()
}

/** From now on sockets are let in or turned away before the handshake; REST is not concerned. */
function sockets({ allowed }) {
  open = allowed
}

function allowRequest(request, decide) {
  if (!open) tell('turned_away')
  decide(open ? null : 'closed', open)
}

function accept() {
  refuses = null
}

/** From now on the handshake is refused with that message. */
function refuse({ message, data }) {
  refuses = { message, data }
}

function admit(socket, next) {
  if (refuses === null) {
    tellTag(socket)
    return next()
  }
  tell('refusal', { auth: socket.handshake.auth })
  next(Object.assign(new Error(refuses.message), refuses.data ? { data: refuses.data } : {}))
}

/** Puts the snapshot's tag into the acceptance, which the library writes without asking anyone. */
function tellTag(socket) {
  const { packet } = socket
  socket.packet = (said, options) => {
    if (said.type === PacketType.CONNECT) said = { ...said, data: { ...said.data, tag: tag() } }
    packet.call(socket, said, options)
  }
}

/** The snapshot's tag without its quotes, if there is one. */
function tag() {
  return snapshot.etag?.slice(1, -1) ?? null
}

/**
 * What the snapshot endpoint answers from now on. With `etag`, it honours `If-None-Match`, sends
 * the tag to each socket that it accepts, and answers `?fresh=` as the server does. An error that
 * is no text repeats the nonce.
 */
function answer({ status = 200, headers = {}, body = null, etag = null }) {
  snapshot = { status, headers: etag === null ? headers : { ...headers, etag }, body, etag }
}

/** From now on requests wait, until `release`. */
function hold() {
  held ??= Promise.withResolvers?.() ?? deferred()
}

function release() {
  held?.resolve()
  held = null
}

function deferred() {
  let resolve
  const promise = new Promise((done) => (resolve = done))
  return { promise, resolve }
}

async function handle(request, response) {
  const { method, url, headers } = request
  tell('request', { method, url, headers })
  await held?.promise
  const { status, body, etag } = snapshot
  const query = new URL(url, 'http://localhost').searchParams
  const fresh = etag === null ? null : query.get('fresh')
  const known = etag !== null && fresh === null && headers['if-none-match'] === etag
  const caching = fresh === null ? 'private, no-cache' : 'no-store'
  const type = { 'content-type': 'application/json', 'cache-control': caching }
  response.writeHead(known ? 304 : status, { ...type, ...snapshot.headers })
  const view = query.get('have') === tag() ? null : body
  const isError = status >= 400 && typeof body === 'object' && body !== null
  const named = isError ? { ...body, fresh: query.get('fresh') ?? undefined } : body
  const answer = fresh === null ? named : { fresh, tag: tag(), view }
  response.end(known ? undefined : typeof answer === 'string' ? answer : JSON.stringify(answer))
}

function emit({ event, args }) {
  io.of('/dashboard').emit(event, ...args)
}

/** Sends an Engine.IO message as it is, past every encoder. */
function frame({ text }) {
  for (const socket of io.of('/dashboard').sockets.values()) socket.conn.write(text)
}

/** Disconnects politely: from the namespace, or the whole connection. */
function disconnect({ close = false }) {
  io.of('/dashboard').disconnectSockets(close)
}

/** Tears the TCP connections down without a word. */
function cut() {
  for (const socket of io.of('/dashboard').sockets.values()) {
    socket.conn.transport.socket._socket.resetAndDestroy()
  }
}

function count() {
  return io.of('/dashboard').sockets.size
}
