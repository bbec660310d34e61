/**
 * The app with a scripted client, for looking at states that are hard to reach:
 * `?scene=live|empty|loading|failed|expired|degraded|restored|crowded`. No part of the product.
 */
import '../../src/styles/app.css'

import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

import { App } from '../../src/app'
import { crowdedView, emptyView, view } from '../support/fixtures'
import { ScriptedClient } from './scripted-client'

const client = new ScriptedClient()
const scenes: Record<string, () => void> = {
  live: () => client.live(view()),
  empty: () => client.live(emptyView()),
  loading: () => client.say({ status: 'connecting' }),
  failed: () => client.say({ status: 'backoff', freshness: { attempt: 1 } }),
  expired: () => {
    client.live(view())
    client.say({ status: 'authRequired', freshness: { source: 'stale' } })
  },
  refused: () => client.say({ status: 'authRequired' }),
  degraded: () => {
    client.live(view())
    client.say({ status: 'degraded', freshness: { source: 'polling', asOf: Date.now() - 23_000 } })
  },
  restored: () => {
    scenes.degraded?.()
    setTimeout(() => client.live(), 100)
  },
  crowded: () => client.live(crowdedView()),
}

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <App client={client} loginUrl="/login" />
  </StrictMode>,
)

// After the first effects, as a real client speaks.
setTimeout(() => scenes[new URLSearchParams(location.search).get('scene') ?? 'live']?.(), 50)
Object.assign(globalThis, { client, fixtures: { view, emptyView, crowdedView } })
