/**
 * The contract as the host application checks it, with Zod: the examples that the Rust tests read are
 * accepted and refused here just the same, and the generated types are what the schemas infer.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'

import { expect, expectTypeOf, it } from 'vitest'
import { z } from 'zod'

import type { DashboardView, ErrorBody, EventPayloads } from '../src/types.js'
import { checkEvent, errorBody, type payloads, view } from './contract.js'

it.each(examples('.'))('the example %s is accepted', (name, value) => {
  expect(() => check(name, value)).not.toThrow()
})

it.each(examples('rejected'))('the example rejected/%s is refused', (name, value) => {
  expect(() => check(name, value)).toThrow(z.ZodError)
})

it('the generated types are what the schemas infer', () => {
  type Payloads = { [Type in keyof typeof payloads]: z.infer<(typeof payloads)[Type]> }
  expectTypeOf<z.infer<typeof view>>().toEqualTypeOf<DashboardView>()
  expectTypeOf<EventPayloads>().toExtend<Payloads>()
  expectTypeOf<z.infer<typeof errorBody>>().toExtend<ErrorBody>()
})

function check(name: string, value: unknown): void {
  if (name.startsWith('error-body')) {
    errorBody.parse(value)
  } else if (name.includes('view')) {
    view.parse(value)
  } else {
    checkEvent(value)
  }
}

function examples(folder: string): [string, unknown][] {
  const url = new URL(`../../shared-types/goldens/${folder}/`, import.meta.url)
  const names = readdirSync(url).filter(name => name.endsWith('.json') && name !== 'reasons.json')
  expect(names.length).toBeGreaterThan(10)
  return names.map(name => [basename(name), JSON.parse(readFileSync(new URL(name, url), 'utf8'))])
}
