// The module worker of page.ts. It makes workers of its own, where it may. No top-level await: Vite makes a classic
// script of a worker unless it is told otherwise.
import { tourOfPage } from "./page_tour.ts";

tourOfPage().then(postMessage);
