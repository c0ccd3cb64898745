// Where things lie: rows of operands, and the rows of a kv head: queries times heads of its group.
import {
  follows,
  OPERAND_NAMES,
  type OperandName,
  OPERANDS,
  shaderName,
} from "../../src/tensor/operands.ts";
import type { BufferName } from "./bindings.ts";

/** A value for one pair, or for four of them. */
export type IndexType = "u32" | "vec4<u32>";

/** What has an address of its own: operands, and results of a KV split. */
export type AddressedName = OperandName | "partOut" | "partLse";
export const ADDRESSED: readonly AddressedName[] = [...OPERAND_NAMES, "partOut", "partLse"];

/** Axes of which they have a stride in the uniform block, after `at`, where the first element lies. */
export function addressAxes(name: AddressedName): readonly ("batch" | "head" | "row" | "column")[] {
  switch (name === "partOut" || name === "partLse" ? "queries" : follows(name)) {
    case "heads":
      return ["batch", "head"];
    case "scores":
      return ["batch", "head", "row", "column"];
    default:
      return ["batch", "head", "row"]; // columns lie side by side
  }
}

/** Names of their parameters, the first element's and the axes': made once, since every call asks for them. */
export const ADDRESS_FIELDS: ReadonlyMap<AddressedName, readonly string[]> = new Map(
  ADDRESSED.map((name) => [
    name,
    ["at", ...addressAxes(name)].map((axis) => `${shaderName(name)}_${axis}`),
  ]),
);

/** The size of a row in the uniform block. */
export function columnsOf(name: AddressedName): string {
  return shaderName(OPERANDS[name === "partOut" || name === "partLse" ? "out" : name].axes[3]);
}

/** `fn q_row(b, h, i)`: the element where a row begins. */
export function rowFunction(name: AddressedName): string {
  return `fn ${shaderName(name)}_row(b: u32, h: u32, i: u32) -> u32 {
  return ${rowAt(name, { batch: "b", head: "h", query: "i" })};
}`;
}

/** The same of rows that lie in pages of a cache: the schedule has a word for each page of each sequence. */
function pagedRowFunction(name: "k" | "v", how: "shift" | "divide"): string {
  const [page, rest] = how === "shift"
    ? ["row >> U.page_shift", "(row & ((1u << U.page_shift) - 1u))"]
    : ["row / U.page_rows", "row % U.page_rows"];
  return `fn ${name}_row(b: u32, h: u32, i: u32) -> u32 {
  let row = U.first_row + i; let page = schedule[U.pages_at + b * U.page_columns + (${page})];
  return U.${name}_at + page * U.${name}_batch + h * U.${name}_head + ${rest} * U.${name}_row;
}`;
}

/** The row functions of some operands, each as its rows lie. */
export function rowFunctions(
  names: readonly AddressedName[],
  kinds: Readonly<Record<"k" | "v", { readonly paged?: "shift" | "divide" }>>,
): string {
  return names.map((name) => {
    const how = name === "k" || name === "v" ? kinds[name].paged : undefined;
    return how ? pagedRowFunction(name as "k", how) : rowFunction(name);
  }).join("\n");
}

/** The same as an expression; head and query may be vectors. */
export function rowAt(
  name: AddressedName,
  { batch, head, query }: { batch: string; head: string; query: string },
): string {
  const x = shaderName(name);
  return `U.${x}_at + ${batch} * U.${x}_batch + ${head} * U.${x}_head + ${query} * U.${x}_row`;
}

/** Query of row r. */
export function queryOf(row: string, grouped: boolean, type: IndexType = "u32"): string {
  return grouped ? `(${row} / ${splat(type, "U.group")})` : row;
}

/** Query head of row r. */
export function headOf(row: string, grouped: boolean, type: IndexType = "u32"): string {
  if (!grouped) return splat(type, "kv_head");
  return `(${splat(type, "kv_head * U.group")} + ${row} % ${splat(type, "U.group")})`;
}

/** The element where row r of an operand with query heads begins. */
export function queryRow(name: BufferName, row: string, grouped: boolean): string {
  return `${shaderName(name)}_row(batch, ${headOf(row, grouped)}, ${queryOf(row, grouped)})`;
}

/** The element where row j of an operand with kv heads begins. */
export function keyRow(name: BufferName, row: string): string {
  return `${shaderName(name)}_row(batch, kv_head, ${row})`;
}

/** A scalar as a value of a type. */
export function splat(type: string, scalar: string): string {
  return type.startsWith("vec4") ? `${type}(${scalar})` : scalar;
}
