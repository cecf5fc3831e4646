// A Jinja interpreter that agrees with jinja2 as `transformers` configures it for chat templates: trimmed blocks, the
// immutable sandbox, loop controls, `{% generation %}`, `tojson`, `raise_exception` and `strftime_now`. Templates come with
// downloaded models: nothing that one does can reach the host, and steps, text and depth are bounded.

import { entriesInOrder } from "../../base/json.js";
import { type Bounds, baseGlobals, run } from "./interpreter.js";
import { RaisedError, TemplateError } from "./lexer.js";
import { parse, type Statement } from "./parser.js";
import { strftime } from "./strftime.js";
import { Callable, Dict, isText, textOf, toText, typeName, type Value } from "./values.js";

export type { Bounds } from "./interpreter.js";
export { TemplateError } from "./lexer.js";

export class JinjaTemplate {
  private constructor(private readonly body: readonly Statement[]) {}

  /** Throws TemplateError for what jinja2 does not parse. */
  static parse(source: string): JinjaTemplate {
    try {
      return new JinjaTemplate(parse(source));
    } catch (error) {
      if (error instanceof RangeError) throw new TemplateError("it nests too deeply");
      throw error;
    }
  }

  /** `now` is the time of `strftime_now`. */
  render(
    variables: Readonly<Record<string, unknown>>,
    { now, bounds }: { now?: Date; bounds?: Bounds } = {},
  ): string {
    const given = new Map(Object.entries(variables).map(([name, value]) => [name, toValue(value)]));
    return run(this.body, given, new Map([...baseGlobals, ...functions(now ?? new Date())]), bounds);
  }
}

function functions(now: Date): [string, Value][] {
  return [
    [
      "raise_exception",
      new Callable("raise_exception", ([message = null]) => {
        throw new RaisedError(toText(message));
      }),
    ],
    [
      "strftime_now",
      new Callable("strftime_now", ([format]) => {
        if (format === undefined || !isText(format))
          throw new TemplateError(
            `strftime() argument 1 must be str, not ${format === undefined ? "missing" : typeName(format)}`,
          );
        return strftime(now, textOf(format));
      }),
    ],
  ];
}

/** A JSON value as Python's `json` would have it. */
export function toValue(value: unknown): Value {
  if (value === null || value === undefined) return null;
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "bigint") return value;
  if (typeof value === "number")
    return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(value) : value;
  if (value instanceof Number) return value.valueOf();
  if (value instanceof Callable) return value;
  if (Array.isArray(value)) return value.map(toValue);
  if (typeof value === "object")
    return new Dict(
      entriesInOrder(value as Record<string, unknown>)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]): [Value, Value] => [key, toValue(item)]),
    );
  throw new TemplateError(`a ${typeof value} cannot be given to a template`);
}
