// Writes asm/expression/interpreter.gen.ts and layout.gen.ts: a loop for each instruction of src/expression/opcodes.ts,
// and where the words of programs lie.
//
// An instruction runs over n rows of eight lanes. Each operand has its own bytes from row to row: 32 where there is a row
// for each key, 0 where one row serves all, and the pitch of the tile for scores. Two rows are done at a time, so n is
// rounded up to even. Each instruction is a function of its own: V8 compiles with optimisation what a program uses, and
// soon, where one function with all of them stayed slow for 30 to 60 ms.
import { FIXED_REGISTERS } from "../../src/expression/bytecode.ts";
import {
  BASE,
  HEADER,
  INSTRUCTION,
  MACHINE,
  REGISTER,
  RUN,
  TEMPLATE,
} from "../../src/expression/encoding.ts";
import { type Opcode, OPCODES, OPERANDS_OF } from "../../src/expression/opcodes.ts";
import { FUNCTIONS, type VectorFunction } from "./interpreter/functions.ts";

/** Instructions that are one expression of the vectors a, b and c. */
const EXPRESSIONS: { readonly [op in Opcode]?: string } = {
  copy: "a",
  abs: "f32x4.abs(a)",
  neg: "f32x4.neg(a)",
  sqrt: "f32x4.sqrt(a)",
  iabs: "i32x4.abs(a)",
  ineg: "i32x4.neg(a)",
  toFloat: "f32x4.convert_i32x4_s(a)",
  not: "v128.not(a)",
  add: "f32x4.add(a, b)",
  sub: "f32x4.sub(a, b)",
  mul: "f32x4.mul(a, b)",
  div: "f32x4.div(a, b)",
  min: "f32x4.min(a, b)",
  max: "f32x4.max(a, b)",
  iadd: "i32x4.add(a, b)",
  isub: "i32x4.sub(a, b)",
  imul: "i32x4.mul(a, b)",
  imin: "i32x4.min_s(a, b)",
  imax: "i32x4.max_s(a, b)",
  floorDiv: "floorDiv(a, b)",
  mod: "mod(a, b)",
  lt: "f32x4.lt(a, b)",
  le: "f32x4.le(a, b)",
  eq: "f32x4.eq(a, b)",
  ne: "f32x4.ne(a, b)",
  ilt: "i32x4.lt_s(a, b)",
  ile: "i32x4.le_s(a, b)",
  ieq: "i32x4.eq(a, b)",
  ine: "i32x4.ne(a, b)",
  and: "v128.and(a, b)",
  or: "v128.or(a, b)",
  xor: "v128.xor(a, b)",
  weigh: "v128.and(f32x4.mul(a, b), f32x4.ne(a, f32x4.splat(0)))",
  distance: "f32x4.convert_i32x4_s(i32x4.abs(i32x4.add(a, b)))",
  madd: "madd(a, b, c)",
  nmadd: "f32x4.sub(c, f32x4.mul(a, b))",
  select: "v128.bitselect(a, b, c)",
  iclamp: "i32x4.min_s(i32x4.max_s(a, b), c)",
};

/** Those with a second loop where b is one row for all keys, as it mostly is: 0.75 -> 0.5 ns for four lanes. */
const FIXED_B: ReadonlySet<string> = new Set([
  ...["add", "sub", "mul", "min", "max", "iadd", "distance", "madd", "nmadd"],
]);

/** Instructions with a function of their own in asm/expression/vector.ts. */
const BY_HAND: ReadonlySet<string> = new Set(["gather", "scatter", "hide"]);

/** Rows of one turn of a loop. */
const ROWS = [0, 1];
const LETTERS = ["a", "b", "c"] as const;

/** The loop of an expression; `fixed`: operands that one row serves. */
function loop(value: string, operands: readonly string[], fixed: string): string {
  const moving = operands.filter((letter) => !fixed.includes(letter));
  const vectors = ROWS.flatMap((row) => [0, 16].map((at) => ({ row, at, name: `${row}_${at}` })));
  const loads = vectors.flatMap(({ row, at, name }) =>
    moving.map((o) => `${o}${name} = v128.load(p${o}${row ? ` + s${o}` : ""}, ${at})`)
  );
  const stores = vectors.map(({ row, at, name }) => {
    const text = value.replaceAll(/\b[abc]\b/g, (o) => fixed.includes(o) ? `${o}_${at}` : o + name);
    return `    v128.store(pd${row ? " + sd" : ""}, ${text}, ${at});`;
  });
  const once = [...fixed].map((o) =>
    `  const ${o}_0 = v128.load(p${o}), ${o}_16 = v128.load(p${o}, 16);\n`
  );
  return [
    `${once.join("")}  for (; n > 0; n -= ${ROWS.length}) {`,
    `    const ${loads.join(", ")};`,
    ...stores,
    `    pd += 2 * sd; ${moving.map((o) => `p${o} += 2 * s${o};`).join(" ")}`,
    "  }",
  ].join("\n");
}

function parameters(count: number): string {
  return LETTERS.slice(0, count).map((o) => `, p${o}: usize, s${o}: usize`).join("");
}

