import { defineConfig } from 'vitest/config'

/** The packed package in fresh projects: needs `dist/`, the tools and a browser; takes its time. */
export default defineConfig({
  test: {
    include: ['tests/package/*.test.ts'],
    globalSetup: 'tests/package/setup.ts',
    testTimeout: 120_000,
    hookTimeout: 300_000,
  },
})
