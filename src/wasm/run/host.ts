// What a host offers to threads, and what to do where something is missing. Hosts differ in what they
// throw: some at a mere look at `process`.

interface Process {
  readonly versions?: { readonly node?: string };
  readonly permission?: { has(scope: string): boolean };
  getBuiltinModule?(name: string): unknown;
}

/** Result of a look that a host may forbid. */
function look<T>(at: () => T): T | undefined {
  try {
    return at();
  } catch {
    return undefined;
  }
}

function nodeProcess(): Process | undefined {
  return look(() => (globalThis as { process?: Process }).process);
}

/** A module of Node, where there is one by this name. Nothing is imported where it is missing. */
export function builtin<T>(name: string): T | undefined {
  return look(() => nodeProcess()?.getBuiltinModule?.(name) as T | undefined);
}

const ISOLATE =
  "memory can be shared only in a cross-origin isolated page: serve it with the headers " +
  "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
const PERMISSION = "the permission model of Node forbids workers: add --allow-worker";

/** Why Node cannot start workers; undefined where it can. */
function nodeShortage(): string | undefined {
  const process = nodeProcess(), none = "this host has no workers";
  if (look(() => process?.versions?.node) === undefined) return none;
  if (look(() => typeof process?.getBuiltinModule) !== "function") {
    return "threads need process.getBuiltinModule, which Node has from 20.16 and 22.3 on";
  }
  if (look(() => process?.permission?.has("worker")) === false) return PERMISSION;
  return builtin("node:worker_threads") ? undefined : none;
}

/** Why there can be no workers at all, whatever they share; undefined where they may be tried. */
export function workerShortage(): string | undefined {
  const host = globalThis as {
    readonly ServiceWorkerGlobalScope?: unknown;
    readonly SharedWorkerGlobalScope?: unknown;
  };
  if (typeof host.ServiceWorkerGlobalScope === "function") return "a ServiceWorker has no workers";
  if (typeof Worker === "function") return undefined;
  if (typeof host.SharedWorkerGlobalScope === "function") {
    return "a SharedWorker has no workers here";
  }
  return nodeShortage();
}

/** Why there can be one thread only; undefined where more may be tried. A look at `process` takes Deno 15 ms. */
export function threadShortage(): string | undefined {
  const host = globalThis as {
    readonly document?: unknown;
    readonly crossOriginIsolated?: boolean;
    readonly ServiceWorkerGlobalScope?: unknown;
  };
  if (typeof host.ServiceWorkerGlobalScope === "function") return workerShortage();
  const page = typeof host.document === "object" || host.crossOriginIsolated === false;
  if (page && host.crossOriginIsolated !== true) return ISOLATE;
  if (typeof SharedArrayBuffer !== "function") return "this host has no SharedArrayBuffer";
  return workerShortage();
}

/** What a worker said when it did not start, as a reason with its remedy. */
export function refusal(error: unknown): string {
  const { code, message } = Object(error) as { code?: unknown; message?: unknown };
  const text = typeof message === "string" ? message : typeof error === "string" ? error : "";
  if (code === "ERR_ACCESS_DENIED") return PERMISSION;
  // as Chromium and as Firefox say it
  if (/TrustedScriptURL|type mismatch violation/.test(text)) {
    return "Trusted Types forbid workers: allow the policy flashtile " +
      "(Content-Security-Policy: trusted-types flashtile)";
  }
  // the event of a policy says nothing, and the error of one names the policy
  if (text === "" || /content security policy/i.test(text)) {
    return "workers are refused, as by a Content-Security-Policy: add blob: to its worker-src";
  }
  return `workers do not start here (${text})`;
}
