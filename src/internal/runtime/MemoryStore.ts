/** Tickets and tokens of servers in memory: a few of each, of the servers used last. */
import { Effect, Option } from "effect"

export class MemoryStore {
  private readonly servers = new Map<string, Map<string, Array<Uint8Array>>>()
  private readonly limit: number
  private readonly perServer: number

  constructor(servers: number, perServer: number) {
    this.limit = servers
    this.perServer = perServer
  }

  /** The newest one. */
  readonly take = (kind: string, server: string): Effect.Effect<Option.Option<Uint8Array>> =>
    Effect.sync(() => {
      const kinds = this.servers.get(server)
      const list = kinds?.get(kind)
      const bytes = list?.pop()
      if (list?.length === 0) kinds!.delete(kind)
      if (kinds?.size === 0) this.servers.delete(server)
      return Option.fromNullishOr(bytes)
    })

  readonly put = (kind: string, server: string, bytes: Uint8Array): Effect.Effect<void> =>
    Effect.sync(() => {
      const kinds = this.servers.get(server) ?? new Map<string, Array<Uint8Array>>()
      const list = kinds.get(kind) ?? []
      list.push(bytes)
      if (list.length > this.perServer) list.shift()
      kinds.set(kind, list)
      // Last in the order of the map: what was used longest ago is first there.
      this.servers.delete(server)
      this.servers.set(server, kinds)
      if (this.servers.size > this.limit) this.servers.delete(this.servers.keys().next().value!)
    })
}
