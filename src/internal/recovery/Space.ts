/** Packet number spaces of a path (RFC 9000 section 12.3). Only path 0 has the first two. */
export const Space = { initial: 0, handshake: 1, application: 2 } as const
