// The one reader of YAML: plain data with the line of every key, whatever the file holds. Size, depth and aliases are
// bounded, keys are compared in linear time, and every mistake is a sentence with its line.

import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
} from "yaml";
import { UserError } from "./errors.js";

/** Text that is read at all: a megabyte, and about a second. */
const MAX_LENGTH = 2 ** 20;
const MAX_TOKENS = 100_000;
/** Mappings and lists inside one another. */
const MAX_DEPTH = 64;
/** Values after aliases are written out. */
const MAX_VALUES = 100_000;

export interface YamlDocument {
  value: unknown;
  /** The line (1 is the first) of the key or list item at `path`, where the text has one. */
  lineOf(path: readonly PropertyKey[]): number | undefined;
}

/** Reads one document; `name` is what its mistakes begin with, as in `name:12: ...`. */
export function readYaml(text: string, name: string): YamlDocument {
  const lines = new LineCounter();
  const fail = (offset: number | undefined, what: string): never => {
    const line = offset === undefined ? "" : `:${lines.linePos(offset).line}`;
    throw new UserError(`${name}${line}: ${what}`);
  };
  if (text.length > MAX_LENGTH) fail(undefined, "more than a megabyte of YAML is not read");
  checkTokens(text, (line, what) => {
    throw new UserError(`${name}:${line}: ${what}`);
  });
  const document = compose(text, lines, name);
  const broken = document.errors[0];
  if (broken) {
    // The parser recurses, and takes the end of its stack for a mistake of the text.
    const isDeep = broken.message.startsWith("Maximum call stack");
    fail(broken.pos[0], isDeep ? tooDeep : `not valid YAML: ${broken.message.replace(/\s+/g, " ")}`);
  }
  return {
    value: toPlain(document.contents, fail),
    lineOf: (path) => {
      const offset = offsetOf(document.contents, path);
      return offset === undefined ? undefined : lines.linePos(offset).line;
    },
  };
}

/** The plain data of a document. */
export const parseYaml = (text: string, name: string): unknown => readYaml(text, name).value;

/** What would take long to compose is refused by its tokens. */
function checkTokens(text: string, fail: (line: number, what: string) => never): void {
  let [count, depth, line] = [0, 0, 1];
  for (const token of new Lexer().lex(text)) {
    if (token === "[" || token === "{") depth++;
    else if (token === "]" || token === "}") depth = Math.max(0, depth - 1);
    if (depth > MAX_DEPTH) fail(line, tooDeep);
    if (++count > MAX_TOKENS) fail(line, "this is more YAML than is read; is it a data file?");
    for (let at = token.indexOf("\n"); at !== -1; at = token.indexOf("\n", at + 1)) line++;
  }
}

const tooDeep = `mappings and lists are nested more than ${MAX_DEPTH} deep`;

function compose(text: string, lineCounter: LineCounter, name: string) {
  try {
    // The library compares every key with every other; `toPlain` looks them up.
    return parseDocument(text, { lineCounter, prettyErrors: false, uniqueKeys: false, logLevel: "error" });
  } catch (error) {
    if (error instanceof RangeError) throw new UserError(`${name}: ${tooDeep}`);
    throw new UserError(`${name}: not valid YAML: ${(error as Error).message.replace(/\s+/g, " ")}`);
  }
}

type Fail = (offset: number | undefined, what: string) => never;

/** Nodes as plain data, every alias written out. */
function toPlain(root: unknown, fail: Fail): unknown {
  const anchors = new Map<string, Node>();
  const open = new Set<unknown>();
  let values = 0;
  const convert = (node: unknown): unknown => {
    const offset = (node as Node | null)?.range?.[0];
    if (++values > MAX_VALUES) fail(offset, `aliases make more than ${MAX_VALUES} values of this`);
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (!target) fail(offset, `*${node.source} names nothing that stands before it (&${node.source})`);
      if (open.has(target)) fail(offset, `*${node.source} stands inside of what it names`);
      return convert(target);
    }
    if (!isMap(node) && !isSeq(node) && !isScalar(node)) return null;
    if (node.anchor) anchors.set(node.anchor, node);
    if (isScalar(node)) return node.value;
    if (open.size >= MAX_DEPTH) fail(offset, tooDeep);
    open.add(node);
    const value = isSeq(node) ? node.items.map(convert) : mapping(node.items, convert, fail);
    open.delete(node);
    return value;
  };
  return convert(root) ?? null;
}

function mapping(pairs: readonly Pair[], convert: (node: unknown) => unknown, fail: Fail): object {
  const value: Record<string, unknown> = {};
  for (const pair of pairs) {
    const offset = (pair.key as Node | null)?.range?.[0];
    const key = convert(pair.key);
    if (typeof key === "object" && key !== null) fail(offset, "a key must be text or a number");
    const name = String(key ?? "");
    if (Object.hasOwn(value, name)) fail(offset, `the key ${name} is there twice`);
    // Not by assignment, which a key __proto__ would turn against the object itself.
    Object.defineProperty(value, name, {
      value: convert(pair.value),
      enumerable: true,
      writable: true,
      configurable: true,
    });
  }
  return value;
}

/** Where the key or item at `path` begins in the text. */
function offsetOf(root: unknown, path: readonly PropertyKey[]): number | undefined {
  let [at, offset]: [unknown, number | undefined] = [root, undefined];
  for (const part of path) {
    if (isMap(at)) {
      const pair: Pair | undefined = at.items.find(
        ({ key }) => isScalar(key) && String(key.value) === String(part),
      );
      if (!pair) return undefined;
      [at, offset] = [pair.value, (pair.key as Node).range?.[0]];
    } else if (isSeq(at)) {
      at = at.items[Number(part)];
      offset = (at as Node | undefined)?.range?.[0];
    } else return undefined;
  }
  return offset;
}
