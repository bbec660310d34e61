/** The WebAssembly module as text, written to `dist/wasm/` by `scripts/build.mjs`. */
export const base64: string
