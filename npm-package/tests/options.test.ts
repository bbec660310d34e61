import { describe, expect, it } from 'vitest'

import { checkOptions } from '../src/options.js'

const URL_OK = 'https://moc.example.org'

describe('options', () => {
  it.each([
    [undefined, /expects an object of options, not a value of type undefined/],
    [null, /expects an object of options, not null/],
    [{ cookies: true }, /expects url to be a string.*https:\/\/moc\.example\.org/],
    [{ url: '/api', cookies: true }, /expects url to be absolute/],
    [{ url: 'ws://moc.example.org', cookies: true }, /begin with http: or https:, not ws:/],
    [{ url: 'https://me:secret@moc.example.org', cookies: true }, /holds a password/],
    [{ url: `${URL_OK}/api`, cookies: true }, /Put a path into basePath/],
    [{ url: URL_OK }, /does not know how to log in\. Pass getToken/],
    [{ url: URL_OK, getToken: 'eyJ…' }, /getToken to be a function.*fresh one/],
    [{ url: URL_OK, cookies: 'yes' }, /cookies to be true or false/],
    [{ url: URL_OK, cookies: true, basePath: 'api' }, /begins with '\/'/],
    [{ url: URL_OK, cookies: true, basePath: '/api?x=1' }, /begins with '\/'/],
    [{ url: URL_OK, cookies: true, onAuthRequired: 1 }, /onAuthRequired to be a function/],
    [{ url: URL_OK, cookies: true, logger: 'debug' }, /logger to be like console/],
    [{ url: URL_OK, cookies: true, token: 'x' }, /has no option "token"\. It has: url/],
    [
      { url: URL_OK, cookies: true, lastView: true },
      /lastView to be an object.*userId: \(\) => id/,
    ],
    [{ url: URL_OK, cookies: true, lastView: {} }, /lastView\.userId to be a function/],
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

  it('never shows a secret in a message', () => {
    const options = { url: 'https://me:hunter2@moc.example.org', getToken: 'hunter2' }
    expect(() => checkOptions(options as never)).toThrow(/^(?!.*hunter2)/)
  })

  it('are normalised', () => {
    const checked = checkOptions({ url: new URL(`${URL_OK}/`), cookies: true, basePath: '/a/b//' })
    expect(checked).toMatchObject({ url: URL_OK, basePath: '/a/b', cookies: true, getToken: null })
    expect(checkOptions({ url: URL_OK, cookies: true }).basePath).toBe('/api')
    expect(checkOptions({ url: URL_OK, cookies: true, basePath: '/' }).basePath).toBe('')
  })

  it('a token that is neither text nor null is refused', async () => {
    const { getToken } = checkOptions({ url: URL_OK, getToken: () => 42 as never })
    await expect(getToken?.()).rejects.toThrow(/must return a string or null/)
  })
})
