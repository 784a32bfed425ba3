import * as NodeServices from "@effect/platform-node/NodeServices"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Path, PlatformError, Stream } from "effect"
import { fail } from "../../src/cli/Failure.ts"
import { madeUp, makeDirectory, writeWhole } from "../../src/cli/Files.ts"

const encoder = new TextEncoder()

const inDirectory = <A, E>(
  test: (tools: {
    readonly target: string
    readonly files: FileSystem.FileSystem
    readonly list: Effect.Effect<ReadonlyArray<string>>
  }) => Effect.Effect<A, E, FileSystem.FileSystem | Path.Path>
) =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const directory = yield* files.makeTempDirectoryScoped()
    const target = (yield* Path.Path).join(directory, "file.bin")
    return yield* test({ target, files, list: Effect.orDie(files.readDirectory(directory)) })
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

describe("making a directory", () => {
  it.live("makes those above it too, and takes one that is there", () =>
    inDirectory(({ files, target }) =>
      Effect.gen(function* () {
        const deep = `${target}/a/b`
        yield* Effect.all([makeDirectory(deep), makeDirectory(deep), makeDirectory(deep)], { concurrency: 3 })
        assert.strictEqual((yield* files.stat(deep)).type, "Directory")
        yield* makeDirectory(deep)
      })
    )
  )

  it.live("tells what is in the way, at once", () =>
    inDirectory(({ files, target }) =>
      Effect.gen(function* () {
        yield* files.writeFileString(target, "a file")
        const refused = (path: string) => Effect.map(Effect.flip(makeDirectory(path)), ({ message }) => message)
        assert.match(yield* refused(target), /^making .*not a directory \(EEXIST\)$/)
        assert.match(yield* refused(`${target}/a/b`), /^making .*: .*\((ENOTDIR|EEXIST)\)$/)
        // mkdir says ENOENT here although the parent is there: the recursive call of Node would never end.
        if (process.platform === "linux") assert.match(yield* refused("/proc/x/y"), /^making .*\(ENOENT\)$/)
      })
    )
  )
})

describe("writing a file whole", () => {
  it.live("renames it when it is there, and reckons", () =>
    inDirectory(({ files, list, target }) =>
      Effect.gen(function* () {
        let counted = 0
        const chunks = Stream.make("one ", "two ", "three").pipe(Stream.map((text) => encoder.encode(text)))
        const written = yield* writeWhole(target, chunks, (bytes) => {
          counted += bytes
        })
        assert.strictEqual(yield* files.readFileString(target), "one two three")
        assert.deepStrictEqual(written, {
          bytes: 13,
          sha256: "6899ee404683a14e8c2a03149860df25d67d34d9cd4dae7350cbe91e4b3976be"
        })
        assert.strictEqual(counted, 13)
        assert.deepStrictEqual(yield* list, ["file.bin"])
      })
    )
  )

  it.live("takes an empty file", () =>
    inDirectory(({ list, target }) =>
      Effect.gen(function* () {
        const { bytes } = yield* writeWhole(target, Stream.empty)
        assert.strictEqual(bytes, 0)
        assert.deepStrictEqual(yield* list, ["file.bin"])
      })
    )
  )

  it.live("leaves nothing, and what was there before, when the bytes fail midway", () =>
    inDirectory(({ files, list, target }) =>
      Effect.gen(function* () {
        yield* files.writeFileString(target, "before")
        const chunks = Stream.concat(Stream.make(encoder.encode("half")), Stream.fail(fail("failed", "cut off")))
        const failure = yield* Effect.flip(writeWhole(target, chunks))
        assert.strictEqual(failure.message, "cut off")
        assert.deepStrictEqual(yield* list, ["file.bin"])
        assert.strictEqual(yield* files.readFileString(target), "before")
      })
    )
  )

  it.live("leaves nothing when it is interrupted", () =>
    inDirectory(({ list, target }) =>
      Effect.gen(function* () {
        const begun = yield* Deferred.make<void>()
        const chunks = Stream.concat(Stream.make(encoder.encode("half")), Stream.never)
        const fiber = yield* Effect.forkChild(writeWhole(target, chunks, () => Deferred.doneUnsafe(begun, Effect.void)))
        yield* Deferred.await(begun)
        assert.lengthOf(yield* list, 1)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(yield* list, [])
      })
    )
  )

  it.live("says that the disk is full, and leaves nothing", () =>
    inDirectory(({ files, list, target }) =>
      Effect.gen(function* () {
        const full = Effect.fail(
          PlatformError.systemError({
            _tag: "Unknown",
            module: "FileSystem",
            method: "writeAll",
            cause: Object.assign(new Error("ENOSPC"), { code: "ENOSPC" })
          })
        )
        const failure = yield* writeWhole(target, Stream.make(new Uint8Array(10))).pipe(
          Effect.provideService(FileSystem.FileSystem, {
            ...files,
            open: (path, options) =>
              Effect.map(files.open(path, options), (file) => ({ ...file, writeAll: () => full }))
          }),
          Effect.flip
        )
        assert.include(failure.message, "no space is left on the disk")
        assert.strictEqual(failure.code, 6)
        assert.deepStrictEqual(yield* list, [])
      })
    )
  )

  it.live("says when the directory is not there", () =>
    inDirectory(({ target }) =>
      Effect.gen(function* () {
        const failure = yield* Effect.flip(writeWhole(`${target}/no/such`, Stream.empty))
        assert.include(failure.message, "no such file or directory")
        assert.strictEqual(failure.code, 6)
      })
    )
  )
})

const collect = (size: number) => Effect.map(Stream.runCollect(madeUp(size)), (chunks) => Buffer.concat(chunks))

describe("made-up content", () => {
  it.effect("has the size that was asked for, and is always the same", () =>
    Effect.gen(function* () {
      for (const size of [0, 1, 262_144, 262_145, 600_000]) assert.lengthOf(yield* collect(size), size)
      const long = yield* collect(600_000)
      assert.isTrue(long.subarray(0, 300_000).equals(yield* collect(300_000)))
      assert.isAbove(new Set(long).size, 250)
      // AES-128 of a zero block under a zero key (FIPS 197 arithmetic; NIST's AESAVS lists it).
      assert.strictEqual(long.subarray(0, 16).toString("hex"), "66e94bd4ef8a2c3b884cfa59ca342b2e")
    })
  )
})
