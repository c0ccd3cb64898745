// Register tiles of the products of forward and backward. All have one form:
// C[rows][lanes] (+)= sum over u of A[row][u] * B[u][lanes], with A read as scalars through one pointer per row
// and B packed. 15 vector registers are ours, so accumulators + vectors of B + 1 must stay at or below 15:
// 6 rows x 2 vectors is the largest that fits.
import { BACKWARD_PITCH, range } from "./pitch.ts";

export interface Shape {
  rows: number;
  /** Of four lanes; those beyond two belong to a second panel. */
  vectors: number;
}

/** Vectors of a panel. */
const PANEL = 2;

/** Vector v of what has a first panel at one address and a second at another. */
function at(first: string, second: string, v: number): readonly [base: string, offset: number] {
  return [v < PANEL ? first : second, v % PANEL * 16];
}

export interface Accumulator {
  row: number;
  vector: number;
  name: string;
}

export function accumulators({ rows, vectors }: Shape): Accumulator[] {
  return range(rows).flatMap((row) =>
    range(vectors).map((vector) => ({ row, vector, name: `c${row}_${vector}` }))
  );
}

/**
 * The stores of accumulators, the last vector of each row first: V8's re-vectoriser makes one 256-bit store of two
 * neighbours only if the upper one comes first and nothing is stored between the loads of what it stores.
 */
function stores(acc: Accumulator[], at: (c: Accumulator) => readonly [string, number]): string {
  const order = acc.toSorted((a, b) => a.row - b.row || b.vector - a.vector);
  return order.map((c) => {
    const [base, offset] = at(c);
    return `v128.store(${base}, ${c.name}, ${offset});`;
  }).join(" ");
}

/** One step of the product: load B[u], then for each row splat A[row][u] and multiply-add. */
export function step(shape: Shape, u: number): string {
  const width = Math.min(shape.vectors, PANEL);
  const loads = range(shape.vectors).map((v) => {
    const [base, offset] = at("bp", "bq", v);
    return `b${v} = v128.load(${base}, ${u * width * 16 + offset});`;
  }).join(" ");
  const rows = range(shape.rows).map((row) =>
    `    a = v128.load_splat<f32>(p${row}, ${u * 4}); ` +
    range(shape.vectors).map((v) => `c${row}_${v} = madd(a, b${v}, c${row}_${v});`).join(" ")
  );
  return [`    ${loads}`, ...rows].join("\n");
}

/**
 * Values of u in one turn of a reduction. measured: pairs, where 24 multiply-adds stand to a value, are as fast with two as
 * with eight.
 */
const unrolled = ({ vectors }: Shape): number => vectors > PANEL ? 2 : 8;

/** Reduction loop over `count` values of u: several at a time, then one at a time. */
function reduction(shape: Shape, count: string, options: { whole: boolean }): string {
  const bytes = Math.min(shape.vectors, PANEL) * 16;
  const advance = (n: number) =>
    `    bp += ${n * bytes}; ${shape.vectors > PANEL ? `bq += ${n * bytes}; ` : ""}` +
    range(shape.rows).map((row) => `p${row} += ${n * 4};`).join(" ");
  const several = unrolled(shape);
  const turn = `${range(several).map((u) => step(shape, u)).join("\n")}\n${advance(several)}`;
  if (options.whole) {
    return `  const end = p0 + (<usize>${count} << 2);\n  do {\n${turn}\n  } while (p0 < end);`;
  }
  return `  const end = p0 + (<usize>${count} << 2), whole = p0 + (<usize>(${count} & ~${
    several - 1
  }) << 2);
  while (p0 < whole) {\n${turn}\n  }
  while (p0 < end) {\n${step(shape, 0)}\n${advance(1)}\n  }`;
}

export function pointers(shape: Shape, base: string, stride: string): string {
  return `  ${
    range(shape.rows).map((row) => `let p${row} = ${base} + ${stride} * ${row};`).join(" ")
  }`;
}

function pairwiseMax(terms: string[]): string {
  while (terms.length > 1) {
    const next: string[] = [];
    for (let i = 0; i < terms.length; i += 2) {
      next.push(i + 1 < terms.length ? `f32x4.pmax(${terms[i]}, ${terms[i + 1]})` : terms[i]!);
    }
    terms = next;
  }
  return terms[0]!;
}

