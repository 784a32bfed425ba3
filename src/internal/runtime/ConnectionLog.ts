/**
 * The lines of one connection: that it began, what became of its paths, and how it ended.
 */
import { Cause } from "effect"
import { alertName, transportErrorName } from "../../QuicError.ts"
import type { CloseInfo, ConnectionMachine, PathEvent } from "../connection/Machine.ts"
import type { Address } from "../wire/Datagram.ts"
import { TransportError } from "../wire/Protocol.ts"
import { printable } from "../wire/Text.ts"
import type { Undelivered } from "./Delivery.ts"
import type { Annotations, EndpointLog } from "./EndpointLog.ts"

/** Longest text of a peer in a line, in characters. */
const MAX_TEXT = 200

const isAlert = (code: number): boolean => code >= TransportError.crypto && code < TransportError.crypto + 256

/** The TLS alert that ended the handshake, or undefined. */
const alertOf = (info: CloseInfo): number | undefined => {
  if (info.kind !== "transport") return undefined
  return info.tls?.alert ?? (isAlert(info.code) ? info.code - TransportError.crypto : undefined)
}

/** Why a handshake failed, in a word to count by: the name of an alert or of a transport error, or what else ended it. */
export const failureName = (info: CloseInfo): string => {
  const alert = alertOf(info)
  if (alert !== undefined) return alertName(alert)
  if (info.kind !== "transport") return info.kind
  // A peer may say any number, and there must not be a count for each.
  const name = transportErrorName(info.code)
  return name.startsWith("0x") ? "other" : name
}

const why = (info: CloseInfo): Annotations => {
  switch (info.kind) {
    case "transport": {
      const alert = alertOf(info)
      return {
        by: info.initiator,
        code: transportErrorName(info.code),
        ...(alert === undefined ? {} : { alert: alertName(alert) }),
        reason: printable(info.tls?.message ?? info.reason, MAX_TEXT)
      }
    }
    case "application":
      return { by: info.initiator, code: info.code, reason: printable(info.reason, MAX_TEXT) }
    case "idleTimeout":
    case "handshakeTimeout":
      return { by: info.kind, after: `${info.after} ms` }
    case "versionNegotiation":
    case "statelessReset":
    case "internal":
      return { by: info.kind }
  }
}

/** A handshake that nothing is wrong with: this side ended first, as at a shutdown. */
const isGivenUp = (info: CloseInfo): boolean =>
  info.kind === "application" && info.initiator === "local" && info.reason === ""

const GIVEN_UP: Annotations = { reason: "this side closed before the handshake was done" }

export class ConnectionLog {
  private readonly log: EndpointLog
  private readonly machine: ConnectionMachine
  private readonly remote: Address | undefined

  constructor(log: EndpointLog, machine: ConnectionMachine) {
    this.log = log
    this.machine = machine
    this.remote = machine.paths[0]?.remote
  }

  established(): void {
    const { machine } = this
    if (!this.log.enabled("Debug")) return
    this.log.write("Debug", machine.role === "server" ? "Accepted a connection" : "Connected", {
      ...this.who,
      local: String(machine.paths[0]?.local),
      alpn: machine.handshake?.alpn ?? "",
      multipath: machine.multipath
    })
  }

  /** A part that a user gave is wrong. */
  mistake(message: string): void {
    this.log.limited("Warn", message, this.who)
  }

  path(event: PathEvent): void {
    if (!this.log.enabled("Debug")) return
    const { kind, pathId } = event
    const view = this.machine.path(pathId)
    const addresses = view === undefined ? {} : { local: String(view.local), remote: String(view.remote) }
    const more =
      event.kind === "abandoned"
        ? { by: event.initiator, code: event.code }
        : event.kind === "remoteStatus"
          ? { status: event.status }
          : {}
    this.log.write("Debug", `Path ${kind}`, { ...this.who, ...addresses, path: pathId, ...more })
  }

  /** `established`: whether its handshake was complete. */
  ended(info: CloseInfo, established: boolean, undelivered: Undelivered | undefined): void {
    const { log, machine } = this
    if (info.kind === "internal") {
      log.limited("Error", "A connection ended by a defect", this.who, Cause.die(info.cause))
    } else if (!log.enabled("Info")) {
      // Nothing else is worth more than that.
    } else if (!established) {
      // A client learns of it by its error.
      const level = machine.role === "server" ? "Info" : "Debug"
      log.limited(level, "Handshake failed", { ...this.who, ...why(info), ...(isGivenUp(info) ? GIVEN_UP : {}) })
    } else if (undelivered !== undefined && !(info.kind === "application" && info.initiator === "peer")) {
      log.limited("Info", "Connection closed before everything was delivered", {
        ...this.who,
        ...why(info),
        streams: undelivered.streams,
        bytes: undelivered.bytes
      })
    } else {
      const routine = info.kind === "application" || info.kind === "idleTimeout"
      const clean = routine || (info.kind === "transport" && info.code === TransportError.noError)
      if (clean) log.write("Debug", "Connection closed", { ...this.who, ...why(info) })
      else log.limited("Info", "Connection closed", { ...this.who, ...why(info) })
    }
  }

  private get who(): Annotations {
    return { connection: this.machine.id, remote: String(this.remote) }
  }
}
