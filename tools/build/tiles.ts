// Writes asm/micro/tiles.gen.ts: the register tiles, unrolled. They are text because AssemblyScript
// neither unrolls loops nor keeps an array of v128 in registers (docs/decisions/001).
//
// All tiles but the decode ones have one form: C[rows][lanes] (+)= sum over u of A[row][u] * B[u][lanes],
// with A read as scalars through one pointer per row and B packed. 15 vector registers are ours, so
// accumulators + vectors of B + 1 must stay at or below 15: 6 rows x 2 vectors is the largest that fits.

/** Bytes from one key to the next in the score tiles of forward (8 queries). */
export const FORWARD_PITCH: number = 32;
/** Most queries of a backward block, and the bytes from one key to the next in its P and dS tiles. */
export const BACKWARD_ROWS: number = 256;
/** 16 floats of padding keep successive rows out of one another's cache sets. */
export const BACKWARD_PITCH: number = (BACKWARD_ROWS + 16) * 4;

const range = (n: number): number[] => [...Array(n).keys()];

interface Shape {
  rows: number;
  vectors: number;
}

function accumulators({ rows, vectors }: Shape): { row: number; vector: number; name: string }[] {
  return range(rows).flatMap((row) =>
    range(vectors).map((vector) => ({ row, vector, name: `c${row}_${vector}` }))
  );
}

/** One step of the product: load B[u], then for each row splat A[row][u] and multiply-add. */
function step(shape: Shape, u: number, b: string): string {
  const loads = range(shape.vectors)
    .map((v) => `b${v} = v128.load(${b}, ${(u * shape.vectors + v) * 16});`).join(" ");
  const rows = range(shape.rows).map((row) =>
    `    a = v128.load_splat<f32>(p${row}, ${u * 4}); ` +
    range(shape.vectors).map((v) => `c${row}_${v} = madd(a, b${v}, c${row}_${v});`).join(" ")
  );
  return [`    ${loads}`, ...rows].join("\n");
}

/** Reduction loop over `count` values of u: eight at a time, then one at a time. */
function reduction(shape: Shape, count: string, options: { whole: boolean }): string {
  const advance = (n: number) =>
    `    bp += ${n * shape.vectors * 16}; ` +
    range(shape.rows).map((row) => `p${row} += ${n * 4};`).join(" ");
  const eight = `${range(8).map((u) => step(shape, u, "bp")).join("\n")}\n${advance(8)}`;
  if (options.whole) {
    return `  const end = p0 + (<usize>${count} << 2);\n  do {\n${eight}\n  } while (p0 < end);`;
  }
  return `  const end = p0 + (<usize>${count} << 2), end8 = p0 + (<usize>(${count} & ~7) << 2);
  while (p0 < end8) {\n${eight}\n  }
  while (p0 < end) {\n${step(shape, 0, "bp")}\n${advance(1)}\n  }`;
}

function pointers(shape: Shape, base: string, stride: string): string {
  return `  ${
    range(shape.rows).map((row) => `let p${row} = ${base} + ${stride} * ${row};`).join(" ")
  }`;
}

function pairwiseMax(terms: string[]): string {
  while (terms.length > 1) {
    const next: string[] = [];
    for (let i = 0; i < terms.length; i += 2) {
      next.push(i + 1 < terms.length ? `f32x4.pmax(${terms[i]}, ${terms[i + 1]})` : terms[i]);
    }
    terms = next;
  }
  return terms[0];
}

/**
 * S^T[key][8 queries] = start + K rows . Q panel, for `groups` times `rows` successive keys: a call for
 * each group would cost 3 % of the product at D 64. Both vectors of `start` are read at ip; with
 * `maximum`, the largest score of each query is folded into the two vectors at ip + 64.
 */
