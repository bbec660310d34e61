/** How each bundler is called, and what it says that it made. */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'

import { html } from './page.js'
import { tool } from './tool.js'

/** What a build put together. */
export interface Built {
  /** Where the page is. */
  folder: string
  /** Paths of the sources that went into its scripts. */
  sources: string[]
  /** Files that came out. */
  files: string[]
}

/** Builds the app in a folder for production, without a plugin; complaints are failures. */
export interface Bundler {
  name: string
  /** What the file of the module is called afterwards. */
  module: RegExp
  build(app: string): Promise<Built>
}

function vite(name: string, alias: string): Bundler {
  return {
    name,
    module: /^assets\/dashboard_core_bg-[\w-]{8}\.wasm$/,
    async build(app) {
      const folder = path.join(app, 'out', alias)
      return {
        folder,
        ...(await tool<Omit<Built, 'folder'>>('vite.mjs', alias, 'build', app, folder)),
      }
    },
  }
}

export function webpack(mode: 'production' | 'development'): Bundler {
  return {
    name: `webpack 5, mode ${mode}`,
    module: /^[0-9a-f]{16,}\.wasm$/,
    async build(app) {
      const folder = path.join(app, 'out', `webpack-${mode}`)
      await page(folder, '<script defer src="/main.js"></script>')
      return { folder, ...(await tool<Omit<Built, 'folder'>>('webpack.mjs', mode, app, folder)) }
    },
  }
}

const esbuild: Bundler = {
  name: 'esbuild, with the module copied by hand',
  module: /^wasm\/dashboard_core_bg\.wasm$/,
  async build(app) {
    const folder = path.join(app, 'out/esbuild')
    await page(folder, '<script type="module" src="/js/main.js"></script>')
    return { folder, ...(await tool<Omit<Built, 'folder'>>('esbuild.mjs', app, folder)) }
  },
}

export const BUNDLERS = [
  vite('Vite 7', 'vite7'),
  vite('Vite 8', 'vite8'),
  webpack('production'),
  esbuild,
]

async function page(folder: string, script: string): Promise<void> {
  await mkdir(folder, { recursive: true })
  await writeFile(path.join(folder, 'index.html'), html(script))
}
