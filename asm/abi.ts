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
  AlibiSlopes = 12,
  Sink = 13,
  DBias = 14,
  /** Rows of it are KV splits: each item adds up its own. */
  DAlibiSlopes = 15,
  DSink = 16,
  /** Partial results of KV splits: out or dq, and lse. */
  SplitOut = 17,
  SplitLse = 18,
  /** A byte for every 16 keys of every 8 query rows; see features/blocks.ts. */
  Blocks = 19,
  Count = 20,
}

/** One operand record: byte address of element (0, 0, 0, 0) and byte strides of its axes. */
export enum OperandWord {
  Pointer = 0,
  Batch = 4,
  Head = 8,
  Row = 12,
  Bytes = 16,
}

/** A task: everything the items of one staged region share. Byte offsets. */
export enum Task {
  Operands = 0,
  Sequences = 320,
  HeadDim = 324,
  ValueDim = 328,
  GroupSize = 332,
  LengthQ = 336,
  Flags = 340,
  /** Keys of a tile in forward and decode, query rows of a block in backward. */
  Tile = 344,
  Scale = 348,
  Softcap = 352,
  /** DTypeCode of k and v; only decode and the slow paths read 16-bit values in place. */
  KvDtype = 356,
  /** Partial results of each row, and bytes from one to the next. */
  Splits = 360,
  SplitOutBytes = 364,
  SplitLseBytes = 368,
  Bytes = 384,
}

/**
 * One sequence of the batch: query i sees key j when low <= j - i <= high and j < lengthK; the diagonal
 * of query i is i + offset.
 */
export enum Sequence {
  LengthQ = 0,
  LengthK = 4,
  Offset = 8,
  Low = 12,
  High = 16,
  Bytes = 32,
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
  /** The region that it belongs to. */
  Region = 36,
  Bytes = 40,
}

export enum Kernel {
  Forward = 0,
  Backward = 1,
  Decode = 2,
  Combine = 3,
  ReduceDq = 4,
}

/**
 * What a task has: a flag for each feature that kernels act on and for each gradient that is summed over
 * pieces of work, by their names in the tables of features and operands. A tile tests each once.
 */
export enum Flag {
  /** dK and dV continue from what an earlier region of rows left instead of from zero. */
  Accumulate = 1,
  /** Pairs are hidden, and there is a summary of them by blocks. */
  Blocks = 2,
  Softcap = 4,
  AlibiSlopes = 8,
  Bias = 16,
  Mask = 32,
  Sink = 64,
  AlibiSlopesGradient = 128,
  BiasGradient = 256,
  SinkGradient = 512,
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
  /** Items left of each region; regions share the words in turn. */
  Left = 320,
  LeftCount = 160,
  Words = 480,
}
