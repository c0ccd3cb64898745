// What planning may know of the shaders: tile shapes with what follows from them, and the words of a work item.
// Arithmetic only; no text is made here.

/** Words of a work item in the schedule buffer: see parts/item.ts. */
export const ITEM_WORDS = 8;
/** Words of a sequence there: its keys, low, high and offset of the diagonal. */
export const SEQUENCE_WORDS = 4;

/** Verdicts about tiles in a word of it: two bits each, that some pair may be seen, and that some may be hidden. */
export const VERDICTS_OF_WORD = 16;
export const SOME_SEEN = 1, SOME_HIDDEN = 2;

/** Shape of a tile. */
export interface TileShape {
  /** Threads across columns and across rows. */
  readonly nx: number;
  readonly ny: number;
  /** Rows and columns of scores of one thread; tn is a multiple of 4. */
  readonly tm: number;
  readonly tn: number;
  /** Columns of a result that go together, a multiple of 4 nx; dims of heads are taken to be a multiple of it. */
  readonly chunk: number;
  /** Steps of a product that are staged at a time: head columns of scores, keys or rows of a result. */
  readonly depth: number;
  /** Steps in one turn of a product's loop. */
  readonly unroll: number;
  /** Forward: all of Q is staged once, and P has a tile of its own. */
  readonly resident?: boolean;
  /** Whether operands of products are rounded to f16: `precision: "f16"`. */
  readonly halves?: boolean;
}

/**
 * Steps whose products f16 adds up where operands are halves, in two runs whose sums are added; then they join a sum in f32.
 * A tile's depth is one number for all of them, so that results depend on no tile. See docs/decisions/039.
 */
export const HALF_RUN = 16;
export const HALF_DEPTH: number = 2 * HALF_RUN;

/** What follows from a shape. */
export interface Geometry extends TileShape {
  readonly threads: number;
  /** Rows and columns of the whole tile. */
  readonly rows: number;
  readonly columns: number;
  /** vec4 of a chunk, and of the steps that are staged at a time. */
  readonly c4: number;
  readonly d4: number;
  /** vec4 of a thread: of its rows, of its columns, of a chunk of result columns. */
  readonly iv: number;
  readonly jv: number;
  readonly cc: number;
  /** vec4 from one step of a tile to the next: odd, so that no two threads want the same bank. */
  readonly rowPitch: number;
  readonly columnPitch: number;
  /** Times that P goes through its tile, some of its columns each time. */
  readonly parts: number;
}

/** Completes a shape; throws on one that the layout cannot hold. */
export function geometry(shape: TileShape): Geometry {
  const { nx, ny, tm, tn, chunk, depth, unroll, halves } = shape, threads = nx * ny;
  const rows = ny * tm, columns = nx * tn, c4 = chunk / 4, d4 = depth / 4;
  const iv = tm / 4, jv = tn / 4, cc = c4 / nx, parts = columns / depth;
  const whole = [iv, jv, cc, parts, chunk / depth, depth / nx, depth / unroll, threads / c4];
  if (halves) {
    whole.push(
      depth / HALF_DEPTH,
      HALF_DEPTH / depth,
      Math.max(unroll, HALF_RUN) % Math.min(unroll, HALF_RUN) ? 0 : 1,
    );
  }
  if (![...whole, threads / depth].every((n) => Number.isInteger(n) && n > 0)) {
    throw new RangeError(`no tile of ${JSON.stringify(shape)}`);
  }
  const pitches = { rowPitch: rows / 4 | 1, columnPitch: Math.max(columns / 4, c4) | 1 };
  return { ...shape, threads, rows, columns, c4, d4, iv, jv, cc, ...pitches, parts };
}

/** Keys of a query of which is found at once whether their pairs are kept, and the groups of them that a tile meets. */
export const KEPT_KEYS = 8;
export const keptGroups = (keys: number): number => Math.ceil(keys / KEPT_KEYS) + 1;

/** Bytes of what a tile remembers of that. */
export const keptBytes = (queries: number, keys: number): number => 4 * queries * keptGroups(keys);

/** Bytes of the tiles. */
export function tileBytes(g: Geometry, chunks = 1): number {
  const { chunk, depth, rowPitch, columnPitch, resident, halves } = g;
  const ofRows = resident ? chunks * chunk + depth : depth;
  return (halves ? 8 : 16) * (ofRows * rowPitch + depth * columnPitch);
}

/**
 * Bytes of the powers of rows where operands of gradients are halves: of `count` rows of dOut, and with `moved` of the rows of
 * P or dS in a tile (parts/powers.ts).
 */
export function powerBytes({ halves, rows, nx }: Geometry, count: number, moved: boolean): number {
  return halves ? 4 * count + (moved ? 4 * rows * (nx + 2) : 0) : 0;
}

/** What a decode kernel depends on. `tile` of the variant is not used. */
export interface DecodeShape {
  /** Query rows times heads of a group. */
  readonly rows: number;
  /** vec4 of a head row and of a value row. */
  readonly head4: number;
  readonly value4: number;
  readonly threads: number;
  /** Keys of a thread at a time, which share what it reads of q, and how often it takes so many in a block. */
  readonly keys: number;
  readonly turns: number;
}

/** What follows from a shape. */
export interface DecodeLayout {
  /** Threads that share the dot product of one key. */
  readonly lanes: number;
  /** Keys whose dot products begin side by side, and of a block. */
  readonly stride: number;
  readonly block: number;
  /** Key groups of the second half. */
  readonly groups: number;
  /** Threads that share the weights of a row and key group. */
  readonly shares: number;
}

/** Key groups have states of their own: narrow values do not need one for each thread. */
const MOST_GROUPS = 32;

/** Completes a shape. */
export function decodeLayout(shape: DecodeShape): DecodeLayout {
  const { rows, head4, value4, threads, keys, turns } = shape;
  // where one key is all that fits, eight threads share it: less memory
  const lanes = [keys > 1 ? 4 : 8, 4, 2].find((n) => n <= head4) ?? 1;
  const stride = threads / lanes;
  const groups = Math.max(1, Math.min(MOST_GROUPS, Math.floor(threads / value4)));
  const block = stride * keys * turns;
  const shares = keys === 1
    ? 1 // a row's maximum is searched by each of them
    : [4, 2].find((n) => rows * groups * n <= threads && groups * n <= block) ?? 1;
  return { lanes, stride, block, groups, shares };
}

/** Workgroup bytes of a shape, sums of statistics always among them: asking for those changes no bit of `out`. */
export function decodeBytes(shape: DecodeShape): number {
  const { rows, head4, value4 } = shape, { lanes, block, groups, shares } = decodeLayout(shape);
  const rest = 32,
    variables = [
      16 * rows * head4,
      4 * rows * block * (lanes + 1),
      4 * rows * block,
      4 * rows * block,
      4 * rows * groups,
      8 * rows * groups * shares,
      16 * rows * groups * shares,
      16 * groups * value4,
    ];
  // each variable begins at a multiple of 16
  return variables.reduce((sum, bytes) => sum + Math.ceil(bytes / 16) * 16, rest);
}

/** Keys of a block: splits are multiples of it. */
export function decodeBlock(shape: DecodeShape): number {
  return decodeLayout(shape).block;
}
