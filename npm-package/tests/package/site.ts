import { createReadStream, existsSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
}

/** A folder that is being served. */
export interface Site {
  url: string
  close(): void
}

/** Serves a folder on loopback, under a Content-Security-Policy where one is given. */
export async function serve(folder: string, policy?: string): Promise<Site> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    const file = path.join(folder, pathname === '/' ? 'index.html' : path.normalize(pathname))
    const type = TYPES[path.extname(file)]
    if (type === undefined || !existsSync(file)) {
      response.writeHead(404).end()
      return
    }
    const headers = policy === undefined ? {} : { 'content-security-policy': policy }
    response.writeHead(200, { 'content-type': type, ...headers })
    createReadStream(file).pipe(response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    close() {
      server.closeAllConnections()
      server.close()
    },
  }
}
