"""
What NZ-HANDSHAKE-01 writes down: HELLOs (§3), payloads (§4.1), what a session is (§6) and its tickets (§7), codes (§9).
Read by handshake.py and channel.py.
"""
import re
from typing import Any, List, NamedTuple, Optional, Tuple

import noise
import wire
from reading import Refused, decode, is_bytes, is_list, is_number

VERSION = 1
PATTERNS = ("XX", "IK", "IKpsk1")
PURPOSE = re.compile(r"[!-~]{1,64}")
LABEL = "nzcore/channel/1/"
CODES = (
    "MALFORMED", "VERSION", "UNAUTHENTIC", "DOWNGRADE", "PURPOSE", "FORGED", "WRONG_PEER", "MISBOUND",
    "FEATURE_MISSING", "TICKET", "KEY", "BUSY", "COOKIE", "NOT_ALLOWED", "TIMEOUT",
)  # fmt: skip


def refuse(name: str) -> Refused:
    return Refused(f"NZ_HANDSHAKE_{name}")


def require(holds: bool, name: str) -> None:
    if not holds:
        raise refuse(name)


def u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def derive(key: bytes, session: bytes, label: str, context: bytes = b"", size: int = 32) -> bytes:
    """Section 6."""
    secret, block, found, n = noise.keyed(session, key), b"", b"", 0
    while len(found) < size:
        n += 1
        block = noise.keyed(secret, block, LABEL.encode(), label.encode(), context, bytes([n]))
        found += block
    return found[:size]


class Ticket(NamedTuple):
    """Section 7: good for one purpose, and one peer with its static key."""

    id: bytes
    key: bytes
    purpose: str
    peer: bytes
    their_static: bytes


class Own(NamedTuple):
    """What a side brings along; who only reads needs no signature."""

    identity: bytes
    static: bytes
    purpose: str
    features: List[str]
    required: List[str] = []
    versions: List[int] = [VERSION]
    signature: bytes = b""
    expected: Optional[bytes] = None
    their_static: bytes = b""
    ticket: Optional[Ticket] = None
    is_allowed: bool = True


class Said(NamedTuple):
    """4.1: a payload."""

    versions: List[int]
    purpose: str
    features: List[str]
    index: int
    peer: Optional[bytes]
    proof: Optional[List[bytes]]


def is_proof(value: Any) -> bool:
    return is_list(value, 2, 2, lambda each: True) and is_bytes(value[0], 32) and is_bytes(value[1], 64)


def read_payload(data: bytes) -> Said:
    """4.3, step 1."""
    value = decode(data, "NZ_HANDSHAKE_MALFORMED")
    require(isinstance(value, list) and len(value) == 6, "MALFORMED")
    said = Said(*value)
    require(is_list(said.versions, 1, 8, lambda each: is_number(each, 1, 255)), "MALFORMED")
    require(all(a < b for a, b in zip(said.versions, said.versions[1:])), "MALFORMED")
    require(isinstance(said.purpose, str) and PURPOSE.fullmatch(said.purpose) is not None, "MALFORMED")
    require(wire.are_features(said.features), "MALFORMED")
    require(is_number(said.index, 0, 0xFFFFFFFF), "MALFORMED")
    require(said.peer is None or is_bytes(said.peer, 32), "MALFORMED")
    require(said.proof is None or is_proof(said.proof), "MALFORMED")
    return said


class Hello(NamedTuple):
    """Section 3."""

    pattern: str
    index: int
    cookie: bytes
    ticket: bytes
    message: bytes


def read_hello(body: bytes) -> Hello:
    require(len(body) >= 6 and body[0] < len(PATTERNS) and body[5] in (0, 16), "MALFORMED")
    at = 6 + body[5]
    end = at + (16 if body[0] == 2 else 0)
    require(len(body) >= end + 32, "MALFORMED")
    return Hello(PATTERNS[body[0]], wire.number(body, 1), body[6:at], body[at:end], body[end:])


class Session(NamedTuple):
    """Section 6: what both sides have in common, and what the channel needs besides."""

    id: bytes
    secret: bytes
    features: List[str]
    peer: bytes
    their_static: bytes
    their_index: int

    def ticket(self, whose: str) -> Tuple[bytes, bytes]:
        """Section 7: id and key."""
        both = derive(self.secret, self.id, f"ticket/{whose}", size=48)
        return both[:16], both[16:]
