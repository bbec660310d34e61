import { readFileSync } from 'node:fs'

import { expect, it } from 'vitest'

const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')

it('the README shows the example that is run here', () => {
  expect(read('../../README.md')).toContain(`\`\`\`tsx\n${read('example.test.tsx')}\`\`\`\n`)
})

it('the README names every fault that can be scripted', () => {
  const readme = read('../../README.md')
  const declared = ['connections', 'snapshots', 'events'].flatMap(name =>
    // Methods as the declarations show them, less constructors.
    [...read(`../../dist/testing/${name}.d.ts`).matchAll(/^ {4}([a-z]\w+)\(/gm)]
      .map(([, method]) => method as string)
      .filter(method => method !== 'constructor')
      .map(method => `${name}.${method}`),
  )
  expect(declared.length).toBeGreaterThan(12)
  for (const call of declared) expect(readme, call).toContain(`\`${call}(`)
})
