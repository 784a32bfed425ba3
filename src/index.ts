/**
 * Multipath QUIC for TypeScript, as an Effect library.
 *
 * @since 0.1.0
 */
export * as CongestionControl from "./CongestionControl.ts"
export * as Connection from "./Connection.ts"
export * as DuplicationPolicy from "./DuplicationPolicy.ts"
export * as Endpoint from "./Endpoint.ts"
export * as FailureDetector from "./FailureDetector.ts"
export * as LocalAddresses from "./LocalAddresses.ts"
export * as MultipathController from "./MultipathController.ts"
export * as PacketProtection from "./PacketProtection.ts"
export * as Path from "./Path.ts"
export * as PathManager from "./PathManager.ts"
export * as PathScheduler from "./PathScheduler.ts"
export * as QuicConfig from "./QuicConfig.ts"
export * as QuicError from "./QuicError.ts"
export * as QuicStream from "./QuicStream.ts"
export * as ReinjectionPolicy from "./ReinjectionPolicy.ts"
export * as SessionStore from "./SessionStore.ts"
export * as Tls from "./Tls.ts"
export * as UdpSocket from "./UdpSocket.ts"
export * as WarmUp from "./WarmUp.ts"
