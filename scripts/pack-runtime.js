// Puts ONNX Runtime's libraries into the package that `npm pack` makes: `runtime/<platform>-<arch>/<file>.br`, with a
// manifest. The package `onnxruntime-node` could not be a dependency of users: it has 294 MB for five platforms, and its
// post-install script downloads CUDA libraries from another host, which fails where only the npm registry is reached.
//
//   node scripts/pack-runtime.js           before packing
//   node scripts/pack-runtime.js --here    for this system only: a quick tarball to try
//   node scripts/pack-runtime.js --remove  after it

import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants } from "node:zlib";

/** What is served, and the files that are loaded there. `DirectML.dll` and the binding for JavaScript are not used. */
const platforms = {
  "darwin-arm64": /^libonnxruntime\.1\.dylib$/,
  "linux-arm64": /^libonnxruntime\.so\.1$/,
  "linux-x64": /^libonnxruntime\.so\.1$/,
  // The two compilers of shaders are WebGPU's.
  "win32-x64": /^(onnxruntime|dxcompiler|dxil)\.dll$/,
};

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, "runtime");
await rm(target, { recursive: true, force: true });
if (!process.argv.includes("--remove")) await pack();

async function pack() {
  const source = dirname(createRequire(import.meta.url).resolve("onnxruntime-node/package.json"));
  const { version } = JSON.parse(await readFile(join(source, "package.json"), "utf8"));
  const here = `${process.platform}-${process.arch}`;
  const isWanted = process.argv.includes("--here") ? (platform) => platform === here : () => true;
  const chosen = Object.entries(platforms).filter(([platform]) => isWanted(platform));
  const entries = await Promise.all(
    chosen.map(async ([platform, wanted]) => {
      const dir = join(source, "bin", "napi-v6", ...platform.split("-"));
      const names = (await readdir(dir)).filter((name) => wanted.test(name)).sort();
      if (names.length === 0) throw new Error(`${dir} holds no file like ${wanted}`);
      await mkdir(join(target, platform), { recursive: true });
      return [platform, await Promise.all(names.map((name) => compress(dir, platform, name)))];
    }),
  );
  const manifest = { version, platforms: Object.fromEntries(entries) };
  await writeFile(join(target, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
}

/** Quality 5 takes 3 s for 45 MB and saves 67 %; quality 9 takes fifteen times as long for another 2 %. */
async function compress(dir, platform, name) {
  const bytes = await readFile(join(dir, name));
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 5,
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  await writeFile(join(target, platform, `${name}.br`), await promisify(brotliCompress)(bytes, { params }));
  return { name, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}
