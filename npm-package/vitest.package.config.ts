import { defineConfig } from 'vitest/config'

/** The packed package in fresh projects: needs `dist/` and a browser, and takes its time. */
export default defineConfig({
  test: {
    include: ['tests/package/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 300_000,
  },
})
