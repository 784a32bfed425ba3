/**
 * What parts that a user gave (a scheduler, a controller) get wrong without throwing. The connection goes on with something
 * safe; each kind of mistake is counted, and told once by the name of the part.
 */
export class Mistakes {
  /** Choices of the scheduler that could not be followed. */
  scheduler = 0
  /** Figures of controllers that could not be used. */
  controller = 0
  /** Sentences for the application's log, each once. */
  readonly untold: Array<string> = []
  private told: Set<string> | undefined = undefined

  /** The sentence is made only the first time. */
  inScheduler(name: string, what: string): void {
    this.scheduler++
    if (this.isNew(`${name} ${what}`))
      this.untold.push(
        `The path scheduler ${JSON.stringify(name)} is wrong: ${what}. The connection helps itself, and counts it`
      )
  }

  inController(name: string, field: string, value: unknown, instead: string): void {
    this.controller++
    if (this.isNew(`${name} ${field}`))
      this.untold.push(
        `The congestion controller ${JSON.stringify(name)} is wrong: its ${field} is ${String(value)}. ${instead} is used instead, and it is counted`
      )
  }

  private isNew(kind: string): boolean {
    this.told ??= new Set()
    if (this.told.has(kind)) return false
    this.told.add(kind)
    return true
  }
}
