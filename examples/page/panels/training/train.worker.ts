/** The worker of the training panel: the page stays free while it computes. */
import type { Answer, Request } from "./messages.ts";
import { Service } from "./service.ts";

/** What a worker has for talking to its page; the types of a page do not know it. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(answer: Answer): void;
}

const scope = self as unknown as WorkerScope;
const service = new Service((answer) => scope.postMessage(answer));
scope.onmessage = ({ data }) => void service.handle(data);
