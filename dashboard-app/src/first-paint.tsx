import { Frame } from './dashboard/frame'
import { Loading } from './dashboard/states'

/**
 * What the built page shows before its script runs: the same as the app does at its beginning, but for
 * the status, which only the app knows.
 */
export function FirstPaint() {
  return (
    <div className="first-paint">
      <Frame aside={<div className="min-h-12 sm:min-h-0" />}>
        <p className="late mb-4">
          Loading takes longer than usual. Please reload the page, and see that scripts are allowed.
        </p>
        <Loading />
      </Frame>
    </div>
  )
}
