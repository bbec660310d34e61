// The measured peer: the same service as a team would write it for Node, with nothing left out that
// makes it fast. It reads the same tables, follows the same change log, sends the same events, and
// refreshes a user at most once in the same window. What fills those tables from the application's is
// a server that runs beside it.
//
// Settings by environment: PORT (0 for any), DATABASE_URL, JWT_SECRET, JWT_ISSUER, JWT_CLIENT_ID,
// TLS_CERT and TLS_KEY (files). Prints `listening on http://127.0.0.1:<port>` once it answers.

import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import express from 'express'
import jwt from 'jsonwebtoken'
import { Server } from 'socket.io'
import { Changes } from './changes.js'
import { Dashboards } from './dashboards.js'

const {
  PORT = '0',
  DATABASE_URL,
  JWT_SECRET,
  JWT_ISSUER,
  JWT_CLIENT_ID,
  TLS_CERT,
  TLS_KEY,
} = process.env

/** What a good token says, or undefined. */
function check(token) {
  try {
    const claims = jwt.verify(token ?? '', JWT_SECRET, {
      algorithms: ['HS256'],
      issuer: JWT_ISSUER,
    })
    const fits = claims.token_use === 'access' && claims.client_id === JWT_CLIENT_ID
    return fits ? claims : undefined
  } catch {
    return undefined
  }
}

/** What good tokens of requests say, which come with the same one again and again. */
const known = new Map()
const MAX_KNOWN = 10_000

/** The same, where a token is checked once in its life. */
function checkOnce(token) {
  const before = known.get(token)
  if (before && Date.now() < before.exp * 1000) return before
  const claims = check(token)
  if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value)
  if (claims) known.set(token, claims)
  return claims
}

const dashboards = new Dashboards(DATABASE_URL)

const app = express()
app.disable('x-powered-by')
app.disable('etag')
app.get('/api/dashboard', async (request, response) => {
  const user = checkOnce(request.headers.authorization?.replace(/^Bearer /, ''))?.sub
  if (!user) {
    response.status(401).json({ success: false, error: { code: 'UNAUTHORIZED', message: '' } })
    return
  }
  const current = request.headers['if-none-match']
  response.setHeader('Cache-Control', 'private, no-cache')
  if (current && current === (await dashboards.tag(user))) {
    response.setHeader('ETag', current)
    response.status(304).end()
    return
  }
  const { tag, body } = await dashboards.snapshot(user)
  response.setHeader('ETag', tag)
  response.setHeader('Content-Type', 'application/json; charset=utf-8')
  response.setHeader('Content-Length', Buffer.byteLength(body))
  response.end(body)
})

const secure = TLS_CERT && { cert: readFileSync(TLS_CERT), key: readFileSync(TLS_KEY) }
const http = secure ? createSecureServer(secure, app) : createServer(app)
const io = new Server(http, {
  transports: ['websocket'],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  maxHttpBufferSize: 16 * 1024,
})
const namespace = io.of('/dashboard')
namespace.use((socket, next) => {
  const user = check(socket.handshake.auth.token)?.sub
  if (!user) {
    next(new Error('AUTH_FAILED'))
    return
  }
  socket.data.user = user
  // What the handshake keeps of the request is not needed any more.
  socket.conn.request = null
  next()
})
namespace.on('connection', socket => socket.join(`user:${socket.data.user}`))

const changes = new Changes(DATABASE_URL, {
  isConnected: user => namespace.adapter.rooms.has(`user:${user}`),
  refresh: async (user, sections) => {
    for (const event of await dashboards.events(user, sections)) {
      namespace.to(`user:${user}`).emit(event.type, event)
    }
  },
})
await changes.start()

http.listen(Number(PORT), '127.0.0.1', 16_384, () => {
  const scheme = secure ? 'https' : 'http'
  console.log(`listening on ${scheme}://127.0.0.1:${http.address().port}`)
})
