/** Addresses of the host app that the dashboard leads to. */
export const links = {
  addMoc: '/instructions/new',
  gallery: '/gallery',
  wishlist: '/wishlist',
  moc: (id: string) => `/instructions/${encodeURIComponent(id)}`,
  parts: (id: string) => `/instructions/${encodeURIComponent(id)}#parts`,
}
