import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

import { checkOptions } from '../src/options.js'
import type { DashboardStatus, TerminalCode } from '../src/types.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const README = read('README.md')

/** Compilers see to it that none is missing and none is too much. */
const TERMINAL = {
  AUTH_FAILED: true,
  UNAUTHORIZED: true,
  FORBIDDEN: true,
  STOPPED: true,
  WEBSOCKET_UNAVAILABLE: true,
  WEBASSEMBLY_UNAVAILABLE: true,
  FETCH_UNAVAILABLE: true,
  CORE_FAILED: true,
} satisfies Record<TerminalCode, true>
const STATES = {
  idle: true,
  connecting: true,
  syncing: true,
  live: true,
  backoff: true,
  degraded: true,
  authRequired: true,
  closed: true,
} satisfies Record<DashboardStatus, true>

function read(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8')
}

/** The literals of a union that has one of them on each line. */
function literals(file: string, union: string): string[] {
  const [, body] = read(file).split(`export type ${union} =\n`)
  const lines = (body ?? '').split(/\n\n|\n\/\*\*/)[0] ?? ''
  return [...lines.matchAll(/^ {2}\| '([A-Z_]+)'/gm)].map(([, code]) => code ?? '')
}

it('the table of codes has every code once, and says which are terminal', () => {
  const codes = [
    ...literals('src/generated/state.ts', 'CoreCode'),
    ...literals('src/codes.ts', 'PackageCode'),
  ]
  expect(codes.length).toBeGreaterThan(40)

  const [, section] = README.split('\n## Codes\n')
  const rows = (section ?? '').split('\n## ')[0]?.match(/^\| `[A-Z].*$/gm) ?? []
  const told = rows.flatMap(row => {
    const [, names, isTerminal] = row.split('|')
    return [...(names ?? '').matchAll(/[A-Z_]+/g)].map(([code]) => [code, isTerminal?.trim()])
  })
  const expected = codes.map(code => [code, code in TERMINAL ? 'yes' : 'no'])
  expect(told.sort()).toEqual(expected.sort())
})

it('the table of states has every state', () => {
  for (const state of Object.keys(STATES)) {
    expect(README).toContain(`\n| \`${state}\` |`)
  }
})

it('the table of options has every option', () => {
  let known = ''
  try {
    checkOptions({ nothing: true } as never)
  } catch (error) {
    known = String(error).split('It has: ')[1] ?? ''
  }
  const options = known.match(/\w+/g) ?? []
  expect(options.length).toBeGreaterThan(5)
  for (const option of options) expect(README).toContain(`\n| \`${option}\` |`)
})

it('the examples compile as they stand', () => {
  const all = [...README.matchAll(/```(tsx?)\n(.*?)```/gs)]
  // Jest is not installed here; its example is compiled and run by tests/package.
  const examples = all.filter(([, , code]) => !code?.includes('@jest/globals'))
  expect(examples).toHaveLength(all.length - 1)
  expect(examples.length).toBeGreaterThan(4)
  const folder = mkdtempSync(path.join(ROOT, '../node_modules/.readme-'))
  try {
    const files = examples.map(([, extension, code], index) => {
      const file = `example${index}.${extension}`
      writeFileSync(path.join(folder, file), `${code}\nexport {}\n`)
      return file
    })
    writeFileSync(path.join(folder, 'app.d.ts'), APP)
    writeFileSync(
      path.join(folder, 'tsconfig.json'),
      JSON.stringify({
        extends: '../../npm-package/tsconfig.json',
        compilerOptions: {
          rootDir: '../..',
          noEmit: true,
          noUnusedLocals: false,
          paths: {
            '@moc/dashboard-sdk': ['../../npm-package/src/entry/browser.ts'],
            '@moc/dashboard-sdk/*': [
              '../../npm-package/src/*.ts',
              '../../npm-package/src/*/index.ts',
            ],
          },
        },
        include: ['../../npm-package/src/**/*.d.ts'],
        files: ['app.d.ts', ...files],
      }),
    )
    const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
    const tsc = path.join(path.dirname(manifest), 'bin', 'tsc')
    expect(compile(tsc, folder)).toBe('')
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** What the examples take from the app that they stand in. */
const APP = `
import type { DashboardClient } from '@moc/dashboard-sdk'
declare global {
  const session: { userId(): string | null; accessToken(): Promise<string> }
  const client: DashboardClient
}
`

function compile(tsc: string, folder: string): string {
  try {
    return execFileSync(process.execPath, [tsc, '-p', folder], { encoding: 'utf8' })
  } catch (error) {
    return (error as { stdout: string }).stdout
  }
}
