/**
 * What the worst handshake messages of a stranger cost that we could make: the table of SECURITY.md. Run it with
 * `node --expose-gc scripts/hostile-cost.ts`, several times or on a quiet machine. Times are wall clock: `cold` is the first
 * message of its kind in this process, whose code is not compiled yet, `warm` the median of the 40 that follow. They depend on
 * the machine; what tests check instead is counted work.
 */
import { AsnConvert } from "@peculiar/asn1-schema"
import { SubjectPublicKeyInfo } from "@peculiar/asn1-x509"
import { createPublicKey, randomBytes } from "node:crypto"
import { generateKey, issueCertificate } from "../src/internal/tls/certificates/IssueCertificate.ts"
import type { Issued, IssueOptions } from "../src/internal/tls/certificates/IssueCertificate.ts"
import { CryptoStream } from "../src/internal/streams/CryptoStream.ts"
import { trustAnchors } from "../src/internal/tls/certificates/Trust.ts"
import {
  ExtensionType,
  encodeAlpn,
  encodeClientShares,
  encodeUint16,
  encodeUint16List
} from "../src/internal/tls/Extensions.ts"
import {
  HandshakeType,
  MESSAGE_HEADER,
  RETRY_RANDOM,
  decodeClientHello,
  encodeCertificate,
  encodeCertificateRequest,
  encodeCertificateVerify,
  encodeClientHello,
  encodeEncryptedExtensions,
  encodeNewSessionTicket,
  encodeServerHello
} from "../src/internal/tls/Messages.ts"
import { reissue } from "../test/tls/certificates/Fixtures.ts"
import { WALL_TIME, Level, connected, pair } from "../test/tls/loopback.ts"
import type { Pair, PairOptions, Side } from "../test/tls/loopback.ts"

const RUNS = 41

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

/** A session that waits for `message`. */
interface Target {
  readonly side: Side
  readonly level: Level
  readonly message: Uint8Array
}

const report = (name: string, make: () => Target): void => {
  const times: Array<number> = []
  let said = ""
  let size = 0
  for (let run = 0; run < RUNS; run++) {
    const { level, message, side } = make()
    const start = performance.now()
    const failure = side.session.receive(level, message)
    times.push(performance.now() - start)
    size = message.length
    said = failure === undefined ? "taken" : `alert ${failure.alert}`
  }
  const cold = times.shift()!
  const warm = times.toSorted((a, b) => a - b)[times.length >> 1]!
  print(`| ${name} | ${size} | ${cold.toFixed(2)} | ${warm.toFixed(2)} | ${said} |`)
}

/** Runs a handshake up to the moment in which `from` would send a message of this type. */
const upTo = (
  type: number,
  from: "client" | "server",
  options: PairOptions = {}
): { both: Pair; to: Side; level: Level } => {
  const both = pair(options)
  const { client, server } = both
  client.session.start()
  for (;;) {
    for (const [sender, receiver, name] of [
      [client, server, "client"],
      [server, client, "server"]
    ] as const) {
      for (const { bytes, level } of sender.output.sent.splice(0)) {
        if (name === from && bytes[0] === type) return { both, to: receiver, level }
        const failure = receiver.session.receive(level, bytes)
        if (failure !== undefined) throw new Error(failure.message)
      }
    }
  }
}

const replacing =
  (type: number, from: "client" | "server", message: Uint8Array, options?: PairOptions): (() => Target) =>
  () => {
    const { level, to } = upTo(type, from, options)
    return { side: to, level, message }
  }

const numbers = (count: number, from: number) => Array.from({ length: count }, (_, i) => from + i)
const repeated = (count: number, bytes: Uint8Array) => Buffer.alloc(count * bytes.length, bytes)
/** A vector of TLS with a length of two bytes. */
const vector = (bytes: Uint8Array) => Buffer.concat([Buffer.of(bytes.length >> 8, bytes.length & 0xff), bytes])

// ClientHello.

