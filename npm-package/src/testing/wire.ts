/** What all connections and requests share: the latency, and whether messages arrive. */
export class Network {
  /** How long a message takes in one direction, in ms. */
  latency = 0
  #swallows = false
  readonly #wires = new Set<Wire>()

  wire(): Wire {
    const wire = new Wire(this)
    this.#wires.add(wire)
    return wire
  }

  get swallows(): boolean {
    return this.#swallows
  }

  set swallows(swallows: boolean) {
    this.#swallows = swallows
    if (!swallows) for (const wire of [...this.#wires]) wire.flush()
  }

  forget(wire: Wire): void {
    this.#wires.delete(wire)
  }

  /** Ends every wire; nothing that is under way arrives any more. */
  cutAll(): void {
    for (const wire of [...this.#wires]) wire.cut()
  }
}

/**
 * One direction of a connection. Keeps the order at every latency. While the network swallows
 * everything, it holds messages back, as TCP does: they arrive late, but they arrive.
 */
export class Wire {
  readonly #network: Network
  #onTheWay: (() => void)[] = []
  /** How many of them have come to the end, but for the network. */
  #due = 0
  #lastDueAt = 0

  constructor(network: Network) {
    this.#network = network
  }

  push(arrive: () => void): void {
    this.#onTheWay.push(arrive)
    const now = Date.now()
    this.#lastDueAt = Math.max(this.#lastDueAt, now + this.#network.latency)
    after(this.#lastDueAt - now, () => {
      this.#due += 1
      this.flush()
    })
  }

  flush(): void {
    while (this.#due > 0 && this.#onTheWay.length > 0 && !this.#network.swallows) {
      this.#due -= 1
      this.#onTheWay.shift()?.()
    }
  }

  cut(): void {
    this.#onTheWay = []
    this.#network.forget(this)
  }
}

/** Without latency no time passes, so that also a clock that stands still lets messages through. */
function after(ms: number, then: () => void): void {
  if (ms > 0) setTimeout(then, ms)
  else void Promise.resolve().then(then)
}