/** Parameters, two of each where there are two panels. */
const named = (names: readonly string[], pair: boolean, type: string): string =>
  names.flatMap((name) =>
    pair ? [`${name}: ${type}`, `${name}Next: ${type}`] : [`${name}: ${type}`]
  )
    .join(", ");

/**
 * S^T[key][8 queries] = start + K rows . Q panel, for `groups` times `rows` successive keys: a call for
 * each group would cost 3 % of the product at D 64. Both vectors of `start` are read at ip; with
 * `maximum`, the largest score of each query is folded into the two vectors at ip + 64. `pair`: of two panels.
 */
export function scoreTile(
  name: string,
  rows: number,
  pitch: number,
  { maximum, pair = false }: { maximum: boolean; pair?: boolean },
): string {
  const shape = { rows, vectors: pair ? 4 : 2 };
  const acc = accumulators(shape), vectors = range(shape.vectors);
  const start = (v: number, by: number) => {
    const [base, offset] = at("ip", "ipNext", v);
    return `${base}, ${offset + by}`;
  };
  const lines = [
    `export function ${name}(ap: usize, ${named(["q", "cp"], pair, "usize")}, n: i32, ld: usize, ${
      named(["ip"], pair, "usize")
    }, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let a: v128, bp = q${pair ? ", bq = qNext" : ""}, ${
      vectors.map((v) => `b${v} = v128.load(${start(v, 0)})`).join(", ")
    };`,
    `  ${acc.map((c) => `let ${c.name} = b${c.vector};`).join(" ")}`,
    pointers(shape, "ap", "ld"),
    reduction(shape, "n", { whole: false }),
    `  ${
      stores(acc, ({ row, vector }) => {
        const [base, offset] = at("cp", "cpNext", vector);
        return [base, row * pitch + offset];
      })
    }`,
  ];
  if (maximum) {
    for (const v of vectors) {
      const terms = acc.filter((c) => c.vector === v).map((c) => c.name);
      lines.push(`  b${v} = ${pairwiseMax([...terms, `v128.load(${start(v, 64)})`])};`);
    }
    const order = vectors.toReversed();
    lines.push(
      `  ${order.map((v) => `v128.store(${start(v, 64).replace(",", `, b${v},`)});`).join(" ")}`,
    );
  }
  const next = `  ap += ld * ${rows}; cp += ${rows * pitch};${
    pair ? ` cpNext += ${rows * pitch};` : ""
  }`;
  return lines.concat(`${next}\n  }`, "}").join("\n");
}

/**
 * O^T[column][8 queries] += V^T rows . P^T, both packed, for `groups` times `rows` successive columns;
 * n is a multiple of 8. `pair`: of two panels.
 */
export function outputTile(name: string, rows: number, pair: boolean = false): string {
  const shape = { rows, vectors: pair ? 4 : 2 };
  const acc = accumulators(shape);
  const place = ({ row, vector }: Accumulator): readonly [string, number] => {
    const [base, offset] = at("cp", "cpNext", vector);
    return [base, row * 32 + offset];
  };
  return [
    `export function ${name}(ap: usize, ${
      named(["p", "cp"], pair, "usize")
    }, n: i32, ld: usize, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let a: v128, ${range(shape.vectors).map((v) => `b${v}: v128`).join(", ")}, bp = p${
      pair ? ", bq = pNext" : ""
    };`,
    `  ${acc.map((c) => `let ${c.name} = v128.load(${place(c).join(", ")});`).join(" ")}`,
    pointers(shape, "ap", "ld"),
    reduction(shape, "n", { whole: true }),
    `  ${stores(acc, place)}`,
    `  ap += ld * ${rows}; cp += ${rows * 32};${pair ? ` cpNext += ${rows * 32};` : ""}\n  }`,
    "}",
  ].join("\n");
}

/**
 * dV or dK[key][columns] += P^T or dS^T rows . (dO or Q columns): n queries, a multiple of 8. Four vectors are two panels
 * of columns, at bp and bq.
 */
