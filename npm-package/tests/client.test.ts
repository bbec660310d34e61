import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { clientFactory } from '../src/client.js'
import { type CoreConstructor, once } from '../src/core.js'
import { withoutView } from '../src/state.js'
import type { DashboardState, Diagnostic } from '../src/types.js'
import { CoreDouble, live, loadDouble } from './double.js'
import { deferred, latest, OPTIONS, recorder, settle, started } from './support.js'

beforeEach(() => {
  CoreDouble.made = []
  vi.stubGlobal('WebSocket', class {})
})

afterEach(() => {
  vi.useRealTimers()
  vi.unstubAllGlobals()
})

describe('life of a client', () => {
  it('does nothing before start', async () => {
    const load = vi.fn(loadDouble)
    const client = clientFactory(load)(OPTIONS)
    expect(client.getState().status).toBe('idle')
    client.refresh()
    client.reauthenticate()
    client.stop()
    expect(client.getState().status).toBe('idle')
    expect(load).not.toHaveBeenCalled()
  })

  it('may be started before the module is there, and says what it waits for', async () => {
    const client = clientFactory(loadDouble)(OPTIONS)
    client.start()
    expect(client.getState()).toMatchObject({
      status: 'connecting',
      view: null,
      freshness: { source: 'none', reason: { code: 'MODULE_LOADING' } },
    })
    await vi.waitFor(() => expect(latest().calls).toEqual(['start']))
    latest().say(live())
    expect(client.getState()).toBe(latest().state)
  })

  it('begins once however often it is started', async () => {
    const { client, core } = await started()
    client.start()
    client.start()
    expect(core.calls).toEqual(['start'])
    expect(CoreDouble.made).toHaveLength(1)
  })

  it('makes no core when stopped before the module is there', async () => {
    const loading = deferred<CoreConstructor>()
    const client = clientFactory(() => loading.promise)(OPTIONS)
    client.start()
    client.stop()
    loading.resolve(CoreDouble)
    await loading.promise
    expect(CoreDouble.made).toHaveLength(0)
    expect(client.getState().status).toBe('closed')
  })

  it('makes one core for start, stop, start in one go, as StrictMode does', async () => {
    const client = clientFactory(once(loadDouble))(OPTIONS)
    client.start()
    client.stop()
    client.start()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(1))
    await Promise.resolve()
    expect(CoreDouble.made).toHaveLength(1)
    expect(latest().calls).toEqual(['start'])
  })

  it('stops the core, forgets the view, frees the memory, and can begin afresh', async () => {
    const { client, core } = await started()
    core.say(live())
    client.stop()
    expect(client.getState()).toMatchObject({ status: 'closed', view: null })
    await vi.waitFor(() => expect(core.calls).toEqual(['start', 'stop', 'free']))
    core.say(live())
    expect(client.getState().status).toBe('closed')

    client.start()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(2))
    expect(client.getState()).toMatchObject({ status: 'connecting', view: null })
  })

  it('may be started again by the listener that hears of the stop', async () => {
    const { client, core } = await started()
    const unsubscribe = client.subscribe(state => {
      if (state.status !== 'closed') return
      unsubscribe()
      client.start()
    })
    client.stop()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(2))
    expect(core.calls).toEqual(['start', 'stop', 'free'])
    latest().say(live())
    expect(client.getState().status).toBe('live')
  })

  it('takes every call after stop without effect', async () => {
    const { client, core } = await started()
    client.stop()
    client.stop()
    client.refresh()
    client.reauthenticate()
    await vi.waitFor(() => expect(core.calls).toEqual(['start', 'stop', 'free']))
    expect(client.getState()).toMatchObject({ status: 'closed', view: null })
  })

  it('frees the core only after a listener that stops it has returned', async () => {
    const { client, core } = await started()
    client.subscribe(state => {
      if (state.status !== 'live') return
      client.stop()
      expect(core.calls).not.toContain('free')
    })
    core.say(live())
    expect(client.getState().status).toBe('closed')
    await vi.waitFor(() => expect(core.calls).toContain('free'))
  })

  it('hands its options to the core, the token asked anew each time', async () => {
    const getToken = vi.fn().mockReturnValueOnce('first').mockResolvedValueOnce('second')
    const { core } = await started({ cookies: false, getToken, basePath: '/v1/' })
    expect(core.options).toMatchObject({
      socketUrl: 'wss://moc.example.org/socket.io/?EIO=4&transport=websocket',
      snapshotUrl: 'https://moc.example.org/v1/dashboard',
      cookies: false,
    })
    expect(await core.options.getToken?.()).toBe('first')
    expect(await core.options.getToken?.()).toBe('second')
  })

  it('says why there is no token, without quoting one', async () => {
    const token = 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJl'
    const getToken = vi
      .fn()
      .mockImplementationOnce(() => {
        throw new Error(`not a session: ${token}!`)
      })
      .mockReturnValueOnce({ token })
    const { entries, logger } = recorder()
    const { core } = await started({ cookies: false, getToken, logger })
    await expect(core.options.getToken?.()).rejects.toThrow('not a session')
    await expect(core.options.getToken?.()).rejects.toThrow('must return a string')
    expect(entries).toMatchObject([
      {
        level: 'warn',
        code: 'TOKEN_UNAVAILABLE',
        message: 'getToken failed: Error: not a session: (token)!',
      },
      { code: 'TOKEN_UNAVAILABLE', message: expect.stringContaining('not a value of type object') },
    ])
  })

  it('waits 8 s for a token, then says that it took too long, and asks again', async () => {
    vi.useFakeTimers()
    const late = deferred<string>()
    const getToken = vi.fn().mockReturnValueOnce(late.promise).mockReturnValueOnce('second')
    const { entries, logger } = recorder()
    const { core } = await started({ cookies: false, getToken, logger })
    const asked = core.options.getToken?.().catch(String)
    await vi.advanceTimersByTimeAsync(7_999)
    expect(entries).toEqual([])
    await vi.advanceTimersByTimeAsync(1)
    expect(await asked).toContain('no answer within 8 s')
    expect(entries).toMatchObject([{ level: 'warn', code: 'TOKEN_TIMEOUT' }])
    late.resolve('first')
    expect(await core.options.getToken?.()).toBe('second')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('ignores the outcome of a token request after stop', async () => {
    vi.useFakeTimers()
    const asked = [deferred<string>(), deferred<string>(), deferred<string>()]
    const getToken = vi.fn()
    for (const { promise } of asked) getToken.mockReturnValueOnce(promise)
    const { client, core } = await started({ cookies: false, getToken, logger: null })
    const answers = asked.map(() => core.options.getToken?.().catch(String))
    await vi.advanceTimersByTimeAsync(1_000)
    client.stop()
    expect(vi.getTimerCount()).toBe(0)
    expect(await Promise.all(answers)).toEqual(asked.map(() => 'Error: the client was stopped'))

    const before = client.diagnostics()
    asked[0]?.resolve('late')
    asked[1]?.reject(new Error('late'))
    await vi.advanceTimersByTimeAsync(60_000)
    expect(client.diagnostics()).toEqual(before)
  })

  it('tells whether the last token was refused, until another one is given', async () => {
    const asked: boolean[] = []
    const answers = ['first', 'second', new Error('no network'), 'third', 'fourth', 'fifth']
    const { core } = await started({
      cookies: false,
      logger: null,
      getToken: ({ lastWasRefused }) => {
        asked.push(lastWasRefused)
        const answer = answers.shift()
        return answer instanceof Error ? Promise.reject(answer) : (answer ?? null)
      },
    })
    const ask = () => core.options.getToken?.().catch(() => 'none')
    const refuse = (code: Diagnostic['code']) =>
      core.options.onDiagnostic({ at: 1, level: 'info', code, message: 'why' })
    await ask()
    refuse('SOCKET_CLOSED')
    await ask()
    refuse('TOKEN_EXPIRED')
    await ask()
    await ask()
    refuse('AUTH_FAILED')
    await ask()
    await ask()
    expect(asked).toEqual([false, false, true, true, true, false])
  })

  it('goes on telling so after an answer that was on its way when the token was refused', async () => {
    const asked: boolean[] = []
    const onItsWay = deferred<string>()
    const answers = ['first', onItsWay.promise, 'renewed', 'renewed']
    const { core } = await started({
      cookies: false,
      logger: null,
      getToken: ({ lastWasRefused }) => {
        asked.push(lastWasRefused)
        return answers.shift() ?? null
      },
    })
    await core.options.getToken?.()
    const poll = core.options.getToken?.()
    core.options.onDiagnostic({ at: 1, level: 'info', code: 'AUTH_FAILED', message: 'why' })
    onItsWay.resolve('first')
    await poll
    await core.options.getToken?.()
    await core.options.getToken?.()
    expect(asked).toEqual([false, false, true, false])
  })

  it('passes refresh and reauthenticate on', async () => {
    const { client, core } = await started()
    client.refresh()
    client.reauthenticate()
    expect(core.calls).toEqual(['start', 'refresh', 'reauthenticate'])
  })

  it('works with its methods taken apart', async () => {
    const { start, getState, stop } = clientFactory(loadDouble)(OPTIONS)
    start()
    expect(getState().status).toBe('connecting')
    stop()
    expect(getState().status).toBe('closed')
  })
})

