// A shard on its way to another node, for a replica that was lost: sequence by sequence, in pieces of whole pages, so that
// neither node holds more beside its cache. Rows that a fork shares with another sequence are there already, and stay shared.
import type { CacheRows, CacheState } from "../../cache/state.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { RefusedError } from "../wire/errors.ts";
import type { Head } from "../wire/message.ts";
import type { CopyHead, ExportHead } from "../wire/requests.ts";
import { type Ask, fetchTensor, type TensorInfo } from "../wire/transfer.ts";
import type { Shard } from "./shard.ts";
import type { Store } from "./store.ts";

/** Bytes of a piece, in float32: a page at least. */
const PIECE_BYTES = 2 ** 24;

/** The rows of a state as the tensors of a job. */
function stateTensors({ keys, values }: CacheState): Record<string, HostTensor> {
  const scales = (name: string, { scales, rows }: CacheRows) =>
    scales && { [name]: { data: scales, shape: rows.shape.slice(0, 2) } };
  return {
    keys: keys.rows,
    values: values.rows,
    ...scales("keyScales", keys),
    ...scales("valueScales", values),
  };
}

/** The state of rows `first` to before `length` from these tensors. */
function stateOf(
  first: number,
  length: number,
  tensors: Readonly<Record<string, HostTensor>>,
): CacheState {
  const side = (rows: string, scales: string): CacheRows => ({
    rows: tensors[rows]!,
    ...tensors[scales] && { scales: tensors[scales].data as Float32Array },
  });
  return { first, length, keys: side("keys", "keyScales"), values: side("values", "valueScales") };
}

/** Copies a shard from another node. */
export function copyShard(
  store: Store,
  askNode: (id: string) => Ask,
  payload: () => number,
  head: Head,
): Promise<Head> {
  const copy = head as unknown as CopyHead, { cache, spec, from, version } = copy;
  // a copy takes longer than a client waits before it asks again
  return store.once(`${cache}/${spec.shard}/${version}`, async () => {
    await store.close(cache, spec.shard); // what an earlier try left
    const shard = store.open(cache, spec, copy.owner);
    try {
      await copyRows(shard, askNode(from), payload, copy);
    } catch (error) {
      await store.close(cache, spec.shard, shard);
      if (error instanceof RangeError) throw error;
      const why = error instanceof Error ? error.message : `${error}`;
      const what = `shard ${spec.shard} from node ${from}`;
      throw new RefusedError("missing", `Cannot copy ${what}: ${why}`);
    }
    shard.version = version;
    return { version };
  });
}

async function copyRows(
  shard: Shard,
  ask: Ask,
  payload: () => number,
  { cache, owner, spec, sequences }: CopyHead,
): Promise<void> {
  const { kvHeads, headDim, valueDim, pageSize } = spec;
  const page = 4 * pageSize * kvHeads * (headDim + valueDim);
  const piece = pageSize * Math.max(1, Math.floor(PIECE_BYTES / page));
  let version: unknown;
  for (const { sequence, like, rows, length } of sequences) {
    if (like !== undefined) await shard.share(like, sequence, rows);
    // from the page on that is written next
    for (let first = Math.floor(rows / pageSize) * pageSize; first < length; first += piece) {
      const end = Math.min(length, first + piece);
      if (end <= rows) continue;
      const what: ExportHead = { cache, shard: spec.shard, sequence, owner, first, end };
      const { head } = await ask("export", { ...what });
      const job = { job: head["job"], owner }, tensors: Record<string, HostTensor> = {};
      try {
        version ??= head["version"];
        if (head["version"] !== version) throw new Error("its rows have changed meanwhile");
        for (const [name, info] of Object.entries(head["tensors"] as Record<string, TensorInfo>)) {
          tensors[name] = await fetchTensor(ask, job, name, info, payload());
        }
      } finally {
        ask("drop", job).catch(() => {}); // it would stay there as long as the client
      }
      await shard.import(sequence, stateOf(first, end, tensors));
    }
  }
}

/** Makes rows of a sequence a job, to be fetched. */
export async function exportShard(store: Store, head: Head): Promise<Head> {
  const { cache, shard: number, sequence, owner, first, end } = head as unknown as ExportHead;
  const shard = store.shard(cache, number), state = await shard.export(sequence, first, end);
  const name = `export ${cache}/${number}/${sequence}/${first}`, job = store.begin(name, owner);
  const tensors = Object.fromEntries(
    Object.entries(stateTensors(state)).map((
      [key, tensor],
    ) => [key, job.keep(key, tensor, store.grow)]),
  );
  return { job: name, version: shard.version, tensors };
}
