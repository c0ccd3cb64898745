// Node from version 20: the tarball as an ES module, compiled by tsc.
import { checkOnce, checkScript } from "../check.ts";
import { run, versionOf } from "../process.ts";
import type { Consumer } from "./consumer.ts";

/** The oldest Node that the library supports. */
const OLDEST = 20;

async function skipReason(): Promise<string | undefined> {
  const version = await versionOf("node");
  if (version === undefined) return "there is no node on the PATH";
  const major = Number(/^v(\d+)\./.exec(version)?.[1]);
  return major >= OLDEST ? undefined : `node is ${version}, wanted ${OLDEST} or later`;
}

/** The consumers that Node runs. */
export async function nodeConsumers(cwd: string): Promise<Consumer[]> {
  const skip = await skipReason();
  const label = `node ${skip ? "" : (await versionOf("node"))}`.trim();
  return [
    {
      name: `${label}, threads 1 and 2, packed`,
      skip,
      run: async () => {
        const { stdout, end } = await run("node", ["dist/script.js"], { cwd });
        return checkScript(stdout, end);
      },
    },
    {
      name: `${label}, one call and no dispose, packed`,
      skip,
      run: async () => {
        const { stdout, end } = await run("node", ["dist/once.js"], { cwd });
        return checkOnce(stdout, end);
      },
    },
  ];
}
