// node webpack.mjs <production | development> <root> <output folder>
//
// webpack as it is: an entry and an output, no loader, no plugin.
import { promisify } from 'node:util'
import webpack from 'webpack'

import { tell } from './tell.mjs'

const [mode, root, folder] = process.argv.slice(2)
const compiler = webpack({
  mode,
  context: root,
  entry: './main.js',
  output: { path: folder, filename: 'main.js' },
})
const stats = await promisify(compiler.run.bind(compiler))()
await promisify(compiler.close.bind(compiler))()

const { errors, warnings, modules, assets } = stats.toJson({
  all: false,
  errors: true,
  warnings: true,
  modules: true,
  nestedModules: true,
  modulesSpace: Number.MAX_SAFE_INTEGER,
  nestedModulesSpace: Number.MAX_SAFE_INTEGER,
  assets: true,
})
for (const { message } of [...errors, ...warnings]) console.error(message)
if (errors.length > 0) process.exit(1)

function filesOf(list) {
  return list.flatMap(module => [module.nameForCondition, ...filesOf(module.modules ?? [])])
}
tell({
  sources: filesOf(modules).filter(name => typeof name === 'string'),
  files: assets.map(asset => asset.name),
})
