// The part of the WebAssembly API that the sandbox uses; TypeScript has it only together with the browser's globals.

declare namespace WebAssembly {
  interface Module {
    readonly [Symbol.toStringTag]: string;
  }
  class RuntimeError extends Error {}
  function compile(bytes: Uint8Array): Promise<Module>;
}
