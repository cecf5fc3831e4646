// The Python halves of the sandbox. Two interpreters take part: one runs the program, the other its tests. The program's
// interpreter never sees a test or an expected value; the tests see the program's functions as `Remote` objects, whose
// calls the host passes on, and get plain data back. So nothing that the program does to its own interpreter (replaced
// built-ins, objects that equal everything, rewritten memory) can change what an assertion means.

/** Plain data as JSON: what JSON cannot tell apart is tagged. Anything else becomes the number of a handle. */
const codec = String.raw`
import builtins, collections, decimal, fractions, json, math, os, sys

sys.set_int_max_str_digits(0)

def pack(value, handle):
    kind = type(value)
    if value is None or kind in (bool, int, str): return value
    if isinstance(value, int): return int.__index__(value)
    if isinstance(value, float):
        value = float.__float__(value)
        return value if math.isfinite(value) else {"x": repr(value)}
    if isinstance(value, str): return str.__str__(value)
    if isinstance(value, tuple): return {"t": [pack(v, handle) for v in tuple.__iter__(value)]}
    if isinstance(value, list): return {"l": [pack(v, handle) for v in list.__iter__(value)]}
    if isinstance(value, dict):
        return {"d": [[pack(k, handle), pack(v, handle)] for k, v in dict.items(value)]}
    if isinstance(value, set): return {"s": [pack(v, handle) for v in set.__iter__(value)]}
    if isinstance(value, frozenset): return {"f": [pack(v, handle) for v in frozenset.__iter__(value)]}
    if kind is complex: return {"c": [value.real, value.imag]}
    if kind is bytes: return {"b": value.hex()}
    if kind is bytearray: return {"a": value.hex()}
    if kind is range: return {"r": [value.start, value.stop, value.step]}
    if kind is collections.deque: return {"q": [pack(v, handle) for v in value]}
    if kind is decimal.Decimal: return {"n": ["Decimal", str(value)]}
    if kind is fractions.Fraction: return {"n": ["Fraction", str(value)]}
    if kind is type and getattr(builtins, value.__name__, None) is value: return {"y": value.__name__}
    return handle(value)

def unpack(packed, resolve):
    if not isinstance(packed, dict): return packed
    (tag, body), = packed.items()
    if tag == "x": return float(body)
    if tag == "l": return [unpack(v, resolve) for v in body]
    if tag == "t": return tuple(unpack(v, resolve) for v in body)
    if tag == "d": return {unpack(k, resolve): unpack(v, resolve) for k, v in body}
    if tag == "s": return {unpack(v, resolve) for v in body}
    if tag == "f": return frozenset(unpack(v, resolve) for v in body)
    if tag == "c": return complex(*body)
    if tag == "b": return bytes.fromhex(body)
    if tag == "a": return bytearray.fromhex(body)
    if tag == "r": return range(*body)
    if tag == "q": return collections.deque(unpack(v, resolve) for v in body)
    if tag == "n": return {"Decimal": decimal.Decimal, "Fraction": fractions.Fraction}[body[0]](body[1])
    if tag == "y" and isinstance(getattr(builtins, body), type): return getattr(builtins, body)
    if tag == "o": return resolve(body)
    raise ValueError("unknown tag")

def receive(read=os.read):
    data = b""
    while not data.endswith(b"\n"): data += read(3, 1 << 20)
    return json.loads(data)

def send(message, write=os.write):
    data = json.dumps(message).encode() + b"\n"
    while data: data = data[write(3, data):]

def described(error):
    text = "".join(str(a) for a in error.args[:1])[:200] if isinstance(error, Exception) else ""
    return type(error).__name__ + (": " + text if text else "")
`;

/** Common beginning: fresh streams, Pyodide's own modules gone, the usual modules loaded. */
const opening = String.raw`
import gc, io, sys
for name in list(sys.modules):
    if name.partition(".")[0] in ("js", "pyodide_js", "pyodide", "_pyodide", "_pyodide_core"): del sys.modules[name]
sys.meta_path[:] = [finder for finder in sys.meta_path if "yodide" not in (getattr(finder, "__module__", "") or "")]
sys.excepthook = sys.__excepthook__
def stream(number, mode):
    raw = io.FileIO(number, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="replace", newline=None if mode == "r" else "\n")
sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__ = stream(0, "r"), stream(1, "w"), stream(2, "w")
import abc, array, bisect, cmath, collections, collections.abc, copy, dataclasses, datetime, decimal, enum, fractions, functools
import hashlib, heapq, itertools, json, math, operator, os, random, re, statistics, string, struct, textwrap, time, types, typing
random.seed(0)
`;

