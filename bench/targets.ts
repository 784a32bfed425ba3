/**
 * What the figures are to reach, always as ratios in one run where another stack is named.
 */
import { median, ratioOf, valuesOf } from "./results.ts"
import type { Measured, Results } from "./results.ts"

export interface Check {
  readonly label: string
  readonly measured: number | undefined
  /** Exactly one of the two. */
  readonly atLeast?: number
  readonly atMost?: number
  readonly unit: string
}

export interface Target {
  readonly figure: string
  readonly checks: ReadonlyArray<Check>
}

export const reached = ({ atLeast, atMost, measured }: Check): boolean | undefined =>
  measured === undefined ? undefined : measured >= (atLeast ?? -Infinity) && measured <= (atMost ?? Infinity)

export const targets = ({ figures }: Results): ReadonlyArray<Target> => {
  const figure = (id: string): Measured | undefined => figures.find((each) => each.id === id)
  const by = (id: string, to: string, atLeast: number, subject = "native"): Check => ({
    label: `${subject} by ${to}`,
    measured: ratioOf(figure(id), subject, to),
    atLeast,
    unit: "x"
  })
  const one = (id: string, subject: string, value?: string): number | undefined => {
    const found = figure(id)
    return found === undefined ? undefined : median(valuesOf(found, subject, value ?? found.value))
  }
  const share = (id: string, of: string, subject: string): number | undefined => {
    const [mine, whole] = [one(id, subject), one(of, subject)]
    return mine === undefined || whole === undefined ? undefined : mine / whole
  }
  const goodput = (id: string): Target => ({
    figure: `native lane goodput, ${id}`,
    // As it starts, and after WarmUp.run.
    checks: ["native", "warm"].flatMap((lane) => [
      by(id, "quiche", 1.2, lane),
      by(id, "quic-go", 1.5, lane),
      by(id, "noq", 1, lane),
      by(id, "quinn", 0.75, lane)
    ])
  })
  const idleKb = one("idle", "native")
  const growth = (id: string, from: number, to: number): number | undefined =>
    share(`${id}-${to}`, `${id}-${from}`, "native")
  return [
    goodput("download"),
    goodput("upload"),
    {
      figure: "share of the ceiling, download",
      checks: [
        by("download", "ceiling-native", 0.4),
        by("download", "ceiling-native", 0.4, "warm"),
        by("download", "ceiling-portable", 0.6, "portable")
      ]
    },
    {
      figure: "share of the ceiling, upload",
      checks: [
        by("upload", "ceiling-native", 0.4),
        by("upload", "ceiling-native", 0.4, "warm"),
        by("upload", "ceiling-portable", 0.6, "portable")
      ]
    },
    { figure: "portable lane goodput, download", checks: [by("download", "aioquic", 3, "portable")] },
    {
      figure: "CPU seconds per GB, both ends, download",
      checks: ["native", "warm"].map((subject) => ({
        label: `${subject} by quiche`,
        measured: ratioOf(figure("download"), subject, "quiche", "cpuPerGb"),
        atMost: 1,
        unit: "x"
      }))
    },
    { figure: "requests in sequence", checks: [by("rr", "quiche", 2), by("rr", "quiche", 2, "warm")] },
    {
      figure: "full handshakes",
      checks: [
        by("handshakes", "quiche", 5),
        by("handshakes", "quic-go", 0.8),
        by("handshakes", "quiche", 5, "warm"),
        by("handshakes", "quic-go", 0.8, "warm")
      ]
    },
    {
      figure: "memory of an idle connection, server",
      checks: [
        { label: "native", measured: idleKb === undefined ? undefined : idleKb / 1000, atMost: 40, unit: " kB" },
        { label: "CPU with 10,000 idle", measured: one("idle-10000", "native"), atMost: 1, unit: " %" }
      ]
    },
    {
      figure: "1,000 concurrent streams of 100 kB",
      checks: ["native", "warm"].map((subject) => ({
        label: `${subject} by its one stream`,
        measured: share("streams", "download", subject),
        atLeast: 0.8,
        unit: "x"
      }))
    },
    {
      figure: "two paths, each limited by a relay to 200 Mbit/s",
      checks: ["native", "warm", "portable"].map((subject): Check => {
        const gbps = one("relays", subject)
        return { label: subject, measured: gbps === undefined ? undefined : gbps * 1000, atLeast: 380, unit: " Mbit/s" }
      })
    },
    {
      figure: "two paths on loopback without limits",
      checks: ["native", "warm", "portable"].map((subject) => ({
        label: `${subject} by its one path`,
        measured: share("paths", "download", subject),
        atLeast: 0.9,
        unit: "x"
      }))
    },
    {
      figure: "growth",
      checks: [
        { label: "goodput of 2 GB by that of 10 MB", measured: growth("bytes", 1, 4), atLeast: 0.9, unit: "x" },
        {
          label: "goodput beside 10,000 connections by alone",
          measured: growth("connections", 0, 3),
          atLeast: 0.9,
          unit: "x"
        }
      ]
    }
  ]
}
