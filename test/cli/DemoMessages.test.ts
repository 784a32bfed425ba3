import { assert, describe, it } from "@effect/vitest"
import { isOrder } from "../../src/cli/DemoMessages.ts"
import type { Order } from "../../src/cli/DemoMessages.ts"

describe("orders to the processes of the demonstration", () => {
  const policies = { scheduler: "round-robin", congestion: "cubic" } as const
  const remote = { host: "127.0.0.1", port: 1 }
  const orders: ReadonlyArray<Order> = [
    { type: "Serve", root: "/tmp", ...policies },
    // Where 127.0.0.2 is no address, the second path has no local one.
    {
      type: "Get",
      path: "/f",
      file: "/tmp/f",
      paths: [
        { local: "127.0.0.1", remote },
        { local: undefined, remote }
      ],
      pin: "",
      ...policies
    },
    { type: "Cut" },
    { type: "Report" }
  ]

  it("are understood after their way through JSON", () => {
    for (const order of orders) assert.isTrue(isOrder(JSON.parse(JSON.stringify(order))), order.type)
  })

  it("are nothing else", () => {
    for (const value of [undefined, null, {}, { type: "Stop" }, { type: "Serve", root: 1 }])
      assert.isFalse(isOrder(value))
  })
})
