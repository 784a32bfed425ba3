/**
 * What TypeDoc is told to leave out of the reference: constructors and base types that come from Effect's Schema, the marks by
 * which values are known, where a field was inherited from. The version becomes a line below the text.
 */

interface Comment {
  summary: Array<{ readonly kind: "text"; readonly text: string }>
  blockTags: Array<{ readonly tag: string; readonly content: ReadonlyArray<{ readonly text: string }> }>
}

interface BaseType {
  readonly name?: string | undefined
  /** Of a type that is in the reference. */
  readonly reflection?: Reflection | undefined
}

/** Base types, and below them (`next`) the reflection itself, with those that extend it. */
interface Hierarchy {
  readonly types: ReadonlyArray<BaseType>
  readonly next?: Hierarchy | undefined
  readonly isTarget?: boolean | undefined
}

interface Reflection {
  readonly kind: number
  readonly name: string
  comment?: Comment | undefined
  inheritedFrom?: unknown
  overwrites?: unknown
  typeHierarchy?: Hierarchy | undefined
}

interface Context {
  readonly project: {
    readonly reflections: Readonly<Record<number, Reflection>>
    readonly removeReflection: (reflection: Reflection) => void
  }
}

interface Application {
  readonly converter: {
    readonly on: (event: "resolveBegin" | "resolveEnd", listener: (context: Context) => void) => void
  }
}

/** TypeDoc's `ReflectionKind.Constructor`. */
const CONSTRUCTOR = 512

/**
 * Whether a base type says something to a reader: it is in the reference, or one of Effect's interfaces. A class of Effect's
 * Schema extends an object type without a name, a service the shape of a service.
 */
const isTelling = (base: BaseType): boolean =>
  base.reflection !== undefined || base.name === "Pipeable" || base.name === "Inspectable"

const showVersion = (comment: Comment): void => {
  const since = comment.blockTags.find((tag) => tag.tag === "@since")
  if (since === undefined) return
  comment.blockTags = comment.blockTags.filter((tag) => tag !== since)
  const version = since.content
    .map((part) => part.text)
    .join("")
    .trim()
  comment.summary.push({ kind: "text", text: `\n\n*Since ${version}*` })
}

export const load = (app: Application): void => {
  // At first: what is gone then is in no group and no index.
  app.converter.on("resolveBegin", ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      const isInheritedConstructor = reflection.kind === CONSTRUCTOR && reflection.inheritedFrom !== undefined
      if (isInheritedConstructor || reflection.name.startsWith("~effect-mpquic/")) project.removeReflection(reflection)
    }
  })
  app.converter.on("resolveEnd", ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      delete reflection.inheritedFrom
      delete reflection.overwrites
      const hierarchy = reflection.typeHierarchy
      if (hierarchy !== undefined && hierarchy.isTarget !== true) {
        const types = hierarchy.types.filter(isTelling)
        reflection.typeHierarchy = types.length > 0 ? { ...hierarchy, types } : hierarchy.next
      }
      if (reflection.comment !== undefined) showVersion(reflection.comment)
    }
  })
}
