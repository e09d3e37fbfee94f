"""
A second reader of NZ-WIRE-01, NZ-HANDSHAKE-01 and NZ-CHANNEL-01, written from their text alone.

    channel.py VECTORS            recomputes everything in spec/vectors/channel.json
    channel.py --mutate [VECTORS] changes its frames and packets, bit by bit: none may be taken for what it was

Both sides of each handshake are computed from the private keys in the vectors, and each packet is sealed and opened. What
a time decides, and who proposes when, is not looked at; zstd only where Python has it.
"""
import json
import sys
import zlib
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from sessions import (
    Hello,
    Noise,
    Payload,
    Reader,
    Refused,
    Session,
    agree,
    check_payload,
    derive,
    is_feature_list,
    nonce,
    public,
    read_hello,
    read_payload,
    session_of,
    STATIC_KEY,
    verifies,
)
from trust import Report

try:
    from compression import zstd  # Python 3.14
except ImportError:
    zstd = None

CODECS = ("none", "deflate", "zstd")
CHUNK, MESSAGE, CREDIT, OPEN_MESSAGES, RATIO = 65_536, 67_108_864, 16_384, 64, 1_024  # NZ-WIRE-01, 1
WINDOW, LAST_COUNTER = 2_048, 2**24 + 1_024  # NZ-CHANNEL-01, 1
# NZ-WIRE-01, 3: name, least, most, flags
TYPES = {
    0x01: ("hello", 38, 2_048, 0),
    0x02: ("answer", 36, 2_048, 0),
    0x03: ("finish", 36, 2_048, 0),
    0x04: ("retry", 20, 20, 0),
    0x05: ("refuse", 5, 5, 0),
    0x10: ("packet", 33, 65_633, 0),
    0x20: ("open", 9, 9, 0),
    0x21: ("chunk", 9, 65_544, 1),
    0x22: ("credit", 8, 8, 0),
    0x23: ("done", 4, 256, 0),
    0x24: ("cancel", 4, 4, 0),
    0x25: ("reject", 5, 5, 0),
}


class Frame(NamedTuple):
    name: str
    type: int
    flags: int
    body: bytes


def wire(holds: bool, name: str) -> None:
    if not holds:
        raise Refused(f"NZ_WIRE_{name}", "")


def u32(data: bytes, at: int = 0) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def read_frame(data: bytes) -> Frame:
    """NZ-WIRE-01, 2: the one frame of a packet."""
    wire(len(data) >= 8, "MALFORMED")
    wire(data[0] == 1, "VERSION")
    wire(data[1] in TYPES, "TYPE")
    name, least, most, known = TYPES[data[1]]
    flags, length = int.from_bytes(data[2:4], "big"), u32(data, 4)
    wire(flags & ~known == 0, "FLAGS")
    wire(length <= most, "TOO_LARGE")
    wire(length >= least and len(data) == 8 + length, "MALFORMED")
    return Frame(name, data[1], flags, data[8:])


def inflate(codec: str, data: bytes, plain: int) -> bytes:
    """NZ-WIRE-01, 6."""
    wire(codec != "none", "COMPRESSION")
    wire(plain <= RATIO * len(data), "BOMB")
    if codec == "zstd":
        return inflate_zstd(data, plain)
    reader = zlib.decompressobj(-15)
    try:
        out = reader.decompress(data, plain + 1)
    except zlib.error:
        raise Refused("NZ_WIRE_COMPRESSION", "") from None
    wire(len(out) <= plain, "BOMB")
    wire(len(out) == plain and reader.eof and not reader.unused_data, "COMPRESSION")
    return out


def inflate_zstd(data: bytes, plain: int) -> bytes:
    reader = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: 17})
    try:
        out = reader.decompress(data, plain + 1)
    except zstd.ZstdError:
        raise Refused("NZ_WIRE_COMPRESSION", "") from None
    wire(len(out) <= plain, "BOMB")
    wire(len(out) == plain and reader.eof and not reader.unused_data, "COMPRESSION")
    return out


