import { IDBFactory } from 'fake-indexeddb'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { LastViewStore } from '../src/api.js'
import { indexedDbStore } from '../src/indexed-db.js'
import { LastView } from '../src/last-view.js'
import { CoreDouble } from './double.js'
import { started } from './support.js'

const ENTRY = { userId: 'ann', record: 'her view' }

function store(server = 'https://moc.example.org'): LastViewStore {
  const made = indexedDbStore(server)
  if (made === null) throw new Error('there is no IndexedDB')
  return made
}

function request<T>(asked: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result)
    asked.onerror = () => reject(asked.error)
  })
}

beforeEach(() => {
  vi.stubGlobal('indexedDB', new IDBFactory())
})

afterEach(() => {
  vi.unstubAllGlobals()
})

describe('the store in IndexedDB', () => {
  it('keeps one entry until it is dropped', async () => {
    expect(await store().load()).toBeNull()
    await store().save({ userId: 'bob', record: 'his view' })
    await store().save(ENTRY)
    expect(await store().load()).toEqual(ENTRY)
    await store().drop()
    await store().drop()
    expect(await store().load()).toBeNull()
  })

  it('has one slot for each server', async () => {
    await store('https://a.example.org').save(ENTRY)
    expect(await store('https://b.example.org').load()).toBeNull()
    await store('https://b.example.org').drop()
    expect(await store('https://a.example.org').load()).toEqual(ENTRY)
  })

  it('leaves no connection open, so another page may delete or upgrade the database', async () => {
    await store().save(ENTRY)
    const [database] = await indexedDB.databases()
    await request(indexedDB.deleteDatabase(database?.name ?? ''))
    expect(await store().load()).toBeNull()
  })

  it('takes nothing for an entry that is none', async () => {
    await store().save({ record: 'whose?' } as never)
    expect(await store().load()).toBeNull()
    await store().save('text' as never)
    expect(await store().load()).toBeNull()
  })

  it('rejects where a newer version of the package has been', async () => {
    await store().save(ENTRY)
    const [database] = await indexedDB.databases()
    const newer = await request(indexedDB.open(database?.name ?? '', 2))
    newer.close()
    await expect(store().load()).rejects.toThrow(/version/i)
  })

  it('rejects where the transaction is aborted, as by a full disk', async () => {
    const { IDBObjectStore } = await import('fake-indexeddb')
    vi.spyOn(IDBObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore) {
      const asked = this.get('anything')
      asked.onsuccess = () => this.transaction.abort()
      return asked as IDBRequest<IDBValidKey>
    })
    await expect(store().save(ENTRY)).rejects.toThrow('aborted')
  })

  it('rejects where the browser forbids storage', async () => {
    vi.stubGlobal('indexedDB', {
      open() {
        throw new DOMException('Access is denied for this document.', 'SecurityError')
      },
    })
    await expect(store().drop()).rejects.toThrow('Access is denied')
  })

  it('is absent where there is no IndexedDB', () => {
    vi.unstubAllGlobals()
    expect(indexedDbStore('https://moc.example.org')).toBeNull()
  })

  it('has nothing after a drop, however many saves came before', async () => {
    const keeper = new LastView(
      () => 'ann',
      store(),
      message => {
        throw new Error(message)
      },
    )
    for (let at = 0; at < 20; at += 1) keeper.save(String(at))
    keeper.drop()
    // It is asked in its turn, so it answers after the drop.
    expect(await keeper.load()).toBeNull()
    expect(await store().load()).toBeNull()
  })
})

it('is the default store of a client', async () => {
  CoreDouble.made = []
  vi.stubGlobal('WebSocket', class {})
  const { client, core } = await started({ lastView: { userId: () => 'ann' } })
  core.options.lastView?.save('her view')
  await vi.waitFor(async () => {
    expect(await store('https://moc.example.org').load()).toEqual(ENTRY)
  })
  client.stop()
  await vi.waitFor(async () => {
    expect(await store('https://moc.example.org').load()).toBeNull()
  })
})
