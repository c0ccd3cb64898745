// Workers of the page. The build makes a file of its own of every source whose name ends in ".worker.ts".

/** Starts a worker, given by the path of its source below the folder of the page: "panels/race/standard.worker.ts". */
export function startWorker(source: `${string}.worker.ts`): Worker {
  const file = source.replace(/\.ts$/, ".js");
  return new Worker(new URL(file, document.baseURI), { type: "module" });
}