function scoreTile(name: string, rows: number, pitch: number, maximum: boolean): string {
  const shape = { rows, vectors: 2 };
  const acc = accumulators(shape);
  const lines = [
    `export function ${name}(ap: usize, q: usize, cp: usize, n: i32, ld: usize, ip: usize, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let b0 = v128.load(ip), b1 = v128.load(ip, 16), a: v128, bp = q;`,
    `  ${acc.map((c) => `let ${c.name} = b${c.vector};`).join(" ")}`,
    pointers(shape, "ap", "ld"),
    reduction(shape, "n", { whole: false }),
    `  ${acc.map((c) => `v128.store(cp, ${c.name}, ${c.row * pitch + c.vector * 16});`).join(" ")}`,
  ];
  if (maximum) {
    for (const v of [0, 1]) {
      const terms = acc.filter((c) => c.vector === v).map((c) => c.name);
      lines.push(
        `  v128.store(ip, ${pairwiseMax([...terms, `v128.load(ip, ${64 + v * 16})`])}, ${
          64 + v * 16
        });`,
      );
    }
  }
  return lines.concat(`  ap += ld * ${rows}; cp += ${rows * pitch};\n  }`, "}").join("\n");
}

/**
 * O^T[column][8 queries] += V^T rows . P^T, both packed, for `groups` times `rows` successive columns;
 * n is a multiple of 8.
 */
function outputTile(name: string, rows: number): string {
  const shape = { rows, vectors: 2 };
  const acc = accumulators(shape);
  const at = (c: { row: number; vector: number }) => c.row * 32 + c.vector * 16;
  return [
    `export function ${name}(ap: usize, p: usize, cp: usize, n: i32, ld: usize, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let a: v128, b0: v128, b1: v128, bp = p;`,
    `  ${acc.map((c) => `let ${c.name} = v128.load(cp, ${at(c)});`).join(" ")}`,
    pointers(shape, "ap", "ld"),
    reduction(shape, "n", { whole: true }),
    `  ${acc.map((c) => `v128.store(cp, ${c.name}, ${at(c)});`).join(" ")}`,
    `  ap += ld * ${rows}; cp += ${rows * 32};\n  }`,
    "}",
  ].join("\n");
}

/** dV or dK[key][columns] += P^T or dS^T rows . (dO or Q columns): n queries, a multiple of 8. */
function gradientTile(name: string, rows: number, vectors: number): string {
  const shape = { rows, vectors };
  const acc = accumulators(shape);
  const at = (row: number) => row ? `cp + ld * ${row}` : "cp";
  return [
    `export function ${name}(ap: usize, bp: usize, cp: usize, n: i32, ld: usize): void {`,
    `  ${acc.map((c) => `let ${c.name} = v128.load(${at(c.row)}, ${c.vector * 16});`).join(" ")}`,
    `  let a: v128, ${range(vectors).map((v) => `b${v}: v128`).join(", ")};`,
    pointers(shape, "ap", String(BACKWARD_PITCH)),
    reduction(shape, "n", { whole: true }),
    `  ${acc.map((c) => `v128.store(${at(c.row)}, ${c.name}, ${c.vector * 16});`).join(" ")}`,
    "}",
  ].join("\n");
}

/**
 * dQ^T[column..][8 queries] += K columns . dS^T for `groups` times `columns` successive columns. K is read
 * in place, four columns a load, splat by shuffles: packed K^T would run at 55.2 instead of 54.5 GFLOP/s, but
 * packing it for each block of queries costs more (51.8 -> 51.0 for the whole of backward).
 */
