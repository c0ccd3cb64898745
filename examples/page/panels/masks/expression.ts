/**
 * A mask that is put together from named ones: groups joined by "or", each of terms joined by "and", every one of which
 * may be negated. So any combination can be written, and it is shown as the code that makes it.
 */
import { type MaskMod, masks } from "@flashtile/attention";

/** The named masks. */
export type MaskName =
  | "causal"
  | "window"
  | "prefix"
  | "documents"
  | "dilated"
  | "strided"
  | "globalTokens";

/** A number that a mask has. */
export interface Parameter {
  readonly name: string;
  readonly label: string;
  readonly initial: number;
  readonly least: number;
}

/** What a mask is called, what it shows, and its numbers. */
export interface MaskKind {
  readonly label: string;
  readonly shows: string;
  readonly parameters: readonly Parameter[];
}

/** One named mask of an expression. */
export interface Term {
  readonly mask: MaskName;
  readonly not: boolean;
  /** The numbers of the mask, in the order of its parameters. */
  readonly values: readonly number[];
}

/** Terms that must all show a pair. */
export interface Group {
  readonly terms: readonly Term[];
}

/** Groups of which one must show a pair. */
export type Expression = readonly Group[];

const tokens = (name: string, label: string, initial: number, least = 0): Parameter => ({
  ...{ name, label, initial, least },
});

/** All of them, by name. */
export const KINDS: Readonly<Record<MaskName, MaskKind>> = {
  causal: { label: "causal", shows: "keys up to the query's own place", parameters: [] },
  window: {
    label: "sliding window",
    shows: "keys at most so many before and behind the query",
    parameters: [tokens("left", "before", 256), tokens("right", "behind", 0)],
  },
  prefix: {
    label: "prefix",
    shows: "the first keys, to every query",
    parameters: [tokens("n", "keys", 256)],
  },
  documents: {
    label: "documents",
    shows: "keys of the query's own document",
    parameters: [tokens("length", "tokens of each", 384, 1)],
  },
  dilated: {
    label: "dilated window",
    shows: "every so-manieth key around the query",
    parameters: [tokens("width", "to each side", 64), tokens("dilation", "of every", 4, 1)],
  },
  strided: {
    label: "strided",
    shows: "keys that are a multiple of n away",
    parameters: [tokens("n", "n", 128, 1)],
  },
  globalTokens: {
    label: "global tokens",
    shows: "the first tokens see all and are seen by all",
    parameters: [tokens("n", "tokens", 64)],
  },
};

/** A term with its numbers as they are at first. */
export function newTerm(mask: MaskName): Term {
  return { mask, not: false, values: KINDS[mask].parameters.map(({ initial }) => initial) };
}

/** Starting points. */
export const EXAMPLES: readonly {
  readonly label: string;
  readonly expression: Expression;
}[] = [
  { label: "causal", expression: [{ terms: [newTerm("causal")] }] },
  { label: "causal window", expression: [{ terms: [newTerm("causal"), newTerm("window")] }] },
  {
    label: "documents of a language model",
    expression: [{ terms: [newTerm("documents"), newTerm("causal")] }],
  },
  {
    label: "prefix and causal",
    expression: [{ terms: [newTerm("prefix")] }, { terms: [newTerm("causal")] }],
  },
  {
    label: "window and global tokens",
    expression: [
      { terms: [{ mask: "window", not: false, values: [128, 128] }] },
      { terms: [newTerm("globalTokens")] },
    ],
  },
  {
    label: "causal, but not the own document",
    expression: [{ terms: [newTerm("causal"), { ...newTerm("documents"), not: true }] }],
  },
];

/** Document of each token, where all have the same length. */
export function documentIds(length: number, each: number): Int32Array {
  return Int32Array.from({ length }, (_, n) => Math.floor(n / each));
}

function termMask({ mask, values }: Term, length: number): MaskMod {
  const [a = 0, b = 0] = values;
  switch (mask) {
    case "causal":
      return masks.causal();
    case "window":
      return masks.window(a, b);
    case "prefix":
      return masks.prefix(a);
    case "documents":
      return masks.documents(documentIds(length, a));
    case "dilated":
      return masks.dilated(a, b);
    case "strided":
      return masks.strided(a);
    case "globalTokens":
      return masks.globalTokens(a);
  }
}

/** Throws a sentence for people where an expression cannot be a mask. */
export function checkExpression(expression: Expression): void {
  if (expression.length === 0 || expression.some(({ terms }) => terms.length === 0)) {
    throw new RangeError("Cannot make a mask of nothing: add one");
  }
  for (const { mask, values } of expression.flatMap(({ terms }) => terms)) {
    KINDS[mask].parameters.forEach(({ label, least }, n) => {
      const value = values[n]!;
      if (Number.isInteger(value) && value >= least) return;
      const given = Number.isNaN(value) ? "empty" : value;
      throw new RangeError(
        `Cannot use ${
          KINDS[mask].label
        }: “${label}” is ${given}, but must be a whole number from ${least} on`,
      );
    });
  }
}

/** The mask of an expression, for sequences of a length. */
export function maskOf(expression: Expression, length: number): MaskMod {
  checkExpression(expression);
  return expression.map(({ terms }) =>
    terms.map((term) => {
      const mask = termMask(term, length);
      return term.not ? mask.not() : mask;
    }).reduce((all, next) => all.and(next))
  ).reduce((any, next) => any.or(next));
}

/** The code of the same mask; documents are called ids1, ids2 and so on, in the order of the list that is returned. */
function codeOf(expression: Expression): { mask: string; documents: number[] } {
  const documents: number[] = [];
  const ids = (each: number): string => {
    if (!documents.includes(each)) documents.push(each);
    return `ids${documents.indexOf(each) + 1}`;
  };
  const term = ({ mask, values, not }: Term): string => {
    const named = mask === "documents" ? ids(values[0]!) : values.join(", ");
    return `masks.${mask}(${named})${not ? ".not()" : ""}`;
  };
  const groups = expression.map(({ terms }) =>
    terms.map(term).reduce((all, next) => `${all}.and(${next})`)
  );
  const mask = groups.reduce((any, next) => `${any}\n  .or(${next})`);
  return { mask, documents: documents };
}

/** A program that makes the block mask of an expression and calls `attention` with it. */
export function programOf(expression: Expression, length: number, blockSize: number): string {
  checkExpression(expression);
  const { mask, documents } = codeOf(expression);
  const ids = documents.map((each, n) =>
    `const ids${n + 1} = Int32Array.from({ length }, (_, n) => Math.floor(n / ${each}));`
  );
  return [
    'import { attention, createBlockMask, masks } from "@flashtile/attention";',
    "",
    `const length = ${length};`,
    ...ids,
    `const mask = ${mask};`,
    `const sizes = { lengthQ: length, lengthK: length, blockSize: ${blockSize} };`,
    "const blockMask = createBlockMask(mask, sizes);",
    "",
    "const x = { data: new Float32Array(length * 64).fill(0.1), shape: [1, length, 1, 64] };",
    "const { out } = await attention(x, x, x, { blockMask });",
    "console.log(String(blockMask), out.shape);",
    "",
  ].join("\n");
}
