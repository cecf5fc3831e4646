// The Python sandbox against programs that are right, wrong, or hostile.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createMember } from "../src/judges/registry.js";
import { PythonPool } from "../src/judges/sandbox/pool.js";
import { type PythonTest, sameOutput } from "../src/judges/sandbox/python.js";
import { verdictFrom } from "../src/judges/verdict.js";

const pool = new PythonPool(1);
afterAll(() => pool.close());

const limits = { fuel: 2_000, memoryMb: 64, outputChars: 10_000, seconds: 20 };

const addTests = ["assert add(1, 2) == 3", "assert add(2, 2) == 4"];
const right = "def add(a, b): return a + b";

const run = (source: string, tests: readonly PythonTest[] = addTests, setup = "", bounds = limits) =>
  pool.run({ source, setup, tests }, bounds);

const passes = { passed: true, reason: "" };

// The first program waits for the interpreters to start.
beforeAll(async () => {
  await run(right);
});

describe("programs that are right", () => {
  test.each([
    ["a function", right],
    ["an import", "import math\ndef add(a, b): return math.floor(a) + b"],
    ["printing", "def add(a, b):\n  print('adding', a, b)\n  return a + b"],
    [
      "deep recursion",
      "import sys\nsys.setrecursionlimit(10**6)\ndef add(a, b): return b if a == 0 else 1 + add(a - 1, b)",
    ],
    ["a main guard", `${right}\nif __name__ == "__main__":\n  print(add(int(input()), 1))`],
    [
      "catching its own errors",
      "def add(a, b):\n  try:\n    raise ValueError\n  except ValueError:\n    return a + b",
    ],
    ["waiting", "import time\ndef add(a, b):\n  time.sleep(0.2)\n  return a + b"],
  ])("%s", async (_, source) => {
    expect(await run(source)).toMatchObject({ ...passes, passes: 2, ran: 2, total: 2 });
  });

  test("data of every type crosses to the tests and back", async () => {
    const source = `
import collections, decimal, fractions
def same(x): return x
def counted(words): return collections.Counter(words)
def pairs(d): return sorted(d.items())
def numbers(): yield from range(3)
Point = collections.namedtuple("Point", "x y")
class Stack:
  def __init__(self): self.items = []
  def push(self, item): self.items.append(item); return self
  def __len__(self): return len(self.items)
def kind_of(x, t): return isinstance(x, t)
def fail(kind): raise kind("no")
`;
    const values = [
      "None",
      "True",
      "-0.5",
      "10**400",
      "1e300",
      "'é🙂\\ud800'",
      "(1, (2,))",
      "[[], {}]",
      "{1: {2: (3,)}, (4,): 'x'}",
      "{1, 2}",
      "frozenset({1})",
      "set()",
      "b'\\x00\\xff'",
      "bytearray(b'a')",
      "2+3j",
      "range(3)",
      "float('inf')",
      "__import__('collections').deque([1])",
      "__import__('decimal').Decimal('1.10')",
      "__import__('fractions').Fraction(1, 3)",
    ];
    const tests = [
      ...values.map((value) => `x = ${value}\nassert same(x) == x and type(same(x)) is type(x)`),
      "assert same(float('nan')) != same(float('nan'))",
      "assert counted(['a', 'b', 'a']) == {'a': 2, 'b': 1}",
      "assert pairs({'b': 1, 'a': 2}) == [('a', 2), ('b', 1)]",
      "assert list(numbers()) == [0, 1, 2]",
      "assert Point(1, 2) == (1, 2)",
      "s = Stack()\ns.push(3).push(4)\nassert s.items == [3, 4] and len(s) == 2",
      "s = Stack()\ns.items = [1]\nassert len(s) == 1",
      "assert kind_of(3, int) and not kind_of('3', int)",
      "try:\n  fail(KeyError)\nexcept KeyError:\n  pass\nelse:\n  assert False",
    ];
    expect(await run(source, tests)).toMatchObject(passes);
  });

  test("a test sees what a function did to its arguments", async () => {
    const source = "def order(x): x.sort()\ndef tell(d): d['b'] = 2\ndef drop(s): s.discard(1)";
    const tests = [
      "x = [3, 1, 2]\norder(x)\nassert x == [1, 2, 3]",
      "d = {'a': 1}\ntell(d)\nassert d == {'a': 1, 'b': 2}",
      "s = {1, 2}\ndrop(s)\nassert s == {2}",
    ];
    expect(await run(source, tests)).toMatchObject(passes);
  });

  test("a program's function takes a built-in's name only when it is what is tested", async () => {
    expect(await run("def sum(a, b): return a + b", ["assert sum(1, 2) == 3"])).toMatchObject(passes);
    const cheat = "def len(x): return 3\ndef f(): return []";
    expect(await run(cheat, ["assert len(f()) == 3"])).toMatchObject({ passed: false });
  });

  test("hashes, chance and time are the same in every run", async () => {
    const source =
      "import random, time\ndef draw(): return [hash('a'), random.random(), time.time(), list({'x', 'y', 'z'})]";
    const [a, b] = [await run(source, ["assert draw() == 0"]), await run(source, ["assert draw() == 0"])];
    expect(a.reason).toContain("got [");
    expect(b).toEqual(a);
  });
});

