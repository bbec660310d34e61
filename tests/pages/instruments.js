// Runs in a page before its own scripts: lets a test hold the page's time, and notes what the app's
// client says and what the screen shows. The app knows nothing of it.
;(() => {
  const real = {
    setTimeout: window.setTimeout.bind(window),
    clearTimeout: window.clearTimeout.bind(window),
    setInterval: window.setInterval.bind(window),
    clearInterval: window.clearInterval.bind(window),
    now: performance.now.bind(performance),
  }
  // For code that waits from outside.
  window.realTimers = real

  // Of the seeds, one whose waits after the first failures are the shortest.
  Math.random = () => 0.148162

  // ---- Time: the real one until it is frozen, and then only what `pass` lets pass.
  let frozenAt = null
  let skipped = 0
  let skew = 0
  let lastId = 0
  const timers = new Map()
  const steady = () => (frozenAt ?? real.now()) + skipped
  performance.now = steady
  Date.now = () => Math.floor(performance.timeOrigin + steady() + skew)

  function arm(timer) {
    if (frozenAt !== null) return
    timer.real = real.setTimeout(() => fire(timer), Math.max(0, timer.due - steady()))
  }
  function fire(timer) {
    if (timer.every === null) timers.delete(timer.id)
    else {
      timer.due = steady() + timer.every
      arm(timer)
    }
    timer.call()
  }
  function set(call, delay, every, given) {
    const wait = Math.max(0, Number(delay) || 0)
    const timer = { id: ++lastId, due: steady() + wait, every: every ? Math.max(1, wait) : null }
    timer.call = () => call(...given)
    timers.set(timer.id, timer)
    arm(timer)
    return timer.id
  }
  function clear(id) {
    real.clearTimeout(timers.get(id)?.real)
    timers.delete(id)
  }
  window.setTimeout = (call, delay, ...given) => set(call, delay, false, given)
  window.setInterval = (call, delay, ...given) => set(call, delay, true, given)
  window.clearTimeout = clear
  window.clearInterval = clear

  const { port1, port2 } = new MessageChannel()
  /** After it, all that was due before is done. */
  const turn = () =>
    new Promise(done => {
      port1.onmessage = () => real.setTimeout(done, 0)
      port2.postMessage(null)
    })
  /** Until nothing is on its way any more, or at most for `patience`. */
  async function quiet(patience) {
    const until = real.now() + patience
    let calm = 0
    while (calm < 2 && real.now() < until) {
      await turn()
      calm = traffic.pending === 0 ? calm + 1 : 0
    }
  }
  window.clock = {
    freeze() {
      frozenAt ??= real.now()
      for (const timer of timers.values()) real.clearTimeout(timer.real)
    },
    thaw() {
      if (frozenAt === null) return
      skipped = steady() - real.now()
      frozenAt = null
      for (const timer of timers.values()) arm(timer)
    },
    /** Lets so much time pass, timer by timer, or less if `done` comes true; tells whether it did.
     * What is on its way ends between two timers, unless it takes longer than `patience`. */
    async pass(span, done = () => false, patience = 2_000) {
      const end = steady() + span
      for (;;) {
        await quiet(patience)
        if (done()) return true
        const next = [...timers.values()].sort((a, b) => a.due - b.due || a.id - b.id)[0]
        if (next === undefined || next.due > end) break
        skipped += Math.max(0, next.due - steady())
        fire(next)
      }
      skipped += end - steady()
      await quiet(patience)
      return done()
    },
    /** Lets so much time pass in which no timer runs. */
    skip(span) {
      skipped += span
    },
    /** The page slept: its steady clock stood still, and no timer ran. Or its clock was set. */
    setWall(by) {
      skew += by
    },
    now: steady,
  }

  // ---- Traffic: how many sockets and requests there are, and were at most.
  const traffic = { pending: 0, sockets: 0, mostSockets: 0, requests: 0, mostRequests: 0 }
  window.traffic = traffic
  const begin = () => {
    traffic.pending += 1
    let open = true
    return () => {
      if (open) traffic.pending -= 1
      open = false
    }
  }
  const sockets = []
  const RealSocket = window.WebSocket
  window.WebSocket = class extends RealSocket {
    constructor(...given) {
      super(...given)
      sockets.push(this)
      const open = sockets.filter(socket => socket.readyState <= RealSocket.OPEN).length
      traffic.sockets += 1
      traffic.mostSockets = Math.max(traffic.mostSockets, open)
      // Until the namespace has answered.
      const settled = begin()
      for (const end of ['close', 'given-up']) this.addEventListener(end, settled)
      this.addEventListener('message', ({ data }) => /^4[0134]/.test(data) && settled())
    }
    close(...given) {
      this.dispatchEvent(new Event('given-up'))
      super.close(...given)
    }
  }
  const realFetch = window.fetch.bind(window)
  let inFlight = 0
  window.fetch = (address, init) => {
    if (!String(address?.url ?? address).includes('/api/')) return realFetch(address, init)
    const settled = begin()
    traffic.requests += 1
    inFlight += 1
    traffic.mostRequests = Math.max(traffic.mostRequests, inFlight)
    let over = false
    const end = () => {
      if (!over) inFlight -= 1
      over = true
      settled()
    }
    init?.signal?.addEventListener('abort', end)
    const answer = realFetch(address, init)
    answer.then(end, end)
    return answer
  }
  const realText = Response.prototype.text
  Response.prototype.text = function () {
    const settled = begin()
    const text = realText.call(this)
    text.then(settled, settled)
    return text
  }

  // ---- The story: what the client said, and what was on the screen.
  const story = { states: [], screens: [], views: [] }
  window.story = story
  function note(state) {
    const { status, freshness } = state
    const line = `${status} ${freshness.source} ${freshness.reason?.code ?? '-'}`
    const entry = { line, attempt: freshness.attempt, retry: freshness.nextRetryAt, at: steady() }
    story.states.push(entry)
  }
  function look() {
    const find = id => document.querySelector(`[data-testid='${id}']`)
    const text = document.body?.innerText ?? ''
    const connected = find('connection-status')?.dataset.connected
    if (connected === undefined) return
    const parts = [
      connected === 'true' ? 'connected' : 'disconnected',
      find('degraded-mode-banner') && 'banner',
      find('total-mocs-count') && 'cards',
      text.includes('Connection restored') && 'restored',
      text.includes('Session expired') && 'expired',
      find('dashboard-load-failure') && 'failed',
    ]
    const line = parts.filter(Boolean).join(' ')
    if (story.screens.at(-1) !== line) story.screens.push(line)
  }
  /** The app's client, out of React's tree: a product has no handle for tests. */
  function client() {
    const root = document.getElementById('root')
    const key = Object.keys(root ?? {}).find(key => key.startsWith('__reactContainer$'))
    const find = fiber => fiber && (fiber.memoizedProps?.client ?? find(fiber.child))
    return key && find(root[key].stateNode.current.child)
  }
  new MutationObserver(() => {
    if (window.client === undefined) {
      window.client = client()
      if (window.client !== undefined) {
        note(window.client.getState())
        window.client.subscribe(note)
      }
    }
    look()
  }).observe(document, {
    subtree: true,
    childList: true,
    attributes: true,
    characterData: true,
  })
})()
