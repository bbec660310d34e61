/** Prevents an unhandled rejection of a promise that an app's callback returned. */
export function silence(returned: unknown): void {
  void Promise.resolve(returned).catch(() => {})
}