describe("programs that are wrong or hostile", () => {
  test.each([
    ["wrong result", "def add(a, b): return a - b", "got -1"],
    ["syntax error", "def add(a, b) return a", "SyntaxError"],
    ["nothing defined", "x = 1", "name 'add' is not defined"],
    ["exception", "def add(a, b): return a / 0", "ZeroDivisionError"],
    ["endless loop", "while True: pass", "work limit"],
    ["endless loop in a function", "def add(a, b):\n  while True: pass", "work limit"],
    [
      "endless loop that catches",
      "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
      "work limit",
    ],
    [
      "endless loop without signals",
      "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
      "work limit",
    ],
    ["endless generator", "def add(a, b):\n  return iter(int, 1)", ""],
    ["memory of lists", "x = []\nwhile True: x.append([0] * 10**6)", ""],
    ["memory of bytes", "x = []\nwhile True: x.append(bytearray(10**7))", "MemoryError"],
    ["memory at once", "x = 'x' * 10**9", "MemoryError"],
    ["recursion", "def add(a, b): return add(a, b)", "RecursionError"],
    [
      "recursion without limit",
      "import sys\nsys.setrecursionlimit(10**9)\ndef add(a, b): return add(a, b)",
      "",
    ],
    ["nested data", "x = []\nfor _ in range(10**5): x = [x]\ndef add(a, b): return x", ""],
    ["cyclic data", "x = []\nx.append(x)\ndef add(a, b): return x", ""],
    ["output", "while True: print('tests passed ' * 100)", "output limit"],
    ["output to a file descriptor", "import os\nwhile True: os.write(1, b'x' * 1000)", "output limit"],
    ["exit", "import sys\nsys.exit(0)", "SystemExit"],
    ["exit in a function", "def add(a, b): raise SystemExit(0)", "SystemExit"],
    ["exit of the interpreter", "import os\nos._exit(0)", "broke its interpreter"],
    ["abort", "import os\nos.abort()", ""],
    ["forged output", "print('2 passed in 0.01s')\ndef add(a, b): return 0", "got 0"],
    [
      "an object that equals everything",
      "class E:\n  def __eq__(self, other): return True\ndef add(a, b): return E()",
      "of the program",
    ],
    [
      "a number that equals everything",
      "class E(int):\n  def __eq__(self, other): return True\ndef add(a, b): return E(9)",
      "got 9",
    ],
    [
      "replaced built-ins",
      "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = Exception\ndef add(a, b): return 0",
      "got 0",
    ],
    ["an AssertionError of its own", "def add(a, b): raise AssertionError", "AssertionError"],
    [
      "the harness",
      "import touchstone\ntouchstone.send({'value': 3, 'changed': {}})\ndef add(a, b): return 0",
      "",
    ],
    ["the channel", "import os\nos.write(3, b'{\"problem\": null}\\n' * 9)\ndef add(a, b): return 0", ""],
    ["import js", "import js\njs.process.exit()", "No module named 'js'"],
    ["pyodide_js", "import pyodide_js\npyodide_js.runPython('1')", "No module named 'pyodide_js'"],
    ["pyodide", "from pyodide.code import run_js\nrun_js('process.exit()')", "No module named"],
    ["_pyodide_core", "import _pyodide_core\n_pyodide_core.JsProxy", ""],
    [
      "JavaScript objects found by the garbage collector",
      "import gc\nfor x in gc.get_objects():\n  if 'JsProxy' in type(x).__name__: x.constructor.constructor('process.exit()')()\nassert False",
      "",
    ],
    ["foreign functions", "import ctypes\nf = ctypes.CDLL(None)\nf.system(b'ls')", ""],
    ["reading files", "print(open('/etc/passwd').read())", "FileNotFoundError"],
    ["writing files", "open('/tmp/x', 'w').write('x')", "PermissionError"],
    ["making directories", "import os\nos.mkdir('/tmp/x')", "PermissionError"],
    ["removing the standard library", "import os\nos.remove('/lib/python314.zip')", "PermissionError"],
    ["going elsewhere", "import os\nos.chdir('/tmp')", "PermissionError"],
    ["network", "import socket\nsocket.create_connection(('127.0.0.1', 80), timeout=1)", ""],
    ["urllib", "import urllib.request\nurllib.request.urlopen('http://127.0.0.1/')", ""],
    ["processes", "import subprocess\nsubprocess.run(['ls'])", "Error"],
    ["forking", "import os\nos.fork()", "OSError"],
    ["shell", "import os\nassert os.system('ls') == 0", ""],
    ["threads", "import threading\nthreading.Thread(target=print).start()", "can't start new thread"],
    ["environment", "import os\ndef add(a, b): return os.environ['PATH'] + os.environ['SECRET']", "KeyError"],
    ["standard input", "def add(a, b): return int(input())", "EOFError"],
  ])("%s", async (_, source, reason) => {
    const result = await run(source);
    expect(result.passed).toBe(false);
    expect(result.reason).toContain(reason);
    expect(result.passes).toBeLessThan(2);
  });

  test.each(["count", "index", "upper", "append", "items", "bit_length", "conjugate", "is_integer"])(
    "a record whose %s is a function answers for itself no more than other objects",
    async (method) => {
      const record = `T = type("T", (tuple,), {"_fields": ("${method}",)})`;
      for (const value of ["lambda *a: 2", "__import__('functools').partial(int, '2')", "print", "int"])
        for (const shape of ["T((VALUE,))", "[T((VALUE,))][0]"]) {
          const source = `${record}\ndef f(x): return ${shape.replace("VALUE", value)}`;
          const result = await run(source, [`assert f(1).${method}(2) == 2`]);
          expect(result).toMatchObject({
            passed: false,
            reason: expect.stringContaining(`whose ${method} is`),
          });
        }
      const fair = `import collections\nT = collections.namedtuple("T", "${method} go")\ndef f(x): return T(2, lambda y: y + 1)`;
      expect(await run(fair, [`t = f(1)\nassert t.${method} == 2 and t.go(1) == 2`])).toMatchObject(passes);
    },
  );

  test.each([
    [
      "an object",
      "class Q:\n  v = 0\n  def __enter__(s): return s\n  def __exit__(s, *a): return True\ndef f(x): return Q()",
    ],
    [
      "a class under test",
      "class f:\n  v = 0\n  def __init__(s, x): pass\n  def __enter__(s): return s\n  def __exit__(s, *a): return 1",
    ],
    [
      "a generator",
      "import contextlib\n@contextlib.contextmanager\ndef f(x):\n  class Q: v = 0\n  try: yield Q()\n  except BaseException: pass",
    ],
  ])("the end of a with statement forgives no assertion: %s", async (_, source) => {
    const stack =
      "import contextlib\nwith contextlib.ExitStack() as stack:\n  q = stack.enter_context(f(1))\n  assert q.v == 3";
    for (const test of ["with f(1) as q:\n  assert q.v == 3", stack])
      expect(await run(source, [test])).toMatchObject({ passed: false });
    const fair = "with f(1):\n  int('x')";
    expect(await run(source, [fair])).toMatchObject(passes);
  });

  test("a loop inside a built-in, which nothing interrupts, is killed; the next program runs", async () => {
    const stuck = await run("sum(range(10**12)) if sum(x for x in [0]) else 10**10**8", addTests, "", {
      ...limits,
      seconds: 0.5,
    });
    expect(stuck.reason).toMatch(/time limit|work limit|MemoryError/);
    expect(await run(right)).toMatchObject(passes);
  });

  test("one program leaves nothing to the next", async () => {
    await run(`
import builtins, sys, json, collections, os, gc
builtins.secret = 1; sys.secret = 1; json.secret = 1; sys.path.insert(0, "/tmp"); sys.modules["os"] = None
gc.get_referents(int.__dict__)[0]["secret"] = 1
sys.stdout.close(); sys.setrecursionlimit(50); sys.meta_path.clear()
for number in range(4):
  try: os.close(number)
  except OSError: pass
`);
    const source = `
import builtins, sys, json, os
def traces(): return [hasattr(x, "secret") for x in (builtins, sys, json, int)] + [sys.getrecursionlimit(), "/tmp" in sys.path, os.name]
print("still here")
`;
    expect(await run(source, ["assert traces() == [False] * 4 + [1000, False, 'posix']"])).toMatchObject(
      passes,
    );
  });
});

