/**
 * What the values of the public face have in common, as Effect's own have it: `pipe`, a form for JSON, and one line for
 * people. Neither form shows what a value is made of: sockets, keys and buffers stay out of logs.
 */
import { Inspectable, Pipeable } from "effect"

export abstract class Value extends Pipeable.Class implements Inspectable.Inspectable {
  abstract toJSON(): unknown
  /** One line. */
  abstract override toString(): string
  [Inspectable.NodeInspectSymbol](): string {
    return this.toString()
  }
}

/** The same for a service, which is a plain record. */
export const valueOf = (
  toJSON: () => unknown,
  toString: () => string
): Pipeable.Pipeable & Inspectable.Inspectable => ({
  pipe: Pipeable.Prototype.pipe,
  toJSON,
  toString,
  [Inspectable.NodeInspectSymbol]: toString
})
