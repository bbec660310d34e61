import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { LastViewEntry, LastViewStore } from '../src/api.js'
import { clientFactory } from '../src/client.js'
import type { CoreLastView } from '../src/core.js'
import { LastView } from '../src/last-view.js'
import { withoutView } from '../src/state.js'
import { CoreDouble, loadDouble } from './double.js'
import { deferred, OPTIONS, recorder, settle, started } from './support.js'

/** A store in memory; what it does can be made to wait or to fail. */
class Slot implements LastViewStore {
  kept: LastViewEntry | null = null
  saves = 0
  gate: Promise<void> = Promise.resolve()
  broken: Error | null = null

  async load() {
    await this.#ready()
    return this.kept
  }

  async save(entry: LastViewEntry) {
    this.saves += 1
    await this.#ready()
    this.kept = entry
  }

  async drop() {
    await this.#ready()
    this.kept = null
  }

  async #ready() {
    await this.gate
    if (this.broken !== null) throw this.broken
  }
}

let slot: Slot
let user: string | null
let told: string[]

function keeper(): LastView {
  return new LastView(
    () => user,
    slot,
    message => told.push(message),
  )
}

beforeEach(() => {
  slot = new Slot()
  user = 'ann'
  told = []
})

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('a last view', () => {
  it('is shown again to the user it was saved for', async () => {
    const before = keeper()
    await before.load()
    before.save('her view')
    await settle()
    expect(slot.kept).toEqual({ userId: 'ann', record: 'her view' })
    expect(await keeper().load()).toBe('her view')
    expect(slot.kept).not.toBeNull()
  })

  it('of another user is dropped, not shown', async () => {
    slot.kept = { userId: 'bob', record: 'his view' }
    expect(await keeper().load()).toBeNull()
    await settle()
    expect(slot.kept).toBeNull()
    expect(told).toEqual([])
  })

  it('is neither read nor saved while no user is known', async () => {
    user = null
    slot.kept = { userId: 'ann', record: 'her view' }
    const load = vi.spyOn(slot, 'load')
    const kept = keeper()
    expect(await kept.load()).toBeNull()
    kept.save('a view')
    await settle()
    expect(load).not.toHaveBeenCalled()
    expect(slot.kept).toEqual({ userId: 'ann', record: 'her view' })
  })

  it('is saved once the user becomes known', async () => {
    user = null
    const kept = keeper()
    await kept.load()
    user = 'ann'
    kept.save('her view')
    await settle()
    expect(slot.kept).toEqual({ userId: 'ann', record: 'her view' })
  })

  it('is not shown when the user changes while it is read', async () => {
    slot.kept = { userId: 'ann', record: 'her view' }
    const gate = deferred()
    slot.gate = gate.promise
    const loading = keeper().load()
    user = 'bob'
    gate.resolve()
    expect(await loading).toBeNull()
    await settle()
    expect(slot.kept).toBeNull()
  })

  it.each(['bob', null])(
    'is dropped, and kept no more, when the user turns into %j unannounced',
    async next => {
      const kept = keeper()
      await kept.load()
      kept.save('her view')
      await settle()
      user = next
      kept.save('whose view?')
      kept.save('whose view?')
      await settle()
      expect(slot.kept).toBeNull()
      user = 'ann'
      kept.save('whose view?')
      await settle()
      expect(slot.kept).toBeNull()
    },
  )

  it.each([
    ['before its view is saved', 'bob', false],
    ['while what was kept is read', 'ann', true],
  ])('is kept for nobody when the user changes %s', async (_when, keptFor, isAtOnce) => {
    slot.kept = { userId: keptFor, record: 'of an earlier visit' }
    const kept = keeper()
    const loading = kept.load()
    if (isAtOnce) user = 'bob'
    expect(await loading).toBeNull()
    user = 'bob'
    kept.save('her view')
    kept.save('her view')
    await settle()
    expect(slot.kept).toBeNull()
  })

  it('is kept when it comes before the answer that another one was kept', async () => {
    slot.kept = { userId: 'bob', record: 'his view' }
    const gate = deferred()
    slot.gate = gate.promise
    const kept = keeper()
    const loading = kept.load()
    kept.save('her view')
    gate.resolve()
    expect(await loading).toBeNull()
    await settle()
    expect(slot.kept).toEqual({ userId: 'ann', record: 'her view' })
  })

  it('is kept for the next user once the app has begun a session of theirs', async () => {
    const kept = keeper()
    await kept.load()
    kept.save('her view')
    user = 'bob'
    expect(kept.goOn()).toBe(false)
    kept.drop()
    kept.save('his view')
    await settle()
    expect(slot.kept).toEqual({ userId: 'bob', record: 'his view' })
  })
})

