/** The mistakes that a test of an app can make, and their error messages. */
import { createDashboardClient } from '@moc/dashboard-sdk'
import { createFakeServer, makeView, recordStates } from '@moc/dashboard-sdk/testing'
import { describe, expect, it, vi } from 'vitest'

describe('createFakeServer refuses', () => {
  it.each<[string, object | null | number, RegExp]>([
    ['a number', 3, /expects an object with url, .* not a value of type number/],
    ['null', null, /expects an object with url, .* not null/],
    ['an unknown option', { tiem: vi }, /has no option "tiem"\. It has: url, .*time/],
    ['time that cannot pass', { time: {} }, /time .* Pass vi of Vitest, or jest/],
    ['time that is a word', { time: 'fake' }, /time .* Pass vi of Vitest, or jest/],
    ['a url with a path', { url: 'http://a/b' }, /createFakeServer expects url to end .* basePath/],
    ['a url that is none', { url: 'a' }, /createFakeServer expects url to be absolute/],
    ['a basePath without a slash', { basePath: 'v1' }, /begins with '\/'/],
    ['a view that is not whole', { view: { summary: {} } }, /has no themeBreakdown.* makeView\(/],
    ['a view with more', { view: { ...makeView(), mocs: [] } }, /has no option "mocs"/],
    ['act that is none', { act: true }, /act .* expects a function.*@testing-library\/react/],
    ['latency in words', { latency: '200' }, /latency .* milliseconds, 0 or more, not a value/],
    ['latency below 0', { latency: -1 }, /latency .* milliseconds, 0 or more, not -1/],
    ['accepts that is a list', { accepts: ['a'] }, /accepts .* expects a function, not an array/],
  ])('%s', (_name, options, message) => {
    expect(() => createFakeServer(options as never)).toThrow(TypeError)
    expect(() => createFakeServer(options as never)).toThrow(message)
  })
})

describe('a fake server refuses', () => {
  const server = createFakeServer({ time: vi })

  it.each<[string, () => void, RegExp]>([
    [
      'a number of times that is not named',
      () => server.connections.refuse(2 as never),
      /^connections\.refuse expects an object with times, code, not a value of type number\.$/,
    ],
    [
      'an option of another method',
      () => server.snapshots.hang({ retryAfter: 1 } as never),
      /^snapshots\.hang has no option "retryAfter"\. It has: times\.$/,
    ],
    ['a misspelt option', () => server.events.lose({ time: 2 } as never), /no option "time"/],
    ['times of 0', () => server.events.lose({ times: 0 }), /a whole number above 0/],
    ['a failure that is none', () => server.snapshots.fail(200), /from 400 to 599, not 200/],
    [
      'a failure without a status',
      () => server.snapshots.fail({ times: 2 } as never),
      /from 400 to 599, not a value of type object/,
    ],
    ['an answer that nobody gives', () => server.snapshots.answer({ status: 99 }), /200 to 599/],
    ['a closing code that is none', () => server.connections.drop(1), /1000 to 4999, not 1/],
    ['an unknown section', () => server.update({ sumary: {} } as never), /"sumary"\. It has: summ/],
    ['a change that changes nothing', () => server.update((() => {}) as never), /not undefined/],
    ['a backup that is not whole', () => server.restoreBackup({} as never), /makeView\(/],
    ['an option of drain', () => server.drain({ after: 1 } as never), /"after"/],
    [
      'latency that is none',
      () => {
        server.latency = Number.NaN
      },
      /latency expects milliseconds/,
    ],
  ])('%s', (_name, mistake, message) => {
    expect(mistake).toThrow(message)
  })

  it('time that is none', async () => {
    await expect(server.advance('60' as never)).rejects.toThrow(/^advance expects milliseconds/)
    await expect(server.advance(Number.POSITIVE_INFINITY)).rejects.toThrow('not Infinity')
    const client = createDashboardClient({ url: server.url, cookies: true })
    const within = server.until(client, 'live', 600 as never)
    await expect(within).rejects.toThrow(/third argument of until expects an object with within/)
  })
})

describe('until refuses', () => {
  const server = createFakeServer({ time: vi })
  const client = createDashboardClient({ url: server.url, cookies: true })

  it.each(['Live', 'closd', undefined, 3])(
    'the status %j, and names those there are',
    async status => {
      const waiting = server.until(client, status as never)
      await expect(waiting).rejects.toThrow(TypeError)
      await expect(waiting).rejects.toThrow(
        /idle, connecting, syncing, live, backoff, degraded, authRequired, closed, or for a condition/,
      )
    },
  )

  it('what is no client, as recordStates does', async () => {
    await expect(server.until(undefined as never, 'live')).rejects.toThrow(
      'until expects the client that createDashboardClient({ … }) returned, not undefined.',
    )
    expect(() => recordStates({ url: server.url } as never)).toThrow(
      'recordStates expects the client that createDashboardClient({ … }) returned, not another object.',
    )
  })
})
