// What the page and the workers of standard attention say to each other.

/** To a worker: its heads first, then runs. */
export type Request =
  | {
    readonly kind: "prepare";
    readonly module: WebAssembly.Module;
    readonly heads: number;
    readonly length: number;
    readonly headDim: number;
    readonly q: Float32Array;
    readonly k: Float32Array;
    readonly v: Float32Array;
  }
  | { readonly kind: "run"; readonly times: number }
  | { readonly kind: "read" };

/** From a worker, one for each request. */
export type Reply =
  | { readonly kind: "ready"; readonly memoryBytes: number }
  | { readonly kind: "done" }
  | { readonly kind: "result"; readonly out: Float32Array }
  | { readonly kind: "failed"; readonly message: string };
