"""A second reader of NZ-IDENTITY-01 §6: signatures of node keys, each for a purpose."""
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FIELD = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
# The y of the points of small order: 0, 1, -1 and the two of order 8.
ORDER_8 = int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")
SMALL_ORDER = {0, 1, FIELD - 1, ORDER_8, FIELD - ORDER_8}


def signed_text(message: bytes, purpose: str) -> bytes:
    return b"nzcore signature 1\n" + bytes([len(purpose)]) + purpose.encode() + message


def verifies(key: bytes, message: bytes, signature: bytes, purpose: str) -> bool:
    """
    The library compares R with the encoding of the point it computes; the bounds of S and of the key are checked here.
    """
    y = int.from_bytes(key, "little") & (2**255 - 1)
    if len(key) != 32 or len(signature) != 64:
        return False
    if y >= FIELD or y in SMALL_ORDER or int.from_bytes(signature[32:], "little") >= ORDER:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, signed_text(message, purpose))
        return True
    except (InvalidSignature, ValueError):
        return False


def sign(seed: bytes, message: bytes, purpose: str) -> bytes:
    """The one signature that RFC 8032 gives for a private key."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(signed_text(message, purpose))


def public_key(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
