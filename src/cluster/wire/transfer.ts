// Tensors that are larger than a message: in pieces under the payload limit of the server, a few of them under way at a time.
import type { DType } from "../../tensor/dtype.ts";
import type { HostTensor, MaskTensor } from "../../tensor/tensor.ts";
import { arrayOver, bytesOf, dtypeOf, type Head, type Message } from "./message.ts";
import type { Operation } from "./subjects.ts";

/** Asks one node one thing. */
export type Ask = (
  operation: Operation,
  head: Head,
  tensors?: Readonly<Record<string, HostTensor>>,
) => Promise<Message>;

/** What a tensor is, without its values. */
export interface TensorInfo {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
}

/** Pieces of one transfer that may be on their way: what bounds memory in the server and in the node. */
const WINDOW = 4;

/** Runs jobs, some at a time, in the order in which they are given. Rejects with the first error once all have ended. */
export async function windowed<T>(
  jobs: Iterable<T>,
  run: (job: T) => Promise<void>,
  width: number = WINDOW,
): Promise<void> {
  const iterator = jobs[Symbol.iterator]();
  let failed: { error: unknown } | undefined;
  const lane = async () => {
    for (let next = iterator.next(); !next.done && !failed; next = iterator.next()) {
      try {
        await run(next.value);
      } catch (error) {
        failed ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
  if (failed) throw failed.error;
}

/** Offsets of the pieces of so many bytes; one piece of nothing is a piece. */
function* piecesOf(bytes: number, most: number): Generator<number> {
  for (let at = 0; at === 0 || at < bytes; at += most) yield at;
}

const pieceOf = (bytes: Uint8Array): HostTensor => ({
  data: new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength),
  shape: [bytes.byteLength],
});

/** Sends a tensor to a job of a node. */
export async function sendTensor(
  ask: Ask,
  job: Head,
  name: string,
  tensor: HostTensor | MaskTensor,
  most: number,
): Promise<void> {
  const bytes = bytesOf(tensor), info = { dtype: dtypeOf(tensor), shape: tensor.shape };
  await windowed(piecesOf(bytes.length, most), async (at) => {
    const head = { ...job, name, ...info, bytes: bytes.length, at };
    await ask("put", head, { piece: pieceOf(bytes.subarray(at, at + most)) });
  });
}

/** Fetches a tensor of a job. */
export async function fetchTensor(
  ask: Ask,
  job: Head,
  name: string,
  { dtype, shape, bytes }: TensorInfo,
  most: number,
): Promise<HostTensor> {
  const all = new Uint8Array(bytes);
  await windowed(piecesOf(bytes, most), async (at) => {
    const length = Math.min(most, bytes - at);
    const { tensors } = await ask("get", { ...job, name, at, length });
    all.set(bytesOf(tensors["piece"]!), at);
  });
  return { data: arrayOver(dtype, all), shape, dtype };
}
