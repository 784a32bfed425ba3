/**
 * The layers of each lane: sockets and encryption.
 */
import { Layer } from "effect"
import { PacketProtection, UdpSocket } from "../src/index.ts"
import type { QuicError } from "../src/index.ts"

export type Lane = "portable" | "native"

export const laneLayer = (lane: Lane): Layer.Layer<UdpSocket.UdpSocket, QuicError.QuicError> =>
  lane === "portable"
    ? Layer.mergeAll(UdpSocket.layerNode, PacketProtection.layerNode)
    : Layer.mergeAll(UdpSocket.layerNative, PacketProtection.layerNative)
