// A JavaScript realm with nothing in it, for Pyodide (CPython compiled to WebAssembly) to live in. Pyodide is made to hand
// the host's globals to Python, so its JavaScript half runs in a context of its own: plain ECMAScript, no Node, no dynamic
// import, no code from strings, and no object of the outer realm within reach (not even an error), because any such
// object leads to the outer Function constructor. Once sealed, the WebAssembly half can call no import beyond those that
// CPython itself needs to read its standard library, see the clock, grow its memory and use the open streams.

import { createContext, runInContext } from "node:vm";

/** Pyodide's files, read once for all threads. */
export interface PyodideFiles {
  wasm: WebAssembly.Module;
  /** `pyodide.asm.mjs`, `pyodide.js`. */
  module: string;
  loader: string;
  standardLibrary: Uint8Array;
  abiVersion: string;
  pythonVersion: string;
}

/** The part of Emscripten's module that the host uses. Its functions belong to the inner realm. */
export interface PythonModule {
  HEAPU8: Uint8Array<ArrayBuffer>;
  FS: { streams: (Stream | null)[] };
  stringToNewUTF8(text: string): number;
}

/** Exports of the WebAssembly instance: CPython's C interface. Objects are pointers, and 0 means that an error is set. */
export interface PythonApi {
  malloc(bytes: number): number;
  free(pointer: number): void;
  /** Takes bytes off the memory that is not in use yet. */
  sbrk(bytes: number): number;
  PyRun_SimpleString(source: number): number;
  PyImport_AddModule(name: number): number;
  PyModule_GetDict(module: number): number;
  PyDict_GetItemString(dict: number, key: number): number;
  PyDict_DelItemString(dict: number, key: number): number;
  PyList_Size(list: number): number;
  PyList_GetItem(list: number, index: number): number;
  PyTuple_GetItem(tuple: number, index: number): number;
  PyTuple_New(size: number): number;
  PyTuple_SetItem(tuple: number, index: number, value: number): number;
  PyUnicode_DecodeUTF8(bytes: number, size: number, errors: number): number;
  PyUnicode_AsUTF8AndSize(text: number, size: number): number;
  PyObject_Call(callable: number, args: number, kwargs: number): number;
  PyObject_CallOneArg(callable: number, arg: number): number;
  PyObject_CallNoArgs(callable: number): number;
  PyObject_Str(value: number): number;
  PyObject_GC_UnTrack(value: number): void;
  PySys_GetObject(name: number): number;
  PyErr_GetRaisedException(): number;
  PyErr_Clear(): void;
  PyEval_SetTrace(callback: number, value: number): void;
  PyEval_SetProfile(callback: number, value: number): void;
  PyGC_Disable(): number;
  PyGC_Enable(): number;
  Py_IncRef(value: number): void;
}

interface StreamOperations {
  open?(stream: Stream): void;
  close?(stream: Stream): void;
  read?(stream: Stream, buffer: Int8Array, offset: number, length: number): number;
  write?(stream: Stream, buffer: Int8Array, offset: number, length: number): number;
}

/** A file, directory, link or device of the sandbox, for comparison. */
export interface FileState {
  path: string;
  mode: number;
  times: readonly number[];
  /** Contents of a file, names in a directory. */
  contents: Uint8Array | string;
}

export interface Stream {
  fd: number | null;
  position: number;
  flags: number;
  tty?: unknown;
  stream_ops: StreamOperations;
}

/** What the realm asks of its host. Every function takes and returns primitive values, and never throws. */
export interface RealmHost {
  /** At every interrupt check; true interrupts the interpreter. */
  check(): boolean;
  /** Bytes that the program wrote to a stream, one character each. Returns whether they were accepted. */
  write(stream: number, bytes: string): boolean;
  /** An import was called that is closed to the program. */
  refuse(name: string): void;
  /** At most `length` bytes from a stream, one character each; empty at its end. */
  read(stream: number, length: number): string;
}

