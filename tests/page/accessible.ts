// What axe-core finds in a page.
import type { Page } from "playwright-core";
import { ok } from "./site.ts";

interface Violation {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

let source: string | undefined;

/** Throws where axe-core finds something serious or critical; says how many rules passed. */
export async function checkAccessible(page: Page, where: string): Promise<number> {
  source ??= await Deno.readTextFile(new URL(import.meta.resolve("axe-core")));
  await page.evaluate(source);
  const { violations, passes } = await page.evaluate("axe.run(document)") as {
    violations: Violation[];
    passes: unknown[];
  };
  const grave = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const lines = grave.map(({ id, impact, nodes }) =>
    `${where}, ${impact}, ${id}: ${nodes[0]!.html}\n${nodes[0]!.failureSummary}`
  );
  ok(grave.length === 0, lines.join("\n"));
  return passes.length;
}
