/**
 * Files on the disk: written whole or not at all, and made up for the demonstration.
 */
import { Effect, Exit, FileSystem, Path, Stream } from "effect"
import type { Scope } from "effect"
import type { PlatformError } from "effect/PlatformError"
import { createCipheriv, createHash, randomBytes } from "node:crypto"
import { CliFailure, ExitCode, fromError, fromPlatform } from "./Failure.ts"

/** Bytes of a file that came, and the SHA-256 of all of them in hex. */
export interface Written {
  readonly bytes: number
  readonly sha256: string
}

/** What is whole, and not what it should be: it is not kept. */
export class HashMismatch extends CliFailure {
  readonly written: Written
  constructor(target: string, written: Written) {
    const message = `${target}: what came has the SHA-256 ${written.sha256}, which is not the one asked for; it is not kept`
    super({ message, code: ExitCode.failed })
    this.written = written
  }
}

/** Bytes of a name in every file system that matters. */
const NAME_BYTES = 255

/** A name beside `name` that is hidden, not taken and not too long: names are cut by bytes, between characters. */
const temporaryName = (name: string): string => {
  const rest = `.${randomBytes(4).toString("hex")}.part`
  const bytes = Buffer.from(name)
  let end = Math.min(bytes.length, NAME_BYTES - 1 - rest.length)
  while (end < bytes.length && end > 0 && (bytes[end]! & 0xc0) === 0x80) end--
  return `.${bytes.toString("utf8", 0, end)}${rest}`
}

/** Writes chunks one after the other, and reckons. */
const writeChunks = <R>(
  file: FileSystem.File,
  chunks: Stream.Stream<Uint8Array, CliFailure, R>,
  onBytes: (bytes: number) => void
): Effect.Effect<Written, CliFailure | PlatformError, R> =>
  Effect.suspend(() => {
    const hash = createHash("sha256")
    let bytes = 0
    return chunks.pipe(
      Stream.runForEachArray((batch) => {
        const chunk = batch.length === 1 ? batch[0] : Buffer.concat(batch)
        hash.update(chunk)
        bytes += chunk.length
        onBytes(chunk.length)
        return file.writeAll(chunk)
      }),
      Effect.map(() => ({ bytes, sha256: hash.digest("hex") }))
    )
  })

/**
 * Writes a file under a temporary name beside its place and renames it when it is whole and on the disk: a file under the
 * real name is whole. When that fails or is interrupted, the temporary file is removed, and what was there before stays.
 * So it is when `sha256` is given, and is not that of what came.
 */
export const writeWhole = <R>(
  target: string,
  chunks: Stream.Stream<Uint8Array, CliFailure, R>,
  onBytes: (bytes: number) => void = () => {},
  sha256?: string
): Effect.Effect<Written, CliFailure, FileSystem.FileSystem | Path.Path | R> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const temporary = paths.join(paths.dirname(target), temporaryName(paths.basename(target)))
    const write = Effect.scoped(
      Effect.gen(function* () {
        const file = yield* files.open(temporary, { flag: "wx" })
        const written = yield* writeChunks(file, chunks, onBytes)
        if (sha256 !== undefined && written.sha256 !== sha256) return yield* new HashMismatch(target, written)
        yield* file.sync
        return written
      })
    )
    return yield* write.pipe(
      // Not to be interrupted between the new name and success.
      Effect.tap(() => Effect.uninterruptible(files.rename(temporary, target))),
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) ? Effect.void : Effect.ignore(files.remove(temporary, { force: true }))
      ),
      Effect.mapError(fromError(`writing ${target}`))
    )
  })

/**
 * Makes a directory, and those above it that are not there. One by one from the top: the recursive call of Node never ends
 * where a name cannot be made although its parent is there (ENOENT, as in /proc).
 */
export const makeDirectory = (directory: string): Effect.Effect<void, CliFailure, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const paths = yield* Path.Path
    const missing: Array<string> = []
    let at = paths.resolve(directory)
    while (!(yield* files.exists(at))) {
      missing.push(at)
      at = paths.dirname(at)
    }
    for (const path of missing.toReversed()) {
      // Somebody else may have been faster.
      yield* Effect.catch(files.makeDirectory(path), (error) =>
        Effect.flatMap(files.exists(path), (there) => (there ? Effect.void : Effect.fail(error)))
      )
    }
    if ((yield* files.stat(directory)).type !== "Directory") yield* files.makeDirectory(directory)
  }).pipe(Effect.mapError(fromPlatform(`making ${directory}`)))

/** Fails unless a file that was named can be read. */
export const readable = (file: string): Effect.Effect<void, CliFailure, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (files) => Effect.scoped(files.open(file, { flag: "r" }))).pipe(
    Effect.mapError(fromPlatform(`reading ${file}`)),
    Effect.asVoid
  )

/** Bytes of made-up content in one chunk. */
const CHUNK = 256 * 1024

/**
 * `size` bytes that look random and are always the same: AES-128 in counter mode, key and counter all zero.
 */
export const madeUp = (size: number): Stream.Stream<Uint8Array> =>
  Stream.suspend(() => {
    const cipher = createCipheriv("aes-128-ctr", new Uint8Array(16), new Uint8Array(16))
    const zeros = new Uint8Array(CHUNK)
    const chunks = Math.ceil(size / CHUNK)
    return Stream.range(1, chunks).pipe(
      Stream.take(chunks),
      Stream.rechunk(1),
      Stream.map((index) => cipher.update(index === chunks ? zeros.subarray(0, size - (chunks - 1) * CHUNK) : zeros))
    )
  })

/** A directory of its own that is removed, with all in it, when the scope closes. */
export const temporaryDirectory: Effect.Effect<string, CliFailure, FileSystem.FileSystem | Scope.Scope> =
  Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped({ prefix: "mpquic-" })).pipe(
    Effect.mapError(fromPlatform("making a temporary directory"))
  )
