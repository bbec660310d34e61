import { readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

import { readConfig } from '../src/config'

function page(...metas: [name: string, content: string][]): Document {
  const html = metas.map(([name, content]) => `<meta name="${name}" content="${content}">`).join('')
  return new DOMParser().parseFromString(`<head>${html}</head>`, 'text/html')
}

const DEFAULTS = {
  loginUrl: '/login',
  logoutUrl: null,
  userName: null,
  hostBase: '',
  apiBase: '/api',
}

describe('configuration at run time', () => {
  it('is read from the page', () => {
    const config = readConfig(
      page(['dashboard-login-url', 'https://id.example.org/in'], ['dashboard-api-base', '/v2']),
    )
    const given = { loginUrl: 'https://id.example.org/in', apiBase: '/v2' }
    expect(config).toEqual({ ...DEFAULTS, ...given })
  })

  it('has defaults', () => {
    expect(readConfig(page())).toEqual(DEFAULTS)
    expect(readConfig(page(['dashboard-login-url', ' ']))).toEqual(DEFAULTS)
  })

  it('knows the user where the host has told', () => {
    const config = readConfig(
      page(['dashboard-user-name', ' Ada '], ['dashboard-logout-url', '/logout']),
    )
    expect(config).toEqual({ ...DEFAULTS, userName: 'Ada', logoutUrl: '/logout' })
  })

  it('knows where the pages of the host are', () => {
    const config = readConfig(page(['dashboard-host-base', 'https://host.example.org/']))
    expect(config).toEqual({ ...DEFAULTS, hostBase: 'https://host.example.org' })
    expect(readConfig(page(['dashboard-host-base', '/collection'])).hostBase).toBe('/collection')
  })

  it('never makes a script into a link', () => {
    const config = readConfig(page(['dashboard-login-url', 'javascript:alert(1)']))
    expect(config.loginUrl).toBe('/login')
    expect(readConfig(page(['dashboard-logout-url', 'javascript:alert(1)'])).logoutUrl).toBeNull()
    expect(readConfig(page(['dashboard-host-base', 'javascript:alert(1)'])).hostBase).toBe('')
  })

  it('stands in the page that is served', () => {
    const html = readFileSync(path.join(import.meta.dirname, '../index.html'), 'utf8')
    const served = new DOMParser().parseFromString(html, 'text/html')
    expect(readConfig(served)).toEqual(DEFAULTS)
    expect(served.querySelectorAll('meta[name^="dashboard-"]')).toHaveLength(5)
    // The Content-Security-Policy allows neither scripts nor styles within the page.
    expect(served.querySelectorAll('script:not([src]), style, [style]')).toHaveLength(0)
  })
})
