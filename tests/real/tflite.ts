/** Reads a LiteRT model (a flat buffer of its schema, version 3): one graph of float32 and int32 tensors. */

/** A tensor of a graph; constants have values. */
export interface GraphTensor {
  readonly shape: readonly number[];
  readonly constant?: Float32Array | Int32Array;
}

/** An operator: numbers of tensors, and its options by field number, 0 where they are not given. */
export interface Operator {
  /** Its number in the schema. */
  readonly code: number;
  readonly inputs: readonly number[];
  readonly output: number;
  option(field: number): number;
}

/** The operators of a model in the order in which they run. */
export interface Graph {
  readonly tensors: readonly GraphTensor[];
  readonly operators: readonly Operator[];
  readonly input: number;
  readonly output: number;
}

const FLOAT32 = 0, INT32 = 2;

/** Positions in a flat buffer. An offset counts from where it stands; a table has a list of where its fields are. */
class FlatBuffer {
  readonly #view: DataView;

  constructor(readonly bytes: Uint8Array<ArrayBuffer>) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  word(at: number): number {
    return this.#view.getInt32(at, true);
  }

  byte(at: number): number {
    return this.#view.getInt8(at);
  }

  /** What the offset at a position leads to. */
  follow(at: number): number {
    return at + this.word(at);
  }

  /** Where a field of a table is; 0 where the table does not have it. */
  field(table: number, number: number): number {
    const list = table - this.word(table), size = this.#view.getUint16(list, true);
    const entry = 4 + 2 * number;
    const offset = entry < size ? this.#view.getUint16(list + entry, true) : 0;
    return offset === 0 ? 0 : table + offset;
  }

  /** Where each element of a list of words or offsets is; none where the field is missing. */
  list(field: number): number[] {
    if (field === 0) return [];
    const begin = this.follow(field);
    return Array.from({ length: this.word(begin) }, (_, n) => begin + 4 + 4 * n);
  }

  words(field: number): number[] {
    return this.list(field).map((at) => this.word(at));
  }

  tables(field: number): number[] {
    return this.list(field).map((at) => this.follow(at));
  }

  /** A copy of a list of bytes, which need not be aligned here. */
  data(field: number): ArrayBuffer {
    if (field === 0) return new ArrayBuffer(0);
    const begin = this.follow(field);
    return this.bytes.slice(begin + 4, begin + 4 + this.word(begin)).buffer;
  }
}

/** The graph of a model. */
export function readTfLite(bytes: Uint8Array<ArrayBuffer>): Graph {
  const flat = new FlatBuffer(bytes), model = flat.follow(0);
  const number = (table: number, field: number, read: (at: number) => number) => {
    const at = flat.field(table, field);
    return at === 0 ? 0 : read(at);
  };
  const word = (at: number) => flat.word(at), byte = (at: number) => flat.byte(at);
  // older writers have the code in a byte
  const codes = flat.tables(flat.field(model, 1))
    .map((table) => number(table, 3, word) || number(table, 0, byte));
  const buffers = flat.tables(flat.field(model, 4))
    .map((table) => flat.data(flat.field(table, 0)));
  const [graph] = flat.tables(flat.field(model, 2)) as [number];
  const tensors = flat.tables(flat.field(graph, 0)).map((table): GraphTensor => {
    const shape = flat.words(flat.field(table, 0)), type = number(table, 1, byte);
    const data = buffers[number(table, 2, word)]!;
    if (data.byteLength === 0) return { shape };
    if (type === FLOAT32) return { shape, constant: new Float32Array(data) };
    if (type === INT32) return { shape, constant: new Int32Array(data) };
    throw new Error(`type ${type} is not read`);
  });
  const operators = flat.tables(flat.field(graph, 3)).map((table): Operator => {
    const options = flat.field(table, 4) && flat.follow(flat.field(table, 4));
    return {
      code: codes[number(table, 0, word)]!,
      inputs: flat.words(flat.field(table, 1)),
      output: flat.words(flat.field(table, 2))[0]!,
      option: (field) => options === 0 ? 0 : number(options, field, byte),
    };
  });
  const [input] = flat.words(flat.field(graph, 1)), [output] = flat.words(flat.field(graph, 2));
  return { tensors, operators, input: input!, output: output! };
}
