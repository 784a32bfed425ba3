/**
 * Counts handshakes: how many began, how many were completed, and what the others failed of.
 */
import type { CloseInfo } from "../connection/Machine.ts"
import { failureName } from "./ConnectionLog.ts"

export class Handshakes {
  /** Of clients that came, and of connections that this side made. */
  accepted = 0
  started = 0
  completed = 0
  private readonly failures = new Map<string, number>()

  began(role: "client" | "server"): void {
    if (role === "server") this.accepted++
    else this.started++
  }

  failed(info: CloseInfo): void {
    const name = failureName(info)
    this.failures.set(name, (this.failures.get(name) ?? 0) + 1)
  }

  /** By the name of what they failed of. */
  get failedBy(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.failures)
  }
}
