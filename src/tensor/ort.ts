// ONNX Runtime's C API, reached through koffi from its library (ort-library.ts). The C API, unlike the
// JavaScript binding, writes results into memory that we own, shares one thread pool and one arena between all
// programs, and runs off the event loop. Only this file knows about pointers.

import koffi from "koffi";
import { ortLibrary } from "./ort-library.js";

/** An opaque native pointer. */
export type Pointer = bigint;

/** Position of each function in the `OrtApi` struct; the ABI only ever appends, so these numbers are stable. */
const functions = {
  GetErrorMessage: [2, "str", ["void*"]],
  CreateSessionFromArray: [8, "void*", ["void*", "void*", "size_t", "void*", "_Out_ void**"]],
  CreateSessionOptions: [10, "void*", ["_Out_ void**"]],
  SetSessionExecutionMode: [13, "void*", ["void*", "int"]],
  EnableProfiling: [14, "void*", ["void*", "str"]],
  DisableMemPattern: [17, "void*", ["void*"]],
  SetSessionLogSeverityLevel: [22, "void*", ["void*", "int"]],
  SetSessionGraphOptimizationLevel: [23, "void*", ["void*", "int"]],
  CreateRunOptions: [39, "void*", ["_Out_ void**"]],
  CreateTensorWithDataAsOrtValue: [
    49,
    "void*",
    ["void*", "void*", "size_t", "int64_t*", "size_t", "int", "_Out_ void**"],
  ],
  GetDimensionsCount: [61, "void*", ["void*", "_Out_ size_t*"]],
  GetDimensions: [62, "void*", ["void*", "_Out_ int64_t*", "size_t"]],
  GetTensorTypeAndShape: [65, "void*", ["void*", "_Out_ void**"]],
  CreateMemoryInfo: [68, "void*", ["str", "int", "int", "int", "_Out_ void**"]],
  AllocatorFree: [76, "void*", ["void*", "void*"]],
  GetAllocatorWithDefaultOptions: [78, "void*", ["_Out_ void**"]],
  ReleaseStatus: [93, "void", ["void*"]],
  ReleaseSession: [95, "void", ["void*"]],
  ReleaseValue: [96, "void", ["void*"]],
  ReleaseTensorTypeAndShapeInfo: [99, "void", ["void*"]],
  ReleaseSessionOptions: [100, "void", ["void*"]],
  SessionEndProfiling: [110, "void*", ["void*", "void*", "_Out_ void**"]],
  CreateEnvWithGlobalThreadPools: [119, "void*", ["int", "str", "void*", "_Out_ void**"]],
  DisablePerSessionThreads: [120, "void*", ["void*"]],
  CreateThreadingOptions: [121, "void*", ["_Out_ void**"]],
  GetAvailableProviders: [125, "void*", ["_Out_ void**", "_Out_ int*"]],
  ReleaseAvailableProviders: [126, "void*", ["void*", "int"]],
  AddSessionConfigEntry: [130, "void*", ["void*", "str", "str"]],
  RunWithBinding: [133, "void*", ["void*", "void*", "void*"]],
  CreateIoBinding: [134, "void*", ["void*", "_Out_ void**"]],
  ReleaseIoBinding: [135, "void", ["void*"]],
  BindInput: [136, "void*", ["void*", "str", "void*"]],
  BindOutput: [137, "void*", ["void*", "str", "void*"]],
  BindOutputToDevice: [138, "void*", ["void*", "str", "void*"]],
  GetBoundOutputValues: [140, "void*", ["void*", "void*", "_Out_ void**", "_Out_ size_t*"]],
  CreateAndRegisterAllocator: [144, "void*", ["void*", "void*", "void*"]],
  SetGlobalIntraOpNumThreads: [147, "void*", ["void*", "int"]],
  SetGlobalInterOpNumThreads: [148, "void*", ["void*", "int"]],
  SetGlobalSpinControl: [149, "void*", ["void*", "int"]],
  SetGlobalDenormalAsZero: [155, "void*", ["void*"]],
  CreateArenaCfgV2: [164, "void*", ["void*", "size_t*", "size_t", "_Out_ void**"]],
  SessionOptionsAppendExecutionProvider: [216, "void*", ["void*", "str", "void*", "void*", "size_t"]],
} as const;

type FunctionName = keyof typeof functions;
type NativeFunction = (...args: unknown[]) => unknown;

export type OrtApi = Record<FunctionName, NativeFunction> & {
  version: string;
  /** Address of RunWithBinding, for a thread that calls it by itself. */
  addressOfRun: Pointer;
};

/** The API version whose functions are used; any ONNX Runtime from 1.13 on offers it. */
const apiVersion = 13;

let api: OrtApi | undefined;
/** Held for ever: koffi unloads a library that is garbage collected, functions in use or not. */
let library: ReturnType<typeof koffi.load> | undefined;

/** Loads the library once and returns its function table. */
export function ort(): OrtApi {
  if (api) return api;
  library = koffi.load(ortLibrary());
  const base = library.func("OrtGetApiBase", "void*", [])() as Pointer;
  const [getApi, getVersion] = koffi.decode(base, koffi.array("void*", 2)) as [Pointer, Pointer];
  const table = koffi.call(getApi, koffi.proto("void*", ["uint32_t"]), apiVersion) as Pointer;
  if (!table)
    throw new Error("this ONNX Runtime library does not offer the C API version that Touchstone needs");
  const version = koffi.call(getVersion, koffi.proto("str", [])) as string;
  const count = Math.max(...Object.values(functions).map(([index]) => index)) + 1;
  const pointers = koffi.decode(table, koffi.array("void*", count)) as Pointer[];
  const entries = Object.entries(functions).map(([name, [index, result, args]]) => [
    name,
    koffi.decode(pointers[index], koffi.proto(name, result, args.map(parameterType))),
  ]);
  const addressOfRun = pointers[functions.RunWithBinding[0]];
  api = Object.assign(Object.fromEntries(entries), { version, addressOfRun }) as OrtApi;
  return api;
}

// biome-ignore lint/suspicious/noExplicitAny: koffi's type specifications are untyped
function parameterType(spec: string): any {
  return spec.startsWith("_Out_ ") ? koffi.out(koffi.pointer(spec.slice(6).replace(/\*$/, ""))) : spec;
}

/** Throws if a status pointer reports an error; releases it. */
export function check(status: unknown, what: string): void {
  if (!status) return;
  const message = ort().GetErrorMessage(status) as string;
  ort().ReleaseStatus(status);
  throw new Error(`${what}: ${message}`);
}

/** Calls a function whose last parameter is an out-pointer and returns what it wrote. */
export function create(name: FunctionName, ...args: unknown[]): Pointer {
  const out: [Pointer | null] = [null];
  check(ort()[name](...args, out), name);
  return out[0] as Pointer;
}

/** The address of a typed array's memory, which stays put for as long as the array is referenced. */
export function addressOf(view: ArrayBufferView): Pointer {
  return koffi.address(view) as Pointer;
}

/** Reads `count` pointers from an array of pointers. */
export function readPointers(array: Pointer, count: number): Pointer[] {
  return koffi.decode(array, koffi.array("void*", count)) as Pointer[];
}

/** The names of the execution providers inside the library. */
export function providers(): string[] {
  const list: [Pointer | null] = [null];
  const count: [number] = [0];
  check(ort().GetAvailableProviders(list, count), "GetAvailableProviders");
  const names = koffi.decode(list[0] as Pointer, koffi.array("str", count[0])) as string[];
  check(ort().ReleaseAvailableProviders(list[0], count[0]), "ReleaseAvailableProviders");
  return names;
}
