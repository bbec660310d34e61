import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = path.join(import.meta.dirname, '../..')
const require = createRequire(import.meta.url)

/** A fresh project outside of this repository, into which the packed package is installed. */
export interface Project {
  folder: string
  write(name: string, text: string): Promise<void>
  /** Runs a program of the project; fails with what it printed. */
  exec(program: string, ...args: string[]): Promise<string>
  remove(): Promise<void>
}

/** Packs the package as it would be published; the files that went in, and where it is. */
export async function pack(folder: string): Promise<{ tarball: string; files: string[] }> {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: root,
  })
  const listing: unknown = JSON.parse(stdout)
  // npm 12 will answer with an object by name instead of a list.
  const [packed] = Object.values(listing as Record<string, Packed>)
  if (packed === undefined) throw new Error(`npm pack said: ${stdout}`)
  return {
    tarball: path.join(folder, packed.filename),
    files: packed.files.map(file => file.path),
  }
}

interface Packed {
  filename: string
  files: { path: string }[]
}

/** Installs a tarball and, in the versions that this repository uses, what it is tried with. */
export async function install(tarball: string, tools: string[]): Promise<Project> {
  const folder = await mkdtemp(path.join(tmpdir(), 'dashboard-sdk-project-'))
  const dependencies: Record<string, string> = { '@moc/dashboard-sdk': `file:${tarball}` }
  for (const tool of tools) dependencies[tool] = await versionHere(tool)
  const manifest = { name: 'project', private: true, type: 'module', dependencies }
  await writeFile(path.join(folder, 'package.json'), JSON.stringify(manifest))

  async function exec(program: string, ...args: string[]): Promise<string> {
    try {
      return (await run(program, args, { cwd: folder, env: ownEnvironment() })).stdout
    } catch (error) {
      const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
      throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}${stderr}`, { cause: error })
    }
  }

  await exec('npm', 'install', '--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error')
  return {
    folder,
    exec,
    async write(name, text) {
      const file = path.join(folder, name)
      await mkdir(path.dirname(file), { recursive: true })
      await writeFile(file, text)
    },
    remove: () => rm(folder, { recursive: true, force: true }),
  }
}

async function versionHere(name: string): Promise<string> {
  const manifest = await readFile(require.resolve(`${name}/package.json`), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** Without what this test runner or npm set, which would change how tools behave. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const strange = /^(NODE_ENV|NODE_OPTIONS|VITEST.*|VITE_.*|npm_(?!config_registry).*)$/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !strange.test(name)))
}
