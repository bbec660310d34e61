// node next.mjs <production | development> <root>
//
// Serves a Next.js app with its project's Next.js; for production, it has been built.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import path from 'node:path'

import { tell, untilParentLeaves } from './tell.mjs'

const [mode, dir] = process.argv.slice(2)
// As Next.js's own command does it.
process.env.NODE_ENV = mode
const next = createRequire(path.join(dir, 'package.json'))('next')
const app = next({ dir, dev: mode === 'development', hostname: '127.0.0.1' })
await app.prepare()
const server = createServer(app.getRequestHandler())
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
tell({ url: `http://127.0.0.1:${server.address().port}/` })
await untilParentLeaves()
process.exit()
