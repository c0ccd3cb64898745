/** Choosing the next token. */
import type { Random } from "../byte_lm/random.ts";

export interface Sampling {
  /** 0 always takes the likeliest token. */
  temperature: number;
  /** Draws among the likeliest tokens that together have this probability; 1 among all. */
  topP: number;
}

/** Draws a token from softmax(logits / temperature). */
export function sample(
  logits: Float32Array,
  { temperature, topP }: Sampling,
  random: Random,
): number {
  const likeliest = largestAt(logits);
  if (temperature === 0) return likeliest;
  const largest = logits[likeliest]!;
  const weights = Float64Array.from(logits, (x) => Math.exp((x - largest) / temperature));
  const total = weights.reduce((sum, w) => sum + w, 0);
  const tokens = topP < 1 ? nucleus(weights, topP * total) : weights.keys();
  return draw(weights, [...tokens], random);
}

/** Where the largest number is, the first of equal ones. */
export function largestAt(logits: Float32Array): number {
  let at = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i]! > logits[at]!) at = i;
  if (!Number.isFinite(logits[at])) {
    throw new Error(`The model computes ${logits[at]}: its weights are damaged`);
  }
  return at;
}

/** The likeliest tokens whose weights reach `enough` (Holtzman et al., 2020). */
function nucleus(weights: Float64Array, enough: number): number[] {
  const byWeight = [...weights.keys()].sort((a, b) => weights[b]! - weights[a]!);
  let sum = 0;
  const count = byWeight.findIndex((token) => (sum += weights[token]!) >= enough) + 1;
  return byWeight.slice(0, count > 0 ? count : byWeight.length);
}

function draw(weights: Float64Array, tokens: number[], random: Random): number {
  let rest = random.next() * tokens.reduce((sum, token) => sum + weights[token]!, 0);
  for (const token of tokens) {
    rest -= weights[token]!;
    if (rest < 0) return token;
  }
  return tokens.at(-1)!;
}
