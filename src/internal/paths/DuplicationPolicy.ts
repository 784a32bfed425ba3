/** The shape of a duplication policy: what is sent on several paths at once. */

/**
 * What is sent on several paths at once. Plain synchronous functions, called by the protocol for each frame that leaves.
 *
 * @category models
 * @since 0.2.0
 */
export interface Policy {
  /** For logs and reports. */
  readonly name: string
  /** On how many paths, the first one included: 2 to 8. Default 2. */
  readonly paths?: number | undefined
  /** CRYPTO frames of 1-RTT packets: session tickets. Those of the handshake have one path only. Default true. */
  readonly crypto?: boolean | undefined
  /** RESET_STREAM and STOP_SENDING. Default true. */
  readonly resets?: boolean | undefined
  /** Credit and limits: MAX_DATA, MAX_STREAM_DATA, MAX_STREAMS and their BLOCKED frames. Default false. */
  readonly control?: boolean | undefined
  /** Whether the data of a stream is duplicated. Default: of none. `QuicStream.setDuplication` says it for one stream. */
  readonly stream?: ((streamId: number) => boolean) | undefined
  /** Whether a datagram of so many bytes is. Its receiver gets every copy that arrives. Default: none. */
  readonly datagram?: ((bytes: number) => boolean) | undefined
  /** Bytes of copies at most for each byte of streams and datagrams sent. Default 1. */
  readonly budget?: number | undefined
}

/**
 * Called once per connection.
 *
 * @category models
 * @since 0.2.0
 */
export type Factory = () => Policy
