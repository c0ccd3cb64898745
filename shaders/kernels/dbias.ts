// dBias: one workgroup for a tile of the bias; dS of every pair that reads an element is summed in a fixed order.
//
//   acc = 0                                                    rows x columns, in registers
//   for each sequence, head, tile of queries and of keys that this tile of the bias reaches
//     dP = dOut Vᵀ, S = Q Kᵀ, acc += P (dP - delta)
//   sum acc over the rows and columns that bias repeats
//
// Pairs are summed one by one, never through a product, so what hidden pairs hold cannot get in.
import { PARAMS, rowFunction } from "../parts/params.ts";
import { scoreDeclarations, scoreOfPairs, stagedScale } from "../features/score.ts";
import { declare, rowsReader } from "../parts/storage.ts";
import { each, LOG2E, tidy } from "../parts/text.ts";
import { type Geometry, geometry } from "../abi.ts";
import {
  columnIndices,
  dotProducts,
  scoreRegisters,
  type Source,
  threadPlace,
  tileMemory,
} from "../parts/tile.ts";
import { columns4, type Variant } from "../parts/variant.ts";

/** Which axes the bias repeats. */
export interface Broadcast {
  readonly batch: boolean;
  readonly head: boolean;
  readonly row: boolean;
  readonly column: boolean;
}

/** Sums over the axes that bias repeats, and stores. The address of dq is that of dBias. */
function finish(g: Geometry, { row, column }: Broadcast): string {
  const cell = (i: number, n: number, j: number) => `acc${i}_${n}[${j}]`;
  const rows = row ? 1 : g.tm, columns = column ? 1 : g.tn;
  // this thread's own share first: in registers
  const share = (i: number, j: number) => {
    const is = row ? Array.from({ length: g.tm }, (_, x) => x) : [i];
    const js = column ? Array.from({ length: g.tn }, (_, x) => x) : [j];
    return is.flatMap((x) => js.map((y) => cell(x, y >> 2, y & 3))).join(" + ");
  };
  const perThread = rows * columns, total = g.threads;
  const store = (i: number, j: number, value: string) => {
    const r = row ? "0u" : `(i_tile + ty * ${g.tm}u + ${i}u)`;
    const c = column ? "0u" : `(j_tile + tx + ${g.nx * j}u)`;
    const inside = [!row && `${r} < U.length_q`, !column && `${c} < U.length_k`].filter(Boolean);
    const write =
      `{ let at = dq_row(bias_b, bias_h, ${r}) + ${c}; if (U.parts > 0u) { dbias[at] += ${value}; } else { dbias[at] = ${value}; } }`;
    return inside.length ? `  if (${inside.join(" && ")}) ${write}` : `  ${write}`;
  };
  if (!row && !column) {
    return each(rows, (i) => each(columns, (j) => store(i, j, share(i, j))));
  }
  // then over the threads that hold the same element
  const parts = each(perThread, (n) => {
    const i = Math.floor(n / columns), j = n % columns;
    const others = row && column
      ? each(total, (t) => `    x += shares[${t}];`)
      : row
      ? each(g.ny, (y) => `    x += shares[${y * g.nx}u + tx];`)
      : each(g.nx, (x) => `    x += shares[ty * ${g.nx}u + ${x}u];`);
    const first = [row && "ty == 0u", column && "tx == 0u"].filter(Boolean).join(" && ");
    return `  workgroupBarrier();
  shares[li] = ${share(i, j)};
  workgroupBarrier();
  if (${first}) {
    var x = 0.0;
${others}
  ${store(i, j, "x")}
  }`;
  });
  return parts;
}

