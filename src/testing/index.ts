/**
 * For tests of programs that use this library: a simulated network under `TestClock`, a relay for real sockets, certificates,
 * and randomness that repeats.
 *
 * @since 0.1.0
 */
export * as SeededRandom from "./SeededRandom.ts"
export * as SimulatedNetwork from "./SimulatedNetwork.ts"
export * as TestCertificates from "./TestCertificates.ts"
export * as UdpRelay from "./UdpRelay.ts"
