// What a node does when it is asked: one function for each operation.
import type { CacheRows, CacheState } from "../../cache/state.ts";
import type { Engine } from "../../engine/engine.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { RefusedError } from "../wire/errors.ts";
import type { Head, Message } from "../wire/message.ts";
import { toFloats, toWire, type WireType } from "../wire/narrow.ts";
import type {
  AppendHead,
  AttendHead,
  CopiedSequence,
  ForkHead,
  Owner,
  PartHead,
  ShardSpec,
} from "../wire/requests.ts";
import type { Operation } from "../wire/subjects.ts";
import { type Ask, fetchTensor, type TensorInfo } from "../wire/transfer.ts";
import { runPart } from "./run_part.ts";
import type { Shard } from "./shard.ts";
import type { Store } from "./store.ts";
import { tellProgress } from "./tell_progress.ts";

/** What operations work with. */
export interface Site {
  readonly store: Store;
  readonly engine: Engine;
  /** Asks another node. */
  readonly askNode: (id: string) => Ask;
  /** Bytes that a message may have. */
  readonly payload: () => number;
  /** Says something to whoever listens. */
  readonly publish: (subject: string, text: string) => void;
}

/** What a node answers. */
export interface Answer {
  readonly head: Head;
  readonly tensors?: Readonly<Record<string, HostTensor>>;
}

const NOTHING: Answer = { head: {} };

/** The rows of a sequence as the tensors of a job. */
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

/** The rows of a sequence from these tensors. */
function stateOf(length: number, tensors: Readonly<Record<string, HostTensor>>): CacheState {
  const side = (rows: string, scales: string): CacheRows => ({
    rows: tensors[rows]!,
    ...tensors[scales] && { scales: tensors[scales].data as Float32Array },
  });
  return { length, keys: side("keys", "keyScales"), values: side("values", "valueScales") };
}

/** Attention over one shard, as a reply. */
export function attendShard(store: Store, shard: Shard, message: Message): Promise<Answer> {
  // asked again while it computes, it computes once
  return store.once(
    `${message.head["call"]}/${shard.spec.shard}`,
    () => attendOnce(shard, message),
  );
}

async function attendOnce(shard: Shard, { head, tensors }: Message): Promise<Answer> {
  const { q, ...operands } = tensors;
  const { result, ms } = await shard.attend(head as unknown as AttendHead, toFloats(q!), operands);
  const wire = head["wire"] as WireType;
  return {
    head: { shard: shard.spec.shard, ms },
    tensors: { out: toWire(result.out, wire), lse: result.lse },
  };
}

/** Copies a shard from another node, sequence by sequence. */
async function copyShard({ store, askNode, payload }: Site, { head }: Message): Promise<Answer> {
  // a copy takes longer than a client waits before it asks again
  const name = `${head["cache"]}/${(head["spec"] as ShardSpec).shard}/${head["version"]}`;
  return await store.once(name, () => copyRows({ store, askNode, payload }, head));
}

async function copyRows(
  { store, askNode, payload }: Pick<Site, "store" | "askNode" | "payload">,
  head: Head,
): Promise<Answer> {
  const { cache, from, spec, owner, sequences, version } = head as unknown as {
    cache: string;
    from: string;
    spec: ShardSpec;
    owner: Owner;
    sequences: readonly CopiedSequence[];
    version: number;
  };
  await store.close(cache, spec.shard); // what an earlier try left
  const shard = store.open(cache, spec, owner), ask = askNode(from);
  try {
    for (const copied of sequences) {
      const { sequence } = copied;
      const { head: found } = await ask("export", { cache, shard: spec.shard, sequence, owner });
      const job = { job: found["job"], owner }, tensors: Record<string, HostTensor> = {};
      try {
        for (const [name, info] of Object.entries(found["tensors"] as Record<string, TensorInfo>)) {
          tensors[name] = await fetchTensor(ask, job, name, info, payload());
        }
      } finally {
        ask("drop", job).catch(() => {}); // it would stay there as long as the client
      }
      await shard.import(copied, stateOf(found["length"] as number, tensors));
    }
  } catch (error) {
    await store.close(cache, spec.shard);
    if (error instanceof RangeError) throw error;
    const why = error instanceof Error ? error.message : `${error}`;
    throw new RefusedError("missing", `Cannot copy shard ${spec.shard} from node ${from}: ${why}`);
  }
  shard.version = version;
  return { head: { version } };
}

/** Makes the rows of a sequence a job, to be fetched. */
async function exportShard({ store }: Site, { head }: Message): Promise<Answer> {
  const { cache, shard, sequence, owner } = head as unknown as {
    cache: string;
    shard: number;
    sequence: number;
    owner: Owner;
  };
  const state = await store.shard(cache, shard).export(sequence);
  const name = `export ${cache}/${shard}/${sequence}`, job = store.begin(name, owner);
  const tensors = Object.fromEntries(
    Object.entries(stateTensors(state)).map(([key, tensor]) => [key, job.keep(key, tensor)]),
  );
  return { head: { job: name, length: state.length, tensors } };
}

type Run = (site: Site, message: Message) => Promise<Answer> | Answer;

/** The operations. */
export const OPERATION_TABLE: Readonly<Record<Operation, Run>> = {
  open({ store }, { head }) {
    store.open(head["cache"] as string, head["spec"] as ShardSpec, head["owner"] as Owner);
    return NOTHING;
  },
  async close({ store }, { head }) {
    await store.close(head["cache"] as string, head["shard"] as number);
    return NOTHING;
  },
  async append({ store }, { head, tensors }) {
    const shard = store.shard(head["cache"] as string, head["shard"] as number);
    await shard.append(head as unknown as AppendHead, tensors["k"]!, tensors["v"]!);
    return NOTHING;
  },
  async truncate({ store }, { head }) {
    const { version, sequences, lengths } = head as unknown as {
      version: number;
      sequences: number[];
      lengths: number[];
    };
    const shard = store.shard(head["cache"] as string, head["shard"] as number);
    await shard.truncate(version, sequences, lengths);
    return NOTHING;
  },
  async fork({ store }, { head }) {
    const shard = store.shard(head["cache"] as string, head["shard"] as number);
    await shard.fork(head as unknown as ForkHead);
    return NOTHING;
  },
  attend({ store }, message) {
    const { head } = message;
    const shard = store.shard(head["cache"] as string, head["shard"] as number);
    return attendShard(store, shard, message);
  },
  copy: copyShard,
  export: exportShard,
  put({ store }, message) {
    const { head } = message, owner = head["owner"] as Owner;
    store.begin(head["job"] as string, owner).put(message, (bytes) => store.grow(bytes));
    return NOTHING;
  },
  async run({ store, engine, publish }, { head }) {
    const job = store.job(head["job"] as string), part = head as unknown as PartHead;
    job.run ??= runPart(engine, job, part, tellProgress(part.tell, part.runs.length, publish));
    return { head: await job.run as Head };
  },
  get({ store }, { head }) {
    const { name, at, length } = head as { name: string; at: number; length: number };
    return { head: {}, tensors: { piece: store.job(head["job"] as string).get(name, at, length) } };
  },
  drop({ store }, { head }) {
    store.drop(head["job"] as string);
    return NOTHING;
  },
};
