/** The README's tests in a fresh project: Vitest's and Jest's, one after the other in one go. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'

import { Project, packageFolder } from './project.js'
import { tools } from './tool.js'

const COMPANIONS = [
  ...['@testing-library/dom', '@testing-library/react', '@types/react', '@types/react-dom'],
  ...['@reduxjs/toolkit', 'jsdom', 'react', 'react-dom', 'react-redux', 'vitest'],
]
/** Not among this repository's own tools: Jest is what many apps have. */
const SWC = { '@swc/core': '1.16.22', '@swc/jest': '0.2.39' }

const BEGIN = 'module.exports = {\n'

/** The block of the README that says which tool it is for. */
async function block(language: string, mark: string): Promise<string> {
  const found = (await blocks(mark)).filter(([is]) => is === language)
  expect(found).toHaveLength(1)
  return found[0]?.[1] ?? ''
}

/** All blocks with the mark: their languages and texts. */
async function blocks(mark: string): Promise<[language: string, text: string][]> {
  const all = [...(await readReadme()).matchAll(/```(\w+)\n(.*?)```/gs)]
  const pairs = all.map(([, language = '', text = '']): [string, string] => [language, text])
  return pairs.filter(([, text]) => text.includes(mark))
}

function readReadme(): Promise<string> {
  return readFile(path.join(packageFolder, 'README.md'), 'utf8')
}

/** What the README tells a project with both runners to set, of the option with this name. */
async function split(option: string): Promise<string> {
  const [, told] = new RegExp(`\`(${option}: \\[[^\`]+\\])\``).exec(await readReadme()) ?? []
  expect(told).toBeDefined()
  return told ?? ''
}

describe.each(['29.7.0', '30.5.2'])('Jest %s', version => {
  let project: Project

  beforeAll(async () => {
    project = new Project(await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-jest-')))
    const jest = { jest: version, 'jest-environment-jsdom': version }
    await project.install(inject('packed').tarball, COMPANIONS, { ...jest, ...SWC })
    const config = await block('js', 'jest.config.cjs')
    const testMatch = `${BEGIN}  ${await split('testMatch')},\n`
    await project.write('jest.config.cjs', config.replace(BEGIN, testMatch))
    await project.write('jest/total.test.tsx', await block('tsx', "from '@jest/globals'"))
    await project.write('jest/node.test.ts', WITHOUT_JSDOM)
    const include = await split('include')
    await project.write('vitest.config.mjs', `export default { test: { ${include} } }\n`)
    for (const [index, [language, text]] of (await blocks("from 'vitest'")).entries()) {
      await project.write(`vitest/example${index}.test.${language}`, text)
    }
  })

  afterAll(() => rm(project.folder, { recursive: true, force: true }))

  it('runs the example of the README beside those for Vitest, with jsdom and without', async () => {
    const vitest = 'npx vitest run --reporter json --outputFile vitest.json'
    const jest = 'npx jest --json --outputFile jest.json'
    // Jest reports on stderr.
    const said = await project.exec('sh', '-c', `(${vitest} && ${jest}) 2>&1`)
    expect(said).not.toMatch(/console\.(warn|error)|did not exit|Warning:/)
    expect(await counts('vitest.json')).toEqual({ passed: 3, failed: 0 })
    expect(await counts('jest.json')).toEqual({ passed: 2, failed: 0 })
  })

  it('runs the same as ES modules, with the two lines of the README', async () => {
    const config = await block('js', 'jest.config.cjs')
    const lines = await block('js', 'extensionsToTreatAsEsm')
    expect(config).toContain(BEGIN)
    await project.write('esm.config.cjs', config.replace(BEGIN, BEGIN + lines))
    await project.write('esm/total.test.tsx', await block('tsx', "from '@jest/globals'"))
    await project.write('esm/node.test.ts', `${WITHOUT_JSDOM}${IS_MODULE}`)
    const flags = 'NODE_OPTIONS="--experimental-vm-modules --no-warnings"'
    const jest = 'npx jest --config esm.config.cjs --roots esm --json --outputFile esm.json'
    const said = await project.exec('sh', '-c', `${flags} ${jest} 2>&1`)
    expect(said).not.toMatch(/console\.(warn|error)|did not exit|Warning:/)
    expect(await counts('esm.json')).toEqual({ passed: 3, failed: 0 })
  })

  it('compiles the examples as they stand', async () => {
    const compilerOptions = {
      ...{ target: 'ES2022', module: 'ESNext', moduleResolution: 'bundler', jsx: 'react-jsx' },
      ...{ strict: true, noEmit: true, skipLibCheck: true, types: [] },
    }
    await project.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['*/*.ts*'] }))
    const tsc = path.join(path.dirname(tools.resolve('typescript/package.json')), 'bin/tsc')
    expect(await project.exec(process.execPath, tsc, '-p', '.')).toBe('')
  })

  async function counts(file: string): Promise<{ passed: number; failed: number }> {
    const text = await readFile(project.path(file), 'utf8')
    const { numPassedTests: passed, numFailedTests: failed } = JSON.parse(text)
    return { passed, failed }
  }
})

const IS_MODULE = `
it('is an ES module', () => {
  expect(import.meta.url).toMatch(/^file:/)
})
`

const WITHOUT_JSDOM = `
/** @jest-environment node */
import { expect, it, jest } from '@jest/globals'
import { createDashboardClient } from '@moc/dashboard-sdk'
import { createFakeServer, recordStates } from '@moc/dashboard-sdk/testing'

it('is live, lives through an outage and is live again', async () => {
  jest.useFakeTimers()
  const server = createFakeServer({ time: jest })
  server.install()
  const client = createDashboardClient({ url: server.url, cookies: true, logger: null })
  const record = recordStates(client)
  client.start()
  await server.until(client, 'live')
  server.connections.refuse()
  server.connections.drop()
  await server.until(client, 'degraded')
  server.heal()
  await server.until(client, 'live')
  expect(record.statuses.slice(0, 5)).toEqual(['idle', 'connecting', 'syncing', 'live', 'backoff'])
  server.uninstall()
})
`
