// node esbuild.mjs <root> <output folder>
//
// esbuild leaves addresses of files as they are, so the module is copied to where the script's
// address for it points: from js/main.js, ../wasm/ is wasm/.
import { cpSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { build } from 'esbuild'

import { tell } from './tell.mjs'

const [root, folder] = process.argv.slice(2)
const { resolve } = createRequire(path.join(root, 'main.js'))
const { metafile, warnings } = await build({
  absWorkingDir: root,
  entryPoints: ['main.js'],
  outfile: path.join(folder, 'js/main.js'),
  bundle: true,
  format: 'esm',
  minify: true,
  metafile: true,
})
for (const { text } of warnings) console.error(text)
const installed = path.dirname(resolve('@moc/dashboard-sdk/package.json'))
cpSync(
  path.join(installed, 'dist/wasm/dashboard_core_bg.wasm'),
  path.join(folder, 'wasm/dashboard_core_bg.wasm'),
)
tell({
  sources: Object.keys(metafile.inputs).map(name => path.join(root, name)),
  files: ['js/main.js', 'wasm/dashboard_core_bg.wasm'],
})