describe('a drop', () => {
  it('ends a save in flight and the ones that wait', async () => {
    const gate = deferred()
    slot.gate = gate.promise
    const kept = keeper()
    kept.save('in flight')
    await settle()
    expect(slot.saves).toBe(1)
    kept.save('waiting')
    kept.drop()
    gate.resolve()
    await settle()
    expect(slot.saves).toBe(1)
    expect(slot.kept).toBeNull()
  })

  it('ends a load in flight', async () => {
    slot.kept = { userId: 'ann', record: 'her view' }
    const gate = deferred()
    slot.gate = gate.promise
    const kept = keeper()
    const loading = kept.load()
    kept.drop()
    gate.resolve()
    expect(await loading).toBeNull()
    await settle()
    expect(slot.kept).toBeNull()
  })

  it('leaves the last word to what comes after it, in every order of three', async () => {
    const acts = ['save', 'drop', 'load'] as const
    for (const first of acts) {
      for (const second of acts) {
        for (const third of acts) {
          slot = new Slot()
          const kept = keeper()
          const order = [first, second, third]
          for (const [at, act] of order.entries()) {
            if (act === 'save') kept.save(String(at))
            else void kept[act]()
          }
          await settle()
          const last = Math.max(order.lastIndexOf('save'), order.lastIndexOf('drop'))
          const expected = order[last] === 'save' ? { userId: 'ann', record: String(last) } : null
          expect(slot.kept, order.join()).toEqual(expected)
        }
      }
    }
  })
})

describe('a store', () => {
  it('that is slower than the core gets the newest view only', async () => {
    const gate = deferred()
    slot.gate = gate.promise
    const kept = keeper()
    kept.save('1')
    await settle()
    for (const record of ['2', '3', '4']) kept.save(record)
    gate.resolve()
    await settle()
    expect(slot.saves).toBe(2)
    expect(slot.kept?.record).toBe('4')
  })

  it('that fails is reported once until it works again, and nothing is lost', async () => {
    slot.broken = new DOMException('The quota is used up.', 'QuotaExceededError')
    const kept = keeper()
    expect(await kept.load()).toBeNull()
    kept.save('1')
    await settle()
    kept.drop()
    await settle()
    expect(told).toEqual([
      'The last view could not be read: QuotaExceededError: The quota is used up.',
    ])

    slot.broken = null
    kept.save('2')
    await settle()
    expect(slot.kept?.record).toBe('2')
    slot.broken = new Error('again')
    kept.save('3')
    await settle()
    expect(told).toHaveLength(2)
    expect(told[1]).toBe('The last view could not be saved: Error: again')
  })

  it('that throws instead of rejecting harms nothing', async () => {
    slot.drop = () => {
      throw new Error('no')
    }
    const kept = keeper()
    expect(() => kept.drop()).not.toThrow()
    await settle()
    expect(told).toEqual(['The last view could not be dropped: Error: no'])
  })

  it('is left alone when the app fails to name the user', async () => {
    const save = vi.spyOn(slot, 'save')
    for (const userId of [
      () => {
        throw new Error('no session')
      },
      () => 42 as never,
      () => '',
      () => Promise.resolve('ann') as never,
    ]) {
      const kept = new LastView(userId, slot, message => told.push(message))
      expect(await kept.load()).toBeNull()
      kept.save('a view')
      await settle()
    }
    expect(save).not.toHaveBeenCalled()
    expect(told).toHaveLength(4)
    expect(told[0]).toBe('lastView.userId failed: Error: no session')
    expect(told[1]).toContain('must return the id of the user, or null')
  })
})

