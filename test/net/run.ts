/**
 * The library on real interfaces: network namespaces and veth links that come and go, in every lane. Needs Linux, root and
 * the programs `ip` and `tc`; says so and exits with 77 where it cannot run. An argument keeps the cases whose name contains
 * it.
 */
import { runCases } from "./Cases.ts"
import { addresses } from "./cases/addresses.ts"
import { autopaths } from "./cases/autopaths.ts"
import { held } from "./cases/held.ts"
import { migration } from "./cases/migration.ts"
import { outages } from "./cases/outages.ts"
import { nativeLane } from "../../src/internal/runtime/Lane.ts"
import { Effect } from "effect"
import { cleanUp, obstacle, sweep } from "./Network.ts"

/** As Automake has it: not run, which is neither passed nor failed. */
const NOT_RUN = 77

process.on("exit", cleanUp)
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130))

const why = obstacle()
if (why !== undefined) {
  console.log(`the tests of real interfaces did not run: ${why}`)
  console.log(`0 passed, 0 failed (not run: ${why})`)
  process.exit(NOT_RUN)
}
sweep()
const { native } = await Effect.runPromise(nativeLane)
const lanes = native === undefined ? ["portable"] : ["native", "portable"]
const { failed, passed } = await runCases(
  [...outages, ...held, ...addresses, ...migration, ...autopaths],
  lanes,
  process.argv.slice(2).join(" ")
)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
