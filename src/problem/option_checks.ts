// What every call asks of its options, whatever it computes.
import { type Complaint, show, UnsupportedError } from "../tensor/errors.ts";
import type { View } from "../tensor/view.ts";
import type { Layout } from "./call_options.ts";
import { FEATURES } from "./features/table.ts";

const ALWAYS = "not needed: lse is always returned";
const CACHED = "not needed: engine.kvCache keeps its own, and `sequences` says which are read";
const GROUPED = "not needed: k and v may have fewer heads than q";

/** What names of options elsewhere (PyTorch, FlashAttention, ONNX, JAX) are here, beside those of features. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  scale: "softmaxScale",
  softmax_scale: "softmaxScale",
  enableGqa: GROUPED,
  enable_gqa: GROUPED,
  returnLse: ALWAYS,
  return_lse: ALWAYS,
  return_attn_probs: ALWAYS,
  scores: "attentionScores, a call of its own",
  pagedKv: CACHED,
  block_table: CACHED,
  block_tables: CACHED,
  cache_seqlens: CACHED,
};

/** What the name of an option elsewhere is here; empty where it is none. */
function here(name: string): string {
  const features = FEATURES.filter(({ elsewhere }) => elsewhere?.includes(name));
  const names = features.map((feature) => feature.name).join(" or ");
  const hint = names || (Object.hasOwn(ELSEWHERE, name) ? ELSEWHERE[name]! : "");
  return hint && ` (here: ${hint})`;
}

/** Options that only some calls have. */
const OF_SOME: ReadonlySet<string> = new Set(["into", "precision", "verify"]);

/** Throws unless `options` is an object with known names only; undefined stands for one that is missing. */
export function checkNames(
  options: unknown,
  known: ReadonlySet<string>,
  complaint: Complaint,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw complaint.type(`options is ${show(options)} but must be an object`);
  }
  for (const [key, value] of Object.entries(options)) {
    if (known.has(key) || value === undefined) continue;
    if (OF_SOME.has(key)) {
      const remedy = "leave it out: attention and attentionBackward have it";
      throw new UnsupportedError(`the option ${key} of ${complaint.action}`, "any", remedy);
    }
    throw complaint.type(
      `options has the unknown name ${show(key)}${here(key)}, wanted one of ${
        [...known].join(", ")
      }`,
    );
  }
}

/** The layout of a call. */
export function checkLayout(layout: unknown, complaint: Complaint): Layout {
  if (layout === undefined || layout === "bshd") return "bshd";
  if (layout === "bhsd") return "bhsd";
  throw complaint.type(`layout is ${show(layout)} but must be "bshd" or "bhsd"`);
}

/** Throws unless a signal can be asked whether it was aborted. */
export function checkSignal(signal: unknown, complaint: Complaint): void {
  if (signal === undefined) return;
  const asks = typeof signal === "object" && signal !== null && "throwIfAborted" in signal &&
    typeof signal.throwIfAborted === "function";
  if (!asks) throw complaint.type(`signal is ${show(signal)} but must be an AbortSignal`);
}

/** More elements than any array or buffer of today has. */
const MOST_ELEMENTS = 2 ** 33;

/** Throws where a tensor would be larger than anything that could hold it; `sizes`: what makes it so, in words. */
export function checkElements(elements: number, sizes: string, complaint: Complaint): void {
  if (elements <= MOST_ELEMENTS) return;
  throw complaint.range(
    `the largest tensor would have ${elements} elements, ${4 * elements} bytes in float32, ` +
      `but at most ${MOST_ELEMENTS} elements are possible (${sizes})`,
  );
}

/** Throws where a tensor holds integers or bytes of a mask. */
export function refuseIntegers({ dtype }: Pick<View, "dtype">, name: string): void {
  if (dtype === "f32" || dtype === "f16" || dtype === "bf16") return;
  throw new UnsupportedError(`${name} of dtype "${dtype}"`, "any", "pass f32, f16 or bf16");
}
