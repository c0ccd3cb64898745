// Jobs: host tensors of a part of a call, sent in pieces; what the call makes of them, fetched in pieces.
import { BYTES, type DType } from "../../tensor/dtype.ts";
import type { HostTensor } from "../../tensor/tensor.ts";
import { arrayOver, bytesOf, dtypeOf, type Message } from "../wire/message.ts";
import { RefusedError } from "../wire/errors.ts";
import type { TensorInfo } from "../wire/transfer.ts";

/** A tensor that is arriving, or has. */
interface Stored extends TensorInfo {
  readonly values: Uint8Array;
}

/** Takes room of a node for so many bytes more of what. Throws where there is none. */
export type Grow = (bytes: number, what: string) => void;

/** One job. */
export class Job {
  readonly #tensors = new Map<string, Stored>();
  /** What it computes; a request that is sent twice waits for the same. */
  run: Promise<unknown> | undefined;
  #over = false;

  /** Nobody waits for it any more. */
  end(): void {
    this.#over = true;
  }

  /** Throws when nobody waits for it: between pieces of its work. */
  readonly check = (): void => {
    if (this.#over) throw new RefusedError("missing", "Cannot go on: nobody waits for the job");
  };

  /** Bytes of its tensors. */
  get bytes(): number {
    return [...this.#tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Takes in one piece of a tensor. */
  put({ head, tensors }: Message, grow: Grow): void {
    const { name, dtype, shape, bytes, at } = head as {
      name: string;
      dtype: DType;
      shape: number[];
      bytes: number;
      at: number;
    };
    let stored = this.#tensors.get(name);
    if (!stored) {
      if (shape.reduce((n, size) => n * size, BYTES[dtype] ?? NaN) !== bytes) {
        throw new RangeError(
          `Cannot run put: ${name} has ${bytes} bytes but shape [${shape}] of ${dtype} was wanted`,
        );
      }
      grow(bytes, "were sent");
      stored = { dtype, shape, bytes, values: new Uint8Array(bytes) };
      this.#tensors.set(name, stored);
    }
    stored.values.set(bytesOf(tensors["piece"]!), at);
  }

  /** A piece of a tensor. */
  get(name: string, at: number, length: number): HostTensor {
    const stored = this.#tensors.get(name);
    if (!stored) throw new RefusedError("missing", `Cannot run get: the job has no ${name}`);
    const piece = stored.values.subarray(at, at + length);
    return {
      data: new Int8Array(piece.buffer, piece.byteOffset, piece.length),
      shape: [piece.length],
    };
  }

  /** A tensor that has arrived; undefined where none of that name was sent. */
  tensor(name: string): HostTensor | undefined {
    const stored = this.#tensors.get(name);
    if (!stored) return undefined;
    const { dtype, shape, values } = stored;
    return { data: arrayOver(dtype, values), shape, dtype };
  }

  /** Keeps a result, to be fetched. */
  keep(name: string, tensor: HostTensor, grow: Grow): TensorInfo {
    const values = bytesOf(tensor), { shape } = tensor, bytes = values.length;
    const info = { dtype: dtypeOf(tensor), shape, bytes };
    grow(bytes, "are the result");
    this.#tensors.set(name, { ...info, values });
    return info;
  }

  /** Lets what was sent go. */
  forget(names: readonly string[]): void {
    for (const name of names) this.#tensors.delete(name);
  }

  /** Names of what it holds. */
  get names(): readonly string[] {
    return [...this.#tensors.keys()];
  }
}
