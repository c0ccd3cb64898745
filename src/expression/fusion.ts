// Instructions that do the work of two or three, where nothing else needs what lies between.
import type { Opcode } from "./opcodes.ts";
import { usesOf, type Value, type Values } from "./values.ts";

/** `roots` with instructions joined. */
export function fused(values: Values, roots: readonly Value[]): Value[] {
  const uses = usesOf(roots), done = new Map<Value, Value>();
  /** Whether a value is what such an instruction has for every pair, and only one other value needs it. */
  const joins = (value: Value | undefined, op: Opcode): value is Value =>
    value?.op === op && value.section === "pair" && uses.get(value) === 1;
  const rewrite = (value: Value): Value => {
    let result = done.get(value);
    if (!result) done.set(value, result = join(value));
    return result;
  };
  const make = (op: Opcode, operands: readonly Value[]) => values.make(op, operands.map(rewrite));
  const join = (value: Value): Value => {
    const { op, operands } = value, [a, b] = operands as [Value, Value];
    if (op === "constant" || op === "symbol") return value;
    if (op === "add" && joins(b, "mul")) return make("madd", [...b.operands, a]);
    if (op === "add" && joins(a, "mul")) return make("madd", [...a.operands, b]);
    if (op === "sub" && joins(b, "mul")) return make("nmadd", [...b.operands, a]);
    if (op === "toFloat" && joins(a, "iabs") && joins(a.operands[0], "iadd")) {
      return make("distance", a.operands[0].operands);
    }
    if (op === "imin" && joins(a, "imax")) return make("iclamp", [...a.operands, b]);
    return values.make(op, operands.map(rewrite), value.array);
  };
  return roots.map(rewrite);
}
