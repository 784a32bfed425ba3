/**
 * The options that several commands share, and how the things people type are read: addresses, sizes, URLs.
 */
import { Layer, Option, Result } from "effect"
import { Flag } from "effect/cli"
import { AddressBook } from "../internal/wire/Datagram.ts"
import { addressFromInput } from "../internal/runtime/Addresses.ts"
import * as CongestionControl from "../CongestionControl.ts"
import * as PathScheduler from "../PathScheduler.ts"

/** Where `serve` listens and `get` asks when no port is named. */
export const DEFAULT_PORT = 4433

const schedulers = {
  "delivery-rate": PathScheduler.layerDeliveryRate,
  "low-latency": PathScheduler.layerLowLatency,
  "round-robin": PathScheduler.layerRoundRobin,
  // Neither setting is out of range.
  "min-rtt": Layer.orDie(PathScheduler.layerMinRtt({ bias: 0.5 })),
  blest: PathScheduler.layerBlest,
  ecf: PathScheduler.layerEcf,
  redundant: PathScheduler.layerRedundant,
  backup: Layer.orDie(PathScheduler.layerBackup())
} as const

const congestionControls = {
  bbr: CongestionControl.layerBbr,
  cubic: CongestionControl.layerCubic,
  newreno: CongestionControl.layerNewReno,
  lia: CongestionControl.layerLia,
  olia: CongestionControl.layerOlia,
  balia: CongestionControl.layerBalia
} as const

const namesOf = <K extends string>(table: Readonly<Record<K, unknown>>): ReadonlyArray<K> =>
  Object.keys(table) as Array<K>

/** Names for `--scheduler`. */
export type SchedulerName = keyof typeof schedulers
/** Names for `--congestion`. */
export type CongestionName = keyof typeof congestionControls

export const schedulerNames = namesOf(schedulers)
export const congestionNames = namesOf(congestionControls)

export interface Policies {
  readonly scheduler: SchedulerName
  readonly congestion: CongestionName
}

/** The Layer of what `--scheduler` and `--congestion` name. */
export const layerPolicies = (policies: Policies): Layer.Layer<never> =>
  Layer.merge(schedulers[policies.scheduler], congestionControls[policies.congestion])

export const scheduler = Flag.Literals("scheduler", schedulerNames).pipe(
  Flag.withDefault("delivery-rate"),
  Flag.withDescription(
    "Which path the next packet takes; it is the sender of the data that decides. Default: delivery-rate"
  )
)

export const congestion = Flag.Literals("congestion", congestionNames).pipe(
  Flag.withDefault("cubic"),
  Flag.withDescription("Congestion control of each path; it is the sender of the data that decides. Default: cubic")
)

export const json = Flag.Boolean("json").pipe(
  Flag.withDefault(false),
  Flag.withDescription("Print the JSON line and nothing else")
)

const units: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30
}

/** Bytes: "2MB", "30000000", "1.5 GiB". Undefined when it is no size. */
export const parseSize = (text: string): number | undefined => {
  const parts = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const unit = parts === null ? undefined : units[parts[2]!.toUpperCase()]
  return parts === null || unit === undefined ? undefined : Math.round(Number(parts[1]) * unit)
}

/** A flag in bytes between two bounds. */
export const sizeFlag = (name: string, range: { readonly minimum: string; readonly maximum: string }) => {
  const minimum = parseSize(range.minimum)!
  const maximum = parseSize(range.maximum)!
  return Flag.String(name).pipe(
    Flag.filterMap(
      (text) => Option.filter(Option.fromUndefinedOr(parseSize(text)), (bytes) => bytes >= minimum && bytes <= maximum),
      () => `a size from ${range.minimum} to ${range.maximum}, such as 30MB or 8MiB`
    )
  )
}

