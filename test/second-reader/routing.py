"""
A second reader of NZ-ROUTING-01, written from its text alone.

    routing.py VECTORS            recomputes everything in spec/vectors/routing.json
    routing.py --mutate [VECTORS] changes its setups and answers, bit by bit: none may be read as a good one

It shares deterministic CBOR and signatures with the other readers, and no code with the project.
"""
import hmac
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from updates import Refused, decode, is_bytes, is_number, verifies

LINK, ORIGIN = "nzcore/route-link/1", "nzcore/route-origin/1"
SETUP, HOP = "nzcore/route-setup/1", "nzcore/route-hop/1"
ANSWER, ANSWER_HOP = "nzcore/route-answer/1", "nzcore/route-answer-hop/1"
MAX_HOPS, MAX_METRIC, MAX_SEQUENCE = 16, (1 << 24) - 1, 1 << 48
MAX_MESSAGE = 18_432
TYPES = ("data", "ack", "reset", "resetSeen", "probe", "echo")


class Bad(Exception):
    """A setup is refused, with a code of section 8."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = f"NZ_ROUTE_{code}"


def need(holds: bool, code: str = "MALFORMED") -> None:
    if not holds:
        raise Bad(code)


def cbor(data: bytes) -> Any:
    try:
        return decode(data)
    except Refused:
        raise Bad("MALFORMED") from None


def shape(value: Any, *fits: Callable[[Any], bool]) -> List[Any]:
    """An array with an item for each of `fits`."""
    need(isinstance(value, list) and len(value) == len(fits))
    need(all(fit(item) for fit, item in zip(fits, value)))
    return value


def octets(length: int) -> Callable[[Any], bool]:
    return lambda value: is_bytes(value, length)


def number(most: int, least: int = 0) -> Callable[[Any], bool]:
    return lambda value: is_number(value, least, most)


def anything(value: Any) -> bool:
    return isinstance(value, bytes)


key, signature_bytes, path_id = octets(32), octets(64), octets(16)


def head(major: int, value: int) -> bytes:
    """The shortest head of an item: for what a hop or an answer has received, put together again."""
    if value < 24:
        return bytes([major << 5 | value])
    size = next(size for size in (1, 2, 4, 8) if value < 1 << (8 * size))
    return bytes([major << 5 | {1: 24, 2: 25, 4: 26, 8: 27}[size]]) + value.to_bytes(size, "big")


def encode(value: Any) -> bytes:
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(encode(item) for item in value)


def read_setup(data: bytes) -> Dict[str, Any]:
    """5.2: the form of a setup, with any version and purpose told apart."""
    need(0 < len(data) <= MAX_MESSAGE)
    outer = cbor(data)
    need(isinstance(outer, list) and len(outer) == 4)
    purpose, body, signature, hops = outer
    need(isinstance(purpose, str) and 1 <= len(purpose) <= 64 and anything(body) and signature_bytes(signature))
    need(isinstance(hops, list) and 1 <= len(hops) <= MAX_HOPS)
    for hop in hops:
        shape(hop, key, number(MAX_HOPS), key, signature_bytes)
    fields = cbor(body)
    need(isinstance(fields, list) and len(fields) > 0)
    need(not is_number(fields[0], 0, 2**64 - 1) or fields[0] == 1, "VERSION")
    need(purpose == SETUP, "PURPOSE")
    version, source, end, path, sequence = shape(fields, number(1, 1), key, key, path_id, number(MAX_SEQUENCE, 1))
    need(source != end)
    return dict(body=body, signature=signature, hops=hops, source=source, end=end, path=path, sequence=sequence)


def check_chain(setup: Dict[str, Any], receiver: bytes, neighbour: Optional[bytes]) -> None:
    """5.2: the hops follow each other from the source to the receiver."""
    hops = setup["hops"]
    keys = [hop[0] for hop in hops]
    need(len(set(keys)) == len(keys) and receiver not in keys, "CHAIN")
    need(keys[0] == setup["source"] and hops[-1][2] == receiver, "CHAIN")
    need(neighbour is None or keys[-1] == neighbour, "CHAIN")
    for here, there in zip(hops, hops[1:]):
        need(here[2] == there[0] and there[1] == here[1] - 1, "CHAIN")


def check_signatures(setup: Dict[str, Any]) -> None:
    """5.1: the source over the body, each hop over what it received, its TTL and its next."""
    need(verifies(setup["source"], setup["body"], setup["signature"], SETUP), "FORGED")
    for at, (hop, ttl, following, signature) in enumerate(setup["hops"]):
        received = encode([SETUP, setup["body"], setup["signature"], setup["hops"][:at]])
        message = sha256(received).digest() + bytes([ttl]) + following
        need(verifies(hop, message, signature, HOP), "FORGED")


def take_setup(data: bytes, receiver: bytes, neighbour: Optional[bytes] = None) -> Dict[str, Any]:
    setup = read_setup(data)
    check_chain(setup, receiver, neighbour)
    check_signatures(setup)
    return setup


def take_answer(data: bytes, sent: Dict[str, Any], round_trip: int) -> List[Dict[str, Any]]:
    """6.2: the nodes behind the source, with the round trips between them."""
    need(0 < len(data) <= MAX_MESSAGE)
    outer = cbor(data)
    need(isinstance(outer, list) and len(outer) == 4)
    purpose, body, signature, back = outer
    need(purpose == ANSWER and anything(body) and signature_bytes(signature) and isinstance(back, list))
    need(len(back) <= MAX_HOPS)
    for hop in back:
        shape(hop, key, number(MAX_SEQUENCE), signature_bytes)
    _, path, arrived = shape(cbor(body), number(1, 1), path_id, anything)
    setup = take_setup(arrived, sent["end"])
    need(path == sent["path"] and setup["body"] == sent["body"] and setup["hops"][0] == sent["hops"][0])
    relays = [hop[0] for hop in setup["hops"][1:]]
    need([hop[0] for hop in reversed(back)] == relays, "CHAIN")
    need(verifies(sent["end"], body, signature, ANSWER), "FORGED")
    for at, (hop, waited, signed) in enumerate(back):
        received = encode([purpose, body, signature, back[:at]])
        need(verifies(hop, sha256(received).digest() + waited.to_bytes(8, "big"), signed, ANSWER_HOP), "FORGED")
    waits = [round_trip, *(hop[1] for hop in reversed(back)), 0]
    nodes = [*relays, sent["end"]]
    return [
        {"key": node.hex(), "roundTripUs": max(0, waits[at] - waits[at + 1])} for at, node in enumerate(nodes)
    ]


def code_of(work: Callable[[], Any]) -> str:
    try:
        work()
        return "taken"
    except Bad as bad:
        return bad.code


class Report:
    """Counts what was compared, and prints what differs."""

    def __init__(self) -> None:
        self.checks = self.mismatches = 0

    def same(self, where: str, written: Any, computed: Any) -> None:
        self.checks += 1
        if written != computed:
            self.mismatches += 1
            print(f"{where}: written {json.dumps(written)}, computed {json.dumps(computed)}")

    def close(self) -> int:
        print(f"{self.checks} checks, {self.mismatches} mismatches")
        return 0 if self.checks > 0 and self.mismatches == 0 else 1


def check_link(link: Dict[str, Any], report: Report) -> None:
    """Section 2: offers, keys and sealed messages."""
    ends, pairs = [], [X25519PrivateKey.from_private_bytes(bytes.fromhex(seed)) for seed in link["seeds"]]
    for at, offer in enumerate(link["offers"]):
        message = bytes.fromhex(offer["message"])
        report.same(f"offers[{at}] type", 0, message[0])
        purpose, body, signature = shape(cbor(message[1:]), lambda it: it == LINK, anything, signature_bytes)
        heard_fits = lambda it: is_bytes(it, 32) or it == b""
        _, sender, receiver, ephemeral, heard = shape(cbor(body), number(1, 1), key, key, key, heard_fits)
        report.same(f"offers[{at}] is signed", True, verifies(sender, body, signature, purpose))
        own = pairs[at].public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        fields = {"from": sender.hex(), "to": receiver.hex(), "ephemeral": own.hex(), "heard": heard.hex()}
        report.same(f"offers[{at}] ephemeral", own.hex(), ephemeral.hex())
        for name, value in fields.items():
            report.same(f"offers[{at}].{name}", offer[name], value)
        ends.append((sender, ephemeral))
    secret = pairs[0].exchange(X25519PublicKey.from_public_bytes(ends[1][1]))
    (low, low_key), (high, high_key) = sorted(ends)
    info = LINK.encode() + low + high + low_key + high_key
    keys = HKDF(algorithm=hashes.SHA256(), length=64, salt=None, info=info).derive(secret)
    send, receive = (keys[:32], keys[32:]) if ends[0][0] == low else (keys[32:], keys[:32])
    report.same("link.send", link["send"], send.hex())
    report.same("link.receive", link["receive"], receive.hex())
    for at, item in enumerate(link["sealed"]):
        start = bytes([item["type"]]) + item["counter"].to_bytes(8, "big")
        body = bytes.fromhex(item["body"])
        code = hmac.new(send, start + body, sha256).digest()[:16]
        report.same(f"sealed[{at}]", item["message"], (start + code + body).hex())
    confirmation = link["confirmation"]
    report.same("link.confirmation", confirmation["body"], confirmation["counter"].to_bytes(8, "big").hex())


def check_spoken(vectors: Dict[str, Any], report: Report) -> None:
    """Sections 3, 4 and 7.4: hellos, announcements, requests and the end of a path."""
    for at, hello in enumerate(vectors["hellos"]):
        is_echo = lambda it: isinstance(it, list) and len(it) in (0, 2)
        fields = shape(cbor(bytes.fromhex(hello["body"])), number(MAX_SEQUENCE), number(1 << 48), number(16), number(16), is_echo)
        echo = dict(zip(("stampMs", "heldMs"), fields[4])) or None
        written = [hello[name] for name in ("sequence", "stampMs", "heard", "expected", "echo")]
        report.same(f"hellos[{at}]", written, [*fields[:4], echo])
    origin = (key, number(MAX_SEQUENCE), signature_bytes)
    announcement = vectors["announcement"]
    for at, item in enumerate(cbor(bytes.fromhex(announcement["body"]))):
        end, sequence, signature, metric = shape(item, *origin, number(MAX_METRIC))
        report.same(f"routes[{at}] is signed", True, verifies(end, encode([end, sequence]), signature, ORIGIN))
        computed = {"destination": end.hex(), "sequence": sequence, "metric": metric}
        report.same(f"routes[{at}]", announcement["routes"][at], computed)
    request = vectors["request"]
    end, sequence, signature, hops = shape(cbor(bytes.fromhex(request["body"])), *origin, number(MAX_HOPS))
    report.same("request is signed", True, verifies(end, encode([end, sequence]), signature, ORIGIN))
    report.same("request", [request["destination"], request["sequence"], request["hops"]], [end.hex(), sequence, hops])
    closed = vectors["closed"]
    fits = (path_id, number(len(vectors["codes"]), 1), key, number(MAX_SEQUENCE))
    path, code, by, latest = shape(cbor(bytes.fromhex(closed["body"])), *fits)
    computed = [path.hex(), vectors["codes"][code - 1], by.hex(), latest]
    report.same("closed", [closed[name] for name in ("path", "code", "by", "latest")], computed)


def read_segment(data: bytes) -> Dict[str, Any]:
    """9.1."""
    name = TYPES[data[0]]
    if name in ("probe", "echo"):
        return {"type": name, "stamp": int.from_bytes(data[1:7], "big")}
    found: Dict[str, Any] = {"type": name, "stream": int.from_bytes(data[1:5], "big")}
    if name == "data":
        return {**found, "offset": int.from_bytes(data[6:12], "big"), "isLast": data[5] == 1, "bytes": data[12:].hex()}
    if name == "ack":
        numbers = [int.from_bytes(data[at : at + 6], "big") for at in (5, 11, *range(18, len(data), 6))]
        ranges = [{"from": start, "to": end} for start, end in zip(numbers[2::2], numbers[3::2])]
        need(len(ranges) == data[17])
        return {**found, "next": numbers[0], "limit": numbers[1], "ranges": ranges}
    return found


def is_feasible(announced: Tuple[int, int], feasible: Optional[Tuple[int, int]]) -> bool:
    """4.2."""
    if feasible is None:
        return True
    return announced[0] > feasible[0] or (announced[0] == feasible[0] and announced[1] < feasible[1])


PARTS = [
    "announcement", "answer", "closed", "codes", "distances", "hellos", "keys", "link", "refused", "request",
    "segments", "setup", "source",
]  # fmt: skip


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    report.same("parts", sorted(vectors), PARTS)
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    check_link(vectors["link"], report)
    check_spoken(vectors, report)
    written = vectors["setup"]
    for name, receiver in (("sent", "first"), ("passed", "second"), ("arrived", "end")):
        data = bytes.fromhex(written[name])
        report.same(f"setup.{name}", "taken", code_of(lambda: take_setup(data, keys[receiver])))
    setup = read_setup(bytes.fromhex(written["arrived"]))
    hops = [{"key": hop[0].hex(), "ttl": hop[1], "next": hop[2].hex()} for hop in setup["hops"]]
    computed = [setup["source"].hex(), setup["end"].hex(), setup["path"].hex(), setup["sequence"], hops]
    report.same("setup", [written[name] for name in ("source", "destination", "path", "sequence", "hops")], computed)
    for item in vectors["refused"]:
        data, receiver, neighbour = (bytes.fromhex(item[name]) for name in ("bytes", "receiver", "from"))
        report.same(f"refused: {item['what']}", item["code"], code_of(lambda: take_setup(data, receiver, neighbour)))
    answer, sent = vectors["answer"], read_setup(bytes.fromhex(written["sent"]))
    report.same("answer.hops", answer["hops"], take_answer(bytes.fromhex(answer["home"]), sent, answer["roundTripUs"]))
    for name in ("created", "back"):
        data = bytes.fromhex(answer[name])
        report.same(f"answer.{name} is not home", "NZ_ROUTE_CHAIN", code_of(lambda: take_answer(data, sent, 0)))
    for at, item in enumerate(vectors["distances"]):
        report.same(f"distances[{at}]", item["isFeasible"], is_feasible(item["announced"], item["feasible"]))
    for at, item in enumerate(vectors["segments"]):
        computed_segment = read_segment(bytes.fromhex(item["segment"]))
        report.same(f"segments[{at}]", {**computed_segment, "segment": item["segment"]}, item)


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    """No setup or answer with one bit changed is read as a good one."""
    keys = {name: bytes.fromhex(value) for name, value in vectors["keys"].items()}
    sent = read_setup(bytes.fromhex(vectors["setup"]["sent"]))
    samples: List[Tuple[str, bytes, Callable[[bytes], Any]]] = [
        ("setup", bytes.fromhex(vectors["setup"]["arrived"]), lambda data: take_setup(data, keys["end"])),
        ("answer", bytes.fromhex(vectors["answer"]["home"]), lambda data: take_answer(data, sent, 1)),
    ]
    for name, data, read in samples:
        report.same(name, "taken", code_of(lambda: read(data)))
        for at in range(len(data)):
            other = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
            report.same(f"{name} changed at {at} is refused", True, code_of(lambda: read(other)) != "taken")
        for other in (data + b"\0", data[:-1], b""):
            report.same(f"{name} of another length is refused", True, code_of(lambda: read(other)) != "taken")


def main(arguments: List[str]) -> int:
    run = mutate if arguments[:1] == ["--mutate"] else check
    written = Path(__file__).resolve().parents[2] / "spec" / "vectors" / "routing.json"
    paths = arguments[1:] if run is mutate else arguments
    if len(paths) > 1 or (run is check and not paths):
        print("usage: routing.py VECTORS | --mutate [VECTORS]", file=sys.stderr)
        return 2
    report = Report()
    run(json.loads(Path(paths[0] if paths else written).read_text(encoding="utf-8")), report)
    return report.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
