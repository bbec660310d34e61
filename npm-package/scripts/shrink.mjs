// Makes the module and its glue smaller together: the names by which they find each other become
// single letters, and the glue is minified. wasm-bindgen's names contain hashes, which do not
// compress.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { minify } from 'vite'

/**
 * The glue and the module that belong together, made small.
 *
 * @param {string} glue what wasm-bindgen wrote
 * @param {string} module the file of the module that came with it
 * @returns {Promise<{ glue: string, module: Buffer }>}
 */
export async function shrink(glue, module) {
  const { names, bytes } = shortenNames(module)
  const { code, errors } = await minify('glue.js', rename(glue, names), { module: true })
  if (errors.length > 0) throw new Error(`The glue cannot be minified: ${errors[0].message}`)
  return { glue: code, module: bytes }
}

/** Gives each import and export of the module a short name, and tells which. */
function shortenNames(module) {
  const binaryen = createRequire(import.meta.url).resolve('binaryen/package.json')
  const optimiser = path.join(path.dirname(binaryen), 'bin', 'wasm-opt')
  const folder = mkdtempSync(path.join(tmpdir(), 'shrink-'))
  try {
    const small = path.join(folder, 'small.wasm')
    const pass = '--minify-imports-and-exports-and-modules'
    const args = [optimiser, pass, module, '--output', small]
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
    if (status !== 0) throw new Error(`wasm-opt ${pass} failed: ${stderr}`)
    return { names: JSON.parse(stdout), bytes: readFileSync(small) }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** The same glue with the module's short names. */
function rename(glue, { imports, exports }) {
  // The pass gives the one module that is imported from this name, and does not tell.
  const names = new Map([['"./dashboard_core_bg.js"', '"a"']])
  for (const [, long, short] of imports) names.set(`${long}: function`, `${short}: function`)
  let renamed = glue
  for (const [long, short] of names) {
    if (renamed.split(long).length !== 2) {
      throw new Error(`The glue of wasm-bindgen has changed: ${long} was not found exactly once.`)
    }
    renamed = renamed.replace(long, () => short)
  }
  const shortExports = new Map(exports)
  renamed = renamed.replaceAll(/\bwasm\.(\w+)/g, (_, long) => {
    const short = shortExports.get(long)
    if (short === undefined) throw new Error(`The module does not export ${long}.`)
    return `wasm.${short}`
  })
  // Nothing of ours loads the module synchronously.
  return renamed.replace('export { initSync, ', 'export { ')
}
