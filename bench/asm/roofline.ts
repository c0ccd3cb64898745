// What this machine can do at most from WebAssembly: the yardsticks of every share in the report.

import { exp2v } from "../../asm/micro/tiles.gen";
import { exp2Constant } from "../../asm/micro/vmath";

/**
 * Twelve independent chains of fused multiply-adds. Two pipes of four cycles need eight to be full;
 * twelve is what a register tile keeps. 24 multiply-adds of four lanes in one turn of the loop.
 */
export function multiplyAdd(operands: usize, turns: i32): f32 {
  const x = v128.load(operands), y = v128.load(operands, 16);
  let a = x, b = y, c = x, d = y, e = x, f = y, g = x, h = y, i = x, j = y, k = x, l = y;
  for (; turns > 0; --turns) {
    a = f32x4.relaxed_madd(x, y, a); b = f32x4.relaxed_madd(x, y, b);
    c = f32x4.relaxed_madd(x, y, c); d = f32x4.relaxed_madd(x, y, d);
    e = f32x4.relaxed_madd(x, y, e); f = f32x4.relaxed_madd(x, y, f);
    g = f32x4.relaxed_madd(x, y, g); h = f32x4.relaxed_madd(x, y, h);
    i = f32x4.relaxed_madd(x, y, i); j = f32x4.relaxed_madd(x, y, j);
    k = f32x4.relaxed_madd(x, y, k); l = f32x4.relaxed_madd(x, y, l);

    a = f32x4.relaxed_madd(x, y, a); b = f32x4.relaxed_madd(x, y, b);
    c = f32x4.relaxed_madd(x, y, c); d = f32x4.relaxed_madd(x, y, d);
    e = f32x4.relaxed_madd(x, y, e); f = f32x4.relaxed_madd(x, y, f);
    g = f32x4.relaxed_madd(x, y, g); h = f32x4.relaxed_madd(x, y, h);
    i = f32x4.relaxed_madd(x, y, i); j = f32x4.relaxed_madd(x, y, j);
    k = f32x4.relaxed_madd(x, y, k); l = f32x4.relaxed_madd(x, y, l);
  }
  // All twelve must be used, or the compiler drops the chains that nobody reads.
  const left = f32x4.add(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)), f32x4.add(e, f));
  const right = f32x4.add(f32x4.add(f32x4.add(g, h), f32x4.add(i, j)), f32x4.add(k, l));
  return f32x4.extract_lane(f32x4.add(left, right), 0);
}

/** Reads `bytes` (a multiple of 128) in address order. */
export function readForward(from: usize, bytes: usize): i32 {
  let a = i32x4.splat(0), b = a, c = a, d = a;
  for (const end = from + bytes; from < end; from += 128) {
    a = v128.or(a, v128.load(from)); b = v128.or(b, v128.load(from, 16));
    c = v128.or(c, v128.load(from, 32)); d = v128.or(d, v128.load(from, 48));
    a = v128.or(a, v128.load(from, 64)); b = v128.or(b, v128.load(from, 80));
    c = v128.or(c, v128.load(from, 96)); d = v128.or(d, v128.load(from, 112));
  }
  return i32x4.extract_lane(v128.or(v128.or(a, b), v128.or(c, d)), 0);
}

/** Copies `bytes` (a multiple of 128) in address order with vector loads and stores. */
export function copyForward(to: usize, from: usize, bytes: usize): void {
  for (const end = from + bytes; from < end; from += 128, to += 128) {
    v128.store(to, v128.load(from)); v128.store(to, v128.load(from, 16), 16);
    v128.store(to, v128.load(from, 32), 32); v128.store(to, v128.load(from, 48), 48);
    v128.store(to, v128.load(from, 64), 64); v128.store(to, v128.load(from, 80), 80);
    v128.store(to, v128.load(from, 96), 96); v128.store(to, v128.load(from, 112), 112);
  }
}

/** The engine's own copy instruction: what staging host tensors uses. */
export function copyBulk(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}

/** 2^x of `bytes` (a multiple of 64) of numbers at most 0, as the product makes it. */
export function exponential(to: usize, from: usize, bytes: usize): void {
  const lo = exp2Constant(0), mg = exp2Constant(1), k5 = exp2Constant(2), k4 = exp2Constant(3);
  const k3 = exp2Constant(4), k2 = exp2Constant(5), k1 = exp2Constant(6), k0 = exp2Constant(7);
  for (const end = from + bytes; from < end; from += 64, to += 64) {
    v128.store(to, exp2v(v128.load(from), lo, mg, k5, k4, k3, k2, k1, k0));
    v128.store(to, exp2v(v128.load(from, 16), lo, mg, k5, k4, k3, k2, k1, k0), 16);
    v128.store(to, exp2v(v128.load(from, 32), lo, mg, k5, k4, k3, k2, k1, k0), 32);
    v128.store(to, exp2v(v128.load(from, 48), lo, mg, k5, k4, k3, k2, k1, k0), 48);
  }
}
