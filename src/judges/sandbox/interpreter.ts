// A Python interpreter that goes back to its beginning after each program: its whole memory is copied once and written
// back, byte for byte, which takes milliseconds where a start takes a second. The host speaks with the harness in it by
// CPython's C interface: a request and its answer are the argument and the result of a call, so that there is exactly one
// answer to each, and nothing to listen to in between.

import { MemoryImage } from "./memory-image.js";
import { maxAnswerChars } from "./protocol.js";
import { partsName } from "./python-harness.js";
import { createRealm, type PyodideFiles, type PythonApi, type Realm, type Stream } from "./realm.js";

/** What the interpreter does with its streams and its time. */
export interface Attendant {
  /** At every interrupt check, told whether the harness carries a value; true interrupts. */
  check(isCarrying: boolean): boolean;
  /** Takes what was written to standard output; false fails the write. */
  print(bytes: string): boolean;
  /** Answers a line that was written to the channel in the middle of a request. What it throws ends the request. */
  ask?(line: string): string;
}

/** Memory that is the interpreter's own: what it starts with and room to work in. */
const ownMb = 30;

const idle: Attendant = { check: () => false, print: () => true };

const channel = 3;

/** What the tests' side writes to the channel by itself before and after it carries a value. */
export const carryingMarks = ["\x01", "\x02"];

/** The text in UTF-8, one character for each byte. */
const bytesOf = (text: string) => Buffer.from(text).toString("latin1");

/** Objects of the harness. */
interface Harness {
  /** Takes a request to `[function, arguments, keywords]`. */
  plan: number;
  /** Takes what that function returned to the answer. */
  finish: number;
  /** Takes what it raised, and its text or None, to the answer. */
  fault: number;
  /** Calls `flush` of its argument. */
  flush: number;
  /** Runs what the program wants to run at its end. */
  exit: number;
  /** The standard output that the program started with. */
  output: number;
}

export class Interpreter {
  private attendant = idle;
  private input = "";
  private inbox = "";
  private outbox = "";
  private realm!: Realm;
  private api!: PythonApi;
  private harness!: Harness;
  /** C strings and a place for a size, which a program may overwrite but not move. */
  private stdoutName = 0;
  private sizePointer = 0;
  private image!: MemoryImage;
  private streams: (Stream | null)[] = [];
  private states: Pick<Stream, "fd" | "position" | "flags">[] = [];
  private stackTop = 0;
  /** The memory is as it was at the beginning. */
  private isClean = true;
  /** The harness packs or unpacks a value. */
  private isCarrying = false;
  /** A JavaScript exception went through the interpreter, which is of no use until the next reset. */
  isBroken = false;
  /** What `ask` threw, if it did. */
  stopped: unknown;
  /** The import that the program should not have called. */
  refused: string | undefined;

  private constructor() {}

  static async start(
    files: PyodideFiles,
    harness: string,
    { hasChannel }: { hasChannel: boolean },
  ): Promise<Interpreter> {
    const interpreter = new Interpreter();
    const host = {
      check: () => interpreter.attendant.check(interpreter.isCarrying),
      read: (stream: number, length: number) => interpreter.read(stream, length),
      write: (stream: number, bytes: string) => interpreter.write(stream, bytes),
      refuse: (name: string) => {
        interpreter.refused ??= name;
      },
    };
    interpreter.realm = await createRealm(files, host, { hasChannel });
    interpreter.api = interpreter.realm.api;
    interpreter.takeHarness(harness);
    const { module, stackPointer } = interpreter.realm;
    interpreter.stackTop = stackPointer.value;
    interpreter.image = new MemoryImage(interpreter.memory);
    interpreter.streams = [...module.FS.streams];
    interpreter.states = interpreter.streams.map((stream, fd) => ({
      fd,
      position: stream?.position ?? 0,
      flags: stream?.flags ?? 0,
    }));
    return interpreter;
  }

  /** What the memory that it started with holds now, for comparison. */
  get bytes(): Uint8Array {
    return this.memory.subarray(0, this.image.length);
  }

  /** Everything in its file system, for comparison. */
  get files() {
    return this.realm.files();
  }

  /** Writes the memory back before somebody waits for it. */
  clean(): void {
    if (!this.isClean) this.image.restore(this.memory);
    this.isClean = true;
  }

  /** Back to the beginning; memory may then grow to `memoryMb` beyond 30 MB. */
  reset(memoryMb: number, attendant: Attendant): void {
    const { module, stackPointer } = this.realm;
    this.clean();
    this.isClean = false;
    stackPointer.value = this.stackTop;
    this.isBroken = this.isCarrying = false;
    this.stopped = undefined;
    this.refused = undefined;
    module.FS.streams = [...this.streams];
    this.streams.forEach((stream, i) => {
      if (stream) Object.assign(stream, this.states[i]);
    });
    const most = (ownMb + memoryMb) * 2 ** 20;
    this.realm.seal(most);
    // Memory never shrinks. What it has beyond the limit is spoken for before the program can ask for it.
    if (this.memory.length > most) this.api.sbrk(this.memory.length - most);
    this.attendant = attendant;
    this.input = this.inbox = this.outbox = "";
  }

  /**
   * The harness's answer to a request; undefined when the interpreter broke. With `isLast`, what the program registered
   * for its end runs before the answer. Python's JSON has numbers that JavaScript's has not: text that is only passed on
   * must not be parsed here.
   */
  request(line: string, { input = "", isLast = false } = {}): string | undefined {
    this.input = bytesOf(input);
    this.inbox = this.outbox = "";
    try {
      return this.serve(line, isLast);
    } catch {
      this.isBroken = true;
      return undefined;
    }
  }

