import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { createServer } from 'vite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { domOf, serve } from './browser.js'
import { install, type Project, pack } from './project.js'

const USE = `
import { createDashboardClient } from '@moc/dashboard-sdk'
import type { DashboardState } from '@moc/dashboard-sdk'

const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })
`

let scratch: string
let files: string[]
let project: Project

beforeAll(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-tarball-'))
  const packed = await pack(scratch)
  files = packed.files
  project = await install(packed.tarball, [
    'typescript',
    'vite',
    'react',
    'react-dom',
    '@types/react',
  ])
})

afterAll(async () => {
  await project?.remove()
  await rm(scratch, { recursive: true, force: true })
})

describe('the tarball', () => {
  it('holds what is needed and nothing else', () => {
    const strangers = files.filter(file => !/^(dist\/.+|README\.md|package\.json)$/.test(file))
    expect(strangers).toEqual([])
    for (const needed of [
      'README.md',
      'dist/entry/browser.js',
      'dist/entry/inline.js',
      'dist/entry/node.js',
      'dist/entry/browser.d.ts',
      'dist/react.js',
      'dist/types.d.ts',
      'dist/wasm/dashboard_core_bg.wasm',
    ]) {
      expect(files).toContain(needed)
    }
    expect(files.filter(file => /test|double|fixture/i.test(file))).toEqual([])
  })

  it('has no top-level await, which some bundlers refuse', async () => {
    const dist = path.join(project.folder, 'node_modules/@moc/dashboard-sdk/dist')
    for (const file of await readdir(dist, { recursive: true })) {
      if (!file.endsWith('.js')) continue
      expect(await readFile(path.join(dist, file), 'utf8'), file).not.toMatch(
        /^(const .*= )?await /m,
      )
    }
  })

  it('offers the same under every condition', async () => {
    const dist = path.join(project.folder, 'node_modules/@moc/dashboard-sdk/dist/entry')
    const declared = await Promise.all(
      ['browser', 'inline', 'node'].map(name => readFile(path.join(dist, `${name}.d.ts`), 'utf8')),
    )
    const exported = declared.map(text => text.slice(text.indexOf('export type')))
    expect(new Set(exported).size).toBe(1)
  })
})

describe('in Node', () => {
  it('is imported, made, rendered on a server, and says why it cannot connect', async () => {
    await project.write(
      'server.mjs',
      `
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import * as types from '@moc/dashboard-sdk/types'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'

const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })
function Status() {
  return createElement('p', null, useDashboard(state => state.status))
}
const html = renderToString(createElement(DashboardProvider, { client }, createElement(Status)))
delete globalThis.WebSocket
client.start()
const { status, freshness } = client.getState()
console.log(JSON.stringify({ html, status, reason: freshness.reason.code, types: Object.keys(types) }))
`,
    )
    expect(JSON.parse(await project.exec('node', 'server.mjs'))).toEqual({
      html: '<p>idle</p>',
      status: 'closed',
      reason: 'WEBSOCKET_UNAVAILABLE',
      types: [],
    })
  })

  it('loads the real module from its file where there is a WebSocket', async () => {
    await project.write(
      'connect.mjs',
      `
import { createDashboardClient } from '@moc/dashboard-sdk'

globalThis.WebSocket = class {
  constructor(url) {
    this.url = url
    setTimeout(() => this.onclose?.({ code: 1006, reason: '' }), 1)
  }
  close() {}
}
const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })
const seen = []
client.subscribe(state => {
  seen.push(state.status)
  if (state.status === 'backoff') client.stop()
  if (state.status === 'closed') console.log(JSON.stringify(seen))
})
client.start()
`,
    )
    const seen = JSON.parse(await project.exec('node', 'connect.mjs'))
    expect(seen).toEqual(['connecting', 'connecting', 'backoff', 'closed'])
  })
})

describe('types', () => {
  beforeAll(() =>
    project.write(
      'use.tsx',
      `${USE}
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import type { BuildStatus, DashboardView } from '@moc/dashboard-sdk/types'

export function Total(): string {
  const total: number | undefined = useDashboard(state => state.view?.summary.totalMocs)
  const state: DashboardState = useDashboard()
  return String(total) + state.status
}
export const page = <DashboardProvider client={client}><Total /></DashboardProvider>
export function built(view: DashboardView): number {
  const counts: Record<BuildStatus, number> = view.summary.mocsByBuildStatus
  const cover: string | null | undefined = view.recentMocs[0]?.coverImageUrl
  return counts.BUILT + (cover?.length ?? 0)
}
// @ts-expect-error there is no such status
export const wrong: DashboardState['status'] = 'offline'
// @ts-expect-error url is missing
createDashboardClient({ cookies: true })
`,
    ),
  )

  it.each([
    ['ESNext', 'bundler'],
    ['NodeNext', 'nodenext'],
  ])('are exact under module %s with resolution %s', async (module, moduleResolution) => {
    const compilerOptions = {
      ...{ target: 'ES2022', module, moduleResolution, jsx: 'react-jsx', noEmit: true },
      ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
      ...{ verbatimModuleSyntax: true, skipLibCheck: false, types: [] },
    }
    const config = `tsconfig.${moduleResolution}.json`
    await project.write(config, JSON.stringify({ compilerOptions, files: ['use.tsx'] }))
    expect(await project.exec('npx', 'tsc', '-p', config)).toBe('')
  })
})

describe('in a page, without plugins', () => {
  beforeAll(async () => {
    await project.write('index.html', '<body><script type="module" src="/main.js"></script></body>')
    await project.write(
      'main.js',
      `
import { createDashboardClient } from '@moc/dashboard-sdk'

const client = createDashboardClient({ url: location.origin, cookies: true, logger: null })
client.subscribe(({ status, freshness }) => {
  const line = document.createElement('p')
  line.textContent = status + ' ' + (freshness.reason?.code ?? '-')
  document.body.append(line)
})
client.start()
`,
    )
  })

  // While the module loads, the reason is MODULE_LOADING. That it goes away is the word of the
  // core itself, so the module was found, compiled and run.
  const running = '<p>connecting -</p>'

  it('builds with Vite and runs under a strict Content-Security-Policy', async () => {
    await project.exec('npx', 'vite', 'build')
    const assets = await readdir(path.join(project.folder, 'dist/assets'))
    expect(assets.filter(name => name.endsWith('.wasm'))).toHaveLength(1)

    const site = await serve(path.join(project.folder, 'dist'))
    try {
      expect(await domOf(site.url)).toContain(running)
    } finally {
      site.close()
    }
  })

  it('runs on Vite’s development server, which moves dependencies', async () => {
    const vite = await createServer({
      root: project.folder,
      configFile: false,
      logLevel: 'silent',
      server: { port: 0, host: '127.0.0.1', hmr: false },
    })
    try {
      await vite.listen()
      const [url] = vite.resolvedUrls?.local ?? []
      expect(await domOf(url as string)).toContain(running)
    } finally {
      await vite.close()
    }
  })
})
