/**
 * Data that was sent on one path and is sent again on others (draft-21 section 5.7, REC-4).
 */
import type { Path } from "../paths/Path.ts"
import { Space } from "../recovery/PathRecovery.ts"

export class Reinjection {
  /** The path seems dead: the others carry on with everything that is outstanding there. */
  onPathFailed(path: Path): void {
    path.recovery.handOver(Space.application)
  }
}