class Messages:
    """NZ-WIRE-01, 5: the receiving side, with room for any message; its application takes none, so none ends."""

    def __init__(self) -> None:
        self.open: Dict[int, Tuple[int, str, bytearray]] = {}
        self.next = 0

    def receive(self, data: bytes) -> Any:
        """What happens, in the words of the vectors."""
        frame = read_frame(data)
        wire(frame.type >= 0x20, "TYPE")
        number = u32(frame.body)
        if frame.name == "open":
            return self.on_open(number, u32(frame.body, 4), frame.body[8])
        if frame.name == "done":
            wire(len(frame.body) % 4 == 0, "MALFORMED")
        wire(frame.name in ("chunk", "cancel") and number in self.open, "MESSAGE")  # it has sent no messages itself
        total, codec, got = self.open[number]
        if frame.name == "cancel":
            wire(len(got) < total, "MESSAGE")
            del self.open[number]
            return "cancelled"
        plain, data = u32(frame.body, 4), frame.body[8:]
        wire(1 <= plain <= CHUNK, "MALFORMED")
        # What it grants is the whole message, as soon as it is open: it has room.
        wire(len(got) + plain <= total, "CREDIT")
        data = inflate(codec, data, plain) if frame.flags & 1 else data
        wire(len(data) == plain, "MALFORMED")
        got += data
        return "none" if len(got) < total else {"id": number, "payload": got.hex()}

    def on_open(self, number: int, total: int, codec: int) -> Any:
        wire(number == self.next, "MESSAGE")
        wire(codec < len(CODECS), "COMPRESSION")
        wire(total <= MESSAGE, "MESSAGE_TOO_LARGE")
        wire(len(self.open) < OPEN_MESSAGES, "MESSAGES")
        self.next += 1
        self.open[number] = (total, CODECS[codec], bytearray())
        return "none" if total > 0 else {"id": number, "payload": ""}


class Keys(NamedTuple):
    """A side's private keys of a handshake, and what the vectors say of it."""

    name: str
    features: List[str]
    identity: bytes
    static: bytes
    signature: bytes
    drawn: List[bytes]

    def payload(self, purpose: str, peer: Optional[bytes], resumed: bool) -> Payload:
        proof = None if resumed else [self.identity, self.signature]
        return Payload([1], purpose, self.features, u32(self.drawn[0]), peer, proof)


def keys_of(vectors: Dict[str, Any], item: Dict[str, Any], role: str) -> Keys:
    known = vectors["identities"][item[role]["is"]]
    private, signature = bytes.fromhex(known["staticSeed"]), bytes.fromhex(known["signature"])
    drawn = [bytes.fromhex(each) for each in item["random"][role]]
    return Keys(item[role]["is"], item[role]["features"], bytes.fromhex(known["identity"]), private, signature, drawn)


def frame_bytes(kind: int, body: bytes) -> bytes:
    return bytes([1, kind, 0, 0]) + len(body).to_bytes(4, "big") + body


def write_handshake(item: Dict[str, Any], ann: Keys, bob: Keys) -> Tuple[List[bytes], Session]:
    """Both sides of a handshake: its frames, and the session. `ann` is the initiator."""
    pattern, purpose = item["pattern"], item["purpose"]
    resumed, known = pattern == "IKpsk1", pattern != "XX"
    ticket = bytes.fromhex(item["ticket"]["id"]) if resumed else b""
    psk = {"psk": bytes.fromhex(item["ticket"]["key"])} if resumed else {}
    mine, theirs = ann.payload(purpose, bob.identity, resumed), bob.payload(purpose, ann.identity if known else None, resumed)
    hello = Hello(pattern, u32(ann.drawn[0]), b"", ticket, b"")
    at_ann = {"s": ann.static, "e": ann.drawn[1], **psk, **({"rs": public(bob.static)} if known else {})}
    one = Noise(pattern, True, hello.prologue(), at_ann)
    two = Noise(pattern, False, hello.prologue(), {"s": bob.static, "e": bob.drawn[1], **psk})
    first = one.write(0, mine.encode() if known else b"")
    numbers = bytes([("XX", "IK", "IKpsk1").index(pattern)]) + ann.drawn[0] + b"\0"
    frames = [frame_bytes(1, numbers + ticket + first)]
    two.read(0, read_hello(frames[0][8:]).message)
    second = two.write(1, theirs.encode())
    frames.append(frame_bytes(2, ann.drawn[0] + second))
    one.read(1, second)
    if not known:
        third = one.write(2, mine.encode())
        frames.append(frame_bytes(3, bob.drawn[0] + third))
        two.read(2, third)
    assert one.split() == two.split()
    return frames, session_of(one, pattern, mine, theirs, (ann.identity, bob.identity))