describe("tests use more than calls", () => {
  test.each<[string, string, ...PythonTest[]]>([
    ["coroutines", "async def f(x): return x + 1", "import asyncio\nassert asyncio.run(f(1)) == 2"],
    [
      "asyncio, whose waiting takes no time",
      "import asyncio\nasync def m(x):\n  await asyncio.sleep(1000)\n  return x\ndef f(): return asyncio.run(asyncio.wait_for(m(4), 5000))",
      "assert f() == 4",
    ],
    [
      "errors of the program's own",
      "class E(ValueError):\n  def __init__(s, c):\n    super().__init__('bad')\n    s.c = c\ndef f(): raise E(5)",
      "try: f()\nexcept E as e: assert e.c == 5 and str(e) == 'bad' and isinstance(e, ValueError)\nelse: assert False",
    ],
    [
      "dates",
      "from datetime import date, timedelta\ndef f(d): return d + timedelta(days=1)",
      "from datetime import date\nassert f(date(2024, 2, 28)) == date(2024, 2, 29)",
    ],
    [
      "named tuples",
      "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
      "assert f().x == 1 and f() == (1, 2)",
    ],
    [
      "an iterator without end",
      "import itertools\ndef f(): return itertools.count(3)",
      "import itertools\nassert list(itertools.islice(f(), 40)) == list(range(3, 43))",
    ],
    [
      "the end of an iterator",
      "def f(): yield 1",
      "it = f()\nassert next(it) == 1 and next(it, None) is None\ntry: next(it)\nexcept StopIteration: pass\nelse: assert False",
    ],
    [
      "operators",
      "class V:\n  def __init__(s, x): s.x = x\n  def __add__(s, o): return V(s.x + o.x)\n  def __rmul__(s, k): return V(s.x * k)\n  def __lt__(s, o): return s.x < o.x\n  def __eq__(s, o): return s.x == o.x",
      "assert (V(1) + V(2)).x == 3 and V(1) < V(2) and 2 * V(2) == V(4)",
    ],
    [
      "context managers",
      "class B:\n  def __enter__(s): return 5\n  def __exit__(s, t, e, b): return t is KeyError",
      "with B() as x:\n  assert x == 5\n  raise KeyError",
    ],
    [
      "containers",
      "class B(dict):\n  pass\nclass C:\n  def __init__(s): s.d = {}\n  def __setitem__(s, k, v): s.d[k] = v\n  def __getitem__(s, k): return s.d[k]\n  def __contains__(s, k): return k in s.d\n  def __iter__(s): return iter(s.d)",
      "c = C()\nc['a'] = 1\nassert c['a'] == 1 and 'a' in c and 'b' not in c and list(c) == ['a']",
    ],
    [
      "attributes of results",
      "class N:\n  def __init__(s, v, n=None): s.v, s.n = v, n\ndef f(): return N(1, N(2))",
      "assert f().n.v == 2",
    ],
    ["functions that functions return", "def f(n): return lambda x: x + n", "assert f(3)(4) == 7"],
    [
      "what is printed",
      "def f(): print('hié')",
      "import io, contextlib\nb = io.StringIO()\nwith contextlib.redirect_stdout(b): f()\nassert b.getvalue() == 'hié\\n'",
    ],
    [
      "what is typed",
      "def f(): return int(input())",
      "import io, sys\nsys.stdin = io.StringIO('4\\n')\nassert f() == 4",
    ],
    ["generators for arguments", "def f(xs): return sum(xs)", "assert f(x for x in range(3)) == 3"],
    [
      "tests of every kind in one list",
      "def add(a, b): return a + b\nif __name__ == '__main__': print(3)",
      { stdin: "", stdout: "3" },
      "assert add(1, 2) == 3",
      { stdin: "", stdout: "3" },
    ],
  ])("%s", async (_, source, ...tests) => {
    expect(await run(source, tests)).toMatchObject({ ...passes, passes: tests.length });
  });
});

