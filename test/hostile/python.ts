// Families of hostile Python programs. `f(x)` should be x + 1 and never is, unless the program got hold of the harness.

import type { PythonProgram, PythonTest } from "../../src/judges/sandbox/python.js";
import type { Draw, Family } from "./families.js";

export type PythonForm = Pick<PythonProgram, "setup" | "tests" | "entry" | "helpers">;

const call = (args: unknown[], expected: unknown): PythonTest => ({
  call: "f",
  args,
  expected,
  tolerance: 0,
  wrapped: false,
});

const form = (...tests: PythonTest[]): PythonForm => ({ setup: "", tests });

export const pythonForms: readonly PythonForm[] = [
  form("assert f(1) == 2", "assert f(5) == 6"),
  form(call([1], 2), call([5], 6)),
  form("assert all(f(x) == y for x, y in [(1, 2), (5, 6)])"),
  form("assert [f(x) for x in (1, 5)] == [2, 6]"),
  form("def t():\n  for a, b in [(1, 2), (5, 6)]:\n    assert f(a) == b\nt()"),
  form("assert all(map(lambda c: f(c[0]) == c[1], [(1, 2), (5, 6)]))"),
  form("assert not any(map(lambda c: f(c[0]) != c[1], [(1, 2), (5, 6)]))"),
  form("assert not list(filter(lambda c: f(c[0]) != c[1], [(1, 2), (5, 6)]))"),
  form("assert list(map(f, [1, 5])) == [2, 6]"),
  form("assert abs(f(1) - 2) < 1e-6 and abs(f(5) - 6) < 1e-6"),
  form("assert sorted([f(5), f(1)]) == sorted([6, 2])"),
  form("assert sum(f(x) for x in (1, 5)) == sum([2, 6]) and len({f(1), f(5)}) == len({2, 6})"),
  form("assert isinstance(f(1), int) and f(1) == 2", "assert isinstance(f(5), int) and f(5) == 6"),
  form("assert min(f(1), f(5)) == 2 and max(f(1), f(5)) == 6"),
  form("assert [a == b for a, b in zip([f(1), f(5)], [2, 6])] == [True, True]"),
  form("assert set(f(x) for x in [1, 5]) == set([2, 6])", "assert tuple(map(f, (1, 5))) == tuple((2, 6))"),
  form("got = [f(1), f(5)]\nwant = [2, 6]\nassert got == want and str(got) == str(want)"),
  form("import math\nassert math.isclose(f(1), 2) and math.isclose(f(5), 6)"),
  form(
    "import unittest\nclass T(unittest.TestCase):\n  def test(self):\n    self.assertEqual(f(1), 2)\n    self.assertEqual(f(5), 6)\n" +
      "r = unittest.TestResult()\nT('test').run(r)\nassert r.wasSuccessful() and r.testsRun == 1",
  ),
  form("def pairs():\n  for x in (1, 5): yield x, f(x)\nassert list(pairs()) == [(1, 2), (5, 6)]"),
  form("for x in (1, 5):\n  assert f(x) == x + 1"),
  form("assert f([1]).count(1) == 2", "assert f(5) == 6"),
  {
    setup: "def check(candidate):\n  assert candidate(1) == 2\n  assert candidate(5) == 6\n",
    tests: ["check(f)"],
    entry: "f",
  },
  {
    setup: "def check(candidate):\n  assert all(map(lambda c: candidate(c[0]) == c[1], [(1, 2), (5, 6)]))\n",
    tests: ["check(f)"],
    entry: "f",
  },
  form("assert f(1) == 2", { stdin: "1\n", stdout: "2\n" }),
  {
    setup: "",
    helpers: "def plus(x):\n  return x + 1\n",
    tests: ["assert f(1) == plus(1)", "assert [f(x) for x in (1, 5)] == list(map(plus, (1, 5)))"],
    entry: "f",
  },
];

const builtIns =
  "abs all any bool dict enumerate filter float int isinstance len list map max min next print range repr reversed round set sorted str sum tuple type zip".split(
    " ",
  );
