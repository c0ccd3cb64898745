// Register tiles of the products of forward and backward. All have one form:
// C[rows][lanes] (+)= sum over u of A[row][u] * B[u][lanes], with A read as scalars through one pointer per row
// and B packed. 15 vector registers are ours, so accumulators + vectors of B + 1 must stay at or below 15:
// 6 rows x 2 vectors is the largest that fits.
import { BACKWARD_PITCH, range } from "./pitch.ts";

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
      next.push(i + 1 < terms.length ? `f32x4.pmax(${terms[i]}, ${terms[i + 1]})` : terms[i]!);
    }
    terms = next;
  }
  return terms[0]!;
}

/**
 * S^T[key][8 queries] = start + K rows . Q panel, for `groups` times `rows` successive keys: a call for
 * each group would cost 3 % of the product at D 64. Both vectors of `start` are read at ip; with
 * `maximum`, the largest score of each query is folded into the two vectors at ip + 64.
 */
export function scoreTile(name: string, rows: number, pitch: number, maximum: boolean): string {
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
export function outputTile(name: string, rows: number): string {
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
export function gradientTile(name: string, rows: number, vectors: number): string {
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
export function queryTile(name: string, columns: number): string {
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
