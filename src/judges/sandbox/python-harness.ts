// The Python halves of the sandbox. Two interpreters take part: one runs the program, the other its tests. The program's
// interpreter never sees a test or an expected value; the tests see the program's functions as `Remote` objects, whose
// calls the host passes on, and get plain data back. So nothing that the program does to its own interpreter (replaced
// built-ins, objects that equal everything, rewritten memory) can change what an assertion means.

import { programSide } from "./python-program-side.js";
import { testSide } from "./python-test-side.js";

/** Name in `__main__` under which a harness leaves its parts for the host, which takes them away. */
export const partsName = "harness_parts";

/**
 * Fresh streams, Pyodide's own modules gone, the usual modules loaded; then the harness, in a namespace with built-ins of
 * its own.
 */
const start = (side: string) => String.raw`
import gc, io, sys
for name in list(sys.modules):
    if name.partition(".")[0] in ("js", "pyodide_js", "pyodide", "_pyodide", "_pyodide_core"): del sys.modules[name]
sys.meta_path[:] = [finder for finder in sys.meta_path if "yodide" not in (getattr(finder, "__module__", "") or "")]
sys.excepthook = sys.__excepthook__
sys.modules.pop("sys.monitoring", None)
del sys.monitoring
def stream(number, mode):
    raw = io.FileIO(number, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="replace", newline=None if mode == "r" else "\n")
sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__ = stream(0, "r"), stream(1, "w"), stream(2, "w")
import abc, array, bisect, cmath, collections, collections.abc, copy, dataclasses, datetime, decimal, enum, fractions, functools
import hashlib, heapq, itertools, json, math, operator, os, random, re, statistics, string, struct, textwrap, time, types, typing
random.seed(0)
exec(r'''${eventLoop}''', {})
space = {"__builtins__": dict(vars(__builtins__)), "__name__": "harness"}
exec(compile(r'''${side}''', "harness", "exec"), space)
parts = [*space["parts"], sys.stdout, space["hidden"]()]
for name in [name for name in globals() if not name.startswith("__") and name not in ("gc", "parts")]: del globals()[name]
${partsName} = parts
del parts, name
gc.collect()
gc.freeze()
del gc
`;

/** There are no sockets to watch, so asyncio's event loop only lets time pass. */
const eventLoop = `
import asyncio, time

class EventLoop(asyncio.BaseEventLoop):
    def __init__(self):
        super().__init__()
        self._selector, self._passed = self, 0.0
    def time(self): return self._passed
    def select(self, timeout):
        if timeout is None: raise RuntimeError("the event loop waits for what cannot happen")
        self._passed += timeout
        return []
    def _process_events(self, events): pass
    def _write_to_self(self): pass

EventLoop.__module__ = "asyncio"
asyncio.SelectorEventLoop = asyncio.EventLoop = asyncio.unix_events._UnixDefaultEventLoopPolicy._loop_factory = EventLoop
asyncio.events._event_loop_policy = None
asyncio.run, time.sleep = asyncio.runners.run, time.sleep.__wrapped__
asyncio._set_running_loop(None)
`;

export const programHarness = start(programSide);
export const testHarness = start(testSide);