class Epoch:
    """NZ-CHANNEL-01, 3."""

    def __init__(self, number: int, session: bytes, secret: bytes) -> None:
        self.number, self.session = number, session
        self.keys = {role: derive(secret, session, role) for role in ("initiator", "responder")}
        self.chain = derive(secret, session, "chain")
        self.confirmation = derive(secret, session, "confirm", length=16)
        self.counters = {"initiator": 0, "responder": 0}

    def next(self, ann: Keys, bob: Keys, fresh: Tuple[bytes, bytes]) -> "Epoch":
        """`fresh`: the private halves of the keys made for this step, the initiator's first."""
        number, (mine, theirs) = self.number + 1, (public(fresh[0]), public(fresh[1]))
        secrets = agree(fresh[0], theirs) + agree(fresh[0], public(bob.static)) + agree(ann.static, theirs)
        context = number.to_bytes(4, "big") + mine + theirs
        return Epoch(number, self.session, derive(self.chain + secrets, self.session, "epoch", context))

    def seal(self, role: str, index: bytes, kind: int, payload: bytes) -> bytes:
        counter = self.counters[role]
        self.counters[role] += 1
        clear = index + self.number.to_bytes(4, "big") + counter.to_bytes(8, "big")
        header = frame_bytes(0x10, clear + bytes(17 + len(payload)))[: 8 + len(clear)]
        return header + ChaCha20Poly1305(self.keys[role]).encrypt(nonce(counter), bytes([kind]) + payload, header)


def open_packet(data: bytes, index: bytes, epochs: List[Epoch], role: str) -> Tuple[Epoch, int, bytes]:
    """NZ-CHANNEL-01, 4, but for the window: what `role` sealed, with its kind."""
    try:
        frame = read_frame(data)
    except Refused:
        raise Refused("NZ_CHANNEL_MALFORMED", "") from None
    counter = int.from_bytes(frame.body[8:16], "big")
    if frame.name != "packet" or counter >= 2**48:
        raise Refused("NZ_CHANNEL_MALFORMED", "")
    if frame.body[:4] != index:
        raise Refused("NZ_CHANNEL_UNKNOWN", "")
    found = [epoch for epoch in epochs if epoch.number == u32(frame.body, 4)]
    if not found:
        raise Refused("NZ_CHANNEL_EPOCH", "")
    if counter >= LAST_COUNTER:
        raise Refused("NZ_CHANNEL_EXHAUSTED", "")
    try:
        plain = ChaCha20Poly1305(found[0].keys[role]).decrypt(nonce(counter), data[24:], data[:24])
    except InvalidTag:
        raise Refused("NZ_CHANNEL_FORGED", "") from None
    return found[0], plain[0], plain[1:]


CONTROLS = ("ping", "pong", "propose", "accept", "close")


