"""
Sessions of NZ-HANDSHAKE-01, read by who has the private keys of one side: Noise (revision 34) with XX, IK and IKpsk1
for 25519_ChaChaPoly_SHA256, the payloads in it, and what follows from a session.
"""
import re
from hashlib import sha256
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from updates import Refused, decode, is_bytes, is_number, verifies

PATTERNS = ("XX", "IK", "IKpsk1")  # section 3, by number
TOKENS = {
    "XX": (("e",), ("e", "ee", "s", "es"), ("s", "se")),
    "IK": (("e", "es", "s", "ss"), ("e", "ee", "se")),
    "IKpsk1": (("e", "es", "s", "ss", "psk"), ("e", "ee", "se")),
}
STATIC_KEY = "nzcore/channel-static-key/1"  # section 2
FEATURE = re.compile(r"[a-z0-9][a-z0-9.-]{0,31}")  # NZ-WIRE-01, 7


def code(name: str) -> str:
    return f"NZ_HANDSHAKE_{name}"


def require(holds: bool, name: str) -> None:
    if not holds:
        raise Refused(code(name), "")


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def agree(private: bytes, other: bytes) -> bytes:
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise Refused(code("KEY"), "a key of low order") from None


def nonce(counter: int) -> bytes:
    return bytes(4) + counter.to_bytes(8, "little")


def mac(key: bytes, *parts: bytes) -> bytes:
    made = HMAC(key, SHA256())
    for part in parts:
        made.update(part)
    return made.finalize()


class Noise:
    """One side of a handshake. `keys` is what this side has: its private keys and what it knows of the other."""

    def __init__(self, pattern: str, initiator: bool, prologue: bytes, keys: Dict[str, bytes]) -> None:
        self.initiator, self.keys, self.tokens = initiator, dict(keys), TOKENS[pattern]
        self.has_psk = "psk" in pattern
        name = f"Noise_{pattern}_25519_ChaChaPoly_SHA256".encode()
        self.hash = name.ljust(32, b"\0") if len(name) <= 32 else sha256(name).digest()
        self.chain, self.key, self.counter = self.hash, b"", 0
        self.mix_hash(prologue)
        if pattern != "XX":
            self.mix_hash(self.keys["rs"] if initiator else public(self.keys["s"]))

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def expand(self, data: bytes, count: int) -> List[bytes]:
        secret, made = mac(self.chain, data), [b""]
        for at in range(1, count + 1):
            made.append(mac(secret, made[-1], bytes([at])))
        return made[1:]

    def mix_key(self, data: bytes) -> None:
        self.chain, self.key = self.expand(data, 2)
        self.counter = 0

    def psk(self) -> None:
        self.chain, hashed, self.key = self.expand(self.keys["psk"], 3)
        self.mix_hash(hashed)
        self.counter = 0

    def dh(self, token: str) -> None:
        own, other = token if self.initiator else token[::-1]
        self.mix_key(agree(self.keys[own], self.keys[f"r{other}"]))

    def seal(self, plain: bytes) -> bytes:
        sealed = ChaCha20Poly1305(self.key).encrypt(nonce(self.counter), plain, self.hash) if self.key else plain
        self.counter += 1
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        plain = sealed
        if self.key:
            try:
                plain = ChaCha20Poly1305(self.key).decrypt(nonce(self.counter), sealed, self.hash)
            except InvalidTag:
                raise Refused(code("UNAUTHENTIC"), "") from None
        self.counter += 1
        self.mix_hash(sealed)
        return plain

    def write(self, at: int, payload: bytes) -> bytes:
        message = b""
        for token in self.tokens[at]:
            if token == "e":
                message += self.key_of_e(public(self.keys["e"]))
            elif token == "s":
                message += self.seal(public(self.keys["s"]))
            elif token == "psk":
                self.psk()
            else:
                self.dh(token)
        return message + self.seal(payload)

    def key_of_e(self, key: bytes) -> bytes:
        self.mix_hash(key)
        if self.has_psk:
            self.mix_key(key)
        return key

    def read(self, at: int, message: bytes) -> bytes:
        for token in self.tokens[at]:
            if token == "e":
                self.keys["re"], message = self.key_of_e(message[:32]), message[32:]
            elif token == "s":
                size = 48 if self.key else 32
                self.keys["rs"], message = self.open(message[:size]), message[size:]
            elif token == "psk":
                self.psk()
            else:
                self.dh(token)
        return self.open(message)

    def split(self) -> Tuple[bytes, bytes]:
        first, second = self.expand(b"", 2)
        return first, second


def derive(key: bytes, session: bytes, label: str, context: bytes = b"", length: int = 32) -> bytes:
    """Section 6."""
    info = f"nzcore/channel/1/{label}".encode() + context
    return HKDF(algorithm=SHA256(), length=length, salt=session, info=info).derive(key)


