// The thread of a user's module (user-module.ts). Plain JavaScript, so that it starts from the sources without a loader.

import { register } from "node:module";
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";

// Standard output is the result's. (Reading it in the main thread instead would keep the process alive.)
process.stdout.write = process.stderr.write.bind(process.stderr);

const { path, export: name } = workerData;
const messageOf = (error) => (error instanceof Error ? error.message : String(error));
const say = (message) => parentPort.postMessage(message);

/** The function, or why there is none. */
async function load() {
  if (/\.m?ts$/.test(path)) register(new URL("./typescript-hooks.js", import.meta.url));
  try {
    const exported = (await import(pathToFileURL(path).href))[name];
    if (typeof exported === "function") return exported;
    say({ refused: `has no function as its export "${name}"` });
  } catch (error) {
    say({ refused: `cannot be loaded: ${messageOf(error)}` });
  }
  return undefined;
}

const running = new Map();

async function answer(ask, id, input) {
  const controller = new AbortController();
  running.set(id, controller);
  say({ begun: id });
  try {
    say({ id, value: await ask(input, controller.signal) });
  } catch (error) {
    say({ id, error: messageOf(error) });
  } finally {
    running.delete(id);
  }
}

const ask = await load();
if (ask) {
  parentPort.on("message", ({ ping, abort, id, input }) => {
    if (ping) say({ pong: true });
    else if (abort !== undefined) running.get(abort)?.abort();
    else void answer(ask, id, input);
  });
  say({ ready: true });
}
