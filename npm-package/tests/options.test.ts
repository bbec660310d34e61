import { describe, expect, it, vi } from 'vitest'

import { checkOptions } from '../src/options.js'

const URL_OK = 'https://moc.example.org'

describe('options', () => {
  it.each<[unknown, RegExp]>([
    [undefined, /expects an object of options, not undefined\./],
    [null, /expects an object of options, not null\. Pass .* cookies: true } or { url, getToken }/],
    [
      { cookies: true },
      /expects url to be a string or a URL, not undefined.*https:\/\/moc\.example\.org/,
    ],
    [{ url: '/api', cookies: true }, /expects url to be absolute/],
    [
      { url: 'ws://moc.example.org', cookies: true },
      /begin with http: or https:, not with "ws:"\. Pass/,
    ],
    [{ url: 'https://me:secret@moc.example.org', cookies: true }, /holds a password/],
    [{ url: `${URL_OK}/api`, cookies: true }, /Put a path into basePath/],
    [{ url: `${URL_OK}/?`, cookies: true }, /Put a path into basePath/],
    [{ url: `${URL_OK}#`, cookies: true }, /Put a path into basePath/],
    [{ url: URL_OK }, /does not know how to log in\. Pass getToken/],
    [{ url: URL_OK, getToken: 'eyJ…' }, /getToken to be a function.*fresh one/],
    [{ url: URL_OK, cookies: 'yes' }, /cookies to be true or false/],
    [{ url: URL_OK, cookies: true, basePath: 'api' }, /begins with '\/'/],
    [{ url: URL_OK, cookies: true, basePath: '/api?x=1' }, /begins with '\/'/],
    [{ url: URL_OK, cookies: true, onAuthRequired: 1 }, /onAuthRequired to be a function/],
    [{ url: URL_OK, cookies: true, logger: 'debug' }, /logger to be like console/],
    [
      { url: URL_OK, cookies: true, logger: { warn: 3 } },
      /logger\.warn to be a function, not a value of type number/,
    ],
    [{ url: URL_OK, cookies: true, logger: { log() {} } }, /one of the methods debug.*null for/],
    [{ url: URL_OK, cookies: true, token: 'x' }, /has no option "token"\. It has: url/],
    [
      { url: URL_OK, cookies: true, lastView: true },
      /lastView to be an object.*userId: \(\) => id/,
    ],
    [{ url: URL_OK, cookies: true, lastView: {} }, /lastView\.userId to be a function/],
    [
      { url: URL_OK, cookies: true, lastView: { userId: () => 'ann', storage: {} } },
      /has no option lastView\.storage\. Of lastView there are: userId, store\./,
    ],
    [{ url: URL_OK, cookies: true, lastView: { userId: 'ann' } }, /\(\) => null while nobody/],
    [
      { url: URL_OK, cookies: true, lastView: { userId: () => 'ann', store: { load() {} } } },
      /store to have the methods load, save and drop; save is missing/,
    ],
    [
      { url: URL_OK, cookies: true, lastView: { userId: () => 'ann', store: null } },
      /load is missing\. Leave the store out/,
    ],
  ])('%j is refused with what to do', (options, message) => {
    expect(() => checkOptions(options as never)).toThrow(TypeError)
    expect(() => checkOptions(options as never)).toThrow(message)
  })

  it.each([
    ['http://127.0.0.1:99999', /a port of 1 to 65535 or none/],
    ['http://127.0.0.1:0', /a port of 1 to 65535 or none/],
    ['http://127.0.0.1:', /a port of 1 to 65535 or none/],
    ['http://h:abc', /a port of 1 to 65535 or none/],
    ['http://[::1', /a host, and a port/],
    ['http://', /a host, and a port/],
    ['https:///moc.example.org', /a host, and a port/],
    ['http://..', /a host that can be connected to/],
    ["http://a'b", /a host that can be connected to/],
    ['https:moc.example.org', /absolute/],
    ['https:/moc.example.org', /absolute/],
    ['//moc.example.org', /absolute/],
    ['moc.example.org', /absolute/],
    ['https:\\\\moc.example.org', /without blanks, control characters and '\\'/],
    ['https://elsewhere\\@moc.example.org', /without blanks/],
    [' https://moc.example.org', /without blanks/],
    ['https://moc.example.org\n', /without blanks/],
    ['https://moc.exa\tmple.org', /without blanks/],
    ['https://me@moc.example.org', /holds a password/],
    ['https://@moc.example.org', /holds a password/],
    ['https://moc.example.org@elsewhere', /holds a password/],
    ['localhost:9112', /not with "localhost:"\. Pass the server's origin/],
    ['ftp://moc.example.org', /not with "ftp:"/],
    ['javascript:fetch(1)', /not with "javascript:"/],
    ['file:///moc.example.org', /not with "file:"/],
  ])('a url such as %j is refused, and nothing is asked for a token', (url, message) => {
    const getToken = vi.fn(() => 'hidden')
    expect(() => checkOptions({ url, getToken })).toThrow(TypeError)
    expect(() => checkOptions({ url, getToken })).toThrow(message)
    expect(() => checkOptions({ url, getToken })).toThrow(/\burl\b/)
    expect(getToken).not.toHaveBeenCalled()
  })

  it.each([
    '//other.host',
    '//other.host/api',
    '//',
    '@other.host',
    ':99',
    '\\\\other.host',
    '/\\other.host',
    '/api\r\n',
    '/a b',
    '/api#x',
    '/..',
    '/api/../..',
    '/./api',
    '/%2e%2E/api',
    '/api//v1',
  ])('a basePath such as %j is refused', basePath => {
    const options = { url: URL_OK, cookies: true, basePath }
    expect(() => checkOptions(options)).toThrow(/basePath to be a path that begins with '\/'/)
  })

  it.each([
    ['HTTPS://MOC.Example.org:443/', 'https://moc.example.org'],
    ['http://127.0.0.1:9112', 'http://127.0.0.1:9112'],
    ['http://[0::1]:9112', 'http://[::1]:9112'],
    ['http://back_end:65535', 'http://back_end:65535'],
    ['https://b\u00fccher.example', 'https://xn--bcher-kva.example'],
  ])('%j is read as %j', (url, origin) => {
    expect(checkOptions({ url, cookies: true }).url).toBe(origin)
    expect(checkOptions({ url: new URL(url), cookies: true }).url).toBe(origin)
  })

  it.each([{}, { warn() {} }, console, null])('%o is a logger', logger => {
    expect(() => checkOptions({ url: URL_OK, cookies: true, logger })).not.toThrow()
  })

  it('never shows a secret in a message', () => {
    const options = { url: 'https://me:hunter2@moc.example.org', getToken: 'hunter2' }
    expect(() => checkOptions(options as never)).toThrow(/^(?!.*hunter2)/)
  })

  it('are normalised', () => {
    const checked = checkOptions({ url: new URL(`${URL_OK}/`), cookies: true, basePath: '/a/b//' })
    expect(checked).toMatchObject({ url: URL_OK, basePath: '/a/b', cookies: true, getToken: null })
    expect(checkOptions({ url: URL_OK, cookies: true }).basePath).toBe('/api')
    expect(checkOptions({ url: URL_OK, cookies: true, basePath: '/' }).basePath).toBe('')
    expect(checkOptions({ url: URL_OK, cookies: true, basePath: '' }).basePath).toBe('')
    const own = '/users/@me/v1.2/...'
    expect(checkOptions({ url: URL_OK, cookies: true, basePath: own }).basePath).toBe(own)
  })

  it('a token that is neither text nor null is refused', async () => {
    const { getToken } = checkOptions({ url: URL_OK, getToken: () => 42 as never })
    await expect(getToken?.({ lastWasRefused: false })).rejects.toThrow(
      /must return a string or null/,
    )
  })

  it.each(['hid\nden', 'hid\0den', 'hidd\u00e9n'])(
    'a token that no header can hold is refused',
    async token => {
      const { getToken } = checkOptions({ url: URL_OK, getToken: () => token })
      await expect(getToken?.({ lastWasRefused: false })).rejects.toThrow(
        /^getToken must return .*printable ASCII/,
      )
    },
  )
})
