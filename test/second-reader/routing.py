"""
A second reader of NZ-ROUTING-01, written from its text and NZ-IDENTITY-01 §6 alone.

    routing.py VECTORS            recomputes everything in spec/vectors/routing.json
    routing.py --mutate VECTORS   changes the setups and answers in it, bit by bit: none may be taken
    routing.py --corrupt VECTORS  makes each field of the vectors untrue: it is noticed

Checked: offers, keys and sealed messages of links (§2), the bodies of messages (§3, §4, §7), feasibility (§4), setups hop
by hop and the code of each that is refused (§5, §8), answers and what they say of delays (§6), segments (§9).
"""
import sys
from hashlib import sha256
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

sys.dont_write_bytecode = True  # before the import: the tree stays clean
import noise
from reading import Refused, Report, code_of, decode, encode, is_list, is_number, run, touched
from signatures import verifies

MESSAGE_BYTES, HOPS, TTL = 18_432, 16, 16
UNREACHABLE, SEQUENCE = (1 << 24) - 1, 1 << 48
BEHIND = 1_024
LINK, SETUP, HOP = "nzcore/route-link/1", "nzcore/route-setup/1", "nzcore/route-hop/1"
ANSWER, ANSWER_HOP, ORIGIN = "nzcore/route-answer/1", "nzcore/route-answer-hop/1", "nzcore/route-origin/1"
CODES = (
    "MALFORMED", "VERSION", "PURPOSE", "FORGED", "CHAIN", "REPLAYED", "TTL", "REFUSED", "LIMITED", "NONE", "BROKEN",
    "TIMEOUT", "IDLE", "CLOSED",
)  # fmt: skip
CONFIRMED = range(2, 7)


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


def number(most: int = (1 << 53) - 1, least: int = 0) -> Callable[[Any], bool]:
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

    body: bytes
    signature: bytes
    rest: List[Any]


def read_signed(data: bytes, purpose: str, *rest: Callable[[Any], bool]) -> Signed:
    """5.2: the form with any version and any purpose, then the version, then the purpose."""
    value = parsed(data, text, octets, sized(64), *rest)
    body = decode(value[1], "NZ_ROUTE_MALFORMED")
    require(isinstance(body, list) and len(body) > 0 and number()(body[0]))
    require(body[0] == 1, "VERSION")
    require(value[0] == purpose, "PURPOSE")
    return Signed(value[1], value[2], value[3:])


class Offer(NamedTuple):
    """2.2."""

    sender: bytes
    to: bytes
    ephemeral: bytes
    heard: bytes


def read_offer(message: bytes) -> Offer:
    require(len(message) <= MESSAGE_BYTES and message[:1] == b"\0")
    signed = read_signed(message[1:], LINK)
    offer = Offer(*parsed(signed.body, number(), KEY, KEY, KEY, sized(0, 32))[1:])
    require(verifies(offer.sender, signed.body, signed.signature, LINK), "FORGED")
    return offer


class Link:
    """2.3, 2.4: a link that is open, as one of its ends sees it."""

    def __init__(self, own: Offer, private: bytes, theirs: Offer) -> None:
        ends = sorted([own, theirs], key=lambda offer: offer.sender)
        info = LINK.encode() + b"".join(offer.sender for offer in ends) + b"".join(offer.ephemeral for offer in ends)
        secret, keys = noise.keyed(bytes(32), noise.agree(private, theirs.ephemeral)), b""
        for n in (1, 2):
            keys += noise.keyed(secret, keys[-32:], info, bytes([n]))
        both = keys[:32], keys[32:]
        self.sending, self.receiving = both if own is ends[0] else both[::-1]


def seal(key: bytes, type: int, counter: int, body: bytes) -> bytes:
    """2.4."""
    head = bytes([type]) + counter.to_bytes(8, "big")
    return head + noise.keyed(key, head, body)[:16] + body


class Hop(NamedTuple):
    key: bytes
    ttl: int
    next: bytes
    signature: bytes


def is_hop(value: Any) -> bool:
    return is_list(value, 4, 4, anything) and KEY(value[0]) and number(TTL)(value[1]) and KEY(value[2]) and sized(64)(value[3])


class Setup(NamedTuple):
    """Section 5."""

    source: bytes
    destination: bytes
    path: bytes
    sequence: int
    hops: List[Hop]
    signed: Signed

    def before(self, at: int) -> bytes:
        """The setup as the hop with this place received it."""
        return encode([SETUP, self.signed.body, self.signed.signature, [list(hop) for hop in self.hops[:at]]])

    def is_signed(self) -> bool:
        """5.1: all signatures."""
        own = verifies(self.source, self.signed.body, self.signed.signature, SETUP)
        return own and all(self.is_hop_signed(at) for at in range(len(self.hops)))

    def is_hop_signed(self, at: int) -> bool:
        hop = self.hops[at]
        return verifies(hop.key, sha256(self.before(at)).digest() + bytes([hop.ttl]) + hop.next, hop.signature, HOP)


