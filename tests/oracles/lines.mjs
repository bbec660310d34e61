// JSON lines over stdio: the harness asks, the oracle answers and tells what happens.
//
// A question is `{ id, do, …arguments }`; its answer is `{ reply: id, value }` or
// `{ reply: id, error }`. Everything else that goes out is `{ happened, … }`.

import { createInterface } from 'node:readline'

export function tell(happened, facts = {}) {
  write({ happened, ...facts })
}

/** Serves questions until standard input ends, then ends the process: no oracle outlives its test. */
export function serve(actions) {
  const lines = createInterface({ input: process.stdin })
  lines.on('line', (line) => answer(actions, JSON.parse(line)))
  lines.on('close', () => process.exit(0))
  tell('ready')
}

async function answer(actions, { id, do: name, ...args }) {
  try {
    if (!Object.hasOwn(actions, name)) throw new Error(`no such action: ${name}`)
    write({ reply: id, value: (await actions[name](args)) ?? null })
  } catch (error) {
    write({ reply: id, error: String(error?.stack ?? error) })
  }
}

function write(message) {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
