/** The calls of an engine, each with good arguments. */
import type { Engine } from "../../mod.ts";
import {
  pickAsked,
  pickOperands,
  pickOptions,
  pickResults,
  pickSizes,
  Placed,
  shapeOf,
  type Sizes,
} from "./arguments.ts";
import type { Pick } from "./pick.ts";

/** A call that is about to be made. */
export interface PreparedCall extends Disposable {
  readonly name: string;
  readonly args: unknown[];
  /** What may be written among the arguments, by key. */
  readonly written: ReadonlySet<string>;
  run(args: unknown[]): unknown;
}

/** Methods of an engine, whatever is passed to them. */
export type Anything = { readonly [method: string]: (...args: unknown[]) => unknown };

const loose = (x: unknown): Anything => x as Anything;

interface Setting {
  readonly pick: Pick;
  readonly sizes: Sizes;
  readonly placed: Placed;
}

/** Destinations of results, host tensors or resident ones. */
function pickInto(names: Readonly<Record<string, number[]>>, { pick, placed }: Setting) {
  if (!pick.once(4)) return {};
  return {
    into: Object.fromEntries(
      Object.entries(names).map(([name, shape]) => [name, placed.at(pick.tensor(shape))]),
    ),
  };
}

function forwardArgs(setting: Setting): unknown[] {
  const { pick, sizes, placed } = setting;
  const { q, k, v } = pickOperands(pick, sizes, placed);
  const { batch, queryHeads, lengthQ, valueDim } = sizes;
  const into = pickInto({
    out: shapeOf(sizes, queryHeads, lengthQ, valueDim),
    lse: [batch, queryHeads, lengthQ],
  }, setting);
  return [q, k, v, { ...pickOptions(pick, sizes, placed), ...into, ...pickAsked(pick) }];
}

function backwardArgs({ pick, sizes, placed }: Setting): unknown[] {
  const { q, k, v } = pickOperands(pick, sizes, placed);
  const { out, lse, dOut } = pickResults(pick, sizes, placed);
  const stats = { entropy: placed.at(pick.tensor(lse.shape)) };
  const more = pick.some(4, {
    dLse: () => placed.at(pick.tensor(lse.shape)),
    dEntropy: () => placed.at(pick.tensor(lse.shape)),
  });
  const asked = { ...more, precision: pickAsked(pick)["precision"] };
  return [dOut, { q, k, v, out, lse, stats }, { ...pickOptions(pick, sizes, placed), ...asked }];
}

/** Packed queries and keys. */
function packedArgs({ pick, sizes, placed }: Setting): unknown[] {
  const { queryHeads, kvHeads, lengthQ, lengthK, headDim, valueDim } = sizes;
  const starts = (rows: number) => [0, pick.integer(0, rows), rows];
  const rows = (n: number, heads: number, dim: number) => placed.at(pick.tensor([n, heads, dim]));
  const options = pick.some(3, { causal: () => true, softcap: () => 5, stats: () => ["entropy"] });
  return [
    rows(lengthQ, queryHeads, headDim),
    rows(lengthK, kvHeads, headDim),
    rows(lengthK, kvHeads, valueDim),
    {
      ...options,
      ...pickAsked(pick),
      cuSeqlensQ: starts(lengthQ),
      cuSeqlensK: Int32Array.from(starts(lengthK)),
    },
  ];
}

/** What looks inside takes no options about values. */
function insideOptions({ pick, sizes, placed }: Setting): Record<string, unknown> {
  const { stats: _, ...options } = pickOptions(pick, sizes, placed);
  return options;
}

const insideArgs = (setting: Setting, more: (setting: Setting) => object): unknown[] => {
  const { pick, sizes, placed } = setting, { q, k } = pickOperands(pick, sizes, placed);
  const { batch, queryHeads, lengthQ } = sizes;
  const lse = placed.at(pick.tensor([batch, queryHeads, lengthQ]));
  return [q, k, lse, { ...insideOptions(setting), ...more(setting) }];
};