function instruction(op: Opcode, value: string): string {
  const operands = LETTERS.slice(0, OPERANDS_OF[op]);
  const body = FIXED_B.has(op)
    ? `  if (sb == 0) {\n${loop(value, operands, "b").replaceAll(/^/gm, "  ")}\n  return;\n  }\n`
    : "";
  return `function ${op}_(n: i32, pd: usize, sd: usize${parameters(operands.length)}): void {\n` +
    `${body}${loop(value, operands, "")}\n}`;
}

/** Constants of functions, once each. */
const constants: number[] = [];

function constantAt(value: number): number {
  const known = constants.findIndex((one) => Object.is(one, value));
  return 4 * (known < 0 ? constants.push(value) - 1 : known);
}

/** A function of several steps, woven for the four vectors of two rows: one alone is a chain of latencies. */
function functionText(name: string, { constants, steps }: VectorFunction): string {
  const loads = Object.entries(constants).map(([name, value]) =>
    `  const ${name} = v128.load32_splat(CONSTANTS + ${constantAt(value)});`
  );
  const vectors = [0, 1, 2, 3], place = (v: number) => [v < 2 ? "" : " + s", v % 2 * 16] as const;
  const locals = ["x", ...new Set(steps.map((step) => step[0]!))];
  const each = (text: (v: number) => string) => `    ${vectors.map(text).join(" ")}`;
  const extra = name === "wave" ? ", turns: i32" : "";
  return [
    `function ${name}_(n: i32, pd: usize, sd: usize, pa: usize, sa: usize${extra}): void {`,
    ...loads,
    ...(extra ? ["  const turn = i32x4.splat(turns);"] : []),
    `  let ${vectors.flatMap((v) => locals.map((local) => `${local}${v}: v128`)).join(", ")};`,
    `  for (; n > 0; n -= 2) {`,
    each((v) => `x${v} = v128.load(pa${place(v)[0]}${place(v)[0] && "a"}, ${place(v)[1]});`),
    ...steps.map((step) => each((v) => step.replaceAll("$", String(v)))),
    each((v) => `v128.store(pd${place(v)[0]}${place(v)[0] && "d"}, y${v}, ${place(v)[1]});`),
    "    pd += 2 * sd; pa += 2 * sa;\n  }\n}",
  ].join("\n");
}

function call(op: Opcode): string {
  const given = LETTERS.slice(0, OPERANDS_OF[op]).map((o) => `, p${o}, s${o}`).join("");
  if (op === "sin" || op === "cos") return `wave_(n, pd, sd${given}, ${op === "cos" ? 1 : 0})`;
  return `${op}${BY_HAND.has(op) ? "" : "_"}(n, pd, sd${given})`;
}

/** asm/expression/interpreter.gen.ts */
export function interpreterSource(): string {
  const functions = Object.entries(FUNCTIONS).map(([name, text]) => functionText(name, text));
  const expressions = Object.entries(EXPRESSIONS).map(([op, value]) =>
    instruction(op as Opcode, value)
  );
  const float = (x: number) =>
    Number.isFinite(x) ? (Object.is(x, -0) ? "-0.0" : String(x)) : `${x}`;
  return [
    "// Generated by tools/build/interpreter.ts (deno task build): do not edit.",
    'import { madd } from "../micro/vmath";',
    'import { floorDiv, gather, hide, mod, scatter } from "./vector";',
    "",
    `const CONSTANTS = memory.data<f32>([${constants.map(float).join(", ")}], 16);`,
    "",
    "/** Runs one instruction over n rows: addresses of result and operands, and bytes from row to row. */",
    "export function execute(op: i32, n: i32, pd: usize, sd: usize, pa: usize, sa: usize, pb: usize, sb: usize, pc: usize, sc: usize): void {",
    "  switch (op) {",
    ...OPCODES.map((op, n) => `    case ${n}: return ${call(op)};`),
    "  }\n}\n",
    [...functions, ...expressions].join("\n\n"),
    "",
  ].join("\n");
}

function enumText(about: string, name: string, members: Readonly<Record<string, number>>): string {
  const lines = Object.entries(members).map(([key, value]) => `  ${key} = ${value},`);
  return `/** ${about} */\nexport enum ${name} {\n${lines.join("\n")}\n}\n`;
}

/** asm/expression/layout.gen.ts */
export function layoutSource(): string {
  const fixed = FIXED_REGISTERS.map((name, n) => [name[0]!.toUpperCase() + name.slice(1), n]);
  return [
    "// Generated by tools/build/interpreter.ts (deno task build) from src/expression: do not edit.\n",
    `/** Rows that an instruction runs over before the next one does. */\n` +
    `// @ts-ignore: decorator\n@inline\nexport const RUN: i32 = ${RUN};\n`,
    enumText("Registers that every program has.", "Fixed", {
      ...Object.fromEntries(fixed),
      Count: FIXED_REGISTERS.length,
    }),
    enumText("The header of a program.", "Header", HEADER),
    enumText("What a register beyond the fixed ones is.", "Template", TEMPLATE),
    enumText("What its address is relative to.", "Base", BASE),
    enumText("An entry of the table of registers.", "Register", REGISTER),
    enumText("An instruction.", "Instruction", INSTRUCTION),
    enumText("What a thread notes of a program that it runs.", "Machine", MACHINE),
  ].join("\n");
}