const first = pair()
first.client.session.start()
const hello = decodeClientHello(first.client.output.sent[0]!.bytes.subarray(MESSAGE_HEADER))
const helloWith = (...extensions: ReadonlyArray<readonly [number, Uint8Array]>) =>
  encodeClientHello({ ...hello, extensions: new Map([...hello.extensions, ...extensions]) })
const groups = numbers(2200, 0x2000)
const shares = groups.toReversed().map((group) => ({ group, keyExchange: Uint8Array.of(1) }))
const clientHellos: ReadonlyArray<readonly [string, Uint8Array]> = [
  ["ClientHello as usual", helloWith()],
  ["ClientHello, 7,900 suites", encodeClientHello({ ...hello, cipherSuites: [...numbers(7900, 0x2000), 0x1301] })],
  [
    "ClientHello, 7,900 groups",
    helloWith([ExtensionType.supportedGroups, encodeUint16List([...numbers(7900, 0x2000), 29])])
  ],
  [
    "ClientHello, 2,200 groups with shares",
    helloWith(
      [ExtensionType.supportedGroups, encodeUint16List([29, ...groups])],
      [ExtensionType.keyShare, encodeClientShares(shares)]
    )
  ],
  [
    "ClientHello, 3,900 extensions",
    helloWith(...numbers(3900, 0x4000).map((type) => [type, new Uint8Array(0)] as const))
  ],
  [
    "ClientHello, 7,900 protocols",
    helloWith([
      ExtensionType.alpn,
      vector(Buffer.concat([repeated(7900, Buffer.of(1, 65)), encodeAlpn(["hq-interop"]).subarray(2)]))
    ])
  ],
  [
    "ClientHello, 5,300 authorities",
    helloWith([ExtensionType.certificateAuthorities, vector(repeated(5300, Buffer.of(0, 1, 65)))])
  ]
]

// Certificates.

const key = generateKey("ecdsa")
const issue = (options: Partial<IssueOptions> & { readonly subject: string }): Issued =>
  issueCertificate({
    key,
    notBefore: WALL_TIME - 86_400_000,
    notAfter: WALL_TIME + 86_400_000,
    random: randomBytes,
    ...options
  })
const names = ["server.example"]
const anchors = (["ecdsa", "rsa"] as const).map((kind) => {
  const own = generateKey(kind, 4096)
  const anchor = issue({ subject: "Root", key: own, authority: {} })
  const impostor = issue({ subject: "Root", authority: {} })
  const fakes = Array.from({ length: 31 }, () => issue({ subject: "Middle", authority: {}, issuer: impostor }))
  const leaf = issue({ subject: "Leaf", names, issuer: fakes[0] })
  return { kind, anchor, chain: [leaf, ...fakes].map(({ certificate }) => certificate) }
})
const ecdsa = anchors[0]!
const trusting: PairOptions = { client: { verifyServer: trustAnchors([ecdsa.anchor.certificate]) } }

const allBits = (bits: number) => {
  const bytes = Buffer.alloc(Math.ceil(bits / 8), 0xff)
  if (bits % 8 !== 0) bytes[0] = (1 << (bits % 8)) - 1
  return bytes.toString("base64url")
}

