/**
 * Settings of an endpoint and of its connections. Every field has a default; sizes are bytes, times are Durations, and a
 * value out of its range fails where it is given, with the field, the value and what is allowed.
 *
 * **Example** (From code, and from the environment)
 *
 * ```ts
 * import { QuicConfig } from "effect-mpquic"
 *
 * const config = QuicConfig.make({ idleTimeout: "1 minute", multipath: { maxPaths: 3 } })
 * // MPQUIC_IDLE_TIMEOUT="1 minute" MPQUIC_MULTIPATH_MAX_PATHS=3
 * const fromEnvironment = QuicConfig.config
 * ```
 *
 * @module
 * @since 0.1.0
 */
import {
  Config,
  ConfigProvider,
  Duration,
  Effect,
  Option,
  Predicate,
  Redacted,
  Schema,
  SchemaIssue,
  SchemaTransformation,
  String as Str
} from "effect"
import type { ConnectionSettings } from "./internal/Settings.ts"
import { ADVERTISABLE, advertisable } from "./internal/runtime/Advertised.ts"
import {
  badArgument,
  copyOf,
  describe,
  durationOf,
  fieldText,
  valueAt,
  withArguments
} from "./internal/runtime/Arguments.ts"
import type { QuicError } from "./QuicError.ts"

const KB = 1024
const MB = 1024 * KB
const GB = 1024 * MB

/** A whole number in a range, with a default. `unit` is for messages. */
const integer = (value: number, minimum: number, maximum: number, unit: string) => {
  const message = `Expected a whole number of ${unit} from ${minimum} to ${maximum}`
  return Schema.Number.annotate({ message })
    .check(Schema.isInt({ message }), Schema.isBetween({ minimum, maximum }, { message }))
    .pipe(
      Schema.withDecodingDefaultTypeKey(Effect.succeed(value)),
      Schema.withConstructorDefault(Effect.succeed(value))
    )
}

/** A Duration in a range, with a default. Encoded, and in the environment, it is text such as "30 seconds". */
const duration = (value: Duration.Input, minimum: Duration.Input, maximum: Duration.Input) => {
  const message = `Expected a duration from ${String(minimum)} to ${String(maximum)}, such as "${value === "0 seconds" ? "30 seconds" : String(value)}"`
  const fallback = Duration.fromInputUnsafe(value)
  const range = {
    minimum: Duration.fromInputUnsafe(minimum),
    maximum: Duration.fromInputUnsafe(maximum)
  }
  return Schema.String.annotate({ message }).pipe(
    Schema.decodeTo(
      Schema.Duration.annotate({ message }).check(
        Schema.makeFilter((candidate: Duration.Duration) => Duration.between(candidate, range), { message })
      ),
      SchemaTransformation.durationFromString
    ),
    Schema.withDecodingDefaultTypeKey(Effect.succeed(fallback)),
    Schema.withConstructorDefault(Effect.succeed(fallback))
  )
}

const flag = (value: boolean) =>
  Schema.Boolean.annotate({ message: "Expected true or false" }).pipe(
    Schema.withDecodingDefaultTypeKey(Effect.succeed(value)),
    Schema.withConstructorDefault(Effect.succeed(value))
  )

const choice = <const A extends string>(value: NoInfer<A>, ...allowed: ReadonlyArray<A>) =>
  Schema.Literals(allowed)
    .annotate({ message: `Expected one of ${allowed.join(", ")}` })
    .pipe(
      Schema.withDecodingDefaultTypeKey(Effect.succeed(value)),
      Schema.withConstructorDefault(Effect.succeed(value))
    )

/** Addresses that a side may advertise, and keeps of the other. */
const MAX_ADVERTISED = 32

/** Addresses, with a default of none. Encoded, and in the environment, they are text with commas between them. */
const addressList = () => {
  const message = `Expected up to ${MAX_ADVERTISED} IP addresses of this host as others reach it, each with a port or without`
  const one = `Expected ${ADVERTISABLE}`
  return Schema.String.annotate({ message }).pipe(
    Schema.decodeTo(
      Schema.Array(
        Schema.String.annotate({ message: one }).check(
          Schema.makeFilter((text: string) => advertisable(text) !== undefined, { message: one })
        )
      )
        .annotate({ message })
        .check(Schema.makeFilter((list: ReadonlyArray<string>) => list.length <= MAX_ADVERTISED, { message })),
      SchemaTransformation.transform({
        decode: (text: string): ReadonlyArray<string> =>
          text
            .split(",")
            .map((part) => part.trim())
            .filter((part) => part !== ""),
        encode: (list: ReadonlyArray<string>) => list.join(", ")
      })
    ),
    Schema.withDecodingDefaultTypeKey(Effect.succeed([])),
    Schema.withConstructorDefault(Effect.succeed([]))
  )
}

