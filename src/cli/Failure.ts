/**
 * How a command fails: a sentence for the user, and an exit code for scripts.
 */
import { Console, Data, Runtime } from "effect"
import type { Effect } from "effect"
import { isPlatformError } from "effect/PlatformError"
import type { PlatformError } from "effect/PlatformError"
import { CertificateRefused, SocketFailed } from "../QuicError.ts"
import type { QuicError, Reason } from "../QuicError.ts"

/** Exit codes. `--help` shows the same table. */
export const ExitCode = {
  failed: 1,
  usage: 2,
  notFound: 3,
  unreachable: 4,
  certificate: 5,
  file: 6,
  address: 7,
  interrupted: 130
} as const

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode]

/** The table for `--help`. */
export const exitCodeHelp = `Exit codes:
  0    everything asked for was done
  1    a transfer failed: connection lost, stream reset, hash mismatch
  2    wrong arguments
  3    the server has no such file
  4    the server cannot be reached, refused, or speaks something else
  5    the server's certificate is not trusted
  6    a local file cannot be read or written (disk full, permissions)
  7    a local address or port cannot be used
  130  interrupted (SIGINT, SIGTERM)`

/** What a command fails with. */
export class CliFailure extends Data.TaggedError("CliFailure")<{
  readonly message: string
  readonly code: ExitCode
}> {
  // The commands print it themselves, once.
  override readonly [Runtime.errorReported] = false
  override get [Runtime.errorExitCode](): number {
    return this.code
  }
}

export const fail = (code: keyof typeof ExitCode, message: string): CliFailure =>
  new CliFailure({ code: ExitCode[code], message })

const trustHelp =
  "Trust it with --pin HASH (serve prints the hash) or --ca FILE (the authority's certificate, PEM). --insecure takes any certificate: for tests only."

/** Settings of the library, and the options that set them. */
const options: ReadonlyArray<readonly [setting: string, option: string]> = [
  ["Tls.layerTrustRoots", "--ca"],
  ["Tls.layerTrustPinned", "--pin"],
  ["Tls.layerIdentity certificate", "--cert"],
  ["Tls.layerIdentity privateKey", "--key"],
  ["raise handshakeTimeout", "give it longer with --timeout"],
  [
    "set keepAlive to hold quiet connections open, or raise idleTimeout on both sides",
    "give it longer with --idle-timeout"
  ],
  ["give an IP address and serverName", "give an IP address"],
  [
    "check the network, and that a local address of the same family (IPv4 or IPv6) is bound",
    "check the network, and that --local, if it is given, is of the same family (IPv4 or IPv6)"
  ],
  ["give one that is, or to listen on all, 0.0.0.0 or [::]", "give one that is"]
]

const inOptions = (message: string): string =>
  options.reduce((text, [setting, option]) => text.replaceAll(setting, option), message)

const codes: Readonly<Record<string, keyof typeof ExitCode>> = {
  HandshakeTimeout: "unreachable",
  HandshakeFailed: "unreachable",
  ConnectionRefused: "unreachable",
  VersionNegotiationFailed: "unreachable",
  ResolveFailed: "unreachable",
  AddressUnreachable: "unreachable",
  AddressInUse: "address",
  AddressUnavailable: "address",
  BadConfig: "usage"
} satisfies Partial<Record<Reason["_tag"], keyof typeof ExitCode>>

/** Transport, TLS and socket errors, with what can be done about them here. */
export const fromQuic = (error: QuicError): CliFailure => {
  const { reason } = error
  // Up to the semicolon is what is wrong; what follows tells programmers what to do.
  if (reason instanceof CertificateRefused) return fail("certificate", `${reason.message.split("; ")[0]}\n${trustHelp}`)
  if (reason instanceof SocketFailed) return fail(reason.operation === "bind" ? "address" : "failed", reason.message)
  const code = Object.hasOwn(codes, reason.name) ? codes[reason.name]! : "failed"
  return fail(code, inOptions(reason.message))
}

const systemMessages: Readonly<Record<string, string>> = {
  ENOSPC: "no space is left on the disk: free some, or choose another directory",
  EDQUOT: "the disk quota is used up: free some space, or choose another directory",
  EROFS: "the file system is read-only: choose another directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOENT: "no such file or directory",
  ENOTDIR: "a part of the path is not a directory",
  EISDIR: "it is a directory",
  EEXIST: "something with this name is there, and it is not a directory",
  ENAMETOOLONG: "the name is too long for this file system: choose another one",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files: ask for fewer at a time",
  EFBIG: "the file is too big for this file system"
}

const systemCode = (error: PlatformError): string => {
  const cause: unknown = "cause" in error.reason ? error.reason.cause : undefined
  return typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : ""
}

/** Errors of the file system. `doing` is such as "writing report.pdf". */
export const fromPlatform =
  (doing: string) =>
  (error: PlatformError): CliFailure => {
    const code = systemCode(error)
    const message = systemMessages[code] ?? error.reason.message
    return fail("file", `${doing}: ${message}${code === "" ? "" : ` (${code})`}`)
  }

/** A failure of any of the kinds that commands meet. */
export const fromError =
  (doing: string) =>
  (error: CliFailure | PlatformError | QuicError): CliFailure => {
    if (error instanceof CliFailure) return error
    return isPlatformError(error) ? fromPlatform(doing)(error) : fromQuic(error)
  }

export const failureText = (message: string): string => `mpquic: ${message.replaceAll("\n", "\n        ")}`

/** Tells the user, on standard error. */
export const printFailure = (message: string): Effect.Effect<void> => Console.error(failureText(message))
