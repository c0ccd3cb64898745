// Passes of 2^x over tiles of scores.
import { BACKWARD_PITCH, range } from "./pitch.ts";

/**
 * x to 2^x in p, for x below about 127: exactly 0 from -127 down, NaN for NaN (so pmax has x first: its
 * second operand wins only when it compares greater). n + 127 sits in the low bits of r. Loops do several
 * vectors in lockstep: one alone is a chain of 40 cycles, and the scheduler's window is too short to find
 * the next one behind it (1.41 -> 1.33 ns for four).
 */
const EXP2_STEPS: readonly ((v: string) => string)[] = [
  (v) => `x${v} = f32x4.pmax(x${v}, lo);`,
  (v) => `r${v} = f32x4.add(x${v}, mg);`,
  (v) => `p${v} = f32x4.sub(r${v}, mg);`,
  (v) => `x${v} = f32x4.sub(x${v}, p${v});`,
  (v) => `p${v} = madd(x${v}, k5, k4);`,
  ...[3, 2, 1, 0].map((k) => (v: string) => `p${v} = madd(p${v}, x${v}, k${k});`),
  (v) => `p${v} = f32x4.mul(p${v}, i32x4.shl(r${v}, 23));`,
];

function exp2(vectors: readonly number[]): string {
  return EXP2_STEPS.map((step) => `    ${vectors.map((v) => step(String(v))).join(" ")}`).join(
    "\n",
  );
}

const EXP2_NAMES = ["lo", "mg", "k5", "k4", "k3", "k2", "k1", "k0"];

const EXP2_CONSTANTS = `  const ${
  EXP2_NAMES.map((name, i) => `${name} = exp2Constant(${i})`).join(", ")
};`;

const exp2Locals = (vectors: number): string =>
  `  let ${range(vectors).map((v) => `x${v}: v128, r${v}: v128, p${v}: v128`).join(", ")};`;

/** 2^x of one vector, for code that is not hot; its constants are exp2Constant(0) to (7). */
export function exp2Function(): string {
  const constants = EXP2_NAMES.map((name) => `${name}: v128`).join(", ");
  return [
    "// @ts-ignore: decorator\n@inline",
    `export function exp2v(x0: v128, ${constants}): v128 {`,
    "  let r0: v128, p0: v128;",
    exp2([0]),
    "  return p0;\n}",
  ].join("\n");
}

/**
 * P = 2^S in place for n keys of 8 queries, their sum added to the two vectors at `sum`. Two keys are
 * added first, and the tile's sum once: many equal terms in one running sum round in the same direction.
 */
export function exponentialTile(name: string): string {
  const load = (v: number) => `x${v} = v128.load(sp, ${v * 16});`;
  const store = (v: number) => `v128.store(sp, p${v}, ${v * 16});`;
  // the upper half of a key is stored first: see `stores` in products.ts
  const keys = (vectors: number[]) =>
    `    ${vectors.map(load).join(" ")}\n${exp2(vectors)}\n    ${
      vectors.map((v) => store(v ^ 1)).join(" ")
    }`;
  return [
    `export function ${name}(sp: usize, n: i32, sum: usize): void {`,
    EXP2_CONSTANTS,
    exp2Locals(4),
    `  let l0 = f32x4.splat(0), l1 = l0;`,
    `  for (; n >= 2; n -= 2) {`,
    `${keys([0, 1, 2, 3])}`,
    `    l0 = f32x4.add(l0, f32x4.add(p0, p2)); l1 = f32x4.add(l1, f32x4.add(p1, p3));`,
    `    sp += 64;\n  }`,
    `  if (n > 0) {\n${keys([0, 1])} l0 = f32x4.add(l0, p0); l1 = f32x4.add(l1, p1);\n  }`,
    `  l0 = f32x4.add(v128.load(sum), l0); l1 = f32x4.add(v128.load(sum, 16), l1); v128.store(sum, l1, 16); v128.store(sum, l0);`,
    "}",
  ].join("\n");
}