/** Characters of a secret, at least. */
const SECRET_LENGTH = 32
/** Stands for a secret in errors: what was given is not shown, right or wrong. */
const SECRET = Redacted.make("")
const SECRET_ALLOWED = `a Redacted text of at least ${SECRET_LENGTH} characters`

/**
 * Settings of multipath (draft-ietf-quic-multipath-21).
 *
 * @category configuration
 * @since 0.1.0
 */
export class MultipathConfig extends Schema.Class<MultipathConfig>("effect-mpquic/MultipathConfig")({
  /**
   * Paths open at a time, at most. 0 and 1 leave multipath unnegotiated. Default 0: with it, the peer may make this side
   * keep state for every path, so who wants it says so.
   */
  maxPaths: integer(0, 0, 256, "paths"),
  /**
   * Server: further addresses of this host that its clients are told, such as `["203.0.113.7:4433"]`; without a port, that of
   * the connection. Default none. Nothing is advertised but what is listed here, or given to `Connection.advertise`: addresses
   * of private networks and of this host only if they are listed. In the environment with commas between them.
   *
   * @since 0.2.0
   */
  advertise: addressList(),
  /**
   * How many addresses of the peer are kept when it advertises them; with 0 this side takes no part in advertisement. It needs
   * `maxPaths` of at least 2 on both sides. Default 8, and told to the peer: that invites a server to name what its own list
   * (`advertise`, empty by default) has, and nothing else. The frames are authentic, kept within this bound, and cost nothing until
   * `openPath` or `PathManager.layerAuto` uses them; the latter leaves private addresses alone unless the peer has one itself, and
   * sends challenges only until there is an answer. With 0 a peer learns nothing of this extension.
   *
   * @since 0.2.0
   */
  maxAdvertised: integer(8, 0, MAX_ADVERTISED, "addresses"),
  /**
   * Lets a path of long round trip that is opened beside a working one start with a larger window: so many times the usual one
   * as its round trip is longer than 25 ms, at most 40 times, and paced. It saves round trips of slow start: 10 MB over 1 Mbit/s
   * and a satellite of 10 Mbit/s and 600 ms took 9.2 s instead of 11.3. Yet a path that is long and slow loses packets at its
   * start. Default false.
   *
   * @since 0.2.0
   */
  scaledStart: flag(false)
}) {}

/** Code of an application (RFC 9000 section 20.2). Exact in a JavaScript number up to 2^53. */
const code = (value: number) => {
  const message = "Expected a code from 0 to 2^53 - 1"
  return Schema.Number.annotate({ message })
    .check(Schema.isInt({ message }), Schema.isBetween({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }, { message }))
    .pipe(
      Schema.withDecodingDefaultTypeKey(Effect.succeed(value)),
      Schema.withConstructorDefault(Effect.succeed(value))
    )
}

/**
 * Codes with which the ends of scopes and handlers speak to the peer. Applications have their own: HTTP/3 ends well with
 * H3_NO_ERROR (0x100).
 *
 * @category configuration
 * @since 0.2.0
 */
export class CloseCodes extends Schema.Class<CloseCodes>("effect-mpquic/CloseCodes")({
  /** Code of CONNECTION_CLOSE of a scope or handler that ended well, after everything was delivered. Default 0. */
  connectionEnd: code(0),
  /** Code of CONNECTION_CLOSE of one that failed, or whose end drops something that was written. Default 1. */
  connectionAbort: code(1),
  /** Code of STOP_SENDING of a stream's scope that ended well and had not read everything. Default 0. */
  streamEnd: code(0),
  /** Code of RESET_STREAM and STOP_SENDING of a stream's scope that failed or was interrupted. Default 1. */
  streamAbort: code(1)
}) {}

