/**
 * What became of datagrams that the system refused: counted at once, told to the listener when the socket has done its work.
 * A listener may send, and close the socket, so it must not run in between.
 */
import type { Address } from "../wire/Datagram.ts"
import type { BindOptions } from "./Sockets.ts"

/** Errors told at one time, at most: a listener whose own sends fail would go on for ever. */
const maxTold = 1024

export class SendErrors {
  /** Datagrams by the system's name of the error. */
  readonly counts: Record<string, number> = {}
  private readonly listener: BindOptions["onSendError"]
  private readonly codes: Array<string> = []
  private readonly remotes: Array<Address | undefined> = []
  private telling = false

  constructor(listener: BindOptions["onSendError"]) {
    this.listener = listener
  }

  add(code: string, remote: Address | undefined, datagrams: number): void {
    this.counts[code] = (this.counts[code] ?? 0) + datagrams
    if (this.listener === undefined) return
    for (let i = 0; i < datagrams && this.codes.length < maxTold; i++) {
      this.codes.push(code)
      this.remotes.push(remote)
    }
  }

  /** Tells what there is to tell. The socket must be whole. */
  tell(): void {
    if (this.codes.length === 0 || this.telling) return
    this.telling = true
    for (let i = 0; i < this.codes.length; i++) {
      try {
        this.listener?.({ code: this.codes[i]!, remote: this.remotes[i] })
      } catch (cause) {
        // As from any other listener of events: nobody here can handle it.
        queueMicrotask(() => {
          throw cause
        })
      }
    }
    this.codes.length = this.remotes.length = 0
    this.telling = false
  }
}
