// The harness around the tests. It tells the host which of the program's names the tests mean, stands in for them with
// `Remote` objects whose calls the host passes on, and says of each error whose fault it is. What the program's functions
// return arrives as plain data; an object of the program's own class can be used for what no plain data can do, and for
// everything where the tests themselves construct its class or the row allows it.

import { codec } from "./python-codec.js";

/** Source that leaves the parts that the host calls in the list `parts`. */
export const testSide = String.raw`${codec}
import ast, io, itertools, os, re, symtable

class BrokenTest(Exception): pass

channel = 3
counter = [0]
requests = [0]
printed_to = sys.stdout
given_input = sys.stdin

# ---- Talking to the program.

is_carrying = [False]

def carried(work):
    """Work of the harness for which the host charges little: its size is bounded, and it is not the program's."""
    def counted(*args):
        if is_carrying[0]: return work(*args)
        is_carrying[0] = True
        os.write(channel, b"\x01")
        try: return work(*args)
        finally:
            is_carrying[0] = False
            os.write(channel, b"\x02")
    return counted

line_of = carried(lambda message: encode(message).encode() + b"\n")
reply_of = carried(lambda parts: decode(b"".join(parts).decode()))

def exchange(message):
    counter[0] += 1
    data = line_of({"number": counter[0], **message})
    while data: data = data[os.write(channel, data):]
    parts = []
    while not parts or not parts[-1].endswith(b"\n"): parts.append(os.read(channel, 1 << 20))
    reply = reply_of(parts)
    if reply["number"] != counter[0]: violate("its answers are out of order")
    return reply

def violate(reason):
    """Ends everything: the host does not answer."""
    exchange({"violation": reason})

def ask(request):
    requests[0] += 1
    if sys.stdin is not given_input and isinstance(sys.stdin, io.StringIO): request["stdin"] = sys.stdin.read()
    reply = exchange({"request": request})
    if reply["printed"] and sys.stdout is not printed_to: sys.stdout.write(reply["printed"])
    return reply["answer"]

def outcome(answer):
    if "error" in answer: raise program_error(answer)
    return answer

def ask_value(request): return received(outcome(ask(request))["value"])

unpacked, sent = carried(unpack), carried(lambda values: [pack(value, outgoing) for value in values])

def received(packed):
    try: return unpacked(packed, arrive)
    except Exception as error: violate("it gives what cannot be a value (" + type(error).__name__ + ")")

# ---- Errors of the program.

class ProgramError(Exception):
    """What the program raised. It is also of the built-in type, where no construct of the language swallows that."""
    def __str__(self): return self.touchstone_message

never_taken = {"StopIteration", "StopAsyncIteration", "GeneratorExit", "KeyboardInterrupt", "BaseException", "object", "Exception"}
taken_where_named = {"AttributeError", "IndexError", "SystemExit", "AssertionError", "ImportError", "ModuleNotFoundError"}
error_types = {}
named_by_tests = set()

def is_taken(name):
    kind = types_by_name.get(name)
    if kind is None or not issubclass(kind, BaseException) or name in never_taken: return False
    return name in named_by_tests if name in taken_where_named or issubclass(kind, Warning) else issubclass(kind, Exception)

def error_type(chain):
    """The stand-in for an error class with these ancestors, the class itself first."""
    head = chain[0] if chain else "Exception"
    key = head if isinstance(head, str) else head[0]
    if key in error_types: return error_types[key]
    if isinstance(head, str):
        found = ProgramError
        if is_taken(head):
            try: found = type(head, (ProgramError, types_by_name[head]), {})
            except TypeError: pass
        elif len(chain) > 1: found = error_type(chain[1:])
    else:
        found = type(head[1], (error_type(chain[1:]) if len(chain) > 1 else ProgramError,), {})
        error_numbers[found] = head[0]
    error_types[key] = found
    return found

error_numbers = {}

def program_error(answer):
    kind = error_type(answer["chain"])
    try: error = kind.__new__(kind)
    except TypeError: error = ProgramError.__new__(ProgramError)
    error.args = tuple(received(p) for p in answer["args"])
    for name, value in answer.get("own", ()):
        try: setattr(error, name, received(value))
        except AttributeError: pass
    error.touchstone_message = answer["message"]
    error.touchstone = answer["error"]
    return error

# ---- Objects of the program.

plain_types = (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, deque, OrderedDict, Counter,
    Decimal, Fraction, array_type, *moments.values())
plain_names = {name for kind in plain_types for name in dir(kind)} - {"__name__", "__doc__", "__module__", "__dict__", "__qualname__"}
remotes, under_test, classes_meant, classes_trusted = {}, set(), set(), set()
objects_allowed = [False]
reporting = [False]
slot = object.__getattribute__

def arrive(body):
    number, sort, kind = body[:3]
    if number not in remotes:
        remotes[number] = error_type(body[4]) if sort == "error" else object.__new__(Awaitable if sort == "awaitable" else Remote)
        if sort != "error": object.__setattr__(remotes[number], "touchstone_body", (number, sort, kind, body[3]))
    return remotes[number]

def body_of(remote): return slot(remote, "touchstone_body")

def is_whole(remote):
    number, sort, _, of = body_of(remote)
    return objects_allowed[0] or of in classes_meant or number in under_test

def is_trusted(remote):
    return objects_allowed[0] or body_of(remote)[3] in classes_trusted

def refuse(remote):
    violate("it returns an object of its class " + body_of(remote)[2] + ", where tests see plain data")

def look(remote, how, *rest, swapped=False):
    request = {"action": "look", "id": body_of(remote)[0], "how": how, "rest": sent(rest), "swapped": swapped}
    return ask_value(request)

def attribute(remote, name):
    return ask_value({"action": "look", "id": body_of(remote)[0], "how": "attribute", "name": name})

def data(how, *allowed):
    """An operation that turns the object into something else without being told anything."""
    def operation(self, *rest):
        if not is_whole(self) and body_of(self)[1] not in allowed: refuse(self)
        return look(self, how, *rest)
    return operation

def comparison(how, unequal=None):
    """Two objects are compared by the program, an object and plain data only where its class is trusted."""
    def operation(self, other):
        if isinstance(other, Remote):
            if self is other and unequal is not None: return not unequal
            if is_whole(self) and is_whole(other): return look(self, how, other)
        elif is_trusted(self): return look(self, how, other)
        elif unequal is None: refuse(self)
        return unequal
    return operation

def arithmetic(how, swapped=False):
    def operation(self, other):
        if not is_whole(self) and not (isinstance(other, Remote) and is_whole(other)): refuse(self)
        value = look(self, how, other, swapped=swapped)
        if not isinstance(value, Remote) and not isinstance(other, Remote) and not is_trusted(self): refuse(self)
        return value
    return operation

def arrive_record(body, resolve):
    """A field in the place of a method that plain data has would be code of the program's in the middle of a test."""
    name, fields, values = body[0], body[1], unpack_all(body[2], resolve)
    for field, value in zip(fields, values):
        if field in plain_names and callable(value): violate("it returns a " + name + " whose " + field + " is a function")
    return record(name, fields, values)

unpackers["m"] = arrive_record

class Remote:
    __slots__ = ("touchstone_body", "__weakref__")

    def __getattribute__(self, name):
        if name in ("__class__", "touchstone_body"): return slot(self, name)
        if name in plain_names and not is_whole(self): refuse(self)
        if name == "__next__": return lambda: advance(self)
        return attribute(self, name)

    def __setattr__(self, name, value): look(self, "setattr", name, value)
    def __delattr__(self, name): look(self, "delattr", name)
    def __setitem__(self, key, value): look(self, "setitem", key, value) if is_whole(self) else refuse(self)
    def __delitem__(self, key): look(self, "delitem", key) if is_whole(self) else refuse(self)
    def __contains__(self, item): return look(self, "contains", item) if is_whole(self) else refuse(self)
    def __call__(self, *args, **kwargs): return call_remote(self, args, kwargs)
    def __iter__(self): return walk(self)
    def __next__(self): return advance(self)
    def __enter__(self): return attribute(self, "__enter__")()
    def __exit__(self, kind, error, trace): return attribute(self, "__exit__")(None, None, None) if kind is None else leave(self, kind, error)
    def __bool__(self):
        if body_of(self)[1] == "object" and not is_whole(self): refuse(self)
        return look(self, "bool")
    def __str__(self): return look(self, "str") if is_whole(self) and not reporting[0] else described_remote(self)
    def __repr__(self): return look(self, "repr") if is_whole(self) and not reporting[0] else described_remote(self)
    def __format__(self, how): return look(self, "format", how) if is_whole(self) else described_remote(self)
    def __hash__(self): return look(self, "hash") if is_whole(self) and body_of(self)[1] == "object" else body_of(self)[0]
    def __instancecheck__(self, value):
        return isinstance(value, Remote) and look(value, "isinstance", self)
    def __subclasscheck__(self, kind):
        return isinstance(kind, Remote) and look(kind, "issubclass", self)

def length(self):
    kind, sort = body_of(self)[2], body_of(self)[1]
    if sort in ("iterator", "function", "class", "module", "awaitable"): raise TypeError("a " + kind + " of the program has no length")
    return look(self, "len") if is_whole(self) else refuse(self)

Remote.__len__ = length
for how in ("int", "float", "complex", "round", "getitem", "reversed", "neg", "pos", "abs", "invert", "index", "dir", "bytes"):
    setattr(Remote, "__" + how + "__", data(how))
for how in ("lt", "le", "gt", "ge"): setattr(Remote, "__" + how + "__", comparison(how))
Remote.__eq__, Remote.__ne__ = comparison("eq", False), comparison("ne", True)
for how in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "lshift", "rshift", "and_", "or_", "xor", "divmod"):
    setattr(Remote, "__" + how.strip("_") + "__", arithmetic(how))
    setattr(Remote, "__r" + how.strip("_") + "__", arithmetic(how, swapped=True))
for how in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "imatmul", "ilshift", "irshift", "iand", "ior", "ixor"):
    setattr(Remote, "__" + how + "__", arithmetic(how))

class Awaitable(Remote):
    """A coroutine of the program, which runs to its end where the test awaits it."""
    __slots__ = ()
    def __await__(self):
        return ask_value({"action": "look", "id": body_of(self)[0], "how": "await"})
        yield

def described_remote(remote): return "<" + body_of(remote)[2] + " of the program>"

last = [None]

def call_remote(remote, args, kwargs):
    answer = outcome(ask({"action": "call", "id": body_of(remote)[0], "args": sent(args),
                          "kwargs": dict(zip(kwargs, sent(kwargs.values())))}))
    for i, after in answer["changed"].items(): refill(args[int(i)], received(after))
    value = args[answer["same"]] if "same" in answer else received(answer["value"])
    last[0] = "got " + shown(value)
    return value

def refill(target, value):
    try:
        if isinstance(target, (list, bytearray, array_type)): target[:] = value
        else:
            target.clear()
            target.extend(value) if isinstance(target, deque) else target.update(value)
    except (TypeError, ValueError, AttributeError): violate("it changes an argument into what it cannot be")

def leave(remote, kind, error):
    """The end of a with statement by an error of the test. What a test asserts is not the program's to forgive."""
    passed = kind if kind.__name__ in types_by_name else Exception
    is_forgiven = attribute(remote, "__exit__")(passed, None, None)
    return is_forgiven and not issubclass(kind, AssertionError)

one_at_a_time = 16

def walk(remote):
    """A generator over the program's iterator: one item at a time at first, so that an endless one is no trouble."""
    sort = body_of(remote)[1]
    if sort not in ("iterator", "builtin") and not is_whole(remote): refuse(remote)
    iterator = remote if sort == "iterator" else look(remote, "iter")
    return steps(iterator)

def steps(iterator):
    if not isinstance(iterator, Remote):
        yield from iterator
        return
    number, sort = body_of(iterator)[:2]
    most, taken = 1, 0
    while True:
        if sort == "iterator":
            answer = ask({"action": "look", "id": number, "how": "items", "most": most})
            items = [received(p) for p in answer.get("items", ())]
        else:
            answer = ask({"action": "look", "id": number, "how": "next"})
            if is_end(answer): return
            items = [received(outcome(answer)["value"])]
        yield from items
        outcome(answer)
        if len(items) < most: return
        taken += len(items)
        if sort == "iterator" and taken >= one_at_a_time: most = min(4096, most * 2)

def is_end(answer): return "error" in answer and "StopIteration" in answer["chain"]

def advance(remote):
    if body_of(remote)[1] not in ("iterator", "builtin") and not is_whole(remote): refuse(remote)
    answer = ask({"action": "look", "id": body_of(remote)[0], "how": "next"})
    if is_end(answer): raise StopIteration
    return received(outcome(answer)["value"])

nothing = object()

def next_item(iterator, default=nothing):
    """The built-in next, except that an end of the program's iterator ends nothing else by accident."""
    if not isinstance(iterator, Remote): return next(iterator) if default is nothing else next(iterator, default)
    try: return advance(iterator)
    except StopIteration:
        if default is not nothing: return default
        if "StopIteration" in named_by_tests: raise
        raise program_error({"error": "StopIteration: its iterator has ended", "message": "", "chain": [], "args": []}) from None

iterator_types = tuple(type(it) for it in (
    (x for x in ()), iter([]), iter(()), iter({}), iter(range(0)), zip(), map(len, ()), filter(None, ()), enumerate(()), reversed([]),
    itertools.chain(), itertools.islice((), 0), itertools.repeat(0, 0), itertools.product(), itertools.permutations(())))
most_handed = 100000

def outgoing(value):
    if isinstance(value, Remote): return {"o": [body_of(value)[0]]}
    if isinstance(value, iterator_types):
        items = list(itertools.islice(value, most_handed + 1))
        if len(items) > most_handed: raise BrokenTest("a test hands an iterator without end to the program")
        return {"g": [pack(item, outgoing) for item in items]}
    if isinstance(value, type) and value in error_numbers: return {"o": [error_numbers[value]]}
    raise BrokenTest("a test hands a " + type(value).__name__ + " to the program")

# ---- Which names of the program the tests mean.

def tables(table):
    yield table
    for child in table.get_children(): yield from tables(child)

def names_in(source):
    """The global names that a source reads, and those that it binds."""
    top = symtable.symtable(source, "test", "exec")
    read, bound = set(), set()
    for table in tables(top):
        for symbol in table.get_symbols():
            is_global = table is top or symbol.is_global()
            if is_global and symbol.is_referenced(): read.add(symbol.get_name())
            if is_global and (symbol.is_assigned() or symbol.is_imported()): bound.add(symbol.get_name())
    return read, bound

def innermost_calls(tree):
    """Names called with arguments that call nothing themselves, in the order of the source."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
             and not any(isinstance(inner, ast.Call) for part in (*node.args, *node.keywords) for inner in ast.walk(part))]
    return [node.func.id for node in sorted(found, key=lambda node: (node.lineno, node.col_offset))]

literals = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.JoinedStr)

def is_literal(node): return isinstance(node.operand if isinstance(node, ast.UnaryOp) else node, literals)

def used_as_functions(tree):
    """Names whose calls are compared with plain data."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare): continue
        operands = [node.left, *node.comparators]
        if any(is_literal(operand) for operand in operands):
            found |= {o.func.id for o in operands if isinstance(o, ast.Call) and isinstance(o.func, ast.Name)}
    return found

def caught(tree):
    """Names of error classes that a test means to meet: in an except clause, or as an argument."""
    found = set()
    for node in ast.walk(tree):
        parts = [node.type] if isinstance(node, ast.ExceptHandler) and node.type else node.args if isinstance(node, ast.Call) else []
        for part in parts: found |= {n.id for n in ast.walk(part) if isinstance(n, ast.Name)}
    return found

class Row:
    """What is known of the tests before the program is."""
    tests, wanted, missing, setup, helpers = [], set(), set(), None, None

row = Row()
scope = {}

def prepare(request):
    row.setup, row.helpers = (compiled(request[part], part) for part in ("setup", "helpers"))
    row.tests = [compiled(test, "test %d" % i) if isinstance(test, str) else test for i, test in enumerate(request["tests"])]
    row.sources = {"setup": request["setup"], "helpers": request["helpers"],
                   **{"test %d" % i: test for i, test in enumerate(request["tests"]) if isinstance(test, str)}}
    trees = {name: ast.parse(source) for name, source in row.sources.items()}
    names = {name: names_in(source) for name, source in row.sources.items()}
    bound = set().union(*(b for _, b in names.values()))
    read = set().union(*(r for r, _ in names.values()))
    wanted = {name for name in read - bound if not hasattr(builtins, name) and not name.startswith("__")}
    entry = request["entry"]
    if entry: wanted.add(entry)
    for test in row.tests:
        if isinstance(test, dict): wanted |= {test["call"].partition(".")[0], "Solution"}
    if not wanted:
        for name, tree in trees.items():
            meant = [n for n in innermost_calls(tree) if n in builtin_functions] if name.startswith("test") else []
            if meant:
                wanted.add(meant[0])
                break
    for tree in trees.values(): named_by_tests.update(caught(tree))
    row.wanted, row.needs = wanted, {name: r & wanted for name, (r, _) in names.items()}
    row.prompt, row.reference = request["prompt"], request["reference"]
    row.functions = set().union(*(used_as_functions(tree) for tree in trees.values()))
    objects_allowed[0] = request["objects"]
    return {"names": sorted(wanted)}

builtin_functions = {name for name in dir(builtins) if not (isinstance(getattr(builtins, name), type) and issubclass(getattr(builtins, name), BaseException))}

def compiled(source, name):
    try: return compile(source, name, "exec")
    except (SyntaxError, ValueError) as error: raise BrokenTest(described(error))

def declares(text, name):
    return ("class " + name) in text

def begin(request):
    scope.update(__name__="tests", __builtins__=builtins)
    builtins.next = next_item
    loaded = request["loaded"]
    if "error" in loaded: return {"error": str(loaded["error"])}
    names = loaded["names"]
    for name, packed in names.items():
        if name not in row.wanted: violate("it gives a name that nobody asked for")
        value = received(packed)
        if isinstance(value, Remote):
            number, sort = body_of(value)[:2]
            under_test.add(number)
            if sort == "class":
                is_declared = declares(row.prompt, name) or declares(row.reference, name)
                if is_declared or name == "Solution": classes_trusted.add(number)
                if is_declared or name[:1].isupper() and name not in row.functions: classes_meant.add(number)
        scope[name] = value
    row.missing = row.wanted - set(names) - {"Solution"}
    for code in (row.helpers, row.setup):
        requests[0] = 0
        try: exec(code, scope)
        except BaseException as error: return verdict(error, code.co_filename)
    return {}

# ---- Whose fault an error is.

def frames_of(error):
    trace, found = error.__traceback__, []
    while trace:
        if trace.tb_frame.f_code.co_filename in row.sources: found.append(trace)
        trace = trace.tb_next
    return found

def fails_at_import(error, trace):
    if not isinstance(error, ImportError): return False
    import dis
    instruction = next((i for i in dis.get_instructions(trace.tb_frame.f_code) if i.offset == trace.tb_lasti), None)
    return instruction is not None and instruction.opname in ("IMPORT_NAME", "IMPORT_FROM")

def touched(names):
    """All names that a statement with some of the program's in it may have changed, and those that follow from them."""
    statements = []
    for source in row.sources.values():
        for statement in ast.parse(source).body:
            found = {n.id for n in ast.walk(statement) if isinstance(n, ast.Name)} | {n.name for n in ast.walk(statement) if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
            statements.append({n for n in found if not hasattr(builtins, n) or n in names})
    result, size = set(names), -1
    while len(result) != size:
        size = len(result)
        for found in statements:
            if found & result: result |= found
    return result

def is_of_the_test(error, source, traces):
    """Whether the program had no part in an error that is not its own."""
    if isinstance(error, (MemoryError, RecursionError, KeyboardInterrupt)): return requests[0] == 0
    if not traces: return False
    if fails_at_import(error, traces[-1]): return True
    if isinstance(error, NameError) and error.name in row.missing: return is_unexpected(error.name)
    line = next((t.tb_lineno for t in traces if t.tb_frame.f_code.co_filename == source), None)
    statement = next((s for s in ast.parse(row.sources[source]).body if line is not None and s.lineno <= line <= s.end_lineno), None)
    if statement is None: return False
    return not names_used(statement) & touched(row.wanted)

def names_used(statement):
    """Names whose values a statement needs: not those that it gives a value only."""
    nodes = list(ast.walk(statement))
    changed = {n.target.id for n in nodes if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)}
    return changed | {n.id for n in nodes if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Store)}

def is_unexpected(name):
    """Whether a name that the program lacks is something that the tests should have brought along themselves."""
    if re.search(r"\b" + re.escape(name) + r"\b", row.prompt): return False
    using = [needs for needs in row.needs.values() if name in needs]
    return bool(using) and all(needs - row.missing for needs in using)

def described(error):
    text = "".join(str(a) for a in error.args[:1])[:200] if isinstance(error, Exception) else ""
    return type(error).__name__ + (": " + text if text else "")

def verdict(error, source):
    if isinstance(error, BrokenTest): return {"broken": str(error)}
    if isinstance(error, ProgramError): return {"problem": error.touchstone}
    if is_of_the_test(error, source, frames_of(error)): return {"broken": described(error)}
    return {"problem": described(error)}

# ---- Running the tests.

def shown(value):
    reporting[0] = True
    try: text = repr(value)
    finally: reporting[0] = False
    return text if len(text) <= 80 else text[:80] + "..."

def plain(value):
    """Tuples are lists in the expected values of JSON, keys are texts, and a number may stand for all that round to it."""
    if isinstance(value, (list, tuple)): return list(value) if is_flat(value) else [plain(v) for v in value]
    if isinstance(value, dict):
        if value.keys() == {"\0rounded"}: return Rounded(value["\0rounded"])
        return {str(k): plain(v) for k, v in value.items()}
    return value

class Rounded:
    """A whole number beyond 2^53 whose last digits were lost before it came here."""
    def __init__(self, value): self.value = value
    def __repr__(self): return repr(self.value)

def restored(value):
    """An argument: what was lost stays lost."""
    if isinstance(value, list): return list(value) if is_flat(value) else [restored(v) for v in value]
    if isinstance(value, dict):
        if value.keys() == {"\0rounded"}: return value["\0rounded"]
        return {k: restored(v) for k, v in value.items()}
    return value

def is_number(value): return isinstance(value, (int, float)) and not isinstance(value, bool)

def close(a, b, tolerance):
    if isinstance(b, Rounded): return is_number(a) and (a == b.value or isinstance(a, int) and as_float(a) == float(b.value))
    if is_number(a) and is_number(b):
        if a == b: return True
        if not tolerance or a - a != 0 or b - b != 0: return False
        return abs(Fraction(a) - Fraction(b)) <= Fraction(tolerance)
    if isinstance(a, list) and isinstance(b, list): return len(a) == len(b) and all(close(x, y, tolerance) for x, y in zip(a, b))
    if isinstance(a, dict) and isinstance(b, dict): return a.keys() == b.keys() and all(close(a[k], b[k], tolerance) for k in a)
    return type(a) is type(b) and a == b

def as_float(value):
    try: return float(value)
    except OverflowError: return None

given, compared = carried(restored), carried(plain)

@carried
def agrees(value, wanted, test):
    return close(value, wanted, test["tolerance"]) or test["wrapped"] and close([value], wanted, test["tolerance"])

def call(test):
    first, *rest = test["call"].split(".")
    if first in scope: target = scope[first]
    elif "Solution" in scope: target = attribute(scope["Solution"](), first)
    else: raise program_error({"error": "NameError: name " + repr(first) + " is not defined", "message": "", "chain": [], "args": []})
    for name in rest: target = attribute(target, name)
    if not isinstance(target, Remote): raise program_error({"error": "TypeError: " + test["call"] + " is no function", "message": "", "chain": [], "args": []})
    value, wanted = compared(target(*given(test["args"]))), compared(test["expected"])
    if agrees(value, wanted, test): return
    raise AssertionError("expected " + shown(wanted))

def run(request):
    last[0], requests[0] = None, 0
    test = row.tests[request["index"]]
    try:
        call(test) if isinstance(test, dict) else exec(test, scope)
    except BaseException as error:
        if isinstance(test, dict): found = {"broken": str(error)} if isinstance(error, BrokenTest) else {"problem": getattr(error, "touchstone", None) or described(error)}
        else: found = verdict(error, test.co_filename)
        if "problem" in found and last[0] and isinstance(error, AssertionError): found["problem"] += " (" + last[0] + ")"
        return found
    return {"passed": request["marker"]}

actions = {"prepare": prepare, "begin": begin, "run": run}

def serve(request):
    try: return actions[request["action"]](request)
    except BrokenTest as error: return {"broken": str(error)}

def plan(text):
    return serve, (decode(text),), {}

def finish(value): return encode(value)

def fault(error, text): return encode({"broken": described(error)})

def hidden(): return []

parts = [plan, finish, fault, operator.methodcaller("flush"), len]
`;
