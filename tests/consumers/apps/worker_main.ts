// Starts a worker that has no permission, and prints what it sends. Needs --unstable-worker-options
// for `permissions`, and --allow-read because the worker's module is a file.
const worker = new Worker(new URL("./worker.ts", import.meta.url), {
  type: "module",
  deno: { permissions: "none" },
});
worker.onmessage = ({ data }) => console.log(JSON.stringify(data));
worker.onerror = (event) => {
  event.preventDefault();
  console.error(event.message);
  Deno.exit(1);
};
