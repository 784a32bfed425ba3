/**
 * When a socket has datagrams. libuv polls it for a `dgram` socket of Node, but its receive callback is replaced by ours, and
 * the callback that should give it memory gives none: so it reads nothing and only tells that there is something. Node
 * keeps charge of the handle, in particular when a worker ends while it is open, which a handle of our own would not survive.
 *
 * Callbacks from libuv run outside of Node's bookkeeping (no microtasks, and an exception would end the process): a
 * listener may do nothing but note the fact and schedule a task.
 */
import { eventLoop, symbolAddress, voidCallback } from "./Ffi.ts"
import { intAddress, intLeft, uvFileno, uvHandleType, uvReceiveStart, uvReceiveStop, uvWalk } from "./Libc.ts"

/** UV_UDP. */
const UDP_HANDLE = 15

const listeners = new Map<bigint, () => void>()

/** handle, result, buffer, address, flags. */
const received = voidCallback(5, (handle) => {
  try {
    listeners.get(handle!)?.()
  } catch {
    // Listeners do not throw. If one did, the process would be gone.
  }
})

/** Called with (handle, size, buffer): any function that leaves the buffer empty will do, and this one only reads. */
const noMemory = symbolAddress("uv_handle_get_type")

let wanted = -1
let found = 0n

const visit = voidCallback(2, (handle) => {
  try {
    if (uvHandleType(handle!) === UDP_HANDLE && uvFileno(handle!, intAddress) === 0 && intLeft() === wanted) {
      found = handle!
    }
  } catch {
    found = 0n
  }
})

/** Tells about datagrams on one socket, again and again while there are any. */
export class Readiness {
  /** 0n once it is Node's again. */
  private handle: bigint
  private watching = true

  private constructor(handle: bigint) {
    this.handle = handle
  }

  /** Takes over the handle that Node has for this descriptor; undefined if it has none. */
  static take(fd: number, listener: () => void): Readiness | undefined {
    wanted = fd
    found = 0n
    uvWalk(eventLoop(), visit, 0n)
    if (found === 0n) return undefined
    uvReceiveStop(found)
    if (uvReceiveStart(found, noMemory, received) !== 0) return undefined
    listeners.set(found, listener)
    return new Readiness(found)
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
    uvReceiveStart(this.handle, noMemory, received)
  }

  /** For good, and before Node closes the handle. */
  end(): void {
    this.pause()
    listeners.delete(this.handle)
    this.handle = 0n
  }
}
