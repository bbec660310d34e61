import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const target = process.env.DASHBOARD_SERVER ?? 'http://127.0.0.1:9112'

export default defineConfig({
  plugins: [react()],
  // The page and the server are of one origin, in development too.
  server: { proxy: { '/api': target, '/socket.io': { target, ws: true } } },
})