function scoresArgs(setting: Setting): unknown[] {
  const { pick, sizes: { lengthQ, lengthK } } = setting;
  const range = (n: number) => [0, pick.integer(0, n)];
  const [q, k, lse, options] = insideArgs(setting, () => ({
    stage: pick.of("raw", "softcapped", "masked", "probabilities"),
    ...pick.some(3, { rows: () => range(lengthQ), keys: () => range(lengthK) }),
  }));
  return [q, k, { ...options as object, lse }];
}

function maxSimArgs({ pick, placed }: Setting): unknown[] {
  const rows = pick.integer(0, 20), dim = pick.integer(1, 20);
  const cut = pick.integer(0, rows);
  return [
    placed.at(pick.tensor(pick.once(2) ? [pick.integer(1, 5), dim] : [2, 3, dim])),
    placed.at(pick.tensor([rows, dim])),
    { cuSeqlens: pick.once(2) ? [0, cut, rows] : Int32Array.of(0, cut, cut) },
  ];
}

function maxSimBackwardArgs({ pick, placed }: Setting): unknown[] {
  const rows = pick.integer(1, 9), dim = pick.integer(1, 9), documents = 2, tokens = 3;
  const keys = Int32Array.from({ length: documents * tokens }, () => pick.integer(-1, rows - 1));
  const saved = {
    queries: placed.at(pick.tensor([tokens, dim])),
    documents: placed.at(pick.tensor([rows, dim])),
    keys: { data: keys, shape: [documents, tokens] },
  };
  return [placed.at(pick.tensor([documents])), saved, {}];
}

function mergeArgs({ pick, sizes, placed }: Setting): unknown[] {
  const part = () => {
    const { out, lse } = pickResults(pick, sizes, placed);
    return { out, lse };
  };
  return [Array.from({ length: pick.integer(1, 3) }, part), { layout: sizes.layout }];
}

function rotaryArgs({ pick, sizes, placed }: Setting): unknown[] {
  const { batch, queryHeads, lengthQ, headDim, layout } = sizes;
  const x = placed.at(pick.tensor(shapeOf(sizes, queryHeads, lengthQ, headDim)));
  const pairs = headDim / 2, table = () => pick.tensor([40, pairs]);
  return [x, {
    layout,
    ...pick.some(3, {
      interleaved: () => true,
      inverse: () => true,
      positions: () => Int32Array.from({ length: batch * lengthQ }, () => pick.integer(0, 30)),
    }),
    ...pick.once(3) && { cos: table(), sin: table() },
  }];
}

/** Names of the methods that take tensors, and what makes their arguments. */
const METHODS: Readonly<Record<string, (setting: Setting) => unknown[]>> = {
  attention: forwardArgs,
  attentionSync: forwardArgs,
  explain: forwardArgs,
  attentionBackward: backwardArgs,
  attentionBackwardSync: backwardArgs,
  attentionScores: scoresArgs,
  attentionTopKeys: (setting) => insideArgs(setting, ({ pick }) => ({ count: pick.integer(1, 3) })),
  attentionColumnSums: (setting) => insideArgs(setting, () => ({})),
  maxSim: maxSimArgs,
  maxSimSync: maxSimArgs,
  maxSimBackward: maxSimBackwardArgs,
  maxSimBackwardSync: maxSimBackwardArgs,
  mergeAttention: mergeArgs,
  applyRotary: rotaryArgs,
};

/** The names of the calls that tensors are passed to. */
export const CALLS: readonly string[] = [...Object.keys(METHODS), "packed attention"];

/** A call with good arguments on an engine. */
export function prepareCall(
  engine: Engine,
  name: string,
  pick: Pick,
  resident: boolean,
): PreparedCall {
  const placed = new Placed(engine, resident), sizes = pickSizes(pick);
  const packed = name === "packed attention", method = packed ? "attention" : name;
  const args = (packed ? packedArgs : METHODS[name]!)({ pick, sizes, placed });
  return {
    ...{ name, args, written: new Set(["into"]) },
    run: (args) => loose(engine)[method]!(...args),
    [Symbol.dispose]: () => placed[Symbol.dispose](),
  };
}
