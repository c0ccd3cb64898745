// Merging: partial results over disjoint keys, checked.
import { Complaint, show } from "../tensor/errors.ts";
import { type View, viewOperand } from "../tensor/view.ts";
import type { Layout } from "./call_options.ts";
import { checkElements, checkLayout, checkNames, refuseIntegers } from "./option_checks.ts";
import type { AnyTensor } from "../tensor/tensor.ts";

/** What a merge needs beside its parts. */
export interface MergeCallOptions {
  /** Order of the axes of the parts. Default `"bshd"`. */
  readonly layout?: Layout | undefined;
}

/** One partial result. */
export interface MergePart {
  readonly out: View;
  readonly lse: View;
}

/** What all parts agree on. */
export interface MergeShape {
  readonly layout: Layout;
  readonly batch: number;
  readonly heads: number;
  readonly length: number;
  readonly valueDim: number;
}

const KNOWN: ReadonlySet<string> = new Set(["layout", "engine"]);

/** Checks a merge. */
export function describeMerge(
  parts: readonly { readonly out: AnyTensor; readonly lse: AnyTensor }[],
  options: MergeCallOptions,
): { parts: MergePart[]; shape: MergeShape } {
  const complaint = new Complaint("mergeAttention");
  if (!Array.isArray(parts)) {
    throw complaint.type(`parts is ${show(parts)} but must be an array of { out, lse }`);
  }
  if (parts.length === 0) throw complaint.range("parts has 0 entries but at least 1 was wanted");
  checkNames(options, KNOWN, complaint);
  const layout = checkLayout(options.layout, complaint);
  const views = Array.from(parts, (part, index) => {
    if (typeof part !== "object" || part === null) {
      throw complaint.type(`parts[${index}] is ${show(part)} but must be { out, lse }`);
    }
    return {
      out: viewOperand("out", part.out, layout, complaint),
      lse: viewOperand("lse", part.lse, layout, complaint),
    };
  });
  views.forEach(({ out }, index) => refuseIntegers(out, `parts[${index}].out`));
  const first = views[0]!.out, [batch, heads, length, valueDim] = first.size;
  const most = batch * heads * length * valueDim;
  checkElements(most, `batch ${batch}, heads ${heads}, length ${length}`, complaint);
  views.forEach(({ out, lse }, index) => {
    if (`${out.size}` !== `${first.size}`) {
      throw complaint.range(
        `parts[${index}].out has shape ${show(parts[index].out.shape)} but parts[0].out has ` +
          show(parts[0].out.shape),
      );
    }
    if (`${lse.size}` !== `${[batch, heads, length, 1]}`) {
      throw complaint.range(
        `parts[${index}].lse has shape ${show(parts[index].lse.shape)} but ` +
          `${show([batch, heads, length])} was wanted`,
      );
    }
  });
  return { parts: views, shape: { layout, batch, heads, length, valueDim } };
}
