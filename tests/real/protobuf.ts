/** The wire format of protocol buffers, which ONNX models are written in: messages as lists of numbered fields. */

/** A field that is written: an integer, or something with a length. */
export type Field = readonly [field: number, value: number | string | Uint8Array | Message];
/** A message that is written. */
export type Message = readonly Field[];

/** A field that was read: an integer, or the bytes of what has a length. */
export interface ReadField {
  readonly field: number;
  readonly value: number;
  readonly bytes: Uint8Array;
}

const NONE = new Uint8Array();

/** Bytes of a message. */
export function encode(message: Message): Uint8Array {
  const parts = message.map(([field, value]) => {
    if (typeof value === "number") return Uint8Array.from([...varint(field * 8), ...varint(value)]);
    const content = typeof value === "string"
      ? new TextEncoder().encode(value)
      : value instanceof Uint8Array
      ? value
      : encode(value);
    return joined([
      Uint8Array.from([...varint(field * 8 + 2), ...varint(content.length)]),
      content,
    ]);
  });
  return joined(parts);
}

/** One array behind the other; a model is too large for the arguments of a call. */
function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function varint(value: number): number[] {
  const groups: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) groups.push(value % 128 + 128);
  return [...groups, value];
}

/** The fields of a message, in their order. */
export function decode(bytes: Uint8Array): ReadField[] {
  const fields: ReadField[] = [];
  let at = 0;
  const number = () => {
    let value = 0, scale = 1;
    for (;; scale *= 128) {
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = number(), field = Math.floor(key / 8), wire = key % 8;
    const value = wire === 0 ? number() : 0;
    const size = wire === 2 ? number() : wire === 5 ? 4 : wire === 1 ? 8 : 0;
    fields.push({ field, value, bytes: size > 0 ? bytes.subarray(at, at + size) : NONE });
    at += size;
  }
  return fields;
}

/** Texts of a field that may repeat. */
export function texts(fields: readonly ReadField[], field: number): string[] {
  return fields.filter((one) => one.field === field)
    .map(({ bytes }) => new TextDecoder().decode(bytes));
}
