import { readConfig } from './config'

/** Addresses of the host app that the dashboard leads to. */
export const links = linksFrom(readConfig(document).hostBase)

/** The same for a host whose addresses begin with that. */
export function linksFrom(base: string) {
  return {
    addMoc: `${base}/instructions/new`,
    gallery: `${base}/gallery`,
    wishlist: `${base}/wishlist`,
    moc: (id: string) => `${base}/instructions/${encodeURIComponent(id)}`,
    parts: (id: string) => `${base}/instructions/${encodeURIComponent(id)}#parts`,
  }
}
