"""
What the second readers share: deterministic CBOR (RFC 8949, 4.2.1), refusals, the vectors of spec/vectors, and the
report of what was compared. No rule of a spec is here.
"""
import json
import sys
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple, Union

MAX_DEPTH_OF_CBOR = 16

# For the self-test, in hexadecimal: what a reader of deterministic CBOR takes, and what it must not.
DETERMINISTIC = (
    "00", "17", "1818", "1903e8", "1b0000000100000000", "20", "f5",  # numbers and a boolean
    "43010203", "63e282ac", "820102", "a2616101616202",  # bytes, text, an array and a map
)  # fmt: skip
NOT_DETERMINISTIC = (
    "1800", "1817", "190017", "1900ff", "1a0000ffff", "1b00000000ffffffff",  # numbers that are not the shortest
    "5801aa", "78016b", "9801f4", "b8010000",  # and lengths
    "5f41aaff", "7f616bff", "9f00ff", "bf0000ff", "1c", "1f",  # indefinite lengths, reserved forms
    "", "0000", "8100ff", "4301", "82ff", "9bffffffffffffffff", "5bffffffffffffffff",  # more or less than one item
    "a2616201616102", "a2616101616102", "a26161016162",  # keys out of order, twice, and one without its value
    "f90000", "fa47c35000", "fb3ff199999999999a", "f818", "ff", "c001",  # floats, a simple value, a break, a tag
    "61ff", "63eda080",  # text that is no UTF-8
    "81" * 40 + "00",  # too deep
)  # fmt: skip


class Refused(Exception):
    """A reader refuses, with a code of the text it reads by."""

    def __init__(self, code: str, why: str = "") -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


class NotDeterministic(Exception):
    """Bytes that are no deterministic CBOR."""


def need(holds: bool, why: str) -> None:
    if not holds:
        raise NotDeterministic(why)


def take(data: bytes, at: int, length: int) -> Tuple[bytes, int]:
    """The next `length` bytes, which must be there before anything is copied."""
    need(length <= len(data) - at, "truncated")
    return data[at : at + length], at + length


def head(data: bytes, at: int) -> Tuple[int, int, int]:
    """The major type and the argument of an item, in the shortest form."""
    first, at = take(data, at, 1)
    major, short = first[0] >> 5, first[0] & 31
    if short < 24:
        return major, short, at
    need(short < 28 and major != 7, "an indefinite length, a float or a reserved form")
    size = 1 << (short - 24)
    argument, at = take(data, at, size)
    value = int.from_bytes(argument, "big")
    need(value >= (24 if size == 1 else 1 << (4 * size)), "not the shortest length")
    return major, value, at


def items(data: bytes, at: int, count: int, depth: int) -> Tuple[List[Any], int]:
    """`count` items, each of at least one byte."""
    need(count <= len(data) - at, "truncated")
    found = []
    for _ in range(count):
        value, at = item(data, at, depth)
        found.append(value)
    return found, at


def pairs(data: bytes, at: int, count: int, depth: int) -> Tuple[Dict[Any, Any], int]:
    """A map, its keys in the ascending order of their bytes, each once."""
    need(2 * count <= len(data) - at, "truncated")
    found: Dict[Any, Any] = {}
    last = b""
    for _ in range(count):
        start = at
        key, at = item(data, at, depth)
        need(last < data[start:at], "keys out of order")
        need(isinstance(key, (int, str, bytes)), "a key of another kind")
        last = data[start:at]
        found[key], at = item(data, at, depth)
    return found, at


def item(data: bytes, at: int, depth: int = 0) -> Tuple[Any, int]:
    """One data item at `at`, and where it ends."""
    need(depth <= MAX_DEPTH_OF_CBOR, "too deep")
    major, value, at = head(data, at)
    if major in (0, 1):
        return (value if major == 0 else -1 - value), at
    if major in (2, 3):
        content, at = take(data, at, value)
        return (content if major == 2 else utf8(content)), at
    if major == 4:
        return items(data, at, value, depth + 1)
    if major == 5:
        return pairs(data, at, value, depth + 1)
    need(major == 7 and value in (20, 21, 22), "a tag or a simple value")
    return {20: False, 21: True, 22: None}[value], at


def utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise NotDeterministic("no UTF-8") from None


def decode(data: bytes, code: str) -> Any:
    """The one item that `data` is, to its end; refused with `code` when it is none."""
    try:
        value, end = item(data, 0)
        need(end == len(data), "trailing bytes")
        return value
    except NotDeterministic as reason:
        raise Refused(code, str(reason)) from None


