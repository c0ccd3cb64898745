// What the two sides say to each other, as JSON: requests of clients, and what nodes say of themselves.
import type { WireType } from "./narrow.ts";

/** Who asks, and for how long without a word. */
export interface Owner {
  readonly client: string;
  /** Milliseconds. */
  readonly lease: number;
}

/** How rows are dealt out. */
export interface StripeShape {
  /** Shards of the cache. */
  readonly shards: number;
  /** Rows of a stripe. */
  readonly stripe: number;
}

/** What a shard is, said when it is opened. */
export interface ShardSpec extends StripeShape {
  readonly shard: number;
  readonly sequences: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly dtype: "f32" | "f16" | "bf16" | "i8";
  readonly pageSize: number;
  /** Of this shard. */
  readonly pages: number;
}

/** Rows that enter: of several sequences, one behind the other. */
export interface AppendHead {
  /** Number of the message: each that changes the cache has a higher one than those before it. */
  readonly version: number;
  readonly sequences: readonly number[];
  /** The row of each sequence, here, where its new ones begin. */
  readonly from: readonly number[];
  readonly rows: readonly number[];
}

/** A sequence that becomes a copy of another. */
export interface ForkHead {
  /** As of an append. */
  readonly version: number;
  readonly source: number;
  readonly target: number;
  /** Rows that the shard has of it. */
  readonly rows: number;
}

/** A sequence of a shard that is copied to another node. */
export interface CopiedSequence {
  readonly sequence: number;
  /** Rows that the shard has of it. */
  readonly length: number;
  /** One of those before it whose first `rows` rows it shares. */
  readonly like?: number | undefined;
  readonly rows: number;
}

/** A shard that is copied from another node. */
export interface CopyHead {
  readonly cache: string;
  /** Number of the instance that has it. */
  readonly from: string;
  readonly spec: ShardSpec;
  readonly owner: Owner;
  readonly sequences: readonly CopiedSequence[];
  readonly version: number;
}

/** Rows of a sequence of a shard, from one to before another, to be fetched. */
export interface ExportHead {
  readonly cache: string;
  readonly shard: number;
  readonly sequence: number;
  readonly owner: Owner;
  readonly first: number;
  readonly end: number;
}

/** A call that reads. */
export interface AttendHead {
  /** Of each shard, the last change that the call must see. */
  readonly versions: readonly number[];
  readonly sequences: readonly number[];
  /** The shard where each of these begins. */
  readonly starts: readonly number[];
  /** Rows of each of these, on all shards, that the call reads. */
  readonly lengths: readonly number[];
  readonly options: CachedOptions;
}

/** The part of a call's options that travels to every shard. */
export interface CachedOptions {
  /** Numbers that mean the same for every key. */
  readonly scalars: Readonly<Record<string, number>>;
  /** For each batch element the keys that query i sees: `low <= j - i <= high`. Missing where each sees all. */
  readonly low?: readonly number[] | undefined;
  readonly high?: readonly number[] | undefined;
}

/** Where a part of a result belongs: rows `from` on of an axis; or it is a part of a sum. */
export type Place = { readonly axis: number; readonly from: number } | "sum";

/** A run, said by the request. */
export interface RunHead {
  readonly options: Readonly<Record<string, unknown>>;
  /** Which tensor of the job each operand is. */
  readonly operands: Readonly<Record<string, string>>;
  readonly places: Readonly<Record<string, Place>>;
}

/** Whom a node tells how far a part has come. */
export interface TellHead {
  /** An inbox of the client. */
  readonly subject: string;
  /** The number of the part. */
  readonly part: number;
}

/** What a part is asked. */
export interface PartHead {
  /** Missing where nobody listens. */
  readonly tell?: TellHead | undefined;
  readonly pass: "forward" | "backward";
  readonly runs: readonly RunHead[];
  readonly wire: WireType;
}

/** What a node says of itself, also through the statistics of its NATS service. */
export interface NodeStatus {
  /** Its name. */
  readonly name: string;
  /** The backend that computes. */
  readonly backend: "wasm" | "webgpu";
  /** Shards that it holds. */
  readonly shards: number;
  /** Rows in them, of all sequences. */
  readonly rows: number;
  /** Bytes of memory that they hold. */
  readonly bytes: number;
  /** Calls whose tensors it holds, and their bytes. */
  readonly jobs: number;
  /** Bytes of these. */
  readonly jobBytes: number;
  /** Bytes of requests that wait. */
  readonly pending: number;
  /** Milliseconds that it has computed. */
  readonly busyMs: number;
  /** Calls that it has answered, those of each shard and each part by themselves. */
  readonly answered: number;
  /** Milliseconds from request to answer that half of the last thousands of calls did not exceed; missing before the first. */
  readonly p50Ms?: number | undefined;
  /** The same of 99 in a hundred. */
  readonly p99Ms?: number | undefined;
}
