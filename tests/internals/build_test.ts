/** The builds of the kernels: valid, where their static data lies, and how much scratch they ask for. */

import assert from "node:assert/strict";
import { Control } from "../../asm/abi.ts";
import { Flag } from "../../asm/tables.gen.ts";
import { kernelBytes as publicBytes } from "../../src/kernels.ts";
import {
  backwardTile,
  DECODE_ROWS,
  decodeTile,
  forwardTile,
  insideTile,
} from "../../src/plan/wasm/tiles.ts";
import { CHUNK_KEYS } from "../../src/plan/wasm/regions.ts";
import { CONTROL_BYTE, HEAP_BYTE } from "../../src/wasm/memory/linear_memory.ts";
import { kernelBytes, type SimdLevel, unpackCompiled } from "../../src/wasm/module/kernel_bytes.ts";
import {
  packedKernels,
  relaxedFlagOffset,
  sharedFlagOffset,
} from "../../src/wasm/module/kernels.gen.ts";
import { unpackAnywhere } from "../../src/wasm/module/unpack_anywhere.ts";
import {
  detectSimd,
  instantiateKernels,
  type KernelExports,
} from "../../src/wasm/module/module.ts";

const levels: readonly SimdLevel[] = ["relaxed", "plain"];

/** Reads a wasm binary from its front. */
class Reader {
  at = 0;
  constructor(readonly bytes: Uint8Array) {}
  unsigned(): number {
    let value = 0;
    for (let shift = 0;; shift += 7) {
      const byte = this.bytes[this.at++]!;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  }
  /** The bytes of the section with this id. */
  section(id: number): Reader | undefined {
    for (this.at = 8; this.at < this.bytes.length;) {
      const found = this.bytes[this.at++], length = this.unsigned();
      if (found === id) return new Reader(this.bytes.subarray(this.at, this.at + length));
      this.at += length;
    }
    return undefined;
  }
}

/** Where each data segment begins and ends in memory. */
function dataSegments(bytes: Uint8Array): [begin: number, end: number][] {
  const section = new Reader(bytes).section(11);
  if (!section) return [];
  return Array.from({ length: section.unsigned() }, (): [number, number] => {
    assert.equal(section.unsigned(), 0, "an active segment of memory 0");
    assert.equal(section.bytes[section.at++], 0x41, "its address is an i32.const");
    const begin = section.unsigned(); // addresses this small have one form, signed or not
    assert.equal(section.bytes[section.at++], 0x0b, "end of the address");
    const length = section.unsigned();
    section.at += length;
    return [begin, begin + length];
  });
}

function open(level: SimdLevel): KernelExports {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 65536 });
  return instantiateKernels(new WebAssembly.Module(kernelBytes(level, false)), memory);
}

Deno.test("each build is valid WebAssembly and says which it is", () => {
  const best = detectSimd();
  for (const level of levels) {
    if (level === "relaxed" && best === "plain") continue;
    assert.ok(WebAssembly.validate(kernelBytes(level, false)), level);
    assert.ok(WebAssembly.validate(kernelBytes(level, true)), `${level}, shared`);
    assert.equal(open(level).relaxed(), level === "relaxed" ? 1 : 0);
  }
});

Deno.test("shared and unshared builds differ by the flags of the memory import alone", () => {
  for (const level of levels) {
    const [shared, unshared] = [kernelBytes(level, true), kernelBytes(level, false)];
    assert.equal(shared.length, unshared.length);
    const different = [...shared.keys()].filter((i) => shared[i] !== unshared[i]);
    assert.deepEqual(different, [sharedFlagOffset], level);
    assert.deepEqual([unshared[different[0]!], shared[different[0]!]], [1, 3]);
  }
});

Deno.test("the plain build is the relaxed one with its multiply-adds taken apart", () => {
  const [relaxed, plain] = [kernelBytes("relaxed", false), kernelBytes("plain", false)];
  assert.equal(relaxed.length, plain.length);
  const count = (bytes: Uint8Array, code: number) =>
    bytes.filter((b, i) => b === 0xfd && bytes[i + 1] === code && bytes[i + 2] === 2).length;
  const fused = count(relaxed, 0x85), changed = relaxed.filter((b, i) => b !== plain[i]).length;
  assert.ok(fused > 300 && count(plain, 0x85) === 0);
  const fours = count(relaxed, 0x93), twos = count(relaxed, 0x92);
  assert.ok(fours > 12 && twos > 7 && count(plain, 0x93) + count(plain, 0x92) === 0);
  // three bytes for each multiplication, two for each addition, and the flag; what has dot products never runs
  assert.equal(changed, 5 * fused + 5 * fours + 2 * twos + 1);
  assert.deepEqual([relaxed[relaxedFlagOffset], plain[relaxedFlagOffset]], [1, 0]);
});

