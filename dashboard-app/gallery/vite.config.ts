import { fileURLToPath } from 'node:url'

import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

function path(relative: string): string {
  return fileURLToPath(new URL(relative, import.meta.url))
}

export default defineConfig({
  root: path('.'),
  plugins: [react(), tailwindcss()],
  server: { host: '127.0.0.1' },
  build: {
    target: 'es2022',
    emptyOutDir: true,
    rollupOptions: { input: [path('index.html'), path('scene.html')] },
  },
})
