"""
What the messages of NZ-ROUTING-01 look like: their bodies (§3, §4, §7.4), what is signed in them, and codes (§8).
Read by the files beside it whose names begin with `routing`.
"""
from typing import Any, Callable, List, NamedTuple

from reading import Refused, decode, encode, is_list, is_number
from signatures import verifies

MESSAGE_BYTES, HOPS, TTL = 18_432, 16, 16
UNREACHABLE, NUMBER = (1 << 24) - 1, 1 << 48
LINK, SETUP, HOP = "nzcore/route-link/1", "nzcore/route-setup/1", "nzcore/route-hop/1"
ANSWER, ANSWER_HOP, ORIGIN = "nzcore/route-answer/1", "nzcore/route-answer-hop/1", "nzcore/route-origin/1"
CODES = (
    "MALFORMED", "VERSION", "PURPOSE", "FORGED", "CHAIN", "REPLAYED", "TTL", "REFUSED", "LIMITED", "NONE", "BROKEN",
    "TIMEOUT", "IDLE", "CLOSED",
)  # fmt: skip


def refuse(name: str) -> Refused:
    return Refused(f"NZ_ROUTE_{name}")


def require(holds: bool, name: str = "MALFORMED") -> None:
    if not holds:
        raise refuse(name)


def parsed(data: bytes, *forms: Callable[[Any], bool]) -> List[Any]:
    """An array of items of these forms."""
    value = decode(data, "NZ_ROUTE_MALFORMED")
    require(isinstance(value, list) and len(value) == len(forms))
    require(all(is_one(each) for is_one, each in zip(forms, value)))
    return value


def number(most: int = NUMBER, least: int = 0) -> Callable[[Any], bool]:
    return lambda value: is_number(value, least, most)


def sized(*lengths: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, bytes) and len(value) in lengths


def anything(value: Any) -> bool:
    return True


def text(value: Any) -> bool:
    return isinstance(value, str)


def octets(value: Any) -> bool:
    return isinstance(value, bytes)


KEY = sized(32)


class Signed(NamedTuple):
    """What setups, answers and offers have in common: an array of a purpose, a body and its signature."""

    purpose: str
    body: bytes
    signature: bytes
    rest: List[Any]


def read_signed(data: bytes, *rest: Callable[[Any], bool]) -> Signed:
    """The form with any version and any purpose."""
    require(len(data) <= MESSAGE_BYTES)
    value = parsed(data, lambda purpose: text(purpose) and 1 <= len(purpose) <= 64, octets, sized(64), *rest)
    return Signed(value[0], value[1], value[2], value[3:])


def code_number(code: str) -> int:
    return CODES.index(code.replace("NZ_ROUTE_", "")) + 1


def write_closed(path: bytes, code: str, by: bytes, latest: int) -> bytes:
    """7.4."""
    return encode([path, code_number(code), by, latest])


def read_closed(data: bytes) -> List[Any]:
    return parsed(data, sized(16), number(14, 1), KEY, number())


def is_echo(value: Any) -> bool:
    return value == [] or is_list(value, 2, 2, number())


def read_hello(data: bytes) -> List[Any]:
    """Section 3."""
    hello = parsed(data, number(), number(), number(16), number(16), is_echo)
    require(hello[2] <= hello[3])
    return hello


def read_request(data: bytes) -> List[Any]:
    """4.5."""
    return parsed(data, KEY, number(), sized(64), number(HOPS))


def read_announcement(data: bytes) -> List[List[Any]]:
    """4.1."""
    routes = decode(data, "NZ_ROUTE_MALFORMED")
    require(is_list(routes, 1, 128, lambda route: is_list(route, 4, 4, anything)))
    for destination, sequence, signature, metric in routes:
        require(KEY(destination) and number()(sequence) and sized(64)(signature) and number(UNREACHABLE)(metric))
    return routes


def is_origin(destination: bytes, sequence: int, signature: bytes) -> bool:
    """4.1: signed by the destination."""
    return verifies(destination, encode([destination, sequence]), signature, ORIGIN)
