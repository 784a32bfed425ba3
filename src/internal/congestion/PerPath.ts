import type { ConnectionControllers, Factory, PathInfo } from "./Controller.ts"

/** Each path has the control that `choose` names; paths with the same one share its state, as in a connection of their own. */
export const perPath =
  (choose: (path: PathInfo) => Factory): Factory =>
  () => {
    const made = new Map<Factory, ConnectionControllers>()
    return {
      make: (path) => {
        const factory = choose(path)
        let controllers = made.get(factory)
        if (controllers === undefined) {
          if (typeof factory !== "function") throw new TypeError("congestion control of a path must be a factory")
          controllers = factory()
          made.set(factory, controllers)
        }
        return controllers.make(path)
      }
    }
  }
