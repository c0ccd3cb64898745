// The contract between the kernels and their host: where each word of a task, a sequence and a work
// item lies. Read by AssemblyScript and by TypeScript, so it holds plain enums only.

/** Tensors a task refers to. Each has a record of four words in the task (see `OperandWord`). */
export enum Operand {
  Q = 0,
  K = 1,
  V = 2,
  Out = 3,
  Lse = 4,
  DOut = 5,
  Dq = 6,
  Dk = 7,
  Dv = 8,
  DLse = 9,
  Bias = 10,
  Mask = 11,
  DBias = 12,
  PartOut = 13,
  PartLse = 14,
  /** A byte for every 16 keys of every 8 query rows of the mask; see features/mask.ts. */
  MaskBlocks = 15,
  Count = 16,
}

/** One operand record: byte address of element (0, 0, 0, 0) and byte strides of its axes. */
export enum OperandWord {
  Pointer = 0,
  Batch = 4,
  Head = 8,
  Row = 12,
  Bytes = 16,
}

/** A task: everything the items of one staged window share. Byte offsets. */
export enum Task {
  Operands = 0,
  Sequences = 256,
  HeadDim = 260,
  ValueDim = 264,
  GroupSize = 268,
  LengthQ = 272,
  Flags = 276,
  /** Keys of a tile in forward and decode, query rows of a block in backward. */
  Tile = 280,
  Scale = 284,
  Softcap = 288,
  /** DTypeCode of k and v; only decode and the slow paths read 16-bit values in place. */
  KvDtype = 292,
  Parts = 296,
  PartOutBytes = 300,
  PartLseBytes = 304,
  Bytes = 320,
}

/** One sequence of the batch: query i sees key j when low <= j - i <= high and j < lengthK. */
export enum Sequence {
  LengthQ = 0,
  LengthK = 4,
  Low = 8,
  High = 12,
  Bytes = 16,
}

/** One work item: what a thread takes from the schedule. */
export enum Item {
  Kernel = 0,
  Task = 4,
  Batch = 8,
  Head = 12,
  RowBegin = 16,
  RowEnd = 20,
  KeyBegin = 24,
  KeyEnd = 28,
  /** Where a partial result goes; -1 for the final place. */
  Slot = 32,
  Window = 36,
  Bytes = 40,
}

export enum Kernel {
  Forward = 0,
  Backward = 1,
  Decode = 2,
  Merge = 3,
  SumQueryGradient = 4,
}

/** Features that act on single scores; a tile tests each once. */
export enum Flag {
  /** dK and dV continue from what an earlier row window left instead of from zero. */
  Accumulate = 1,
  BiasGradient = 2,
  Softcap = 4,
  Bias = 8,
  Mask = 16,
  /** The flags of a forward pass: all features that change or remove single scores. */
  Scores = 28,
}

export enum DTypeCode {
  F32 = 0,
  F16 = 1,
  BF16 = 2,
}

/** Words of the control block that threads share, as indices of an Int32Array. */
export enum Control {
  Published = 0,
  Next = 1,
  Done = 2,
  Items = 3,
  First = 4,
  Failed = 5,
  Closed = 6,
  /** Address of each thread's scratch. */
  Scratch = 16,
  /** Items left of each window; windows share the words in turn. */
  Left = 320,
  LeftCount = 160,
  Words = 480,
}
