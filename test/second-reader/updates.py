"""Updates of NZ-TRUST-01, read: deterministic CBOR (RFC 8949, 4.2.1), the form of section 2, ids and signatures."""
from hashlib import sha256
from typing import Any, Dict, List, NamedTuple, Tuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

PURPOSE = "nzcore/trust-update/1"
ZEROS = bytes(32)
MAX_UPDATE = 512  # section 1
MAX_NUMBER = 1 << 40
MAX_DEPTH_OF_CBOR = 16
MALFORMED = "NZ_TRUST_MALFORMED"

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
# The y of the points of small order (NZ-IDENTITY-01, 6): 0, 1, -1 and the two of order 8.
ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER = {0, 1, FIELD - 1, ORDER_8, FIELD - ORDER_8}

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
    """A reader refuses, with a code of section 8."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


def require(holds: bool, why: str, code: str = MALFORMED) -> None:
    if not holds:
        raise Refused(code, why)


def take(data: bytes, at: int, length: int) -> Tuple[bytes, int]:
    """The next `length` bytes, which must be there before anything is copied."""
    require(length <= len(data) - at, "truncated")
    return data[at : at + length], at + length


def head(data: bytes, at: int) -> Tuple[int, int, int]:
    """The major type and the argument of an item, in the shortest form."""
    first, at = take(data, at, 1)
    major, short = first[0] >> 5, first[0] & 31
    if short < 24:
        return major, short, at
    require(short < 28 and major != 7, "an indefinite length, a float or a reserved form")
    size = 1 << (short - 24)
    argument, at = take(data, at, size)
    value = int.from_bytes(argument, "big")
    require(value >= (24 if size == 1 else 1 << (4 * size)), "not the shortest length")
    return major, value, at


def items(data: bytes, at: int, count: int, depth: int) -> Tuple[List[Any], int]:
    """`count` items, each of at least one byte."""
    require(count <= len(data) - at, "truncated")
    found = []
    for _ in range(count):
        value, at = item(data, at, depth)
        found.append(value)
    return found, at


def pairs(data: bytes, at: int, count: int, depth: int) -> Tuple[Dict[Any, Any], int]:
    """A map, its keys in the ascending order of their bytes, each once."""
    require(2 * count <= len(data) - at, "truncated")
    found: Dict[Any, Any] = {}
    last = b""
    for _ in range(count):
        start = at
        key, at = item(data, at, depth)
        require(last < data[start:at], "keys out of order")
        require(isinstance(key, (int, str, bytes)), "a key of another kind")
        last = data[start:at]
        found[key], at = item(data, at, depth)
    return found, at


def item(data: bytes, at: int, depth: int = 0) -> Tuple[Any, int]:
    """One data item at `at`, and where it ends."""
    require(depth <= MAX_DEPTH_OF_CBOR, "too deep")
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
    require(major == 7 and value in (20, 21, 22), "a tag or a simple value")
    return {20: False, 21: True, 22: None}[value], at


def utf8(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(MALFORMED, "no UTF-8") from None


def decode(data: bytes) -> Any:
    """The one item that `data` is, to its end."""
    value, end = item(data, 0)
    require(end == len(data), "trailing bytes")
    return value


class Update(NamedTuple):
    """Section 2. What a kind of statement does not have is 0."""

    id: bytes
    issuer: bytes
    sequence: int
    previous: bytes
    issued: int
    kind: int
    subject: bytes
    level: int = 0
    expires: int = 0
    depth: int = 0
    reason: int = 0

    def place(self) -> Tuple[int, bytes]:
        """The order of 3.3 and 3.4."""
        return self.sequence, self.id

    def expired(self, now: int) -> bool:
        """6.5."""
        return 0 < self.expires <= now


def is_number(value: Any, least: int, most: int) -> bool:
    """An unsigned integer within bounds; `True` is none."""
    return type(value) is int and least <= value <= most


def is_bytes(value: Any, length: int) -> bool:
    return isinstance(value, bytes) and len(value) == length


def read_statement(statement: Any) -> Dict[str, Any]:
    """Section 2: one of the four statements."""
    require(isinstance(statement, list) and len(statement) > 0, "no statement")
    require(is_number(statement[0], 0, 3), "no kind of statement")
    names = (
        ("kind", "subject", "level", "expires"),
        ("kind", "subject", "level", "expires", "depth"),
        ("kind", "subject"),
        ("kind", "subject", "reason"),
    )[statement[0]]
    require(len(statement) == len(names), "a statement of another length")
    bounds = {"kind": (0, 3), "level": (0, 4), "expires": (0, MAX_NUMBER), "depth": (1, 3), "reason": (0, 255)}
    for name, value in zip(names, statement):
        require(is_bytes(value, 32) if name == "subject" else is_number(value, *bounds[name]), f"no {name}")
    return dict(zip(names, statement))


def read_version(body: Any) -> int:
    """2.1: what stands first in a body of any version."""
    require(isinstance(body, list) and len(body) > 0 and is_number(body[0], 0, 2**53 - 1), "no version")
    return body[0]


def read_body(data: bytes) -> Update:
    """Section 2: the fields of a body of version 1, their form checked."""
    body = decode(data)
    require(len(body) == 6, "no body")
    _, issuer, sequence, previous, issued, statement = body
    require(is_bytes(issuer, 32) and is_bytes(previous, 32), "no key or id")
    require(is_number(sequence, 1, MAX_NUMBER) and is_number(issued, 0, MAX_NUMBER), "a number out of bounds")
    require((sequence == 1) == (previous == ZEROS), "32 zeros stand before the first update and no other")
    name = sha256(PURPOSE.encode() + b"/id" + data).digest()
    return Update(name, issuer, sequence, previous, issued, **read_statement(statement))


def verifies(key: bytes, message: bytes, signature: bytes, purpose: str = PURPOSE) -> bool:
    """
    NZ-IDENTITY-01, 6. The library compares R with the encoding of the point it computes; the bounds of S and of the
    key are checked here.
    """
    y = int.from_bytes(key, "little") & (2**255 - 1)
    if y >= FIELD or y in SMALL_ORDER or int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    text = b"nzcore signature 1\n" + bytes([len(purpose)]) + purpose.encode() + message
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, text)
        return True
    except (InvalidSignature, ValueError):
        return False


def read_update(data: bytes) -> Update:
    """2.1: the checks in their order."""
    require(0 < len(data) <= MAX_UPDATE, "size")
    outer = decode(data)
    require(isinstance(outer, list) and len(outer) == 3, "no update")
    purpose, body, signature = outer
    require(isinstance(purpose, str) and 1 <= len(purpose.encode()) <= 64, "no purpose")
    require(isinstance(body, bytes) and is_bytes(signature, 64), "no body or signature")
    require(read_version(decode(body)) == 1, "version", "NZ_TRUST_VERSION")
    require(purpose == PURPOSE, "purpose", "NZ_TRUST_PURPOSE")
    update = read_body(body)
    require(update.issuer != update.subject or update.kind == 3, "issuer and subject are one")
    require(verifies(update.issuer, body, signature), "signature", "NZ_TRUST_FORGED")
    return update
