import { BookHeart, Library, Plus } from 'lucide-react'

import { links } from '../links'
import { ButtonLink } from '../ui/button'
import { Card } from '../ui/card'

/** Three ways on; needs no data (D-FR-12, D-FR-13). */
export function QuickActions() {
  return (
    <Card title="Quick actions" area="quick" testId="quick-actions-card">
      <div className="grid grow content-center gap-3">
        <ButtonLink look="primary" href={links.addMoc} className="min-h-12">
          <Plus className="size-4" aria-hidden="true" /> Add New MOC
        </ButtonLink>
        <ButtonLink href={links.gallery} className="min-h-12">
          <Library className="size-4" aria-hidden="true" /> Browse Gallery
        </ButtonLink>
        <ButtonLink href={links.wishlist} className="min-h-12">
          <BookHeart className="size-4" aria-hidden="true" /> View Wishlist
        </ButtonLink>
      </div>
    </Card>
  )
}