Deno.test("the text of the kernels gives the same bytes wherever it is unpacked", () => {
  const bytes = kernelBytes("relaxed", false);
  assert.equal(bytes.length, packedKernels.size);
  assert.deepEqual(unpackCompiled(packedKernels), bytes);
  assert.deepEqual(unpackAnywhere(packedKernels), bytes);
});

for (const missing of ["Uint8Array.fromHex", "TextEncoder"]) {
  Deno.test(`without ${missing} the bytes are the same`, () => {
    const host = (missing === "TextEncoder" ? globalThis : Uint8Array) as Record<string, unknown>;
    const name = missing.split(".").pop()!, found = host[name];
    try {
      host[name] = undefined;
      assert.deepEqual(unpackCompiled(packedKernels), kernelBytes("relaxed", false));
    } finally {
      host[name] = found;
    }
  });
}

Deno.test("a build takes only the kind of memory that it was made for", () => {
  if (typeof SharedArrayBuffer !== "function") return;
  for (const isShared of [false, true]) {
    const module = new WebAssembly.Module(kernelBytes("plain", isShared));
    const memory = (shared: boolean) =>
      new WebAssembly.Memory({ initial: 1, maximum: 65536, shared });
    instantiateKernels(module, memory(isShared));
    assert.throws(() => instantiateKernels(module, memory(!isShared)), /wasmModule does not fit/);
  }
});

Deno.test("the kernels import a memory and nothing else", () => {
  for (const level of levels) {
    const module = new WebAssembly.Module(kernelBytes(level, false));
    const imports = WebAssembly.Module.imports(module)
      .map(({ module, name, kind }) => `${kind} ${module}.${name}`);
    assert.deepEqual(imports, ["memory env.memory"]);
  }
});

Deno.test("static data of the kernels ends below the control block, which ends below the heap", () => {
  for (const level of levels) {
    const segments = dataSegments(kernelBytes(level, false));
    assert.ok(segments.length > 0, "the kernels have constants");
    for (const [, end] of segments) {
      assert.ok(end <= CONTROL_BYTE, `${level} has data up to ${end}`);
    }
  }
  assert.equal(CONTROL_BYTE % 4, 0);
  assert.ok(CONTROL_BYTE + Control.Words * 4 <= HEAP_BYTE);
  // 256 threads is the most that createEngine takes, and one may stand in for the calling thread
  assert.ok(Control.Scratch + 257 <= Control.Left, "a scratch word for every thread");
  assert.ok(Control.Left + Control.LeftCount <= Control.Busy);
  assert.ok(Control.Busy + 257 <= Control.Words, "a busy word for every thread");
});

Deno.test("scratch of a thread stays below 1 MiB for head dimensions up to 256", () => {
  const kernels = open("plain"), dims = [1, 3, 8, 40, 64, 65, 96, 128, 129, 160, 192, 255, 256];
  const check = (bytes: number, about: string) => {
    assert.ok(bytes > 0 && bytes < 2 ** 20, `${about} needs ${bytes} bytes`);
  };
  for (const headDim of dims) {
    for (const valueDim of dims) {
      const about = `headDim ${headDim}, valueDim ${valueDim}`;
      const problem = { lengthQ: 65536, lengthK: 65536, headDim, valueDim };
      const { rows, keys } = forwardTile(problem);
      const whole = Math.ceil(keys / CHUNK_KEYS) * CHUNK_KEYS; // keys of a tile, where outputs are of integers
      for (
        const [flags, tile] of [
          [0, keys],
          [Flag.Integers, keys],
          [Flag.Integers | Flag.IntegerOutputs, whole],
        ] as const
      ) {
        const bytes = kernels.forwardScratch(headDim, valueDim, rows, tile, flags);
        check(bytes, `forward, flags ${flags}, ${about}`);
      }
      const inside = insideTile({ ...problem, count: 256 });
      check(kernels.insideScratch(headDim, inside.rows, inside.keys, 256), `inside, ${about}`);
      const backward = backwardTile(problem);
      check(kernels.backwardScratch(headDim, valueDim, backward.rows), `backward, ${about}`);
      for (const rows of [1, 4, 5, 8, 12, DECODE_ROWS]) {
        const tile = decodeTile({ rows, headDim });
        check(
          kernels.decodeScratch(headDim, valueDim, rows, tile.keys),
          `decode ${rows}, ${about}`,
        );
      }
    }
  }
});

Deno.test("./kernels gives the unshared bytes, a new array each time", () => {
  for (const level of levels) {
    const bytes = publicBytes(level);
    assert.deepEqual(bytes, kernelBytes(level, false));
    bytes.fill(0);
    assert.equal(publicBytes(level)[1], 97);
  }
});

Deno.test("./kernels gives the same bytes where compiling is forbidden", async () => {
  const worker = new Worker(new URL("./forbidden_worker.ts", import.meta.url), { type: "module" });
  try {
    const bytes = await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = (event) => reject(new Error(event.message));
    });
    assert.deepEqual(bytes, kernelBytes("plain", false));
  } finally {
    worker.terminate();
  }
});
