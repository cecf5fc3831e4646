// Python's two kinds of formatting: `"%s" % value` and `"{}".format(value)`.

import { TemplateError } from "./lexer.js";
import {
  type Budget,
  Dict,
  floatText,
  intText,
  isNumber,
  isText,
  numeric,
  repr,
  sliceText,
  Tuple,
  textLength,
  textOf,
  toText,
  typeName,
  Undefined,
  type Value,
} from "./values.js";

/** `value.toFixed(digits)` with Python's rounding: ties of the exact value go to the even digit. */
export function toFixed(value: number, digits: number): string {
  if (Math.abs(value) >= 1e21) {
    const whole = BigInt(value).toString();
    return digits > 0 ? `${whole}.${"0".repeat(digits)}` : whole;
  }
  const kept = Math.min(digits, 100);
  const exact = value.toFixed(Math.min(100, kept + 40));
  const fixed = exact.length - Math.min(100, kept + 40) + kept;
  const rest = exact.slice(kept === 0 ? exact.indexOf(".") + 1 : fixed);
  let text = value.toFixed(kept);
  if (/^50*$/.test(rest)) {
    const down = exact.slice(0, kept === 0 ? exact.indexOf(".") : fixed);
    if (/[02468]$/.test(down)) text = down;
  }
  return digits > kept ? text + "0".repeat(digits - kept) : text;
}

/** Python's `%e`: an exponent of two digits or more. */
function toExponent(value: number, digits: number): string {
  const [mantissa, exponent] = value.toExponential(Math.min(digits, 100)).split("e") as [string, string];
  return `${mantissa}e${exponent[0]}${exponent.slice(1).padStart(2, "0")}`;
}

/** Python's `%g`. */
function toGeneral(value: number, precision: number, keepZeros: boolean): string {
  if (value === 0)
    return keepZeros ? `0.${"0".repeat(Math.max(0, precision - 1))}` : Object.is(value, -0) ? "-0" : "0";
  const digits = Math.min(100, Math.max(1, precision));
  const exponent = Number(value.toExponential(digits - 1).split("e")[1]);
  const text =
    exponent < -4 || exponent >= digits
      ? toExponent(value, digits - 1)
      : toFixed(value, digits - 1 - exponent);
  return keepZeros || !text.includes(".") ? text : text.replace(/\.?0+(?=e|$)/, "");
}

function real(value: Value, what: string): number {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new TemplateError(`${what} needs a number, not ${typeName(value)}`);
  return Number(numeric(value));
}

function whole(value: Value, what: string): bigint {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) throw new TemplateError(`${what} needs a number, not ${typeName(value)}`);
  const number = numeric(value);
  if (typeof number === "bigint") return number;
  if (!Number.isFinite(number))
    throw new TemplateError(`cannot convert float ${floatText(number)} to integer`);
  return BigInt(Math.trunc(number));
}

const special = (value: number): string | null => (Number.isFinite(value) ? null : floatText(value));

/** The text of a number by its conversion letter, with its sign. */
function numberText(value: Value, type: string, precision: number | null, alternate: boolean): string {
  const what = `the format ${type}`;
  switch (type.toLowerCase()) {
    case "d":
    case "i":
    case "u":
      return intText(whole(value, what));
    case "x":
    case "o":
    case "b": {
      const number = whole(value, what);
      const digits = (number < 0n ? -number : number).toString({ x: 16, o: 8, b: 2 }[type.toLowerCase()]!);
      const text = `${number < 0n ? "-" : ""}${alternate ? `0${type}` : ""}${digits}`;
      return type === "X" ? text.toUpperCase() : text;
    }
    default: {
      const number = real(value, what);
      const digits = precision ?? 6;
      const lower = type.toLowerCase();
      const text =
        special(number) ??
        (lower === "f"
          ? toFixed(number, digits)
          : lower === "e"
            ? toExponent(number, digits)
            : toGeneral(number, digits, alternate));
      return type === lower ? text : text.toUpperCase();
    }
  }
}

/** Puts zeros after the sign, or blanks where `align` says. */
function pad(
  text: string,
  { width, fill, align, budget }: { width: number; fill: string; align: string; budget: Budget },
): string {
  const missing = width - textLength(text);
  if (missing <= 0) return text;
  budget.make(missing);
  const blanks = (count: number) => fill.repeat(count);
  if (align === "<") return text + blanks(missing);
  if (align === ">") return blanks(missing) + text;
  if (align === "^") {
    const left = Math.floor(missing / 2);
    return blanks(left) + text + blanks(missing - left);
  }
  const sign = /^[+\- ]?(?:0[xXob])?/.exec(text)![0];
  return sign + blanks(missing) + text.slice(sign.length);
}

