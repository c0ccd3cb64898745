// The encoder of PNG: one file, as the npm package carries it along (tools/pack.ts).
export { encode } from "fast-png";
