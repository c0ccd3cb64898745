// Standard attention on the CPU: a worker for each thread or worker that flashtile has, each with its share of the heads.
import type { WasmTarget } from "@flashtile/attention";
import { hands } from "../../engines.ts";
import { startWorker } from "../../parts/worker.ts";
import { bytes } from "../../parts/words.ts";
import { type Contender, type Prepared, type Shape, unlessAborted } from "./contender.ts";
import type { Inputs } from "../../attention/inputs.ts";
import type { Reply, Request } from "./messages.ts";

/** One of the workers, asked one thing at a time. */
class Helper {
  readonly #worker = startWorker("panels/race/standard.worker.ts");

  ask(request: Request): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.#worker.onmessage = ({ data }: MessageEvent<Reply>) => {
        if (data.kind === "failed") {
          reject(
            new Error(
              `Standard attention failed in its worker: ${data.message}.`,
            ),
          );
        } else resolve(data);
      };
      this.#worker.onerror = (event) => {
        reject(
          new Error(event.message || "The browser refused to start a worker."),
        );
      };
      this.#worker.postMessage(request);
    });
  }

  stop(): void {
    this.#worker.terminate();
  }
}

async function loadKernels(relaxed: boolean): Promise<WebAssembly.Module> {
  const file = `standard-${relaxed ? "relaxed" : "plain"}.wasm`;
  const response = await fetch(new URL(file, document.baseURI));
  if (!response.ok) {
    throw new Error(
      `${file} did not load: the server says ${response.status}.`,
    );
  }
  return await WebAssembly.compile(await response.arrayBuffer());
}

function share(
  { length, headDim, q, k, v }: Inputs,
  first: number,
  heads: number,
) {
  const size = length * headDim, from = first * size, to = from + heads * size;
  return {
    heads,
    length,
    headDim,
    q: q.slice(from, to),
    k: k.slice(from, to),
    v: v.slice(from, to),
  };
}

async function prepare(
  module: WebAssembly.Module,
  threads: number,
  inputs: Inputs,
  signal: AbortSignal,
): Promise<Prepared> {
  const helpers = Array.from({ length: threads }, () => new Helper());
  const dispose = () => helpers.forEach((helper) => helper.stop());
  const each = inputs.heads / threads;
  const askAll = async (request: (n: number) => Request, signal: AbortSignal) =>
    await unlessAborted(
      Promise.all(helpers.map((helper, n) => helper.ask(request(n)))),
      signal,
    );
  try {
    const ready = await askAll(
      (n) => ({ kind: "prepare", module, ...share(inputs, n * each, each) }),
      signal,
    );
    const memoryBytes = ready.reduce((sum, reply) => {
      return sum + (reply.kind === "ready" ? reply.memoryBytes : 0);
    }, 0);
    return {
      memoryBytes,
      async run(times, signal) {
        const begin = performance.now();
        await askAll(() => ({ kind: "run", times }), signal);
        return performance.now() - begin;
      },
      async read() {
        const out = new Float32Array(inputs.q.length);
        for (const [n, helper] of helpers.entries()) {
          const reply = await helper.ask({ kind: "read" });
          if (reply.kind === "result") out.set(reply.out, n * reply.out.length);
        }
        return out;
      },
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** The contender; `budget`: bytes that its matrices may take, one for each thread at a time. */
export async function standardCpu(
  target: WasmTarget,
  shape: Shape,
  budget: number,
): Promise<Contender> {
  const threads = hands(target), module = await loadKernels(target.relaxedSimd);
  return {
    id: "standard cpu",
    name: "standard, CPU",
    tooLong(length) {
      const matrix = 4 * length ** 2, all = threads * matrix;
      const tensors = 16 * length * shape.headDim * shape.heads / threads;
      if (all > budget) {
        return threads === 1
          ? `its matrix would take ${bytes(all)}`
          : `its ${threads} matrices, one a thread, would take ${bytes(all)}`;
      }
      if (matrix + tensors > 2 ** 32 - 2 ** 24) {
        return `a matrix of ${bytes(matrix)} is more than a WebAssembly memory can hold`;
      }
      return undefined;
    },
    prepare: (inputs, signal) => prepare(module, threads, inputs, signal),
  };
}
