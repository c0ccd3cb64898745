/** Where a model's bytes come from: a file, or memory in tests. Pieces are read where they are needed. */

export interface ByteSource extends Disposable {
  /** What to call it in messages. */
  readonly name: string;
  /** Bytes that it holds. */
  readonly size: number;
  /** Fills `into` with the bytes from `offset` on; throws where the source ends before. */
  read(offset: number, into: Uint8Array): Promise<void>;
}

/** Opens a file. */
export async function openFile(path: string): Promise<ByteSource> {
  const unreadable = (error: unknown): never => {
    throw new Error(`Cannot read ${path}: ${reasonOf(error)}`);
  };
  // before it is opened: opening a named pipe waits for who writes into it
  const { size, isFile } = await Deno.stat(path).catch(unreadable);
  if (!isFile) throw new Error(`Cannot read ${path}: it is not a file`);
  const file = await Deno.open(path).catch(unreadable);
  return {
    name: path,
    size,
    async read(offset, into) {
      await file.seek(offset, Deno.SeekMode.Start);
      for (let at = 0; at < into.length;) {
        const count = await file.read(into.subarray(at));
        if (count === null) throw endsEarly(path, size, offset + into.length);
        at += count;
      }
    },
    [Symbol.dispose]: () => file.close(),
  };
}

/** Bytes that are in memory already. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    read(offset, into) {
      const end = offset + into.length;
      if (end > bytes.length) return Promise.reject(endsEarly(name, bytes.length, end));
      into.set(bytes.subarray(offset, end));
      return Promise.resolve();
    },
    [Symbol.dispose]() {},
  };
}

/** `count` bytes from `offset` on. */
export async function readBytes(
  source: ByteSource,
  offset: number,
  count: number,
): Promise<Uint8Array<ArrayBuffer>> {
  if (offset + count > source.size) throw endsEarly(source.name, source.size, offset + count);
  const bytes = allocate(source.name, count);
  await source.read(offset, bytes);
  return bytes;
}

/** All of it. */
export async function readAll(source: ByteSource): Promise<Uint8Array<ArrayBuffer>> {
  return await readBytes(source, 0, source.size);
}

/** What a file says of itself, for a message: names in it may be anything, of any length. */
export function shown(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
  if (/^[ -~]{1,80}$/.test(text)) return text;
  const start = JSON.stringify(text.slice(0, 80));
  return text.length > 80 ? `${start}… (${text.length} characters)` : start;
}

function allocate(name: string, bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch {
    throw new RangeError(`Cannot read ${name}: ${bytes} bytes in one piece do not fit into memory`);
  }
}

function endsEarly(name: string, size: number, wanted: number): RangeError {
  return new RangeError(
    `Cannot read ${name}: it ends after ${size} bytes, but what it says of itself needs ${wanted}`,
  );
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  return error instanceof Error ? error.message : String(error);
}