/** WGSL of a variant. Dispatch (tiles of rows x columns of the bias, its heads, its batches). */
export function dbiasShader(v: Variant, broadcast: Broadcast): string {
  const g = geometry(v.tile);
  const rows = (name: "q" | "dout"): Source => ({
    name,
    first: "i0",
    limit: "U.length_q",
    row: (r) => `${name}_row(batch, head, ${r})`,
    columns4: name === "q" ? columns4("head_dim") : columns4("value_dim"),
    factor: name === "q" ? "staged_scale" : undefined,
  });
  const keys = (name: "k" | "v"): Source => ({
    name,
    first: "j0",
    limit: "end",
    row: (r) => `${name}_row(batch, kv_head, ${r})`,
    columns4: name === "k" ? columns4("head_dim") : columns4("value_dim"),
  });
  const pair = (i: number, n: number) =>
    `  {
    let hi = vec4<i32>(min(i32(end) - 1, i32(query${i}) + high)); let lo = vec4<i32>(i32(query${i}) + low);
    let outside = (vec4<i32>(key_${n}) > hi) | (vec4<i32>(key_${n}) < lo);
    ${v.mask ? `let seen${i}_${n} = mask4(vec4<u32>(mask_r${i}) + mask_c${n});` : ""}
${scoreOfPairs(v, `s${i}_${n}`, i, n)}
    var p = exp2((s${i}_${n} - vec4<f32>(lse${i})) * ${LOG2E});
    // one infinite score: the limit of one that grows without end
    p = select(p, vec4<f32>(1.0), is_top(s${i}_${n}) & vec4<bool>(is_top(vec4<f32>(lse${i})).x));
    let ds = p * (dp${i}_${n} - vec4<f32>(delta${i}));
    acc${i}_${n} += select(ds, vec4<f32>(0.0), hide | outside | vec4<bool>(query${i} >= U.length_q));
  }`;
  return tidy(`${PARAMS}
${scoreDeclarations(v, { tables: 1, bias: 8 })}
${rowsReader(2, "q", v.kinds.q, "U.head_dim")}
${rowsReader(3, "k", v.kinds.k, "U.head_dim")}
${rowsReader(4, "v", v.kinds.v, "U.value_dim")}
${rowsReader(5, "dout", v.kinds.dout!, "U.value_dim")}
${declare(6, "stats", "vec2<f32>")}
${declare(7, "dbias", "f32", "read_write")}
${["q", "k", "v", "dout", "dq", "bias"].map((name) => rowFunction(name as "q")).join("\n")}
${v.mask ? rowFunction("mask") : ""}
fn is_top(x: vec4<f32>) -> vec4<bool> { return bitcast<vec4<u32>>(x) == vec4<u32>(0x7f800000u); }
${tileMemory(g)}
var<workgroup> shares: array<f32, ${g.threads}>;
@compute @workgroup_size(${g.threads})
fn main(@builtin(local_invocation_index) li: u32, @builtin(workgroup_id) wid: vec3<u32>) {
${threadPlace(g)}
  let bias_h = wid.y; let bias_b = wid.z; let tile = U.item_base + wid.x;
  let j_tiles = ${broadcast.column ? "1u" : `(U.length_k + ${g.columns - 1}u) / ${g.columns}u`};
  let i_tile = (tile / j_tiles) * ${g.rows}u; let j_tile = (tile % j_tiles) * ${g.columns}u;
  let staged_scale = ${stagedScale(v)};
${scoreRegisters(g, "s")}
${scoreRegisters(g, "dp")}
${scoreRegisters(g, "acc")}
  for (var batch = ${broadcast.batch ? "0u" : "bias_b"}; batch < ${
    broadcast.batch ? "U.batch" : "bias_b + 1u"
  }; batch++) {
  let sequence = U.sequence_base + 3u * batch; let end = min(tables[sequence], U.length_k);
  let low = bitcast<i32>(tables[sequence + 1u]); let high = bitcast<i32>(tables[sequence + 2u]);
  for (var head = ${broadcast.head ? "0u" : "bias_h"}; head < ${
    broadcast.head ? "U.kv_heads * U.group" : "bias_h + 1u"
  }; head++) {
  let kv_head = head / U.group;
  let stats_base = (batch * U.kv_heads + kv_head) * U.length_q * U.group + head % U.group;
  for (var i0 = i_tile; i0 < ${
    broadcast.row ? "U.length_q" : `min(i_tile + 1u, U.length_q)`
  }; i0 += ${g.rows}u) {
${
    each(g.tm, (i) =>
      `  let query${i} = i0 + ty * ${g.tm}u + ${i}u; var lse${i} = 1e30; var delta${i} = 0.0;
  if (query${i} < U.length_q) { let x = stats[stats_base + query${i} * U.group]; lse${i} = x.x; delta${i} = x.y; }
  let bias_r${i} = bias_row(batch, head, query${i});
  ${v.mask ? `let mask_r${i} = mask_row(batch, head, query${i});` : ""}`)
  }
  let last_query = i32(min(i0 + ${g.rows}u, U.length_q)) - 1;
  for (var j0 = j_tile; j0 < ${
    broadcast.column ? "end" : `min(j_tile + 1u, end)`
  }; j0 += ${g.columns}u) {
  if (i32(j0) <= last_query + high && i32(j0) + ${g.columns - 1} >= i32(i0) + low) {
${
    each(g.jv, (n) =>
      `  let key_${n} = ${columnIndices(g, "j0", n)}; let bias_c${n} = key_${n} * U.bias_column;
  ${v.mask ? `let mask_c${n} = key_${n} * U.mask_column;` : ""}`)
  }
${dotProducts(g, "dp", rows("dout"), keys("v"), v.valueChunks)}
${dotProducts(g, "s", rows("q"), keys("k"), v.headChunks)}
${each(g.tm, (i) => each(g.jv, (n) => pair(i, n)))}
  }
  }
  }
  }
  }
${finish(g, broadcast)}
}`);
}
