// Standard attention on the CPU, for some heads: the kernels of bench/asm/unfused.ts, which write the whole matrix of a head,
// then its softmax, then the product with v.
import type { Reply, Request } from "./messages.ts";

interface Kernels {
  scratchBytes(length: number, headDim: number): number;
  /** q, k, v, out, heads, length, headDim, scale, scratch: addresses and numbers. */
  attend(...operands: number[]): void;
}

interface Prepared {
  readonly run: () => void;
  readonly out: () => Float32Array<ArrayBuffer>;
  readonly memoryBytes: number;
}

const PAGE = 65536;

function prepare(request: Request & { readonly kind: "prepare" }): Prepared {
  const { module, heads, length, headDim, q, k, v } = request;
  const count = heads * length * headDim;
  // constants of the kernels lie in the first page
  const [first, last] = [PAGE, PAGE + 4 * 4 * count];
  const memory = new WebAssembly.Memory({
    initial: Math.ceil(last / PAGE),
    maximum: 65536,
  });
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const kernels = exports as unknown as Kernels;
  // an i32 that stands for bytes up to 4 GiB
  const scratch = kernels.scratchBytes(length, headDim) >>> 0;
  memory.grow(Math.ceil(scratch / PAGE));
  const places = [0, 1, 2, 3].map((n) => first + 4 * count * n);
  [q, k, v].forEach((data, n) => new Float32Array(memory.buffer, places[n], count).set(data));
  const scale = 1 / Math.sqrt(headDim);
  return {
    run: () => kernels.attend(...places, heads, length, headDim, scale, last),
    out: () => new Float32Array(memory.buffer, places[3], count).slice(),
    memoryBytes: scratch,
  };
}

let prepared: Prepared | undefined;

function answer(request: Request): Reply {
  switch (request.kind) {
    case "prepare":
      prepared = prepare(request);
      return { kind: "ready", memoryBytes: prepared.memoryBytes };
    case "run":
      for (let n = 0; n < request.times; n++) prepared!.run();
      return { kind: "done" };
    case "read":
      return { kind: "result", out: prepared!.out() };
  }
}

addEventListener("message", ({ data }: MessageEvent<Request>) => {
  let reply: Reply;
  try {
    reply = answer(data);
  } catch (error) {
    reply = { kind: "failed", message: (error as Error).message };
  }
  postMessage(reply);
});
