/** The declarations, as strict compilers of apps read them, old and new. */
import { createRequire } from 'node:module'
import path from 'node:path'

import { beforeAll, expect, inject, it } from 'vitest'

import { importable, manifest, Project } from './project.js'
import { tools } from './tool.js'

const project = new Project(inject('packed').project)
const here = createRequire(import.meta.url)

const COMPILERS = [
  { version: 'TypeScript 5.7', compiler: tools.resolve('typescript/package.json') },
  { version: 'TypeScript of this repository', compiler: here.resolve('typescript/package.json') },
]
const RESOLUTIONS = [
  { module: 'ESNext', moduleResolution: 'bundler' },
  { module: 'NodeNext', moduleResolution: 'nodenext' },
]

beforeAll(async () => {
  await project.write('types/use.tsx', USE)
  const subpaths = importable(await manifest())
  const imports = subpaths.map((subpath, i) => `import * as part${i} from '${subpath}'\n`)
  const parts = subpaths.map((_, i) => `part${i}`)
  await project.write('types/all.ts', `${imports.join('')}export const all = [${parts}]\n`)
})

it.each(
  COMPILERS.flatMap(compiler => RESOLUTIONS.map(resolution => ({ ...compiler, ...resolution }))),
)('are exact for $version with resolution $moduleResolution', async options => {
  const { version, compiler, module, moduleResolution } = options
  const compilerOptions = {
    ...{ target: 'ES2022', module, moduleResolution, jsx: 'react-jsx', noEmit: true },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    // Without skipLibCheck, our declarations and those that they import are checked themselves.
    ...{ verbatimModuleSyntax: true, skipLibCheck: false, types: [] },
  }
  const config = `types/tsconfig.${version.replaceAll(/\W+/g, '-')}.${moduleResolution}.json`
  await project.write(config, JSON.stringify({ compilerOptions, files: ['use.tsx', 'all.ts'] }))
  const tsc = path.join(path.dirname(compiler), 'bin/tsc')
  expect(await project.exec(process.execPath, tsc, '-p', config)).toBe('')
})

it('are found by TypeScript 5.7 with resolution node10, and what comes out runs', async () => {
  const compilerOptions = {
    ...{ target: 'ES2022', module: 'CommonJS', moduleResolution: 'node10', jsx: 'react-jsx' },
    ...{ strict: true, exactOptionalPropertyTypes: true, noUncheckedIndexedAccess: true },
    ...{ skipLibCheck: false, types: [] },
  }
  await project.write('node10/package.json', '{ "type": "commonjs" }')
  const config = 'types/tsconfig.node10.json'
  const files = ['use.tsx', 'all.ts']
  await project.write(
    config,
    JSON.stringify({ compilerOptions: { ...compilerOptions, outDir: '../node10' }, files }),
  )
  const tsc = path.join(path.dirname(tools.resolve('typescript/package.json')), 'bin/tsc')
  expect(await project.exec(process.execPath, tsc, '-p', config)).toBe('')
  const said = await project.exec(
    process.execPath,
    ...['-p', "require('./node10/all.js').all.flatMap(Object.keys).join()"],
  )
  expect(said).toContain('createDashboardClient')
  expect(said).toContain('useDashboard')
})

const USE = `
import { createDashboardClient } from '@moc/dashboard-sdk'
import type { DashboardState } from '@moc/dashboard-sdk'
import { DashboardProvider, useDashboard } from '@moc/dashboard-sdk/react'
import type { BuildStatus, DashboardView } from '@moc/dashboard-sdk/types'

const client = createDashboardClient({ url: 'http://127.0.0.1:9', cookies: true, logger: null })

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
`
