/** What takes too long is said: a promise that never settles rejects, and a loop that never ends is seen from outside. */

/** Seconds that a trial may take; the longest ones compile shaders, which took a software GPU 76 s on a busy machine. */
const LIMIT = 300;

/** Runs something whose promise must settle in time. `beat` tells whoever watches from outside that it has begun. */
export async function withinTime<T>(about: string, run: () => Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${about}: nothing after ${LIMIT} s`)), 1000 * LIMIT);
  });
  beat(about);
  try {
    return await Promise.race([run(), late]);
  } finally {
    clearTimeout(timer);
  }
}

let stops = false;
let watcher: Worker | undefined;

/** A thread that says on the console what has not ended for too long, and ends the process if it is to. */
export function watch(stop: boolean): Disposable {
  stops = stop;
  watcher = new Worker(new URL("./watcher.ts", import.meta.url), { type: "module" });
  return {
    [Symbol.dispose]() {
      watcher?.terminate();
      watcher = undefined;
    },
  };
}

function beat(about: string): void {
  watcher?.postMessage({ about, limit: LIMIT, stop: stops });
}
