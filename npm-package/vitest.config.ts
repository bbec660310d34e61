import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['tests/*.test.{ts,tsx}', 'tests/testing/*.test.{ts,tsx}'],
    setupFiles: ['tests/setup.ts'],
    restoreMocks: true,
    // For a busy machine; nothing here takes long by itself.
    testTimeout: 60_000,
  },
})