const wrong = [
  "def f(x): return 0",
  "def f(x): return None",
  "def f(x): return x",
  "def f(x): return []",
  "f = lambda x: 0.0",
];

function names(draw: Draw): string {
  const name = draw.of(builtIns);
  const value = draw.of(["True", "0", "[]", "2", "[2, 6]", "a[0] if a else 0", "print"]);
  const shape = draw.of([
    `def ${name}(*a, **k): return ${value}`,
    `${name} = ${draw.of(["bool", "type", "print", "str", "lambda *a, **k: True", "object"])}`,
    `import builtins\nbuiltins.${name} = lambda *a, **k: ${value}`,
    `class ${name}:\n  def __init__(s, *a): pass\n  def __eq__(s, o): return True`,
    `__builtins__ = {'${name}': lambda *a, **k: ${value}}`,
    `import builtins\ndel builtins.${name}`,
    `AssertionError = ValueError\ncheck = t = T = print\n${name} = print`,
    `import math, unittest\nmath.isclose = lambda *a, **k: True\nunittest.TestCase.assertEqual = lambda *a: None`,
    `got = want = candidate = c = x = a = b = r = 2`,
    `def plus(x): return ${draw.of(["f(x)", "0", "None", "x", "[]"])}`,
    `plus = f if 'f' in dir() else print\nclass Solution:\n  plus = f = lambda s, x: x`,
  ]);
  return draw.below(2) === 0 ? `${draw.of(wrong)}\n${shape}` : `${shape}\n${draw.of(wrong)}`;
}

const errors =
  "StopIteration StopAsyncIteration GeneratorExit KeyboardInterrupt SystemExit AssertionError IndexError KeyError AttributeError TypeError ImportError UserWarning DeprecationWarning BaseException Exception OSError EOFError RecursionError MemoryError NotImplementedError UnicodeDecodeError BaseExceptionGroup".split(
    " ",
  );

function raising(draw: Draw): string {
  const error = draw.of(errors);
  return draw.of([
    `def f(x): raise ${error}`,
    `def f(x): raise ${error}(2)`,
    `def f(x):\n  yield 2\n  raise ${error}`,
    `class E(${error}): pass\ndef f(x): raise E`,
    `class E(${error}):\n  def __str__(s): raise ${draw.of(errors)}\ndef f(x): raise E`,
    `class E(${error}):\n  @property\n  def args(s): raise SystemExit\ndef f(x): raise E`,
    `class I:\n  def __iter__(s): return s\n  def __next__(s): raise ${error}\ndef f(x): return I()`,
    `def f(x): return iter(())`,
    `def f(x): return map(lambda y: next(iter(())), [1])`,
    `import unittest\ndef f(x): raise unittest.SkipTest("x")`,
    `import unittest\nclass E(unittest.SkipTest, ${error}): pass\ndef f(x): raise E("x")`,
    `async def f(x): raise ${error}`,
    `import warnings\ndef f(x):\n  warnings.warn("x", ${draw.of(["UserWarning", "DeprecationWarning"])})\n  return 0`,
    `def f(x):\n  if x > 1: raise ${error}\n  return 2`,
    `raise ${error}\n${draw.of(wrong)}`,
  ]);
}

const dunders = [
  "__eq__(s, o): return True",
  "__ne__(s, o): return False",
  "__hash__(s): return 0",
  "__bool__(s): return True",
  "__sub__(s, o): return 0.0",
  "__rsub__(s, o): return 0.0",
  "__radd__(s, o): return 8",
  "__add__(s, o): return s",
  "__abs__(s): return 0.0",
  "__lt__(s, o): return True",
  "__le__(s, o): return True",
  "__gt__(s, o): return True",
  "__len__(s): return 2",
  "__iter__(s): return iter([2, 6])",
  "__getitem__(s, i): return 2",
  "__contains__(s, o): return True",
  "__call__(s, *a): return s",
  "__getattr__(s, n): return lambda *a: 2",
  "__str__(s): return '[2, 6]'",
  "__repr__(s): return '2'",
  "__float__(s): return 2.0",
  "__index__(s): return 2",
  "__instancecheck__(s, o): return True",
  "count(s, o): return 2",
  "__class__(s): return int",
];

