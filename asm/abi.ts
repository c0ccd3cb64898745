// The contract between the kernels and their host: where each word of a task, a sequence and a work
// item lies; what depends on the tables of operands and features is in tables.gen.ts. Read by
// AssemblyScript and by TypeScript, so it holds plain enums only.

/** One operand record: byte address of element (0, 0, 0, 0) and byte strides of its axes. */
export enum OperandWord {
  Pointer = 0,
  Batch = 4,
  Head = 8,
  Row = 12,
  Bytes = 16,
}

/**
 * Keys of a block of decode whose rows go by panels of eight (asm/kernels/group.ts). No other block of decode has so many: a
 * task's says which of the two kernels all its items take, however few rows a sequence has.
 */
export enum PanelBlock {
  Keys = 48,
}

/** A task: everything the items of one staged region share. Byte offsets. */
export enum Task {
  Sequences = 0,
  HeadDim = 4,
  ValueDim = 8,
  GroupSize = 12,
  LengthQ = 16,
  Flags = 20,
  /** Keys of a tile in forward and decode, query rows of a block in backward. */
  Tile = 24,
  Scale = 28,
  /** DTypeCode of k and v: how their rows are stored where kernels read them. */
  KvDtype = 32,
  /** Partial results of each row, and bytes from one to the next. */
  Splits = 36,
  SplitOutBytes = 40,
  SplitLseBytes = 44,
  /** Addresses of programs, room for three: see `Program` in tables.gen.ts. */
  Programs = 48,
  /** Keys of a row that are returned. */
  Count = 60,
  /** Numbers of features, float32 or words, room for fifteen: see `Scalar` in tables.gen.ts. */
  Scalars = 64,
  /** Query rows that share a row of the summary of blocks, as a power of two from 3 on: see features/blocks.ts. */
  BlockShift = 124,
  /** Records of operands, as many as `Operand` in tables.gen.ts counts. */
  Operands = 128,
}

/**
 * One sequence of the batch: query i sees key j when low <= j - i <= high and j < lengthK; the diagonal
 * of query i is i + offset. Of what it sees, the keys [KeyBegin, KeyEnd) lie in memory: all of them, or a chunk.
 */
export enum Sequence {
  LengthQ = 0,
  LengthK = 4,
  Offset = 8,
  Low = 12,
  High = 16,
  KeyBegin = 20,
  KeyEnd = 24,
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
  Scores = 5,
  Probabilities = 6,
  TopKeys = 7,
  ColumnSums = 8,
  MaxSim = 9,
}

export enum DTypeCode {
  F32 = 0,
  F16 = 1,
  BF16 = 2,
  /** A float32 scale for each row, and behind it signed bytes. */
  I8 = 3,
}

/** What is stored in a cache: rows of every head, and where they go. Byte offsets. */
export enum Store {
  /** Rows, [row][head][column]; bytes from one row, and from one head, to the next. */
  Source = 0,
  SourceRow = 4,
  SourceHead = 8,
  SourceDtype = 12,
  Rows = 16,
  Heads = 20,
  Columns = 24,
  /** For each row the page where it goes times rows of a page, plus its row there. */
  Places = 28,
  PageRows = 32,
  Target = 36,
  TargetPage = 40,
  TargetHead = 44,
  TargetRow = 48,
  TargetDtype = 52,
  /** Room for a row of float32. */
  Scratch = 56,
  Bytes = 64,
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
  /** Workers beyond this number take no item. */
  Limit = 7,
  /** Whether workers say when they finish a step of a region. */
  Tell = 8,
  /** Address of each thread's scratch. */
  Scratch = 16,
  /** Items left of each region; regions share the words in turn. */
  Left = 320,
  LeftCount = 160,
  /** For each thread, whether it may be inside an item. */
  Busy = 480,
  Words = 784,
}
