import { beforeEach, expect, it, vi } from 'vitest'
import ADDRESSES from '../../client-sdk/tests/addresses.json' with { type: 'json' }
import { checkOptions } from '../src/options.js'
import { CoreDouble } from './double.js'
import { started } from './support.js'

// The native client's tests read the same table: no token goes to an address that could be read in
// two ways, in any language.
const here = (text: string) => text.replaceAll('HERE', '127.0.0.1:9112')

beforeEach(() => {
  CoreDouble.made = []
  vi.stubGlobal('WebSocket', class {})
  return () => vi.unstubAllGlobals()
})

it.each(ADDRESSES.refusedUrls)('url %j is refused', url => {
  const check = () => checkOptions({ url: here(String(url)), cookies: true })
  expect(check).toThrow(TypeError)
  expect(check).toThrow(/\burl\b(?!.*hidden)/)
})

it.each(ADDRESSES.refusedBasePaths)('basePath %j is refused', basePath => {
  const check = () =>
    checkOptions({ url: 'http://127.0.0.1', cookies: true, basePath: here(String(basePath)) })
  expect(check).toThrow(TypeError)
  expect(check).toThrow(/\bbasePath\b(?!.*hidden)/)
})

// The package wants a path in basePath, and a slash before it.
const TAKEN = ADDRESSES.accepted.filter(
  ([url = '', basePath = '']) => /^\w+:\/\/[^/]+\/?$/.test(url) && /^(\/|$)/.test(basePath),
)

it.each(TAKEN)('%j and %j make both addresses', async (url, basePath, socket, snapshot) => {
  const { core } = await started({ url, basePath })
  expect(core.options).toMatchObject({
    socketUrl: `${socket}/socket.io/?EIO=4&transport=websocket`,
    snapshotUrl: snapshot,
  })
})
