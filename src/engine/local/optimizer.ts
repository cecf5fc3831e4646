// The optimizer of each device: the gradient's norm, and one AdamW update of every parameter.

import type { Device } from "../../tensor/runtime.js";
import type { AdamOptions } from "../contract.js";
import { cpuAdam } from "./adam.js";
import { DeviceAdam } from "./device-adam.js";
import type { Parameter } from "./parameters.js";

export interface Optimizer {
  /** Global L2 norm of the accumulated gradients. A gradient that is not finite is an error naming it. */
  gradientNorm(parameters: readonly Parameter[]): number;
  /** One AdamW update with the gradient times `gradientScale`; `t` counts steps from 1. */
  update(parameters: readonly Parameter[], t: number, gradientScale: number, options: AdamOptions): void;
}

export const optimizers: Readonly<Record<Device, Optimizer>> = {
  cpu: cpuAdam,
  webgpu: new DeviceAdam("webgpu"),
};
