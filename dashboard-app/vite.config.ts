import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

import { compressed, firstPainted, modulePreloaded } from './vite.served.ts'

const SERVER = 'http://127.0.0.1:9112'

export default defineConfig({
  plugins: [react(), tailwindcss(), firstPainted(), modulePreloaded(), compressed()],
  build: {
    target: 'es2022',
    // Nothing becomes a data: address, so that the server's Content-Security-Policy stays short.
    assetsInlineLimit: 0,
  },
  // The development server plays the same-origin part of `dashboard-server`.
  server: {
    proxy: {
      '/api': SERVER,
      '/socket.io': { target: SERVER, ws: true },
    },
  },
  test: {
    environment: 'jsdom',
    include: ['tests/**/*.test.{ts,tsx}'],
    setupFiles: ['tests/setup.ts'],
    restoreMocks: true,
    testTimeout: 60_000,
  },
})