/** A field that must not be below another one. */
const atLeast = <A>(config: A, field: keyof A & string, other: keyof A & string) =>
  Number(config[field]) >= Number(config[other])
    ? []
    : [{ path: [field], issue: `Expected at least ${other}, which is ${String(config[other])}` }]

/**
 * Every setting, with its default.
 *
 * @category configuration
 * @since 0.1.0
 */
export class QuicConfig extends Schema.Class<QuicConfig>("effect-mpquic/QuicConfig")(
  Schema.Struct({
    /** A connection on which nothing arrives for this long is over (RFC 9000 section 10.1). 0 turns it off. Default 30 s. */
    idleTimeout: duration("30 seconds", "0 seconds", "1 day"),
    /** From the first packet until the handshake must be complete. Default 10 s. */
    handshakeTimeout: duration("10 seconds", "10 millis", "10 minutes"),
    /**
     * The end of a connection's scope waits until everything that was written is acknowledged, but not longer than this
     * without any acknowledgement. What is left then is dropped: logged, and told with `codes.connectionAbort`. Default 10 s.
     */
    lingerTimeout: duration("10 seconds", "0 seconds", "1 hour"),
    /**
     * How long handlers may still take before they are interrupted: when the serving Layer ends, and when their connection
     * has ended. Default 10 s.
     */
    shutdownTimeout: duration("10 seconds", "0 seconds", "1 hour"),
    /** Codes of the ends of scopes and handlers. */
    codes: CloseCodes.pipe(
      Schema.withDecodingDefaultKey(Effect.succeed({})),
      Schema.withConstructorDefault(Effect.sync(() => new CloseCodes()))
    ),
    /** Between PINGs on a quiet connection, to hold it and the mappings of NATs open. Default 0: off. */
    keepAlive: duration("0 seconds", "0 seconds", "1 day"),
    /** Bytes that a peer may send on a stream before the application reads. Default 512 KB; grows by itself. */
    initialStreamWindow: integer(512 * KB, 1 * KB, 1 * GB, "bytes"),
    /** How far that may grow, in bytes. Default 24 MB: 1 Gbit/s at 130 ms. */
    maxStreamWindow: integer(24 * MB, 1 * KB, 1 * GB, "bytes"),
    /** Bytes that a peer may send on all streams of a connection together. Default 768 KB; grows by itself. */
    initialConnectionWindow: integer(768 * KB, 1 * KB, 4 * GB, "bytes"),
    /** How far that may grow, in bytes: what a peer can make one connection hold. Default 36 MB. */
    maxConnectionWindow: integer(36 * MB, 1 * KB, 4 * GB, "bytes"),
    /** Bidirectional streams that the peer may have open at a time. Default 100. */
    maxBidiStreams: integer(100, 0, 1_000_000, "streams"),
    /** Unidirectional streams that the peer may have open at a time. Default 100. */
    maxUniStreams: integer(100, 0, 1_000_000, "streams"),
    /**
     * Most bytes of a stream that are written but not yet acknowledged before a write waits: a stream begins with 1 MB, and
     * grows with what is under way. Twice as much for all streams of a connection together. Default 32 MB: 1 Gbit/s at 130 ms.
     */
    streamSendBuffer: integer(32 * MB, 1 * KB, 1 * GB, "bytes"),
    /** Received datagrams kept for the application; the oldest goes when there are more. Default 128. */
    datagramQueue: integer(128, 1, 65_536, "datagrams"),
    /** Largest DATAGRAM frame accepted, in bytes (RFC 9221). 0 turns datagrams off. Default 65535: taking them costs nothing. */
    maxDatagramFrameSize: integer(65_535, 0, 65_535, "bytes"),
    /** UDP payload of the first packets in bytes. Default 1200, which every path of QUIC carries (RFC 9000 section 14.1). */
    initialMtu: integer(1200, 1200, 65_527, "bytes"),
    /** Where discovery stops, in bytes of UDP payload. Default 1452: Ethernet, less the headers of IPv6 and UDP. */
    maxMtu: integer(1452, 1200, 65_527, "bytes"),
    /** Finds out what each path carries (RFC 8899). Default true. */
    mtuDiscovery: flag(true),
    /** Uses explicit congestion notification where a path and the sockets can (RFC 9000 section 13.4). Default true. */
    ecn: flag(true),
    /** Longest wait before acknowledging. Default 25 ms (RFC 9000 section 18.2). */
    maxAckDelay: duration("25 millis", "1 millis", "16383 millis"),
    /** Unit of acknowledgement delays: 2^this microseconds. Default 3, which is 8 microseconds. */
    ackDelayExponent: integer(3, 0, 20, "bits"),
    /** Connection IDs of the peer that are kept, for each path. Default 4. */
    activeConnectionIdLimit: integer(4, 2, 64, "connection IDs"),
    /**
     * Connection IDs that the peer has for each path, as far as its own limit allows: it needs a fresh one each time that this
     * side's address changes. Used ones are replaced. Default 4.
     *
     * @since 0.2.0
     */
    connectionIds: integer(4, 2, 64, "connection IDs"),
    /** Round-trip time assumed before the first sample. Default 333 ms (RFC 9002 section 6.2.2). */
    initialRtt: duration("333 millis", "1 millis", "10 seconds"),
    /**
     * Longest time between two probes of a path that has gone silent: the probe timeout doubles up to here, or once if the
     * path is slower than that (RFC 9002 section 6.2.1). An outage costs up to this much more after its end. Default 2 s.
     *
     * @since 0.2.0
     */
    maxPtoInterval: duration("2 seconds", "100 millis", "60 seconds"),
    /** Sends versions, parameters and bits that mean nothing, so that peers stay tolerant (RFC 9287). Default true. */
    grease: flag(true),
    /** Multipath; off by default. */
    multipath: MultipathConfig.pipe(
      Schema.withDecodingDefaultKey(Effect.succeed({})),
      Schema.withConstructorDefault(Effect.sync(() => new MultipathConfig()))
    ),
    /**
     * Whether this side tells the peer at which address it sees it (`send`), wants to be told (`receive`), or both
     * (draft-ietf-quic-address-discovery). What the peer says is in `Path.observedAddress`. Default off.
     *
     * @since 0.2.0
     */
    addressDiscovery: choice("off", "off", "send", "receive", "both"),
    /**
     * Secret of at least 32 characters from which the tokens of stateless resets come (RFC 9000 section 10.3.2): with the same
     * one after a restart, peers of before learn at once that their connections are gone. Endpoints that share it must not
     * serve the same clients under the same addresses. Default: random, for the life of the endpoint.
     *
     * @since 0.2.0
     */
    resetKey: Schema.optionalKey(Schema.RedactedFromValue(Schema.String.check(Schema.isMinLength(SECRET_LENGTH)))),
    /**
     * Whether clients prove their address, with a Retry, before the server keeps anything for them (RFC 9000 section 8.1.2):
     * always, which costs each a round trip, `never`, or while more than half of `maxHandshakes` go on (`busy`, the default).
     *
     * @since 0.2.0
     */
    retry: choice("busy", "always", "busy", "never"),
    /**
     * Secret of at least 32 characters from which the keys of address tokens and session tickets come: with the same one after a
     * restart, and on each of several servers behind one address, clients come back without another proof and resume their
     * sessions. Whoever knows it can open resumed sessions' tickets. Default: random.
     *
     * @since 0.2.0
     */
    tokenKey: Schema.optionalKey(Schema.RedactedFromValue(Schema.String.check(Schema.isMinLength(SECRET_LENGTH)))),
    /**
     * For how long a client can come back with a token or a ticket of this server (7 days at most with a ticket), and how often
     * their keys change. Default 1 day.
     *
     * @since 0.2.0
     */
    tokenLifetime: duration("1 day", "1 minute", "30 days"),
    /**
     * Gives clients tickets with which they resume their sessions: no certificates the next time. A server that asks clients for
     * certificates gives none. Default true.
     *
     * @since 0.2.0
     */
    sessionTickets: flag(true),
    /**
     * Packet I/O and encryption: native code in the main thread where the runtime permits it (`auto`, the default), never
     * (`portable`), or always (`native`). In a worker `native` may cost the process (docs/native-lane.md).
     */
    lane: choice("auto", "auto", "portable", "native"),
    /** Connections that an endpoint has at a time; first packets of further ones are dropped and counted. Default 10000. */
    maxConnections: integer(10_000, 1, 10_000_000, "connections"),
    /** Handshakes at a time with addresses that are not validated; as above. Default 1000. */
    maxHandshakes: integer(1000, 1, 1_000_000, "handshakes"),
    /** Kernel receive buffer of each UDP socket in bytes, as far as the system grants it. Default 4 MB. */
    socketReceiveBuffer: integer(4 * MB, 64 * KB, 1 * GB, "bytes"),
    /** Kernel send buffer of each UDP socket in bytes, likewise. Default 4 MB. */
    socketSendBuffer: integer(4 * MB, 64 * KB, 1 * GB, "bytes")
  }).check(
    Schema.makeFilter((config) => [
      ...atLeast(config, "maxStreamWindow", "initialStreamWindow"),
      ...atLeast(config, "maxConnectionWindow", "initialConnectionWindow"),
      ...atLeast(config, "maxMtu", "initialMtu")
    ])
  )
) {}

