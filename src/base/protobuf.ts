// Protocol buffers, the writing half: a field is its number and wire type, then the value. Messages of others' formats are put
// together from these by whoever knows the schema.

/** An unsigned number of up to 53 bits. */
export function varint(value: number): Buffer {
  const bytes = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Buffer.from([...bytes, rest]);
    bytes.push((rest % 128) | 128);
  }
}

const WIRE = { varint: 0, double: 1, bytes: 2, float: 5 } as const;
const tag = (field: number, wire: keyof typeof WIRE) => varint(field * 8 + WIRE[wire]);

/** A whole number, an enum or a bool. */
export const whole = (field: number, value: number): Buffer =>
  Buffer.concat([tag(field, "varint"), varint(value)]);

/** A string, bytes, or a message with these fields. */
export function bytes(field: number, ...parts: readonly (string | Buffer)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part as string)));
  return Buffer.concat([tag(field, "bytes"), varint(content.length), content]);
}

export function double(field: number, value: number): Buffer {
  const content = Buffer.alloc(8);
  content.writeDoubleLE(value);
  return Buffer.concat([tag(field, "double"), content]);
}

export function float(field: number, value: number): Buffer {
  const content = Buffer.alloc(4);
  content.writeFloatLE(value);
  return Buffer.concat([tag(field, "float"), content]);
}