/** RSA with all bits set: nobody needs to hold the private key. */
const withRsa = (issued: Issued, signer: Issued, modulusBits: number, exponentBits: number): Issued => {
  const jwk = { kty: "RSA", n: allBits(modulusBits), e: allBits(exponentBits) }
  const spki = createPublicKey({ key: jwk, format: "jwk" }).export({ format: "der", type: "spki" })
  return reissue(
    issued,
    signer,
    ({ tbsCertificate }) => {
      tbsCertificate.subjectPublicKeyInfo = AsnConvert.parse(spki, SubjectPublicKeyInfo)
    },
    () => Buffer.alloc(70)
  )
}

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>) => {
  const contents = Buffer.concat(parts)
  const { length } = contents
  return Buffer.concat([
    length < 128 ? Buffer.of(tag, length) : Buffer.of(tag, 0x82, length >> 8, length & 0xff),
    contents
  ])
}
const someName = der(0x82, Buffer.from("a.b"))
const manyNames = {
  id: "2.5.29.17",
  critical: false,
  value: der(0x30, der(0x82, Buffer.from("server.example")), repeated(1023, someName))
}
const subtrees = repeated(1024, der(0x30, someName))
const manyConstraints = {
  id: "2.5.29.30",
  critical: false,
  value: der(0x30, der(0xa0, subtrees), der(0xa1, subtrees))
}
const constrained = issue({ subject: "Middle", issuer: ecdsa.anchor, authority: {}, extensions: [manyConstraints] })
/** As many names, constraints, purposes and extensions as are read. */
const crowded = issue({
  subject: "Middle",
  issuer: ecdsa.anchor,
  authority: {},
  extendedKeyUsage: Array.from({ length: 64 }, () => "1.2"),
  extensions: [
    manyNames,
    manyConstraints,
    ...numbers(50, 0).map((i) => ({ id: `1.2.3.${i}`, critical: false, value: new Uint8Array(0) }))
  ]
})
const crowdedLeaf = issue({ subject: "Leaf", names, issuer: crowded })
const certificates: ReadonlyArray<readonly [string, ReadonlyArray<Uint8Array>, PairOptions]> = [
  [
    "Certificate as usual, by an unknown authority",
    [issue({ subject: "Leaf", names, issuer: issue({ subject: "Other", authority: {} }) }).certificate],
    trusting
  ],
  ...anchors.map(
    ({ anchor, chain, kind }) =>
      [
        `Certificate, 31 forged authorities of an ${kind === "rsa" ? "RSA-4096" : "ECDSA"} anchor's name`,
        chain,
        { client: { verifyServer: trustAnchors([anchor.certificate]) } }
      ] as const
  ),
  [
    "Certificate, 31 authorities with exponents of 3071 bits",
    [
      issue({ subject: "Leaf", names, issuer: crowded }).certificate,
      ...numbers(31, 0).map(
        () =>
          withRsa(issue({ subject: "Middle", authority: {}, issuer: ecdsa.anchor }), ecdsa.anchor, 3072, 3071)
            .certificate
      )
    ],
    trusting
  ],
  [
    "Certificate, as much to read as fits",
    // Others by their serial numbers.
    [crowdedLeaf.certificate, ...numbers(3, 1).map((serial) => crowded.certificate.with(20, serial))],
    trusting
  ],
  [
    "Certificate, 1,024 names below an authority with 2,048 constraints (trusted)",
    [issue({ subject: "Leaf", issuer: constrained, extensions: [manyNames] }).certificate, constrained.certificate],
    trusting
  ],
  [
    "Certificate, whoever signed it, exponent of 3071 bits",
    [withRsa(issue({ subject: "Leaf", names }), ecdsa.anchor, 3072, 3071).certificate],
    {}
  ]
]

// Others.

const rsa8192 = withRsa(issue({ subject: "Leaf", names }), ecdsa.anchor, 8192, 33)
const asked: PairOptions = { server: { clientAuth: "request", verifyClient: () => undefined } }