type InputField<A> = A extends Duration.Duration ? Duration.Input : A

/**
 * Settings as people write them: all optional, durations as `"30 seconds"`, ms or a Duration.
 *
 * @category configuration
 * @since 0.1.0
 */
export type Input = {
  readonly [K in Exclude<keyof QuicConfig, "codes" | "multipath">]?: InputField<QuicConfig[K]> | undefined
} & {
  readonly multipath?: MultipathInput | undefined
  readonly codes?: CodesInput | undefined
}

/**
 * Some of the settings of multipath; others keep their defaults.
 *
 * @category configuration
 * @since 0.2.0
 */
export type MultipathInput = { readonly [K in keyof MultipathConfig]?: MultipathConfig[K] | undefined }

/**
 * Some of the codes; others keep their defaults.
 *
 * @category configuration
 * @since 0.2.0
 */
export type CodesInput = { readonly [K in keyof CloseCodes]?: number | undefined }

const durations: ReadonlySet<string> = new Set([
  "idleTimeout",
  "handshakeTimeout",
  "lingerTimeout",
  "shutdownTimeout",
  "keepAlive",
  "maxAckDelay",
  "initialRtt",
  "maxPtoInterval",
  "tokenLifetime"
] satisfies ReadonlyArray<keyof QuicConfig>)

