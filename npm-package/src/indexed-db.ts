/**
 * Stores last views in the browser's IndexedDB, in one slot for each server.
 *
 * Three requests need no library: the code around one, for failures and for browsers without
 * storage, would be as long as this. Each request opens the database and closes it again, so no
 * connection blocks an upgrade or the back-forward cache.
 */
import type { LastViewEntry, LastViewStore } from './api.js'

const DATABASE = '@moc/dashboard-sdk'
const SLOTS = 'last-view'

/** Returns the store for `server`, an origin; `null` where there is no IndexedDB, as in Node. */
export function indexedDbStore(server: string): LastViewStore | null {
  if (typeof globalThis.indexedDB === 'undefined') return null
  return {
    async load() {
      const entry = await inSlots('readonly', slots => slots.get(server))
      return isEntry(entry) ? { userId: entry.userId, record: entry.record } : null
    },
    async save({ userId, record }) {
      await inSlots('readwrite', slots => slots.put({ userId, record }, server))
    },
    async drop() {
      await inSlots('readwrite', slots => slots.delete(server))
    },
  }
}

/** Makes one request and returns its result once its transaction is complete. */
async function inSlots(
  mode: IDBTransactionMode,
  ask: (slots: IDBObjectStore) => IDBRequest,
): Promise<unknown> {
  const database = await open()
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(SLOTS, mode)
      const request = ask(transaction.objectStore(SLOTS))
      transaction.oncomplete = () => resolve(request.result)
      // A full disk aborts the transaction after its request has succeeded.
      transaction.onabort = () => reject(transaction.error ?? new Error('it was aborted'))
    })
  } finally {
    database.close()
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1)
    request.onupgradeneeded = () => request.result.createObjectStore(SLOTS)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
}

/** What another version of this package wrote is not trusted. */
function isEntry(value: unknown): value is LastViewEntry {
  const { userId, record } = (value ?? {}) as Partial<LastViewEntry>
  return typeof userId === 'string' && typeof record === 'string'
}
