import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/**/*.test.{ts,tsx}'],
    restoreMocks: true,
    // Installing and building a packed package takes its time on a small machine.
    testTimeout: 120_000,
    hookTimeout: 240_000,
  },
})