print("| message | bytes | cold, ms | warm, ms | outcome |\n| --- | ---: | ---: | ---: | --- |")
for (const [name, message] of clientHellos) report(name, () => ({ side: pair().server, level: Level.initial, message }))
report(
  "HelloRetryRequest, cookie of 16 kB",
  replacing(
    HandshakeType.serverHello,
    "server",
    encodeServerHello({
      random: RETRY_RANDOM,
      cipherSuite: 0x1301,
      extensions: new Map([
        [ExtensionType.supportedVersions, encodeUint16(0x0304)],
        [ExtensionType.cookie, vector(new Uint8Array(16_200))]
      ])
    })
  )
)
report("ServerHello as usual", () => {
  const { both, level, to } = upTo(HandshakeType.serverHello, "server")
  const again = pair()
  again.client.session.start()
  again.server.session.receive(Level.initial, again.client.output.sent[0]!.bytes)
  void both
  return { side: to, level, message: again.server.output.sent[0]!.bytes }
})
report(
  "EncryptedExtensions, 3,900 extensions",
  replacing(
    HandshakeType.encryptedExtensions,
    "server",
    encodeEncryptedExtensions(new Map(numbers(3900, 0x4000).map((type) => [type, new Uint8Array(0)])))
  )
)
report(
  "CertificateRequest, 5,300 authorities",
  replacing(
    HandshakeType.certificateRequest,
    "server",
    encodeCertificateRequest(
      new Map<number, Uint8Array>([
        [ExtensionType.signatureAlgorithms, encodeUint16List([0x0403])],
        [ExtensionType.certificateAuthorities, vector(repeated(5300, Buffer.of(0, 1, 65)))]
      ])
    ),
    asked
  )
)
for (const [name, chain, options] of certificates) {
  report(name, replacing(HandshakeType.certificate, "server", encodeCertificate(chain), options))
}
report("CertificateVerify, RSA-8192 with an exponent of 33 bits", () => {
  const { level, to } = upTo(HandshakeType.certificate, "server")
  to.session.receive(level, encodeCertificate([rsa8192.certificate]))
  return { side: to, level, message: encodeCertificateVerify({ scheme: 0x0806, signature: Buffer.alloc(1024, 0x55) }) }
})
report(
  "Finished, 16 kB",
  replacing(HandshakeType.finished, "server", Buffer.concat([Buffer.of(20, 0, 0x40, 0), Buffer.alloc(16_384)]))
)
const ticket = {
  lifetime: 60,
  ageAdd: 0,
  nonce: Uint8Array.of(1),
  ticket: new Uint8Array(16_000),
  extensions: new Map()
}
report("NewSessionTicket, 16 kB", () => ({
  side: connected().client,
  level: Level.oneRtt,
  message: encodeNewSessionTicket(ticket)
}))

// Memory.

const SESSIONS = 400

const used = () => {
  for (let i = 0; i < 3; i++) globalThis.gc!()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const memory = (name: string, make: () => unknown): void => {
  if (globalThis.gc === undefined) return
  const kept: Array<unknown> = Array.from({ length: SESSIONS }, make)
  const before = used()
  for (let i = 0; i < SESSIONS; i++) kept.push(make())
  const each = (used() - before) / SESSIONS
  print(`| ${name} | ${(each / 1024).toFixed(1)} |`)
  kept.length = 0
}

const fed = (message: Uint8Array): Side => {
  const { server } = pair()
  server.session.receive(Level.initial, message)
  server.output.sent.length = 0
  return server
}

print("\n| TLS of one half-open connection (server) | kB |\n| --- | ---: |")
memory("after a usual ClientHello", () => fed(clientHellos[0]![1]))
memory("after a ClientHello of 16 kB, answered", () => fed(clientHellos[4]![1]))
memory("after a ClientHello of 16 kB, answered with a HelloRetryRequest", () => fed(clientHellos[3]![1]))
memory("after a ClientHello of 16 kB without its last byte", () => fed(clientHellos[4]![1].subarray(0, -1)))
memory("three bytes of CRYPTO data behind gaps (each connection)", () => {
  const stream = new CryptoStream(Level.initial)
  for (const offset of [100, 3000, 8191]) stream.onFrame(offset, Uint8Array.of(0), 0, 1)
  return stream
})
memory("waiting for the end of a Certificate of 64 kB (address validated)", () => {
  const { level, to } = upTo(HandshakeType.certificate, "client", {
    server: { clientAuth: "require", verifyClient: () => undefined }
  })
  to.session.receive(level, Buffer.concat([Buffer.of(11, 1, 0, 0), Buffer.alloc(65_535)]))
  return to
})
