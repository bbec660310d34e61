import type {
  BuildStatus,
  DashboardSummary,
  PartialPartsMoc,
  RecentMoc,
  ThemeStats,
} from '@moc/dashboard-sdk/types'

const BUILD: Record<BuildStatus, string> = {
  ADDED: 'not begun',
  IN_PROGRESS: 'in progress',
  BUILT: 'built',
}

export function Totals({ summary }: { summary: DashboardSummary }) {
  const { ADDED, IN_PROGRESS, BUILT } = summary.mocsByBuildStatus
  return (
    <section>
      <h2>Totals</h2>
      <dl>
        <dt>MOCs</dt>
        <dd>{summary.totalMocs}</dd>
        <dt>Not begun, in progress, built</dt>
        <dd>
          {ADDED}, {IN_PROGRESS}, {BUILT}
        </dd>
        <dt>On the wishlist</dt>
        <dd>{summary.totalWishlistItems}</dd>
      </dl>
    </section>
  )
}

export function Themes({ themes }: { themes: ThemeStats[] }) {
  return (
    <section>
      <h2>Themes</h2>
      <ul>
        {themes.map(({ theme, mocCount, setCount }) => (
          <li key={theme}>
            {theme}: MOCs {mocCount}, sets {setCount}
          </li>
        ))}
      </ul>
    </section>
  )
}

export function RecentMocs({ mocs }: { mocs: RecentMoc[] }) {
  return (
    <section>
      <h2>Recent MOCs</h2>
      <ul>
        {mocs.map(({ id, title, theme, buildStatus, coverImageUrl, createdAt }) => (
          <li key={id}>
            {coverImageUrl !== null && <img src={coverImageUrl} alt="" />}
            {title} ({theme}), {BUILD[buildStatus]}, {new Date(createdAt).toLocaleDateString()}
          </li>
        ))}
      </ul>
    </section>
  )
}

export function PartialParts({ mocs }: { mocs: PartialPartsMoc[] }) {
  return (
    <section>
      <h2>Parts to find</h2>
      <ul>
        {mocs.map(({ id, title, coveragePercentage }) => (
          <li key={id}>
            {title}: {coveragePercentage} %
          </li>
        ))}
      </ul>
    </section>
  )
}