describe('a client with a last view', () => {
  beforeEach(() => {
    CoreDouble.made = []
    vi.stubGlobal('WebSocket', class {})
  })

  async function startedWith(options: object = {}) {
    const { client, core } = await started({
      lastView: { userId: () => user, store: slot },
      ...options,
    })
    return { client, core, lastView: core.options.lastView as CoreLastView }
  }

  it('hands it to its core, and leaves nothing after stop', async () => {
    slot.kept = { userId: 'ann', record: 'her view' }
    const { client, lastView } = await startedWith()
    expect(await lastView.load()).toBe('her view')
    lastView.save('newer')
    await settle()
    expect(slot.kept?.record).toBe('newer')
    client.stop()
    await settle()
    expect(slot.kept).toBeNull()
  })

  it('lets a core that was stopped neither read, save nor drop', async () => {
    const { client, lastView: old } = await startedWith()
    client.stop()
    old.save('late')
    await settle()
    expect(slot.kept).toBeNull()

    client.start()
    await vi.waitFor(() => expect(CoreDouble.made).toHaveLength(2))
    CoreDouble.made[1]?.options.lastView?.save('new')
    old.drop()
    await settle()
    expect(slot.kept?.record).toBe('new')
    expect(await old.load()).toBeNull()
  })

  it.each([
    ['before the first view', false],
    ['between two views', true],
  ])('keeps no view of a user who came and went %s', async (_when, isKeptBefore) => {
    const { core, lastView } = await startedWith()
    if (isKeptBefore) lastView.save('her view')
    user = 'bob'
    core.say(withoutView('backoff', null))
    user = 'ann'
    lastView.save('his view')
    await settle()
    expect(slot.kept).toBeNull()
  })

  it.each<[string, () => void, string]>([
    ['the same user', () => {}, 'reauthenticate the same user'],
    ['a user who logs in again', () => (user = null), 'reauthenticate the same user'],
    ['another user', () => (user = 'bob'), 'reauthenticate'],
    ['a user who came back after another one', () => (user = 'bob'), 'reauthenticate'],
    ['no user', () => (user = null), 'reauthenticate'],
  ])('tells the core of the session of %s', async (who, change, told) => {
    const { client, core, lastView } = await startedWith()
    lastView.save('her view')
    lastView.drop()
    core.say(withoutView('authRequired', null))
    change()
    core.say(withoutView('authRequired', { code: 'AUTH_FAILED', message: 'no' }))
    if (who.startsWith('a user')) user = 'ann'
    client.reauthenticate()
    expect(core.calls.at(-1)).toBe(told)
  })

  it('takes no view for that of a user who was named only after it was shown', async () => {
    user = null
    const { client, core, lastView } = await startedWith()
    expect(await lastView.load()).toBeNull()
    user = 'ann'
    lastView.save('a view')
    client.reauthenticate()
    expect(core.calls.at(-1)).toBe('reauthenticate')
    client.reauthenticate()
    expect(core.calls.at(-1)).toBe('reauthenticate the same user')
  })

  it.each(['stop', 'reauthenticate'] as const)('drops it on %s also without a core', async act => {
    slot.kept = { userId: 'ann', record: 'her view' }
    const lastView = { userId: () => user, store: slot }
    clientFactory(loadDouble)({ ...OPTIONS, lastView })[act]()
    await settle()
    expect(slot.kept).toBeNull()
  })

  it('tells of failures as warnings, and goes on', async () => {
    const { entries, logger } = recorder()
    const { client, core, lastView } = await startedWith({ logger })
    slot.broken = new Error('disk full')
    lastView.save('a view')
    await settle()
    expect(entries).toMatchObject([{ level: 'warn', code: 'LAST_VIEW_FAILED' }])
    expect(client.diagnostics().at(-1)).toEqual(entries[0])
    expect(client.getState()).toBe(core.state)
  })

  it('keeps nothing, without complaint, where the runtime has no IndexedDB', async () => {
    const { entries, logger } = recorder()
    const { core } = await started({ logger, lastView: { userId: () => user } })
    expect(core.options.lastView).toBeUndefined()
    expect(entries).toEqual([])
  })

  it('keeps nothing unless asked to', async () => {
    const { core } = await started()
    expect(core.options.lastView).toBeUndefined()
  })
})
