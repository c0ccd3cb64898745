import { type Complaint, show } from "../../tensor/errors.ts";
import type { Feature } from "./feature.ts";
import { drawsOf, thresholdOf } from "./philox.ts";

/** What kernels take of it: the seed as the two words of the generator's key. */
export interface DropoutParams {
  readonly probability: number;
  readonly seed: readonly [low: number, high: number];
}

/** Throws unless `probability` is a number in [0, 1). */
export function checkProbability(name: string, probability: unknown, complaint: Complaint): number {
  if (typeof probability !== "number") {
    throw complaint.type(`${name} is ${show(probability)} but must be a number from 0 to below 1`);
  }
  if (!(probability >= 0 && probability < 1)) {
    throw complaint.range(`${name} is ${probability} but must be a number from 0 to below 1`);
  }
  return probability;
}

/** The two words of a seed of 64 bits. Throws unless it is one. */
export function checkSeed(
  name: string,
  seed: unknown,
  complaint: Complaint,
): readonly [low: number, high: number] {
  const wanted = "must be a non-negative safe integer, or a bigint below 2^64";
  if (typeof seed !== "number" && typeof seed !== "bigint") {
    throw complaint.type(`${name} is ${show(seed)} but ${wanted}`);
  }
  const fits = typeof seed === "bigint" ? seed < 2n ** 64n : Number.isSafeInteger(seed);
  if (!(fits && seed >= 0)) throw complaint.range(`${name} is ${show(seed)} but ${wanted}`);
  const bits = BigInt(seed);
  return [Number(bits & 0xffffffffn), Number(bits >> 32n)];
}

/** Dropout: every pair keeps its P, divided by 1 - p, or loses it; seed and place alone decide. */
export const dropout: Feature<DropoutParams> = {
  name: "dropout",
  stage: "probability",
  source: "Srivastava et al. 2014, PyTorch SDPA dropout_p, FlashAttention dropout_p",
  elsewhere: ["dropoutP", "dropout_p"],
  perScore: true,
  parse({ dropout }, _dims, complaint) {
    if (dropout === undefined) return undefined;
    if (typeof dropout !== "object" || dropout === null) {
      throw complaint.type(`dropout is ${show(dropout)} but must be { probability, seed }`);
    }
    const unknown = Object.keys(dropout).find((key) => key !== "probability" && key !== "seed");
    if (unknown !== undefined) {
      throw complaint.type(
        `dropout has the unknown key ${show(unknown)}, wanted probability or seed`,
      );
    }
    const probability = checkProbability("dropout.probability", dropout.probability, complaint);
    const seed = checkSeed("dropout.seed", dropout.seed, complaint);
    return probability === 0 ? undefined : { probability, seed };
  },
  exact: ({ probability, seed }) => ({
    weight: ({ batch, head, query, key }) => {
      const draw = drawsOf(seed, batch, head, query, key >> 3)[key % 8]!;
      return draw >= thresholdOf(probability) ? 1 / (1 - probability) : 0;
    },
  }),
  scalars: { dropoutScale: ({ probability }) => 1 / (1 - probability) },
  words: {
    dropoutThreshold: ({ probability }) => thresholdOf(probability),
    dropoutSeedLow: ({ seed: [low] }) => low,
    dropoutSeedHigh: ({ seed: [, high] }) => high,
  },
};