/**
 * Makes a configuration. Fails with `BadConfig`, which names the first field that is wrong, or that does not exist.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (input: Input = {}): Effect.Effect<QuicConfig, QuicError> =>
  withArguments(
    "settings",
    () => readInput(input),
    ({ fields, raw }) => Effect.mapError(QuicConfig.makeEffect(fields as never), (issue) => fromIssue(issue, raw))
  )

/** Takes a copy of what was given, so that it is read once, and refuses what is no setting. */
const readInput = (input: Input) => {
  const raw = readFields([], input, QuicConfig.fields)
  const fields = { ...raw }
  for (const field of durations) if (field in fields) fields[field] = toDuration(fields[field])
  for (const [field, inner] of [
    ["multipath", MultipathConfig.fields] as const,
    ["codes", CloseCodes.fields] as const
  ]) {
    const value = raw[field]
    if (value === undefined) continue
    if (!Predicate.isObject(value)) throw badArgument(field, value, `an object of ${Object.keys(inner).join(", ")}`)
    fields[field] = raw[field] = readFields([field], value, inner)
  }
  return { fields, raw }
}

/** What is defined among given settings. One that does not exist is refused: it would do nothing, and say nothing. */
const readFields = (parent: ReadonlyArray<string>, input: object, fields: object): Record<string, unknown> => {
  const prefix = parent.map((key) => `${key}.`).join("")
  const record = defined(copyOf(parent.at(-1) ?? "settings", input, prefix))
  for (const [key, value] of Object.entries(record)) {
    if (Object.hasOwn(fields, key)) continue
    const inner = parent.length === 0 && Object.hasOwn(MultipathConfig.fields, key)
    throw badArgument(
      prefix + key,
      value,
      inner ? `${key} inside of multipath only` : `only the settings ${Object.keys(fields).join(", ")}`
    )
  }
  return record
}

/** Codes with others in place of some. @internal */
export const withCodes = (codes: CloseCodes, input: CodesInput | undefined): Effect.Effect<CloseCodes, QuicError> =>
  input === undefined
    ? Effect.succeed(codes)
    : Effect.map(make({ codes: input }), (all) => new CloseCodes({ ...codes, ...pick(all.codes, Object.keys(input)) }))

