"""The Noise Protocol Framework, revision 34: XX, IK and IKpsk1 with 25519_ChaChaPoly_SHA256, for NZ-HANDSHAKE-01."""
import hmac
from hashlib import sha256
from typing import Dict, List, Optional, Tuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TAG = 16
KEY = 32
MESSAGES: Dict[str, List[List[str]]] = {
    "XX": [["e"], ["e", "ee", "s", "es"], ["s", "se"]],
    "IK": [["e", "es", "s", "ss"], ["e", "ee", "se"]],
    "IKpsk1": [["e", "es", "s", "ss", "psk"], ["e", "ee", "se"]],
}


class Unreadable(Exception):
    """A message that is too short, that does not authenticate, or with a key of low order, which gives no secret."""


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def agree(private: bytes, other: bytes) -> bytes:
    """X25519; a secret of zeros is refused."""
    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(other))
    except ValueError:
        raise Unreadable("a key of low order") from None


def keyed(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), sha256).digest()


def hkdf(chaining: bytes, material: bytes, count: int) -> List[bytes]:
    """Section 4.3 of the framework."""
    secret, outputs = keyed(chaining, material), [b""]
    for n in range(1, count + 1):
        outputs.append(keyed(secret, outputs[-1], bytes([n])))
    return outputs[1:]


class Handshake:
    """Sections 5.2 and 5.3: one side of a handshake."""

    def __init__(self, pattern: str, is_initiator: bool, prologue: bytes, static: bytes, ephemeral: bytes) -> None:
        name = f"Noise_{pattern}_25519_ChaChaPoly_SHA256".encode()
        self.hash = name + bytes(32 - len(name)) if len(name) <= 32 else sha256(name).digest()
        self.chaining, self.key, self.counter = self.hash, None, 0  # type: bytes, Optional[bytes], int
        self.pattern, self.is_initiator, self.at = pattern, is_initiator, 0
        self.static, self.ephemeral = static, ephemeral
        self.their_static, self.their_ephemeral = b"", b""
        self.psk = b""
        self.mix_hash(prologue)

    def knows(self, their_static: bytes) -> "Handshake":
        """The pre-message of IK: the responder's static key. The responder says its own."""
        if self.is_initiator:
            self.their_static = their_static
        self.mix_hash(their_static)
        return self

    def mix_hash(self, data: bytes) -> None:
        self.hash = sha256(self.hash + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.chaining, self.key = hkdf(self.chaining, material, 2)
        self.counter = 0

    def nonce(self) -> bytes:
        self.counter += 1
        return bytes(4) + (self.counter - 1).to_bytes(8, "little")

    def seal(self, plain: bytes) -> bytes:
        sealed = plain if self.key is None else ChaCha20Poly1305(self.key).encrypt(self.nonce(), plain, self.hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, sealed: bytes) -> bytes:
        plain = sealed
        if self.key is not None:
            if len(sealed) < TAG:
                raise Unreadable("too short")
            try:
                plain = ChaCha20Poly1305(self.key).decrypt(self.nonce(), sealed, self.hash)
            except InvalidTag:
                raise Unreadable("a wrong tag") from None
        self.mix_hash(sealed)
        return plain

    def mix_token(self, token: str) -> None:
        """Tokens that only mix: an agreement, named by the initiator's key and then the responder's, or the psk."""
        if token == "psk":
            self.chaining, middle, self.key = hkdf(self.chaining, self.psk, 3)
            self.counter = 0
            self.mix_hash(middle)
            return
        own, other = token if self.is_initiator else token[::-1]
        private = self.ephemeral if own == "e" else self.static
        self.mix_key(agree(private, self.their_ephemeral if other == "e" else self.their_static))

    def mix_ephemeral(self, key: bytes) -> None:
        self.mix_hash(key)
        if "psk" in self.pattern:
            self.mix_key(key)

    def write(self, payload: bytes) -> bytes:
        message = b""
        for token in self.tokens():
            if token == "e":
                message += public(self.ephemeral)
                self.mix_ephemeral(message)
            elif token == "s":
                message += self.seal(public(self.static))
            else:
                self.mix_token(token)
        return message + self.seal(payload)

    def read(self, message: bytes) -> bytes:
        at = 0
        for token in self.tokens():
            size = KEY + (TAG if token == "s" and self.key is not None else 0)
            if token in ("e", "s") and len(message) < at + size:
                raise Unreadable("too short")
            if token == "e":
                self.their_ephemeral = message[:size]
                self.mix_ephemeral(self.their_ephemeral)
                at = size
            elif token == "s":
                self.their_static = self.open(message[at : at + size])
                at += size
            else:
                self.mix_token(token)
        return self.open(message[at:])

    def tokens(self) -> List[str]:
        self.at += 1
        return MESSAGES[self.pattern][self.at - 1]

    def split(self) -> Tuple[bytes, bytes]:
        first, second = hkdf(self.chaining, b"", 2)
        return first, second
