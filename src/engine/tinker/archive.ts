// The adapter inside the archive that a service gives of a checkpoint: a tar, compressed or not, of PEFT's two files. The
// names in it decide nothing but which file is which, so that an archive can write nowhere.

import { gunzipSync } from "node:zlib";

const CONFIG = "adapter_config.json";
const WEIGHTS = "adapter_model.safetensors";
const wanted = [CONFIG, WEIGHTS] as const;
export type AdapterFiles = Record<(typeof wanted)[number], Buffer>;

/**
 * adapter_config.json as PEFT reads it, for a base by the name that it has here. Services that leave the target modules
 * out get those that the weights belong to.
 */
export function adapterConfig({ [CONFIG]: config, [WEIGHTS]: weights }: AdapterFiles, base: string): object {
  const given = JSON.parse(config.toString("utf8")) as Record<string, unknown>;
  const header = JSON.parse(weights.toString("utf8", 8, 8 + Number(weights.readBigUInt64LE(0)))) as Record<
    string,
    unknown
  >;
  const modules = Object.keys(header).flatMap((name) => /([^.]+)\.lora_[AB]\.weight$/.exec(name)?.[1] ?? []);
  return {
    ...given,
    base_model_name_or_path: base,
    target_modules: given.target_modules ?? [...new Set(modules)].sort(),
  };
}

const maxBytes = 16 * 2 ** 30;
const block = 512;

/** The files of an adapter. Throws an Error that says what is missing. */
export function readAdapterArchive(bytes: Buffer): AdapterFiles {
  const tar =
    bytes[0] === 0x1f && bytes[1] === 0x8b
      ? gunzipSync(bytes, { maxOutputLength: Math.min(maxBytes, 2 ** 32 - 1) })
      : bytes;
  const found: Partial<AdapterFiles> = {};
  for (const { name, content } of entries(tar)) {
    const file = wanted.find((one) => name === one || name.endsWith(`/${one}`));
    if (file) found[file] = content;
  }
  for (const file of wanted) if (!found[file]) throw new Error(`the archive has no ${file}`);
  return found as AdapterFiles;
}

/** The plain files of a tar (POSIX ustar; sizes in octal, or in binary as GNU writes large ones). */
function* entries(tar: Buffer): Generator<{ name: string; content: Buffer }> {
  for (let at = 0; at + block <= tar.length; ) {
    const header = tar.subarray(at, at + block);
    if (header.every((byte) => byte === 0)) return;
    const size = sizeIn(header.subarray(124, 136));
    const from = at + block;
    if (!Number.isSafeInteger(size) || size < 0 || from + size > tar.length)
      throw new Error("the archive is damaged: a file in it is longer than the whole");
    const kind = header[156];
    // 0 and "0" are plain files; anything else (links, directories, long names) is passed over.
    if (kind === 0 || kind === 0x30)
      yield { name: text(header.subarray(0, 100)), content: tar.subarray(from, from + size) };
    at = from + Math.ceil(size / block) * block;
  }
}

function sizeIn(field: Buffer): number {
  if (field[0]! & 0x80) return Number(field.readBigUInt64BE(4));
  return Number.parseInt(text(field).trim() || "0", 8);
}

const text = (field: Buffer): string => field.toString("utf8").split("\0")[0]!;