  private get memory(): Uint8Array {
    return new Uint8Array(this.realm.module.HEAPU8.buffer);
  }

  private takeHarness(source: string): void {
    const { api } = this;
    const { module } = this.realm;
    if (api.PyRun_SimpleString(module.stringToNewUTF8(source)) !== 0)
      throw new Error("the Python sandbox did not start");
    const main = api.PyModule_GetDict(api.PyImport_AddModule(module.stringToNewUTF8("__main__")));
    const name = module.stringToNewUTF8(partsName);
    const parts = api.PyDict_GetItemString(main, name);
    api.Py_IncRef(parts);
    api.PyDict_DelItemString(main, name);
    const part = (index: number) => api.PyList_GetItem(parts, index);
    const [plan, finish, fault, flush, exit, output] = [0, 1, 2, 3, 4, 5].map(part) as [
      number,
      number,
      number,
      number,
      number,
      number,
    ];
    this.harness = { plan, finish, fault, flush, exit, output };
    const hidden = part(6);
    for (let i = 0; i < api.PyList_Size(hidden); i++) api.PyObject_GC_UnTrack(api.PyList_GetItem(hidden, i));
    api.PyObject_GC_UnTrack(hidden);
    api.PyObject_GC_UnTrack(parts);
    this.stdoutName = module.stringToNewUTF8("stdout");
    this.sizePointer = api.malloc(8);
  }

  private serve(line: string, isLast: boolean): string | undefined {
    const { api, harness } = this;
    const plan = this.unobserved(() => api.PyObject_CallOneArg(harness.plan, this.textOf(line)));
    if (plan === 0) return this.fault();
    const [callable, args, keywords] = [0, 1, 2].map((i) => api.PyTuple_GetItem(plan, i));
    const value = api.PyObject_Call(callable!, args!, keywords!);
    if (value === 0) return this.fault(isLast);
    this.flush(isLast);
    const answer = this.unobserved(() => api.PyObject_CallOneArg(harness.finish, value));
    return answer === 0 ? this.fault() : this.stringOf(answer);
  }

  /** The answer to what was raised. */
  private fault(isLast = false): string | undefined {
    const { api, harness } = this;
    const error = api.PyErr_GetRaisedException();
    if (error === 0) return undefined;
    let text = api.PyObject_Str(error);
    if (text === 0) {
      api.PyErr_Clear();
      text = this.textOf("");
    }
    this.flush(isLast);
    const both = api.PyTuple_New(2);
    api.PyTuple_SetItem(both, 0, error);
    api.PyTuple_SetItem(both, 1, text);
    const answer = this.unobserved(() => api.PyObject_Call(harness.fault, both, 0));
    if (answer !== 0) return this.stringOf(answer);
    api.PyErr_Clear();
    return undefined;
  }

  /** Runs a step of the harness where nothing of the program is called: not its tracers, not its collector's callbacks. */
  private unobserved(step: () => number): number {
    const { api } = this;
    api.PyEval_SetTrace(0, 0);
    api.PyEval_SetProfile(0, 0);
    const wasEnabled = api.PyGC_Disable();
    this.isCarrying = true;
    try {
      return step();
    } finally {
      this.isCarrying = false;
      if (wasEnabled) api.PyGC_Enable();
    }
  }

  /** Whatever is standard output by now, and what was at the beginning. */
  private flush(isLast: boolean): void {
    const { api, harness } = this;
    if (isLast && api.PyObject_CallNoArgs(harness.exit) === 0) api.PyErr_Clear();
    const current = api.PySys_GetObject(this.stdoutName);
    for (const stream of new Set([current, harness.output]))
      if (stream !== 0 && api.PyObject_CallOneArg(harness.flush, stream) === 0) api.PyErr_Clear();
  }

  private textOf(text: string): number {
    const { api } = this;
    const bytes = Buffer.from(text);
    const pointer = api.malloc(bytes.length + 1);
    this.memory.set(bytes, pointer);
    const value = api.PyUnicode_DecodeUTF8(pointer, bytes.length, 0);
    api.free(pointer);
    return value;
  }

  private stringOf(value: number): string | undefined {
    const start = this.api.PyUnicode_AsUTF8AndSize(value, this.sizePointer) >>> 0;
    if (start === 0) return undefined;
    const memory = this.memory;
    const size = new DataView(memory.buffer).getUint32(this.sizePointer, true);
    if (size > maxAnswerChars || start + size > memory.length) return undefined;
    return Buffer.from(memory.subarray(start, start + size)).toString();
  }

  private read(stream: number, length: number): string {
    if (stream === channel && this.inbox === "" && this.outbox.endsWith("\n") && this.attendant.ask) {
      const line = this.outbox;
      this.outbox = "";
      try {
        this.inbox = bytesOf(this.attendant.ask(line));
      } catch (error) {
        this.stopped = error;
        throw error;
      }
    }
    const source = stream === channel ? this.inbox : stream === 0 ? this.input : "";
    const part = source.slice(0, length);
    if (stream === channel) this.inbox = source.slice(length);
    else if (stream === 0) this.input = source.slice(length);
    return part;
  }

  private write(stream: number, bytes: string): boolean {
    if (stream === channel) {
      const mark = carryingMarks.indexOf(bytes);
      if (mark >= 0) {
        this.isCarrying = mark === 0;
        return true;
      }
      if (this.outbox.length + bytes.length > maxAnswerChars) return false;
      this.outbox += bytes;
    }
    return stream !== 1 || this.attendant.print(bytes);
  }
}
