import { dropPromise, textOf } from "../Unwanted.ts"

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
  /** A sentence for each kind of mistake, in the order in which they came. Another array after each. */
  sentences: ReadonlyArray<string> = []
  /** Of these, how many the application's log has. */
  logged = 0
  private kinds: Set<string> | undefined = undefined

  inScheduler(name: string, what: string, then = "The connection helps itself, and counts it"): void {
    this.scheduler++
    if (this.isNew(`scheduler ${name} ${what}`))
      this.tell(`The path scheduler ${JSON.stringify(name)} is wrong: ${what}. ${then}`)
  }

  /** A function of the scheduler gave something where nothing is expected: it is looked at in case it is a Promise. */
  answerOfScheduler(name: string, call: string, given: unknown): void {
    if (dropPromise(given)) this.inScheduler(name, `its ${call} gives a Promise`)
  }

  inController(name: string, field: string, value: unknown, instead: string): void {
    this.controller++
    if (this.isNew(`controller ${name} ${field}`))
      this.tell(
        `The congestion controller ${JSON.stringify(name)} is wrong: its ${field} is ${textOf(value)}. ${instead} is used instead, and it is counted`
      )
  }

  /** `where` is a part of the policy: each is told once, whatever it says the next time. */
  inPolicy(part: string, name: unknown, where: string, what: string, instead: string): void {
    this.policy++
    if (this.isNew(`${part} ${textOf(name)} ${where}`))
      this.tell(
        `The ${part} ${JSON.stringify(textOf(name))} is wrong: its ${where} ${what}. ${instead} is used instead, and it is counted`
      )
  }

  inObserver(name: string, where: string, what: string): void {
    this.policy++
    if (this.isNew(`observer ${name} ${where}`))
      this.tell(`The observer ${JSON.stringify(name)} is wrong: its ${where} ${what}. It is not called any more`)
  }

  /** A setting of a policy that must be of some kind; what is not is told. */
  setting<P extends { readonly name: string }, K extends keyof P & string>(
    part: string,
    policy: P | undefined,
    field: K,
    isGood: (value: unknown) => boolean,
    expected: string
  ): P[K] | undefined {
    const value = policy?.[field]
    if (policy === undefined || value === undefined || isGood(value)) return value
    dropPromise(value)
    this.inPolicy(part, policy.name, field, `is ${textOf(value)}, not ${expected}`, "The default")
    return undefined
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
    dropPromise(value)
    this.inPolicy(part, policy.name, field, `is ${textOf(value)}, not from ${least} to ${most}`, String(usual))
    return usual
  }

  private isNew(kind: string): boolean {
    this.kinds ??= new Set()
    if (this.kinds.has(kind)) return false
    this.kinds.add(kind)
    return true
  }

  private tell(sentence: string): void {
    this.sentences = [...this.sentences, sentence]
  }
}
