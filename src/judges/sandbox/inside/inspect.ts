// What Node's `util.inspect`, `util.format` and `console` print, as text that is part of the harness. Values of either
// realm are shown; reading one runs no code but proxies' and handles'.

export const inspectSource = String.raw`
const breakLength = 80, compact = 3, mostItems = 100, mostChars = 10000;

const identifier = /^[a-zA-Z_][a-zA-Z_0-9]*$/;
const escapes = { "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r", "\\": "\\\\" };
const needsEscape = /[\x00-\x1f\x7f-\x9f\\]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function quoted(text) {
  const quote = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes("\x60") && !text.includes("\${") ? "\x60" : "'";
  const escaped = text.replace(needsEscape, (c) => escapes[c] ?? (c < "\x80" || (c >= "\x80" && c <= "\x9f")
    ? "\\x" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")
    : "\\u" + c.charCodeAt(0).toString(16).toUpperCase()));
  return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
}

const numberText = (value) => (Object.is(value, -0) ? "-0" : String(value));

function primitiveText(value, options) {
  switch (typeof value) {
    case "string": {
      let text = value, rest = "";
      if (text.length > mostChars) {
        const more = text.length - mostChars;
        rest = "... " + more + " more character" + (more > 1 ? "s" : "");
        text = text.slice(0, mostChars);
      }
      if (options.compact !== true && text.length > 16 && text.length > breakLength - options.indentation - 4)
        return text.split(/(?<=\n)/).map(quoted).join(" +\n" + " ".repeat(options.indentation + 2)) + rest;
      return quoted(text) + rest;
    }
    case "number": return numberText(value);
    case "bigint": return value + "n";
    case "symbol": return Symbol.prototype.toString.call(value);
    default: return String(value);
  }
}

/** The name of the nearest class, with what stands between; null where an object has no prototype. */
function constructorName(value) {
  let level = 0;
  for (let p = value; p !== null; p = getPrototypeOf(p), level++) {
    const found = getOwnPropertyDescriptor(p, "constructor");
    if (found !== undefined && typeof found.value === "function" && found.value.name !== "" && isInstance(value, p, found.value))
      return found.value.name;
  }
  return null;
}

function isInstance(value, holder, constructor) {
  const prototype = constructor.prototype;
  for (let p = value; p !== null; p = getPrototypeOf(p)) if (p === prototype) return true;
  return false;
}

const tagOf = (value, name) => {
  const tag = value[Symbol.toStringTag];
  return typeof tag === "string" && tag !== "" && tag !== name ? tag : "";
};

function prefixOf(name, tag, fallback, size = "") {
  if (name === null) return "[" + fallback + size + ": null prototype] " + (tag !== "" && tag !== fallback ? "[" + tag + "] " : "");
  return name + size + " " + (tag !== "" && name !== tag ? "[" + tag + "] " : "");
}

const kindSeen = (value) => {
  const record = records.get(value);
  if (record !== undefined) return record.kind === "function" ? "function" : isArray(value) ? "array" : slotted.has(record.kind) ? record.kind : "other";
  return typeof value === "function" ? "function" : kindOf(value);
};
const slotted = new Set(["map", "set", "date", "regexp", "promise", "typed"]);

function keyText(key) {
  if (typeof key === "symbol") return "[" + Symbol.prototype.toString.call(key) + "]";
  return identifier.test(key) ? key : quoted(key);
}

function visibleKeys(value, kind) {
  const keys = ownKeys(value).filter((key) => getOwnPropertyDescriptor(value, key)?.enumerable);
  if (kind === "array" || kind === "typed" || kind === "string") return keys.filter((key) => typeof key === "symbol" || !(+key >= 0 && String(+key) === key));
  return keys;
}

function propertyText(value, key, kind, options) {
  const found = getOwnPropertyDescriptor(value, key);
  let text;
  const difference = options.compact !== true || kind !== "object" ? 2 : 3;
  if ("value" in found) {
    options.indentation += difference;
    text = shown(found.value, options);
    options.indentation -= difference;
  } else text = found.get ? (found.set ? "[Getter/Setter]" : "[Getter]") : "[Setter]";
  if (kind === "array extra") return text;
  return keyText(key) + ": " + text;
}

function listText(value, options) {
  const output = [];
  const length = Math.min(mostItems, value.length);
  let shownItems = 0, i = 0;
  for (; i < value.length && shownItems < length; shownItems++) {
    if (getOwnPropertyDescriptor(value, i) === undefined && !has(value, i)) {
      let holes = 0;
      while (i < value.length && !has(value, i)) { holes++; i++; }
      output.push("<" + holes + " empty item" + (holes > 1 ? "s" : "") + ">");
    } else {
      options.indentation += 2;
      output.push(shown(value[i], options));
      options.indentation -= 2;
      i++;
    }
  }
  const more = value.length - i;
  if (more > 0) output.push(moreItems(more));
  return output;
}

const moreItems = (more) => "... " + more + " more item" + (more > 1 ? "s" : "");

function classText(value, name, tag) {
  const own = getOwnPropertyDescriptor(value, "name");
  let text = "class " + (own !== undefined && typeof own.value === "string" && own.value !== "" ? own.value : "(anonymous)");
  if (name !== "Function" && name !== null) text += " [" + name + "]";
  if (tag !== "" && name !== tag) text += " [" + tag + "]";
  if (name !== null) {
    const parent = getPrototypeOf(value)?.name;
    if (parent) text += " extends " + parent;
  } else text += " extends [null prototype]";
  return "[" + text + "]";
}

function functionText(value, name, tag) {
  let source = "";
  try { source = Function.prototype.toString.call(value); } catch {}
  if (source.startsWith("class") && source.endsWith("}")) return classText(value, name, tag);
  const kind = /^Async|Generator/.test(tag) ? tag : "Function";
  const own = value.name;
  let text = "[" + kind + (name === null ? " (null prototype)" : "") + (own ? ": " + own : " (anonymous)") + "]";
  if (name !== kind && name !== null && name !== "Function" && !/^(?:Async)?(?:Generator)?Function$/.test(name)) text += " " + name;
  if (tag !== "" && name !== tag && !/Function$/.test(tag)) text += " [" + tag + "]";
  return text;
}

function errorText(value) {
  const { stack } = value;
  const first = value.message ? value.name + ": " + value.message : String(value.name);
  if (typeof stack !== "string" || stack === "") return "[" + first + "]";
  return stack.startsWith(first) ? stack.trimEnd() : first + "\n" + stack.trimEnd();
}

/** Braces and the text in front of them, the entries of the body, and whether the entries are a list. */
function partsOf(value, kind, options) {
  const name = constructorName(value);
  const tag = tagOf(value, name ?? "");
  const keys = visibleKeys(value, kind);
  const parts = { open: "{", close: "}", base: "", keys, entries: () => [], isList: false, name };
  if (kind === "array") {
    const prefix = name !== "Array" || tag !== "" ? prefixOf(name, tag, "Array", "(" + value.length + ")") : "";
    Object.assign(parts, { open: prefix + "[", close: "]", isList: true, entries: () => listText(value, options) });
    if (value.length === 0 && keys.length === 0) parts.whole = parts.open + "]";
  } else if (kind === "set") {
    const all = readers.set(value);
    Object.assign(parts, { open: prefixOf(name, tag, "Set", "(" + all.length + ")") + "{", entries: () => indented(options, () => cutList(all.map((v) => shown(v, options)))) });
    if (all.length === 0 && keys.length === 0) parts.whole = parts.open + "}";
  } else if (kind === "map") {
    const all = readers.map(value);
    const entries = () => indented(options, () => {
      const out = [];
      for (let i = 0; i < all.length; i += 2) out.push(shown(all[i], options) + " => " + shown(all[i + 1], options));
      return cutList(out);
    });
    Object.assign(parts, { open: prefixOf(name, tag, "Map", "(" + all.length / 2 + ")") + "{", entries });
    if (all.length === 0 && keys.length === 0) parts.whole = parts.open + "}";
  } else if (kind === "typed") {
    const prefix = prefixOf(name, tag, apply(typedName, value, []), "(" + value.length + ")");
    Object.assign(parts, { open: prefix + "[", close: "]", isList: true, entries: () => listText(value, options) });
    if (value.length === 0 && keys.length === 0) parts.whole = parts.open + "]";
  } else if (kind === "function") {
    parts.base = functionText(value, name, tagOf(value, ""));
    if (keys.length === 0) parts.whole = parts.base;
  } else if (kind === "regexp" || kind === "date" || kind === "error") {
    parts.base = kind === "regexp" ? RegExp.prototype.toString.call(value)
      : kind === "date" ? (Number.isNaN(+value) ? "Invalid Date" : Date.prototype.toISOString.call(value)) : errorText(value);
    if (kind === "error" && "cause" in value && !keys.includes("cause")) keys.push("cause");
    if (keys.length === 0) parts.whole = parts.base;
  } else if (kind === "number" || kind === "string" || kind === "boolean") {
    const inner = apply({ number: Number, string: String, boolean: Boolean }[kind].prototype.valueOf, value, []);
    parts.base = "[" + { number: "Number", string: "String", boolean: "Boolean" }[kind] + ": " + primitiveText(inner, { compact: true, indentation: 0 }) + "]";
    if (keys.length === 0) parts.whole = parts.base;
  } else if (kind === "promise") {
    Object.assign(parts, { open: prefixOf(name, tag, "Promise") + "{", entries: () => ["<pending>"] });
  } else if (kind === "buffer") {
    const bytes = bytesOf(value);
    parts.open = prefixOf(name, tag, "ArrayBuffer") + "{";
    parts.entries = () => ["[Uint8Contents]: <" + Array.from(bytes.slice(0, 50), (b) => b.toString(16).padStart(2, "0")).join(" ") +
      (bytes.length > 50 ? " ... " + (bytes.length - 50) + " more bytes" : "") + ">", "byteLength: " + bytes.length];
  } else {
    parts.open = tag === "Generator" ? "Object [Generator] {" : (name === "Object" && tag === "" ? "{" : prefixOf(name, tag, "Object") + "{");
    if (keys.length === 0) parts.whole = parts.open + "}";
  }
  return parts;
}

function indented(options, run) {
  options.indentation += 2;
  const out = run();
  options.indentation -= 2;
  return out;
}

const cutList = (list) => (list.length > mostItems ? [...list.slice(0, mostItems), moreItems(list.length - mostItems)] : list);

function shown(value, options) {
  if (!isObject(value)) return primitiveText(value, options);
  if (options.seen.includes(value)) {
    options.circular ??= new Map();
    if (!options.circular.has(value)) options.circular.set(value, options.circular.size + 1);
    return "[Circular *" + options.circular.get(value) + "]";
  }
  const kind = kindSeen(value);
  const parts = partsOf(value, kind, options);
  if (parts.whole !== undefined && !(kind === "error" && options.indentation > 0)) return parts.whole;
  if (parts.whole !== undefined) return parts.whole.replaceAll("\n", "\n" + " ".repeat(options.indentation));
  if (options.seen.length > options.depth) {
    const name = parts.name ?? "Object: null prototype";
    return kind === "array" ? "[Array]" : "[" + name + "]";
  }
  options.seen.push(value);
  options.current = options.seen.length - 1;
  const current = options.current;
  let output = parts.entries();
  for (const key of parts.keys) output.push(propertyText(value, key, kind, options));
  if (options.showHidden && kind === "array") output.push("[length]: " + value.length);
  options.seen.pop();
  const reference = options.circular?.get(value);
  let { base, open } = parts;
  if (reference !== undefined) {
    const mark = "<ref *" + reference + ">";
    if (base === "") open = mark + " " + open;
    else base = mark + " " + base;
  }
  if (options.sorted) output = parts.isList ? output : output.sort();
  return joinedText(output, base, open, parts.close, parts.isList, options, current);
}

function joinedText(output, base, open, close, isList, options, current) {
  if (options.compact !== true && options.compact !== false) {
    const entries = output.length;
    if (isList && entries > 6) output = grouped(output, options);
    if (deepest(options, current) && entries === output.length) {
      const start = output.length + options.indentation + open.length + base.length + 10;
      let total = output.length + start;
      for (const one of output) total += one.length;
      if (total + output.length <= options.breakLength && (base === "" || !base.includes("\n"))) {
        const line = output.join(", ");
        if (!line.includes("\n")) return (base ? base + " " : "") + open + " " + line + " " + close;
      }
    }
  }
  const indentation = "\n" + " ".repeat(options.indentation);
  return (base ? base + " " : "") + open + indentation + "  " + output.join("," + indentation + "  ") + indentation + close;
}

/** Only the innermost levels stand on one line. */
const deepest = (options, current) => options.current - current < options.compact;

function grouped(output, options) {
  let total = 0, longest = 0;
  const hasMore = output.at(-1).startsWith("... ") && output.at(-1).includes(" more item");
  const count = hasMore ? output.length - 1 : output.length;
  const lengths = [];
  for (let i = 0; i < count; i++) {
    lengths.push(output[i].length);
    total += output[i].length + 2;
    longest = Math.max(longest, output[i].length);
  }
  const width = longest + 2;
  if (width * 3 + options.indentation >= options.breakLength || !(total / width > 5 || longest <= 6)) return output;
  const biased = Math.max(width - 3 - Math.sqrt(width - total / output.length), 1);
  const columns = Math.min(
    Math.round(Math.sqrt(2.5 * biased * count) / biased),
    Math.floor((options.breakLength - options.indentation) / width),
    options.compact * 4, 15,
  );
  if (columns <= 1) return output;
  const widths = [];
  for (let i = 0; i < columns; i++) {
    let most = 0;
    for (let j = i; j < count; j += columns) most = Math.max(most, lengths[j]);
    widths.push(most + 2);
  }
  const isNumeric = output.slice(0, count).every((one) => /^-?[\d.]+(?:e[+-]?\d+)?n?$|^-?Infinity$|^NaN$/.test(one));
  const rows = [];
  for (let i = 0; i < count; i += columns) {
    const end = Math.min(i + columns, count);
    let row = "";
    for (let j = i; j < end - 1; j++) row += isNumeric ? (output[j] + ", ").padStart(widths[j - i]) : (output[j] + ", ").padEnd(widths[j - i]);
    row += isNumeric ? output[end - 1].padStart(widths[end - 1 - i] - 2) : output[end - 1];
    rows.push(row);
  }
  if (hasMore) rows.push(output.at(-1));
  return rows;
}

const inspect = (value, options = {}) =>
  shown(value, { seen: [], current: 0, indentation: 0, depth: 2, compact, breakLength, circular: undefined, ...options, ...(options.depth === null && { depth: Infinity }) });

function format(args, depth = 2) {
  const [first, ...rest] = args;
  let out = "", at = 0;
  if (typeof first === "string") {
    if (rest.length === 0) return first;
    out = first.replace(/%[sdifjoOc%]/g, (mark) => {
      if (mark === "%%") return "%";
      if (at >= rest.length) return mark;
      const value = rest[at++];
      return formatters[mark[1]](value);
    });
  } else at = -1;
  const from = at === -1 ? args : rest.slice(at);
  for (let i = 0; i < from.length; i++) {
    const text = typeof from[i] === "string" ? from[i] : inspect(from[i], { depth });
    out += at === -1 && i === 0 ? text : " " + text;
  }
  return out;
}

const formatters = {
  s(value) {
    if (typeof value === "number") return numberText(value);
    if (typeof value === "bigint") return value + "n";
    if (!isObject(value)) return String(value);
    if (isError(value) || hasOwnText(value)) return String(value);
    return inspect(value, { depth: 0 });
  },
  d: (value) => (typeof value === "bigint" ? value + "n" : typeof value === "symbol" ? "NaN" : numberText(Number(value))),
  i: (value) => (typeof value === "bigint" ? value + "n" : typeof value === "symbol" ? "NaN" : numberText(parseInt(value))),
  f: (value) => (typeof value === "symbol" ? "NaN" : numberText(parseFloat(value))),
  j(value) {
    try {
      return JSON.stringify(value) ?? "undefined";
    } catch {
      return "[Circular]";
    }
  },
  o: (value) => inspect(value, { depth: 4, showHidden: true }),
  O: (value) => inspect(value, { depth: 2 }),
  c: () => "",
};

/** Whether a class of the program, not a built-in one, says how the object reads as text. */
function hasOwnText(value) {
  if (typeof value === "function") return false;
  for (let p = value; p !== null && !intrinsics.has(p); p = getPrototypeOf(p))
    if (getOwnPropertyDescriptor(p, "toString") !== undefined) return true;
  return false;
}

// ---- console

const bars = (widths, left, middle, right) => left + widths.map((w) => "─".repeat(w)).join(middle) + right;

function tableText(head, columns) {
  const height = Math.max(...columns.map((column) => column.length));
  const widths = head.map((text, i) => Math.max(text.length, ...columns[i].map((cell) => cell.length)) + 2);
  const row = (cells) => "│" + cells.map((cell, i) => {
    return " " + cell.padEnd(widths[i] - 1);
  }).join("│") + "│";
  const lines = [bars(widths, "┌", "┬", "┐"), row(head), bars(widths, "├", "┼", "┤")];
  for (let i = 0; i < height; i++) lines.push(row(columns.map((column) => column[i] ?? "")));
  lines.push(bars(widths, "└", "┴", "┘"));
  return lines.join("\n");
}

const cellText = (value) => inspect(value, { depth: isObject(value) && !isArray(value) && Object.keys(value).length > 2 ? -1 : 0 });

function table(data, filter) {
  const kind = kindSeen(data);
  const rows = kind === "map" ? undefined : kind === "set" ? readers.set(data).map((v, i) => [i, v]) : Object.keys(data).map((key) => [key, data[key]]);
  if (rows === undefined) {
    const all = readers.map(data), keys = [], values = [], index = [];
    for (let i = 0; i < all.length; i += 2) { index.push(String(i / 2)); keys.push(cellText(all[i])); values.push(cellText(all[i + 1])); }
    return tableText(["(iteration index)", "Key", "Values"], [index, keys, values]);
  }
  const names = filter === undefined ? [] : [...filter].map(String);
  const cells = new Map(names.map((name) => [name, []]));
  const values = [];
  let hasValues = false;
  rows.forEach(([, item], i) => {
    if (!isObject(item) || (typeof item === "function")) { hasValues = true; values[i] = cellText(item); return; }
    for (const key of filter === undefined ? Object.keys(item) : names) {
      if (!cells.has(key)) cells.set(key, []);
      if (Object.hasOwn(item, key)) cells.get(key)[i] = cellText(item[key]);
    }
  });
  const head = [kind === "set" ? "(iteration index)" : "(index)", ...cells.keys()];
  const full = (column) => Array.from({ length: rows.length }, (_, i) => column[i] ?? "");
  const columns = [rows.map(([key]) => String(key)), ...[...cells.values()].map(full)];
  if (hasValues) { head.push("Values"); columns.push(full(values)); }
  return tableText(head, columns);
}

/** A console whose lines go to print(stream, text); now() gives milliseconds. */
function makeConsole(print, now) {
  let margin = "";
  const counts = new Map(), timers = new Map();
  const line = (stream, text) => print(stream, (margin === "" ? text : margin + text.replaceAll("\n", "\n" + margin)) + "\n");
  const out = (...args) => line(1, format(args));
  const err = (...args) => line(2, format(args));
  const elapsed = (label, rest) => {
    if (!timers.has(label)) return err("(node:1) Warning: No such label '" + label + "' for console.time()");
    out(label + ": " + durationText(now() - timers.get(label)), ...rest);
  };
  return {
    log: out, info: out, debug: out, warn: err, error: err,
    dir: (value, options) => line(1, inspect(value, options)),
    dirxml: out,
    trace(...args) { err(args.length === 0 ? "Trace" : "Trace: " + format(args)); },
    assert(value, ...args) {
      if (value) return;
      err("Assertion failed" + (args.length === 0 ? "" : ": " + String(args[0])), ...args.slice(1));
    },
    group(...args) { if (args.length > 0) out(...args); margin += "  "; },
    groupEnd() { margin = margin.slice(2); },
    table(data, filter) { isObject(data) ? line(1, table(data, filter)) : out(data); },
    count(label = "default") {
      label = String(label);
      counts.set(label, (counts.get(label) ?? 0) + 1);
      out(label + ": " + counts.get(label));
    },
    countReset(label = "default") { counts.delete(String(label)); },
    time(label = "default") { timers.set(String(label), now()); },
    timeEnd(label = "default") { elapsed(String(label), []); timers.delete(String(label)); },
    timeLog(label = "default", ...rest) { elapsed(String(label), rest); },
    clear() {}, profile() {}, profileEnd() {}, timeStamp() {},
  };
}

function durationText(ms) {
  if (ms >= 1000) return (ms / 1000).toFixed(3) + "s";
  return Number(ms.toFixed(3)) + "ms";
}
`;
