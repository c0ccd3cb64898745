// What was found, as sentences.
import type { Engine, WasmTarget } from "@flashtile/attention";
import { ACCEPTS_SOFTWARE } from "../../engines.ts";
import { bytes, count, duration, plural } from "../../parts/words.ts";
import type { Gpu } from "./gpu.ts";
import type { Proof } from "./proof.ts";

/** A line of the panel. */
export interface Fact {
  readonly term: string;
  /** A word or two. */
  readonly value?: string | undefined;
  /** What it means here. */
  readonly why?: string | undefined;
  /** What to do to have more. */
  readonly remedy?: string | undefined;
}

const HEADERS = "Serve the page with the headers Cross-Origin-Opener-Policy: same-origin and " +
  "Cross-Origin-Embedder-Policy: require-corp.";

/** The panel in a sentence. */
export function summaryOf({ backend, target }: Engine, gpu: Gpu): string {
  if (target.backend === "webgpu") {
    return `Attention runs on your GPU, ${target.adapter}, where that is faster than the CPU.`;
  }
  const { workers } = target;
  const threads = plural(target.threads, "thread") +
    (workers ? ` and ${plural(workers, "worker")}` : "");
  const without = gpu.kind === "software"
    ? "The only GPU is one in software, which is slower than that."
    : gpu.kind === "none"
    ? gpu.why
    : "There is a GPU, and it was not taken: what the engine says has the reason.";
  return `Attention runs on the CPU, in ${
    backend === "wasm" ? "WebAssembly" : backend
  }, with ${threads}. ${without}`;
}

function gpuFact({ target }: Engine, gpu: Gpu): Fact {
  const term = "GPU";
  if (target.backend === "webgpu") {
    return {
      term,
      value: target.adapter,
      why: target.software
        ? "computes in software, which the address asks for."
        : "passed a test kernel and takes the calls that it finishes first.",
    };
  }
  if (gpu.kind === "none") {
    return { term, value: "None.", why: gpu.why, remedy: gpu.remedy };
  }
  if (gpu.kind === "hardware") {
    return {
      term,
      value: "Not used.",
      why: `${gpu.name} is there, but it was not taken.`,
    };
  }
  return {
    term,
    value: "In software.",
    why: `${gpu.name} imitates a GPU on the CPU. ${
      ACCEPTS_SOFTWARE
        ? "The address asks for it, so panels that compare use it as well."
        : "The kernels in WebAssembly are faster, so it is left alone."
    }`,
    remedy: ACCEPTS_SOFTWARE ? undefined : "Add ?gpu=software to the address to see it used.",
  };
}

/** What the engine adds where there are fewer threads than cores. */
function shortageOf(reason: string): string | undefined {
  return /; no more threads: (.*?)(?:; no more workers|$)/s.exec(reason)?.[1];
}

const WHY_NO_THREADS =
  "Threads share memory, which browsers allow only in a page that is isolated from others.";

/** Of a page that may not share memory. */
function workersFact(cpu: Engine, workers: number, value: string): Fact {
  const term = "Threads";
  if (workers === 0) {
    const refused = /; no more workers: (.*)$/s.exec(cpu.reason)?.[1];
    const why = refused ? `${WHY_NO_THREADS} No workers either: ${refused}.` : WHY_NO_THREADS;
    return { term, value, why, remedy: HEADERS };
  }
  return {
    term,
    value: `${value.slice(0, -1)}, and ${plural(workers, "worker")}.`,
    why:
      `${WHY_NO_THREADS} Workers have a memory of their own: large calls are cut up and sent to them.`,
    remedy: `Threads need no copies. ${HEADERS}`,
  };
}

function threadsFact(cpu: Engine, { threads, workers = 0 }: WasmTarget): Fact {
  const cores = navigator.hardwareConcurrency ?? 1, term = "Threads";
  const value = `${count(threads)} of ${plural(cores, "core")}.`;
  const shortage = shortageOf(cpu.reason);
  if (shortage === undefined) {
    return { term, value, why: "Every core shares the work of a call." };
  }
  if (!crossOriginIsolated) return workersFact(cpu, workers, value);
  return {
    term,
    value,
    why: "The browser lets no more be started.",
    remedy: `${shortage}.`,
  };
}

function simdFact({ relaxedSimd, vectorBits }: WasmTarget): Fact {
  const term = "SIMD";
  if (!relaxedSimd) {
    return {
      term,
      value: "Plain, 128 bits.",
      why:
        "Products and sums are two instructions; results differ in the last bits from those of browsers with relaxed SIMD.",
      remedy: "Relaxed SIMD, about twice as fast, is in Chrome and Edge from 114 on.",
    };
  }
  if (vectorBits === 256) {
    return {
      term,
      value: "Relaxed, 256 bits.",
      why: "A product and a sum are one instruction, and two vectors go through at a time.",
    };
  }
  return {
    term,
    value: "Relaxed, 128 bits.",
    why: "A product and a sum are one instruction.",
    remedy:
      "Chromium makes one operation of 256 bits of two with --js-flags=--wasm-revectorize: on an Intel Xeon 1.7 to 1.9 times as fast.",
  };
}

/** What the engine is, after it has computed something: threads start with the first long call. */
export function engineFacts(
  engine: Engine,
  cpu: Engine,
  gpu: Gpu,
  proof: Proof,
): Fact[] {
  const target = cpu.target as WasmTarget, { memory } = engine;
  const right = proof.error < 1e-5;
  return [
    {
      term: "First result",
      value: `${duration(proof.ms)}.`,
      why: `Attention over ${count(proof.length)} tokens in ${proof.heads} heads of 64. ` +
        `Rows computed again in float64 ${right ? "agree to" : "differ by"} ${
          proof.error.toExponential(0)
        } of the largest value.`,
      remedy: right ? undefined : "That is too much: please report it, with what the engine says.",
    },
    gpuFact(engine, gpu),
    threadsFact(cpu, target),
    simdFact(target),
    {
      term: "Memory",
      value: `${bytes(memory.peak)} at the peak,`,
      why: `${bytes(memory.total)} held. A matrix of all scores of that call would be ${
        bytes(4 * proof.heads * proof.length ** 2)
      }.`,
    },
    isolationFact(),
    { term: "The engine says", why: `${engine.reason}.` },
  ];
}

/** Whether the page may share memory; also of a browser in which there is no engine. */
export function isolationFact(): Fact {
  const term = "Isolation";
  return crossOriginIsolated
    ? { term, value: "Isolated.", why: "Memory may be shared with worker threads." }
    : {
      term,
      value: "Not isolated.",
      why: "Everything works; workers cannot share memory.",
      remedy: HEADERS,
    };
}
