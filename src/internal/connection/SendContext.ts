/** What the scheduler sees of a connection: one object, reused for every packet. */
import type { Path } from "../paths/Path.ts"
import type { PacketKind, SelectContext } from "../paths/Scheduler.ts"
import type { ConnectionState } from "./ConnectionState.ts"

export class SendContext implements SelectContext {
  /** Those of the best class that there is; whoever can take nothing of what waits is left out. */
  readonly usable: Array<Path> = []
  /** The same for the scheduler, which may do to it what it likes. */
  readonly paths: Array<Path> = []
  kind: PacketKind = "data"
  queuedBytes = 0
  now = 0
  private readonly core: ConnectionState

  constructor(core: ConnectionState) {
    this.core = core
  }

  /** `usable` has changed, or the scheduler has changed its list. */
  renew(): void {
    const { paths, usable } = this
    paths.length = 0
    for (const path of usable) paths.push(path)
  }

  // Few schedulers ask for these.
  get moreToCome(): boolean {
    return this.core.streams.hasWaitingWriter(this.usable[0]?.id ?? 0)
  }
  get sendWindow(): number {
    return this.core.streams.sendWindow
  }
}
