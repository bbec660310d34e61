// Builds dist/ from src/ and from wasm/, which `cargo xtask wasm` fills.
//
// Plain tsc makes the scripts and the types, as ES modules and as CommonJS, which Jest wants. What is
// left is the module: its glue, its bytes, and its bytes as text, made small as shrink.mjs says.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { shrink } from './shrink.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const from = path.join(root, 'wasm')
const to = path.join(root, 'dist', 'wasm')
const commonJs = path.join(root, 'dist', 'cjs')

/**
 * Replace the globals in the glue, which makes one of each when it is imported. Jest with jsdom
 * hides Node's globals, and jsdom has none. So the glue gets them on first use, and from Node. At
 * its start, the glue decodes nothing, to warm up; that makes none.
 */
const LAZY_CODERS = `
const coders = () => globalThis.TextDecoder ? globalThis : globalThis.process.getBuiltinModule('node:util');
class TextDecoder {
  constructor(...how) { this.how = how; }
  decode(bytes) { return bytes ? (this.coder ??= new (coders().TextDecoder)(...this.how)).decode(bytes) : ''; }
}
class TextEncoder {
  get made() { return this.coder ??= new (coders().TextEncoder)(); }
  encode(text) { return this.made.encode(text); }
  encodeInto(text, view) { return this.made.encodeInto(text, view); }
}
`

rmSync(path.join(root, 'dist'), { recursive: true, force: true })
compile('tsconfig.json')
compile('tsconfig.cjs.json')
await packModule()

function compile(config) {
  const manifest = createRequire(import.meta.url).resolve('typescript/package.json')
  const tsc = path.join(path.dirname(manifest), 'bin', 'tsc')
  const options = [tsc, '-p', path.join(root, config)]
  const { status } = spawnSync(process.execPath, options, { stdio: 'inherit' })
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
  const small = await shrink(LAZY_CODERS + glue.replace(guess, told), module)
  writeFileSync(path.join(to, 'glue.js'), small.glue)
  writeFileSync(path.join(to, 'dashboard_core_bg.wasm'), small.module)
  const base64 = `'${small.module.toString('base64')}'\n`
  writeFileSync(path.join(to, 'inlined.js'), `export const base64 =\n  ${base64}`)

  mkdirSync(path.join(commonJs, 'wasm'), { recursive: true })
  const marks = { type: 'commonjs', sideEffects: false }
  writeFileSync(path.join(commonJs, 'package.json'), `${JSON.stringify(marks)}\n`)
  writeFileSync(path.join(commonJs, 'wasm', 'glue.js'), required(small.glue))
  writeFileSync(path.join(commonJs, 'wasm', 'inlined.js'), `exports.base64 =\n  ${base64}`)
}

/** The same glue for `require`. */
function required(glue) {
  const body = glue
    .replace('export class DashboardCore', 'class DashboardCore')
    .replace(
      /export\s*\{(\w+) as default\};?/,
      'exports.DashboardCore=DashboardCore;exports.default=$1;',
    )
  if (/\bexport\b/.test(body)) fail('The glue has changed: it exports something else.')
  const mark = "Object.defineProperty(exports,'__esModule',{value:true});"
  return `'use strict';${mark}${body}\n`
}

function fail(message) {
  console.error(`error: ${message}`)
  process.exit(1)
}
