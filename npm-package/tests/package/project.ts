import { existsSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'

import { exec, tools } from './tool.js'

const here = createRequire(import.meta.url)
export const packageFolder = path.join(import.meta.dirname, '../..')

/** What is read of the package's own package.json. */
export interface Manifest {
  name: string
  exports: Record<string, unknown>
  peerDependencies: Record<string, string>
}

export async function manifest(): Promise<Manifest> {
  return JSON.parse(await readFile(path.join(packageFolder, 'package.json'), 'utf8')) as Manifest
}

/** What apps write to import the package's parts: one for each entry of `exports` that is code. */
export function importable({ name, exports }: Manifest): string[] {
  const code = Object.keys(exports).filter(subpath => !subpath.endsWith('.json'))
  return code.map(subpath => path.posix.join(name, subpath))
}

interface Packed {
  filename: string
  files: { path: string }[]
}

/** Packs the package as it would be published; the files that went in, and where it is. */
export async function pack(folder: string): Promise<{ tarball: string; files: string[] }> {
  const options = ['--json', '--loglevel=error', '--pack-destination', folder]
  const said = await exec(packageFolder, 'npm', 'pack', ...options)
  const listing: unknown = JSON.parse(said)
  // npm 12 will answer with an object by name instead of a list.
  const [packed] = Object.values(listing as Record<string, Packed>)
  if (packed === undefined) throw new Error(`npm pack said: ${said}`)
  return {
    tarball: path.join(folder, packed.filename),
    files: packed.files.map(file => file.path),
  }
}

/**
 * A fresh project outside of this repository, with the packed package in it. The tools that it is
 * tried with stay outside: they read the project and bring nothing into it.
 */
export class Project {
  constructor(readonly folder: string) {}

  /** Installs the tarball, companions in the versions that this repository uses, and others. */
  async install(
    tarball: string,
    companions: string[],
    others: Record<string, string> = {},
  ): Promise<void> {
    const { name } = await manifest()
    const dependencies: Record<string, string> = { [name]: `file:${tarball}`, ...others }
    for (const companion of companions) dependencies[companion] = await versionHere(companion)
    const project = { name: 'project', private: true, type: 'module', dependencies }
    await this.write('package.json', JSON.stringify(project))
    const options = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error']
    await this.exec('npm', 'install', ...options)
  }

  path(...names: string[]): string {
    return path.join(this.folder, ...names)
  }

  async write(name: string, text: string): Promise<void> {
    await mkdir(path.dirname(this.path(name)), { recursive: true })
    await writeFile(this.path(name), text)
  }

  /** Runs a program in the project; see there. */
  exec(program: string, ...args: string[]): Promise<string> {
    return exec(this.folder, program, ...args)
  }
}

/** Read from the file, as not every package exports its package.json. */
async function versionHere(name: string): Promise<string> {
  const folders = [here, tools].flatMap(({ resolve }) => resolve.paths(name) ?? [])
  const found = folders.map(folder => path.join(folder, name, 'package.json')).find(existsSync)
  if (found === undefined) throw new Error(`${name} is not installed in this repository.`)
  return (JSON.parse(await readFile(found, 'utf8')) as { version: string }).version
}
