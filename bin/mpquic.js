#!/usr/bin/env node
/**
 * Starts the program `mpquic`: the built one where the package is installed, in a checkout that of the source. Plain JavaScript
 * of old, so that a Node that is too old can say so.
 */
const [major, minor] = process.versions.node.split(".").map(Number)

if (major < 22 || (major === 22 && minor < 19)) {
  console.error(`mpquic: Node 22.19 or later is needed, and this is ${process.version}`)
  process.exitCode = 1
} else {
  // Node strips types nowhere below node_modules.
  const installed = import.meta.url.includes("/node_modules/")
  await import(installed ? "../dist/cli/main.js" : "../src/cli/main.ts")
}
