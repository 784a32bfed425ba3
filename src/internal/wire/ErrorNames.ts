/** What the specifications call the codes that connections and handshakes end with. */

/** Of transport errors, and of the draft's codes of paths (RFC 9000 section 20.1, draft-ietf-quic-multipath-21 section 4.2). */
export const transportErrorNames: ReadonlyMap<number, string> = new Map([
  [0x00, "NO_ERROR"],
  [0x01, "INTERNAL_ERROR"],
  [0x02, "CONNECTION_REFUSED"],
  [0x03, "FLOW_CONTROL_ERROR"],
  [0x04, "STREAM_LIMIT_ERROR"],
  [0x05, "STREAM_STATE_ERROR"],
  [0x06, "FINAL_SIZE_ERROR"],
  [0x07, "FRAME_ENCODING_ERROR"],
  [0x08, "TRANSPORT_PARAMETER_ERROR"],
  [0x09, "CONNECTION_ID_LIMIT_ERROR"],
  [0x0a, "PROTOCOL_VIOLATION"],
  [0x0b, "INVALID_TOKEN"],
  [0x0c, "APPLICATION_ERROR"],
  [0x0d, "CRYPTO_BUFFER_EXCEEDED"],
  [0x0e, "KEY_UPDATE_ERROR"],
  [0x0f, "AEAD_LIMIT_REACHED"],
  [0x10, "NO_VIABLE_PATH"],
  [0x11, "VERSION_NEGOTIATION_ERROR"],
  [0x3e, "APPLICATION_ABANDON_PATH"],
  [0x3e75, "PATH_RESOURCE_LIMIT_REACHED"],
  [0x3e76, "PATH_UNSTABLE_OR_POOR"],
  [0x3e77, "NO_CID_AVAILABLE_FOR_PATH"]
])

/** Of TLS alerts (RFC 8446 section 6). */
export const alertNames: ReadonlyMap<number, string> = new Map([
  [0, "close_notify"],
  [10, "unexpected_message"],
  [20, "bad_record_mac"],
  [22, "record_overflow"],
  [40, "handshake_failure"],
  [42, "bad_certificate"],
  [43, "unsupported_certificate"],
  [44, "certificate_revoked"],
  [45, "certificate_expired"],
  [46, "certificate_unknown"],
  [47, "illegal_parameter"],
  [48, "unknown_ca"],
  [49, "access_denied"],
  [50, "decode_error"],
  [51, "decrypt_error"],
  [70, "protocol_version"],
  [71, "insufficient_security"],
  [80, "internal_error"],
  [86, "inappropriate_fallback"],
  [90, "user_canceled"],
  [109, "missing_extension"],
  [110, "unsupported_extension"],
  [112, "unrecognized_name"],
  [113, "bad_certificate_status_response"],
  [115, "unknown_psk_identity"],
  [116, "certificate_required"],
  [120, "no_application_protocol"],
  [121, "ech_required"]
])
