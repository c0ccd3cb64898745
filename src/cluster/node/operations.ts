// What a node does when it is asked: one function for each operation.
import type { AbortSignalLike } from "../../backend/backend.ts";
import type { Engine } from "../../engine/engine.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import type { Head, Message } from "../wire/message.ts";
import { toFloats, toWire, type WireType } from "../wire/narrow.ts";
import type {
  AppendHead,
  AttendHead,
  ForkHead,
  Owner,
  PartHead,
  ShardSpec,
} from "../wire/requests.ts";
import type { Operation } from "../wire/subjects.ts";
import type { Ask } from "../wire/transfer.ts";
import { copyShard, exportShard } from "./copy_shard.ts";
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

/** Attention over one shard, as a reply. */
export function attendShard(store: Store, shard: Shard, message: Message): Promise<Answer> {
  // asked again while it computes, it computes once
  return store.once(
    `${message.head["call"]}/${shard.spec.shard}`,
    (signal) => attendOnce(shard, message, signal),
  );
}

async function attendOnce(
  shard: Shard,
  { head, tensors }: Message,
  signal: AbortSignalLike,
): Promise<Answer> {
  const { q, ...operands } = tensors, asked = head as unknown as AttendHead;
  const { result, ms } = await shard.attend(asked, toFloats(q!), operands, signal);
  const wire = head["wire"] as WireType;
  return {
    head: { shard: shard.spec.shard, ms },
    tensors: { out: toWire(result.out, wire), lse: result.lse },
  };
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
  async copy({ store, askNode, payload }, { head }) {
    return { head: await copyShard(store, askNode, payload, head) };
  },
  async export({ store }, { head }) {
    return { head: await exportShard(store, head) };
  },
  put({ store }, message) {
    const { head } = message, owner = head["owner"] as Owner;
    store.begin(head["job"] as string, owner).put(message, store.grow);
    return NOTHING;
  },
  async run({ store, engine, publish }, { head }) {
    const job = store.job(head["job"] as string), part = head as unknown as PartHead;
    const signalOf = () => tellProgress(part.tell, part.runs.length, publish, job.check);
    job.run ??= runPart(engine, job, part, signalOf(), store.grow);
    return { head: await job.run as Head };
  },
  get({ store }, { head }) {
    const { name, at, length } = head as { name: string; at: number; length: number };
    return { head: {}, tensors: { piece: store.job(head["job"] as string).get(name, at, length) } };
  },
  drop({ store }, { head }) {
    const { job, call } = head as { job?: string; call?: string };
    if (job !== undefined) store.drop(job);
    if (call !== undefined) store.giveUp(call);
    return NOTHING;
  },
};
