/**
 * A Promise where a callback of the user should have given something else. Nobody will look at what it comes to, and its
 * rejection would end the process.
 */
export const dropPromise = (given: unknown): boolean => {
  if (!(given instanceof Promise)) return false
  given.catch(() => {})
  return true
}