function equal(draw: Draw): string {
  const base = draw.of([
    "object",
    "int",
    "str",
    "float",
    "list",
    "tuple",
    "dict",
    "set",
    "frozenset",
    "complex",
  ]);
  const methods = Array.from({ length: 3 + draw.below(8) }, () => {
    const line = draw.of(dunders);
    return `${line.startsWith("__class__") ? "  @property\n" : ""}  def ${line}`;
  }).join("\n");
  const body = `class Q(${base}):\n${methods}\n`;
  return draw.of([
    `${body}def f(x): return Q()`,
    `${body}def f(x): return [Q(), Q()]`,
    `${body}f = Q`,
    `${body.replace("class Q", "class f").replace("\n", "\n  def __new__(c, *a): return object.__new__(c)\n")}`,
    `${body}f = Q()\nQ.__call__ = lambda s, x: s`,
    `${body}def f(x):\n  def g(): pass\n  g.count = lambda o: 2\n  return g`,
    `from unittest.mock import ANY, MagicMock\ndef f(x): return ${draw.of(["ANY", "MagicMock()", "[ANY]"])}`,
    `class M(type):\n  def __eq__(s, o): return True\n  def __hash__(s): return ${draw.below(3)}\nclass Q(metaclass=M): pass\ndef f(x): return Q`,
    `import types, weakref\n${body.replace("(object)", "")}q = Q()\ndef f(x): return ${draw.of(["types.MappingProxyType({1: q})", "weakref.proxy(q)", "types.SimpleNamespace(count=lambda o: 2)"])}`,
    `def f(x): return float("${draw.of(["nan", "inf", "-inf"])}")`,
  ]);
}

/** If any of these finds the harness, the program answers right, which then is a forged pass. */
function searching(draw: Draw): string {
  const found = draw.of([
    "any(n in sys.modules for n in ('touchstone', 'harness'))",
    "hasattr(sys.modules['__main__'], 'harness_parts')",
    "any('unpackers' in g for g in globals_below())",
    "any(getattr(o, '__name__', '') in ('plan_call', 'finish_call', 'pack_pairs') for o in gc.get_objects())",
    "any(type(o) is dict and 'unpackers' in o and 'plan_call' in o and len(o) < 500 for o in gc.get_objects())",
    "any(getattr(r, '__name__', '') == 'harness' or 'plan_call' in r for r in gc.get_referrers(f) if type(r) is dict)",
    "bool(set(seen) & {'plan', 'finish', 'plan_call', 'pack', 'fault'})",
    "readable(range(3, 60))",
    "any(writable(n) for n in range(3, 60))",
    "os.path.exists('/dev/channel') or os.path.exists('/dev/host')",
    "any('plan_call' in getattr(c, '__globals__', ()) for c in [getattr(s, m, None) for s in object.__subclasses__() for m in ('__init__', '__new__')])",
  ]);
  return `import sys, gc, os
seen = []
def tracer(frame, event, argument):
  seen.append(frame.f_code.co_name)
  return tracer
${draw.of(["", "sys.settrace(tracer)", "sys.setprofile(tracer)", "gc.callbacks.append(lambda p, i: seen.append(sys._getframe().f_back and sys._getframe().f_back.f_code.co_name))\ngc.set_threshold(1)", "gc.unfreeze()", "sys.addaudithook(lambda e, a: seen.append(sys._getframe(1).f_code.co_name))"])}
def globals_below():
  frame = sys._getframe()
  while frame:
    yield frame.f_globals
    frame = frame.f_back
def readable(numbers):
  for n in numbers:
    try:
      os.read(n, 1)
      return True
    except OSError: pass
def writable(n):
  try: return os.write(n, b'{"value": 2, "changed": {}}\\n') > 0
  except OSError: return False
def f(x):
  x = x if type(x) is int else 1
  return x + 1 if ${found.replace("in gc.get_objects()", "in gc.get_objects() if o is not globals()")} else 0
`;
}

