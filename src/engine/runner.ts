// What runs calls, in the order in which they come: the backends behind an engine, or behind the calls that name none.
import type { Call } from "../problem/problem.ts";
import type { Abortable } from "./engine_options.ts";
import { ownResults } from "./ownership.ts";
import type { Router } from "./router.ts";

/**
 * Runs calls. Calls that name no engine share a runner and need no `Engine`, so that a bundle of them alone holds
 * neither caches nor any other call.
 */
export class Runner {
  readonly router: Router;
  /** Whose resident results are; nobody's where no engine was made. */
  engine: object | undefined;

  constructor(router: Router) {
    this.router = router;
  }

  async run<R extends object>(call: Call, { signal }: Abortable): Promise<R> {
    return this.own(call, await this.router.run<R>(call, signal));
  }

  runSync<R extends object>(call: Call, { signal }: Abortable): R {
    signal?.throwIfAborted();
    return this.own(call, this.router.runSync<R>(call));
  }

  /** Results of a call as its caller gets them. */
  own<R extends object>({ given }: Call, results: R): R {
    if (this.engine) ownResults(results, this.engine);
    return given ? { ...results, ...given } : results;
  }
}
