/**
 * What parts that a user gave (a scheduler, a controller) get wrong without throwing. The connection goes on with something
 * safe; each kind of mistake is counted, and told once by the name of the part.
 */
export class Mistakes {
  /** Choices of the scheduler that could not be followed. */
  scheduler = 0
  /** Figures of controllers that could not be used. */
  controller = 0
  /** What other policies did that could not be followed. */
  policy = 0
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

  inPolicy(part: string, name: unknown, what: string, instead: string): void {
    this.policy++
    if (this.isNew(`${part} ${String(name)} ${what}`))
      this.untold.push(
        `The ${part} ${JSON.stringify(String(name))} is wrong: ${what}. ${instead} is used instead, and it is counted`
      )
  }

  inObserver(name: string, what: string): void {
    this.policy++
    if (this.isNew(`observer ${name} ${what}`))
      this.untold.push(`The observer ${JSON.stringify(name)} is wrong: ${what}. It is not called any more`)
  }

  /** A figure of a policy within bounds; what is none, or beyond, is told. */
  figure<P extends { readonly name: string }>(
    part: string,
    policy: P | undefined,
    field: keyof P & string,
    least: number,
    most: number,
    usual: number
  ): number {
    const value: unknown = policy?.[field]
    if (policy === undefined || value === undefined) return usual
    if (typeof value === "number" && value >= least && value <= most) return value
    this.inPolicy(part, policy.name, `its ${field} is ${String(value)}, not from ${least} to ${most}`, String(usual))
    return usual
  }

  private isNew(kind: string): boolean {
    this.told ??= new Set()
    if (this.told.has(kind)) return false
    this.told.add(kind)
    return true
  }
}
