// node vite.mjs <vite7 | vite8> <build | serve> <root> <output folder, or cache folder>
// node vite.mjs <vite7 | vite8> preview <root>
//
// Vite as it is: no configuration but places, so no plugin either. Previews are of apps that have
// been built, with their own configuration.
import { tell, untilParentLeaves } from './tell.mjs'

const [version, command, root, folder] = process.argv.slice(2)
const vite = await import(version)
const loopback = { host: '127.0.0.1', port: 0 }
const places = { root, configFile: false, logLevel: 'warn', clearScreen: false }

if (command === 'build') {
  const { output } = await vite.build({
    ...places,
    build: { outDir: folder, emptyOutDir: true, rollupOptions: { onwarn } },
  })
  tell({
    sources: output.flatMap(part => (part.type === 'chunk' ? part.moduleIds : [])),
    files: output.map(part => part.fileName),
  })
} else if (command === 'preview') {
  const server = await vite.preview({ root, logLevel: 'warn', preview: loopback })
  tell({ url: server.resolvedUrls.local[0] })
  await untilParentLeaves()
  await server.close()
} else {
  const server = await vite.createServer({
    ...places,
    cacheDir: folder,
    server: loopback,
  })
  await server.listen()
  tell({ url: server.resolvedUrls.local[0] })
  await untilParentLeaves()
  await server.close()
}

/** The React plugin, which React apps have, keeps this remark to itself in the same way. */
function onwarn(warning, warn) {
  const isDirective = warning.code === 'MODULE_LEVEL_DIRECTIVE'
  if (!(isDirective && warning.message.includes('use client'))) warn(warning)
}
