/** Keeps a promise that an app's callback returned from being an unhandled rejection. */
export function silence(returned: unknown): void {
  void Promise.resolve(returned).catch(() => {})
}
