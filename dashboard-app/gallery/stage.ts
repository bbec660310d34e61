/** Where a scene is played: the app's real client, a scripted server, and time that stands still. */
import type { DashboardClient } from '@moc/dashboard-sdk'
import type { Condition, FakeServer, VirtualTime } from '@moc/dashboard-sdk/testing'
import { type Clock, install } from '@sinonjs/fake-timers'

/** When every scene begins: so an age that is shown today is shown in a year. */
const NOW = Date.UTC(2026, 4, 4, 12)

/** How often time that runs is passed on, in real ms. */
const TICK_MS = 50

const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis
const { performance } = globalThis

/** Stops the page's clock, and makes chance the same each time. The browser's frames stay real. */
export function stopTime(): Clock {
  // For tools that watch the page from outside and wait.
  Object.assign(globalThis, {
    realTimers: {
      setTimeout: setTimeout.bind(globalThis),
      clearTimeout: clearTimeout.bind(globalThis),
      setInterval: setInterval.bind(globalThis),
      clearInterval: clearInterval.bind(globalThis),
    },
  })
  // The client draws its pauses by it. The same number each time: it does not matter who draws first.
  Math.random = () => 0.5
  return install({
    now: NOW,
    toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
  })
}

/** Lets the clock go on as real time does. */
export function letTimePass(clock: Clock): void {
  let last = performance.now()
  setInterval.call(
    globalThis,
    () => {
      const now = performance.now()
      clock.tick(now - last)
      last = now
    },
    TICK_MS,
  )
}

/** The clock, as the fake server lets time pass. */
export function virtualTime(clock: Clock): VirtualTime {
  return {
    advanceTimersByTimeAsync: ms => clock.tickAsync(ms),
    advanceTimersToNextTimerAsync: () => clock.nextAsync(),
  }
}

/** What passes time, and then React's work on what has come of it. */
export async function act(pass: () => Promise<void>): Promise<void> {
  await pass()
  // React posts itself a message for what it puts off, and perhaps another one then.
  for (let turn = 0; turn < 3; turn += 1) await message()
}

function message(): Promise<void> {
  return new Promise(resolve => {
    const { port1, port2 } = new MessageChannel()
    port1.onmessage = () => {
      port1.close()
      resolve()
    }
    port2.postMessage(null)
  })
}

/** What a scene's script has to do with. */
export class Stage {
  readonly server: FakeServer
  readonly client: DashboardClient

  constructor(server: FakeServer, client: DashboardClient) {
    this.server = server
    this.client = client
  }

  /** Lets time pass until the client is as wanted. */
  async until(condition: Condition): Promise<void> {
    await this.server.until(this.client, condition)
  }

  /** Live, and for long enough that nothing of the beginning counts. */
  async live(): Promise<void> {
    await this.until('live')
    await this.server.advance(6_000)
  }

  /** After the failures that end quick retries, with requests that still get through. */
  async degraded(): Promise<void> {
    await this.live()
    this.server.connections.refuse()
    this.server.connections.drop()
    await this.until('degraded')
    await this.server.advance(31_000)
  }

  /** The device has lost its network, and knows it. */
  goOffline(): void {
    Object.defineProperty(navigator, 'onLine', { value: false, configurable: true })
    this.server.connections.refuse()
    this.server.snapshots.networkError()
    this.server.connections.drop()
    dispatchEvent(new Event('offline'))
  }

  /** Presses the button or link with that name, inside the element with that test id if one is given. */
  async press(name: string, within?: string): Promise<void> {
    const place = within === undefined ? document : element(`[data-testid="${within}"]`)
    const all = [...place.querySelectorAll<HTMLElement>('button, a')]
    const found = all.find(one => (one.getAttribute('aria-label') ?? one.innerText.trim()) === name)
    if (found === undefined) throw new Error(`Nothing to press is called "${name}".`)
    found.click()
    await this.server.advance()
  }

  /** Puts the pointer there, as far as the page can tell. */
  async point(selector: string): Promise<void> {
    element(selector).dispatchEvent(new PointerEvent('pointerover', { bubbles: true }))
    await this.server.advance()
  }

  /** Chooses from the list with that label. */
  async choose(label: string, option: string): Promise<void> {
    const labels = [...document.querySelectorAll('label')]
    const found = labels.find(one => one.innerText.trim() === label)?.control
    if (!(found instanceof HTMLSelectElement)) throw new Error(`No list is called "${label}".`)
    const chosen = [...found.options].find(one => one.text === option)
    if (chosen === undefined) throw new Error(`"${label}" has no "${option}".`)
    found.value = chosen.value
    found.dispatchEvent(new Event('change', { bubbles: true }))
    await this.server.advance()
  }

  /** Waits for what React does in its own time, which is the browser's. */
  async shown(condition: () => boolean): Promise<void> {
    while (!condition()) await frame()
  }

  /** Scrolls so far that the page's head is gone. */
  async scroll(): Promise<void> {
    scrollTo({ top: 480, behavior: 'instant' })
    await settled()
  }
}

function element(selector: string): Element {
  const found = document.querySelector(selector)
  if (found === null) throw new Error(`The page has no ${selector}.`)
  return found
}

/** When fonts and pictures are there, and what follows from them is drawn. */
export async function settled(): Promise<void> {
  await Promise.all([...document.fonts].map(font => font.load()))
  for (const image of document.images) image.loading = 'eager'
  await Promise.all([...document.images].map(arrived))
  // Observers, such as the one for what is in view, report with the next frame.
  await frame()
  await frame()
}

function arrived(image: HTMLImageElement): Promise<void> {
  return new Promise(resolve => {
    if (image.complete) resolve()
    image.addEventListener('load', () => resolve())
    image.addEventListener('error', () => resolve())
  })
}

function frame(): Promise<void> {
  return new Promise(resolve => {
    requestAnimationFrame(() => resolve())
  })
}

/**
 * Ends the animations that move, and puts endless ones at their beginning. The page then looks the
 * same at every moment.
 *
 * @param moment how long ago all of them are to have hasLoaded, in ms. Those of the styles are put there by
 * their style already.
 */
export function hold(moment: number | undefined): void {
  for (const animation of document.getAnimations()) {
    const isEndless = animation.effect?.getComputedTiming().endTime === Number.POSITIVE_INFINITY
    if (isEndless) {
      animation.pause()
      animation.currentTime = 0
    } else if (moment === undefined || animation instanceof CSSTransition) {
      animation.finish()
    } else if (!(animation instanceof CSSAnimation)) {
      animation.pause()
      animation.currentTime = moment
    }
  }
}
