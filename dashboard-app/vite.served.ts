/** What the build leaves for the server, beyond what browsers are made for. */
import { promisify } from 'node:util'
import { brotliCompress, constants, gzip } from 'node:zlib'

import { createElement } from 'react'
import { renderToStaticMarkup } from 'react-dom/server'
import { type Plugin, runnerImport } from 'vite'

const WORTH_IT = /\.(js|css|wasm|svg)$/
/** Below this the headers weigh more than what is saved. */
const SMALLEST = 1_024

/**
 * Beside each built file its compressed forms, as small as they get: the server sends them as they
 * are. Not beside the page: an install may change its `<meta>` elements.
 */
export function compressed(): Plugin {
  return {
    name: 'compressed',
    apply: 'build',
    enforce: 'post',
    async generateBundle(_options, bundle) {
      for (const file of Object.values(bundle)) {
        const source = Buffer.from(file.type === 'chunk' ? file.code : file.source)
        if (!WORTH_IT.test(file.fileName) || source.length < SMALLEST) continue
        const brotli = { params: { [constants.BROTLI_PARAM_SIZE_HINT]: source.length } }
        const forms = {
          br: await promisify(brotliCompress)(source, brotli),
          gz: await promisify(gzip)(source, { level: 9 }),
        }
        for (const [ending, form] of Object.entries(forms)) {
          this.emitFile({ type: 'asset', fileName: `${file.fileName}.${ending}`, source: form })
        }
      }
    },
  }
}

/** Has the WebAssembly module fetched along with the script, which asks for it only when it runs. */
export function modulePreloaded(): Plugin {
  return {
    name: 'module-preloaded',
    apply: 'build',
    transformIndexHtml: {
      order: 'post',
      handler(_html, { bundle }) {
        const modules = Object.keys(bundle ?? {}).filter(name => name.endsWith('.wasm'))
        return modules.map(name => ({
          tag: 'link',
          attrs: {
            rel: 'preload',
            href: `/${name}`,
            as: 'fetch',
            type: 'application/wasm',
            crossorigin: true,
          },
          injectTo: 'head' as const,
        }))
      },
    },
  }
}

/** Puts what the app shows first into the page itself: a reader on a slow line sees it before the script. */
export function firstPainted(): Plugin {
  return {
    name: 'first-painted',
    apply: 'build',
    transformIndexHtml: {
      order: 'pre',
      async handler(html) {
        const { module } = await runnerImport<typeof import('./src/first-paint.tsx')>(
          '/src/first-paint.tsx',
          { configFile: false, root: import.meta.dirname },
        )
        const markup = renderToStaticMarkup(createElement(module.FirstPaint))
        const root = '<div id="root"></div>'
        if (!html.includes(root)) throw new Error(`index.html has no ${root}.`)
        return html.replace(root, () => `<div id="root">${markup}</div>`)
      },
    },
  }
}