def read_setup(data: bytes) -> Setup:
    require(len(data) <= MESSAGE_BYTES)
    signed = read_signed(data, SETUP, lambda hops: is_list(hops, 1, HOPS, is_hop))
    body = parsed(signed.body, number(), KEY, KEY, sized(16), number(SEQUENCE, 1))
    require(body[1] != body[2])
    return Setup(*body[1:], [Hop(*hop) for hop in signed.rest[0]], signed)


def check_chain(setup: Setup, receiver: bytes, sender: bytes) -> None:
    """5.2: the hops follow each other."""
    hops = setup.hops
    keys = [hop.key for hop in hops]
    require(keys[0] == setup.source, "CHAIN")
    require([hop.next for hop in hops] == [*keys[1:], receiver], "CHAIN")
    require(all(a.ttl == b.ttl + 1 for a, b in zip(hops, hops[1:])), "CHAIN")
    require(len(set(keys)) == len(keys) and receiver not in keys and keys[-1] == sender, "CHAIN")


def receive_setup(data: bytes, receiver: bytes, sender: bytes) -> Setup:
    """5.2, for a receiver whose policy and limits let all through, and that has a next hop."""
    setup = read_setup(data)
    check_chain(setup, receiver, sender)
    require(setup.is_signed(), "FORGED")
    require(receiver == setup.destination or setup.hops[-1].ttl > 0, "TTL")
    return setup


class AnswerHop(NamedTuple):
    key: bytes
    waited: int
    signature: bytes


def is_answer_hop(value: Any) -> bool:
    return is_list(value, 3, 3, anything) and KEY(value[0]) and number()(value[1]) and sized(64)(value[2])


class Answer(NamedTuple):
    """Section 6."""

    path: bytes
    setup: bytes
    hops: List[AnswerHop]
    signed: Signed

    def before(self, at: int) -> bytes:
        return encode([ANSWER, self.signed.body, self.signed.signature, [list(hop) for hop in self.hops[:at]]])

    def is_signed(self, destination: bytes) -> bool:
        if not verifies(destination, self.signed.body, self.signed.signature, ANSWER):
            return False
        for at, hop in enumerate(self.hops):
            message = sha256(self.before(at)).digest() + hop.waited.to_bytes(8, "big")
            if not verifies(hop.key, message, hop.signature, ANSWER_HOP):
                return False
        return True


def read_answer(data: bytes) -> Answer:
    require(len(data) <= MESSAGE_BYTES)
    signed = read_signed(data, ANSWER, lambda hops: is_list(hops, 0, HOPS, is_answer_hop))
    body = parsed(signed.body, number(), sized(16), octets)
    return Answer(body[1], body[2], [AnswerHop(*hop) for hop in signed.rest[0]], signed)


def take_answer(data: bytes, sent: bytes) -> Answer:
    """6.2, by the source that has sent this setup."""
    answer, own = read_answer(data), read_setup(sent)
    setup = read_setup(answer.setup)
    require((setup.signed.body, setup.signed.signature) == (own.signed.body, own.signed.signature), "CHAIN")
    require(setup.hops[:1] == own.hops and answer.path == setup.path, "CHAIN")
    check_chain(setup, setup.destination, setup.hops[-1].key)
    require([hop.key for hop in answer.hops] == [hop.key for hop in setup.hops[:0:-1]], "CHAIN")
    require(setup.is_signed() and answer.is_signed(setup.destination), "FORGED")
    return answer


def delays(answer: Answer, round_trip: int) -> List[Dict[str, Any]]:
    """6.2: the round trip between each two: the difference of what both waited. The end waits for nobody."""
    keys = [hop.key for hop in reversed(answer.hops)] + [read_setup(answer.setup).destination]
    waited = [round_trip, *(hop.waited for hop in reversed(answer.hops)), 0]
    return [{"key": key.hex(), "roundTripUs": a - b} for key, a, b in zip(keys, waited, waited[1:])]


def is_feasible(announced: List[int], feasible: Optional[List[int]]) -> bool:
    """4.2: is the distance smaller than the feasibility distance, or is there none?"""
    if feasible is None:
        return True
    return announced[0] > feasible[0] or (announced[0] == feasible[0] and announced[1] < feasible[1])


