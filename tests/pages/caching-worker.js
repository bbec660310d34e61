// A service worker as many sites have one: it repeats an answer that it has once got, and ignores
// the query. It forgets nothing until the test says so.
let keeps = true

self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()))
self.addEventListener('message', event => {
  keeps = event.data === 'keep'
  event.source.postMessage('done')
})
self.addEventListener('fetch', event => {
  const { pathname } = new URL(event.request.url)
  if (keeps && pathname.startsWith('/api/')) event.respondWith(kept(pathname, event.request))
})

async function kept(pathname, request) {
  const cache = await caches.open('kept')
  const hit = await cache.match(pathname)
  if (hit !== undefined) return hit
  const answer = await fetch(request)
  if (answer.ok) await cache.put(pathname, answer.clone())
  return answer
}
