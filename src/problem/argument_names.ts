// What callers call the operands of late interaction, which in everything behind its options are q and k.
import { CALL_NAMES } from "./problem.ts";

const ARGUMENTS: Readonly<Record<string, string>> = {
  q: "queries",
  k: "documents",
  dDocumentScores: "dScores",
  documentKeys: "saved.keys",
};

/** What errors of a call name an operand: as its caller does. */
export function argumentOf(name: string, call: string): string {
  const late = call === CALL_NAMES.maxSim || call === CALL_NAMES.maxSimBackward;
  return late && Object.hasOwn(ARGUMENTS, name) ? ARGUMENTS[name]! : name;
}
