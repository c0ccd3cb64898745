/** Random graphs: one generator for everything that reads graphs. A seed is a graph for ever. */

import { captured } from "../../src/expression/captured.ts";
import type {
  BoolExpression,
  FloatExpression,
  IntExpression,
} from "../../src/expression/expressions.ts";
import {
  type MaskMod,
  maskMod,
  type MaskSymbols,
  type ScoreMod,
  scoreMod,
  type ScoreSymbols,
} from "../../src/expression/score_mod.ts";
import { normalNumbers, randomNumbers } from "../random.ts";

/** Captured arrays of random graphs are read at queries and keys held below this. */
const LENGTH = 128;

const documents = captured(Int32Array.from({ length: LENGTH }, (_, n) => Math.floor(n / 19)), [
  LENGTH,
]);
const noise = captured(
  Int32Array.from(normalNumbers(1, 2 * LENGTH, 4)),
  [2, LENGTH],
);
const weights = captured(Float32Array.from(normalNumbers(2, LENGTH, 0.5)), [LENGTH], {
  gradient: true,
});
const table = captured(Float32Array.from(normalNumbers(3, 4 * 17, 0.5)), [4, 17], {
  gradient: true,
});

/** Settings of a generator. */
export interface RandomOptions {
  /** How many operations lie above each other. */
  readonly depth?: number;
  /** Whether masks compare floats, whose last bits differ between float64 and float32. */
  readonly floatsInMasks?: boolean;
}

class Generator {
  readonly #random: () => number;
  readonly #floatsInMasks: boolean;

  constructor(seed: number, floatsInMasks: boolean) {
    this.#random = randomNumbers(seed);
    this.#floatsInMasks = floatsInMasks;
  }

  below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  pick<T>(...ways: readonly (() => T)[]): T {
    return ways[this.below(ways.length)]!();
  }

  /** Any integer; large factors make some of them wrap. */
  int(symbols: MaskSymbols, depth: number): IntExpression {
    if (depth <= 0 || this.below(5) === 0) return this.#intLeaf(symbols);
    const a = () => this.int(symbols, depth - 1), n = 1 + this.below(40);
    const arm = () => this.bool(symbols, depth - 1).where(a(), a());
    return this.pick(
      ...[() => a().add(a()), () => a().sub(a()), () => a().add(n), () => a().neg()],
      ...[() => a().mul(this.below(7) - 3), () => a().mul(a()), () => a().mul(2 ** (10 + n % 21))],
      ...[() => a().floorDiv(n), () => a().floorDiv(-n), () => a().floorDiv(a())],
      ...[() => a().mod(n), () => a().mod(-n), () => a().mod(a())],
      ...[() => a().abs(), () => a().min(a()), () => a().max(n), arm],
      () => documents.at(a().max(0).min(LENGTH - 1)),
    );
  }

  #intLeaf({ batch, head, query, key, diagonal, lengthK }: MaskSymbols): IntExpression {
    const within = (index: IntExpression) => index.min(LENGTH - 1);
    return this.pick(
      ...[() => query, () => key, () => diagonal, () => query.sub(key), () => head, () => lengthK],
      ...[() => documents.at(within(query)), () => documents.at(within(key))],
      () => noise.at(batch.max(0).min(1), within(key)),
    );
  }

  bool(symbols: MaskSymbols, depth: number): BoolExpression {
    if (depth <= 1 || this.below(3) === 0) return this.#comparison(symbols, depth);
    const a = () => this.bool(symbols, depth - 1);
    return this.pick(
      ...[() => a().and(a()), () => a().or(a()), () => a().xor(a()), () => a().not()],
      () => a().where(a(), a()),
    );
  }

  #comparison(symbols: MaskSymbols, depth: number): BoolExpression {
    const names = ["lt", "le", "gt", "ge", "eq", "ne"] as const, name = names[this.below(6)]!;
    if (this.#floatsInMasks && this.below(3) === 0) {
      const a = () => this.#index(symbols, depth);
      return this.pick(() => a()[name](a()), () => a()[name](this.below(60) - 20));
    }
    const a = () => this.int(symbols, depth);
    return this.pick(() => a()[name](a()), () => a()[name](this.below(60) - 20));
  }

  /** A float without the score, also beyond what float32 holds. */
  #index(symbols: MaskSymbols, depth: number): FloatExpression {
    if (depth <= 0 || this.below(5) === 0) {
      return this.pick(
        () => this.int(symbols, 1).toFloat(),
        () => this.int(symbols, 1).toFloat().mul(0.1),
        () => weights.at(symbols.key.min(LENGTH - 1)),
      );
    }
    const a = () => this.#index(symbols, depth - 1);
    return this.pick(
      ...[() => a().add(a()), () => a().sub(a()), () => a().mul(a()), () => a().square()],
      ...[() => a().abs(), () => a().neg(), () => a().min(a()), () => a().max(0.3)],
      ...[() => a().mul(1e-42), () => a().mul(1e30), () => a().exp(), () => a().div(a())],
      () => this.bool(symbols, 1).where(a(), Infinity),
    );
  }

  /** A float that depends on the score in most cases, of a size that float32 can follow. */
  float(symbols: ScoreSymbols, depth: number): FloatExpression {
    if (depth <= 0 || this.below(6) === 0) return this.#floatLeaf(symbols);
    const a = () => this.float(symbols, depth - 1);
    return this.pick(
      ...[() => a().add(a()), () => a().sub(a()), () => a().mul(a()), () => a().neg()],
      ...[() => a().min(a()), () => a().max(a()), () => a().abs(), () => a().div(a().abs().add(1))],
      ...[() => a().tanh(), () => a().sigmoid(), () => a().min(3).exp(), () => a().square()],
      ...[
        () => a().abs().add(0.01).sqrt(),
        () => a().abs().add(1).log(),
        () => a().sin(),
        () => a().cos(),
      ],
      ...[() => a().max(-4).min(4).pow(3), () => a().gt(a()).where(a(), 0.5)],
      ...[() => this.bool(symbols, 1).where(a(), a()), () => this.#guarded(a())],
    );
  }

  /** An arm that is NaN or infinite where it is not chosen. */
  #guarded(a: FloatExpression): FloatExpression {
    return a.gt(0.01).where(this.pick(() => a.log(), () => a.sqrt(), () => a.pow(-0.5)), a);
  }

  #floatLeaf(symbols: ScoreSymbols): FloatExpression {
    const { score, query, key, head } = symbols;
    const distance = () => query.sub(key).max(-8).min(8).add(8);
    return this.pick(
      ...[() => score, () => score.mul(0.5), () => query.sub(key).toFloat().mul(0.125)],
      ...[() => weights.at(key.min(LENGTH - 1)), () => weights.at(query.min(LENGTH - 1))],
      () => table.at(head.max(0).min(3), distance()),
    );
  }
}

/** A mask whose captured indices are in range whatever the lengths are. */
export function randomMask(
  seed: number,
  { depth = 3, floatsInMasks = false }: RandomOptions = {},
): MaskMod {
  const generator = new Generator(seed, floatsInMasks);
  return maskMod((symbols) => generator.bool(symbols, depth));
}

/** A function of scores whose captured indices are in range whatever the lengths are. */
export function randomScore(seed: number, { depth = 4 }: RandomOptions = {}): ScoreMod {
  const generator = new Generator(seed, false);
  return scoreMod((symbols) => generator.float(symbols, depth));
}
