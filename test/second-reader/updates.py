"""Updates of NZ-TRUST-01, read: the form of section 2, ids and signatures."""
from hashlib import sha256
from typing import Any, Dict, NamedTuple, Tuple

from reading import Refused, decode, is_bytes, is_number
from signatures import verifies

PURPOSE = "nzcore/trust-update/1"
ZEROS = bytes(32)
MAX_UPDATE = 512  # section 1
MAX_NUMBER = 1 << 40
MALFORMED = "NZ_TRUST_MALFORMED"


def require(holds: bool, why: str, code: str = MALFORMED) -> None:
    if not holds:
        raise Refused(code, why)


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
    body = decode(data, MALFORMED)
    require(len(body) == 6, "no body")
    _, issuer, sequence, previous, issued, statement = body
    require(is_bytes(issuer, 32) and is_bytes(previous, 32), "no key or id")
    require(is_number(sequence, 1, MAX_NUMBER) and is_number(issued, 0, MAX_NUMBER), "a number out of bounds")
    require((sequence == 1) == (previous == ZEROS), "32 zeros stand before the first update and no other")
    name = sha256(PURPOSE.encode() + b"/id" + data).digest()
    return Update(name, issuer, sequence, previous, issued, **read_statement(statement))


def read_update(data: bytes) -> Update:
    """2.1: the checks in their order."""
    require(0 < len(data) <= MAX_UPDATE, "size")
    outer = decode(data, MALFORMED)
    require(isinstance(outer, list) and len(outer) == 3, "no update")
    purpose, body, signature = outer
    require(isinstance(purpose, str) and 1 <= len(purpose.encode()) <= 64, "no purpose")
    require(isinstance(body, bytes) and is_bytes(signature, 64), "no body or signature")
    require(read_version(decode(body, MALFORMED)) == 1, "version", "NZ_TRUST_VERSION")
    require(purpose == PURPOSE, "purpose", "NZ_TRUST_PURPOSE")
    update = read_body(body)
    require(update.issuer != update.subject or update.kind == 3, "issuer and subject are one")
    require(verifies(update.issuer, body, signature, PURPOSE), "signature", "NZ_TRUST_FORGED")
    return update
