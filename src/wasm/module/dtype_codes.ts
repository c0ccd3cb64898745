// The numbers by which kernels know storage types.
import { DTypeCode } from "../../../asm/abi.ts";
import type { DType } from "../../tensor/dtype.ts";

/** Codes of the types that kernels can read. */
export const DTYPE_CODES: { readonly [T in DType]?: DTypeCode } = {
  f32: DTypeCode.F32,
  f16: DTypeCode.F16,
  bf16: DTypeCode.BF16,
  i8: DTypeCode.I8,
};
