// Preloaded into a command under test: sends the process the signal of TOUCHSTONE_TEST_SIGNAL as soon as it begins what that
// names ("SIGTERM sample #2": the second time that a policy samples), and goes on, as a person's Ctrl-C would find it.

import fsp from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** A module of the code under test: the build, or the source. */
const of = (name) => {
  const code = process.env.TOUCHSTONE_TEST_CODE;
  return import(pathToFileURL(join(code, `${name}.${code.endsWith("dist") ? "js" : "ts"}`)).href);
};
const { LocalLanguageModel, LocalScalarModel } = await of("engine/local/index");
const { SandboxPool } = await of("judges/sandbox/pool");

const [signal, what, count] = process.env.TOUCHSTONE_TEST_SIGNAL.split(" ");
let left = Number(count?.slice(1) ?? 1);

function begins(phase) {
  if (phase === what && --left === 0) process.kill(process.pid, signal);
}

/** Passes that say more are the same phases. */
const phases = { statistics: "logprobs", backwardWithStatistics: "backward" };

for (const [prototype, names] of [
  [
    LocalLanguageModel.prototype,
    ["sample", "logprobs", "backward", "step", "save", "saveState", "loadState", ...Object.keys(phases)],
  ],
  [LocalScalarModel.prototype, ["values", "backward", "step", "save", "saveState", "loadState"]],
  [SandboxPool.prototype, ["run"]],
])
  for (const name of names) {
    const original = prototype[name];
    prototype[name] = function (...args) {
      begins(phases[name] ?? name);
      return original.apply(this, args);
    };
  }

const { rename, rm } = fsp;
fsp.rename = async (from, to) => {
  begins("rename");
  return rename(from, to);
};
fsp.rm = async (path, options) => {
  begins("remove");
  return rm(path, options);
};
syncBuiltinESMExports();