def read_segment(data: bytes) -> Dict[str, Any]:
    """9.1, in the words of the vectors."""
    at = 1

    def take(size: int) -> int:
        nonlocal at
        require(at + size <= len(data))
        at += size
        return int.from_bytes(data[at - size : at], "big")

    require(len(data) > 0 and data[0] < 6)
    if data[0] == 0:
        stream, flags, offset = take(4), take(1), take(6)
        require(flags < 2 and len(data) - at <= 16_384)
        return {"type": "data", "stream": stream, "offset": offset, "isLast": flags == 1, "bytes": data[at:].hex()}
    if data[0] == 1:
        told = {"type": "ack", "stream": take(4), "next": take(6), "limit": take(6)}
        ranges = [{"from": take(6), "to": take(6)} for _ in range(take(1))]
        ends = [told["next"], *(end for each in ranges for end in (each["from"], each["to"]))]
        require(len(ranges) <= 16 and all(a < b for a, b in zip(ends, ends[1:])) and at == len(data))
        return {**told, "ranges": ranges}
    if data[0] < 4:
        told = {"type": ("reset", "resetSeen")[data[0] - 2], "stream": take(4)}
    else:
        told = {"type": ("probe", "echo")[data[0] - 4], "stamp": take(6)}
    require(at == len(data))
    return told


def write_segment(item: Dict[str, Any]) -> bytes:
    kind = ("data", "ack", "reset", "resetSeen", "probe", "echo").index(item["type"])
    if kind > 3:
        return bytes([kind]) + item["stamp"].to_bytes(6, "big")
    head = bytes([kind]) + item["stream"].to_bytes(4, "big")
    if kind == 0:
        return head + bytes([item["isLast"]]) + item["offset"].to_bytes(6, "big") + bytes.fromhex(item["bytes"])
    if kind > 1:
        return head
    numbers = b"".join(each[name].to_bytes(6, "big") for each in item["ranges"] for name in ("from", "to"))
    return head + item["next"].to_bytes(6, "big") + item["limit"].to_bytes(6, "big") + bytes([len(item["ranges"])]) + numbers


def check_link(link: Dict[str, Any], report: Report) -> None:
    offers = []
    for index, item in enumerate(link["offers"]):
        offer = read_offer(bytes.fromhex(item["message"]))
        offers.append(offer)
        told = dict(zip(("from", "to", "ephemeral", "heard"), (each.hex() for each in offer)))
        report.fields(f"link.offers[{index}]", item, {**told, "message": item["message"]})
    privates = [bytes.fromhex(seed) for seed in link["seeds"]]
    for index, private in enumerate(privates):
        report.same(f"link.seeds[{index}]", offers[index].ephemeral.hex(), noise.public(private).hex())
    own, theirs = Link(offers[0], privates[0], offers[1]), Link(offers[1], privates[1], offers[0])
    report.same("link.send", [link["send"]] * 2, [own.sending.hex(), theirs.receiving.hex()])
    report.same("link.receive", [link["receive"]] * 2, [own.receiving.hex(), theirs.sending.hex()])
    for index, item in enumerate(link["sealed"]):
        message = seal(own.sending, item["type"], item["counter"], bytes.fromhex(item["body"]))
        report.same(f"link.sealed[{index}]", item["message"], message.hex())
    confirmation = link["confirmation"]
    report.same("link.confirmation", confirmation["body"], confirmation["counter"].to_bytes(8, "big").hex())


def read_announcement(data: bytes) -> List[List[Any]]:
    routes = decode(data, "NZ_ROUTE_MALFORMED")
    require(is_list(routes, 1, 128, lambda route: is_list(route, 4, 4, anything)))
    for destination, sequence, signature, metric in routes:
        require(KEY(destination) and number(SEQUENCE)(sequence) and sized(64)(signature) and number(UNREACHABLE)(metric))
        check_origin(destination, sequence, signature)
    return routes


def check_origin(destination: bytes, sequence: int, signature: bytes) -> None:
    require(verifies(destination, encode([destination, sequence]), signature, ORIGIN), "FORGED")