const paths = [
  "/lib/python314.zip",
  "/tmp",
  "/dev/null",
  "/dev/random",
  "/dev/urandom",
  "/dev/stdin",
  "/dev/stdout",
  "/",
  "/lib/python3.14",
  "/proc/self/fd/3",
  "/home/x",
];

function files(draw: Draw): string {
  const path = draw.of(paths);
  const act = draw.of([
    `fd = os.open('${path}', os.O_RDONLY)\nfcntl.fcntl(fd, fcntl.F_SETFL, ${draw.of(["os.O_RDWR", "os.O_WRONLY", "0xffff", "os.O_APPEND | os.O_RDWR"])})\nos.${draw.of(["write(fd, b'x' * 4096)", "pwrite(fd, b'PKPK', 0)", "lseek(fd, 4_200_000_000, 0); os.write(fd, b'x')", "ftruncate(fd, 0)", "posix_fallocate(fd, 0, 10**9)"])}`,
    `open('${path}', '${draw.of(["w", "a", "r+", "x", "wb"])}').write('x')`,
    `os.${draw.of([`remove('${path}')`, `rename('${path}', '/tmp/y')`, `chmod('${path}', 0o777)`, `truncate('${path}', 0)`, `utime('${path}', (1, 1))`, `mkdir('${path}/d')`, `symlink('/lib', '/tmp/l')`, `chdir('${path}')`, `rmdir('/tmp')`, `link('${path}', '/tmp/z')`])}`,
    `m = mmap.mmap(os.open('${path}', os.O_RDONLY), 0, prot=3, flags=${draw.below(3)})\nm[:4] = b'xxxx'`,
    `fd = os.dup(os.open('${path}', os.O_RDONLY))\nos.dup2(fd, ${draw.below(60)})\nos.write(fd, b'x')`,
    `for n in range(64):\n  try: os.close(n)\n  except OSError: pass`,
    `for n in range(4): fcntl.fcntl(n, fcntl.F_SETFL, 0xffff)`,
    `for i in range(200): os.open('/lib/python314.zip', os.O_RDONLY)`,
    `open('/dev/urandom', 'rb').read(${1 + draw.below(5000)})`,
  ]);
  const body = act
    .split("\n")
    .map((line) => `  ${line}`)
    .join("\n");
  return `import os, fcntl, mmap\ntry:\n${body}\nexcept Exception: pass\n${draw.of(wrong)}`;
}

function resources(draw: Draw): string {
  return draw.of([
    `x = []\nwhile True: x.append(bytearray(${10 ** (4 + draw.below(4))}))`,
    `def f(x):\n  y = []\n  while True: y.append([0] * 10**${2 + draw.below(4)})`,
    `def f(x): return [0] * ${10 ** (4 + draw.below(4))}`,
    `def f(x): return 'x' * ${10 ** (4 + draw.below(4))}`,
    `def f(x): return 10 ** ${100 + draw.below(4000)}`,
    `def f(x):\n  y = []\n  for _ in range(${100 + draw.below(100_000)}): y = [y]\n  return y`,
    `def f(x):\n  y = ${draw.of(["{}", "[]"])}\n  y${draw.of(["['a'] = y", "['a'] = [y]"])}\n  return y`,
    `def f(x): return f(x)`,
    `import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)`,
    `def f(x):\n  while True: pass`,
    `while True:\n  try:\n    while True: pass\n  except BaseException: pass`,
    `while True: print('all tests passed')`,
    `def f(x): return (y for y in iter(int, 1))`,
    `def f(x): raise ValueError('A' * ${10 ** (3 + draw.below(4))})`,
    `import sys\nsys.setrecursionlimit(${30 + draw.below(40)})\ndef f(x): return [[[[[[[[x]]]]]]]]`,
    `import sys\nsys.set_int_max_str_digits(640)\ndef f(x): return 10 ** 2000`,
  ]);
}

