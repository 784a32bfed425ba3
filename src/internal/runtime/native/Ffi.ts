/**
 * The door to native code: `node:ffi`, without a compiler or an addon. Importing this module loads it, and throws where
 * that cannot be; `Availability.ts` says beforehand whether it can.
 *
 * What makes calls cheap (3 to 9 ns instead of hundreds): every argument is declared a pointer and given as a bigint, also
 * numbers, lengths and descriptors, because integer types run a range check that is not optimised away; every symbol is
 * resolved once in a process and called through a constant of a module; no Buffer, string or null is ever passed.
 *
 * node:ffi emits one ExperimentalWarning when it is loaded. `--disable-warning=ExperimentalWarning` silences it.
 */
import { endWithoutTearDown } from "./ProcessEnd.ts"

const ffi = process.getBuiltinModule("node:ffi")

/** Symbols of this process: libc, and the libuv and OpenSSL inside Node. Held here, because functions die with it. */
const { lib: library } = ffi.dlopen(null)

/** What native code of this process is called by, for as long as the process lives, whatever becomes of this module. */
const functions: Array<unknown> = [library]
endWithoutTearDown(functions)

const kept = <F>(found: F): F => {
  functions.push(found)
  return found
}

/** Arguments of native functions: addresses, lengths, flags. Negative numbers as their unsigned 64-bit form. */
type Arguments<N extends number, Found extends Array<"pointer"> = []> = Found["length"] extends N
  ? Found
  : Arguments<N, [...Found, "pointer"]>

const pointers = <N extends number>(count: N): Arguments<N> =>
  Array.from({ length: count }, () => "pointer") as Arguments<N>

/** A function of `count` arguments that returns an int, or a length that fits. */
export const intFunction = <N extends number>(name: string, count: N) =>
  kept(library.getFunction(name, { arguments: pointers(count), return: "int32" }))

/** A function of `count` arguments that returns an address. */
export const pointerFunction = <N extends number>(name: string, count: N) =>
  kept(library.getFunction(name, { arguments: pointers(count), return: "pointer" }))

/** A function of `count` arguments that returns nothing. */
export const voidFunction = <N extends number>(name: string, count: N) =>
  kept(library.getFunction(name, { arguments: pointers(count), return: "void" }))

/** The address of a function, for native code that takes one. */
export const symbolAddress = (name: string): bigint => library.getSymbol(name)

/** Where the bytes of a buffer are. Only `Memory.ts` asks. */
export const rawAddress = (bytes: Uint8Array): bigint => ffi.getRawPointer(bytes)

/** The int at an address that native code gave. */
export const readInt = (address: bigint): number => ffi.getInt32(address, 0)

/** The address at an address that native code gave. */
export const readPointer = (address: bigint): bigint => ffi.getUint64(address, 0)

/** The libuv loop of this thread. */
export const eventLoop = (): bigint => ffi.getCurrentEventLoop()

/** A number as native functions take it. */
export const unsigned = (value: number): bigint => BigInt.asUintN(64, BigInt(value))