def check_bodies(vectors: Dict[str, Any], report: Report) -> None:
    for index, item in enumerate(vectors["hellos"]):
        echo = item["echo"]
        told = [] if echo is None else [echo["stampMs"], echo["heldMs"]]
        body = encode([item["sequence"], item["stampMs"], item["heard"], item["expected"], told])
        report.same(f"hellos[{index}]", item["body"], body.hex())
    routes = read_announcement(bytes.fromhex(vectors["announcement"]["body"]))
    shown = [{"destination": key.hex(), "sequence": sequence, "metric": metric} for key, sequence, _, metric in routes]
    report.same("announcement.routes", vectors["announcement"]["routes"], shown)
    asked = parsed(bytes.fromhex(vectors["request"]["body"]), KEY, number(SEQUENCE), sized(64), number(HOPS))
    check_origin(*asked[:3])
    told = {"destination": asked[0].hex(), "sequence": asked[1], "hops": asked[3]}
    report.fields("request", vectors["request"], {**told, "body": vectors["request"]["body"]})
    closed = parsed(bytes.fromhex(vectors["closed"]["body"]), sized(16), number(14, 1), KEY, number())
    told = {"path": closed[0].hex(), "code": f"NZ_ROUTE_{CODES[closed[1] - 1]}", "by": closed[2].hex(), "latest": closed[3]}
    report.fields("closed", vectors["closed"], {**told, "body": vectors["closed"]["body"]})


def check_setup(item: Dict[str, Any], report: Report) -> None:
    hops = [Hop(bytes.fromhex(hop["key"]), hop["ttl"], bytes.fromhex(hop["next"]), b"") for hop in item["hops"]]
    for at, name in enumerate(("sent", "passed", "arrived")):
        data = bytes.fromhex(item[name])
        code = code_of(lambda: receive_setup(data, hops[at].next, hops[at].key))
        report.same(f"setup.{name}", "taken", code)
        setup = read_setup(data)
        shown = [{"key": hop.key.hex(), "ttl": hop.ttl, "next": hop.next.hex()} for hop in setup.hops]
        report.same(f"setup.{name}.hops", item["hops"][: at + 1], shown)
        fields = (setup.source.hex(), setup.destination.hex(), setup.path.hex(), setup.sequence)
        report.same(f"setup.{name}.body", [item[name] for name in ("source", "destination", "path", "sequence")], [*fields])


def check(vectors: Dict[str, Any], report: Report) -> None:
    """Recomputes all that the vectors hold."""
    report.same("codes", vectors["codes"], [f"NZ_ROUTE_{name}" for name in CODES])
    keys = vectors["keys"]
    path = [hop["key"] for hop in vectors["setup"]["hops"]] + [vectors["setup"]["destination"]]
    report.same("keys", [keys[name] for name in ("source", "first", "second", "end")], path)
    check_link(vectors["link"], report)
    check_bodies(vectors, report)
    check_setup(vectors["setup"], report)
    for index, item in enumerate(vectors["refused"]):
        data, receiver, sender = (bytes.fromhex(item[name]) for name in ("bytes", "receiver", "from"))
        report.same(f"refused[{index}]", item["code"], code_of(lambda: receive_setup(data, receiver, sender)))
    answer, sent = vectors["answer"], bytes.fromhex(vectors["setup"]["sent"])
    taken = take_answer(bytes.fromhex(answer["home"]), sent)
    report.same("answer.hops", answer["hops"], delays(taken, answer["roundTripUs"]))
    for at, name in enumerate(("created", "back", "home")):
        report.same(f"answer.{name}", answer[name], taken.before(at).hex())
    report.same("answer.setup", vectors["setup"]["arrived"], taken.setup.hex())
    for index, item in enumerate(vectors["distances"]):
        computed = is_feasible(item["announced"], item["feasible"])
        report.same(f"distances[{index}]", item["isFeasible"], computed)
    for index, item in enumerate(vectors["segments"]):
        told = read_segment(bytes.fromhex(item["segment"]))
        report.fields(f"segments[{index}]", item, {**told, "segment": write_segment(item).hex()})


def mutate(vectors: Dict[str, Any], report: Report) -> None:
    hops, sent = vectors["setup"]["hops"], bytes.fromhex(vectors["setup"]["sent"])
    receiver, sender = bytes.fromhex(hops[-1]["next"]), bytes.fromhex(hops[-1]["key"])
    takes: List[Tuple[str, str, Callable[[bytes], Any]]] = [
        ("setup", vectors["setup"]["arrived"], lambda data: receive_setup(data, receiver, sender)),
        ("answer", vectors["answer"]["home"], lambda data: take_answer(data, sent)),
    ]
    for name, written, take in takes:
        data = bytes.fromhex(written)
        report.same(name, "taken", code_of(lambda: take(data)))
        for at, other in touched(data):
            report.same(f"{name} changed at {at} is refused", True, code_of(lambda: take(other)) != "taken")


PARTS = [
    "keys", "codes", "link", "hellos", "announcement", "request", "closed", "setup", "refused", "answer", "distances",
    "segments",
]  # fmt: skip

if __name__ == "__main__":
    sys.exit(run("routing", PARTS, check, mutate))
