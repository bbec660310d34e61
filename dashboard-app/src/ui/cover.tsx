import { type ReactNode, useState } from 'react'

interface CoverProps {
  title: string
  theme: string
  url: string | null
}

const CLOTHS = 8

/**
 * A MOC's picture as the cover of a book. Until it has loaded, and for ever if it cannot, a bound
 * book stands in its place, so the shelf has no holes and nothing moves.
 */
export function Cover({ title, theme, url }: CoverProps) {
  // Keyed by address: a new picture starts over.
  return (
    <span className="book relative block aspect-4/5 w-full overflow-hidden">
      <BoundBook title={title} theme={theme} />
      {url !== null && <Picture key={url} url={url} />}
    </span>
  )
}

function Picture({ url }: { url: string }) {
  const [phase, setPhase] = useState<'loading' | 'shown' | 'failed'>('loading')
  if (phase === 'failed') return null
  return (
    <img
      src={url}
      // The title stands beside it; a description of the picture is not known.
      alt=""
      loading="lazy"
      decoding="async"
      referrerPolicy="no-referrer"
      onLoad={() => setPhase('shown')}
      onError={() => setPhase('failed')}
      className={`absolute inset-0 size-full bg-card object-cover transition-opacity duration-500 ${
        phase === 'shown' ? 'opacity-100' : 'opacity-0'
      }`}
    />
  )
}

/** Cloth by theme, so that a theme's books look alike; tooling by title, so that none is a copy. */
function BoundBook({ title, theme }: { title: string; theme: string }) {
  const Tooling = TOOLINGS[hash(title) % TOOLINGS.length] as () => ReactNode
  return (
    <svg
      viewBox="0 0 120 150"
      preserveAspectRatio="none"
      className="absolute inset-0 size-full"
      data-testid="cover-fallback"
      aria-hidden="true"
    >
      <rect
        width="120"
        height="150"
        style={{ fill: `var(--cloth-${(hash(theme) % CLOTHS) + 1})` }}
      />
      {/* The joint, where the board bends, and the light along it. */}
      <rect width="9" height="150" fill="black" opacity="0.22" />
      <rect x="9" width="1.5" height="150" fill="white" opacity="0.12" />
      <g fill="none" strokeWidth="0.9" style={{ stroke: 'var(--gilt)' }} opacity="0.85">
        <Tooling />
      </g>
      <text
        x="64.5"
        y="93"
        textAnchor="middle"
        fontSize="52"
        fontWeight="500"
        style={{ fill: 'var(--gilt)', fontFamily: 'var(--font-heading)' }}
      >
        {initial(title)}
      </text>
    </svg>
  )
}

const TOOLINGS = [DoubleFrame, Bands, CornerStuds]

function DoubleFrame() {
  return (
    <>
      <rect x="18" y="9" width="93" height="132" rx="1.5" />
      <rect x="21.5" y="12.5" width="86" height="125" rx="1" opacity="0.55" />
      <Stud x={51.5} y={32} />
      <Stud x={64.5} y={32} />
      <Stud x={77.5} y={32} />
      <path d="M46 117h37M53 121.5h23" />
    </>
  )
}

function Bands() {
  return (
    <>
      <path d="M9 17h111M9 20.5h111M9 37.5h111M9 41h111M9 114h111M9 117.5h111M9 134.5h111M9 138h111" />
      {[24.5, 44.5, 64.5, 84.5, 104.5].map(x => (
        <g key={x}>
          <Stud x={x} y={29} />
          <Stud x={x} y={126} />
        </g>
      ))}
    </>
  )
}

function CornerStuds() {
  return (
    <>
      <path d="M33 12h63M33 138h63M20.5 25v100M108.5 25v100" />
      <path d="M33 12c0 7-5.5 13-12.5 13M96 12c0 7 5.5 13 12.5 13M33 138c0-7-5.5-13-12.5-13M96 138c0-7 5.5-13 12.5-13" />
      <Stud x={23.5} y={15} />
      <Stud x={105.5} y={15} />
      <Stud x={23.5} y={135} />
      <Stud x={105.5} y={135} />
      <circle cx="64.5" cy="76" r="33" opacity="0.55" />
      <circle cx="64.5" cy="76" r="30.5" />
    </>
  )
}

function Stud({ x, y }: { x: number; y: number }) {
  return (
    <>
      <circle cx={x} cy={y} r="4.6" />
      <circle cx={x} cy={y} r="2.9" opacity="0.6" />
    </>
  )
}

/** The first letter or digit, past quotes and brackets. */
function initial(title: string): string {
  return (title.match(/[\p{L}\p{N}]/u)?.[0] ?? '·').toLocaleUpperCase('en-US')
}

/** With this start the best known themes are spread evenly over the cloths. */
const START = 139_429

/** FNV-1a, then MurmurHash3's last stir, without which short names would share their low bits. */
function hash(text: string): number {
  let sum = START
  for (const character of text) {
    sum = Math.imul(sum ^ (character.codePointAt(0) ?? 0), 0x01000193)
  }
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b)
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35)
  return (sum ^ (sum >>> 16)) >>> 0
}