/**
 * The same, and what statistics sum up (stages/statistics.ts): sums of P S and of P j, the largest P, at `sums`; `key`:
 * the first key. Half a panel at a time, for the registers. The sums of P are the same, bit for bit.
 */
export function statisticsTile(name: string): string {
  const load = (v: number, at: number) => `x${v} = v128.load(p, ${at});`;
  // P is 0 from lo down, and S may be minus infinity
  const weigh = (v: number, at: number) =>
    `ps = madd(p${v}, f32x4.pmax(v128.load(p, ${at}), lo), ps); top = f32x4.pmax(top, p${v});`;
  const add = (field: string, value: string) =>
    `v128.store(sums + v, ${value}, PanelSums.${field});`;
  return [
    `export function ${name}(sp: usize, n: i32, sum: usize, sums: usize, key: i32): void {`,
    EXP2_CONSTANTS,
    exp2Locals(2),
    `  const two = f32x4.splat(2), first = f32x4.splat(<f32>key);`,
    `  for (let v: usize = 0; v < 32; v += 16) {`,
    `  let p = sp + v, m = n, l = f32x4.splat(0), ps = l, pj = l, j = l, top = v128.load(sums + v, PanelSums.Top);`,
    `  for (; m >= 2; m -= 2) {`,
    `    ${load(0, 0)} ${load(1, 32)}\n${exp2([0, 1])}`,
    `    ${weigh(0, 0)}\n    ${weigh(1, 32)}`,
    `    v128.store(p, p0); v128.store(p, p1, 32);`,
    `    x0 = f32x4.add(p0, p1); l = f32x4.add(l, x0); pj = f32x4.add(madd(x0, j, pj), p1); j = f32x4.add(j, two);`,
    `    p += 64;\n  }`,
    `  if (m > 0) {\n    ${load(0, 0)}\n${exp2([0])}`,
    `    ${weigh(0, 0)}\n    v128.store(p, p0); l = f32x4.add(l, p0); pj = madd(p0, j, pj);\n  }`,
    `  v128.store(sum + v, f32x4.add(v128.load(sum + v), l));`,
    `  ${add("PS", "f32x4.add(v128.load(sums + v, PanelSums.PS), ps)")}`,
    `  ${add("Top", "top")}`,
    `  ${add("PJ", "f32x4.add(v128.load(sums + v, PanelSums.PJ), madd(first, l, pj))")}`,
    "  }\n}",
  ].join("\n");
}

/**
 * P = 2^(S - lse), dS = P * dP in place, for n keys of one panel; -lse in the two vectors at `start`. Two keys at a time: see
 * EXP2_STEPS.
 */
export function probabilityTile(name: string): string {
  const place = (v: number) => `${v >> 1 ? BACKWARD_PITCH + (v & 1) * 16 : (v & 1) * 16}`;
  const keys = (vectors: number[]) => {
    const upperFirst = vectors.map((v) => v ^ 1);
    return [
      `    ${
        vectors.map((v) => `x${v} = f32x4.add(v128.load(sp, ${place(v)}), m${v & 1});`).join(" ")
      }`,
      exp2(vectors),
      `    ${
        vectors.map((v) => `x${v} = f32x4.mul(p${v}, v128.load(wp, ${place(v)}));`).join(" ")
      }`,
      `    ${upperFirst.map((v) => `v128.store(sp, p${v}, ${place(v)});`).join(" ")}`,
      `    ${upperFirst.map((v) => `v128.store(wp, x${v}, ${place(v)});`).join(" ")}`,
    ].join("\n");
  };
  return [
    `export function ${name}(sp: usize, wp: usize, n: i32, start: usize): void {`,
    EXP2_CONSTANTS,
    `  const m0 = v128.load(start), m1 = v128.load(start, 16);`,
    exp2Locals(4),
    `  for (; n >= 2; n -= 2) {\n${keys([0, 1, 2, 3])}`,
    `    sp += ${2 * BACKWARD_PITCH}; wp += ${2 * BACKWARD_PITCH};\n  }`,
    `  if (n > 0) {\n${keys([0, 1])}\n  }`,
    "}",
  ].join("\n");
}
