/**
 * Sockets that are full at one moment or another: nothing that is to be said is lost by it. Whatever was noted as said and had
 * not left would come after a probe timeout, a repeated challenge or the patience with a silent peer: much later than the
 * socket has room again.
 */
import { assert, describe, it } from "@effect/vitest"
import { writePadding, writePathChallenge } from "../../src/internal/wire/FrameWriter.ts"
import { PathError } from "../../src/internal/wire/Protocol.ts"
import type { Connection } from "../../src/internal/connection/Connection.ts"
import { capture, frames, inject } from "../support/Hostile.ts"
import { Pair } from "../support/Machines.ts"
import type { NodeOptions } from "../support/Machines.ts"
import { eventsOf, pairOptions } from "../support/Multipath.ts"
import { established, send } from "../support/Scenario.ts"
import type { Incoming } from "../support/Scenario.ts"

/** ms: one way, and for how long a socket is full. */
const DELAY = 60
const WAIT = 7
/** ms that a step may take longer: the wait, on both sides and for each round trip of it, and an acknowledgement's delay. */
const SLACK = 4 * WAIT + 25

interface Step {
  readonly name: string
  readonly begin: (pair: Pair) => void
  readonly done: (pair: Pair) => boolean
}

const path = (connection: Connection, id: number) => connection.path(id)
let incoming: ReadonlyArray<Incoming> = []

const steps: ReadonlyArray<Step> = [
  {
    name: "the handshake is confirmed",
    begin: () => {},
    done: (pair) => pair.connection.confirmed && pair.server.accepted[0]?.confirmed === true
  },
  {
    name: "both sides have their connection IDs",
    begin: () => {},
    done: (pair) =>
      typeof pair.connection.openPath({ local: pair.client.addresses[1]! }, pair.simulator.now) === "number"
  },
  {
    name: "a path is validated",
    begin: () => {},
    done: (pair) => path(pair.connection, 1)!.validated && path(pair.accepted, 1)?.validated === true
  },
  {
    name: "the client hears that it works",
    begin: (pair) => void pair.connection.probePath(0, pair.simulator.now),
    done: (pair) => eventsOf(pair.client, "probed").length > 0
  },
  {
    name: "its status reaches the server",
    begin: (pair) => void pair.connection.setPathStatus(1, "backup"),
    done: (pair) => path(pair.accepted, 1)!.remoteStatus === "backup"
  },
  {
    name: "messages cross",
    begin: (pair) => {
      incoming = [send(pair.connection, pair.accepted, 20_000), send(pair.accepted, pair.connection, 20_000)]
    },
    done: () => incoming.every(({ finished }) => finished)
  },
  {
    name: "datagrams cross",
    begin: (pair) => {
      for (const connection of [pair.connection, pair.accepted]) {
        for (let i = 0; i < 5; i++) connection.datagrams.push(new Uint8Array(900))
      }
    },
    done: (pair) => [pair.connection, pair.accepted].every(({ datagrams }) => datagrams.incomingCount === 5)
  },
  {
    name: "keys are updated",
    begin: (pair) => {
      pair.connection.updateKeys(pair.simulator.now)
      pair.connection.core.pingPending = true
    },
    done: (pair) => pair.accepted.stats().keyUpdates > 0
  },
  {
    name: "the path moves",
    begin: (pair) => {
      const elsewhere = pair.client.addresses[2]!
      assert.isUndefined(pair.connection.migratePath(1, elsewhere, false, pair.simulator.now))
    },
    done: (pair) =>
      path(pair.connection, 1)!.previous === undefined &&
      path(pair.accepted, 1)!.remote === pair.client.addresses[2] &&
      path(pair.accepted, 1)!.validated
  },
  {
    name: "the path is closed on both sides",
    begin: (pair) => void pair.connection.closePath(1, PathError.applicationAbandon, pair.simulator.now),
    done: (pair) => path(pair.accepted, 1)?.open !== true && path(pair.connection, 1)?.abandonReceived !== false
  },
  {
    name: "the connection ends on both sides",
    begin: (pair) => pair.accepted.close(7, "done", pair.simulator.now),
    done: (pair) => pair.client.closes.length > 0 && pair.server.closes.length > 0
  }
]

/** ms that each step takes. */
const run = (
  client: NodeOptions["socket"],
  server: NodeOptions["socket"],
  label: string,
  slab?: number
): ReadonlyArray<number> => {
  const link = { mbps: 50, delay: DELAY, queue: 200 }
  const options = pairOptions({ links: [link, link, link] })
  const pair = new Pair({
    ...options,
    client: { ...options.client, slab, socket: client },
    server: { ...options.server, slab, socket: server }
  })
  return steps.map(({ name, begin, done }) => {
    const start = pair.simulator.now
    begin(pair)
    pair.connection.wake()
    pair.server.accepted[0]?.wake()
    const end = pair.until(() => done(pair), start + 10_000)
    assert.isAtLeast(end, 0, `${label}: ${name}`)
    return end - start
  })
}

/** Bytes that take one packet of each of three paths: every further one finds that those before it must leave. */
const SMALL = 3 * 1500

describe("Sockets that are full at one moment or another", () => {
  const usual = run(undefined, undefined, "never full")

  /** One side's socket is full; things take no longer than that, whatever was about to leave. */
  const check = (side: "client" | "server", socket: NodeOptions["socket"], label: string, slab?: number): void => {
    const [client, server] = side === "client" ? [socket, undefined] : [undefined, socket]
    for (const [i, time] of run(client, server, label, slab).entries()) {
      assert.isAtMost(time, usual[i]! + SLACK, `${label}: ${steps[i]!.name}`)
    }
  }

  for (const side of ["client", "server"] as const) {
    it(`the ${side}'s, once, after each number of transmits`, () => {
      for (let transmits = 1; transmits <= 20; transmits++) {
        check(side, { transmits, wait: WAIT, once: true }, `after ${transmits}`)
        check(side, { transmits, wait: WAIT, once: true }, `after ${transmits}, packets one by one`, SMALL)
      }
    })

    it(`the ${side}'s, again and again`, () => {
      for (let transmits = 1; transmits <= 6; transmits++) {
        check(side, { transmits, wait: WAIT / transmits }, `after each ${transmits}`)
        check(side, { transmits, wait: WAIT / transmits }, `after each ${transmits}, packets one by one`, SMALL)
      }
    })
  }

  it("answers to several addresses, and several probes, wait for room", () => {
    for (let transmits = 1; transmits <= 6; transmits++) {
      const pair = established({ server: { slab: 1500 } })
      pair.run(pair.simulator.now + 500)
      pair.server.socket = { transmits, wait: WAIT, once: true }
      const answered = capture(pair.server)
      const places = [1, 2, 3].map((i) => pair.simulator.addresses.intern("10.0.7.1", 7000 + i))
      for (const place of places) {
        const challenge = frames((w) => {
          writePathChallenge(w, new Uint8Array(8).fill(transmits))
          writePadding(w, 1150)
        })
        inject(pair.simulator, pair.connection, challenge, { from: place })
      }
      pair.accepted.paths[0]!.probes = 3
      pair.run(pair.simulator.now + 10 + 2 * WAIT)
      for (const place of places)
        assert.isTrue(
          answered.some(({ to }) => to === place),
          `full after ${transmits}: ${place.key}`
        )
      assert.isAtLeast(answered.length, 6, `full after ${transmits}`)
    }
  })
})
