// A Python interpreter that goes back to its beginning after each program: its whole memory is copied once and written
// back, byte for byte, which takes milliseconds where a start takes a second.

import { MemoryImage } from "./memory-image.js";
import { maxAnswerChars } from "./protocol.js";
import { serve } from "./python-harness.js";
import { createRealm, type PyodideFiles, type Realm, type Stream } from "./realm.js";

/** What the interpreter does with its streams and its time. */
export interface Attendant {
  /** At every interrupt check; true interrupts. */
  check(): boolean;
  /** Takes what was written to standard output; false fails the write. */
  print(bytes: string): boolean;
  /** Answers a line that was written to the host's channel in the middle of a request. What it throws ends the request. */
  ask?(line: string): string;
}

const idle: Attendant = { check: () => false, print: () => true };

const channel = 3;

/** The text in UTF-8, one character for each byte. */
const bytesOf = (text: string) => Buffer.from(text).toString("latin1");

export class Interpreter {
  private attendant = idle;
  private input = "";
  private inbox = "";
  private outbox = "";
  private realm!: Realm;
  private image!: MemoryImage;
  private streams: (Stream | null)[] = [];
  private states: Pick<Stream, "fd" | "position" | "flags">[] = [];
  private stackTop = 0;
  /** A JavaScript exception went through the interpreter, which is of no use until the next reset. */
  isBroken = false;
  /** What `ask` threw, if it did. */
  stopped: unknown;
  /** The import that the program should not have called. */
  refused: string | undefined;

  private constructor() {}

  static async start(files: PyodideFiles, harness: string): Promise<Interpreter> {
    const interpreter = new Interpreter();
    interpreter.realm = await createRealm(files, {
      check: () => interpreter.attendant.check(),
      read: (stream, length) => interpreter.read(stream, length),
      write: (stream, bytes) => interpreter.write(stream, bytes),
      refuse: (name) => {
        interpreter.refused ??= name;
      },
    });
    if (!interpreter.execute(harness)) throw new Error("the Python sandbox did not start");
    const { module, stackPointer } = interpreter.realm;
    interpreter.stackTop = stackPointer.value;
    interpreter.image = new MemoryImage(new Uint8Array(module.HEAPU8.buffer));
    interpreter.streams = [...module.FS.streams];
    interpreter.states = interpreter.streams.map((stream, fd) => ({
      fd,
      position: stream?.position ?? 0,
      flags: stream?.flags ?? 0,
    }));
    return interpreter;
  }

  /** Back to the beginning; memory may then grow by `memoryMb`. */
  reset(memoryMb: number, attendant: Attendant): void {
    const { module, stackPointer } = this.realm;
    this.image.restore(new Uint8Array(module.HEAPU8.buffer));
    stackPointer.value = this.stackTop;
    this.isBroken = false;
    this.stopped = undefined;
    this.refused = undefined;
    module.FS.streams = [...this.streams];
    this.streams.forEach((stream, i) => {
      if (stream) Object.assign(stream, this.states[i]);
    });
    this.realm.seal(this.image.length + memoryMb * 2 ** 20);
    this.attendant = attendant;
    this.input = this.inbox = this.outbox = "";
  }

  /**
   * Sends a line to the harness and returns its answer, one line; undefined when none came, because the interpreter broke
   * or was stopped, or when there was more.
   * Python's JSON has numbers that JavaScript's has not: text that is only passed on must not be parsed here.
   */
  request(line: string, input = ""): string | undefined {
    this.input = bytesOf(input);
    this.inbox = bytesOf(`${line}\n`);
    this.outbox = "";
    const isServed = this.execute(serve);
    return isServed && this.outbox.indexOf("\n") === this.outbox.length - 1 ? this.outbox : undefined;
  }

  private execute(source: string): boolean {
    const { module } = this.realm;
    const pointer = module.stringToNewUTF8(source);
    try {
      return module._PyRun_SimpleString(pointer) === 0;
    } catch {
      this.isBroken = true;
      return false;
    }
  }

  private read(stream: number, length: number): string {
    if (stream === channel && this.inbox === "" && this.outbox.endsWith("\n") && this.attendant.ask) {
      const line = this.outbox;
      this.outbox = "";
      try {
        this.inbox = this.attendant.ask(line);
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
      if (this.outbox.length + bytes.length > maxAnswerChars) return false;
      this.outbox += bytes;
    }
    return stream !== 1 || this.attendant.print(bytes);
  }
}
