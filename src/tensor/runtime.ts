// Compiled programs, tensors and bindings over ONNX Runtime's C API. One environment, one thread pool and one
// memory arena serve every program of the process.

import { availableParallelism } from "node:os";
import { setImmediate as nextTurn } from "node:timers/promises";
import { UserError } from "../base/errors.js";
import type { DType, OnnxValue } from "./onnx.js";
import { elementType } from "./onnx.js";
import { addressOf, check, create, ort, type Pointer, readPointers } from "./ort.js";
import { runHere, runOnWorker } from "./runner.js";

export type Device = "cpu" | "webgpu";

export type TensorData = Float32Array | Int32Array | BigInt64Array | Uint8Array | Int8Array | Uint16Array;

const arrayTypes = {
  float32: Float32Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
  uint8: Uint8Array,
  int8: Int8Array,
  // As their bits.
  float16: Uint16Array,
  bfloat16: Uint16Array,
} as const;

interface Environment {
  env: Pointer;
  cpuMemory: Pointer;
  runOptions: Pointer;
  threads: number;
}

let environment: Environment | undefined;
let requestedThreads = Number(process.env.TOUCHSTONE_THREADS ?? 0) || availableParallelism();

/** Sets the number of threads for all numerical work. Must come before the first program is compiled. */
export function setThreads(threads: number): void {
  if (environment && environment.threads !== threads)
    throw new Error(`the runtime already started with ${environment.threads} threads`);
  requestedThreads = threads;
}

let spins = false;

/**
 * Whether threads that wait for work spin instead of sleeping. Spinning saves operators of a few microseconds their wake-up
 * and takes a busy neighbour's time for it, or its neighbour its own. Without effect once the runtime has started.
 */
export function setSpinning(spinning: boolean): void {
  spins = spinning;
}

let webgpu: Pointer | undefined;

function webgpuMemory(): Pointer {
  webgpu ??= create("CreateMemoryInfo", "WebGPU_Buffer", 0, 0, 0);
  return webgpu;
}

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** An array of C strings, and the buffers that must stay alive while it is used. */
function cStrings(texts: readonly string[]): { array: BigUint64Array; keep: Uint8Array[] } {
  const keep = texts.map(cString);
  return { array: BigUint64Array.from(keep.map(addressOf)), keep };
}

const arenaAllocator = 1;
const logErrorsOnly = 3;

function open(): Environment {
  if (environment) return environment;
  const api = ort();
  const threading = create("CreateThreadingOptions");
  check(api.SetGlobalIntraOpNumThreads(threading, requestedThreads), "threads");
  check(api.SetGlobalInterOpNumThreads(threading, 1), "threads");
  check(api.SetGlobalSpinControl(threading, Number(spins)), "threads");
  // Denormal numbers cost a hundred times a normal one and carry nothing that training needs.
  check(api.SetGlobalDenormalAsZero(threading), "threads");
  const env = create("CreateEnvWithGlobalThreadPools", logErrorsOnly, "touchstone", threading);
  const cpuMemory = create("CreateMemoryInfo", "Cpu", arenaAllocator, 0, 0);
  // Grow the shared arena by what is asked for instead of to the next power of two: peak memory is what is used.
  const { array, keep } = cStrings(["arena_extend_strategy"]);
  const arena = create("CreateArenaCfgV2", array, BigUint64Array.of(1n), keep.length);
  check(api.CreateAndRegisterAllocator(env, cpuMemory, arena), "allocator");
  environment = { env, cpuMemory, runOptions: create("CreateRunOptions"), threads: requestedThreads };
  return environment;
}

const released = new FinalizationRegistry<Pointer>((handle) => {
  ort().ReleaseValue(handle);
});

/** A typed array with a shape, known to the runtime. On a device the data is not visible from here. */
export class Tensor {
  private constructor(
    readonly dtype: DType,
    readonly dims: readonly number[],
    /** CPU tensors only; a view of memory that programs read and write in place. */
    readonly data: TensorData | undefined,
    private pointer: Pointer | undefined,
  ) {
    released.register(this, pointer!, this);
  }

  get handle(): Pointer {
    if (this.pointer === undefined) throw new Error("a tensor was used after it was disposed");
    return this.pointer;
  }

