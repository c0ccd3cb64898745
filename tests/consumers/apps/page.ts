// A page: takes the tour here, or in a module worker where its address ends in "?worker"; sends the report, and
// goes where the server wants it next.
import { mistake } from "./tour.ts";
import { tourOfPage } from "./page_tour.ts";
import type { TourReport } from "./messages.ts";

function inWorker(): Promise<TourReport> {
  const worker = new Worker(new URL("./page_worker.js", import.meta.url), { type: "module" });
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = ({ message }) => reject(new Error(`the worker: ${message}`));
  });
}

let report: unknown;
const failure = await mistake(async () => {
  report = await (location.search === "?worker" ? inWorker() : tourOfPage());
});
const body = JSON.stringify({ report, failure, agent: navigator.userAgent });
await fetch("/report", { method: "POST", body });
location.replace("/next");
