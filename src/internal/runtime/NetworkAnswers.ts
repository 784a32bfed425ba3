/**
 * What the system and the network say about packets of handshakes that are under way: refused sends and ICMP errors. Anyone
 * can make up an ICMP error, so they end nothing (RFC 9000 section 14.2.1); a timeout tells the user about them.
 */
import { Effect } from "effect"
import { HandshakeTimeout, QuicError } from "../../QuicError.ts"
import type { Address } from "../wire/Datagram.ts"
import { listenForRefusals } from "./Resolve.ts"

/** Different answers that are told, at most. */
const MAX_CODES = 4

/** ms without an answer after which the network is asked for a reason. */
const SILENCE = 1000

export class NetworkAnswers {
  private readonly deaf: boolean
  /** By the remote addresses that somebody waits for. */
  private readonly awaited = new Map<string, Set<string>>()

  /** `deaf`: the sockets of connections do not hear of ICMP errors. */
  constructor(deaf: boolean) {
    this.deaf = deaf
  }

  /** A datagram was refused. Answers from where nobody waits are forgotten. */
  readonly record = (remote: Address | undefined, code: string): void => {
    const codes = remote === undefined ? undefined : this.awaited.get(remote.key)
    if (codes !== undefined && codes.size < MAX_CODES) codes.add(code)
  }

  /** Adds to the timeout of a handshake with `remote` what the network answered meanwhile. */
  explain<A>(local: Address, remote: Address, handshake: Effect.Effect<A, QuicError>): Effect.Effect<A, QuicError> {
    return Effect.suspend(() => {
      // Of two handshakes with one server at a time, the later one has the answers of both.
      const codes = new Set(this.awaited.get(remote.key))
      this.awaited.set(remote.key, codes)
      const ear = listenForRefusals(local, remote, (code) => this.record(remote, code))
      return (
        this.deaf ? Effect.scoped(Effect.andThen(Effect.forkScoped(Effect.delay(ear, SILENCE)), handshake)) : handshake
      ).pipe(
        Effect.catchReason("QuicError", "HandshakeTimeout", ({ after }, error) =>
          Effect.fail(
            codes.size === 0
              ? error
              : new QuicError({ reason: new HandshakeTimeout({ after, network: Array.from(codes) }) })
          )
        ),
        Effect.ensuring(
          Effect.sync(() => {
            if (this.awaited.get(remote.key) === codes) this.awaited.delete(remote.key)
          })
        )
      )
    })
  }
}
