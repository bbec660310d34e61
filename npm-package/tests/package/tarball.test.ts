/** What is in the tarball, and what tools that read packages say of it. */
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'

import { expect, inject, it } from 'vitest'

import { importable, manifest, Project, packageFolder } from './project.js'
import { tools } from './tool.js'

const { tarball, files, project: folder } = inject('packed')
const project = new Project(folder)

async function installed(...names: string[]): Promise<string> {
  const { name } = await manifest()
  return project.path('node_modules', name, ...names)
}

it('holds what is needed and nothing else', async () => {
  const strangers = files.filter(file => !/^(dist\/.+|README\.md|package\.json)$/.test(file))
  expect(strangers).toEqual([])
  expect(files).toContain('dist/wasm/dashboard_core_bg.wasm')
  expect(files.filter(file => /\.(test|spec)\.|fixture/i.test(file))).toEqual([])
  const text = await readFile(path.join(packageFolder, 'package.json'), 'utf8')
  const promised = new Set(text.match(/(?<="\.\/)dist\/[^"]+/g))
  expect(files).toEqual(expect.arrayContaining([...promised]))
})

it('has no top-level await, which some bundlers and require() refuse', async () => {
  const dist = await installed('dist')
  for (const file of await readdir(dist, { recursive: true })) {
    if (!file.endsWith('.js')) continue
    const text = await readFile(path.join(dist, file), 'utf8')
    expect(text, file).not.toMatch(/^(const .*= )?await /m)
  }
})

it('offers the same under every condition', async () => {
  const declared = await Promise.all(
    ['browser', 'inline', 'node'].map(async name =>
      readFile(await installed('dist/entry', `${name}.d.ts`), 'utf8'),
    ),
  )
  const exported = declared.map(text => text.slice(text.indexOf('export type')))
  expect(new Set(exported).size).toBe(1)
})

it('marks its React part for the client, in the first statement, as frameworks look for it', async () => {
  expect(await readFile(await installed('dist/react.js'), 'utf8')).toMatch(/^'use client';?\n/)
})

it('finds favour with publint', async () => {
  const { publint } = (await import(tools.resolve('publint'))) as Publint
  const pkgDir = await installed()
  const { messages } = await publint({ pkgDir, strict: true, pack: false })
  expect(messages).toEqual([])
})

it('has the right types under every resolution, says Are The Types Wrong', async () => {
  const attw = path.join(path.dirname(tools.resolve('@arethetypeswrong/cli/package.json')), 'dist')
  const said = await project.exec(
    ...([process.execPath, path.join(attw, 'index.js'), tarball] as const),
    ...['--profile', 'strict', '--format', 'ascii', '--no-emoji'],
  )
  for (const subpath of importable(await manifest())) expect(said).toContain(`"${subpath}"`)
})

interface Publint {
  publint(options: { pkgDir: string; strict: boolean; pack: false }): Promise<{
    messages: unknown[]
  }>
}
