// Flushing denormal numbers to zero on a thread. A causal mask drives half of all attention probabilities below
// 1e-38, where x86 takes a hundred cycles for what it otherwise does in one: softmax under a mask ran 7 times slower.
// ONNX Runtime flushes them on its own pool but not on the thread that calls it.

import koffi from "koffi";

/** Says how `fesetenv` of the C library is to be called to flush denormals; thread-independent data. */
export interface FlushingMode {
  library: string;
  environment: Uint8Array;
}

/** Where the control word lives in `fenv_t`, and its flush bits. Platforms that are not listed run without. */
const layouts: Record<string, { library: string; size: number; offset: number; bits: number }> = {
  // MXCSR after the 28 bytes of x87 state: flush-to-zero (bit 15) and denormals-are-zero (bit 6).
  "linux-x64": { library: "libm.so.6", size: 32, offset: 28, bits: 0x8040 },
  // FPCR: flush-to-zero is bit 24.
  "linux-arm64": { library: "libm.so.6", size: 8, offset: 0, bits: 1 << 24 },
  "darwin-arm64": { library: "/usr/lib/libSystem.B.dylib", size: 16, offset: 8, bits: 1 << 24 },
};

interface FloatEnvironment {
  get: (environment: Uint8Array) => number;
  set: (environment: Uint8Array) => number;
  plain: Uint8Array;
  flushing: FlushingMode;
}

let cached: FloatEnvironment | null | undefined;

function floatEnvironment(): FloatEnvironment | null {
  if (cached !== undefined) return cached;
  cached = null;
  const layout = layouts[`${process.platform}-${process.arch}`];
  if (!layout) return cached;
  try {
    const library = koffi.load(layout.library);
    const get = library.func("int fegetenv(void *environment)");
    const set = library.func("int fesetenv(void *environment)");
    const plain = new Uint8Array(layout.size);
    get(plain);
    const environment = plain.slice();
    const words = new DataView(environment.buffer);
    words.setUint32(layout.offset, words.getUint32(layout.offset, true) | layout.bits, true);
    cached = { get, set, plain, flushing: { library: layout.library, environment } };
  } catch {
    // A C library without these functions (musl has another name): slower, not wrong.
  }
  return cached;
}

/** The mode for another thread, or undefined where this platform has none. */
export function flushingMode(): FlushingMode | undefined {
  return floatEnvironment()?.flushing;
}

/** Runs `work` on this thread with denormals flushed, and restores the thread's mode. */
export function withDenormalsFlushed<T>(work: () => T): T {
  const mode = floatEnvironment();
  if (!mode) return work();
  mode.set(mode.flushing.environment);
  try {
    return work();
  } finally {
    mode.set(mode.plain);
  }
}