def check_packets(where: str, item: Dict[str, Any], sides: Tuple[Keys, Keys], session: Session, report: Report) -> None:
    """Each packet is what its sender had to seal, and opens; the agreements give the epochs that follow."""
    by_role = dict(zip(("initiator", "responder"), sides))
    epochs = [Epoch(0, session.id, session.secret)]
    draws = {role: iter(keys.drawn[2:]) for role, keys in by_role.items()}
    fresh: Dict[str, bytes] = {}
    for at, packet in enumerate(item["packets"]):
        role, other = packet["from"], "responder" if packet["from"] == "initiator" else "initiator"
        index = by_role[other].drawn[0]
        epoch, kind, payload = open_packet(bytes.fromhex(packet["hex"]), index, epochs, role)
        again = epoch.seal(role, index, kind, payload)
        report.same(f"{where}[{at}].hex", packet["hex"], again.hex())
        name = "data" if kind == 0 else CONTROLS[payload[0]]
        report.same(f"{where}[{at}].kind", packet["kind"], name)
        if kind == 0:
            report.same(f"{where}[{at}].plain", packet["plain"], payload.decode())
        if name in ("propose", "accept"):
            fresh[role] = next(draws[role])
            report.same(f"{where}[{at}] key", payload[5:37].hex(), public(fresh[role]).hex())
            report.same(f"{where}[{at}] epoch", u32(payload, 1), epoch.number + 1)
        if name == "accept":
            epochs.append(epoch.next(*sides, (fresh["initiator"], fresh["responder"])))
            report.same(f"{where}[{at}] confirmation", payload[37:].hex(), epochs[-1].confirmation.hex())
    report.same(f"{where} epochs", len(epochs), 3)


def refusal_of(item: Dict[str, Any]) -> str:
    """How the side whose keys the vectors give reads the last frame."""
    told = item["reader"]
    initiator, drawn = told["role"] == "initiator", [bytes.fromhex(each) for each in told["random"]]
    expected = bytes.fromhex(told["expected"]) if told["expected"] else None
    identity = bytes.fromhex(told["identity"])
    reader = Reader(initiator, identity, told["purpose"], told["features"], told["versions"], told["required"], expected)
    frames = [read_frame(bytes.fromhex(each)) for each in item["frames"]]
    hello = read_hello(frames[0].body)
    keys = {"s": bytes.fromhex(told["staticSeed"]), "e": drawn[1]}
    noise = Noise(item["pattern"], initiator, hello.prologue(), keys)
    try:
        if initiator:
            noise.write(0, b"")
            payload = read_payload(noise.read(1, frames[1].body[4:]))
        else:
            payload = read_payload(noise.read(0, hello.message))
            if payload.index != hello.index:
                return "NZ_HANDSHAKE_MALFORMED"
        check_payload(reader, payload, noise.keys["rs"], None)
        return "taken"
    except Refused as refused:
        return refused.code


def window(counters: List[int]) -> List[str]:
    """NZ-CHANNEL-01, 4."""
    taken, results = set(), []
    for counter in counters:
        newest = max(taken, default=-1)
        if taken and counter <= newest - WINDOW:
            results.append("tooOld")
        else:
            results.append("replayed" if counter in taken else "new")
            taken.add(counter)
    return results


def code_of(read: Any, *arguments: Any) -> Any:
    """What reading gives, or the code it is refused with."""
    try:
        return read(*arguments)
    except Refused as refused:
        return refused.code