const closing = "\ngc.collect()\n";

/** Runs the program: `touchstone.serve()` answers one request. */
export const programSide = `${opening}
touchstone = types.ModuleType("touchstone")
sys.modules["touchstone"] = touchstone
exec(r'''${codec}
import types

handles = []
names = {}

def hold(value):
    handles.append(value)
    return {"o": [len(handles) - 1, type(value).__name__]}

def resolve(body): return handles[body[0]]

def run(source, name):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "program", "exec"), module.__dict__)
    return module.__dict__

def shared(value):
    try: return pack(value, hold)
    except Exception: return hold(value)

def load(request):
    found = run(request["source"], "program")
    names.update({k: v for k, v in found.items() if not k.startswith("__")})
    kept = {k: v for k, v in names.items() if not isinstance(v, types.ModuleType)}
    return {"names": {k: shared(v) for k, v in kept.items()}}

def script(request):
    try:
        run(request["source"], "__main__")
    except SystemExit as end:
        if end.code not in (None, 0): raise
    return {}

def call(request):
    given = request["args"]
    args = [unpack(a, resolve) for a in given]
    kwargs = {k: unpack(v, resolve) for k, v in request["kwargs"].items()}
    value = pack(handles[request["id"]](*args, **kwargs), hold)
    after = {str(i): pack(a, hold) for i, a in enumerate(args) if type(a) in (list, dict, set, bytearray)}
    changed = {i: a for i, a in after.items() if json.dumps(a) != json.dumps(given[int(i)])}
    return {"value": value, "changed": changed}

def method(request):
    first, *rest = request["name"].split(".")
    if first in names: target = names[first]
    elif "Solution" in names: target = getattr(names["Solution"](), first)
    else: raise NameError("name " + repr(first) + " is not defined")
    for name in rest: target = getattr(target, name)
    return {"value": hold(target)}

def look(request):
    value, how = handles[request["id"]], request["how"]
    if how == "attribute": found = getattr(value, request["name"])
    elif how == "item": found = value[unpack(request["key"], resolve)]
    elif how == "items": found = list(__import__("itertools").islice(value, 1000000))
    else: found = {"length": len, "text": str, "truth": bool}[how](value)
    return {"value": pack(found, hold)}

def assign(request):
    target, value = handles[request["id"]], unpack(request["value"], resolve)
    if request["how"] == "attribute": setattr(target, request["key"], value)
    else: target[unpack(request["key"], resolve)] = value
    return {}

actions = {"load": load, "script": script, "call": call, "method": method, "look": look, "assign": assign}

def serve():
    request = receive()
    try:
        answer = actions[request["action"]](request)
        sys.stdout.flush()
    except BaseException as error:
        bases = [c.__name__ for c in type(error).__mro__ if c.__module__ == "builtins"]
        answer = {"error": described(error), "bases": bases, "message": str(error)[:300] if isinstance(error, Exception) else ""}
    send(answer)
''', touchstone.__dict__)
${closing}`;

