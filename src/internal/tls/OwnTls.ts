/** The TLS 1.3 engine of this library: portable, synchronous and, with the same random bytes, deterministic. */
import { ClientSession } from "./ClientSession.ts"
import { resolveConfig } from "./OwnTlsConfig.ts"
import type { OwnTlsConfig } from "./OwnTlsConfig.ts"
import { ServerSession } from "./ServerSession.ts"
import type { TlsEngine } from "./TlsSession.ts"

export type { GroupName, OwnTlsConfig } from "./OwnTlsConfig.ts"

/** Makes an engine. Throws a TypeError that names the setting when one is wrong. */
export const makeTlsEngine = (config: OwnTlsConfig): TlsEngine => {
  const resolved = resolveConfig(config)
  const serves = config.identity !== undefined || config.selectIdentity !== undefined
  return {
    client: (options) => new ClientSession(resolved, options),
    server: serves ? (options) => new ServerSession(resolved, options) : undefined
  }
}