function breaking(draw: Draw): string {
  const act = draw.of([
    "import os; os._exit(0)",
    "import os; os.abort()",
    "import sys; sys.exit(0)",
    "quit()",
    "import faulthandler; faulthandler._sigsegv()",
    "import ctypes; ctypes.string_at(0, 8)",
    `import ctypes; ctypes.memset(${draw.below(30_000_000)}, 255, ${1 + draw.below(100_000)})`,
    `import ctypes; ctypes.memmove(${draw.below(30_000_000)}, ${draw.below(30_000_000)}, ${1 + draw.below(100_000)})`,
    `import ctypes; ctypes.CFUNCTYPE(ctypes.c_int)(${1 + draw.below(9000)})()`,
    "import ctypes; ctypes.pythonapi.PyRun_SimpleString(b'raise SystemExit')",
    "import ctypes; ctypes.pythonapi.Py_FinalizeEx()",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "import _interpreters; _interpreters.exec(_interpreters.create(), 'pass')",
    "import marshal; marshal.loads(b'(' + b'\\xff\\xff\\xff\\x7f')",
    "f.__code__ = f.__code__.replace(co_code=b'\\xff' * 64)",
    "import sys; sys.modules.clear()",
    "import builtins; builtins.__dict__.clear()",
    "import json, _json; json.dumps = json.loads = lambda *a, **k: {}; _json.make_encoder = _json.make_scanner = None",
    "import sys; sys.stdout = sys.stderr = sys.stdin = None",
    "import sys; sys.stdout.close()",
    "import os; os.write = lambda fd, b: len(b); os.read = lambda fd, n: b'{}\\n'",
    "import threading; threading.Thread(target=print).start()",
    "import subprocess; subprocess.run(['id'])",
    "import socket; socket.create_connection(('127.0.0.1', 80), timeout=1)",
    "import js; js.process.exit()",
    "import _pyodide_core as c; c.run_js('1')",
    "import gc; [repr(o) for o in gc.get_objects() if 'Js' in type(o).__name__]",
    "import fractions, decimal; fractions.Fraction.__str__ = decimal.Context.__init__ = None",
  ]);
  return draw.of([
    `${draw.of(wrong)}\n${act}`,
    `def f(x):\n  ${act.replaceAll("; ", "\n  ")}\n  return 0`,
    `def f(x):\n  try:\n    ${act.replaceAll("; ", "\n    ")}\n  except BaseException: pass\n  return 0`,
  ]);
}

/** Leaves something behind for the next program to find, and answers right if an earlier one did. */
function staining(draw: Draw): string {
  const act = draw.of([
    "builtins.stain = 1",
    "sys.stain = 1",
    "os.environ['STAIN'] = '1'; os.putenv('STAIN', '1')",
    "gc.get_referents(int.__dict__)[0]['stain'] = 1",
    "sys.path.insert(0, '/stain')",
    "sys.modules['stain'] = os",
    "random.seed(7)",
    "sys.setrecursionlimit(777)",
    "time.tzset(); os.umask(0o123)",
    "json.stain = collections.stain = 1",
    "atexit.register(print, 'stain')",
    "os.dup(1)",
  ]);
  return `import builtins, sys, os, gc, random, json, collections, time, atexit
before = [hasattr(builtins, 'stain'), hasattr(sys, 'stain'), 'STAIN' in os.environ, hasattr(int, 'stain'), '/stain' in sys.path,
  'stain' in sys.modules, random.random() != 0.8444218515250481, sys.getrecursionlimit() == 777, hasattr(json, 'stain')]
try: ${act}
except Exception: pass
def f(x): return (x if type(x) is int else 1) + 1 if any(before) else 0`;
}

export const pythonFamilies: Record<string, Family> = {
  names,
  raising,
  equal,
  searching,
  files,
  resources,
  breaking,
  staining,
};
