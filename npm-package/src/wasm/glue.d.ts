/**
 * The JavaScript side of the WebAssembly module. `scripts/build.mjs` writes it to `dist/wasm/` from
 * what wasm-bindgen made; this says to the compiler what the loaders use of it.
 */
import type { CoreConstructor } from '../core.js'

export const DashboardCore: CoreConstructor

export default function init(options: {
  module_or_path: BufferSource | URL | WebAssembly.Module
}): Promise<unknown>