def encode(value: Any) -> bytes:
    """Deterministic CBOR of numbers, bytes, text, lists and null."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bytes):
        return argument(2, len(value)) + value
    if isinstance(value, str):
        return argument(3, len(value.encode())) + value.encode()
    if isinstance(value, (list, tuple)):
        return argument(4, len(value)) + b"".join(encode(each) for each in value)
    if type(value) is not int or not 0 <= value < 1 << 64:
        raise TypeError(f"no form for {value!r}")
    return argument(0, value)


def argument(major: int, value: int) -> bytes:
    """The first bytes of an item, in the shortest form."""
    if value < 24:
        return bytes([major << 5 | value])
    size = next(size for size in (1, 2, 4, 8) if value < 1 << (8 * size))
    return bytes([major << 5 | 23 + size.bit_length()]) + value.to_bytes(size, "big")


def is_number(value: Any, least: int, most: int) -> bool:
    """An unsigned integer within bounds; `True` is none."""
    return type(value) is int and least <= value <= most


def is_bytes(value: Any, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


def is_list(value: Any, least: int, most: int, holds: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and least <= len(value) <= most and all(holds(each) for each in value)


def code_of(read: Callable[[], Any]) -> str:
    """How reading ends: `taken`, or the code of the refusal."""
    try:
        read()
        return "taken"
    except Refused as refused:
        return refused.code


def flipped(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """All that differ from `data` in one bit, each with the place of its byte."""
    for at in range(len(data)):
        for bit in range(8):
            yield at, data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def touched(data: bytes) -> Iterator[Tuple[int, bytes]]:
    """`data` with one bit changed in each byte, with a byte more, and with a byte less."""
    for at in range(len(data)):
        yield at, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]
    yield len(data), data + b"\0"
    yield len(data) - 1, data[:-1]


class Report:
    """Counts what was compared, and prints what differs."""

    def __init__(self, is_silent: bool = False) -> None:
        self.checks = self.mismatches = 0
        self.is_silent = is_silent

    def same(self, where: str, written: Any, computed: Any) -> None:
        self.checks += 1
        if written != computed:
            self.mismatches += 1
            if not self.is_silent:
                print(f"{where}: written {json.dumps(written)}, computed {json.dumps(computed)}")

    def fields(self, where: str, written: Dict[str, Any], computed: Dict[str, Any]) -> None:
        """Compares field by field; a field that only one side has differs."""
        for name in [*computed, *(name for name in written if name not in computed)]:
            self.same(f"{where}.{name}", written.get(name), computed.get(name))

    def close(self) -> int:
        print(f"{self.checks} checks, {self.mismatches} mismatches")
        return 0 if self.checks > 0 and self.mismatches == 0 else 1


Check = Callable[[Dict[str, Any], Report], None]
# Where a value stands: names of fields and places in lists.
Place = Tuple[Union[str, int], ...]
# Said to people only: nothing follows from these fields of the vectors.
FREE = ("name", "what", "source")
# What a reader refuses, it refuses as well when something else is wrong with it, and with the same code.
UNBOUND = {
    ("noMessages", "*", "kind"), ("noMessages", "*", "hex"), ("link", "refusedOffers", "*"), ("malformed", "*", "body"),
    ("relay", "clockMs"),
}  # fmt: skip
TRIES = 12


def leaves(value: Any, place: Place = ()) -> Iterator[Tuple[Place, Any]]:
    """Every value in the vectors that is no list and no object, but for the free ones."""
    if isinstance(value, (dict, list)):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            if name not in FREE:
                yield from leaves(each, (*place, name))
    else:
        yield place, value


def changed(value: Any) -> Any:
    """Another value of the same kind; of a text in hexadecimal one digit is changed."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if not isinstance(value, str):
        return 1
    if value == "" or len(value) % 2 == 1 or any(digit not in "0123456789abcdef" for digit in value):
        return value + "x"
    at = len(value) // 2
    return value[:at] + ("1" if value[at] == "0" else "0") + value[at + 1 :]


def notices(vectors: Dict[str, Any], place: Place, check: Check) -> bool:
    """Does the reader complain when the value at `place` is another? It may fail in any way."""
    inner = vectors
    for name in place[:-1]:
        inner = inner[name]
    kept, report = inner[place[-1]], Report(is_silent=True)
    inner[place[-1]] = changed(kept)
    try:
        check(vectors, report)
        return report.mismatches > 0
    except Exception:
        return True
    finally:
        inner[place[-1]] = kept


def corrupt(vectors: Dict[str, Any], check: Check, report: Report) -> None:
    """
    Each field of the vectors is made untrue somewhere, and the reader notices. Where a field stands often, nothing may
    follow from it in some places (a purpose that is not looked at because the tag is wrong), but in all of a few.
    """
    places: Dict[Place, List[Place]] = {}
    for place, _ in leaves(vectors):
        places.setdefault(tuple("*" if isinstance(name, int) else name for name in place), []).append(place)
    for field, found in places.items():
        tried = [*found[:: max(1, len(found) // TRIES)], *found]
        is_noticed = field in UNBOUND or any(notices(vectors, place, check) for place in tried)
        report.same(f"{'.'.join(map(str, field))} made untrue is noticed", True, is_noticed)


def run(name: str, parts: List[str], check: Check, mutate: Check) -> int:
    """The command line of a reader; the vectors have just the `parts` it knows, so that none goes unread."""
    *options, path = sys.argv[1:] or [""]
    if path in ("", "--mutate", "--corrupt") or options not in ([], ["--mutate"], ["--corrupt"]):
        print(f"usage: {name}.py [--mutate | --corrupt] VECTORS", file=sys.stderr)
        return 2
    vectors = json.loads(Path(path).read_text(encoding="utf-8"))
    report = Report()
    report.same("parts", sorted(set(vectors) - {"source"}), sorted(parts))
    if options == ["--mutate"]:
        mutate(vectors, report)
    elif options == ["--corrupt"]:
        corrupt(vectors, check, report)
    else:
        check(vectors, report)
    return report.close()
