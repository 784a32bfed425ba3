/**
 * The layers of each lane: sockets and encryption.
 */
import { Layer } from "effect"
import { PacketProtection, UdpSocket } from "../src/index.ts"
import { fail } from "./contract.ts"

export type Lane = "portable" | "native"

export const laneLayer = (lane: Lane): Layer.Layer<UdpSocket.UdpSocket> =>
  lane === "portable"
    ? Layer.mergeAll(UdpSocket.layerNode, PacketProtection.layerNode)
    : fail("there is no native lane yet")
