import { readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

type Oklch = [lightness: number, chroma: number, hue: number]

/** What is shown on what, and the least contrast that WCAG 2.1 AA wants (1.4.3, 1.4.11). */
const PAIRS: [foreground: string, background: string, least: number][] = [
  ['foreground', 'background', 4.5],
  ['card-foreground', 'card', 4.5],
  ['card-foreground', 'muted', 4.5],
  ['primary-foreground', 'primary', 4.5],
  ['secondary-foreground', 'secondary', 4.5],
  ['accent-foreground', 'accent', 4.5],
  ['destructive-foreground', 'destructive', 4.5],
  ['warning-foreground', 'warning', 4.5],
  ['muted-foreground', 'background', 4.5],
  ['muted-foreground', 'card', 4.5],
  ['muted-foreground', 'muted', 4.5],
  ['muted-foreground', 'secondary', 4.5],
  ['link', 'background', 4.5],
  ['link', 'card', 4.5],
  ['link', 'muted', 4.5],
  ['destructive', 'background', 4.5],
  ['destructive', 'card', 4.5],
  ['success', 'background', 4.5],
  ['success', 'card', 4.5],
  ['ring', 'background', 3],
  ['ring', 'card', 3],
  ['control', 'background', 3],
  ['control', 'card', 3],
  ['chart-1', 'card', 3],
  ['chart-2', 'card', 3],
  ['chart-3', 'card', 3],
  ['chart-4', 'card', 3],
  ['chart-5', 'card', 3],
  ...Array.from({ length: 8 }, (_, n): [string, string, number] => ['gilt', `cloth-${n + 1}`, 4.5]),
]

const css = stylesheet('tokens.css')

describe.each(['light', 'dark'] as const)('contrast in the %s', scheme => {
  it.each(PAIRS)('%s on %s is at least %d', (foreground, background, least) => {
    const ratio = contrast(token(foreground, scheme), token(background, scheme))
    expect(ratio).toBeGreaterThanOrEqual(least)
  })
})

describe('colours', () => {
  it('come from tokens only', () => {
    const app = stylesheet('app.css')
    expect(app).not.toMatch(/#[0-9a-f]{3,8}\b|\b(rgb|hsl|oklch|lab)a?\((?!from)/i)
  })

  it('are computed as browsers do', () => {
    expect(contrast([1, 0, 0], [0, 0, 0])).toBeCloseTo(21, 1)
    expect(contrast([0.6, 0, 0], [0.6, 0, 0])).toBe(1)
  })
})

function stylesheet(name: string): string {
  return readFileSync(path.join(import.meta.dirname, '../src/styles', name), 'utf8')
}

function token(name: string, scheme: 'light' | 'dark'): Oklch {
  const value = css.match(new RegExp(`--${name}:\\s*([^;]+);`))?.[1]
  if (value === undefined) throw new Error(`there is no token --${name}`)
  const colours = [...value.matchAll(/oklch\(([\d.]+) ([\d.]+) ([\d.]+)\)/g)].map(
    match => match.slice(1).map(Number) as Oklch,
  )
  const colour = scheme === 'dark' ? colours.at(-1) : colours[0]
  if (colour === undefined) throw new Error(`--${name} is not opaque oklch`)
  return colour
}

/** WCAG's contrast ratio, 1 to 21. */
function contrast(a: Oklch, b: Oklch): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number]
  return (light + 0.05) / (dark + 0.05)
}

/** Relative luminance, by way of linear sRGB; colours outside of it are clipped. */
function luminance([lightness, chroma, hue]: Oklch): number {
  const angle = (hue * Math.PI) / 180
  const [a, b] = [chroma * Math.cos(angle), chroma * Math.sin(angle)]
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3
  const red = clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s)
  const green = clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s)
  const blue = clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s)
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue
}

function clip(value: number): number {
  return Math.min(1, Math.max(0, value))
}