const pick = (codes: CloseCodes, keys: ReadonlyArray<string>): Partial<CloseCodes> =>
  Object.fromEntries(Object.entries(codes).filter(([key]) => keys.includes(key)))

/** Not a Duration: left for the schema to refuse, with the range. */
const toDuration = (value: unknown): unknown => durationOf(value) ?? value

const formatIssue = SchemaIssue.makeFormatterStandardSchemaV1()

/** The first thing that is wrong. The value is looked up in the input, or is a default that does not go with the input. */
const fromIssue = (issue: SchemaIssue.Issue, input: Readonly<Record<string, unknown>>): QuicError => {
  const [first] = formatIssue(issue).issues
  const path = (first?.path ?? []).map((key) => (typeof key === "object" ? key.key : key))
  // Neither a secret that was given in the open nor what is in it is repeated.
  if (path[0] === "resetKey" || path[0] === "tokenKey") return badArgument(path[0], SECRET, SECRET_ALLOWED)
  const value = valueAt(input, path) ?? valueAt(new QuicConfig(), path)
  return badArgument(fieldText(path), value, (first?.message ?? "").replace(/^Expected /, ""))
}

/** Where settings are in the environment and in other providers: all names begin with it. */
const PREFIX = "MPQUIC"

interface Variable {
  readonly path: ReadonlyArray<string>
  readonly codec: Schema.ConstraintCodec<unknown, unknown>
  /** What the field says when a value is wrong: with its range. The secret says nothing. */
  readonly expected: string | undefined
}

/** Each setting by its name in the environment, without the prefix: `IDLE_TIMEOUT`, `MULTIPATH_MAX_PATHS`. */
const variables = new Map<string, Variable>()
const addVariables = (parent: ReadonlyArray<string>, fields: Readonly<Record<string, Schema.Top>>): void => {
  for (const [key, field] of Object.entries(fields)) {
    const path = [...parent, key]
    if (key === "multipath") addVariables(path, MultipathConfig.fields)
    else if (key === "codes") addVariables(path, CloseCodes.fields)
    else
      variables.set(path.map(Str.constantCase).join("_"), {
        path,
        codec: Schema.toCodecStringTree(field) as unknown as Variable["codec"],
        expected: Schema.resolveAnnotations(field)?.["message"] as string | undefined
      })
  }
}
addVariables([], QuicConfig.fields)

/** Only what is there: defaults are for the end, when everything that was given is known. */
const given: Config.Config<Input> = Config.all(
  Object.fromEntries(
    Array.from(variables, ([name, { path }]) => {
      // The environment has IDLE_TIMEOUT; a provider of objects may have idleTimeout, and MULTIPATH with MAX_PATHS in it.
      const ways = [[name], path, path.map(Str.constantCase)].map((way) => Config.schema(Schema.String, way))
      return [name, Config.option(ways.reduce((first, second) => Config.orElse(first, () => second)))] as const
    })
  )
).pipe(
  Config.nested(PREFIX),
  Config.mapEffect((texts) => decodeVariables(texts))
)

const decodeVariables = Effect.fnUntraced(function* (
  texts: Readonly<Record<string, Option.Option<string>>>
): Effect.fn.Return<Input, Config.ConfigError> {
  const input: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(texts)) {
    if (Option.isNone(text)) continue
    const { codec, expected, path } = variables.get(name)!
    const value = yield* Effect.mapError(Schema.decodeUnknownEffect(codec)(text.value), () => {
      const message = expected === undefined ? `Expected ${SECRET_ALLOWED}` : `${expected}, not ${describe(text.value)}`
      return configError(new SchemaIssue.Pointer([`${PREFIX}_${name}`], new SchemaIssue.InvalidValue({ message })))
    })
    const [key, inner] = path as [string, string | undefined]
    input[key] = inner === undefined ? value : { ...(input[key] as object | undefined), [inner]: value }
  }
  return input
})

const configError = (issue: SchemaIssue.Issue): Config.ConfigError =>
  new Config.ConfigError(new Schema.SchemaError(issue))