/** A number flag between two bounds. */
export const numberFlag = (name: string, minimum: number, maximum: number, unit: string) =>
  Flag.String(name).pipe(
    Flag.filterMap(
      (text) => {
        const value = text.trim() === "" ? Number.NaN : Number(text)
        return value >= minimum && value <= maximum ? Option.some(value) : Option.none()
      },
      () => `${unit} from ${minimum} to ${maximum}`
    ),
    Flag.withMetavar(unit.toUpperCase())
  )

export const idleTimeout = numberFlag("idle-timeout", 1, 3600, "seconds").pipe(
  Flag.withDefault(30),
  Flag.withDescription("Seconds without a word from the other side after which a connection is lost. Default: 30")
)

export interface HostPort {
  readonly host: string
  readonly port: number
}

const isPort = (port: number): boolean => Number.isInteger(port) && port >= 0 && port <= 65_535

/** An IP address, with a port or without: "127.0.0.1", "127.0.0.1:4433", "[::1]:4433". */
export const parseAddress = (text: string, port: number): HostPort | undefined => {
  const address = addressFromInput(new AddressBook(), text, port)
  return Result.isSuccess(address) ? { host: address.success.host, port: address.success.port } : undefined
}

const hostPattern = String.raw`(\[[^\]\s]+\]|[^\s:/@?#[\]]+)(?::(\d{1,5}))?`
const hostPort = new RegExp(`^${hostPattern}$`)

const unbracketed = (host: string): string => (host.startsWith("[") ? host.slice(1, -1) : host)

/** A host by name or address, and its port. */
export const parseHostPort = (text: string): HostPort | undefined => {
  const parts = hostPort.exec(text)
  if (parts === null) return undefined
  const port = parts[2] === undefined ? DEFAULT_PORT : Number(parts[2])
  return port > 0 && isPort(port) ? { host: unbracketed(parts[1]!), port } : undefined
}

/** Where a path goes, and the local address it leaves from if it matters. */
export interface Via {
  readonly remote: HostPort
  readonly local: string | undefined
}

/** "HOST:PORT", or "HOST:PORT@LOCAL" for a path that leaves from a certain local address. */
export const parseVia = (text: string): Via | undefined => {
  const at = text.lastIndexOf("@")
  const remote = parseHostPort(at < 0 ? text : text.slice(0, at))
  if (remote === undefined) return undefined
  if (at < 0) return { remote, local: undefined }
  const local = text.slice(at + 1)
  return parseAddress(local, 0) === undefined ? undefined : { remote, local }
}

/** What `get` is asked for. */
export interface Target extends HostPort {
  /** As it goes into the request: absolute, percent-encoded. */
  readonly path: string
  /** The last part of the path, decoded: the name that the file gets. */
  readonly name: string
  /** As the user wrote it. */
  readonly url: string
}

/** Schemes are of either case (RFC 3986 section 3.1). */
const urlPattern = new RegExp(`^(?:https://)?${hostPattern}(/[^#]*)?(?:#.*)?$`, "i")

/** "https://example.com:4433/file", or the same without "https://". A failure is a sentence about what is wrong. */
export const parseUrl = (url: string): Result.Result<Target, string> => {
  const parts = urlPattern.exec(url)
  const port = parts?.[2] === undefined ? DEFAULT_PORT : Number(parts[2])
  if (parts === null || port === 0 || !isPort(port))
    return Result.fail("a URL such as https://example.com:4433/file.bin (port 4433 if it has none)")
  const parsed = new URL(parts[3] ?? "/", "https://host")
  const name = decoded(parsed.pathname.slice(parsed.pathname.lastIndexOf("/") + 1))
  // eslint-disable-next-line no-control-regex
  if (name === undefined || name === "." || name === ".." || /[\u0000-\u001f/\\]/.test(name))
    return Result.fail("a URL whose last part can be the name of a file")
  return Result.succeed({
    host: unbracketed(parts[1]!),
    port,
    path: parsed.pathname + parsed.search,
    name: name === "" ? "index.html" : name,
    url
  })
}

/** Percent-decoded, or undefined when it does not decode. */
export const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
