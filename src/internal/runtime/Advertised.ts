/** Addresses that servers advertise: what can be one, and those that the peer of a connection has named. */
import { Deferred, Result, Stream } from "effect"
import type { NetAddress } from "effect/net"
import type { CloseInfo, ConnectionMachine } from "../connection/Machine.ts"
import { AddressBook } from "../wire/Datagram.ts"
import type { Address } from "../wire/Datagram.ts"
import type { AddressInput } from "./Addresses.ts"
import { addressFromInput, isNoDestination, toInetAddress } from "./Addresses.ts"
import { LiveValue } from "./LiveValue.ts"

/** What is allowed. */
export const ADVERTISABLE = 'an IP address of this host as others reach it, such as "203.0.113.7:4433"'

/** The address of a server that others can reach; undefined if it is none. Port 0 stands for that of the connection. */
export const advertisable = (input: AddressInput): Address | undefined => {
  const parsed = Result.getOrUndefined(addressFromInput(new AddressBook(), input, 0))
  // A zone says something to this host alone.
  return parsed === undefined || isNoDestination(parsed.host) || parsed.host.includes("%") ? undefined : parsed
}

type List = ReadonlyArray<NetAddress.InetAddress>

/** Those of the peer. */
export class Advertised {
  private readonly machine: ConnectionMachine
  private readonly list: LiveValue<List>
  private known: ReadonlyArray<Address>
  readonly changes: Stream.Stream<List>

  constructor(machine: ConnectionMachine, end: Deferred.Deferred<CloseInfo>) {
    this.machine = machine
    this.known = machine.remoteAddresses.current
    this.list = new LiveValue<List>(this.known.map(toInetAddress))
    this.changes = this.list.changes.pipe(Stream.interruptWhen(Deferred.await(end)))
  }

  get current(): List {
    this.update()
    return this.list.current
  }

  /** Something has changed, this perhaps. */
  update(): void {
    const { current } = this.machine.remoteAddresses
    if (current === this.known) return
    this.known = current
    this.list.set(current.map(toInetAddress))
  }
}
