import { assert, describe, it } from "@effect/vitest"
import { AttributeTypeAndValue, AttributeValue, RelativeDistinguishedName } from "@peculiar/asn1-x509"
import { matchesDns, normalizeDns, parseIp } from "../../../src/internal/tls/certificates/Names.ts"
import { intermediate, leaf, reissue, root, verdict, verify } from "./Fixtures.ts"

const ask = (names: ReadonlyArray<string>, serverName: string): string => {
  const anchor = root()
  return verdict(verify({ anchors: [anchor], chain: [leaf(anchor, { names })], serverName }))
}

describe("names (RFC 9525)", () => {
  it("DNS names match whole, whatever their case, with or without the final dot", () => {
    assert.strictEqual(ask(["a.example"], "A.Example."), "accepted")
    assert.strictEqual(ask(["A.EXAMPLE"], "a.example"), "accepted")
    assert.strictEqual(ask(["b.example", "a.example"], "a.example"), "accepted")
    assert.strictEqual(ask(["a.example"], "x.a.example"), "42 nameMismatch")
    assert.strictEqual(ask(["a.example"], "example"), "42 nameMismatch")
    assert.strictEqual(ask(["a.example"], "aaexample"), "42 nameMismatch")
  })

  it("internationalized names are compared as A-labels", () => {
    assert.strictEqual(ask(["xn--bcher-kva.example"], "bücher.example"), "accepted")
  })

  it("a wildcard is the whole leftmost label and stands for exactly one", () => {
    assert.isTrue(matchesDns("*.a.example", "x.a.example"))
    assert.isFalse(matchesDns("*.a.example", "a.example"))
    assert.isFalse(matchesDns("*.a.example", "x.y.a.example"))
    assert.isFalse(matchesDns("x*.a.example", "xy.a.example"))
    assert.isFalse(matchesDns("*x.a.example", "yx.a.example"))
    assert.isFalse(matchesDns("a.*.example", "a.b.example"))
    assert.isFalse(matchesDns("*.*.example", "a.b.example"))
    assert.isFalse(matchesDns("*.example", "a.example"), "no wildcard over a top-level domain")
    assert.isFalse(matchesDns("*", "example"))
    assert.isFalse(matchesDns("*.", "example"))
    assert.strictEqual(ask(["*.a.example"], "x.a.example"), "accepted")
    assert.strictEqual(ask(["*.a.example"], "a.example"), "42 nameMismatch")
  })

  it("IP addresses match addresses, never DNS names or wildcards", () => {
    assert.strictEqual(ask(["192.0.2.1"], "192.0.2.1"), "accepted")
    assert.strictEqual(ask(["192.0.2.1"], "192.0.2.2"), "42 nameMismatch")
    assert.strictEqual(ask(["2001:db8::1"], "2001:0db8:0:0::1"), "accepted")
    assert.strictEqual(ask(["2001:db8::1"], "[2001:db8::1]"), "accepted")
    assert.strictEqual(ask(["192.0.2.1"], "::ffff:192.0.2.1"), "accepted")
    assert.strictEqual(ask(["2001:db8::1"], "2001:db8::2"), "42 nameMismatch")
    assert.isFalse(matchesDns("*.0.2.1", "192.0.2.1.x"))
    assert.strictEqual(ask(["a.example"], "192.0.2.1"), "42 nameMismatch")
  })

  it("the common name does not count", () => {
    const anchor = root()
    const end = leaf(anchor, { subject: "a.example", names: [] })
    const failure = verify({ anchors: [anchor], chain: [end] })
    assert.strictEqual(verdict(failure), "42 nameMismatch")
    assert.include(failure?.message, "common names do not count")
  })

  it("the message names what the certificate is for, and what to do", () => {
    const anchor = root()
    const failure = verify({ anchors: [anchor], chain: [leaf(anchor)], serverName: "b.example" })
    assert.strictEqual(
      failure?.message,
      "the certificate is for a.example, not b.example; connect by a name it is for, or pass serverName"
    )
  })

  it("what is neither a name nor an address is never matched", () => {
    for (const serverName of ["", "a..example", "a.example\0.b", "*.a.example", "a b", "x".repeat(64) + ".example"]) {
      assert.strictEqual(ask(["*.a.example", "a.example"], serverName), "42 nameMismatch", JSON.stringify(serverName))
    }
    assert.isUndefined(normalizeDns("."))
  })

  it("addresses in text become their bytes", () => {
    assert.deepStrictEqual(parseIp("127.0.0.1"), Uint8Array.of(127, 0, 0, 1))
    assert.deepStrictEqual([...(parseIp("::1") ?? [])], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    assert.deepStrictEqual([...(parseIp("fe80::1%eth0") ?? [])].slice(0, 2), [0xfe, 0x80])
    assert.strictEqual(parseIp("64:ff9b::192.0.2.33")?.[15], 33)
    assert.isUndefined(parseIp("localhost"))
    assert.isUndefined(parseIp("1.2.3"))
  })
})

const under = (
  nameConstraints: { permitted?: ReadonlyArray<string>; excluded?: ReadonlyArray<string> },
  names: ReadonlyArray<string>,
  serverName = names[0]!
) => {
  const anchor = root()
  const middle = intermediate(anchor, { nameConstraints })
  return verdict(
    verify({
      anchors: [anchor],
      chain: [leaf(middle, { names }), middle],
      serverName: serverName.replace(/^\*/, "x")
    })
  )
}

/** A NameConstraints extension that permits one base: SEQUENCE { [0] { SEQUENCE { base } } }. */
const permittedOnly = (...base: Array<number>) => ({
  id: "2.5.29.30",
  critical: true,
  value: Uint8Array.of(0x30, base.length + 4, 0xa0, base.length + 2, 0x30, base.length, ...base)
})

/** A directoryName of one common name, encoded. */
const directoryName = (commonName: string) => {
  const value = [0x0c, commonName.length, ...Buffer.from(commonName)]
  const attribute = [0x30, value.length + 5, 0x06, 0x03, 0x55, 0x04, 0x03, ...value]
  const set = [0x31, attribute.length, ...attribute]
  return [0xa4, set.length + 2, 0x30, set.length, ...set]
}

describe("name constraints (RFC 5280 section 4.2.1.10)", () => {
  it("permitted DNS names", () => {
    assert.strictEqual(under({ permitted: ["example"] }, ["a.example"]), "accepted")
    assert.strictEqual(under({ permitted: ["a.example"] }, ["a.example"]), "accepted")
    assert.strictEqual(under({ permitted: ["a.example"] }, ["xa.example"]), "42 badUsage")
    assert.strictEqual(under({ permitted: [".a.example"] }, ["a.example"]), "42 badUsage")
    assert.strictEqual(under({ permitted: [".a.example"] }, ["b.a.example"]), "accepted")
    assert.strictEqual(under({ permitted: ["other", "example"] }, ["a.example"]), "accepted")
    assert.strictEqual(under({ permitted: ["a.example"] }, ["a.example", "b.example"]), "42 badUsage")
    assert.strictEqual(under({ permitted: ["a.example"] }, ["*.a.example"]), "accepted")
    assert.strictEqual(under({ permitted: ["x.a.example"] }, ["*.a.example"]), "42 badUsage")
  })

  it("excluded DNS names, also under a wildcard that would stand for them", () => {
    assert.strictEqual(under({ excluded: ["b.example"] }, ["a.example"]), "accepted")
    assert.strictEqual(under({ excluded: ["a.example"] }, ["A.EXAMPLE"]), "42 badUsage")
    assert.strictEqual(under({ excluded: ["example"] }, ["a.example"]), "42 badUsage")
    assert.strictEqual(under({ excluded: ["y.a.example"] }, ["*.a.example"]), "42 badUsage")
    assert.strictEqual(under({ excluded: ["z.y.a.example"] }, ["*.a.example"]), "accepted")
  })

  it("IP networks", () => {
    assert.strictEqual(under({ permitted: ["192.0.2.0/24"] }, ["192.0.2.9"]), "accepted")
    assert.strictEqual(under({ permitted: ["192.0.2.0/24"] }, ["192.0.3.9"]), "42 badUsage")
    assert.strictEqual(under({ permitted: ["192.0.2.0/24"] }, ["2001:db8::1"]), "42 badUsage")
    assert.strictEqual(under({ excluded: ["2001:db8::/32"] }, ["2001:db8::1"]), "42 badUsage")
    assert.strictEqual(under({ excluded: ["0.0.0.0/0", "::/0"] }, ["192.0.2.1"]), "42 badUsage")
    assert.strictEqual(under({ excluded: ["0.0.0.0/0"] }, ["a.example"]), "accepted")
  })

  it("masks that are no prefix are taken as they are", () => {
    const anchor = root()
    // Permitted: 10.x.7.x.
    const extensions = [permittedOnly(0x87, 0x08, 10, 0, 7, 0, 255, 0, 255, 0)]
    const middle = intermediate(anchor, { extensions })
    const askFor = (ip: string) =>
      verdict(verify({ anchors: [anchor], chain: [leaf(middle, { names: [ip] }), middle], serverName: ip }))
    assert.strictEqual(askFor("10.9.7.1"), "accepted")
    assert.strictEqual(askFor("10.0.8.1"), "42 badUsage")
  })

  it("constraints hold for all below, from a root too, and several must all hold", () => {
    const anchor = root({ nameConstraints: { permitted: ["example"] } })
    const middle = intermediate(anchor, { nameConstraints: { excluded: ["b.example"] } })
    const askFor = (name: string) =>
      verdict(verify({ anchors: [anchor], chain: [leaf(middle, { names: [name] }), middle], serverName: name }))
    assert.strictEqual(askFor("a.example"), "accepted")
    assert.strictEqual(askFor("b.example"), "42 badUsage")
    assert.strictEqual(askFor("a.test"), "42 badUsage")
  })

  it("directory names are prefixes whatever their case; e-mail constraints only touch who has e-mail names", () => {
    const anchor = root()
    const askUnder = (...base: Array<number>) => {
      const middle = intermediate(anchor, { extensions: [permittedOnly(...base)] })
      return verify({ anchors: [anchor], chain: [leaf(middle), middle] })
    }
    assert.isUndefined(askUnder(...directoryName("leaf")))
    assert.strictEqual(verdict(askUnder(...directoryName("other"))), "42 badUsage")
    assert.isUndefined(askUnder(0x81, 0x01, 0x61))
    const malformed = askUnder(0x82, 0x05)
    assert.strictEqual(verdict(malformed), "48 unknownAuthority")
    assert.include(malformed?.message, "name constraints that do not decode")
  })

  /** What comes of a leaf with this name, encoded with its tag, below an authority that may speak for `base`. */
  const tagged = (tag: number, base: string, name: string, excluded = false) => {
    const anchor = root()
    const constraint = permittedOnly(tag, base.length, ...Buffer.from(base))
    if (excluded) constraint.value[2] = 0xa1
    const middle = intermediate(anchor, { extensions: [constraint] })
    const all = [0x82, 9, ...Buffer.from("a.example"), tag, name.length, ...Buffer.from(name)]
    const value = Uint8Array.of(0x30, all.length, ...all)
    const end = leaf(middle, { names: [], extensions: [{ id: "2.5.29.17", critical: false, value }] })
    return verdict(verify({ anchors: [anchor], chain: [end, middle] }))
  }

  it("B10: e-mail addresses are held against e-mail constraints: mailboxes, hosts and domains", () => {
    for (const [base, address, expected] of [
      ["b.example", "a@b.example", "accepted"],
      ["B.Example", "a@b.EXAMPLE", "accepted"],
      ["b.example", "a@c.b.example", "42 badUsage"],
      [".b.example", "a@c.b.example", "accepted"],
      [".b.example", "a@b.example", "42 badUsage"],
      ["a@b.example", "a@b.example", "accepted"],
      ["a@b.example", "A@b.example", "42 badUsage"],
      ["a@b.example", "c@b.example", "42 badUsage"],
      ["", "a@b.example", "accepted"],
      [".", "a@b.example", "42 badUsage"],
      ["b.example", "b.example", "42 badUsage"],
      ["b.example", "@b.example", "42 badUsage"],
      ["b.example", '"a@x"@b.example', "accepted"]
    ] as const) {
      assert.strictEqual(tagged(0x81, base, address), expected, `${address} below ${base}`)
    }
    assert.strictEqual(tagged(0x81, "b.example", "a@b.example", true), "42 badUsage")
    assert.strictEqual(tagged(0x81, "b.example", "a@c.example", true), "accepted")
  })

  it("B10: URIs are held against URI constraints by their host, and refused where they have none", () => {
    for (const [base, uri, expected] of [
      ["b.example", "https://b.example/x", "accepted"],
      ["b.example", "https://u:p@B.example:8443?q", "accepted"],
      ["b.example", "https://c.b.example", "42 badUsage"],
      [".b.example", "https://c.b.example", "accepted"],
      ["b.example", "urn:b.example", "42 badUsage"],
      ["b.example", "https://192.0.2.1/", "42 badUsage"],
      ["b.example", "https://[2001:db8::1]/", "42 badUsage"],
      ["https://b.example", "https://b.example", "42 badUsage"]
    ] as const) {
      assert.strictEqual(tagged(0x86, base, uri), expected, `${uri} below ${base}`)
    }
    assert.strictEqual(tagged(0x86, "b.example", "https://b.example/", true), "42 badUsage")
    assert.strictEqual(tagged(0x86, "b.example", "https://c.example/", true), "accepted")
    assert.strictEqual(tagged(0x86, "b.example", "urn:x", true), "42 badUsage")
  })

  it("a dot alone covers nothing, and a final dot makes no difference", () => {
    assert.strictEqual(tagged(0x82, ".", "b.example"), "42 badUsage")
    assert.strictEqual(tagged(0x82, "example.", "b.example"), "accepted")
    assert.strictEqual(tagged(0x82, "b.example.", "b.example", true), "42 badUsage")
  })

  it("e-mail constraints hold for subjects with an e-mail address too", () => {
    const anchor = root()
    const middle = intermediate(anchor, { extensions: [permittedOnly(0x81, 0x01, 0x61)] })
    const end = reissue(leaf(middle), middle, ({ tbsCertificate }) => {
      const value = new AttributeValue({ ia5String: "a@b.example" })
      const address = new AttributeTypeAndValue({ type: "1.2.840.113549.1.9.1", value })
      tbsCertificate.subject.push(new RelativeDistinguishedName([address]))
    })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [end, middle] })), "42 badUsage")
  })

  it("self-issued authorities in between are not held to them (RFC 5280 section 6.1.3)", () => {
    const anchor = root({ subject: "Outer", extensions: [permittedOnly(...directoryName("leaf"))] })
    const rolled = intermediate(anchor, { subject: "Outer" })
    assert.isUndefined(verify({ anchors: [anchor], chain: [leaf(rolled), rolled] }))
  })

  it("minimum and maximum, which RFC 5280 rules out, are not passed over", () => {
    const anchor = root()
    const value = Uint8Array.of(0x30, 0x0a, 0xa0, 0x08, 0x30, 0x06, 0x82, 0x01, 0x65, 0x80, 0x01, 0x01)
    const middle = intermediate(anchor, { extensions: [{ id: "2.5.29.30", critical: true, value }] })
    const failure = verify({ anchors: [anchor], chain: [leaf(middle, { names: ["a.e"] }), middle], serverName: "a.e" })
    assert.include(failure?.message, "name constraints that do not decode")
  })

  it("a constraint on a kind of name that is not understood refuses certificates with such a name", () => {
    const anchor = root()
    const middle = intermediate(anchor, { extensions: [permittedOnly(0x88, 0x01, 0x2a)] })
    // SEQUENCE { [2] "a.example", [8] 1.2 }
    const names = Uint8Array.of(0x30, 0x0e, 0x82, 0x09, ...Buffer.from("a.example"), 0x88, 0x01, 0x2a)
    const end = leaf(middle, { names: [], extensions: [{ id: "2.5.29.17", critical: false, value: names }] })
    assert.strictEqual(verdict(verify({ anchors: [anchor], chain: [end, middle] })), "42 badUsage")
  })

  it("too many names and constraints to compare are refused", () => {
    const many = Array.from({ length: 400 }, (_, i) => `n${i}.example`)
    assert.strictEqual(under({ permitted: [...many, "example"] }, ["a.example", ...many]), "42 badUsage")
  })
})
