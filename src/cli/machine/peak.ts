// The multiply-adds that one thread of this machine can do in WebAssembly, measured: twelve chains of four lanes each,
// which is more than any processor needs to keep its units busy.

const CHAINS = 12, UNROLLED = 4;
const FLOPS_PER_TURN = CHAINS * UNROLLED * 4 * 2;
const TURNS = 100_000;
/** Milliseconds that are spent on it. */
const BUDGET_MS = 300;

const LOCAL_GET = 0x20, LOCAL_SET = 0x21, LOCAL_TEE = 0x22;
const MADD = [0xfd, 0x85, 0x02], MUL = [0xfd, 0xe6, 0x01], ADD = [0xfd, 0xe4, 0x01];

/** An unsigned number in LEB128. */
function leb(value: number): number[] {
  return value < 128 ? [value] : [value & 127 | 128, ...leb(value >>> 7)];
}

function section(id: number, body: readonly number[]): number[] {
  return [id, ...leb(body.length), ...body];
}

/** A float32 in all lanes. */
function splat(value: number): number[] {
  return [0x43, ...new Uint8Array(new Float32Array([value]).buffer), 0xfd, 0x13];
}

/** A module with one function: `run(turns)` does so many turns and returns a number that depends on all of them. */
function moduleBytes(fused: boolean): Uint8Array<ArrayBuffer> {
  const chain = (n: number) => 1 + n, factor = 1 + CHAINS, term = 2 + CHAINS;
  const step = (n: number) => {
    const operands = [LOCAL_GET, chain(n), LOCAL_GET, factor];
    const product = fused
      ? [...operands, LOCAL_GET, term, ...MADD]
      : [...operands, ...MUL, LOCAL_GET, term, ...ADD];
    return [...product, LOCAL_SET, chain(n)];
  };
  const chains = Array.from({ length: CHAINS }, (_, n) => n);
  const turn = Array.from({ length: UNROLLED }, () => chains.flatMap(step)).flat();
  const code = [
    ...[1, CHAINS + 2, 0x7b], // locals: v128
    ...chains.flatMap((n) => [...splat(n), LOCAL_SET, chain(n)]),
    ...[...splat(0.999), LOCAL_SET, factor, ...splat(0.001), LOCAL_SET, term],
    ...[0x03, 0x40, ...turn], // loop
    ...[LOCAL_GET, 0, 0x41, 1, 0x6b, LOCAL_TEE, 0, 0x0d, 0, 0x0b],
    ...[LOCAL_GET, chain(0), ...chains.slice(1).flatMap((n) => [LOCAL_GET, chain(n), ...ADD])],
    ...[0xfd, 0x1f, 0, 0x0b], // a lane of the sum
  ];
  return new Uint8Array([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 1, 0x7f, 1, 0x7d]),
    ...section(3, [1, 0]),
    ...section(7, [1, 3, ...new TextEncoder().encode("run"), 0, 0]),
    ...section(10, [1, ...leb(code.length), ...code]),
  ]);
}

/** GFLOP/s of one thread; `fused`: with relaxed multiply-adds. The best of what fits into a moment. */
export function peakGflops(fused: boolean): number {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(moduleBytes(fused)));
  const { run } = exports as { run: (turns: number) => number }, begin = performance.now();
  let best = Infinity;
  run(TURNS); // V8 replaces its first code
  do {
    const start = performance.now();
    if (!Number.isFinite(run(TURNS))) throw new Error("the chains left the finite numbers");
    best = Math.min(best, performance.now() - start);
  } while (performance.now() - begin < BUDGET_MS);
  return TURNS * FLOPS_PER_TURN / best / 1e6;
}
