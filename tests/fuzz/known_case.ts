/** A call whose result is known, made after every trial: an engine must be as good as before. */
import assert from "node:assert/strict";
import type { Engine, HostTensor } from "../../mod.ts";
import { plainTensor } from "../inputs.ts";

const Q = plainTensor(1, [1, 5, 2, 8]), K = plainTensor(2, [1, 7, 1, 8]);
const V = plainTensor(3, [1, 7, 1, 4]);
const OPTIONS = { causal: true, softcap: 3 } as const;

/** The same by the formula, in float64. */
function expected(): number[] {
  const out: number[] = [];
  for (let i = 0; i < 5; i++) {
    for (let h = 0; h < 2; h++) {
      const weights = Array.from({ length: i + 3 }, (_, j) => {
        let s = 0;
        for (let d = 0; d < 8; d++) s += Q.data[(i * 2 + h) * 8 + d]! * K.data[j * 8 + d]!;
        return Math.exp(3 * Math.tanh(s / Math.sqrt(8) / 3));
      });
      const sum = weights.reduce((a, b) => a + b, 0);
      for (let d = 0; d < 4; d++) {
        out.push(weights.reduce((y, w, j) => y + w / sum * V.data[j * 4 + d]!, 0));
      }
    }
  }
  return out;
}

/** It, with the bits that an engine gave of it while it was new. */
export class KnownCase {
  readonly #engine: Engine;
  readonly #bits: string;

  private constructor(engine: Engine, bits: string) {
    this.#engine = engine;
    this.#bits = bits;
  }

  static async of(engine: Engine): Promise<KnownCase> {
    const out = await outOf(engine);
    expected().forEach((y, n) => assert.ok(Math.abs(y - out[n]!) < 1e-5, `out[${n}] is ${out[n]}`));
    return new KnownCase(engine, `${out}`);
  }

  /** Throws unless the engine gives the same bits as then. */
  async check(about: string): Promise<void> {
    assert.equal(
      `${await outOf(this.#engine)}`,
      this.#bits,
      `${about}: the engine computes otherwise`,
    );
  }
}

async function outOf(engine: Engine): Promise<Float32Array> {
  const { out } = await engine.attention(Q as HostTensor<Float32Array>, K, V, OPTIONS);
  return out.data as Float32Array;
}