function queryTile(name: string, columns: number): string {
  const acc = accumulators({ rows: columns, vectors: 2 });
  const one = (u: number) => {
    const at = u ? `p + ld${u > 1 ? ` * ${u}` : ""}` : "p";
    const lines = [
      `    b0 = v128.load(bp, ${u * BACKWARD_PITCH}); b1 = v128.load(bp, ${
        u * BACKWARD_PITCH + 16
      });`,
    ];
    for (let column = 0; column < columns; column += 4) {
      if (columns - column < 4) {
        for (let c = column; c < columns; c++) {
          lines.push(
            `    a = v128.load_splat<f32>(${at}, ${
              c * 4
            }); c${c}_0 = madd(a, b0, c${c}_0); c${c}_1 = madd(a, b1, c${c}_1);`,
          );
        }
        continue;
      }
      lines.push(`    x = v128.load(${at}, ${column * 4});`);
      for (const lane of range(4)) {
        const c = column + lane;
        lines.push(
          `    a = v128.shuffle<f32>(x, x, ${lane}, ${lane}, ${lane}, ${lane}); c${c}_0 = madd(a, b0, c${c}_0); c${c}_1 = madd(a, b1, c${c}_1);`,
        );
      }
    }
    return lines.join("\n");
  };
  return [
    `export function ${name}(kp: usize, ds: usize, cp: usize, keys: i32, ld: usize, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let p = kp, bp = ds, n = keys;`,
    `  ${
      acc.map((c) => `let ${c.name} = v128.load(cp, ${c.row * 32 + c.vector * 16});`).join(" ")
    } let a: v128, x: v128, b0: v128, b1: v128;`,
    `  for (; n >= 2; n -= 2) {\n${one(0)}\n${one(1)}\n    bp += ${
      2 * BACKWARD_PITCH
    }; p += ld * 2;\n  }`,
    `  if (n > 0) {\n${one(0)}\n  }`,
    `  ${acc.map((c) => `v128.store(cp, ${c.name}, ${c.row * 32 + c.vector * 16});`).join(" ")}`,
    `  kp += ${columns * 4}; cp += ${columns * 32};\n  }`,
    "}",
  ].join("\n");
}

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
function exp2Function(): string {
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
function exponentialTile(name: string): string {
  const load = (v: number) => `x${v} = v128.load(sp, ${v * 16});`;
  const store = (v: number) => `v128.store(sp, p${v}, ${v * 16});`;
  const pair = (a: number, b: number) =>
    `    ${load(a)} ${load(b)}\n${exp2([a, b])}\n    ${store(a)} ${store(b)}`;
  return [
    `export function ${name}(sp: usize, n: i32, sum: usize): void {`,
    EXP2_CONSTANTS,
    exp2Locals(4),
    `  let l0 = f32x4.splat(0), l1 = l0;`,
    `  for (; n >= 2; n -= 2) {`,
    `${pair(0, 2)} l0 = f32x4.add(l0, f32x4.add(p0, p2));`,
    `${pair(1, 3)} l1 = f32x4.add(l1, f32x4.add(p1, p3));`,
    `    sp += 64;\n  }`,
    `  if (n > 0) {\n${pair(0, 1)} l0 = f32x4.add(l0, p0); l1 = f32x4.add(l1, p1);\n  }`,
    `  v128.store(sum, f32x4.add(v128.load(sum), l0)); v128.store(sum, f32x4.add(v128.load(sum, 16), l1), 16);`,
    "}",
  ].join("\n");
}

/** P = 2^(S - lse), dS = P * dP in place, for n keys of one panel; -lse in the two vectors at `start`. */
function probabilityTile(name: string): string {
  return [
    `export function ${name}(sp: usize, wp: usize, n: i32, start: usize): void {`,
    EXP2_CONSTANTS,
    `  const m0 = v128.load(start), m1 = v128.load(start, 16);`,
    exp2Locals(2),
    `  for (; n > 0; --n) {`,
    `    x0 = f32x4.add(v128.load(sp), m0); x1 = f32x4.add(v128.load(sp, 16), m1);`,
    exp2([0, 1]),
    `    v128.store(sp, p0); v128.store(sp, p1, 16);`,
    `    v128.store(wp, f32x4.mul(p0, v128.load(wp))); v128.store(wp, f32x4.mul(p1, v128.load(wp, 16)), 16);`,
    `    sp += ${BACKWARD_PITCH}; wp += ${BACKWARD_PITCH};\n  }`,
    "}",
  ].join("\n");
}

/**
 * Decode scores: S[key][4 lanes] for `rows` keys against `heads` query rows that share them, columns
 * in lanes and `chains` partial sums each. With `ahead` it first reads one word of every cache line at
 * t, in address order: the hardware prefetcher follows one stream, not several rows at once (7 to 19
 * GB/s). A tile of one row is such a stream by itself, and touching costs it (24.5 to 18 GB/s).
 */
function decodeScoreTile(
  name: string,
  rows: number,
  heads: number,
  chains: number,
  ahead: boolean,
): string {
  const c = (r: number, h: number, k: number) => `c${r}_${h}_${k}`;
  const all = range(rows).flatMap((r) =>
    range(heads).flatMap((h) => range(chains).map((k) => c(r, h, k)))
  );
  const vector = (u: number) =>
    [
      "      " + range(rows).map((r) => `a${r} = v128.load(p${r}, ${u * 16});`).join(" "),
      ...range(heads).map((h) =>
        `      b = v128.load(q${h}, ${u * 16}); ` +
        range(rows).map((r) => {
          const x = c(r, h, u % chains);
          return `${x} = madd(a${r}, b, ${x});`;
        }).join(" ")
      ),
    ].join("\n");
  const single = [
    "      " + range(rows).map((r) => `a${r} = v128.load_zero<f32>(p${r});`).join(" "),
    ...range(heads).map((h) =>
      `      b = v128.load(q${h}); ` +
      range(rows).map((r) => `${c(r, h, 0)} = madd(a${r}, b, ${c(r, h, 0)});`).join(" ")
    ),
  ].join("\n");
  const advance = (bytes: number) =>
    `      ${range(rows).map((r) => `p${r} += ${bytes};`).join(" ")} ${
      range(heads).map((h) => `q${h} += ${bytes};`).join(" ")
    }`;
  const sum = (r: number, h: number): string =>
    range(chains).map((k) => c(r, h, k)).reduce((x, y) => `f32x4.add(${x}, ${y})`);
  const finish = range(rows).map((r) => {
    const parts = range(4).map((h) => `const s${h} = ${h < heads ? sum(r, h) : "s0"};`).join(" ");
    return `    { ${parts} v128.store(sp, sumLanes(s0, s1, s2, s3), ${r * 16}); }`;
  });
  return [
    `export function ${name}(k: usize, q: usize, sp: usize, n: i32, D: i32, ld: usize, qd: usize, t: usize): i32 {`,
    `  const e = sp + (<usize>n << 4), row = <usize>D << 2${
      ahead ? `, ahead = ld == row ? row * ${rows} : 0` : ""
    }; let x: i32 = 0;`,
    `  do {`,
    ...(ahead ? [`    for (const te = t + ahead; t < te; t += 64) x += load<i32>(t);`] : []),
    `    ${range(rows).map((r) => `let p${r} = k + ld * ${r};`).join(" ")} ${
      range(heads).map((h) => `let q${h} = q + qd * ${h};`).join(" ")
    }`,
    `    const end = k + row, end32 = k + (row & ~127), end4 = k + (row & ~15);`,
    `    ${all.map((name) => `let ${name} = f32x4.splat(0);`).join(" ")}`,
    `    let b: v128, ${range(rows).map((r) => `a${r}: v128`).join(", ")};`,
    `    while (p0 < end32) {\n${range(8).map(vector).join("\n")}\n${advance(128)}\n    }`,
    `    while (p0 < end4) {\n${vector(0)}\n${advance(16)}\n    }`,
    `    while (p0 < end) {\n${single}\n${advance(4)}\n    }`,
    ...finish,
    `    sp += ${rows * 16}; k += ld * ${rows};`,
    `  } while (sp < e);`,
    `  return x;`,
    `}`,
  ].join("\n");
}

/** Decode output: O[head][columns] += P[key][head] V[key][columns], `rows` keys at a time, O in L1. */
function decodeOutputTile(name: string, rows: number, heads: number, ahead: boolean): string {
  const vector = (u: number) =>
    [
      "        " + range(heads).map((h) => `c${h} = v128.load(o${h}, ${u * 16});`).join(" "),
      ...range(rows).map((r) =>
        `        a = v128.load(r${r}, ${u * 16}); ` +
        range(heads).map((h) => `c${h} = madd(a, p${r}_${h}, c${h});`).join(" ")
      ),
      "        " + range(heads).map((h) => `v128.store(o${h}, c${h}, ${u * 16});`).join(" "),
    ].join("\n");
  const single = vector(0).replaceAll(/a = v128\.load\((r\d), 0\)/g, "a = v128.load_zero<f32>($1)");
  const advance = (bytes: number) =>
    `        ${range(heads).map((h) => `o${h} += ${bytes};`).join(" ")} ${
      range(rows).map((r) => `r${r} += ${bytes};`).join(" ")
    }`;
  return [
    `export function ${name}(v: usize, pp: usize, o: usize, n: i32, D: i32, ld: usize, od: usize, heads: i32, t: usize): i32 {`,
    `  const e = pp + (<usize>n << 4), row = <usize>D << 2${
      ahead ? `, ahead = ld == row ? row * ${rows} : 0` : ""
    }; let x: i32 = 0;`,
    `  let a: v128, ${range(heads).map((h) => `c${h}: v128`).join(", ")};`,
    `  do {`,
    ...(ahead ? [`    for (const te = t + ahead; t < te; t += 64) x += load<i32>(t);`] : []),
    `    for (let h = 0; h < heads; h += ${heads}) {`,
    `      ${
      range(heads).map((h) => `let o${h} = o + od * <usize>(h + ${h});`).join(" ")
    } const p = pp + (<usize>h << 2);`,
    `      ${range(rows).map((r) => `let r${r} = v + ld * ${r};`).join(" ")}`,
    `      ${
      range(rows).map((r) =>
        range(heads).map((h) => `const p${r}_${h} = v128.load_splat<f32>(p, ${r * 16 + h * 4});`)
          .join(" ")
      ).join(" ")
    }`,
    `      const end = r0 + row, end16 = r0 + (row & ~63), end4 = r0 + (row & ~15);`,
    `      while (r0 < end16) {\n${range(4).map(vector).join("\n")}\n${advance(64)}\n      }`,
    `      while (r0 < end4) {\n${vector(0)}\n${advance(16)}\n      }`,
    `      while (r0 < end) {\n${single}\n${advance(4)}\n      }`,
    `    }`,
    `    v += ld * ${rows}; pp += ${rows * 16};`,
    `  } while (pp < e);`,
    `  return x;`,
    `}`,
  ].join("\n");
}

/** The whole generated file. */
export function tilesSource(): string {
  return [
    "// Generated by tools/build/tiles.ts (deno task build): do not edit.",
    'import { exp2Constant, madd, sumLanes } from "./vmath";',
    `export const FORWARD_PITCH: i32 = ${FORWARD_PITCH};`,
    `export const BACKWARD_PITCH: i32 = ${BACKWARD_PITCH};`,
    scoreTile("scoreTile6", 6, FORWARD_PITCH, true),
    scoreTile("scoreTile1", 1, FORWARD_PITCH, true),
    outputTile("outputTile6", 6),
    outputTile("outputTile4", 4),
    scoreTile("blockScoreTile6", 6, BACKWARD_PITCH, false),
    scoreTile("blockScoreTile1", 1, BACKWARD_PITCH, false),
    gradientTile("gradientTile6x8", 6, 2),
    gradientTile("gradientTile6x4", 6, 1),
    gradientTile("gradientTile1x8", 1, 2),
    gradientTile("gradientTile1x4", 1, 1),
    queryTile("queryTile5", 5),
    queryTile("queryTile4", 4),
    queryTile("queryTile1", 1),
    exp2Function(),
    exponentialTile("exponentialTile"),
    probabilityTile("probabilityTile"),
    decodeScoreTile("decodeScores1", 1, 1, 4, false),
    decodeScoreTile("decodeScores2", 2, 2, 2, true),
    decodeScoreTile("decodeScores4", 2, 4, 1, true),
    decodeScoreTile("decodeScoreRow", 1, 4, 1, false),
    decodeOutputTile("decodeOutput2", 4, 2, true),
    decodeOutputTile("decodeOutputRow", 1, 1, false),
  ].join("\n\n") + "\n";
}