def cbor(value: Any) -> bytes:
    """Deterministic CBOR of what the texts of sessions need."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return cbor_head(0, value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    return cbor_head(4, len(value)) + b"".join(cbor(each) for each in value)


def cbor_head(major: int, value: int) -> bytes:
    if value < 24:
        return bytes([major << 5 | value])
    size = next(size for size in (1, 2, 4, 8) if value < 1 << (8 * size))
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + value.to_bytes(size, "big")


class Payload(NamedTuple):
    """4.1."""

    versions: List[int]
    purpose: str
    features: List[str]
    index: int
    peer: Optional[bytes]
    proof: Optional[List[bytes]]

    def encode(self) -> bytes:
        return cbor(list(self))


def is_feature_list(names: Any) -> bool:
    """NZ-WIRE-01, 7."""
    if not isinstance(names, list) or len(names) > 32:
        return False
    if not all(isinstance(name, str) and FEATURE.fullmatch(name) for name in names):
        return False
    return all(one.encode() < other.encode() for one, other in zip(names, names[1:]))


def read_payload(data: bytes) -> Payload:
    """4.3, step 1."""
    try:
        value = decode(data)
    except Refused:
        raise Refused(code("MALFORMED"), "no CBOR") from None
    require(isinstance(value, list) and len(value) == 6, "MALFORMED")
    payload = Payload(*value)
    versions, purpose, proof = payload.versions, payload.purpose, payload.proof
    require(isinstance(versions, list) and 1 <= len(versions) <= 8, "MALFORMED")
    require(all(is_number(each, 1, 255) for each in versions), "MALFORMED")
    require(all(one < other for one, other in zip(versions, versions[1:])), "MALFORMED")
    require(isinstance(purpose, str) and bool(re.fullmatch(r"[\x21-\x7e]{1,64}", purpose)), "MALFORMED")
    require(is_feature_list(payload.features) and is_number(payload.index, 0, 2**32 - 1), "MALFORMED")
    require(payload.peer is None or is_bytes(payload.peer, 32), "MALFORMED")
    if proof is not None:
        require(isinstance(proof, list) and len(proof) == 2, "MALFORMED")
        require(is_bytes(proof[0], 32) and is_bytes(proof[1], 64), "MALFORMED")
    return payload


class Reader(NamedTuple):
    """The side that checks a payload: what it is and wants."""

    initiator: bool
    identity: bytes
    purpose: str
    features: List[str]
    versions: List[int]
    required: List[str]
    expected: Optional[bytes]


def check_payload(reader: Reader, payload: Payload, static: bytes, resumed: Optional[Tuple[bytes, bytes]]) -> bytes:
    """4.3, steps 3 to 9: the identity of the peer. `resumed`: identity and static key of the ticket's session."""
    common = [each for each in payload.versions if each in reader.versions]
    require(bool(common) and common[-1] == 1, "DOWNGRADE")
    require(payload.purpose == reader.purpose, "PURPOSE")
    require(payload.peer in (None, reader.identity), "MISBOUND")
    require(reader.initiator or payload.peer is not None, "MALFORMED")
    require((payload.proof is None) == (resumed is not None), "MALFORMED")
    if payload.proof is None:
        identity, known = resumed or (b"", b"")
        require(static == known, "FORGED")
    else:
        identity, signature = payload.proof
        require(verifies(identity, static, signature, STATIC_KEY), "FORGED")
    require(reader.expected in (None, identity), "WRONG_PEER")
    missing = [name for name in reader.required if name not in payload.features or name not in reader.features]
    require(not missing, "FEATURE_MISSING")
    return identity


class Hello(NamedTuple):
    """Section 3."""

    pattern: str
    index: int
    cookie: bytes
    ticket: bytes
    message: bytes

    def prologue(self) -> bytes:
        """4.1."""
        numbers = bytes([1, PATTERNS.index(self.pattern)]) + self.index.to_bytes(4, "big")
        return b"NZ-HANDSHAKE-01" + numbers + self.ticket


def read_hello(body: bytes) -> Hello:
    require(body[0] < len(PATTERNS) and body[5] in (0, 16), "MALFORMED")
    pattern, end = PATTERNS[body[0]], 6 + body[5]
    after = end + (16 if pattern == "IKpsk1" else 0)
    require(len(body) - after >= 32, "MALFORMED")
    return Hello(pattern, int.from_bytes(body[1:5], "big"), body[6:end], body[end:after], body[after:])


class Session(NamedTuple):
    """Section 6."""

    id: bytes
    secret: bytes
    common: List[str]


def session_of(noise: Noise, pattern: str, initiator: Payload, responder: Payload, who: Tuple[bytes, bytes]) -> Session:
    """`who`: the identities of the initiator and of the responder."""
    facts = ["nzcore/channel/1/session", noise.hash, 1, pattern, initiator.purpose, *who]
    name = sha256(cbor([*facts, initiator.features, responder.features])).digest()
    first, second = noise.split()
    common = [each for each in initiator.features if each in responder.features]
    return Session(name, derive(first + second, name, "secret"), common)