  /** Wraps memory that JavaScript owns (not copied). `offset` counts elements. */
  static of(dtype: DType, data: TensorData, dims: readonly number[], offset = 0): Tensor {
    const size = dims.reduce((a, b) => a * b, 1);
    if (offset + size > data.length)
      throw new Error(
        `a ${dims.join("x")} tensor needs ${size} elements after ${offset}, got ${data.length}`,
      );
    const view = data.subarray(offset, offset + size) as TensorData;
    const handle = create(
      "CreateTensorWithDataAsOrtValue",
      open().cpuMemory,
      addressOf(view),
      view.byteLength,
      BigInt64Array.from(dims, BigInt),
      dims.length,
      elementType[dtype],
    );
    return new Tensor(dtype, dims, view, handle);
  }

  static float32(data: Float32Array, dims: readonly number[], offset = 0): Tensor {
    return Tensor.of("float32", data, dims, offset);
  }

  static int32(data: Int32Array, dims: readonly number[], offset = 0): Tensor {
    return Tensor.of("int32", data, dims, offset);
  }

  static int64(data: readonly number[], dims: readonly number[] = [data.length]): Tensor {
    return Tensor.of("int64", BigInt64Array.from(data, BigInt), dims);
  }

  static zeros(dtype: DType, dims: readonly number[]): Tensor {
    return Tensor.of(dtype, new arrayTypes[dtype](dims.reduce((a, b) => a * b, 1)), dims);
  }

  /** Adopts a value that a program made on its device. */
  static adopt(dtype: DType, handle: Pointer): Tensor {
    return new Tensor(dtype, dimensions(handle), undefined, handle);
  }

  /** The data of a CPU float tensor. */
  get floats(): Float32Array {
    if (!(this.data instanceof Float32Array))
      throw new Error(`not a float32 tensor on the CPU: ${this.dtype}`);
    return this.data;
  }

  get ints(): Int32Array {
    if (!(this.data instanceof Int32Array)) throw new Error(`not an int32 tensor on the CPU: ${this.dtype}`);
    return this.data;
  }

  /** Releases the value at once; device memory must not wait for the garbage collector, which cannot see it. */
  dispose(): void {
    if (this.pointer === undefined) return;
    released.unregister(this);
    ort().ReleaseValue(this.pointer);
    this.pointer = undefined;
  }
}

function dimensions(value: Pointer): number[] {
  const info = create("GetTensorTypeAndShape", value);
  const rank = Number(create("GetDimensionsCount", info));
  const dims = new BigInt64Array(rank);
  if (rank > 0) check(ort().GetDimensions(info, dims, rank), "GetDimensions");
  ort().ReleaseTensorTypeAndShapeInfo(info);
  return Array.from(dims, Number);
}

/** A compiled graph. */
export class Program {
  private constructor(
    readonly session: Pointer,
    readonly device: Device,
    readonly inputs: readonly OnnxValue[],
    readonly outputs: readonly OnnxValue[],
  ) {}

  /** Compiles an ONNX model. `profile` names a file prefix for ONNX Runtime's own profile. */
  static compile(
    model: Uint8Array,
    inputs: readonly OnnxValue[],
    outputs: readonly OnnxValue[],
    { device = "cpu", profile }: { device?: Device; profile?: string } = {},
  ): Program {
    const api = ort();
    const { env } = open();
    const options = create("CreateSessionOptions");
    try {
      check(api.DisablePerSessionThreads(options), "session");
      check(api.SetSessionExecutionMode(options, 0), "session");
      check(api.SetSessionGraphOptimizationLevel(options, 99), "session");
      check(api.SetSessionLogSeverityLevel(options, logErrorsOnly), "session");
      check(api.DisableMemPattern(options), "session");
      check(api.AddSessionConfigEntry(options, "session.use_env_allocators", "1"), "session");
      if (profile) check(api.EnableProfiling(options, profile), "profile");
      if (device === "webgpu") useWebGpu(options);
      const session = create("CreateSessionFromArray", env, addressOf(model), model.length, options);
      return new Program(session, device, inputs, outputs);
    } finally {
      api.ReleaseSessionOptions(options);
    }
  }

  bind(): Binding {
    return new Binding(this);
  }

  /** Ends profiling and returns the name of the profile's file. */
  endProfile(): void {
    const allocator = create("GetAllocatorWithDefaultOptions");
    create("SessionEndProfiling", this.session, allocator);
  }

  dispose(): void {
    ort().ReleaseSession(this.session);
  }
}

