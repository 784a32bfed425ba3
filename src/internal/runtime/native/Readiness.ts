/**
 * When a socket has datagrams. libuv polls it for a `dgram` socket of Node, but the callback that should give it memory is
 * replaced by one that gives none: so libuv reads nothing and tells Node's own receive callback, as ENOBUFS, that there is
 * something.
 *
 * No JavaScript function is handed to native code: node:ffi ends the process when such a function cannot run, as in a worker
 * that is being terminated. Node's own callback knows when it must not run, and Node keeps charge of the handle, in particular
 * when a worker ends while it is open.
 */
import type { Socket } from "node:dgram"
import { eventLoop, readPointer, symbolAddress } from "./Ffi.ts"
import { intAddress, intLeft, uvFileno, uvHandleType, uvReceiveStart, uvReceiveStop, uvVersion } from "./Libc.ts"

/** UV_UDP. */
const UDP_HANDLE = 15

// Public structures of libuv, which keep their layout for as long as its major version is 1. uv_loop_t: data, count, queue of
// handles {next, previous}. uv_handle_t: data, loop, type, close callback, queue. uv_udp_t: sizes, allocate and receive callbacks.
const MAJOR = 1
const QUEUE_OF_LOOP = 16n
const PREVIOUS = 8n
const QUEUE_OF_HANDLE = 32n
const LOOP_OF_HANDLE = 8n
const RECEIVE_OF_HANDLE = 120n

/** Called with (handle, size, buffer): any function that leaves the buffer empty will do, and this one only reads. */
const noMemory = symbolAddress("uv_handle_get_type")

/** The newest handle of this thread with a descriptor; undefined if there is none. */
const handleWith = (fd: number): bigint | undefined => {
  if (uvVersion() >> 16 !== MAJOR) return undefined
  const loop = eventLoop()
  const queue = loop + QUEUE_OF_LOOP
  for (let entry = readPointer(queue + PREVIOUS); entry !== queue; entry = readPointer(entry + PREVIOUS)) {
    const handle = entry - QUEUE_OF_HANDLE
    if (readPointer(handle + LOOP_OF_HANDLE) !== loop) return undefined
    if (uvHandleType(handle) === UDP_HANDLE && uvFileno(handle, intAddress) === 0 && intLeft() === fd) return handle
  }
  return undefined
}

/** What Node's receive callback calls, with the error as a negative number. */
interface NodeHandle {
  onmessage: (result: number, ...rest: ReadonlyArray<unknown>) => void
}

/** Node's object for the handle, where it can be found. */
const nodeHandleOf = (socket: Socket): NodeHandle | undefined => {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === "state symbol")
  const state =
    symbol === undefined ? undefined : (socket as unknown as Record<symbol, { handle?: NodeHandle }>)[symbol]
  return typeof state?.handle?.onmessage === "function" ? state.handle : undefined
}

/** Tells about datagrams on one socket, again and again while there are any. */
export class Readiness {
  /** 0n once it is Node's again. */
  private handle: bigint
  private watching = true
  /** Node's receive callback. */
  private readonly received: bigint

  private constructor(handle: bigint, received: bigint) {
    this.handle = handle
    this.received = received
  }

  /** Takes over the receiving of a bound socket; undefined where that cannot be. */
  static take(socket: Socket, fd: number, listener: () => void): Readiness | undefined {
    const handle = handleWith(fd)
    if (handle === undefined) return undefined
    const received = readPointer(handle + RECEIVE_OF_HANDLE)
    uvReceiveStop(handle)
    // libuv clears the field: if it did not, this is another one.
    if (received === 0n || readPointer(handle + RECEIVE_OF_HANDLE) !== 0n) return undefined
    const readiness = new Readiness(handle, received)
    const told = (): void => {
      if (readiness.handle !== 0n) listener()
    }
    // Node makes an error of what its callback is told, with a stack. Where its object is within reach that is saved.
    const nodeHandle = nodeHandleOf(socket)
    if (nodeHandle === undefined) socket.on("error", told)
    else Object.assign(nodeHandle, { onmessage: told } satisfies NodeHandle)
    return uvReceiveStart(handle, noMemory, received) === 0 ? readiness : undefined
  }

  /** Says nothing until `resume`. */
  pause(): void {
    if (!this.watching || this.handle === 0n) return
    this.watching = false
    uvReceiveStop(this.handle)
  }

  resume(): void {
    if (this.watching || this.handle === 0n) return
    this.watching = true
    uvReceiveStart(this.handle, noMemory, this.received)
  }

  /** For good, and before Node closes the handle. */
  end(): void {
    this.pause()
    this.handle = 0n
  }
}
