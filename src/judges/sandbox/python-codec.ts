// How values cross between the two Python interpreters: plain data as JSON, with a tag where JSON has no such type, in
// both directions and by the same code. Nothing here runs code of the value's own class: types are told by identity and by
// the method resolution order that the interpreter keeps, and contents are read through the built-in base class.

/** Source of `pack`, `unpack`, `encode`, `decode`; `other` takes what is not plain data, `resolve` what `other` gave. */
export const codec = String.raw`
import _json, array, builtins, collections, datetime, decimal, fractions, itertools, math, operator, sys, types

sys.set_int_max_str_digits(0)

mro_of = type.__dict__["__mro__"].__get__
dict_of = type.__dict__["__dict__"].__get__
name_of = type.__dict__["__name__"].__get__
flags_of = type.__dict__["__flags__"].__get__
deque, OrderedDict, Counter = collections.deque, collections.OrderedDict, collections.Counter
ordered_items = OrderedDict.items
Decimal, Fraction = decimal.Decimal, fractions.Fraction
decimal_text = Decimal.__str__
numerator_of, denominator_of = Fraction.__dict__["_numerator"].__get__, Fraction.__dict__["_denominator"].__get__
timezone = datetime.timezone
moments = {kind.__name__: kind for kind in (datetime.date, datetime.datetime, datetime.time, datetime.timedelta, timezone)}
array_type, array_items = array.array, array.array.tolist
types_by_name = {name: kind for name, kind in vars(builtins).items() if type(kind) is type}
names_of_types = {id(kind): kind.__name__ for kind in types_by_name.values()}

def fields_of(kind):
    for base in mro_of(kind):
        fields = dict_of(base).get("_fields")
        if fields is None: continue
        if type(fields) is not tuple: return None
        for field in fields:
            if type(field) is not str: return None
        return fields

ids_of_texts = {id(kind) for kind in (bool, int, str, type(None))}
is_float = type.__instancecheck__.__get__(float)
joined = itertools.chain.from_iterable

def is_flat(values):
    """Whether all of a list are what JSON has itself; told without a step of this interpreter for each."""
    kinds = set(map(id, map(type, values)))
    return kinds <= ids_of_texts or kinds <= ids_of_texts | {id(float)} and all(map(math.isfinite, filter(is_float, values)))

def pack_all(values, other):
    values = list(values)
    return values if is_flat(values) else [pack(value, other) for value in values]

def pack_pairs(pairs, other):
    pairs = list(map(list, pairs))
    return pairs if is_flat(list(joined(pairs))) else [[pack(key, other), pack(value, other)] for key, value in pairs]

def pack(value, other):
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str: return value
    if issubclass(kind, int): return int.__index__(value)
    if issubclass(kind, float):
        value = float.__float__(value)
        return value if value - value == 0 else {"x": float.__repr__(value)}
    if issubclass(kind, str): return str.__str__(value)
    if issubclass(kind, tuple):
        packed = pack_all(tuple.__iter__(value), other)
        fields = None if kind is tuple else fields_of(kind)
        if fields is not None and len(fields) == len(packed): return {"m": [name_of(kind), list(fields), packed]}
        return {"t": packed}
    if issubclass(kind, list): return {"l": pack_all(list.__iter__(value), other)}
    if issubclass(kind, dict):
        if issubclass(kind, OrderedDict): return {"D": pack_pairs(ordered_items(value), other)}
        return {"C" if kind is Counter else "d": pack_pairs(dict.items(value), other)}
    if issubclass(kind, set): return {"s": pack_all(set.__iter__(value), other)}
    if issubclass(kind, frozenset): return {"f": pack_all(frozenset.__iter__(value), other)}
    packer = exact_packers.get(id(kind))
    if packer is not None: return packer(value, other)
    if kind is type and id(value) in names_of_types: return {"y": names_of_types[id(value)]}
    if value is Ellipsis or value is NotImplemented: return {"e": repr(value)}
    return other(value)

def pack_moment(kind):
    name, parts = kind.__name__, (lambda value: zone_arguments(value)) if kind is timezone else (lambda value: reduced[name](value)[1])
    return lambda value, other: {"w": [name, pack_all(parts(value), other)]}

zone_arguments = timezone.__getinitargs__
reduced = {name: kind.__reduce__ for name, kind in moments.items()}

exact_packers = {id(kind): packer for kind, packer in (
    (complex, lambda value, other: {"c": [pack(value.real, other), pack(value.imag, other)]}),
    (bytes, lambda value, other: {"b": value.hex()}),
    (bytearray, lambda value, other: {"a": value.hex()}),
    (range, lambda value, other: {"r": [value.start, value.stop, value.step]}),
    (deque, lambda value, other: {"q": pack_all(value, other)}),
    (Decimal, lambda value, other: {"n": ["Decimal", decimal_text(value)]}),
    (Fraction, lambda value, other: {"n": ["Fraction", int.__repr__(numerator_of(value)) + "/" + int.__repr__(denominator_of(value))]}),
    (array_type, lambda value, other: {"A": [value.typecode, pack_all(array_items(value), other)]}),
    (type({}.keys()), lambda value, other: {"k": pack_all(value, other)}),
    (type({}.values()), lambda value, other: {"v": pack_all(value, other)}),
    (type({}.items()), lambda value, other: {"i": pack_pairs(value, other)}),
    *((kind, pack_moment(kind)) for kind in moments.values()),
)}

def unpack_all(packed, resolve):
    return list(packed) if is_flat(packed) else [unpack(p, resolve) for p in packed]

def unpack_pairs(packed, resolve):
    return list(map(tuple, packed)) if is_flat(list(joined(packed))) else [(unpack(k, resolve), unpack(v, resolve)) for k, v in packed]

record_types = {}

def record(name, fields, values):
    key = (name, *fields)
    if key not in record_types:
        try: record_types[key] = collections.namedtuple(name, fields)
        except ValueError: record_types[key] = None
    return tuple(values) if record_types[key] is None else record_types[key](*values)

unpackers = {
    "x": lambda body, resolve: float(body),
    "t": lambda body, resolve: tuple(unpack_all(body, resolve)),
    "m": lambda body, resolve: record(body[0], body[1], unpack_all(body[2], resolve)),
    "l": lambda body, resolve: unpack_all(body, resolve),
    "d": lambda body, resolve: dict(unpack_pairs(body, resolve)),
    "D": lambda body, resolve: OrderedDict(unpack_pairs(body, resolve)),
    "C": lambda body, resolve: Counter(dict(unpack_pairs(body, resolve))),
    "s": lambda body, resolve: set(unpack_all(body, resolve)),
    "f": lambda body, resolve: frozenset(unpack_all(body, resolve)),
    "c": lambda body, resolve: complex(*unpack_all(body, resolve)),
    "b": lambda body, resolve: bytes.fromhex(body),
    "a": lambda body, resolve: bytearray.fromhex(body),
    "r": lambda body, resolve: range(*body),
    "q": lambda body, resolve: deque(unpack_all(body, resolve)),
    "n": lambda body, resolve: {"Decimal": Decimal, "Fraction": Fraction}[body[0]](body[1]),
    "w": lambda body, resolve: moments[body[0]](*unpack_all(body[1], resolve)),
    "A": lambda body, resolve: array_type(body[0], unpack_all(body[1], resolve)),
    "k": lambda body, resolve: dict.fromkeys(unpack_all(body, resolve)).keys(),
    "v": lambda body, resolve: dict(enumerate(unpack_all(body, resolve))).values(),
    "i": lambda body, resolve: dict(unpack_pairs(body, resolve)).items(),
    "y": lambda body, resolve: types_by_name[body],
    "e": lambda body, resolve: {"Ellipsis": Ellipsis, "NotImplemented": NotImplemented}[body],
    "g": lambda body, resolve: iter(unpack_all(body, resolve)),
}

def unpack(packed, resolve):
    if type(packed) is not dict: return packed
    (tag, body), = packed.items()
    return resolve(body) if tag == "o" else unpackers[tag](body, resolve)

scan = _json.make_scanner(types.SimpleNamespace(
    strict=True, object_hook=None, object_pairs_hook=None, parse_float=float, parse_int=int, parse_constant={}.__getitem__))
chunks_of = _json.make_encoder(None, None, _json.encode_basestring_ascii, None, ":", ",", False, False, False)

def decode(text): return scan(text, 0)[0]

def encode(value): return "".join(chunks_of(value, 0))
`;
