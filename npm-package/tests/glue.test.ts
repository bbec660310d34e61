/** The built glue where the globals that it needs are hidden, as Jest with jsdom hides them. */
import { execFileSync } from 'node:child_process'

import { expect, it } from 'vitest'

const GLUE = new URL('../dist/wasm/glue.js', import.meta.url)
const REQUIRED = new URL('../dist/cjs/wasm/glue.js', import.meta.url)

it.each([GLUE, REQUIRED])('%s is imported and runs without a global TextDecoder', glue => {
  const program = `
    // Node makes it on first use, and needs the globals for that.
    globalThis.Response
    delete globalThis.TextDecoder
    delete globalThis.TextEncoder
    const { readFile } = await import('node:fs/promises')
    const module = await import('${glue}')
    const init = module.default.default ?? module.default
    await init({ module_or_path: await readFile(new URL('${new URL('dashboard_core_bg.wasm', GLUE)}')) })
    const heard = []
    const core = new module.DashboardCore({
      socketUrl: 'ws://gr\u00fcn.example',
      snapshotUrl: 'http://gr\u00fcn.example',
      cookies: true,
      onState: ({ status }) => heard.push(status),
      onDiagnostic: () => {},
    })
    globalThis.WebSocket = class { constructor(url) { heard.push(url) } close() {} }
    core.start()
    await new Promise(setImmediate)
    core.free()
    console.log(heard.join(' '))
  `
  const options = ['--input-type=module', '--no-warnings', '--eval', program]
  const said = execFileSync(process.execPath, options, { encoding: 'utf8' })
  expect(said).toBe('connecting ws://gr\u00fcn.example\n')
})
