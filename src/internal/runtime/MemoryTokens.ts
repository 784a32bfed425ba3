/** Tokens of servers in memory: a few of each, of the servers used last. */
import { Effect, Option } from "effect"

export class MemoryTokens {
  private readonly tokens = new Map<string, Array<Uint8Array>>()
  private readonly servers: number
  private readonly perServer: number

  constructor(servers: number, perServer: number) {
    this.servers = servers
    this.perServer = perServer
  }

  /** The newest one. */
  readonly take = (server: string): Effect.Effect<Option.Option<Uint8Array>> =>
    Effect.sync(() => {
      const list = this.tokens.get(server)
      const token = list?.pop()
      if (list !== undefined && list.length === 0) this.tokens.delete(server)
      return Option.fromNullishOr(token)
    })

  readonly put = (server: string, token: Uint8Array): Effect.Effect<void> =>
    Effect.sync(() => {
      const list = this.tokens.get(server) ?? []
      list.push(token)
      if (list.length > this.perServer) list.shift()
      // Last in the order of the map: what was used longest ago is first there.
      this.tokens.delete(server)
      this.tokens.set(server, list)
      if (this.tokens.size > this.servers) this.tokens.delete(this.tokens.keys().next().value!)
    })
}
