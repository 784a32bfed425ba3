/**
 * A Promise where a callback of the user should have given something else. Nobody will look at what it comes to, and its
 * rejection would end the process.
 */
export const dropPromise = (given: unknown): boolean => {
  if (!(given instanceof Promise)) return false
  given.catch(() => {})
  return true
}

/** What was thrown or given may be anything, also something that cannot be made a text. */
export const textOf = (given: unknown): string => {
  try {
    return String(given)
  } catch {
    return "something without words"
  }
}