def check_wire(vectors: Dict[str, Any], report: Report) -> None:
    for at, item in enumerate(vectors["frames"]):
        frame = read_frame(bytes.fromhex(item["hex"]))
        computed = {**frame._asdict(), "body": frame.body.hex(), "hex": frame_bytes(frame.type, frame.body).hex()}
        report.fields(f"frames[{at}]", item, computed)
    for at, item in enumerate(vectors["refusedFrames"]):
        report.same(f"refusedFrames[{at}]", item["code"], code_of(read_frame, bytes.fromhex(item["hex"])))
    for at, item in enumerate(vectors["chunks"]):
        if item["codec"] == "zstd" and zstd is None:
            continue
        found = code_of(inflate, item["codec"], bytes.fromhex(item["bytes"]), item["plain"])
        report.same(f"chunks[{at}]", item["result"], found if isinstance(found, str) else found.hex())
    for at, item in enumerate(vectors["conversations"]):
        messages = Messages()
        answers = [code_of(messages.receive, bytes.fromhex(frame)) for frame in item["frames"]]
        report.same(f"conversations[{at}]", item["answers"], answers)
    for at, item in enumerate(vectors["features"]["lists"]):
        report.same(f"features.lists[{at}]", item["isGood"], is_feature_list(item["list"]))
    for at, item in enumerate(vectors["features"]["pairs"]):
        common = [name for name in item["ours"] if name in item["theirs"]]
        report.same(f"features.pairs[{at}]", item["common"], common)


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    parts = ["chunks", "conversations", "features", "frames", "handshakes", "identities"]
    report.same("parts", sorted(vectors), [*parts, "refusals", "refusedFrames", "source", "windows"])
    check_wire(vectors, report)
    for name, item in vectors["identities"].items():
        static = public(bytes.fromhex(item["staticSeed"]))
        report.same(f"identities.{name}.static", item["static"], static.hex())
        good = verifies(bytes.fromhex(item["identity"]), static, bytes.fromhex(item["signature"]), STATIC_KEY)
        report.same(f"identities.{name}.signature", True, good)
    for at, item in enumerate(vectors["handshakes"]):
        where, sides = f"handshakes[{at}]", (keys_of(vectors, item, "initiator"), keys_of(vectors, item, "responder"))
        frames, session = write_handshake(item, *sides)
        report.same(f"{where}.frames", item["frames"], [frame.hex() for frame in frames])
        report.same(f"{where}.session", item["session"], session.id.hex())
        report.same(f"{where}.secret", item["secret"], session.secret.hex())
        report.same(f"{where}.common", item["common"], session.common)
        ticket = derive(session.secret, session.id, "ticket/initiator", length=48)
        report.same(f"{where}.nextTicket", item["nextTicket"], {"id": ticket[:16].hex(), "key": ticket[16:].hex()})
        check_packets(f"{where}.packets", item, sides, session, report)
    for at, item in enumerate(vectors["refusals"]):
        report.same(f"refusals[{at}]", item["code"], refusal_of(item))
    for at, item in enumerate(vectors["windows"]):
        report.same(f"windows[{at}]", item["results"], window(item["counters"]))


def flips(data: bytes, step: int) -> List[bytes]:
    bits = range(0, len(data) * 8, step)
    return [data[: at // 8] + bytes([data[at // 8] ^ 1 << at % 8]) + data[at // 8 + 1 :] for at in bits]


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    """No packet with a changed bit opens, and no handshake with one in its second message gives a session."""
    for at, item in enumerate(vectors["handshakes"]):
        sides = keys_of(vectors, item, "initiator"), keys_of(vectors, item, "responder")
        frames, session = write_handshake(item, *sides)
        epoch, index = Epoch(0, session.id, session.secret), sides[1].drawn[0]
        first = bytes.fromhex(item["packets"][0]["hex"])
        for place, data in enumerate(flips(first, 1)):
            taken = not isinstance(code_of(open_packet, data, index, [epoch], "initiator"), str)
            report.same(f"handshakes[{at}].packets[0] changed in bit {place}", False, taken)
        for place, data in enumerate(flips(frames[1][12:], 7)):
            known = item["pattern"] != "XX"
            psk = {"psk": bytes.fromhex(item["ticket"]["key"])} if item["pattern"] == "IKpsk1" else {}
            keys = {"s": sides[0].static, "e": sides[0].drawn[1], **psk, **({"rs": public(sides[1].static)} if known else {})}
            noise = Noise(item["pattern"], True, read_hello(frames[0][8:]).prologue(), keys)
            resumed = item["pattern"] == "IKpsk1"
            noise.write(0, sides[0].payload(item["purpose"], sides[1].identity, resumed).encode() if known else b"")
            result = code_of(noise.read, 1, data)
            report.same(f"handshakes[{at}] answer changed in bit {7 * place}", True, isinstance(result, str))


def main(arguments: List[str]) -> int:
    run = mutate if arguments[:1] == ["--mutate"] else check
    written = Path(__file__).resolve().parents[2] / "spec" / "vectors" / "channel.json"
    paths = arguments[1:] if run is mutate else arguments
    if len(paths) > 1 or (run is check and not paths):
        print("usage: channel.py VECTORS | --mutate [VECTORS]", file=sys.stderr)
        return 2
    report = Report()
    run(json.loads(Path(paths[0] if paths else written).read_text(encoding="utf-8")), report)
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
