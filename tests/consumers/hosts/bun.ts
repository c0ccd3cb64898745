// Bun, with the packed library as npm installs it.
import { checkOnce, checkScript } from "../check.ts";
import { run } from "../process.ts";
import { fetched, noNpm } from "../programs.ts";
import type { Consumer } from "./consumer.ts";

const BUN = "bun@1.4.5";

/** The consumers that Bun runs, TypeScript as it is. */
export async function bunConsumers(cwd: string): Promise<Consumer[]> {
  const skip = await noNpm();
  const script = async () => {
    const { stdout, end } = await run(await fetched(BUN), ["script.ts"], { cwd });
    return checkScript(stdout, end);
  };
  const once = async () => {
    const { stdout, end } = await run(await fetched(BUN), ["once.ts"], { cwd });
    return checkOnce(stdout, end);
  };
  return [
    { name: `${BUN}, threads 1 and 2, packed`, skip, run: script },
    { name: `${BUN}, one call and no dispose, packed`, skip, run: once },
  ];
}
