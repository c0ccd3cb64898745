// One request to one node: encode, send, wait, decode, and the node's own error where it refuses.
import { headers, type Msg, type MsgHdrs, type NatsConnection } from "@nats-io/nats-core";
import type { HostTensor } from "../../tensor/tensor.ts";
import { restoredError } from "./errors.ts";
import { decode, encode, type Head, type Message } from "./message.ts";
import type { Operation, Subjects } from "./subjects.ts";
import type { Ask } from "./transfer.ts";

/** Headers in which NATS services report errors. */
const ERROR_CODE = "Nats-Service-Error-Code", ERROR = "Nats-Service-Error";

/** The headers of a refusal. */
export function errorHeaders(code: number, text: string): MsgHdrs {
  const made = headers();
  made.set(ERROR_CODE, `${code}`);
  made.set(ERROR, text);
  return made;
}

/** Reads a reply. Throws the node's error where it is one. */
export function readReply(message: Msg): Message {
  if (message.headers?.has(ERROR_CODE)) {
    throw message.data.length > 0
      ? restoredError(message.string())
      : new Error(`Cannot run the request: ${message.headers.get(ERROR)}`);
  }
  return decode(message.data);
}

/** Asks a node; the caller's business is who asks again. */
export function askOnce(
  nats: NatsConnection,
  subjects: Subjects,
  id: string,
  timeout: number = 60_000,
): Ask {
  return async (
    operation: Operation,
    head: Head,
    tensors: Readonly<Record<string, HostTensor>> = {},
  ) => {
    const request = encode(head, tensors);
    return readReply(await nats.request(subjects.operation(id, operation), request, { timeout }));
  };
}
