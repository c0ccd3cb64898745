// The types that both entries export.
export type { AbortSignalLike, MemoryUse } from "./backend/backend.ts";
export type { AppendOptions } from "./cache/append.ts";
export type {
  CacheSizes,
  ContiguousCacheOptions,
  KvCacheOptions,
  PagedCacheOptions,
} from "./cache/cache_options.ts";
export type { AppendRotary } from "./problem/features/append_rotary.ts";
export type { KvCache } from "./cache/kv_cache.ts";
export type { CacheRows, CacheState } from "./cache/state.ts";
export type { ExplainedShare, ExplainedStep, Explanation } from "./backend/explanation.ts";
export type { ExplainedBlocks } from "./plan/explained_blocks.ts";
export type { Abortable, BackendName, EngineOptions, TuneOption } from "./engine/engine_options.ts";
export type { TuneStore } from "./webgpu/tune/memory.ts";
export type { WrapOptions } from "./engine/new_tensor.ts";
export type {
  ApplyRotaryOptions,
  AttentionBackwardOptions,
  AttentionOptions,
  AttentionScoresOptions,
  AttentionTopKeysOptions,
  MaxSimBackwardOptions,
  MaxSimOptions,
  MergeOptions,
  RunChoice,
} from "./options.ts";
export type { BlockList, BlockLists } from "./expression/block_lists.ts";
export type {
  BlockCounts,
  BlockMask,
  BlockMaskOptions,
  BlockSize,
} from "./expression/block_mask.ts";
export type { Captured, CapturedOptions } from "./expression/captured.ts";
export type {
  AnyExpression,
  BoolExpression,
  FloatExpression,
  IntExpression,
} from "./expression/expressions.ts";
export type { Masks } from "./expression/masks.ts";
export type { MaskMod, MaskSymbols, ScoreMod, ScoreSymbols } from "./expression/score_mod.ts";
export type { Cost } from "./plan/cost.ts";
export type { Estimates } from "./plan/estimate.ts";
export type { KernelName } from "./plan/kernel.ts";
export type { DotForm, Target, WasmTarget, WebGpuTarget } from "./plan/target.ts";
export type { Precision } from "./problem/precision.ts";
export type { Tile } from "./plan/wasm/tiles.ts";
export type {
  AttentionGradients,
  AttentionResult,
  AttentionStatistics,
  BackwardCallOptions,
  CallOptions,
  Causal,
  Layout,
  PerSequence,
  Positions,
  ResultsInto,
  Rotary,
  RotaryAngles,
  SavedForBackward,
  SequenceStarts,
  Window,
} from "./problem/call_options.ts";
export type {
  IndexRange,
  ScoresCallOptions,
  ScoreStage,
  TopKeys,
  TopKeysCallOptions,
} from "./problem/inside_options.ts";
export type {
  GpuBufferLike,
  GpuComputePassLike,
  HostGpuAdapter,
  HostGpuBuffer,
  HostGpuDevice,
} from "./tensor/gpu_types.ts";
export type { RotaryCallOptions } from "./problem/features/apply_rotary.ts";
export type { EngineCalls } from "./engine/engine_calls.ts";
export type {
  MaxSimCallOptions,
  MaxSimGradients,
  MaxSimGradientsOf,
  MaxSimResult,
  SavedForMaxSim,
} from "./problem/max_sim.ts";
export type { MergeCallOptions } from "./problem/merge.ts";
export type {
  GradientVerification,
  Verification,
  VerifiedElement,
  VerifyCallOptions,
  VerifyOptions,
} from "./problem/verification.ts";
export type { StatisticName } from "./tensor/operands.ts";
export type { DType, Float16ArrayLike, TensorData } from "./tensor/dtype.ts";
export type {
  AnyTensor,
  BooleanTensor,
  FloatResultOf,
  HostTensor,
  IntegerTensor,
  MaskTensor,
  ResultOf,
  Tensor,
  TensorOf,
} from "./tensor/tensor.ts";
export type { SimdLevel } from "./wasm/module/kernel_bytes.ts";
export type { SimdOption } from "./wasm/settings.ts";
export type { GpuDeviceLike } from "./webgpu/device/api.ts";