describe("tests meet the program only where they mean it", () => {
  test.each<[string, string, string]>([
    [
      "a built-in of its own",
      "def f(x): return 0\ndef all(*a): return True",
      "assert all(f(x) == x for x in [1, 2])",
    ],
    [
      "a built-in of its own, within a function",
      "def f(x): return 0.0\ndef abs(x): return 0",
      "def t():\n  assert abs(f(1) - 2.0) < 1e-6\nt()",
    ],
    ["the harness's old name", "import touchstone\ndef f(x): return 2", "assert f(1) == 2"],
    ["StopIteration in map", "def f(x): raise StopIteration", "assert all(map(lambda c: f(c) == 2, [1, 5]))"],
    [
      "an iterator that ends in map",
      "def f(x): return iter(())",
      "assert all(map(lambda c: next(f(c)) == 2, [1, 5]))",
    ],
    [
      "AttributeError in getattr",
      "def f(x): raise AttributeError",
      "class S:\n  @property\n  def bad(s): return f(1) != 2\nassert not getattr(S(), 'bad', False)",
    ],
    [
      "a method that plain data has",
      "class Q:\n  def count(s, o): return 2\ndef f(x): return Q()",
      "assert f([1]).count(7) == 2",
    ],
    [
      "a function with such a method",
      "def f(x):\n  def q(): pass\n  q.count = lambda o: 2\n  return q",
      "assert f([1]).count(7) == 2",
    ],
    [
      "a class in a function's place",
      "class Extract:\n  def __init__(s, x): pass\n  def __eq__(s, o): return True",
      "assert Extract([1]) == [1]",
    ],
    [
      "a difference of its own",
      "class Extract:\n  def __init__(s, x): pass\n  def __sub__(s, o): return 0.0",
      "x = Extract(1)\nassert abs(x - 3) < 1",
    ],
  ])("violated: %s", async (_, source, statements) => {
    expect(await run(source, [statements])).toMatchObject({ passed: false });
  });

  test("objects: allow lets an object answer", async () => {
    const job = {
      source: "class M:\n  def __init__(s, x): s.x = x\n  def __eq__(s, o): return s.x == o",
      setup: "",
      tests: ["assert M(5) == 5"],
    };
    expect(await pool.run(job, limits)).toMatchObject({ passed: false });
    expect(await pool.run({ ...job, allowsObjects: true }, limits)).toMatchObject(passes);
    expect(await pool.run({ ...job, prompt: "Write a class M whose ..." }, limits)).toMatchObject(passes);
  });

  test("helpers come from the prompt", async () => {
    const job = {
      setup: "def check(c):\n  assert c(half(4)) == 2",
      entry: "f",
      tests: ["check(f)"],
      helpers: "def half(x): return x / 2",
    };
    expect(await pool.run({ ...job, source: "def f(x): return x" }, limits)).toMatchObject(passes);
    const cheat = "def half(x): return 0\ndef f(x): return 2 if x == 0 else 0";
    expect(await pool.run({ ...job, source: cheat }, limits)).toMatchObject({ passed: false });
  });

  test.each([
    ["imports what is not there", "import numpy\nassert f(1) == 1"],
    ["imports it after the program was right", "assert f(1) == 1\nimport numpy"],
    ["breaks by itself", "assert f(1) == 1\ny = 1 / 0"],
    ["rests on a helper that nobody gave", "assert helper(f(1)) == 1"],
    ["can never hold", "assert 1 == 2"],
  ])("failed: a test that %s", async (_, statements) => {
    await expect(run("def f(x): return x", [statements])).rejects.toThrow("a unit test is broken");
    expect(await run("def f(x): return 0", [statements, "assert f(1) == 1"])).toMatchObject({
      passed: false,
    });
  });

  test("what the row's own program passes is not broken", async () => {
    const job = {
      source: "def f(x): return 0\ndef make(): return 5",
      setup: "import math\nroot = [make()] + []",
      tests: ["assert unknown(f(1)) == 2"],
    };
    await expect(pool.run(job, limits)).rejects.toThrow("a unit test is broken");
    const reference = "def f(x): return x + 1\ndef unknown(x): return x\ndef make(): return 5";
    expect(await pool.run({ ...job, reference }, limits)).toMatchObject({ passed: false });
  });
});

