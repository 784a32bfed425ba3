import { assert, describe, it } from "@effect/vitest"
import { Effect, Result } from "effect"
import { CongestionControl, PathScheduler } from "../../src/index.ts"
import {
  congestionNames,
  layerPolicies,
  schedulerNames,
  parseAddress,
  parseHostPort,
  parseSize,
  parseUrl,
  parseVia
} from "../../src/cli/Options.ts"

describe("sizes", () => {
  it("are bytes with decimal or binary units", () => {
    assert.deepStrictEqual(["30MB", "2 mb", "1.5GiB", "8KiB", "700", "0B"].map(parseSize), [
      30_000_000,
      2_000_000,
      1.5 * 2 ** 30,
      8192,
      700,
      0
    ])
  })

  it("are refused when they are none", () => {
    for (const text of ["", "MB", "3 parsecs", "-1", "1e9", "1,5MB", "0x10"]) assert.isUndefined(parseSize(text), text)
  })
})

describe("addresses", () => {
  it("are IP addresses with or without a port", () => {
    assert.deepStrictEqual(parseAddress("127.0.0.1", 4433), { host: "127.0.0.1", port: 4433 })
    assert.deepStrictEqual(parseAddress("[::1]:99", 4433), { host: "::1", port: 99 })
    assert.isUndefined(parseAddress("example.com:1", 0))
    assert.isUndefined(parseAddress("127.0.0.1:65536", 0))
  })

  it("of a server are names too, on port 4433 by default", () => {
    assert.deepStrictEqual(parseHostPort("example.com"), { host: "example.com", port: 4433 })
    assert.deepStrictEqual(parseHostPort("[2001:db8::1]:1"), { host: "2001:db8::1", port: 1 })
    for (const text of ["", ":4433", "a:0", "a:65536", "a b:1", "a/b", "user@a"])
      assert.isUndefined(parseHostPort(text), text)
  })

  it("of a path may name where it leaves from", () => {
    assert.deepStrictEqual(parseVia("b.example:7@192.0.2.1"), {
      remote: { host: "b.example", port: 7 },
      local: "192.0.2.1"
    })
    assert.deepStrictEqual(parseVia("192.0.2.9"), { remote: { host: "192.0.2.9", port: 4433 }, local: undefined })
    assert.isUndefined(parseVia("a:1@not an address"))
    assert.isUndefined(parseVia("@127.0.0.1"))
  })
})

const parse = (url: string) => Result.getOrUndefined(parseUrl(url))

describe("URLs", () => {
  it("name a server, a path and the file it is saved as", () => {
    assert.deepInclude(parse("https://example.com:99/a/b%20c.txt?v=1#x"), {
      host: "example.com",
      port: 99,
      path: "/a/b%20c.txt?v=1",
      name: "b c.txt"
    })
    assert.deepInclude(parse("[::1]/f"), { host: "::1", port: 4433, path: "/f", name: "f" })
    assert.deepInclude(parse("localhost"), { path: "/", name: "index.html" })
  })

  it("are encoded for the request, so that they cannot hold a second line", () => {
    assert.strictEqual(parse("h/a b\u00e9")?.path, "/a%20b%C3%A9")
    assert.notMatch(parse("h/a\r\nGET /b")?.path ?? "", /[\r\n ]/)
  })

  it("never lead out of the directory that files are saved in", () => {
    for (const url of ["h/..%2f..%2fetc%2fpasswd", "h/a%2Fb", "h/%5c..%5cx", "h/a%00b", "h/%0a"])
      assert.isUndefined(parse(url), url)
    // Dots in the path itself are resolved as in any URL.
    assert.deepInclude(parse("h/x/../../../etc/passwd"), { path: "/etc/passwd", name: "passwd" })
  })

  it("are refused with other schemes and ports out of range", () => {
    for (const url of ["http://h/f", "ftp://h/f", "h:0/f", "h:65536/f", "", "/f", "https://"])
      assert.isUndefined(parse(url), url)
  })
})

describe("policies by name", () => {
  const kebab = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  const path = {
    pathId: 0,
    maxDatagramSize: 1200,
    usable: true,
    rtt: { smoothed: 1, min: 1, latest: 1, variance: 1, hasSample: true }
  }

  for (const scheduler of schedulerNames) {
    it.effect(`--scheduler ${scheduler}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(kebab((yield* PathScheduler.PathScheduler)().name), scheduler)
      }).pipe(Effect.provide(layerPolicies({ scheduler, congestion: "cubic" })))
    )
  }

  for (const congestion of congestionNames) {
    it.effect(`--congestion ${congestion}`, () =>
      Effect.gen(function* () {
        const { name } = (yield* CongestionControl.CongestionControl)().make(path as never)
        assert.strictEqual(name.toLowerCase(), congestion)
      }).pipe(Effect.provide(layerPolicies({ scheduler: "delivery-rate", congestion })))
    )
  }
})
