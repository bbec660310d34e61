/**
 * The types of the JavaScript side of the WebAssembly module. `scripts/build.mjs` writes that side
 * to `dist/wasm/` from the output of wasm-bindgen. Here are the parts that the loaders use.
 */
import type { CoreConstructor } from '../core.js'

export const DashboardCore: CoreConstructor

export default function init(options: {
  module_or_path: BufferSource | URL | WebAssembly.Module
}): Promise<unknown>
