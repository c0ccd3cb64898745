// Rotating pairs of columns of rows: of an operand into scratch of f32 before attention reads it, of a gradient in place
// once all of it is there.
//
//   (a, b) -> (a cos - b sin, b cos + a sin)
//
// A thread takes two columns of a row: a pair while there are some, then two of the columns that stay. What is written
// lies at the address of the gradient, which is shaped as its operand is. The buffer of rotations begins with the number
// of pairs; behind it are two words for each sequence, the word where the table of its first row begins and how many of
// its rows turn, and then the rows of tables: cosines of all pairs, and their sines.
import { follows, type GradientName, OPERANDS, shaderName } from "../../src/tensor/operands.ts";
import { PARAMS } from "../features/params.ts";
import { rowFunction } from "../parts/address.ts";
import { declare } from "../parts/bindings.ts";
import { elementReader, type StorageKind } from "../parts/storage.ts";
import { tidy } from "../parts/text.ts";
import { ELEMENTWISE_THREADS, INDEX, INPUTS } from "./elementwise.ts";

/** What a text is made for. */
export interface RotateShape {
  /** The gradient at whose address results are written; rows of its operand are read, unless it turns in place. */
  readonly target: GradientName;
  /** How that operand is stored; undefined: the target turns in place. */
  readonly source: StorageKind | undefined;
  /** Pairs are neighbours, or else a column of the first half and one of the second. */
  readonly interleaved: boolean;
  /** Back. */
  readonly inverse: boolean;
}

/** The two columns of a pair, and of those behind the pairs. */
function columns({ interleaved }: RotateShape): string {
  if (interleaved) return "let first = 2u * slot; let second = first + 1u;";
  return `let stays = 2u * slot; // pairs before it have as many columns
  let first = select(stays, slot, slot < half); let second = select(stays + 1u, slot + half, slot < half);`;
}

/** Rotates rows. U.count: pairs of columns of all rows. */
export function rotateShader(shape: RotateShape): string {
  const { target, source, inverse } = shape, to = shaderName(target);
  const name = OPERANDS[target].gradientOf!, from = source ? shaderName(name) : to;
  const ofKeys = follows(target) === "keys";
  const rows = ofKeys ? "U.length_k" : "U.length_q";
  const heads = ofKeys ? "U.kv_heads" : "U.kv_heads * U.group";
  const value = (column: string) => source ? `${from}_at(at + ${column})` : `${to}[at + ${column}]`;
  return tidy(`${PARAMS}
${declare("rotations", "u32")}
${source ? `${elementReader(name, { ...source, scalar: true })}\n${rowFunction(name)}` : ""}
${declare(target, "f32", "read_write")}
${rowFunction(target)}
@compute @workgroup_size(${ELEMENTWISE_THREADS})
fn main(${INPUTS}) {
  ${INDEX}
  if (i >= U.count) { return; }
  let slots = (U.head_dim + 1u) / 2u; let slot = i % slots; var rest = i / slots;
  let row = rest % ${rows}; rest /= ${rows};
  let head = rest % (${heads}); let batch = rest / (${heads});
  let half = rotations[0];
  ${columns(shape)}
  let at = ${from}_row(batch, head, row); let to = ${to}_row(batch, head, row);
  let a = ${value("first")}; var b = 0.0; if (second < U.head_dim) { b = ${value("second")}; }
  if (slot >= half || row >= rotations[2u * batch + 2u]) {
    ${source ? `${to}[to + first] = a; if (second < U.head_dim) { ${to}[to + second] = b; }` : ""}
    return;
  }
  let place = rotations[2u * batch + 1u] + 2u * half * row + slot;
  let u = bitcast<f32>(rotations[place]);
  let v = ${inverse ? "-" : ""}bitcast<f32>(rotations[place + half]);
  ${to}[to + first] = a * u - b * v;
  ${to}[to + second] = b * u + a * v;
}`);
}