describe('listeners', () => {
  it('hear every state until they unsubscribe', async () => {
    const { client, core } = await started()
    const heard: DashboardState[] = []
    const unsubscribe = client.subscribe(state => heard.push(state))
    core.say(live())
    core.say(core.state)
    unsubscribe()
    unsubscribe()
    core.say(live())
    expect(heard).toHaveLength(1)
  })

  it('that throw are reported and harm no other callback', async () => {
    const { entries, logger } = recorder()
    const { client, core } = await started({ logger })
    const heard = vi.fn()
    client.subscribe(() => {
      throw new RangeError('oops')
    })
    client.subscribe(heard)
    core.say(live())
    expect(heard).toHaveBeenCalledOnce()
    expect(entries).toEqual([
      expect.objectContaining({
        level: 'error',
        code: 'CALLBACK_THREW',
        message: expect.stringContaining('RangeError: oops'),
      }),
    ])
  })

  it('that return a rejected promise are reported as well', async () => {
    const { entries, logger } = recorder()
    const { client, core } = await started({ logger })
    client.subscribe(() => Promise.reject(new RangeError('oops')))
    core.say(live())
    await vi.waitFor(() => expect(entries).toHaveLength(1))
    expect(entries).toMatchObject([
      { level: 'error', code: 'CALLBACK_THREW', message: expect.stringMatching(/rejected.*oops/) },
    ])
  })

  it('may throw anything', async () => {
    const { entries, logger } = recorder()
    const { client, core } = await started({ logger })
    const things = [Object.create(null), Symbol('oops'), undefined, 'x'.repeat(1_000)]
    for (const thing of things) {
      client.subscribe(() => {
        throw thing
      })
    }
    core.say(live())
    expect(entries.map(entry => entry.code)).toEqual(things.map(() => 'CALLBACK_THREW'))
    for (const { message } of entries) expect(message.length).toBeLessThan(400)
  })

  it('hear of the state that they heard of before', async () => {
    const { client, core } = await started()
    const heard: string[] = []
    client.subscribe((state, previous) => heard.push(`${previous.status} -> ${state.status}`))
    core.say(live())
    client.stop()
    expect(heard).toEqual(['connecting -> live', 'live -> closed'])
  })

  it('that are two subscriptions of one function are ended one by one', async () => {
    const { client, core } = await started()
    const heard = vi.fn()
    const unsubscribe = client.subscribe(heard)
    client.subscribe(heard)
    core.say(live())
    unsubscribe()
    core.say(live())
    expect(heard).toHaveBeenCalledTimes(3)
  })

  it('that end another one keep it from hearing of the same state', async () => {
    const { client, core } = await started()
    const heard = vi.fn()
    client.subscribe(() => unsubscribe())
    const unsubscribe = client.subscribe(heard)
    core.say(live())
    expect(heard).not.toHaveBeenCalled()
  })

  it('that come while a state is delivered hear of the next one', async () => {
    const { client, core } = await started()
    const heard = vi.fn()
    const unsubscribe = client.subscribe(() => {
      unsubscribe()
      client.subscribe(heard)
    })
    core.say(live())
    expect(heard).not.toHaveBeenCalled()
    core.say(live())
    expect(heard).toHaveBeenCalledOnce()
  })

  it('never hear of a state that a listener before them has ended', async () => {
    const { client, core } = await started()
    const heard: string[] = []
    client.subscribe(state => {
      if (state.status === 'live') client.stop()
    })
    client.subscribe(state => heard.push(state.status))
    core.say(live())
    expect(heard).toEqual(['closed'])
  })

  it('that are no functions are refused', () => {
    const client = clientFactory(loadDouble)(OPTIONS)
    expect(() => client.subscribe(undefined as never)).toThrow(/expects a function/)
  })
})

