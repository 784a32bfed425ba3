/** What the runner and the peers tell each other. Times are ms since 1970, of one clock for all processes. */

/** ms between two lines about the paths. */
export const SAMPLE = 50

export interface ServerOptions {
  readonly role: "server"
  readonly listen: ReadonlyArray<string>
  readonly idleTimeout?: "4 seconds" | "10 seconds" | "30 seconds"
  /** Further settings of the endpoint. */
  readonly settings?: Readonly<Record<string, unknown>>
}

export interface ClientOptions {
  readonly role: "client"
  readonly remote: string
  readonly local?: string
  /** Opened before the transfer begins. */
  readonly paths?: ReadonlyArray<{ readonly local?: string; readonly remote?: string }>
  /** The client opens further paths by itself. */
  readonly auto?: boolean
  readonly direction: "down" | "up"
  readonly bytes: number
  /** Moves path 0 so many ms after the transfer began. */
  readonly migrate?: { readonly after: number; readonly local: string }
  readonly idleTimeout?: "4 seconds" | "10 seconds" | "30 seconds"
  readonly settings?: Readonly<Record<string, unknown>>
}

export type PeerOptions = ServerOptions | ClientOptions

export interface PathLine {
  readonly id: number
  readonly local: string
  readonly remote: string
  readonly state: string
  readonly rtt: number
  readonly pto: number
  readonly sent: number
  readonly received: number
  readonly mtu: number
}

export type PeerLine =
  | { readonly kind: "ready"; readonly addresses: ReadonlyArray<string> }
  | { readonly kind: "connected" | "opened"; readonly at: number }
  | { readonly kind: "bytes"; readonly at: number; readonly bytes: number }
  /** Every `SAMPLE` ms, unless the machine is busy. `cpu` in microseconds. */
  | { readonly kind: "paths"; readonly at: number; readonly cpu: number; readonly paths: ReadonlyArray<PathLine> }
  | {
      readonly kind: "event"
      readonly at: number
      readonly event: string
      readonly pathId: number
      readonly code?: number
      readonly initiator?: string
    }
  | { readonly kind: "received"; readonly at: number; readonly bytes: number; readonly whole: boolean }
  | { readonly kind: "failed"; readonly at: number; readonly message: string; readonly reason?: string }
  | { readonly kind: "done"; readonly at: number }
