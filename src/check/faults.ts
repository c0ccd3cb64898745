// The usual faults, as formulas that have them: a result that agrees with one of these says what is wrong.
import type { Fault, Formula } from "./formula.ts";

/** A formula with a fault; `text` ends the sentence "it is as if ...". */
export interface Suspect {
  readonly text: string;
  readonly formula: Formula;
}

/** Options that may have been forgotten, and what a formula without them lacks. */
const FORGOTTEN: readonly (keyof Formula)[] = [
  ...["causal", "window", "softcap", "alibiSlopes", "bias", "mask"] as const,
  ...["keyLengths", "sink", "dLse"] as const,
];

/** What may be wrong about a problem, in both passes or in the backward pass alone; `saved`: what forward gives. */
export function* suspectsOf(
  formula: Formula,
  saved: NonNullable<Fault["saved"]>,
): Generator<Suspect> {
  const meanings = [...meaningSuspects(formula)];
  yield* meanings;
  yield* backwardSuspects(formula);
  for (const { text, formula: other } of meanings) {
    const inBackward = { ...other, fault: { ...other.fault, saved } };
    yield { text: `${text}, in the backward function alone`, formula: inBackward };
  }
}

/** Options that mean something else, or nothing. */
function* meaningSuspects(formula: Formula): Generator<Suspect> {
  for (const name of FORGOTTEN) {
    if (formula[name] === undefined) continue;
    yield { text: `${name} were not there`, formula: { ...formula, [name]: undefined } };
  }
  yield* scaleSuspects(formula);
  yield* diagonalSuspects(formula);
  yield* optionSuspects(formula);
  const { queryHeads, kvHeads } = formula;
  if (queryHeads > kvHeads && kvHeads > 1) {
    const fault = { interleavedHeads: true };
    yield { text: "query head h read kv head h mod kvHeads", formula: { ...formula, fault } };
  }
}

/** What can only be wrong in the backward pass. */
function* backwardSuspects(formula: Formula): Generator<Suspect> {
  const withFault = (fault: Fault): Formula => ({ ...formula, fault });
  const { queryHeads, kvHeads } = formula, groups = queryHeads / kvHeads;
  if (groups > 1) {
    for (const [which, member] of [["first", 0], ["last", groups - 1]] as const) {
      const counts = (_: number, head: number) => head % groups === member;
      const text = `only the ${which} query head of each group were in the sum`;
      yield { text, formula: withFault({ counts }) };
    }
  }
  yield* sumSuspects(formula);
  const text = "delta = Σ dOut·out were not subtracted";
  yield { text, formula: withFault({ noDelta: true }) };
  if (formula.softcap !== undefined) {
    const fault = { noSlope: true };
    yield { text: "the derivative of softcap were 1", formula: withFault(fault) };
  }
}

function* scaleSuspects(formula: Formula): Generator<Suspect> {
  const { scale, headDim } = formula, standard = 1 / Math.sqrt(headDim);
  const scales: readonly [string, number][] = [
    ["scores were not scaled", 1],
    ["scores were scaled twice", scale ** 2],
    ["softmaxScale were not there", standard],
    ["scores were divided by headDim", 1 / headDim],
  ];
  for (const [text, other] of scales) {
    if (Math.abs(other / scale - 1) > 1e-6) yield { text, formula: { ...formula, scale: other } };
  }
}

function* diagonalSuspects(formula: Formula): Generator<Suspect> {
  const { causal, window, keyLengths, alibiSlopes } = formula;
  const name = causal ? "causal" : window ? "window" : alibiSlopes ? "alibiSlopes" : undefined;
  if (!name) return;
  for (const [side, shift] of [["right", 1], ["left", -1]] as const) {
    const text = `the diagonal of ${name} lay one key further ${side}`;
    yield { text, formula: { ...formula, fault: { shift } } };
  }
  const other = causal === "top-left" ? "bottom-right" : "top-left";
  const text = `the diagonal of ${name} were that of ${other}`;
  if (causal) yield { text, formula: { ...formula, causal: other } };
  else if (window?.right === undefined && window) {
    yield {
      text: `window hid what is right of the diagonal`,
      formula: { ...formula, causal: "bottom-right" },
    };
  }
  if (keyLengths && causal !== "top-left") {
    const text = `the diagonal of ${name} ended at lengthK, not at keyLengths`;
    yield { text, formula: { ...formula, fault: { fixedDiagonal: true } } };
  }
}

/** Options with another meaning. */
function* optionSuspects(formula: Formula): Generator<Suspect> {
  const { window, mask, bias, alibiSlopes } = formula;
  for (const side of ["left", "right"] as const) {
    const reach = window?.[side];
    if (reach === undefined) continue;
    for (const [word, other] of [["more", reach + 1], ["fewer", reach - 1]] as const) {
      const text = `window reached one key ${word} to the ${side}`;
      yield { text, formula: { ...formula, window: { ...window, [side]: other } } };
    }
  }
  if (mask) {
    const values = Uint8Array.from(mask.values, (shown) => 1 - shown);
    const text = "mask hid where it is 1";
    yield { text, formula: { ...formula, mask: { ...mask, values } } };
  }
  if (bias) {
    const values = Float64Array.from(bias.values, (value) => -value);
    yield { text: "bias were subtracted", formula: { ...formula, bias: { ...bias, values } } };
  }
  if (alibiSlopes) {
    const slopes = alibiSlopes.map((slope) => -slope);
    const text = "alibiSlopes · distance were added";
    yield { text, formula: { ...formula, alibiSlopes: slopes } };
  }
}

/** Sums over rows that take in some of them only. */
function* sumSuspects(formula: Formula): Generator<Suspect> {
  const { batch, queryHeads, lengthQ } = formula;
  const axes: readonly [
    string,
    number,
    NonNullable<Fault["counts"]>,
    NonNullable<Fault["counts"]>,
  ][] = [
    ["batch element", batch, (b) => b === 0, (b) => b === batch - 1],
    ["head", queryHeads, (_, h) => h === 0, (_, h) => h === queryHeads - 1],
    ["query", lengthQ, (_b, _h, i) => i === 0, (_b, _h, i) => i === lengthQ - 1],
  ];
  for (const [what, size, first, last] of axes) {
    if (size === 1) continue;
    for (const [which, counts] of [["first", first], ["last", last]] as const) {
      const text = `only the ${which} ${what} were in the sum`;
      yield { text, formula: { ...formula, fault: { counts } } };
    }
  }
}