export interface Realm {
  module: PythonModule;
  api: PythonApi;
  /** WebAssembly's own stack, which an exception leaves where it was. */
  stackPointer: { value: number };
  /**
   * From now on imports that could reach JavaScript objects throw, and files are read-only; memory stays below the limit;
   * the clock, the random devices and the times of files start anew.
   */
  seal(maximumBytes: number): void;
  /** Everything in the file system. */
  files(): FileState[];
}

/**
 * Evaluates to a function of the host and the files that furnishes the realm and resolves to a Realm. All that it defines
 * belongs to the inner realm; outer values stay in its closure.
 */
const furnish = `(function (host, files, outer) {
"use strict";
let sealed = false;
let maximumBytes = Infinity;
let api;

// Bytes of memory that the interpreter asked for last, and pages that it gets beyond them.
let asked = 0;
const spare = 16;

// The clock goes on by a millisecond whenever somebody looks, so that waiting ends and every run sees the same times.
let clock = 0;
const start = 1767225600000;
globalThis.performance = { now: () => ++clock };
Date.now = () => start + ++clock;

const quiet = () => {};
globalThis.console = { log: quiet, info: quiet, debug: quiet, warn: quiet, error: quiet, trace: quiet };

globalThis.TextDecoder = class TextDecoder {
  #label;
  constructor(label = "utf-8") { this.#label = label; }
  decode(view) { return view === undefined ? "" : outer.decode(this.#label, view); }
};
globalThis.TextEncoder = class TextEncoder {
  encode(text) { return new Uint8Array(outer.encode(text)); }
  encodeInto(text, view) {
    const { read, written } = outer.encodeInto(text, view);
    return { read, written };
  }
};

// What makes Pyodide believe that it runs in a bare JavaScript shell.
globalThis.load = () => { throw new Error("nothing can be loaded"); };
globalThis.read = globalThis.load;
globalThis.readbuffer = (name) => {
  if (!name.endsWith(".zip")) return new ArrayBuffer(0);
  const copy = new Uint8Array(files.standardLibrary.length);
  copy.set(files.standardLibrary);
  return copy.buffer;
};
// Random bytes are asked of a program there: every run gets the same.
globalThis.os = {
  system(_, [, command]) {
    const length = Number(/-c([0-9]+)/.exec(command)[1]);
    return "c2Vl".repeat(Math.floor(length / 3)) + ["", "cw==", "c2U="][length % 3];
  },
};

const allowed = new RegExp("^(?:" + [
  "invoke_.*", "__call_sighandler", "_PyEM_.*", "_Py_.*", "throw_no_gil", "__assert_fail", "_abort_js", "exit", "proc_exit",
  "emscripten_(?:date_now|get_now|get_heap_max|resize_heap|runtime_.*)", "_emscripten_(?:get_progname|runtime_.*)",
  "_(?:timegm|mktime|localtime|gmtime)_js|_tzset_js", "clock_.*", "environ_.*", "random_get", "fd_.*", "_try_fcntl64",
  "__syscall_(?:fcntl64|fstat64|stat64|newfstatat|lstat64|faccessat|getcwd|getdents64|readlinkat|ioctl|ioctl_js|getuid32_js|umask_js)",
  "JsvError_Check", "Jsv_GetError_import", "can_run_sync_js", "capture_stderr", "restore_stderr",
].join("|") + ")$");
const notPermitted = 63;
const flagsThatWrite = 0o3 | 0o100 | 0o1000 | 0o2000;

function gated(name, call) {
  const wrapper = gate(name, call);
  return wrapper === call ? call : Object.assign(wrapper, call);
}

function gate(name, call) {
  if (name === "__syscall_openat")
    return (directory, path, flags, rest) =>
      sealed && flags & flagsThatWrite ? -notPermitted : call(directory, path, flags, rest);
  // A descriptor's flags are what they were when it was opened: F_SETFL (4) would make a file writable.
  if (name === "__syscall_fcntl64")
    return (descriptor, command, rest) => (sealed && command === 4 ? -notPermitted : call(descriptor, command, rest));
  // Up to the limit exactly, whether or not the memory has grown before.
  if (name === "emscripten_resize_heap")
    return (bytes) => {
      asked = bytes >>> 0;
      return asked > maximumBytes ? 0 : call(bytes);
    };
  if (allowed.test(name)) return call;
  if (name.startsWith("__syscall_") || name === "_mmap_js")
    return (...args) => (sealed ? -notPermitted : call(...args));
  return (...args) => {
    if (sealed) {
      host.refuse(name);
      throw new Error("the host is out of reach");
    }
    return call(...args);
  };
}

// By what is asked for, not by a fifth as Emscripten does: every byte is written back for every program.
const { grow } = WebAssembly.Memory.prototype;
WebAssembly.Memory.prototype.grow = function (pages) {
  const size = this.buffer.byteLength;
  const left = Math.floor((maximumBytes - size) / 65536);
  if (left <= 0) throw new RangeError("out of memory");
  const needed = Math.ceil((asked - size) / 65536) + (sealed ? spare : 0);
  return Reflect.apply(grow, this, [Math.min(pages, left, needed)]);
};

const { instantiate } = WebAssembly;
WebAssembly.instantiate = async (source, imports) => {
  if (source.length !== 0) return instantiate(source, imports);
  for (const group of ["env", "wasi_snapshot_preview1"])
    for (const [name, value] of Object.entries(imports[group]))
      if (typeof value === "function") imports[group][name] = gated(name, value);
  const module = Object.setPrototypeOf(files.wasm, WebAssembly.Module.prototype);
  const instance = new WebAssembly.Instance(module, imports);
  api = instance.exports;
  return { instance, module };
};

const bytesOf = (text, buffer, offset) => {
  for (let i = 0; i < text.length; i++) buffer[offset + i] = text.charCodeAt(i);
  return text.length;
};
const textOf = (buffer, offset, length) => {
  let text = "";
  for (let i = 0; i < length; i++) text += String.fromCharCode(buffer[offset + i] & 255);
  return text;
};
const operations = (number, errno) => ({
  open() {},
  close() {},
  read: (_, buffer, offset, length) => bytesOf(host.read(number, length), buffer, offset),
  write(_, buffer, offset, length) {
    if (!host.write(number, textOf(buffer, offset, length))) throw errno(29);
    return length;
  },
});

/** Bytes that are the same for everyone who opens the device. */
const randomOperations = {
  open(stream) { stream.drawn = 0; },
  close() {},
  read(stream, buffer, offset, length) {
    for (let i = 0; i < length; i++) buffer[offset + i] = Math.imul(++stream.drawn, 0x9e3779b1) >>> 24;
    return length;
  },
};

/** Nothing that a program can open leads to the host's own terminal. */
function furnishDevices(FS, errno, hasChannel) {
  for (const [number, name] of ["stdin", "stdout", "stderr"].entries()) {
    const { node } = FS.lookupPath("/dev/" + name, { follow: false });
    if (!FS.isChrdev(node.mode)) throw new Error("/dev/" + name + " is no device, as this version expects");
    FS.registerDevice(node.rdev, operations(number, errno));
    const stream = FS.streams[number];
    delete stream.tty;
    stream.stream_ops = operations(number, errno);
  }
  const isRandom = (name) => FS.lookupPath("/dev/" + name).node.rdev;
  for (const name of ["random", "urandom"]) FS.registerDevice(isRandom(name), randomOperations);
  for (const name of ["tty", "tty1"]) FS.unlink("/dev/" + name);
  if (!hasChannel) return;
  const device = FS.makedev(4095, 0);
  FS.registerDevice(device, operations(3, errno));
  FS.mkdev("/dev/channel", device);
  FS.open("/dev/channel", "r+");
  FS.unlink("/dev/channel");
}

const changing = ["setattr", "mknod", "rename", "unlink", "rmdir", "symlink", "create"];

/** All nodes below the root, with their paths. */
function nodesOf(FS) {
  const found = [];
  const visit = (node, path) => {
    found.push({ node, path });
    if (FS.isDir(node.mode)) for (const [name, child] of Object.entries(node.contents ?? {})) visit(child, path + "/" + name);
  };
  visit(FS.root, "");
  return found;
}

/** Takes from every file and directory what could change it; returns what puts their times back. */
function sealFiles(FS, errno) {
  const refuse = () => { throw errno(notPermitted); };
  const nodes = nodesOf(FS);
  for (const { node } of nodes) {
    for (const name of changing) if (name in node.node_ops) node.node_ops[name] = refuse;
    if (FS.isFile(node.mode)) node.stream_ops.write = node.stream_ops.msync = node.stream_ops.mmap = refuse;
    if (FS.isFile(node.mode) || FS.isDir(node.mode)) node.mode &= ~0o222;
  }
  const times = nodes.map(({ node }) => [node, node.atime, node.mtime, node.ctime]);
  return () => {
    for (const [node, atime, mtime, ctime] of times) Object.assign(node, { atime, mtime, ctime });
  };
}

const filesOf = (FS) =>
  nodesOf(FS).map(({ node, path }) => ({
    path,
    mode: node.mode,
    times: [node.atime, node.mtime, node.ctime],
    contents: FS.isFile(node.mode) ? node.contents.slice(0, node.usedBytes) : Object.keys(node.contents ?? {}).join(),
  }));

return async () => {
  const pyodide = await loadPyodide({
    indexURL: "/",
    createPyodideModule,
    lockFileContents: {
      info: { abi_version: files.abiVersion, arch: "wasm32", platform: "emscripten", python: files.pythonVersion, version: "0" },
      packages: {},
    },
    jsglobals: Object.create(null),
    env: { HOME: "/", PYTHONHASHSEED: "0" },
    stdin: () => undefined,
  });
  const module = pyodide._module;
  const errno = (number) => new module.FS.ErrnoError(number);
  furnishDevices(module.FS, errno, files.hasChannel);
  pyodide.setInterruptBuffer({ get 0() { return host.check() ? 2 : 0; }, set 0(_) {} });
  let rewind;
  const seal = (bytes) => {
    rewind ??= sealFiles(module.FS, errno);
    rewind();
    sealed = true;
    maximumBytes = bytes;
    clock = 0;
  };
  return { module, api, stackPointer: api.__stack_pointer, seal, files: () => filesOf(module.FS) };
};
})`;