export function gradientTile(name: string, rows: number, vectors: number): string {
  const shape = { rows, vectors };
  const acc = accumulators(shape);
  // one address for all vectors of a row, or they are no neighbours to V8
  const rowByRow = (text: (c: Accumulator) => string) =>
    range(rows).map((row) => {
      const texts = acc.filter((c) => c.row === row).toReversed().map(text);
      return `r = ${row ? "r + ld" : "cp"}; ${texts.join(" ")}`;
    }).join(" ");
  return [
    `export function ${name}(ap: usize, bp: usize, ${
      vectors > PANEL ? "bq: usize, " : ""
    }cp: usize, n: i32, ld: usize): void {`,
    `  let r: usize, a: v128, ${acc.map((c) => `${c.name}: v128`).join(", ")}, ${
      range(vectors).map((v) => `b${v}: v128`).join(", ")
    };`,
    `  ${rowByRow((c) => `${c.name} = v128.load(r, ${c.vector * 16});`)}`,
    pointers(shape, "ap", String(BACKWARD_PITCH)),
    reduction(shape, "n", { whole: true }),
    `  ${rowByRow((c) => `v128.store(r, ${c.name}, ${c.vector * 16});`)}`,
    "}",
  ].join("\n");
}

/** The same as queryTile of four columns, for two panels: K is splat by loads, which re-vectorise. */
export function queryPairTile(name: string): string {
  const acc = accumulators({ rows: 4, vectors: 4 });
  const place = ({ row, vector }: Accumulator): readonly [string, number] => {
    const [base, offset] = at("cp", "cpNext", vector);
    return [base, row * 32 + offset];
  };
  const one = (u: number) => {
    const row = u ? `p + ld${u > 1 ? ` * ${u}` : ""}` : "p";
    const loads = range(4).map((v) => `b${v} = v128.load(bp, ${u * BACKWARD_PITCH + v * 16});`)
      .join(" ");
    const columns = range(4).map((c) =>
      `    a = v128.load_splat<f32>(${row}, ${c * 4}); ` +
      range(4).map((v) => `c${c}_${v} = madd(a, b${v}, c${c}_${v});`).join(" ")
    );
    return [`    ${loads}`, ...columns].join("\n");
  };
  return [
    `export function ${name}(kp: usize, ds: usize, cp: usize, cpNext: usize, keys: i32, ld: usize, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let p = kp, bp = ds, n = keys, a: v128, b0: v128, b1: v128, b2: v128, b3: v128;`,
    `  ${acc.map((c) => `let ${c.name} = v128.load(${place(c).join(", ")});`).join(" ")}`,
    `  for (; n >= 2; n -= 2) {\n${one(0)}\n${one(1)}\n    bp += ${
      2 * BACKWARD_PITCH
    }; p += ld * 2;\n  }`,
    `  if (n > 0) {\n${one(0)}\n  }`,
    `  ${stores(acc, place)}`,
    `  kp += 16; cp += 128; cpNext += 128;\n  }`,
    "}",
  ].join("\n");
}

/**
 * dQ^T[column..][8 queries] += K columns . dS^T for `groups` times `columns` successive columns. K is read
 * in place, four columns a load, splat by shuffles: packed K^T would run at 55.2 instead of 54.5 GFLOP/s, but
 * packing it for each block of queries costs more (51.8 -> 51.0 for the whole of backward).
 */
export function queryTile(name: string, columns: number): string {
  const acc = accumulators({ rows: columns, vectors: 2 });
  const one = (u: number) => {
    const at = u ? `p + ld${u > 1 ? ` * ${u}` : ""}` : "p";
    const lines = [
      `    b0 = v128.load(${u ? "bp + pitch" : "bp"}); b1 = v128.load(${
        u ? "bp + pitch" : "bp"
      }, 16);`,
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
    `export function ${name}(kp: usize, ds: usize, cp: usize, keys: i32, ld: usize, pitch: usize, groups: i32): void {`,
    `  for (; groups > 0; --groups) {`,
    `  let p = kp, bp = ds, n = keys;`,
    `  ${
      acc.map((c) => `let ${c.name} = v128.load(cp, ${c.row * 32 + c.vector * 16});`).join(" ")
    } let a: v128, x: v128, b0: v128, b1: v128;`,
    `  for (; n >= 2; n -= 2) {\n${one(0)}\n${one(1)}\n    bp += pitch * 2; p += ld * 2;\n  }`,
    `  if (n > 0) {\n${one(0)}\n  }`,
    `  ${stores(acc, (c) => ["cp", c.row * 32 + c.vector * 16])}`,
    `  kp += ${columns * 4}; cp += ${columns * 32};\n  }`,
    "}",
  ].join("\n");
}
