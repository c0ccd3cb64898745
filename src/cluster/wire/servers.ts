// What a connection is told, checked before anybody is asked: names of options, and addresses.
import { type Complaint, show, UnsupportedError } from "../../tensor/errors.ts";

/** Of `ConnectionSettings`. */
const NAMES: readonly string[] = ["servers", "connection", "nats", "name", "cluster"];

/** Throws unless options are an object with these names, or those of every connection. */
export function checkNames(
  options: unknown,
  more: readonly string[],
  complaint: Complaint,
): void {
  if (typeof options !== "object" || options === null) {
    throw complaint.type(`options is ${show(options)} but must be { servers, name }`);
  }
  const known = [...NAMES, ...more];
  for (const [name, value] of Object.entries(options)) {
    if (known.includes(name) || value === undefined) continue;
    throw complaint.type(
      `options has the unknown name ${show(name)}, wanted one of ${known.join(", ")}`,
    );
  }
}

/** An address as a URL; without a scheme it is that of a server on TCP. */
function urlOf(server: unknown, complaint: Complaint): URL {
  const wanted = 'an address such as "nats://127.0.0.1:4222"';
  if (typeof server !== "string") {
    throw complaint.type(`servers has ${show(server)} but must have ${wanted}`);
  }
  const host = /^[\da-f]*(:[\da-f]*){2,}$/i.test(server) ? `[${server}]` : server; // of IPv6, alone
  let url: URL;
  try {
    url = new URL(/^\w+:\/\//.test(host) ? host : `nats://${host}`);
  } catch {
    throw complaint.type(`servers has ${show(server)} but must have ${wanted}`);
  }
  // NATS would leave them out; what it says of a refusal would show them
  if (url.username === "" && url.password === "") return url;
  throw complaint.type(
    `servers has credentials of ${show(url.username)} in the address of ${url.host}: ` +
      "give them as nats: { user, pass } (flags --user and --pass)",
  );
}

/** The addresses as a list, and whether they are those of WebSockets. */
export function readServers(
  servers: unknown,
  nats: unknown,
  complaint: Complaint,
): { readonly list: string[]; readonly web: boolean } {
  if (nats !== undefined && (typeof nats !== "object" || nats === null)) {
    throw complaint.type(`nats is ${show(nats)} but must be an object of options of NATS`);
  }
  const given: unknown = typeof servers === "string" ? [servers] : servers ?? [];
  if (!Array.isArray(given)) {
    throw complaint.type(`servers is ${show(given)} but must be an address or a list of them`);
  }
  if (given.length === 0) {
    throw complaint.type(
      'servers has no address but one or more were wanted, such as "nats://127.0.0.1:4222"',
    );
  }
  const ways = given.map((server) => /^wss?:$/.test(urlOf(server, complaint).protocol));
  const web = ways.every((way) => way);
  if (!web && ways.includes(true)) {
    throw complaint.type(
      `servers is ${show(given)} but must have addresses of one kind, of TCP or of WebSockets`,
    );
  }
  // without one NATS looks for the server for ever, and tells nobody
  if (web && typeof globalThis.WebSocket !== "function" && !(nats && "wsFactory" in nats)) {
    const remedy = 'use addresses like "nats://127.0.0.1:4222", or Node from 22 on';
    throw new UnsupportedError(`the address ${given[0]}, a WebSocket,`, "any", remedy);
  }
  return { list: given as string[], web };
}