describe('refused sessions (D-RES-2)', () => {
  it('call onAuthRequired once each time', async () => {
    const onAuthRequired = vi.fn()
    const { core } = await started({ onAuthRequired })
    core.say(withoutView('authRequired', { code: 'AUTH_FAILED', message: 'no' }))
    core.say(withoutView('authRequired', { code: 'AUTH_FAILED', message: 'still no' }))
    expect(onAuthRequired).toHaveBeenCalledOnce()
    core.say(withoutView('connecting', null))
    core.say(withoutView('authRequired', { code: 'AUTH_FAILED', message: 'again' }))
    expect(onAuthRequired).toHaveBeenCalledTimes(2)
  })

  it('do not call onAuthRequired once a listener has dealt with them', async () => {
    const onAuthRequired = vi.fn()
    const { client, core } = await started({ onAuthRequired })
    client.subscribe(({ status }) => status === 'authRequired' && client.stop())
    core.say(withoutView('authRequired', null))
    expect(client.getState().status).toBe('closed')
    expect(onAuthRequired).not.toHaveBeenCalled()
  })

  it('call onAuthRequired also when the callback throws or calls the client', async () => {
    const { entries, logger } = recorder()
    const { client, core } = await started({
      logger,
      onAuthRequired: () => {
        client.reauthenticate()
        throw new Error('oops')
      },
    })
    core.say(withoutView('authRequired', { code: 'AUTH_FAILED', message: 'no' }))
    expect(core.calls).toEqual(['start', 'reauthenticate'])
    expect(entries.map(entry => entry.code)).toEqual(['CALLBACK_THREW'])
  })
})

