/**
 * What a transfer came to: lines for people, and one line of JSON for programs.
 */
import { Schema } from "effect"

/**
 * One path. `local` and `remote` are as the downloading side sees them, and so are the bytes (UDP payload). `share` is the
 * path's part, 0 to 1, of all bytes received. Loss and RTT are those of the data's sender where it is known (in the
 * demonstration), otherwise of this side, which sends little but acknowledgements.
 */
export const PathReport = Schema.Struct({
  id: Schema.Number,
  local: Schema.String,
  remote: Schema.String,
  bytesReceived: Schema.Number,
  bytesSent: Schema.Number,
  packetsSent: Schema.Number,
  packetsLost: Schema.Number,
  share: Schema.Number,
  smoothedRttMs: Schema.Number,
  state: Schema.String
})
export interface PathReport extends Schema.Schema.Type<typeof PathReport> {}

export interface FileReport {
  readonly url: string
  readonly file: string
  readonly bytes: number
  readonly sha256: string | null
  readonly error?: string | undefined
}

/** The line of JSON. */
export interface TransferReport {
  /** Everything that was to be shown or fetched was. */
  readonly ok: boolean
  /** Null: there was no hash to compare with. */
  readonly sha256Match: boolean | null
  /** Bytes of files. */
  readonly bytes: number
  /** From before the connection was made until the last byte was in its file. */
  readonly seconds: number
  readonly goodputMbps: number
  /** The longest time without new bytes of a file: after the cut if there was one, otherwise after the first byte. */
  readonly stallMs: number
  /** The path whose network was cut, if one was. */
  readonly cutPath?: number | undefined
  /** Whose packets `packetsSent`, `packetsLost` and the RTT are about: of the data's sender, or of this one's acknowledgements. */
  readonly lossOf?: "acknowledgements" | "data" | undefined
  readonly paths: ReadonlyArray<PathReport>
  readonly files?: ReadonlyArray<FileReport> | undefined
  readonly error?: string | undefined
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits))

/** Megabits (10^6) a second. */
export const mbps = (bytes: number, seconds: number): number => (seconds > 0 ? (bytes * 8) / seconds / 1e6 : 0)

const roundedPath = (path: PathReport): PathReport => ({
  ...path,
  share: round(path.share, 4),
  smoothedRttMs: round(path.smoothedRttMs, 2)
})

/** One line. Numbers are rounded: ms to a tenth (RTT: a hundredth), seconds to a thousandth. */
export const toJson = (report: TransferReport): string =>
  JSON.stringify({
    ...report,
    seconds: round(report.seconds, 3),
    goodputMbps: round(report.goodputMbps, 2),
    stallMs: round(report.stallMs, 1),
    paths: report.paths.map(roundedPath)
  })

/** The report of a command that did not get as far as a transfer. */
export const failedReport = (error: string): TransferReport => ({
  ok: false,
  sha256Match: null,
  bytes: 0,
  seconds: 0,
  goodputMbps: 0,
  stallMs: 0,
  paths: [],
  error
})

/** "30.0 MB", in powers of ten as rates are. */
export const formatBytes = (bytes: number): string => {
  if (bytes < 1000) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}

const percent = (part: number, digits = 1): string => `${(100 * part).toFixed(digits)} %`

const describePath = (path: PathReport, lossOf: TransferReport["lossOf"]): string => {
  const loss = path.packetsSent === 0 ? 0 : path.packetsLost / path.packetsSent
  const packets = lossOf === "acknowledgements" ? "packets sent from here, mostly acknowledgements" : "packets"
  return [
    `path ${path.id}   ${path.local} -> ${path.remote}`,
    `${formatBytes(path.bytesReceived)} (${percent(path.share)})`,
    `lost ${path.packetsLost} of ${path.packetsSent} ${packets} (${percent(loss)})`,
    `rtt ${path.smoothedRttMs.toFixed(1)} ms`
  ].join("   ")
}

/** The same for people, a line each. */
export const summaryLines = (report: TransferReport): ReadonlyArray<string> => {
  const lines: Array<string> = []
  for (const file of report.files ?? [])
    lines.push(
      file.error === undefined
        ? `saved    ${file.file}   ${formatBytes(file.bytes)}   SHA-256 ${file.sha256}`
        : `failed   ${file.url}`
    )
  if (report.sha256Match !== null) lines.push(`hash     ${report.sha256Match ? "match" : "MISMATCH"}`)
  lines.push(
    `bytes    ${report.bytes}`,
    `time     ${report.seconds.toFixed(2)} s`,
    `goodput  ${report.goodputMbps.toFixed(1)} Mbit/s`
  )
  if (report.cutPath !== undefined)
    lines.push(`stall    ${report.stallMs.toFixed(0)} ms without new bytes after path ${report.cutPath} was cut`)
  else lines.push(`stall    ${report.stallMs.toFixed(0)} ms without new bytes at most`)
  lines.push(...report.paths.map((path) => describePath(path, report.lossOf)))
  return lines
}