/**
 * The settings that the environment names, or whatever the ConfigProvider reads: `MPQUIC_IDLE_TIMEOUT="1 minute"`,
 * `MPQUIC_MULTIPATH_MAX_PATHS=3`; in a provider of objects under `MPQUIC`, also by the names of the fields. Fails for a value that
 * is wrong, with its name and what is allowed. A name with that prefix that is no setting does nothing, and a warning in the
 * log says so. `alsoKnown`: further names, without the prefix, that mean something to the caller.
 *
 * @category configuration
 * @since 0.2.0
 */
export const fromEnvironment = Effect.fnUntraced(function* (
  alsoKnown: ReadonlyArray<string> = []
): Effect.fn.Return<Input, Config.ConfigError> {
  const provider = yield* ConfigProvider.ConfigProvider
  const known = [...variables.keys(), ...alsoKnown]
  const unknown = (yield* namesUnder(provider, [PREFIX])).filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    const withPrefix = (names: ReadonlyArray<string>) => names.map((name) => `${PREFIX}_${name}`).join(", ")
    yield* Effect.logWarning(
      `No settings, and without effect: ${withPrefix(unknown)}. Settings are ${withPrefix(known)}`
    )
  }
  return yield* given
})

/** Words of the longest name that is looked at. */
const MAX_WORDS = 12

/** Names of all values below a path, in constant case and without the path. Environments give them word by word. */
const namesUnder = Effect.fnUntraced(function* (
  provider: ConfigProvider.ConfigProvider,
  path: ReadonlyArray<string>
): Effect.fn.Return<ReadonlyArray<string>> {
  const node = yield* Effect.orElseSucceed(provider.load(path), () => undefined)
  const names: Array<string> = []
  if (node?.value !== undefined && path.length > 1) names.push(path.slice(1).map(Str.constantCase).join("_"))
  if (node?._tag === "Record" && path.length < MAX_WORDS) {
    for (const key of node.keys) names.push(...(yield* namesUnder(provider, [...path, key])))
  }
  return names
})

/**
 * The whole configuration from the environment, or whatever the ConfigProvider reads, with the defaults for what it does not
 * name: see `fromEnvironment`. Without any setting, every default.
 *
 * @category configuration
 * @since 0.1.0
 */
export const config: Config.Config<QuicConfig> = Config.mapEffect(given, (input) =>
  Effect.mapError(QuicConfig.makeEffect(input as never), configError)
)

/** What is named in `first`, and for the rest what is named in `second`. @internal */
export const over = (first: Input, second: Input): Input => {
  const { multipath, ...rest } = first
  return { ...second, ...defined(rest), multipath: { ...second.multipath, ...defined(multipath ?? {}) } }
}

const defined = (record: object): Record<string, unknown> =>
  Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined))

/** What a connection's machine wants of it. @internal */
export const toSettings = (self: QuicConfig): ConnectionSettings => ({
  idleTimeout: Duration.toMillis(self.idleTimeout),
  handshakeTimeout: Duration.toMillis(self.handshakeTimeout),
  keepAlive: Duration.toMillis(self.keepAlive),
  initialStreamWindow: self.initialStreamWindow,
  maxStreamWindow: self.maxStreamWindow,
  initialConnectionWindow: self.initialConnectionWindow,
  maxConnectionWindow: self.maxConnectionWindow,
  maxBidiStreams: self.maxBidiStreams,
  maxUniStreams: self.maxUniStreams,
  streamSendBuffer: self.streamSendBuffer,
  datagramQueue: self.datagramQueue,
  maxDatagramFrameSize: self.maxDatagramFrameSize,
  initialMtu: self.initialMtu,
  maxMtu: self.maxMtu,
  mtuDiscovery: self.mtuDiscovery,
  ecn: self.ecn,
  maxAckDelay: Duration.toMillis(self.maxAckDelay),
  ackDelayExponent: self.ackDelayExponent,
  activeConnectionIdLimit: self.activeConnectionIdLimit,
  connectionIds: self.connectionIds,
  maxPaths: self.multipath.maxPaths,
  advertise: self.multipath.advertise.flatMap((text) => advertisable(text) ?? []),
  maxAdvertised: self.multipath.maxAdvertised,
  scaledStart: self.multipath.scaledStart,
  addressDiscovery: self.addressDiscovery,
  initialRtt: Duration.toMillis(self.initialRtt),
  maxPtoInterval: Duration.toMillis(self.maxPtoInterval),
  grease: self.grease
})