test("memory is limited to the same amount whatever ran before", async () => {
  const source =
    "def f():\n  x, n = [], 0\n  try:\n    while True:\n      x.append(bytearray(100_000))\n      n += 1\n  except MemoryError: return n";
  const small = { ...limits, memoryMb: 8 };
  const count = async () => {
    const { reason } = await run(source, ["assert f() == 0"], "", small);
    return Number(/got (\d+)/.exec(reason)?.[1]);
  };
  const first = await count();
  expect(first).toBeGreaterThan(50);
  await run("x = []\nwhile True: x.append(bytearray(10**6))");
  const second = await count();
  expect(Math.abs(second - first)).toBeLessThanOrEqual(2);
  expect(await count()).toBe(second);
});

describe("programs that read and print", () => {
  const sum = "a, b = map(int, input().split())\nprint(a + b)";

  test.each([
    ["input", sum],
    ["sys.stdin", "import sys\nprint(sum(map(int, sys.stdin.read().split())))"],
    ["lines", "import sys\nfor line in sys.stdin: print(sum(map(int, line.split())))"],
    ["bytes", "import sys\nprint(sum(map(int, sys.stdin.buffer.readline().split())))"],
    ["file 0", "print(sum(map(int, open(0).read().split())))"],
    [
      "main guard and exit",
      "import sys\nif __name__ == '__main__':\n  print(sum(map(int, input().split())))\n  sys.exit()",
    ],
  ])("%s", async (_, source) => {
    const tests = [
      { stdin: "1 2\n", stdout: "3\n" },
      { stdin: "20 22", stdout: "42" },
    ];
    expect(await run(source, tests)).toMatchObject({ ...passes, passes: 2 });
  });

  test("each input meets a fresh program", async () => {
    const source = "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nprint(builtins.n)";
    const tests = [1, 2, 3].map(() => ({ stdin: "", stdout: "1" }));
    expect(await run(source, tests)).toMatchObject(passes);
  });

  test("text in any script", async () => {
    expect(await run("print(input()[::-1])", [{ stdin: "añ🙂", stdout: "🙂ña" }])).toMatchObject(passes);
  });

  test.each([
    ["wrong output", "print(input())", 'it prints "1 2", not "3"'],
    ["nothing", "x = 1", 'it prints "", not "3"'],
    ["exception", "print(1 / 0)", "ZeroDivisionError"],
    ["exit with a code", `${sum}\nimport sys\nsys.exit(1)`, "SystemExit"],
  ])("violated: %s", async (_, source, reason) => {
    const result = await run(source, [{ stdin: "1 2\n", stdout: "3\n" }]);
    expect(result).toMatchObject({ passed: false, reason: expect.stringContaining(reason) });
  });

  test("output is compared by words, fractions within a millionth", () => {
    expect(sameOutput("1  2\n3\n", "1 2 3")).toBe(true);
    expect(sameOutput("0.333333", "0.3333333333")).toBe(true);
    expect(sameOutput("3", "3.0")).toBe(true);
    expect(sameOutput("1000001", "1000000")).toBe(false);
    expect(sameOutput("1", "1.1")).toBe(false);
    expect(sameOutput("nan", "0.5")).toBe(false);
    expect(sameOutput("1 2", "1")).toBe(false);
  });
});