describe('callbacks that return a rejected promise', () => {
  const unhandled = vi.fn()

  beforeEach(() => {
    process.on('unhandledRejection', unhandled)
  })

  afterEach(() => {
    process.off('unhandledRejection', unhandled)
  })

  it('are reported, and leave no rejection unhandled', async () => {
    const { entries, logger } = recorder()
    const reject = () => Promise.reject(new Error('no route'))
    const { core } = await started({ logger, onAuthRequired: reject })
    core.say(withoutView('authRequired', { code: 'AUTH_FAILED', message: 'no' }))
    await settle()
    expect(entries).toMatchObject([
      { code: 'CALLBACK_THREW', message: 'onAuthRequired rejected: Error: no route' },
    ])
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('are left alone where they are the logger, or name the user', async () => {
    const reject = (): never => Promise.reject(new Error('no network')) as never
    const store = { load: async () => null, save: async () => {}, drop: async () => {} }
    const logger = { debug: reject, info: reject, warn: reject, error: reject }
    const { core } = await started({ logger, lastView: { userId: reject, store } })
    core.options.lastView?.save('a view')
    await settle()
    expect(unhandled).not.toHaveBeenCalled()
  })
})

describe('a logger that calls the client', () => {
  it('may stop it before anything is loaded', async () => {
    const load = vi.fn(loadDouble)
    const logger = { info: () => client.stop() }
    const client = clientFactory(load)({ ...OPTIONS, logger })
    client.start()
    expect(client.getState().status).toBe('closed')
    expect(load).not.toHaveBeenCalled()
  })

  it('may start it when it hears of the stop', async () => {
    const logger = {
      info: (_: string, { code }: Diagnostic) => code === 'STOPPED' && client.start(),
    }
    const client = clientFactory(loadDouble)({ ...OPTIONS, logger })
    client.start()
    client.stop()
    expect(client.getState().status).toBe('connecting')
    await vi.waitFor(() => expect(latest().calls).toEqual(['start']))
  })

  it('may stop it when it hears that the module did not load', async () => {
    vi.useFakeTimers()
    const load = vi.fn(async () => {
      throw new Error('offline')
    })
    const logger = { error: () => client.stop() }
    const client = clientFactory(load)({ ...OPTIONS, logger })
    client.start()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(client.getState().status).toBe('closed')
    expect(load).toHaveBeenCalledOnce()
  })
})

describe('a module that does not load', () => {
  it('shows as backoff with a reason, and is loaded again', async () => {
    vi.useFakeTimers()
    const { entries, logger } = recorder()
    const load = vi.fn(loadDouble).mockRejectedValueOnce(new Error('404'))
    const client = clientFactory(load)({ ...OPTIONS, logger })
    client.start()
    await vi.advanceTimersByTimeAsync(0)
    expect(client.getState()).toMatchObject({
      status: 'backoff',
      freshness: { attempt: 1, reason: { code: 'MODULE_LOAD_FAILED' } },
    })
    expect(client.getState().freshness.nextRetryAt).toBeGreaterThan(Date.now())
    expect(entries).toMatchObject([{ level: 'error', code: 'MODULE_LOAD_FAILED' }])
    await vi.advanceTimersByTimeAsync(1_000)
    expect(latest().calls).toEqual(['start'])
  })

  it('says what to do about a Content-Security-Policy', async () => {
    vi.useFakeTimers()
    const refusal = new Error("Refused to compile: 'unsafe-eval' is not allowed")
    const client = clientFactory(() => Promise.reject(refusal))({ ...OPTIONS, logger: null })
    client.start()
    await vi.advanceTimersByTimeAsync(0)
    expect(client.getState().freshness.reason?.message).toContain("'wasm-unsafe-eval'")
    client.stop()
  })

  it('is loaded at once on refresh, and no more after stop', async () => {
    vi.useFakeTimers()
    const load = vi.fn(() => Promise.reject(new Error('404')))
    const client = clientFactory(load)({ ...OPTIONS, logger: null })
    client.start()
    await vi.advanceTimersByTimeAsync(0)
    client.refresh()
    await vi.advanceTimersByTimeAsync(0)
    expect(load).toHaveBeenCalledTimes(2)
    client.stop()
    await vi.advanceTimersByTimeAsync(120_000)
    expect(load).toHaveBeenCalledTimes(2)
    expect(client.getState().status).toBe('closed')
  })

  it('is loaded at once, and once, for the listener that hears of it and refreshes', async () => {
    vi.useFakeTimers()
    const load = vi.fn(loadDouble).mockRejectedValueOnce(new Error('404'))
    const client = clientFactory(load)({ ...OPTIONS, logger: null })
    client.subscribe(({ status }) => {
      if (status === 'backoff') client.refresh()
    })
    client.start()
    await vi.advanceTimersByTimeAsync(0)
    expect(client.getState()).toBe(latest().state)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(load).toHaveBeenCalledTimes(2)
    expect(CoreDouble.made).toHaveLength(1)
  })

  it('is loaded no more for the listener that hears of it and stops', async () => {
    vi.useFakeTimers()
    const load = vi.fn(() => Promise.reject(new Error('404')))
    const client = clientFactory(load)({ ...OPTIONS, logger: null })
    client.subscribe(({ status }) => {
      if (status === 'backoff') client.stop()
    })
    client.start()
    await vi.advanceTimersByTimeAsync(60_000)
    expect(load).toHaveBeenCalledOnce()
    expect(client.getState().status).toBe('closed')
  })

  it('waits longer each time, at most 30 s', async () => {
    vi.useFakeTimers()
    const load = vi.fn(() => Promise.reject(new Error('404')))
    const client = clientFactory(load)({ ...OPTIONS, logger: null })
    client.start()
    for (let attempt = 1; attempt <= 9; attempt += 1) {
      await vi.advanceTimersByTimeAsync(30_000)
    }
    const { nextRetryAt, attempt } = client.getState().freshness
    expect(attempt).toBeGreaterThan(8)
    expect((nextRetryAt ?? 0) - Date.now()).toBeLessThanOrEqual(30_000)
    client.stop()
  })

  it('is loaded once for many clients', async () => {
    const load = vi.fn(loadDouble)
    const create = clientFactory(once(load))
    const clients = [create(OPTIONS), create(OPTIONS)]
    for (const client of clients) client.start()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(2))
    expect(load).toHaveBeenCalledOnce()
    for (const client of clients) client.stop()
  })
})

describe('where a client cannot work', () => {
  it.each([
    ['WebSocket', 'WEBSOCKET_UNAVAILABLE', 'has no WebSocket'],
    ['fetch', 'FETCH_UNAVAILABLE', 'has no fetch'],
    ['WebAssembly', 'WEBASSEMBLY_UNAVAILABLE', 'WebAssembly is switched off'],
  ])('says that the runtime has no %s, and loads nothing', (name, code, words) => {
    vi.stubGlobal(name, undefined)
    const { entries, logger } = recorder()
    const load = vi.fn(loadDouble)
    const client = clientFactory(load)({ ...OPTIONS, logger })
    client.start()
    expect(client.getState()).toMatchObject({
      status: 'closed',
      freshness: { nextRetryAt: null, reason: { code, message: expect.stringContaining(words) } },
    })
    expect(entries).toMatchObject([{ level: 'error', code }])
    expect(load).not.toHaveBeenCalled()
  })

  it('says that WebAssembly is too old for the module', () => {
    vi.spyOn(WebAssembly, 'validate').mockReturnValue(false)
    const client = clientFactory(loadDouble)({ ...OPTIONS, logger: null })
    client.start()
    expect(client.getState()).toMatchObject({
      status: 'closed',
      freshness: {
        reason: { code: 'WEBASSEMBLY_UNAVAILABLE', message: expect.stringContaining('too old') },
      },
    })
  })

  it('begins once what was missing is there', async () => {
    vi.stubGlobal('WebAssembly', undefined)
    const client = clientFactory(loadDouble)({ ...OPTIONS, logger: null })
    client.start()
    vi.unstubAllGlobals()
    vi.stubGlobal('WebSocket', class {})
    client.start()
    await vi.waitFor(() => expect(latest().calls).toEqual(['start']))
  })

  it('says that the core refused to begin', async () => {
    class Refusing extends CoreDouble {
      override start(): void {
        throw new Error('no window')
      }
    }
    const { entries, logger } = recorder()
    const client = clientFactory(async () => Refusing)({ ...OPTIONS, logger })
    client.start()
    await vi.waitFor(() => expect(client.getState().status).toBe('closed'))
    expect(client.getState().freshness.reason?.message).toContain('no window')
    expect(entries).toMatchObject([{ code: 'CORE_FAILED' }])
  })
})
