// All rows of a cache in float32, as they are when they are asked for.
import type { RowPool } from "../backend/backend.ts";
import type { PoolShape } from "../tensor/pages.ts";
import type { PageTables } from "./page_tables.ts";
import { floatsOf, rowsOfPages } from "./state.ts";

/**
 * The keys, or values, of all sequences, `[sequences, longest, heads, columns]`, zeros behind the shorter ones. Pages are
 * asked for at once, each of them once: whatever happens to the cache while they come is not what was asked for.
 */
export async function readRows(
  tables: PageTables,
  pool: RowPool,
  shape: PoolShape,
): Promise<Float32Array> {
  const lengths = Array.from(tables.lengths), longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const held = lengths.map((_, s) => [...tables.pagesOf(s)]), pages = [...new Set(held.flat())];
  const n = longest * shape.heads * shape.columns, all = new Float32Array(lengths.length * n);
  const bytes = await pool.readPages(pages),
    of = new Map(pages.map((page, i) => [page, bytes[i]!]));
  for (const [s, length] of lengths.entries()) {
    const rows = rowsOfPages(held[s]!.map((page) => of.get(page)!), shape, 0, length);
    all.set(floatsOf(rows), s * n);
  }
  return all;
}