/** Pyodide's module file as a script; it names itself by its address, and exports one function. */
function asScript(module: string): string {
  const script = module.replaceAll("import.meta.url", '""');
  const ending = /export default (\w+);\s*$/;
  if (!ending.test(script))
    throw new Error("pyodide.asm.mjs does not end with its export, as this version expects");
  return script.replace(ending, "globalThis.createPyodideModule = $1;");
}

const encoder = new TextEncoder();

/** Text functions of the outer realm; what they return is copied by the inner one. */
const outer = {
  decode(label: string, view: Uint8Array): string {
    try {
      return new TextDecoder(label).decode(view);
    } catch {
      return "";
    }
  },
  encode: (text: string) => encoder.encode(String(text)),
  encodeInto: (text: string, view: Uint8Array) => encoder.encodeInto(String(text), view),
};

/** A realm with a Python interpreter in it; with `hasChannel`, its descriptor 3 is a line to the host. */
export async function createRealm(
  files: PyodideFiles,
  host: RealmHost,
  { hasChannel }: { hasChannel: boolean },
): Promise<Realm> {
  const context = createContext(Object.create(null), { codeGeneration: { strings: false, wasm: true } });
  const prepare = runInContext(furnish, context) as (...args: unknown[]) => () => Promise<Realm>;
  const boot = prepare(host, { ...files, hasChannel }, outer);
  runInContext(asScript(files.module), context, { filename: "pyodide.asm.mjs" });
  runInContext(files.loader, context, { filename: "pyodide.js" });
  return await boot();
}
