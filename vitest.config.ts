import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    // Vitest keeps one core for itself, which on two cores is half of them.
    maxWorkers: "100%",
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts", "examples/**/*.test.ts"],
          exclude: ["test/interop/**", "test/soak/**"],
          testTimeout: 30_000
        }
      },
      {
        test: {
          name: "soak",
          include: ["test/soak/**/*.test.ts"],
          testTimeout: 600_000,
          pool: "forks",
          execArgv: ["--expose-gc"],
          fileParallelism: false
        }
      }
    ]
  }
})
