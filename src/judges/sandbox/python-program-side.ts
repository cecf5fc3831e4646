// The harness beside the program. The host drives it in three steps, so that no frame of it is ever below the program's:
// `plan` turns a request into a function and its arguments, the host calls that function through CPython's C interface, and
// `finish` (or `fault`) turns the outcome into an answer. The host holds the only references: nothing is in a module's
// table, everything is unknown to the garbage collector, and no descriptor leads here. A program that finds it all the
// same, by writing to its own memory, can only lie about its own results.

import { codec } from "./python-codec.js";

/** Source that leaves the parts that the host calls in the list \`parts\`. */
export const programSide = String.raw`${codec}
import atexit, itertools

state = [None, None, None]
names, namespaces, handles, by_id = [], [], [], {}
nothing = {}

function_kinds = {id(kind) for kind in (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType, types.WrapperDescriptorType,
    types.MethodDescriptorType, types.ClassMethodDescriptorType, __import__("functools").partial,
    type(__import__("functools").lru_cache(len)), operator.attrgetter, operator.itemgetter, operator.methodcaller)}
iterator_kinds = {id(type(it)) for it in (
    (x for x in ()), iter([]), iter(()), iter(range(0)), iter(range(1 << 70)), iter({}), iter({}.values()), iter({}.items()), iter(set()),
    iter(""), iter(b""), iter(bytearray()), reversed([]), reversed(()), reversed({}), iter(len, 0), zip(), map(len, ()), filter(None, ()),
    enumerate(()), iter(deque()), itertools.count(), itertools.cycle(()), itertools.repeat(0), itertools.accumulate(()),
    itertools.chain(), itertools.combinations((), 0), itertools.combinations_with_replacement((), 0), itertools.compress((), ()),
    itertools.dropwhile(None, ()), itertools.filterfalse(None, ()), itertools.groupby(()), itertools.islice((), 0),
    itertools.pairwise(()), itertools.permutations(()), itertools.product(), itertools.starmap(None, ()),
    itertools.takewhile(None, ()), itertools.zip_longest(), itertools.batched((), 1))}
coroutine_kind = id(types.CoroutineType)
immutable = 1 << 8

def sort_of(value, kind):
    if id(kind) in function_kinds: return "function"
    if id(kind) in iterator_kinds: return "iterator"
    if id(kind) == coroutine_kind: return "awaitable"
    if issubclass(kind, type): return "error" if issubclass(value, BaseException) else "class"
    if issubclass(kind, types.ModuleType): return "module"
    return "builtin" if flags_of(kind) & immutable else "object"

def number_of(value):
    at = by_id.get(id(value))
    if at is None:
        at = by_id[id(value)] = len(handles)
        handles.append(value)
    return at

def ancestry(kind):
    """The error classes of a class: built-in ones by name, others by number."""
    found = []
    for base in mro_of(kind):
        if id(base) in names_of_types: found.append(names_of_types[id(base)])
        elif issubclass(base, BaseException): found.append([number_of(base), name_of(base)])
    return found

def hold(value):
    kind = type(value)
    sort = sort_of(value, kind)
    body = [number_of(value), sort, name_of(kind), by_id.get(id(kind), -1)]
    if sort == "error": body.append(ancestry(value))
    return {"o": body}

def resolve(body): return handles[body[0]]

def module_of(request, name):
    module = types.ModuleType(name)
    sys.modules[name] = module
    space = module.__dict__
    space["__builtins__"] = builtins
    namespaces.append(space)
    return exec, (compile(request["source"], "program", "exec"), space), nothing

def plan_load(request):
    names[:] = request["names"]
    return module_of(request, "program")

def finish_load(_):
    space, found = namespaces[-1], {}
    for name in names:
        if name in space:
            try: found[name] = pack(space[name], hold)
            except Exception: found[name] = hold(space[name])
    return {"names": found}

def plan_script(request): return module_of(request, "__main__")

def plan_call(request):
    args = unpack_all(request["args"], resolve)
    kwargs = {}
    for key, value in request["kwargs"].items(): kwargs[key] = unpack(value, resolve)
    state[1], state[2] = args, request["args"]
    return handles[request["id"]], tuple(args), kwargs

mutable = (list, dict, set, bytearray, deque, array_type)

def finish_call(value):
    args, given = state[1], state[2]
    answer, changed = {}, {}
    for i in range(len(args)):
        arg = args[i]
        if not is_mutable(arg): continue
        after = pack(arg, hold)
        if encode(after) != encode(given[i]): changed[str(i)] = after
        if value is arg: answer["same"] = i
    if "same" not in answer: answer["value"] = pack(value, hold)
    answer["changed"] = changed
    return answer

def is_mutable(value):
    kind = type(value)
    for base in mutable:
        if kind is base or kind is OrderedDict or kind is Counter: return True
    return False

def plan_look(request):
    value, how = handles[request["id"]], request["how"]
    if how == "attribute": return getattr, (value, request["name"]), nothing
    if how == "items":
        state[1] = []
        return list.extend, (state[1], itertools.islice(value, request["most"])), nothing
    if how == "next": return next, (value,), nothing
    if how == "await":
        state[1] = {"__builtins__": builtins, "awaitable": value}
        return exec, (waiting, state[1]), nothing
    rest = unpack_all(request["rest"], resolve)
    if request["swapped"]: return operations[how], (*rest, value), nothing
    return operations[how], (value, *rest), nothing

waiting = compile("import asyncio\nvalue = asyncio.run(awaitable)", "program", "exec")

operations = {name: getattr(operator, name) for name in (
    "add sub mul truediv floordiv mod pow matmul lshift rshift and_ or_ xor eq ne lt le gt ge neg pos abs invert getitem index contains "
    "iadd isub imul itruediv ifloordiv imod ipow imatmul ilshift irshift iand ior ixor").split()}
operations.update(len=len, str=str, repr=repr, hash=hash, bool=bool, int=int, float=float, complex=complex, round=round, divmod=divmod,
    iter=iter, reversed=reversed, isinstance=isinstance, issubclass=issubclass, format=format, dir=dir,
    setattr=setattr, delattr=delattr, setitem=operator.setitem, delitem=operator.delitem, bytes=bytes)

def finish_look(value): return {"value": pack(value, hold)}

def finish_await(_): return {"value": pack(state[1]["value"], hold)}

def finish_items(_): return {"items": pack_all(state[1], hold)}

actions = {"load": plan_load, "script": plan_script, "call": plan_call, "look": plan_look}
finishers = {"load": finish_load, "script": lambda _: {}, "call": finish_call, "look": finish_look, "items": finish_items, "await": finish_await}

def plan(text):
    request = decode(text)
    action = request["action"]
    state[0] = finishers.get(request.get("how")) or finishers[action]
    return actions[action](request)

def finish(value): return encode(state[0](value))

arguments_of = BaseException.__dict__["args"].__get__

def plain_or_none(value): return None

def fault(error, text):
    kind = type(error)
    packed = {}
    try:
        packed["args"] = pack_all(arguments_of(error), plain_or_none)
        own = object.__getattribute__(error, "__dict__")
        if type(own) is dict: packed["own"] = [[k, pack(v, hold)] for k, v in dict.items(own) if type(k) is str][:20]
    except Exception: packed["args"] = []
    text = text[:2000] if type(text) is str else ""
    answer = {"error": (name_of(kind) + ": " + text if text else name_of(kind))[:300], "message": text, "chain": ancestry(kind), **packed}
    if state[0] is finish_items:
        try: answer["items"] = pack_all(state[1], hold)
        except Exception: pass
    try: result = encode(answer)
    except Exception: result = ""
    if not result or len(result) > 100000:
        result = encode({"error": name_of(kind), "message": "", "chain": ancestry(kind), "args": []})
    return result

def hidden():
    """Every object of this harness that the garbage collector could hand to a program."""
    space = globals()
    found = [space, space["__builtins__"]]
    pending = [value for name, value in space.items() if name != "__builtins__"]
    while pending:
        value = pending.pop()
        kind = type(value)
        if kind is dict: pending.extend(value.values())
        elif kind is list or kind is tuple: pending.extend(value)
        elif kind is types.CellType: pending.append(value.cell_contents)
        elif kind is types.FunctionType: pending.extend(value.__closure__ or ())
        elif kind is not set: continue
        if not any(value is other for other in found): found.append(value)
    return found

parts = [plan, finish, fault, operator.methodcaller("flush"), atexit._run_exitfuncs]
`;
