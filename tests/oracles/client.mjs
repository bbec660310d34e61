// The official Socket.IO client. Tells everything that its sockets emit.

import { io } from 'socket.io-client'
import { serve, tell } from './lines.mjs'

const sockets = new Map()

serve({ connect, state, close, forgetAuth })

/** Opens a socket and names it; `options` are the client's own, `defaults` leaves the transport to it. */
function connect({ name, url, options, defaults }) {
  const transport = defaults ? {} : { transports: ['websocket'] }
  const socket = io(url, { ...transport, forceNew: true, ...options })
  sockets.set(name, socket)
  socket.on('connect', () => {
    tell('connect', { name, id: socket.id })
    const { engine } = socket.io
    tell('transport', { name, transport: engine.transport.name })
    engine.on('upgrade', (transport) => tell('transport', { name, transport: transport.name }))
  })
  socket.on('disconnect', (reason) => tell('disconnect', { name, reason }))
  socket.on('connect_error', (error) => {
    const { message, data, description, context } = error
    const status = typeof description === 'number' ? description : undefined
    const text = context?.responseText
    tell('connect_error', { name, message, data, status, text, active: socket.active })
  })
  socket.onAny((event, ...args) => tell('event', { name, event, args }))
  const manager = socket.io
  manager.on('reconnect_attempt', (attempt) => tell('reconnect_attempt', { name, attempt }))
  manager.on('close', (reason) => tell('manager_close', { name, reason }))
}

function state({ name }) {
  const socket = sockets.get(name)
  return { connected: socket.connected, active: socket.active, engine: socket.io._readyState }
}

/** Makes the next connection go out with another token. */
function forgetAuth({ name, auth }) {
  sockets.get(name).auth = auth
}

function close({ name }) {
  sockets.get(name).close()
  sockets.delete(name)
}
