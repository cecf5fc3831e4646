// Protocol buffers, the reading half, for what src/ writes: written apart from it, by the encoding's description.

/** What stands in a message: the values of each field, in order. Groups do not occur. */
export type Message = Map<number, (bigint | Buffer)[]>;

function varintAt(buffer: Buffer, at: number): [value: bigint, next: number] {
  let value = 0n;
  for (let shift = 0n, i = at; ; shift += 7n, i++) {
    const byte = buffer[i]!;
    value |= BigInt(byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return [value, i + 1];
  }
}

export function readMessage(buffer: Buffer): Message {
  const message: Message = new Map();
  let at = 0;
  while (at < buffer.length) {
    const [key, afterKey] = varintAt(buffer, at);
    const field = Number(key >> 3n);
    let value: bigint | Buffer;
    switch (Number(key & 7n)) {
      case 0:
        [value, at] = varintAt(buffer, afterKey);
        break;
      case 1:
        value = buffer.subarray(afterKey, (at = afterKey + 8));
        break;
      case 2: {
        const [length, start] = varintAt(buffer, afterKey);
        at = start + Number(length);
        if (at > buffer.length) throw new Error(`field ${field} ends behind its message`);
        value = buffer.subarray(start, at);
        break;
      }
      case 5:
        value = buffer.subarray(afterKey, (at = afterKey + 4));
        break;
      default:
        throw new Error(`field ${field}: unknown wire type ${key & 7n}`);
    }
    message.set(field, [...(message.get(field) ?? []), value]);
  }
  return message;
}

/** The value of a field that must be there: bytes of a message, a string or a fixed-width number. */
export const bytesOf = (message: Message, field: number): Buffer => message.get(field)![0] as Buffer;
export const textOf = (message: Message, field: number): string => bytesOf(message, field).toString("utf8");
export const inside = (message: Message, field: number): Message => readMessage(bytesOf(message, field));
export const wholeOf = (message: Message, field: number): number => Number(message.get(field)?.[0] ?? 0n);

/** CRC-32C bit by bit, by its polynomial. */
export function crc32cBitwise(content: Uint8Array): number {
  let crc = ~0;
  for (const byte of content) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f63b78 & -(crc & 1));
  }
  return ~crc >>> 0;
}

/** The masked checksum that TFRecord and LevelDB's log store. */
export const masked = (crc: number): number =>
  Number((((BigInt(crc) >> 15n) | (BigInt(crc) << 17n)) + 0xa282ead8n) & 0xffffffffn);
