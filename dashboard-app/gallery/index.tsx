/** Lists the scenes, and shows the chosen one as wide as one likes. */
import './gallery.css'

import { StrictMode, useState, useSyncExternalStore } from 'react'
import { createRoot } from 'react-dom/client'

import { Button } from '../src/ui/button'
import { type Scene, scenes } from './scenes'

/** A narrow and a usual phone, a tablet, a desktop. */
const WIDTHS = [320, 360, 900, 1440] as const

const GROUPS = [...new Set(scenes.map(scene => scene.group))]

function Gallery() {
  const name = useSyncExternalStore(followHash, () => location.hash.slice(1))
  const scene = scenes.find(scene => scene.name === name) ?? (scenes[0] as Scene)
  return (
    <div className="grid min-h-dvh lg:grid-cols-[22rem_minmax(0,1fr)]">
      <nav
        aria-label="Scenes"
        className="border-border border-b px-5 py-6 lg:h-dvh lg:overflow-y-auto lg:border-r lg:border-b-0"
      >
        <h1 className="font-heading font-semibold text-[2.25rem] leading-tight">Gallery</h1>
        <p className="mb-6 text-muted-foreground text-sm">
          The dashboard app in {scenes.length} scenes. The server is scripted, and it is always noon
          on 4 May 2026.
        </p>
        {GROUPS.map(group => (
          <section key={group} className="mb-6">
            <h2 className="mb-2 border-border border-b pb-1 font-heading font-semibold text-xl">
              {group}
            </h2>
            <ul>
              {scenes
                .filter(scene => scene.group === group)
                .map(one => (
                  <Entry key={one.name} scene={one} isChosen={one === scene} />
                ))}
            </ul>
          </section>
        ))}
      </nav>
      <Viewer key={scene.name} scene={scene} />
    </div>
  )
}

function followHash(listener: () => void) {
  addEventListener('hashchange', listener)
  return () => removeEventListener('hashchange', listener)
}

function Entry({ scene, isChosen }: { scene: Scene; isChosen: boolean }) {
  return (
    <li>
      <a
        href={`#${scene.name}`}
        aria-current={isChosen ? 'page' : undefined}
        className={`-mx-2 block rounded-md px-2 py-1.5 hover:bg-muted ${isChosen ? 'bg-muted' : ''}`}
      >
        <span className="font-control font-medium text-sm">{scene.name}</span>
        <span className="block text-muted-foreground text-sm leading-snug">{scene.shows}</span>
      </a>
    </li>
  )
}

/** Kept from scene to scene. */
let kept: { width: number; runs: boolean; isLarge: boolean } = {
  width: 1440,
  runs: false,
  isLarge: false,
}

function Viewer({ scene }: { scene: Scene }) {
  const [how, setHow] = useState(kept)
  const address = `scene.html?scene=${scene.name}${how.runs ? '&run' : ''}${how.isLarge ? '&text=200' : ''}`

  function change(next: Partial<typeof how>) {
    kept = { ...how, ...next }
    setHow(kept)
  }

  return (
    <main className="flex min-w-0 flex-col gap-3 p-5 lg:h-dvh">
      <div className="flex flex-wrap items-center gap-3 font-control text-sm">
        <fieldset className="flex flex-wrap gap-2">
          <legend className="sr-only">Width of the window</legend>
          {WIDTHS.map(width => (
            <Button
              key={width}
              look={width === how.width ? 'primary' : 'outline'}
              aria-pressed={width === how.width}
              onClick={() => change({ width })}
            >
              {width}
            </Button>
          ))}
        </fieldset>
        <Switch label="Let time pass" isOn={how.runs} onTurn={runs => change({ runs })} />
        <Switch label="Text at 200 %" isOn={how.isLarge} onTurn={isLarge => change({ isLarge })} />
        <a className="text-link underline-offset-4 hover:underline" href={address}>
          Open alone
        </a>
      </div>
      <div className="min-h-[40rem] grow overflow-auto rounded-md border border-border">
        <iframe
          key={address}
          src={address}
          title={scene.shows}
          className="h-full min-h-[40rem] border-0"
          style={{ width: how.width }}
        />
      </div>
    </main>
  )
}

interface SwitchProps {
  label: string
  isOn: boolean
  onTurn: (isOn: boolean) => void
}

function Switch({ label, isOn, onTurn }: SwitchProps) {
  return (
    <label className="flex min-h-11 cursor-pointer items-center gap-2">
      <input type="checkbox" checked={isOn} onChange={event => onTurn(event.target.checked)} />
      {label}
    </label>
  )
}

// For the photographer.
Object.assign(globalThis, {
  scenes: scenes.map(({ name, picture, moment = null, also = [] }) => ({
    name,
    picture,
    moment,
    also,
  })),
})

createRoot(document.getElementById('root') as HTMLElement).render(
  <StrictMode>
    <Gallery />
  </StrictMode>,
)
