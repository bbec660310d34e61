// Builds dist/ from src/ and from wasm/, which `cargo xtask wasm` fills.
//
// Plain tsc makes the scripts and the types. What is left is the module: its glue, its bytes, and its
// bytes as text, made small as shrink.mjs says.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { shrink } from './shrink.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const from = path.join(root, 'wasm')
const to = path.join(root, 'dist', 'wasm')

rmSync(path.join(root, 'dist'), { recursive: true, force: true })
compile()
await packModule()

function compile() {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const tsc = path.join(path.dirname(manifest), 'bin', 'tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', root], { stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}

async function packModule() {
  for (const name of ['dashboard_core.js', 'dashboard_core_bg.wasm']) {
    if (!existsSync(path.join(from, name))) {
      fail(`npm-package/wasm/${name} is missing. Run \`cargo xtask wasm\` first; it makes it.`)
    }
  }
  mkdirSync(to, { recursive: true })

  // The entry points say where the module is. The glue's own guess would make bundlers emit the
  // module a second time, also where it travels inside the script.
  const glue = readFileSync(path.join(from, 'dashboard_core.js'), 'utf8')
  const guess = /module_or_path = new URL\([^)]*, import\.meta\.url\);/g
  if (glue.match(guess)?.length !== 1) {
    fail('The glue of wasm-bindgen has changed: its default address was not found exactly once.')
  }
  const told = "throw new Error('The address of the WebAssembly module is missing');"
  const module = path.join(from, 'dashboard_core_bg.wasm')
  const small = await shrink(glue.replace(guess, told), module)
  writeFileSync(path.join(to, 'glue.js'), small.glue)
  writeFileSync(path.join(to, 'dashboard_core_bg.wasm'), small.module)
  const text = `export const base64 =\n  '${small.module.toString('base64')}'\n`
  writeFileSync(path.join(to, 'inlined.js'), text)
}

function fail(message) {
  console.error(`error: ${message}`)
  process.exit(1)
}
