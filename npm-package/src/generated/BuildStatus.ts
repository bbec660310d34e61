/**
 * How far the building of a MOC has come (D-DM-1).
 */
export type BuildStatus = 'ADDED' | 'IN_PROGRESS' | 'BUILT'