test("tests that are broken are nobody's violation", async () => {
  await expect(run(right, ["assert add(1, 2) =="])).rejects.toThrow("a unit test is broken: SyntaxError");
  await expect(run(right, addTests, "import nothing_of_this_name")).rejects.toThrow("ModuleNotFoundError");
  await expect(run("def f(g): return g(1)", ["assert f(lambda x: x) == 1"])).rejects.toThrow(
    "hands a function",
  );
});

test("many programs in a row leak neither memory nor time", { timeout: 60_000 }, async () => {
  const programs = [
    right,
    "x = []\nwhile True: x.append(bytearray(10**6))",
    "import os\nos._exit(1)",
    "while True: pass",
  ];
  const small = { ...limits, fuel: 100 };
  const runMany = async (count: number) => {
    for (let i = 0; i < count; i++) await run(programs[i % programs.length]!, addTests, "", small);
  };
  await runMany(20);
  const before = process.memoryUsage().rss;
  await runMany(200);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * 2 ** 20);
  expect(await run(right)).toMatchObject(passes);
});

describe("the code judge", () => {
  const judge = async (source: string, metadata: Record<string, unknown>, prompt = "p", options = {}) => {
    const { judge } = await createMember({ kind: "code", language: "python", ...options }, { baseDir: "." });
    const response = `Here:\n\`\`\`python\n${source}\n\`\`\`\n`;
    return verdictFrom(judge, { prompt, response, truncated: false, metadata });
  };
  const satisfied = { verdict: "satisfied" };
  const violated = { verdict: "violated" };

  test("our own list", async () => {
    const unit_tests = [
      "assert cube(3) == 27",
      { call: "cube", args: [0.1], expected: 0.001, tolerance: 1e-9 },
      { call: "twice", args: [[1]], expected: [1, 1] },
    ];
    const source = "def cube(x): return x ** 3\ndef twice(x): return tuple(x * 2)";
    expect(await judge(source, { unit_tests })).toMatchObject(satisfied);
    expect(await judge("cube = lambda x: {3: 27}[x]", { unit_tests })).toMatchObject({
      ...violated,
      reason: expect.stringContaining("test 2 of 3"),
      evidence: { passed: 1, total: 3 },
    });
  });

  test("MBPP", async () => {
    const metadata = {
      text: "Write a function to find the shared elements of two lists.",
      test_list: [
        "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)",
        "assert set(similar_elements((1, 2, 3, 4),(5, 4, 3, 7))) == set((3, 4))",
      ],
      test_imports: ["import math"],
      test_setup_code: "",
    };
    const source = "def similar_elements(a, b):\n  return tuple(sorted(set(a) & set(b)))";
    expect(await judge(source, metadata)).toMatchObject(satisfied);
    expect(await judge(source.replace("&", "|"), metadata)).toMatchObject(violated);
  });

  test("HumanEval", async () => {
    const prompt =
      'from typing import List\n\n\ndef half(x): return x / 2\n\n\ndef close(numbers: List[float], limit: float) -> bool:\n    """ Are two numbers closer than the limit? """\n';
    const metadata = {
      task_id: "HumanEval/0",
      entry_point: "close",
      test: "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1.0, 2.0], 0.5) == False\n    assert candidate([1.0, half(2.8)], 0.5) == True\n",
    };
    const whole =
      "def close(numbers: List[float], limit: float) -> bool:\n    return any(abs(a - b) < limit for i, a in enumerate(numbers) for b in numbers[:i])";
    expect(await judge(whole, metadata, prompt)).toMatchObject(satisfied);
    expect(await judge(whole.split("\n")[1]!, metadata, prompt)).toMatchObject(satisfied);
    expect(await judge(whole.replace("<", ">"), { ...metadata, prompt })).toMatchObject(violated);
    expect(
      await judge("def check(candidate): pass\ndef close(n, l): return None", metadata, prompt),
    ).toMatchObject(violated);
    expect(await judge(whole, { ...metadata, entry_point: "x y" }, prompt)).toMatchObject({
      verdict: "failed",
    });
  });

  test("APPS, by input and output and by calls", async () => {
    const io = { inputs: ["3\n1 2 3\n", ["2", "5 6"]], outputs: ["6\n", ["11"]] };
    const source = "n = int(input())\nprint(sum(map(int, input().split())))";
    expect(await judge(source, { input_output: JSON.stringify(io) })).toMatchObject(satisfied);
    expect(await judge("print(6)", { input_output: io })).toMatchObject(violated);
    const factorial = "def f(n): return 1 if n == 0 else n * f(n - 1)";
    const exact = '{"fn_name": "f", "inputs": [[22]], "outputs": [1124000727777607680000]}';
    expect(await judge(factorial, { input_output: exact })).toMatchObject(satisfied);
    expect(await judge(factorial, { input_output: exact.replace("000]", "001]") })).toMatchObject(violated);
    const unit_tests = [{ call: "f", args: [1], expected: 2 ** 60 }];
    expect(await judge("def f(x): return 2**60", { unit_tests })).toMatchObject(satisfied);
    expect(await judge("def f(x): return 2**60 + 2**20", { unit_tests })).toMatchObject(violated);
    const calls = {
      fn_name: "merge",
      inputs: [
        [[1], [2]],
        [[], [3]],
      ],
      outputs: [[[1, 2]], [3]],
    };
    const solution = "class Solution:\n  def merge(self, a, b): return a + b";
    expect(await judge(solution, { input_output: calls })).toMatchObject(satisfied);
    expect(await judge("def merge(a, b): return b + a", { input_output: calls })).toMatchObject(violated);
  });

  test.each<[string, string, string]>([
    ["integers out", "def f(n): return list(range(n))", "assert f(100000) == list(range(100000))"],
    ["integers in", "def f(x): return sum(x)", "assert f(list(range(100000))) == 4999950000"],
    ["sorted in place", "def f(x): x.sort()", "x = list(range(100000))[::-1]\nf(x)\nassert x[:2] == [0, 1]"],
    [
      "a call for each",
      "def g(y): return y + 1\ndef f(x): return [g(y) for y in range(x)]",
      "assert f(100000)[-1] == 100000",
    ],
    ["a dict", "def f(n): return {str(i): i for i in range(n)}", "assert f(100000)['99999'] == 99999"],
    ["fractions", "def f(n): return [i / 2 for i in range(n)]", "assert sum(f(100000)) == 2499975000"],
    [
      "pairs",
      "def f(x): return [(b, a) for a, b in x]",
      "assert f([(i, str(i)) for i in range(50000)])[1] == ('1', 1)",
    ],
    [
      "rows",
      "def f(n): return [[i * j for j in range(n)] for i in range(n)]",
      "assert f(300)[299][299] == 299 * 299",
    ],
    ["one at a time", "def f(n):\n  for i in range(n): yield i", "assert sum(f(100000)) == 4999950000"],
    ["many digits", "def f(n): return 3 ** n", "assert f(100000) % 1000 == pow(3, 100000, 1000)"],
  ])("the default fuel is enough for 100,000: %s", async (_, source, test) => {
    expect(await judge(source, { unit_tests: [test] }, "", { seconds: 60 })).toMatchObject(satisfied);
  });

  test("the default fuel is enough for 100,000 integers in a call", async () => {
    const args = [Array.from({ length: 100_000 }, (_, i) => i)];
    const unit_tests = [{ call: "f", args, expected: args[0]!.map((x) => x + 1) }];
    expect(
      await judge("def f(x): return [y + 1 for y in x]", { unit_tests }, "", { seconds: 60 }),
    ).toMatchObject(satisfied);
  });

  test("no tests: not applicable; malformed tests: failed; no Python: violated", async () => {
    expect(await judge("x = 1", {})).toBeUndefined();
    expect(await judge("x = 1", { test_list: [] })).toMatchObject({ verdict: "failed" });
    expect(await judge("x = 1", { input_output: { inputs: ["1"], outputs: [] } })).toMatchObject({
      verdict: "failed",
    });
    const { judge: code } = await createMember({ kind: "code", language: "python" }, { baseDir: "." });
    const response = "```js\nlet x;\n```";
    const input = { prompt: "p", response, truncated: false, metadata: { test_list: ["assert x"] } };
    expect(await verdictFrom(code, input)).toMatchObject(violated);
  });
});
