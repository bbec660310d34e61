import { readFileSync } from 'node:fs'

import { createFakeServer } from '@moc/dashboard-sdk/testing'
import { expect, it } from 'vitest'

const read = (name: string) => readFileSync(new URL(name, import.meta.url), 'utf8')

it.each(['example.test.tsx', 'redux-example.test.tsx', 'login-example.test.ts'])(
  'the README shows %s, which is run here',
  name => {
    const block = `\`\`\`${name.split('.').at(-1)}\n${read(name)}\`\`\`\n`
    expect(read('../../README.md')).toContain(block)
  },
)

it('the README lists every option of the fake server', () => {
  let known = ''
  try {
    createFakeServer({ nothing: true } as never)
  } catch (error) {
    known = String(error).split('It has: ')[1] ?? ''
  }
  const options = known.match(/\w+/g) ?? []
  expect(options.length).toBeGreaterThan(5)
  const [, section] = read('../../README.md').split('\n## Testing your components\n')
  for (const option of options) expect(section).toContain(`\n| \`${option}\` |`)
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
