/** The package in Next.js: rendered on the server, then live in Chromium. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, expect, inject, it } from 'vitest'

import { Backend, WISHES } from './backend.js'
import { Browser } from './browser.js'
import { Project } from './project.js'
import { serverTool } from './tool.js'

let project: Project
let backend: Backend
let browser: Browser

beforeAll(async () => {
  backend = await Backend.start()
  browser = await Browser.start()
  project = new Project(await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-next-')))
  await project.install(inject('packed').tarball, ['next', 'react', 'react-dom'])
  await project.write('app/layout.jsx', LAYOUT)
  await project.write('app/page.jsx', PAGE)
  await project.write('app/wishes.jsx', wishes(backend.origin))
})

afterAll(async () => {
  await browser?.close()
  await backend?.close()
  await rm(project.folder, { recursive: true, force: true })
})

it('builds, renders on the server, and is live in the page', async () => {
  await project.exec('node', 'node_modules/next/dist/bin/next', 'build')
  const files = await readdir(project.path('.next/static'), { recursive: true })
  expect(files.filter(file => file.endsWith('.wasm'))).toHaveLength(1)
  await isLiveUnder('production')
})

it('is live under the development server', () => isLiveUnder('development'))

async function isLiveUnder(mode: 'production' | 'development'): Promise<void> {
  const { url, stop } = await serverTool('next.mjs', mode, project.folder)
  try {
    const page = await fetch(url)
    expect(await page.text()).toContain('<p>idle</p>')
    await browser.open(`${url}?name=${mode}`)
    await backend.until(mode, report => report.status === 'live' && report.wishes === WISHES)
  } finally {
    await stop()
  }
}

const LAYOUT = `
export default function Layout({ children }) {
  return <html><body>{children}</body></html>
}
`

// A server component; only what it shows is marked for the client.
const PAGE = `
import { Dashboard } from './wishes'

export default function Page() {
  return <Dashboard />
}
`

function wishes(backend: string): string {
  return `
'use client'
import { createDashboardClient } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import { useEffect } from 'react'

const client = createDashboardClient({ url: '${backend}', getToken: () => 'token', logger: null })

function Wishes() {
  const status = useDashboard(state => state.status)
  const wishes = useDashboard(state => state.view?.summary.totalWishlistItems)
  useEffect(() => {
    const name = new URL(location.href).searchParams.get('name')
    const body = JSON.stringify({ status, wishes })
    fetch('${backend}/reports/' + name, { method: 'POST', body })
  }, [status, wishes])
  return <p>{status}</p>
}
export function Dashboard() {
  return <DashboardProvider client={client}><Wishes /></DashboardProvider>
}
`
}
