// The tour on the engine that "auto" gives, for hosts where nothing can be learnt of workers.
import { createEngine } from "@flashtile/attention";
import { tour } from "./tour.ts";

createEngine().then(async (engine) => {
  console.log(JSON.stringify(await tour(engine)));
  engine.dispose();
});