/** Runs the tests: `touchstone.serve()` answers one request, and asks the program's side in between. */
export const testSide = `${opening}
touchstone = types.ModuleType("touchstone")
sys.modules["touchstone"] = touchstone
exec(r'''${codec}
class BrokenTest(Exception): pass

last = None

def refuse(value): raise BrokenTest("a test hands a " + type(value).__name__ + " to the program")

def outgoing(value):
    return {"o": [value._touchstone_id, ""]} if isinstance(value, Remote) else refuse(value)

def ask(request):
    send(request)
    answer = receive()
    if "error" in answer:
        for name in answer["bases"]:
            kind = getattr(builtins, name, None)
            if isinstance(kind, type) and issubclass(kind, Exception) and kind is not AssertionError:
                try: error = kind(answer["message"])
                except Exception: continue
                error.touchstone = answer["error"]
                raise error
        error = RuntimeError("the program raises " + answer["error"])
        error.touchstone = answer["error"]
        raise error
    return answer

def arrive(body): return Remote(*body)

def refill(target, packed):
    value = unpack(packed, arrive)
    if isinstance(target, (list, bytearray)): target[:] = value
    else:
        target.clear()
        target.update(value)

def shown(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."

class Remote:
    def __init__(self, id, kind):
        object.__setattr__(self, "_touchstone_id", id)
        object.__setattr__(self, "_touchstone_kind", kind)

    def __call__(self, *args, **kwargs):
        global last
        packed = [pack(a, outgoing) for a in args]
        answer = ask({"action": "call", "id": self._touchstone_id, "args": packed,
                      "kwargs": {k: pack(v, outgoing) for k, v in kwargs.items()}})
        for i, after in answer["changed"].items(): refill(args[int(i)], after)
        value = unpack(answer["value"], arrive)
        last = "got " + shown(value)
        return value

    def _touchstone_look(self, how, **more):
        return unpack(ask({"action": "look", "id": self._touchstone_id, "how": how, **more})["value"], arrive)

    def _touchstone_assign(self, how, key, value):
        ask({"action": "assign", "id": self._touchstone_id, "how": how, "key": key, "value": pack(value, outgoing)})

    def __getattr__(self, name): return self._touchstone_look("attribute", name=name)
    def __getitem__(self, key): return self._touchstone_look("item", key=pack(key, outgoing))
    def __setattr__(self, name, value): self._touchstone_assign("attribute", name, value)
    def __setitem__(self, key, value): self._touchstone_assign("item", pack(key, outgoing), value)
    def __iter__(self): return iter(self._touchstone_look("items"))
    def __len__(self): return self._touchstone_look("length")
    def __bool__(self): return self._touchstone_look("truth")
    def __str__(self): return self._touchstone_look("text")
    def __repr__(self): return "<" + self._touchstone_kind + " of the program>"

def plain(value):
    """Tuples are lists in the expected values of JSON."""
    if isinstance(value, (list, tuple)): return [plain(v) for v in value]
    if isinstance(value, dict): return {str(k): plain(v) for k, v in value.items()}
    return value

def close(a, b, tolerance):
    number = lambda v: isinstance(v, (int, float)) and not isinstance(v, bool)
    if number(a) and number(b): return a == b or abs(a - b) <= tolerance
    if isinstance(a, list) and isinstance(b, list): return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict): return a.keys() == b.keys() and all(close(a[k], b[k], tolerance) for k in a)
    return type(a) is type(b) and a == b

scope, tests = {}, []

def prepare(request):
    scope["__name__"] = "tests"
    compile(request["setup"], "setup", "exec")
    tests.extend(compile(test, "test", "exec") if isinstance(test, str) else test for test in request["tests"])
    return {}

def begin(request):
    """A program's function takes the place of a built-in one only when it is what the tests are about."""
    try:
        loaded = json.loads(request["loaded"])
        if "error" in loaded: return {"error": str(loaded["error"])}
        names = {k: unpack(v, arrive) for k, v in loaded["names"].items()}
    except Exception as error:
        return {"error": described(error)}
    used = {name for test in tests if not isinstance(test, dict) for name in test.co_names}
    hides = lambda name: hasattr(builtins, name)
    if any(name in used and not hides(name) for name in names): names = {k: v for k, v in names.items() if not hides(k)}
    scope.update(names)
    try:
        exec(compile(request["setup"], "setup", "exec"), scope)
    except Exception as error:
        if isinstance(error, NameError) or hasattr(error, "touchstone"): return {"error": described(error)}
        raise
    return {}

def call(test):
    target = arrive(ask({"action": "method", "name": test["call"]})["value"]["o"])
    value, wanted = plain(target(*test["args"])), test["expected"]
    if close(value, wanted, test["tolerance"]) or test["wrapped"] and close([value], wanted, test["tolerance"]): return
    raise AssertionError("expected " + shown(wanted))

def run(request):
    global last
    last = None
    test = tests[request["index"]]
    try:
        call(test) if isinstance(test, dict) else exec(test, scope)
    except BrokenTest as broken:
        return {"broken": str(broken)}
    except BaseException as error:
        problem = getattr(error, "touchstone", None) or described(error)
        return {"problem": problem + (" (" + last + ")" if last and isinstance(error, AssertionError) else "")}
    return {"passed": request["marker"]}

actions = {"prepare": prepare, "begin": begin, "run": run}

def serve():
    request = receive()
    try:
        answer = actions[request["action"]](request)
    except BaseException as error:
        answer = {"broken": described(error)}
    send(answer)
''', touchstone.__dict__)
${closing}`;

export const serve = "import touchstone; touchstone.serve()";