// ------------------------------------------------------------------------------------------------------------- "%"

const percent = /%(?:\(([^)]*)\))?([#0\- +]*)(\*|\d+)?(?:\.(\*|\d*))?[hlL]?([\s\S])?/g;

/** Python's `template % values`. */
export function formatPercent(template: string, values: Value, budget: Budget): string {
  const positional = values instanceof Tuple ? Array.from(values) : [values];
  let next = 0;
  let usesKeys = false;
  const take = (): Value => {
    if (next >= positional.length) throw new TemplateError("not enough arguments for format string");
    return positional[next++]!;
  };
  const text = template.replace(percent, (_, key, flags: string, width, precision, type) => {
    if (type === undefined) throw new TemplateError("incomplete format");
    if (type === "%" && key === undefined) return "%";
    const size = (given: string | undefined): number | null =>
      given === undefined ? null : given === "*" ? Number(whole(take(), "a width")) : Number(given || 0);
    let value: Value;
    if (key !== undefined) {
      if (!(values instanceof Dict)) throw new TemplateError("format requires a mapping");
      usesKeys = true;
      if (!values.has(key)) throw new TemplateError(`KeyError: '${key}'`);
      value = values.get(key)!;
    }
    const columns = size(width) ?? 0;
    const digits = size(precision);
    if (key === undefined) value = take();
    budget.make(columns + (digits ?? 0));
    let shown: string;
    if (/[sra]/.test(type)) {
      shown = type === "s" ? toText(value!) : repr(value!);
      if (digits !== null) shown = sliceText(shown, 0, digits);
    } else if (type === "c") {
      shown = isText(value!) ? textOf(value) : String.fromCodePoint(Number(whole(value!, "%c")));
    } else if (/[diuxXofFeEgG]/.test(type)) {
      shown = numberText(value!, type, digits, flags.includes("#"));
      if (/[diu]/.test(type) && digits !== null) {
        const negative = shown.startsWith("-");
        shown = (negative ? "-" : "") + shown.slice(negative ? 1 : 0).padStart(digits, "0");
      }
      if (!shown.startsWith("-"))
        shown = (flags.includes("+") ? "+" : flags.includes(" ") ? " " : "") + shown;
    } else throw new TemplateError(`unsupported format character '${type}'`);
    const isNumeric = /[diuxXofFeEgG]/.test(type);
    const align = flags.includes("-") ? "<" : flags.includes("0") && isNumeric ? "=" : ">";
    return pad(shown, { width: columns, fill: align === "=" ? "0" : " ", align, budget });
  });
  const isUsed = usesKeys || next >= positional.length || (next === 0 && values instanceof Dict);
  if (!isUsed && !(next === 0 && Array.isArray(values) && !(values instanceof Tuple)))
    throw new TemplateError("not all arguments converted during string formatting");
  budget.make(text.length);
  return text;
}

// ---------------------------------------------------------------------------------------------------------- "{}"

const specification = /^(?:([\s\S])?([<>=^]))?([+\- ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/u;

/** Python's `format(value, spec)`. */
export function formatValue(value: Value, spec: string, budget: Budget): string {
  if (spec === "") return toText(value);
  const match = specification.exec(spec);
  if (!match) throw new TemplateError(`Invalid format specifier '${spec}'`);
  const [, given, aligned, sign = "-", , alternate, zero, width, grouping, precision, type] = match;
  const columns = Number(width ?? 0);
  const digits = precision === undefined ? null : Number(precision);
  budget.make(columns + (digits ?? 0));
  if (isText(value)) {
    if ((type ?? "s") !== "s")
      throw new TemplateError(`Unknown format code '${type}' for object of type 'str'`);
    const text = digits === null ? textOf(value) : sliceText(textOf(value), 0, digits);
    return pad(text, { width: columns, fill: given ?? (zero ? "0" : " "), align: aligned ?? "<", budget });
  }
  if (!isNumber(value) || (typeof value === "boolean" && type === undefined && spec === ""))
    throw new TemplateError(`unsupported format string passed to ${typeName(value)}.__format__`);
  const isFloat = typeof value === "number";
  let text: string;
  if (type === "%") text = special(real(value, "%")) ?? `${toFixed(real(value, "%") * 100, digits ?? 6)}%`;
  else if (type === "c") text = String.fromCodePoint(Number(whole(value, "c")));
  else if (type === undefined || type === "n") {
    if (!isFloat) text = intText(whole(value, "d"));
    else if (digits === null) text = floatText(value);
    else {
      text = special(value) ?? toGeneral(value, digits, false);
      if (!/[.en]/.test(text)) text += ".0";
    }
  } else if (/[dxXob]/.test(type)) {
    if (isFloat) throw new TemplateError(`Unknown format code '${type}' for object of type 'float'`);
    if (digits !== null) throw new TemplateError("Precision not allowed in integer format specifier");
    text = numberText(value, type, null, alternate !== undefined);
  } else if (/[fFeEgG]/.test(type)) text = numberText(value, type, digits, alternate !== undefined);
  else throw new TemplateError(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
  if (grouping) {
    const every = type !== undefined && /[xXob]/.test(type) ? 4 : 3;
    const pattern = new RegExp(`\\B(?=(?:[0-9a-fA-F]{${every}})+(?![0-9a-fA-F]))`, "g");
    const [head = "", ...tail] = text.split(/(?=[.e%])/);
    text = head.replace(pattern, grouping) + tail.join("");
  }
  if (!text.startsWith("-") && sign !== "-") text = sign + text;
  const align = aligned ?? (zero ? "=" : ">");
  return pad(text, { width: columns, fill: given ?? (zero ? "0" : " "), align, budget });
}

export interface FieldAccess {
  attribute(value: Value, name: string): Value;
  item(value: Value, index: Value): Value;
}

/** Python's `template.format(*args, **named)`. */
export function formatBraces(
  template: string,
  {
    args,
    named,
    access,
    budget,
  }: { args: Value[]; named: (name: string) => Value; access: FieldAccess; budget: Budget },
  depth = 2,
): string {
  if (depth < 0) throw new TemplateError("Max string recursion exceeded");
  let automatic = 0;
  const fieldValue = (field: string): Value => {
    const first = /^[^.[]*/.exec(field)![0];
    let value: Value;
    const index = first === "" ? automatic++ : /^\d+$/.test(first) ? Number(first) : null;
    if (index === null) value = named(first);
    else if (index < args.length) value = args[index]!;
    else throw new TemplateError(`Replacement index ${index} out of range for positional args tuple`);
    for (const [, attribute, item] of field.slice(first.length).matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      value =
        attribute !== undefined ? access.attribute(value, attribute) : access.item(value, itemKey(item!));
    }
    return value;
  };
  const inner = (spec: string): string =>
    spec.includes("{")
      ? spec.replace(/\{([^{}]*)\}/g, (_, field: string) => toText(fieldValue(field)))
      : spec;
  let out = "";
  for (let at = 0; at < template.length; ) {
    const character = template[at]!;
    if ((character === "{" || character === "}") && template[at + 1] === character) {
      out += character;
      at += 2;
    } else if (character === "}") throw new TemplateError("Single '}' encountered in format string");
    else if (character === "{") {
      const end = closingBrace(template, at);
      const [, field = "", conversion, spec = ""] =
        /^([^!:]*(?:\[[^\]]*\][^!:]*)*)(?:!([rsa]))?(?::([\s\S]*))?$/.exec(template.slice(at + 1, end)) ?? [];
      let value = fieldValue(field);
      if (conversion) value = conversion === "s" ? toText(value) : repr(value);
      out += formatValue(value, inner(spec), budget);
      at = end + 1;
    } else {
      const next = template.slice(at).search(/[{}]/);
      const stop = next < 0 ? template.length : at + next;
      out += template.slice(at, stop);
      at = stop;
    }
  }
  budget.make(out.length);
  return out;
}

const itemKey = (key: string): Value => (/^\d+$/.test(key) ? BigInt(key) : key);

function closingBrace(template: string, open: number): number {
  let depth = 0;
  for (let at = open; at < template.length; at++) {
    if (template[at] === "{") depth++;
    else if (template[at] === "}" && --depth === 0) return at;
  }
  throw new TemplateError("expected '}' before end of string");
}
