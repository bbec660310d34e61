/** The package in pages, bundled by tools without plugins, in Chromium. */
import path from 'node:path'

import { afterAll, beforeAll, beforeEach, describe, expect, inject, it, vi } from 'vitest'

import { Backend, type Report, WISHES } from './backend.js'
import { Browser } from './browser.js'
import { BUNDLERS, type Built, webpack } from './bundlers.js'
import { copyExample, watchExample } from './example.js'
import { html, PLAIN, REACT, REQUIRED } from './page.js'
import { manifest, Project } from './project.js'
import { serve } from './site.js'
import { exec, type Running, serverTool } from './tool.js'

const project = new Project(inject('packed').project)
const [plain, react, required] = ['plain', 'react', 'required'].map(app =>
  project.path('apps', app),
) as [string, string, string]
let backend: Backend
let browser: Browser

beforeAll(async () => {
  for (const [app, script] of [
    ['plain', PLAIN],
    ['react', REACT],
    ['required', REQUIRED],
  ]) {
    await project.write(`apps/${app}/main.js`, script as string)
    const index = html('<script type="module" src="/main.js"></script>')
    await project.write(`apps/${app}/index.html`, index)
  }
  await project.write('apps/required/package.json', '{ "type": "commonjs" }')
  backend = await Backend.start()
  browser = await Browser.start()
})

afterAll(async () => {
  await browser?.close()
  await backend?.close()
})

beforeEach(({ onTestFailed }) => {
  onTestFailed(() => console.error(['Pages said:', ...browser.messages].join('\n')))
})

describe.each(BUNDLERS)('$name', ({ name, module, build }) => {
  let built: Built

  beforeAll(async () => {
    built = await build(plain)
  })

  it('puts the client alone into the script of an app that imports it alone', async () => {
    const { name: own, exports } = await manifest()
    const inside = project.path('node_modules', own)
    expect(built.sources).toContain(path.join(inside, 'dist/entry/browser.js'))

    const installed = built.sources.filter(source => source.includes('/node_modules/'))
    expect(installed.filter(source => !source.startsWith(`${inside}/dist/`))).toEqual([])
    const others = targets(exports).filter(target => !target.endsWith('/entry/browser.js'))
    expect(installed.filter(source => others.includes(path.relative(inside, source)))).toEqual([])
  })

  it('emits the module as one file beside the script', () => {
    const modules = built.files.filter(file => file.endsWith('.wasm'))
    expect(modules).toEqual([expect.stringMatching(module)])
  })

  it('is live under a strict Content-Security-Policy, and loads the module on start', async () => {
    const page = `${name}, strict`
    const last = await told(built.folder, page, isCurrent, policy("'wasm-unsafe-eval'"))
    expect(backend.reports(page).find(({ status }) => status === 'made')?.modules).toEqual([])
    expect(last.modules).toHaveLength(1)
  })

  it('says which directive is missing where the policy forbids WebAssembly', async () => {
    const page = `${name}, forbidden`
    const { status, message } = await told(built.folder, page, isNotLoaded, policy())
    expect(status).toBe('backoff')
    expect(message).toContain("Content-Security-Policy needs 'wasm-unsafe-eval' in script-src")
  })
})

// Vite leaves an app's own calls of require alone.
describe.each(BUNDLERS.filter(({ name }) => /webpack|esbuild/.test(name)))(
  '$name, for an app whose compiler writes require',
  ({ build }) => {
    it('takes the ES modules', async () => {
      const { sources, files } = await build(required)
      const inside = project.path('node_modules/@moc/dashboard-sdk/dist')
      const own = sources.filter(source => source.startsWith(inside))
      expect(own).toContain(path.join(inside, 'entry/browser.js'))
      expect(own.filter(source => source.startsWith(path.join(inside, 'cjs')))).toEqual([])
      expect(files.filter(file => file.endsWith('.wasm'))).toHaveLength(1)
    })
  },
)

describe('development', () => {
  it.each([
    ['Vite 7', 'vite7'],
    ['Vite 8', 'vite8'],
  ])('is live on the server of %s, which moves dependencies', async (name, vite) => {
    const last = await toldByServer(vite, plain, `${name}, development`)
    expect(last.modules).toEqual([])
  })

  it('is live when webpack builds for development', async () => {
    const { name, build } = webpack('development')
    const { folder, files } = await build(plain)
    expect(files.filter(file => file.endsWith('.wasm'))).toEqual([])
    expect(await told(folder, name, isCurrent)).toMatchObject({ modules: [] })
  })
})

describe('a React app in StrictMode', () => {
  it.each(BUNDLERS.filter(({ name }) => /Vite 8|webpack/.test(name)))(
    'is live when built by $name',
    async ({ name, build }) => {
      const { folder } = await build(react)
      await told(folder, `${name}, React`, isCurrent, policy("'wasm-unsafe-eval'"))
    },
  )

  it('is live on the server of Vite 8', () => toldByServer('vite8', react, 'vite8, React'))
})

describe('the example app', () => {
  let copy: string
  const script = (name: string) => exec(copy, 'npm', 'run', name, '--loglevel=error')

  beforeAll(async () => {
    copy = await copyExample(project)
    vi.stubEnv('DASHBOARD_SERVER', backend.origin)
    return () => void vi.unstubAllEnvs()
  })

  it('passes its own test', async () => {
    await script('test')
  })

  it('passes a strict compiler, is built, and is live behind its proxy', async () => {
    await script('build')
    await watchExample(copy)
    await toldBy(await serverTool('vite.mjs', 'vite8', 'preview', copy), 'example')
  })
})

/** Live, with what only the snapshot and the event after it tell together. */
function isCurrent({ status, wishes }: Report): boolean {
  return status === 'live' && wishes === WISHES
}

function isNotLoaded({ reason }: Report): boolean {
  return reason === 'MODULE_LOAD_FAILED'
}

/** What the page must be allowed: its own files and the backend; and more scripts, if any. */
function policy(...scripts: string[]): string {
  const { host } = new URL(backend.origin)
  return (
    `default-src 'self'; script-src ${["'self'", ...scripts].join(' ')}; ` +
    `connect-src 'self' http://${host} ws://${host}`
  )
}

/** Opens the page in a folder, and waits until it says something that fits. */
async function told(
  folder: string,
  name: string,
  fits: (report: Report) => boolean,
  policy?: string,
): Promise<Report> {
  const site = await serve(folder, policy)
  try {
    await browser.open(`${site.url}?${new URLSearchParams({ backend: backend.origin, name })}`)
    return await backend.until(name, fits)
  } finally {
    site.close()
  }
}

/** The same with Vite's development server, until the page is live. */
async function toldByServer(vite: string, app: string, name: string): Promise<Report> {
  const cache = path.join(app, `.cache-${vite}`)
  return toldBy(await serverTool('vite.mjs', vite, 'serve', app, cache), name)
}

async function toldBy({ url, stop }: Running, name: string): Promise<Report> {
  try {
    await browser.open(`${url}?${new URLSearchParams({ backend: backend.origin, name })}`)
    return await backend.until(name, isCurrent)
  } finally {
    await stop()
  }
}

/** Every file that `exports` names, below the package's folder. */
function targets(exports: unknown): string[] {
  if (typeof exports === 'string') return [path.normalize(exports)]
  return Object.values(exports as Record<string, unknown>).flatMap(targets)
}
