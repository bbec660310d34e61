/**
 * One scene, as `scene.html?scene=<name>`. When it is played, the root element has `data-ready`, or
 * `data-failed` with what went wrong. Time stands still then; with `&run` it goes on. `&text=200`
 * sets the size of text, in percent.
 */
import './scene.css'

import { createDashboardClient } from '@moc/dashboard-sdk'
import { createFakeServer } from '@moc/dashboard-sdk/testing'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

import { App } from '../src/app'
import { view } from './fixtures'
import { type Scene, scenes } from './scenes'
import { act, hold, letTimePass, Stage, settled, stopTime, virtualTime } from './stage'

const { dataset, classList, style } = document.documentElement
const parameters = new URLSearchParams(location.search)
const runs = parameters.has('run')

async function show(scene: Scene): Promise<void> {
  const clock = stopTime()
  if (scene.moment !== undefined) {
    classList.add('at-moment')
    style.setProperty('--moment', `${scene.moment}ms`)
  }
  // What another scene has chosen.
  localStorage.clear()
  const server = createFakeServer({
    view: scene.view?.() ?? view(),
    time: virtualTime(clock),
    act,
  })
  const client = createDashboardClient({ url: server.url, cookies: true, logger: null })
  server.install()
  createRoot(document.getElementById('root') as HTMLElement).render(
    <StrictMode>
      <App
        client={client}
        account={{ loginUrl: '#login', logoutUrl: null, userName: null, ...scene.account }}
      />
    </StrictMode>,
  )
  const stage = new Stage(server, client)
  await (scene.play?.(stage) ?? stage.live())
  if (runs) {
    letTimePass(clock)
    return
  }
  await settled()
  await still()
  // For the photographer, after a change of colours: animations start again then.
  Object.assign(globalThis, { still })

  async function still(): Promise<void> {
    // What an animation's end brings about may be animated, too.
    for (let turn = 0; turn < 2; turn += 1) {
      hold(scene.moment)
      await settled()
    }
  }
}

function fail(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error)
  dataset.failed = message
  document.body.innerText = message
}

if (!runs) classList.add('held')
style.fontSize = `${Number(parameters.get('text') ?? 100)}%`
addEventListener('unhandledrejection', event => fail(event.reason))
const name = parameters.get('scene')
const scene = scenes.find(scene => scene.name === name)
if (scene === undefined) fail(`There is no scene called "${name}".`)
else {
  show(scene).then(() => {
    dataset.ready = 'true'
  }, fail)
}
