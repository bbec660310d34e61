/** Answers to the test that started this program: one line of JSON. */
export function tell(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

/** Standard input ends with the test, however it ends: no server outlives it. */
export function untilParentLeaves() {
  return new Promise(resolve => process.stdin.on('end', resolve).resume())
}
