// The wire format of Protocol Buffers (proto3), as far as the training protocol uses it: varints, doubles, and fields with
// a length. https://protobuf.dev/programming-guides/encoding/

/** Writes one message. Fields that have proto3's default are the caller's to leave out. */
export class ProtoWriter {
  private readonly parts: Uint8Array[] = [];
  private size = 0;

  /** A non-negative integer below 2^53. */
  integer(field: number, value: number): this {
    return this.add(varint(field * 8), varint(value));
  }

  double(field: number, value: number): this {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value, true);
    return this.add(varint(field * 8 + 1), bytes);
  }

  bytes(field: number, value: Uint8Array): this {
    return this.add(varint(field * 8 + 2), varint(value.length), value);
  }

  text(field: number, value: string): this {
    return this.bytes(field, Buffer.from(value));
  }

  message(field: number, value: ProtoWriter): this {
    return this.bytes(field, value.finish());
  }

  finish(): Uint8Array {
    return Buffer.concat(this.parts, this.size);
  }

  private add(...parts: Uint8Array[]): this {
    for (const part of parts) {
      this.parts.push(part);
      this.size += part.length;
    }
    return this;
  }
}

/** A non-negative integer below 2^53, seven bits a byte. */
export function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Uint8Array.from([...bytes, rest]);
}

/** A field as it stands in a message: a number (varint, 32 bits as unsigned, 64 bits as a double) or bytes. */
export interface ProtoField {
  field: number;
  value: number | Uint8Array;
}

/** The fields of a message, in its order. Throws where the bytes are none. */
export function* readProto(bytes: Uint8Array): Generator<ProtoField> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const next = (): number => {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      if (at >= bytes.length || shift > 2 ** 63) throw new Error("a protobuf message ends in a number");
      const byte = bytes[at++]!;
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  };
  const skip = (length: number): number => {
    if (at + length > bytes.length) throw new Error("a protobuf message ends in a field");
    at += length;
    return at - length;
  };
  while (at < bytes.length) {
    const tag = next();
    const field = Math.floor(tag / 8);
    const kind = tag % 8;
    if (kind === 0) yield { field, value: next() };
    else if (kind === 1) yield { field, value: view.getFloat64(skip(8), true) };
    else if (kind === 5) yield { field, value: view.getUint32(skip(4), true) };
    else if (kind === 2) {
      const length = next();
      const from = skip(length);
      yield { field, value: bytes.subarray(from, from + length) };
    } else throw new Error(`a protobuf message has a field of the unknown kind ${kind}`);
  }
}

/** The fields by number; each may stand several times. */
export function fieldsOf(bytes: Uint8Array): Map<number, (number | Uint8Array)[]> {
  const fields = new Map<number, (number | Uint8Array)[]>();
  for (const { field, value } of readProto(bytes)) fields.set(field, [...(fields.get(field) ?? []), value]);
  return fields;
}
