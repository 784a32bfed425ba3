/**
 * The system calls that move datagrams, faked: the one seam of the native sockets is `Libc.ts`. Mock it with `withFakeCalls`,
 * and what a `FakeKernel` is told to do happens to the sends of every socket.
 */
import type * as Libc from "../../src/internal/runtime/native/Libc.ts"

type Calls = typeof Libc

/** A datagram as the kernel got it. */
export interface Taken {
  readonly port: number
  readonly bytes: string
}

export const Errors = { EPERM: 1, EINTR: 4, EIO: 5, EAGAIN: 11, EINVAL: 22, EMSGSIZE: 90, ECONNREFUSED: 111 } as const

const ffi = process.getBuiltinModule("node:ffi")

const copy = (address: bigint, length: number): Buffer =>
  length === 0 ? Buffer.alloc(0) : Buffer.from(ffi.toBuffer(address, length, true))

export class FakeKernel {
  readonly taken: Array<Taken> = []
  /** Descriptors of the calls. */
  readonly descriptors = new Set<bigint>()
  calls = 0
  errno = 0
  /** The error of a call, asked before it does anything; 0 for none. */
  fail: (call: { readonly train: boolean; readonly port: number }) => number = () => 0

  sendmsg(fd: bigint, header: bigint): number {
    this.enter(fd)
    const message = this.read(header)
    const { bytes, port, segment } = message
    const error = this.fail({ train: segment > 0, port })
    if (error !== 0) return this.refuse(error)
    const step = segment > 0 ? segment : Math.max(bytes.length, 1)
    let at = 0
    do this.taken.push({ port, bytes: bytes.toString("hex", at, Math.min((at += step), bytes.length)) })
    while (at < bytes.length)
    return bytes.length
  }

  sendmmsg(fd: bigint, headers: bigint, count: bigint): number {
    this.enter(fd)
    for (let i = 0; i < Number(count); i++) {
      const { bytes, port, segment } = this.read(headers + BigInt(i * 64))
      if (segment > 0) throw new Error("a train among datagrams apart")
      const error = this.fail({ train: false, port })
      // The error of a datagram that is not the first is told by the next call (sendmmsg(2)).
      if (error !== 0) return i > 0 ? i : this.refuse(error)
      this.taken.push({ port, bytes: bytes.toString("hex") })
    }
    return Number(count)
  }

  private enter(fd: bigint): void {
    this.calls++
    this.descriptors.add(fd)
  }

  private refuse(error: number): number {
    this.errno = error
    return -1
  }

  /** msghdr {name 0, namelen 8, iov 16, iovlen 24, control 32, controllen 40}. */
  private read(header: bigint): { readonly bytes: Buffer; readonly port: number; readonly segment: number } {
    const message = copy(header, 56)
    const name = copy(message.readBigUInt64LE(0), message.readUInt32LE(8))
    const iovec = copy(message.readBigUInt64LE(16), 16)
    const bytes = copy(iovec.readBigUInt64LE(0), Number(iovec.readBigUInt64LE(8)))
    const control = copy(message.readBigUInt64LE(32), Number(message.readBigUInt64LE(40)))
    let segment = 0
    for (let at = 0; at + 16 <= control.length; at += (Number(control.readBigUInt64LE(at)) + 7) & ~7) {
      if (control.readInt32LE(at + 8) === 17 && control.readInt32LE(at + 12) === 103)
        segment = control.readUInt16LE(at + 16)
    }
    return { bytes, port: name.readUInt16BE(2), segment }
  }
}

/** The kernel of the sends; undefined: the real one. */
export const fake: { kernel: FakeKernel | undefined } = { kernel: undefined }

/** The system calls, by the fake kernel while there is one. Its error queue is empty. */
export const withFakeCalls = (real: Calls): Calls => ({
  ...real,
  sendmsg: ((fd, header, flags) =>
    fake.kernel === undefined
      ? real.sendmsg(fd, header, flags)
      : fake.kernel.sendmsg(fd as bigint, header as bigint)) as Calls["sendmsg"],
  sendmmsg: ((fd, headers, count, flags) =>
    fake.kernel === undefined
      ? real.sendmmsg(fd, headers, count, flags)
      : fake.kernel.sendmmsg(fd as bigint, headers as bigint, count as bigint)) as Calls["sendmmsg"],
  recvmsg: ((fd, header, flags) =>
    fake.kernel === undefined ? real.recvmsg(fd, header, flags) : -1) as Calls["recvmsg"],
  errno: () => (fake.kernel === undefined ? real.errno() : fake.kernel.errno)
})
