/** Runs programs: those of a project, and the tools that it is tried with. */
import { execFile, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const run = promisify(execFile)
export const toolsFolder = path.join(import.meta.dirname, 'tools')

/** Finds what the lock file in `tools/` holds. */
export const tools = createRequire(path.join(toolsFolder, 'package.json'))

/** Runs a program in a folder and returns what it printed. To complain, on stderr, is to fail. */
export async function exec(cwd: string, program: string, ...args: string[]): Promise<string> {
  const options = { cwd, env: ownEnvironment() }
  const result = await run(program, args, options).catch((error: Error) => {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`${program} ${args.join(' ')} failed:\n${stdout}${stderr}`)
  })
  if (result.stderr !== '') {
    throw new Error(`${program} ${args.join(' ')} complained:\n${result.stderr}`)
  }
  return result.stdout
}

/** Runs one of the scripts in `tools/`, and returns its answer. */
export async function tool<T>(script: string, ...args: string[]): Promise<T> {
  return JSON.parse(await exec(toolsFolder, process.execPath, script, ...args)) as T
}

/** What goes on after its answer: a server, at that address. */
export interface Running {
  url: string
  /** Ends it, and waits until it has ended. */
  stop(): Promise<void>
}

/** Starts one of the scripts in `tools/` that serve until their input ends. */
export async function serverTool(script: string, ...args: string[]): Promise<Running> {
  const options = { cwd: toolsFolder, env: ownEnvironment() }
  const child = spawn(process.execPath, [script, ...args], { ...options, stdio: 'pipe' })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text
  })
  const answer = await new Promise<string>((resolve, reject) => {
    // Some servers have more to say; the answer is the line that is an object.
    createInterface({ input: child.stdout }).on('line', line => {
      if (line.startsWith('{')) resolve(line)
    })
    ended.then(() => reject(new Error(`${script} ended:\n${complaints}`)))
  })
  const { url } = JSON.parse(answer) as { url: string }
  return {
    url,
    stop() {
      child.stdin.end()
      return ended
    },
  }
}

/** Without what this test runner or npm set, which would change how tools behave, and in private. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const strange = /^(NODE_ENV|NODE_OPTIONS|VITEST.*|VITE_.*|npm_(?!config_registry).*)$/
  const inherited = Object.entries(process.env).filter(([name]) => !strange.test(name))
  return { ...Object.fromEntries(inherited), NEXT_TELEMETRY_DISABLED: '1' }
}
