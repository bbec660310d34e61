import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { clientFactory } from '../src/client.js'
import type { Diagnostic } from '../src/types.js'
import { CoreDouble, live, loadDouble } from './double.js'
import { OPTIONS, recorder, started } from './support.js'

function entry(message: string, level: Diagnostic['level'] = 'debug'): Diagnostic {
  return { at: 1, level, code: 'EVENT_STALE', message }
}

beforeEach(() => {
  CoreDouble.made = []
  vi.stubGlobal('WebSocket', class {})
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('diagnostics', () => {
  it('are kept at every level, from before the core is there until after it', async () => {
    const { client, core } = await started({ logger: null })
    core.options.onDiagnostic(entry('of the core'))
    client.subscribe(() => {
      throw new Error('oops')
    })
    core.say(live())
    client.stop()
    core.options.onDiagnostic(entry('its last word'))
    expect(client.diagnostics().map(({ code, message }) => [code, message])).toEqual([
      ['MODULE_LOADING', expect.any(String)],
      ['EVENT_STALE', 'of the core'],
      ['CALLBACK_THREW', 'A listener of the client threw: Error: oops'],
      ['CALLBACK_THREW', 'A listener of the client threw: Error: oops'],
      ['EVENT_STALE', 'its last word'],
    ])
  })

  it('are the last 200, oldest first', async () => {
    const { client, core } = await started({ logger: null })
    for (let at = 1; at <= 250; at += 1) core.options.onDiagnostic(entry(String(at)))
    const messages = client.diagnostics().map(({ message }) => Number(message))
    expect(messages).toEqual(Array.from({ length: 200 }, (_, index) => index + 51))
  })

  it('can be pasted: each is a time, a level, a code and a message', async () => {
    vi.useFakeTimers({ now: 1_700_000_000_000 })
    const load = () => Promise.reject(new Error('404'))
    const client = clientFactory(load)({ ...OPTIONS, logger: null })
    client.start()
    await vi.advanceTimersByTimeAsync(0)
    client.stop()
    const pasted = JSON.parse(JSON.stringify(client.diagnostics()))
    expect(pasted).toEqual([
      { at: 1_700_000_000_000, level: 'info', code: 'MODULE_LOADING', message: expect.any(String) },
      {
        at: 1_700_000_000_000,
        level: 'error',
        code: 'MODULE_LOAD_FAILED',
        message: expect.stringContaining('404'),
      },
      { at: 1_700_000_000_000, level: 'info', code: 'STOPPED', message: expect.any(String) },
    ])
  })

  it('survive stop and start, and cannot be changed from outside', async () => {
    const { client } = await started({ logger: null })
    client.stop()
    client.diagnostics().length = 0
    client.start()
    const loads = client.diagnostics().filter(({ code }) => code === 'MODULE_LOADING')
    expect(loads).toHaveLength(2)
  })

  it('contain no token that was given, even in quotations', async () => {
    const token = 'opaque-token-0123456789'
    const { entries, logger } = recorder()
    const { client, core } = await started({ getToken: () => token, logger })
    await core.options.getToken?.()
    const message = `the server refused ${token}: no session for ${token}`
    core.options.onDiagnostic({ at: 1, level: 'warn', code: 'CONNECT_REFUSED', message })
    const told = 'the server refused (token): no session for (token)'
    expect(client.diagnostics().at(-1)?.message).toBe(told)
    expect(entries.at(-1)?.message).toBe(told)
  })

  it('are empty before start', () => {
    expect(clientFactory(loadDouble)(OPTIONS).diagnostics()).toEqual([])
  })
})

describe('the logger (D-WS-8)', () => {
  it('is the console by default, for warnings and errors only', async () => {
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {})
    const info = vi.spyOn(console, 'info').mockImplementation(() => {})
    const { core } = await started()
    core.options.onDiagnostic({ at: 1, level: 'info', code: 'SYNCHRONIZED', message: 'm' })
    core.options.onDiagnostic({ at: 1, level: 'warn', code: 'EVENT_UNKNOWN', message: 'm' })
    expect(info).not.toHaveBeenCalled()
    expect(warn).toHaveBeenCalledWith('[dashboard-sdk] EVENT_UNKNOWN: m', expect.anything())
  })

  it('survives a logger that throws', async () => {
    const logger = {
      error() {
        throw new Error('log full')
      },
    }
    const { client, core } = await started({ logger })
    client.subscribe(() => {
      throw new Error('oops')
    })
    expect(() => core.say(live())).not.toThrow()
  })
})