function useWebGpu(options: Pointer): void {
  const none = new BigUint64Array(1);
  try {
    check(ort().SessionOptionsAppendExecutionProvider(options, "WebGPU", none, none, 0), "WebGPU");
  } catch (cause) {
    const reason = (cause as Error).message
      .trim()
      .split("\n")[0]!
      .replace(/^.*(was false\.|: (?=No ))/, "");
    throw new UserError(
      `device webgpu cannot be used here (${reason.trim()}); it needs a graphics driver with Vulkan (Linux, ` +
        "with the loader libvulkan.so.1), Metal (macOS) or Direct3D 12 (Windows); without one use device cpu",
      { cause },
    );
  }
}

/**
 * The tensors that a program reads and writes. An output may be bound to the memory of an input where the program
 * allows it (caches, accumulated gradients): then it is updated in place.
 */
export class Binding {
  private readonly handle: Pointer;
  private readonly kept = new Map<string, Tensor>();
  /** Inputs in CPU memory of a program on a device. Binding copies them, so they are bound when the program runs. */
  private readonly hostInputs = new Map<string, Tensor>();
  private readonly outputNames: string[] = [];
  private readonly updates = new Map<string, Update>();

  constructor(private readonly program: Program) {
    this.handle = create("CreateIoBinding", program.session);
  }

  /** Whether the program has an input of this name. */
  takes(name: string): boolean {
    return this.program.inputs.some((input) => input.name === name);
  }

  input(name: string, tensor: Tensor): this {
    if (this.program.device !== "cpu" && tensor.data) {
      this.hostInputs.set(name, tensor);
      return this;
    }
    this.kept.set(`in ${name}`, tensor);
    check(ort().BindInput(this.handle, name, tensor.handle), `input ${name}`);
    return this;
  }

  output(name: string, tensor: Tensor): this {
    this.kept.set(`out ${name}`, tensor);
    check(ort().BindOutput(this.handle, name, tensor.handle), `output ${name}`);
    this.updates.delete(name);
    if (!this.outputNames.includes(name)) this.outputNames.push(name);
    return this;
  }

  /**
   * A float output that replaces `current` and goes to `receive`. On the CPU the memory of `current` is written in
   * place. On a device, where most operators must not write what they read, the next run leaves a new tensor there,
   * hands it over and releases `current`.
   */
  update(
    name: string,
    current: Tensor | undefined,
    dims: readonly number[],
    receive: (tensor: Tensor) => void,
  ): this {
    if (this.program.device === "cpu") {
      const tensor = current ?? Tensor.zeros("float32", dims);
      receive(tensor);
      return this.output(name, tensor);
    }
    check(ort().BindOutputToDevice(this.handle, name, webgpuMemory()), `output ${name}`);
    this.updates.set(name, { current, receive });
    if (!this.outputNames.includes(name)) this.outputNames.push(name);
    return this;
  }

  /**
   * Runs; on the CPU without blocking the event loop. A device is driven from this thread alone: its objects must not
   * be used or released while another thread runs, and what runs there is not this thread's work anyway.
   */
  async run(): Promise<void> {
    if (this.program.device !== "cpu") {
      this.runSync();
      return yieldToEventLoop();
    }
    check(await runOnWorker(this.program.session, open().runOptions, this.handle), "run");
  }

  /** Runs on this thread: for programs of well under a millisecond, where a thread hop costs more than the work. */
  runSync(): void {
    for (const [name, tensor] of this.hostInputs)
      check(ort().BindInput(this.handle, name, tensor.handle), `input ${name}`);
    check(runHere(this.program.session, open().runOptions, this.handle), "run");
    if (this.updates.size > 0) this.handOver();
  }

  private handOver(): void {
    const api = ort();
    const allocator = create("GetAllocatorWithDefaultOptions");
    const values: [Pointer | null] = [null];
    const count: [number | bigint] = [0];
    check(api.GetBoundOutputValues(this.handle, allocator, values, count), "outputs");
    const handles = readPointers(values[0]!, Number(count[0]));
    api.AllocatorFree(allocator, values[0]);
    // ONNX Runtime lists the outputs in the order in which they were bound.
    this.outputNames.forEach((name, i) => {
      const update = this.updates.get(name);
      if (update) {
        update.receive(Tensor.adopt("float32", handles[i]!));
        update.current?.dispose();
      } else api.ReleaseValue(handles[i]);
    });
    this.updates.clear();
  }

  dispose(): void {
    this.kept.clear();
    this.hostInputs.clear();
    ort().ReleaseIoBinding(this.handle);
  }
}

interface Update {
  current: Tensor | undefined;
  receive: (tensor: Tensor) => void;
}

/** Lets timers, servers and progress displays run between synchronous steps. */
export async function yieldToEventLoop(): Promise<void> {
  await nextTurn();
}
