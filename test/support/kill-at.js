// Preloaded into a command under test. Watches what the command does to files and ends the process by SIGKILL just
// before the operation that TOUCHSTONE_TEST_KILL names ("rename checkpoints/step-4", or "append rollouts.jsonl #3" for
// the third on a path with that in it), as `kill -9` or a power cut at that moment would.

import fs from "node:fs";
import fsp from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";

const [verb, name, count] = process.env.TOUCHSTONE_TEST_KILL.split(" ");
let left = Number(count?.slice(1) ?? 1);

function about(operation, path) {
  if (operation === verb && String(path).includes(name) && --left === 0) process.kill(process.pid, "SIGKILL");
}

const { open, rename, rm } = fsp;
fsp.rename = async (from, to) => {
  about("rename", to);
  return rename(from, to);
};
fsp.rm = async (path, options) => {
  about("remove", path);
  return rm(path, options);
};
fsp.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  const write = handle.write.bind(handle);
  handle.write = (...args) => {
    about("write", path);
    return write(...args);
  };
  return handle;
};

const paths = new Map();
const { openSync, writeFileSync } = fs;
fs.openSync = (path, ...rest) => {
  const fd = openSync(path, ...rest);
  paths.set(fd, path);
  return fd;
};
fs.writeFileSync = (file, ...rest) => {
  if (typeof file === "number" && paths.has(file)) about("append", paths.get(file));
  return writeFileSync(file, ...rest);
};
syncBuiltinESMExports();
