import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Logger, Predicate, Redacted, Schema } from "effect"
import { AddressBook } from "../src/internal/wire/Datagram.ts"
import * as QuicConfig from "../src/QuicConfig.ts"

const badConfig = (input: QuicConfig.Input) =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(QuicConfig.make(input))
    assert.isTrue(Predicate.isTagged(error.reason, "BadConfig"))
    return error.message
  })

/** As a program without types would call it. */
const untyped = (input: unknown) => input as QuicConfig.Input

/** As most programs have it, and as some do. */
const providers = {
  "the default provider": (env: Record<string, string>) => ConfigProvider.fromEnv({ env }),
  "constant case": (env: Record<string, string>) => ConfigProvider.constantCase(ConfigProvider.fromEnv({ env }))
}

const fromEnvironment = (env: Record<string, string>, provider = providers["the default provider"]) =>
  Effect.provideService(QuicConfig.config, ConfigProvider.ConfigProvider, provider(env))

describe("QuicConfig", () => {
  it.effect("without input, every default, in the machine's units", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(QuicConfig.toSettings(yield* QuicConfig.make()), {
        idleTimeout: 30_000,
        handshakeTimeout: 10_000,
        keepAlive: 0,
        initialStreamWindow: 524_288,
        maxStreamWindow: 25_165_824,
        initialConnectionWindow: 786_432,
        maxConnectionWindow: 37_748_736,
        maxBidiStreams: 100,
        maxUniStreams: 100,
        streamSendBuffer: 33_554_432,
        datagramQueue: 128,
        maxDatagramFrameSize: 65_535,
        initialMtu: 1200,
        maxMtu: 1452,
        mtuDiscovery: true,
        ecn: true,
        maxAckDelay: 25,
        ackDelayExponent: 3,
        activeConnectionIdLimit: 4,
        connectionIds: 4,
        maxPaths: 0,
        advertise: [],
        maxAdvertised: 8,
        scaledStart: false,
        addressDiscovery: "off",
        initialRtt: 333,
        maxPtoInterval: 2000,
        grease: true
      })
    })
  )

  it.effect("every setting of the machine comes from its field", () =>
    Effect.gen(function* () {
      const settings = {
        idleTimeout: 1001,
        handshakeTimeout: 1002,
        keepAlive: 1003,
        initialStreamWindow: 2001,
        maxStreamWindow: 2002,
        initialConnectionWindow: 2003,
        maxConnectionWindow: 2004,
        maxBidiStreams: 1,
        maxUniStreams: 2,
        streamSendBuffer: 2005,
        datagramQueue: 3,
        maxDatagramFrameSize: 4,
        initialMtu: 1201,
        maxMtu: 1202,
        mtuDiscovery: false,
        ecn: false,
        maxAckDelay: 5,
        ackDelayExponent: 6,
        activeConnectionIdLimit: 7,
        connectionIds: 17,
        maxPaths: 8,
        advertise: [new AddressBook().intern("203.0.113.7", 4433)],
        maxAdvertised: 12,
        scaledStart: true,
        addressDiscovery: "both" as const,
        initialRtt: 9,
        maxPtoInterval: 2500,
        grease: false
      }
      const { advertise, maxAdvertised, maxPaths, scaledStart, ...same } = settings
      const multipath = { advertise: advertise.map(String), maxAdvertised, maxPaths, scaledStart }
      const config = yield* QuicConfig.make({ ...same, multipath })
      assert.deepStrictEqual(QuicConfig.toSettings(config), settings)
    })
  )

  it.effect("durations as text, ms and Durations; undefined is the default", () =>
    Effect.gen(function* () {
      const config = yield* QuicConfig.make({
        idleTimeout: "1 minute",
        keepAlive: 20_000,
        handshakeTimeout: Duration.seconds(3),
        initialRtt: undefined,
        multipath: { maxPaths: undefined }
      })
      assert.strictEqual(Duration.toMillis(config.idleTimeout), 60_000)
      assert.strictEqual(Duration.toMillis(config.keepAlive), 20_000)
      assert.strictEqual(Duration.toMillis(config.handshakeTimeout), 3000)
      assert.strictEqual(Duration.toMillis(config.initialRtt), 333)
      assert.strictEqual(config.multipath.maxPaths, 0)
      assert.instanceOf(config, QuicConfig.QuicConfig)
      assert.instanceOf(config.multipath, QuicConfig.MultipathConfig)
    })
  )

  it.effect("addresses to advertise are those that others can reach, at most 32", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<ReadonlyArray<string>> = [
        ["server.test"],
        ["203.0.113.7:4433", "0.0.0.0:4433"],
        ["[::]:4433"],
        ["224.0.0.1:4433"],
        ["[ff02::1]:4433"],
        ["203.0.113.7:70000"],
        Array.from({ length: 33 }, (_, i) => `203.0.113.${i}`)
      ]
      for (const advertise of wrong) {
        assert.match(
          yield* badConfig({ multipath: { advertise } }),
          /^multipath\.advertise.* is .*; allowed: (up to 32 IP addresses|an IP address) of this host/,
          advertise.join()
        )
      }
      assert.match(
        yield* badConfig({ multipath: { maxAdvertised: 33 } }),
        /multipath\.maxAdvertised is 33; allowed: a whole number of addresses from 0 to 32/
      )
      assert.match(yield* badConfig(untyped({ addressDiscovery: "on" })), /one of off, send, receive, both/)
      const config = yield* fromEnvironment({
        MPQUIC_MULTIPATH_ADVERTISE: "203.0.113.7:4433, 2001:db8::7",
        MPQUIC_ADDRESS_DISCOVERY: "send"
      })
      const { addressDiscovery, advertise } = QuicConfig.toSettings(config)
      assert.deepStrictEqual(advertise.map(String), ["203.0.113.7:4433", "[2001:db8::7]:0"])
      assert.strictEqual(addressDiscovery, "send")
    })
  )

  it.effect("a value out of its range is told with field, value and range", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* badConfig({ initialMtu: 1199 }),
        "initialMtu is 1199; allowed: a whole number of bytes from 1200 to 65527"
      )
      assert.strictEqual(
        yield* badConfig({ multipath: { maxPaths: 1000 } }),
        "multipath.maxPaths is 1000; allowed: a whole number of paths from 0 to 256"
      )
      assert.strictEqual(
        yield* badConfig({ idleTimeout: "2 days" }),
        'idleTimeout is "2 days"; allowed: a duration from 0 seconds to 1 day, such as "30 seconds"'
      )
      assert.strictEqual(
        yield* badConfig(untyped({ lane: "fast" })),
        'lane is "fast"; allowed: one of auto, portable, native'
      )
    })
  )

  it.effect("N8: settings inside of others are told as a program would write them", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* badConfig({ multipath: { advertise: ["203.0.113.7", "eth0"] } }),
        'multipath.advertise[1] is "eth0"; allowed: an IP address of this host as others reach it, such as "203.0.113.7:4433"'
      )
      assert.strictEqual(
        yield* badConfig(untyped({ maxPaths: 3 })),
        "maxPaths is 3; allowed: maxPaths inside of multipath only"
      )
    })
  )

  it.effect("N8: every setting of multipath can be given, by its type too", () =>
    Effect.gen(function* () {
      const all: Required<QuicConfig.MultipathInput> = {
        maxPaths: 3,
        advertise: ["203.0.113.7"],
        maxAdvertised: 4,
        scaledStart: true
      }
      assert.deepStrictEqual({ ...(yield* QuicConfig.make({ multipath: all })).multipath }, all)
    })
  )

  it.effect("both ends of a range are inside", () =>
    Effect.gen(function* () {
      yield* QuicConfig.make({ maxAckDelay: 1, ackDelayExponent: 20, activeConnectionIdLimit: 2, maxMtu: 65_527 })
      yield* QuicConfig.make({ maxAckDelay: 16_383, ackDelayExponent: 0, maxMtu: 1200, maxDatagramFrameSize: 0 })
      assert.include(yield* badConfig({ maxAckDelay: 16_384 }), "maxAckDelay")
      assert.include(yield* badConfig({ activeConnectionIdLimit: 1 }), "activeConnectionIdLimit")
    })
  )

  it.effect("values of the wrong kind", () =>
    Effect.gen(function* () {
      for (const input of [
        { initialMtu: "1300" },
        { initialMtu: 1300.5 },
        { initialMtu: Number.NaN },
        { initialMtu: null },
        { ecn: 1 },
        { idleTimeout: "soon" },
        { idleTimeout: Number.NaN },
        { idleTimeout: Infinity },
        { keepAlive: -1 },
        { multipath: 3 }
      ]) {
        assert.include(yield* badConfig(untyped(input)), Object.keys(input)[0]!, JSON.stringify(input))
      }
    })
  )

  it.effect("settings that contradict each other", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* badConfig({ initialMtu: 1453 }),
        "maxMtu is 1452; allowed: at least initialMtu, which is 1453"
      )
      assert.include(yield* badConfig({ maxStreamWindow: 2000 }), "at least initialStreamWindow")
      assert.include(yield* badConfig({ maxConnectionWindow: 2000 }), "at least initialConnectionWindow")
    })
  )

  it.effect("settings that do not exist are not passed over", () =>
    Effect.gen(function* () {
      assert.include(yield* badConfig(untyped({ idletimeout: 5 })), "idletimeout is 5; allowed: only the settings idle")
      assert.strictEqual(
        yield* badConfig(untyped({ multipath: { paths: 5 } })),
        "multipath.paths is 5; allowed: only the settings maxPaths, advertise, maxAdvertised, scaledStart"
      )
      assert.include(
        yield* badConfig(untyped({ multipath: true })),
        "multipath is true; allowed: an object of maxPaths"
      )
    })
  )

  it("decodes with the same defaults as it constructs, and encodes back", () => {
    const decode = Schema.decodeUnknownSync(QuicConfig.QuicConfig)
    assert.deepStrictEqual(decode({}), new QuicConfig.QuicConfig())
    const config = decode({ idleTimeout: "5 seconds", multipath: { maxPaths: 2 } })
    assert.strictEqual(Duration.toMillis(config.idleTimeout), 5000)
    assert.deepStrictEqual(decode(Schema.encodeSync(QuicConfig.QuicConfig)(config)), config)
    assert.throws(() => decode({ initialMtu: 10 }), /1200 to 65527/)
  })

  it.effect("B11: the reset key is a secret of 32 characters, in code and in the environment, and never shown", () =>
    Effect.gen(function* () {
      const key = "0123456789abcdef0123456789abcdef"
      const config = yield* QuicConfig.make({ resetKey: Redacted.make(key) })
      assert.strictEqual(Redacted.value(config.resetKey!), key)
      assert.strictEqual(Redacted.value((yield* fromEnvironment({ MPQUIC_RESET_KEY: key })).resetKey!), key)
      assert.isUndefined((yield* QuicConfig.make()).resetKey)
      assert.notInclude(`${JSON.stringify(config)} ${String(config.resetKey)}`, key)
      for (const wrong of [Redacted.make("short-secret"), "plain-text-secret", 5]) {
        const message = yield* badConfig(untyped({ resetKey: wrong }))
        assert.strictEqual(
          message,
          "resetKey is <redacted>; allowed: a Redacted text of at least 32 characters",
          String(wrong)
        )
      }
    })
  )

  for (const [kind, provider] of Object.entries(providers)) {
    it.effect(`D4: from the environment, with ${kind}`, () =>
      Effect.gen(function* () {
        const env = {
          MPQUIC_IDLE_TIMEOUT: "1 minute",
          MPQUIC_MULTIPATH_MAX_PATHS: "3",
          MPQUIC_ECN: "false",
          MPQUIC_LANE: "portable"
        }
        const config = yield* fromEnvironment(env, provider)
        assert.strictEqual(Duration.toMillis(config.idleTimeout), 60_000)
        assert.strictEqual(config.multipath.maxPaths, 3)
        assert.isFalse(config.ecn)
        assert.strictEqual(config.lane, "portable")
        assert.deepStrictEqual(yield* fromEnvironment({}, provider), new QuicConfig.QuicConfig())
      })
    )

    it.effect(`D4: a wrong value fails, with its name and range, with ${kind}`, () =>
      Effect.gen(function* () {
        for (const [name, value, allowed] of [
          ["MPQUIC_IDLE_TIMEOUT", "bogus", "duration from 0 seconds to 1 day"],
          ["MPQUIC_MAX_MTU", "9", "1200 to 65527"],
          ["MPQUIC_MAX_MTU", "many", "1200 to 65527"],
          ["MPQUIC_ECN", "perhaps", "true"],
          ["MPQUIC_LANE", "fast", "auto, portable, native"],
          ["MPQUIC_MULTIPATH_MAX_PATHS", "-1", "0 to 256"],
          ["MPQUIC_RESET_KEY", "too-short", "at least 32 characters"]
        ] as const) {
          const error = yield* Effect.flip(fromEnvironment({ [name]: value }, provider))
          if (name === "MPQUIC_RESET_KEY") assert.notInclude(error.message, value)
          assert.include(error.message, name)
          assert.include(error.message, allowed)
        }
        // Alone each of them is right.
        const error = yield* Effect.flip(fromEnvironment({ MPQUIC_MAX_STREAM_WINDOW: "2000" }, provider))
        assert.include(error.message, "at least initialStreamWindow")
      })
    )
  }

  it.effect("D4: every setting can be named in the environment", () =>
    Effect.gen(function* () {
      const least = yield* QuicConfig.make({ maxStreamWindow: 2 ** 30, maxConnectionWindow: 2 ** 32, maxMtu: 65_527 })
      const encoded = Schema.encodeSync(QuicConfig.QuicConfig)(least)
      const numbers = Object.entries({ ...encoded, ...encoded.multipath }).filter(
        ([, value]) => typeof value === "number"
      )
      assert.isAbove(numbers.length, 15)
      const full = ["maxStreamWindow", "maxConnectionWindow", "maxMtu", "maxDatagramFrameSize"]
      for (const [field, value] of numbers) {
        const name = field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()
        const prefix = field in encoded.multipath! ? "MPQUIC_MULTIPATH_" : "MPQUIC_"
        const changed = yield* Effect.exit(fromEnvironment({ [prefix + name]: String(Number(value) + 1) }))
        const config = changed._tag === "Success" ? changed.value : undefined
        // One more than the most is refused; anything else arrives.
        if (config === undefined) assert.include(full, field)
        else assert.strictEqual({ ...config, ...config.multipath }[field as "maxMtu"], Number(value) + 1, field)
      }
    })
  )

  it.effect("issue 7: settings have the prefix of MPQUIC_LANE, which is one of them, and no other", () =>
    Effect.gen(function* () {
      const config = yield* fromEnvironment({ MPQUIC_LANE: "portable", MPQUIC_MAX_MTU: "1300", QUIC_MAX_MTU: "1400" })
      assert.deepInclude(config, { lane: "portable", maxMtu: 1300 })
    })
  )

  it.effect("D4: a name with the prefix that is no setting is reported, others are not", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
        lines.push(`${logLevel} ${String(message)}`)
      })
      const env = { MPQUIC_IDEL_TIMEOUT: "5 s", MPQUIC_IDLE_TIMEOUT: "5 seconds", MPQUIC_LISTEN: ":1", HTTP_IDLE: "1" }
      const input = yield* QuicConfig.fromEnvironment(["LISTEN"]).pipe(
        Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
        Effect.provide(Logger.layer([logger]))
      )
      assert.deepStrictEqual(Object.keys(input), ["idleTimeout"])
      assert.lengthOf(lines, 1)
      assert.match(lines[0]!, /^Warn No settings, and without effect: MPQUIC_IDEL_TIMEOUT\. .*MPQUIC_IDLE_TIMEOUT/)
    })
  )
})
